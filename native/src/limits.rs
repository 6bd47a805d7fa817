//! Every limit that input from outside runs into: its unit, and the threat that it answers.
//!
//! Each has a test that reaches it. What is over a limit is rejected with a reason of its own, never cut short.

/// Bytes of one event's text, however it came. An event socket can announce any length: without a limit one line of
/// text makes a node allocate until it dies. The largest event seen in the field has 61 KB; API answers reach megabytes.
pub const EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Headers in one event. A datagram can hold some 16,000 empty ones, each of which costs an index entry and, once
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

/// The limits by name, for documentation and for Python.
pub const ALL: [(&str, usize); 8] = [
    ("event_bytes", EVENT_BYTES),
    ("headers", HEADERS),
    ("header_name_bytes", HEADER_NAME_BYTES),
    ("header_value_bytes", HEADER_VALUE_BYTES),
    ("array_elements", ARRAY_ELEMENTS),
    ("datagram_ipv4_bytes", DATAGRAM_IPV4_BYTES),
    ("datagram_ipv6_bytes", DATAGRAM_IPV6_BYTES),
    ("psk_bytes", PSK_BYTES),
];
