//! Every limit that input from outside runs into: its unit, and the threat that it answers.
//!
//! Each has a test that reaches it. What is over a limit is rejected with a reason of its own, never cut short.

/// Bytes of one event's text, however it came. An event socket can announce any length: without a limit one line of
/// text makes a node allocate until it dies. The largest event seen in the field has 61 KB; API answers reach megabytes.
pub const EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Headers in one event. A datagram can hold some 20,000 of them, each of which costs an index entry and, once
/// decoded, two Python strings. The largest event seen has 317.
pub const HEADERS: usize = 2_048;

/// Bytes of one header's name. Names become dictionary keys, column titles and interned strings downstream. The
/// longest seen has 48; the switch itself cuts them at 122 when it receives.
pub const HEADER_NAME_BYTES: usize = 1_024;

/// Bytes of one header's value as it stands on the wire. No datagram can hold more than 65,507; the limit is for event
/// sockets. The longest seen has 13,508.
pub const HEADER_VALUE_BYTES: usize = 1024 * 1024;

/// Elements of one array header. Each becomes a Python string of some 50 bytes, while four bytes on the wire are enough
/// to make one: an amplifier. The switch's own arrays end at 4,000 elements; the longest seen has 513.
pub const ARRAY_ELEMENTS: usize = 4_000;

/// Bytes of UDP payload that IPv4 can carry: 65,535 less 20 of IP header and 8 of UDP header (RFC 791, RFC 768).
pub const DATAGRAM_IPV4_BYTES: usize = 65_507;

/// Bytes of UDP payload that IPv6 can carry without jumbograms: 65,535 less 8 of UDP header (RFC 8200).
pub const DATAGRAM_IPV6_BYTES: usize = 65_527;

/// Bytes of a pre-shared key that count: Blowfish has eighteen 32-bit subkeys.
pub const PSK_BYTES: usize = 72;

/// Group keys that are live at once. Each one is another that a thief can use, and rotation needs two or three.
pub const LIVE_KEYS: usize = 4;

/// Bytes of one event's text in sealed frames. A few hundred bytes can claim to unpack to gigabytes. No datagram of stock
/// holds more than 64 KiB.
pub const SEALED_EVENT_BYTES: usize = 1024 * 1024;

/// Events of one stream that are there in part. One fragment begins one, and it waits until it is given up.
pub const PARTIAL_EVENTS: usize = 1_024;

/// Bytes that those may take together. One fragment can make an event take a mebibyte, by the count that it claims.
pub const PARTIAL_BYTES: usize = 8 * 1024 * 1024;

/// Receivers that a sender remembers: each costs a kilobyte and a half. Each has proved to be a member; one member can
/// be as many as it likes.
pub const REQUESTERS: usize = 1_024;

/// Sequences that a sender has been asked for and has not answered yet. A request of a few bytes can ask for all that is
/// kept, and requests are held for a moment.
pub const HELD_REQUESTS: usize = 16_384;

/// Frames of unknown streams that a sender opens in a second. Each costs two key derivations, some 5 µs.
pub const STRANGER_OPENS: u64 = 4_096;

/// Of those, the ones that may come from addresses which share a place below: one host alone leaves room for others.
pub const STRANGER_OPENS_PER_SOURCE: u64 = 256;

/// Places that addresses are spread over for that. A stranger writes any source address that it likes.
pub const STRANGER_SOURCES: usize = 1_024;

/// Bytes of one bindings text. It may come from a URL that someone else wrote, and each word costs a comparison with
/// every event name. All of the switch's names together have 1,230.
pub const BINDINGS_BYTES: usize = 16_384;

/// Words in one bindings text. Each costs some 100 bytes of memory and, when no event has its name, a search for the
/// nearest names. The switch has 94 events and some 60 subclasses.
pub const BINDING_WORDS: usize = 1_024;

/// Bytes of one word. The search for the nearest names takes time in proportion; the longest name has 23.
pub const BINDING_WORD_BYTES: usize = 256;

/// Bytes of one condition's text. The parser takes some 4 µs a byte, and what the text says is done for every event.
pub const CONDITION_BYTES: usize = 4_096;

/// Levels of nesting, in the text and in the tree that it becomes (`a + b + c` nests too). The interpreter takes 3 KB
/// of stack for each, and 45 KB when it is built without optimisation, on threads that may have 2 MiB.
pub const CONDITION_NESTING: usize = 32;

/// Nodes of the tree that one evaluation can visit. `exists` and `all` visit theirs once for each element, so that
/// lists nested in lists would stop a receiver for good with a few hundred bytes of text.
pub const CONDITION_STEPS: usize = 4_096;

/// Additions. Each can double what it is given, and a header can have 64 KB.
pub const CONDITION_ADDITIONS: usize = 16;

/// Bytes of one regular expression. Matching takes time in proportion to it and to the header.
pub const PATTERN_BYTES: usize = 512;

/// Bytes of memory of one compiled pattern. A pattern of a few bytes (`(a{999}){999}`) can ask for gigabytes.
pub const PATTERN_COMPILED_BYTES: usize = 1024 * 1024;

/// Bytes of one packet, or of one block that we must see whole. A length field can claim 4 GiB: without a limit eight
/// bytes of file would have us wait for, and keep, all of it. No capture tool stores more than this of one packet.
pub const CAPTURE_PACKET_BYTES: usize = 262_144;

/// Bytes of packet block around the packet: its own fields, and options such as a comment.
pub const CAPTURE_BLOCK_OVERHEAD_BYTES: usize = 65_536;

/// Interfaces in one section of a pcapng file. Twenty bytes of file add one, and each is kept to the section's end.
pub const CAPTURE_INTERFACES: usize = 4_096;

/// IP datagrams that wait for the rest of their fragments. One fragment of eight bytes is enough to begin one.
pub const CAPTURE_FRAGMENTED_DATAGRAMS: usize = 1_024;

/// Bytes that those datagrams may take together. One fragment can make a datagram take 64 KiB, by its offset.
pub const CAPTURE_FRAGMENT_BYTES: usize = 16 * 1024 * 1024;

/// VLAN tags in front of one packet. Two are in use (802.1ad); each is four bytes, so a packet could hold thousands.
pub const CAPTURE_VLAN_TAGS: usize = 4;

/// Items that one stream keeps waiting behind its first hole. A member that leaves out one sequence could have us keep
/// all that comes after it. At 5,000 events/s these are 13 s, in which a repair is asked for some 50 times and more.
pub const STREAM_ITEMS: usize = 65_536;

/// Bytes of those items together.
pub const STREAM_BYTES: usize = 32 * 1024 * 1024;

/// Sequences that a stream may be ahead of what was delivered. One frame that claims more, from a member gone wrong,
/// would make all that the stream still sends too old to be taken. A million events/s need 12 days for it.
pub const STREAM_REACH: u64 = 1 << 40;

/// Streams that a receiver follows. Each has shown that it is alive, but a member can begin as many as it likes, and each
/// costs some 2 KB before anything waits in it. One that is silent makes way for a new one.
pub const FOLLOWED_STREAMS: usize = 1_024;

/// Bytes that wait in all of those together: for what is missing in front of them, for their other fragments, for their
/// signatures. Each stream may take its own [`STREAM_BYTES`], but not all of them at once.
pub const WAITING_BYTES: usize = 128 * 1024 * 1024;

/// Streams that are over and are remembered. A recording of one that is forgotten would be a new stream, as long as its
/// beacons are fresh.
pub const PAST_STREAMS: usize = 4_096;

/// Streams that have yet to show that they are alive. Whoever recorded old ones can play them all at once.
pub const ASIDE_STREAMS: usize = 64;

/// Frames and datagrams of one of those that are kept aside until then.
pub const ASIDE_FRAMES: usize = 1_024;

/// Bytes of those together.
pub const ASIDE_BYTES: usize = 256 * 1024;

/// Events of one stream that wait for the signature that covers them. A member that never signs would have us keep all.
pub const HELD_EVENTS: usize = 4_096;

/// Bytes of those together.
pub const HELD_BYTES: usize = 4 * 1024 * 1024;

/// Sequences that a stream without a key may jump ahead. Anyone can forge one; three in a row are believed.
pub const UNPROVEN_REACH: u64 = 4_096;

/// Gap records that wait until the program reads. A member that starts anew again and again makes some each time; beyond
/// these the last one counts for all, without saying of which stream.
pub const UNTOLD_GAPS: usize = 1_024;

/// Kinds of event that an audit counts apart. Each costs a table of its headers, and anyone can write any event name. The
/// richest recording has 126; the switch has 94 events and some 60 subclasses.
pub const AUDIT_KINDS: usize = 1_024;

/// Headers that it counts apart, those of all kinds together. Each costs 2 KB with what it was found to give away, and
/// 3 KB once its values have had all the shapes that there is room for. The richest recording has 9,222.
pub const AUDIT_HEADERS: usize = 32_768;

/// Headers of one kind among those: who makes up names of headers does not take the room of all other kinds with it.
pub const AUDIT_HEADERS_OF_KIND: usize = 2_048;

/// Senders that it counts apart, in all and for each kind. Anyone can write any name.
pub const AUDIT_SENDERS: usize = 1_024;

/// Bytes of the name of a kind, a header or a sender that it counts apart. Names are kept for as long as it runs. The
/// longest header has 48.
pub const AUDIT_NAME_BYTES: usize = 256;

/// Shapes of one header's values that it tells apart: a stranger can make up as many as there are texts. All others
/// count as one.
pub const AUDIT_SHAPES: usize = 64;

/// Bytes of one value, or of a body, that it looks at. It is looked at with regular expressions, whose time grows with
/// it, and an event socket can send megabytes. The longest value seen has 13,508.
pub const AUDIT_VALUE_BYTES: usize = 16_384;

/// The limits by name, for documentation and for Python.
pub const ALL: &[(&str, usize)] = &[
    ("event_bytes", EVENT_BYTES),
    ("headers", HEADERS),
    ("header_name_bytes", HEADER_NAME_BYTES),
    ("header_value_bytes", HEADER_VALUE_BYTES),
    ("array_elements", ARRAY_ELEMENTS),
    ("datagram_ipv4_bytes", DATAGRAM_IPV4_BYTES),
    ("datagram_ipv6_bytes", DATAGRAM_IPV6_BYTES),
    ("psk_bytes", PSK_BYTES),
    ("live_keys", LIVE_KEYS),
    ("sealed_event_bytes", SEALED_EVENT_BYTES),
    ("partial_events", PARTIAL_EVENTS),
    ("partial_bytes", PARTIAL_BYTES),
    ("requesters", REQUESTERS),
    ("held_requests", HELD_REQUESTS),
    ("stranger_opens", STRANGER_OPENS as usize),
    ("stranger_opens_per_source", STRANGER_OPENS_PER_SOURCE as usize),
    ("stranger_sources", STRANGER_SOURCES),
    ("bindings_bytes", BINDINGS_BYTES),
    ("binding_words", BINDING_WORDS),
    ("binding_word_bytes", BINDING_WORD_BYTES),
    ("condition_bytes", CONDITION_BYTES),
    ("condition_nesting", CONDITION_NESTING),
    ("condition_steps", CONDITION_STEPS),
    ("condition_additions", CONDITION_ADDITIONS),
    ("pattern_bytes", PATTERN_BYTES),
    ("pattern_compiled_bytes", PATTERN_COMPILED_BYTES),
    ("capture_packet_bytes", CAPTURE_PACKET_BYTES),
    ("capture_block_overhead_bytes", CAPTURE_BLOCK_OVERHEAD_BYTES),
    ("capture_interfaces", CAPTURE_INTERFACES),
    ("capture_fragmented_datagrams", CAPTURE_FRAGMENTED_DATAGRAMS),
    ("capture_fragment_bytes", CAPTURE_FRAGMENT_BYTES),
    ("capture_vlan_tags", CAPTURE_VLAN_TAGS),
    ("stream_items", STREAM_ITEMS),
    ("stream_bytes", STREAM_BYTES),
    ("stream_reach", STREAM_REACH as usize),
    ("followed_streams", FOLLOWED_STREAMS),
    ("waiting_bytes", WAITING_BYTES),
    ("past_streams", PAST_STREAMS),
    ("aside_streams", ASIDE_STREAMS),
    ("aside_frames", ASIDE_FRAMES),
    ("aside_bytes", ASIDE_BYTES),
    ("held_events", HELD_EVENTS),
    ("held_bytes", HELD_BYTES),
    ("unproven_reach", UNPROVEN_REACH as usize),
    ("untold_gaps", UNTOLD_GAPS),
    ("audit_kinds", AUDIT_KINDS),
    ("audit_headers", AUDIT_HEADERS),
    ("audit_headers_of_kind", AUDIT_HEADERS_OF_KIND),
    ("audit_senders", AUDIT_SENDERS),
    ("audit_name_bytes", AUDIT_NAME_BYTES),
    ("audit_shapes", AUDIT_SHAPES),
    ("audit_value_bytes", AUDIT_VALUE_BYTES),
];
