//! Why bytes from outside are not an event. Every reason has a name, and every rejection is counted under it.

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident => $name:literal, $text:literal;)*) => {
        /// A reason for which a datagram, or an event's text, is rejected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reject { $($(#[$doc])* $variant,)* }

        impl Reject {
            /// Every reason, in the order of their discriminants.
            pub const ALL: [Reject; [$($name),*].len()] = [$(Reject::$variant),*];

            /// The name that counters and exceptions carry.
            pub const fn name(self) -> &'static str {
                match self { $(Reject::$variant => $name,)* }
            }

            /// One sentence for a person.
            pub const fn message(self) -> &'static str {
                match self { $(Reject::$variant => $text,)* }
            }
        }
    };
}

rejects! {
    /// Stock ends its module on these.
    ZeroLength => "zero_length", "the datagram is empty";
    NoTrailer => "no_trailer", "the datagram does not end in the stock trailer: it is no event, or was cut short";
    Encrypted => "encrypted", "the datagram is encrypted with a pre-shared key, and none is set here";
    NotEncrypted => "not_encrypted", "the datagram is in plain text, though a pre-shared key is set here";
    /// Wrong padding, or no trailer after decryption: Blowfish-CBC has no authentication, so this is all one can see.
    WrongKey => "wrong_key", "the datagram does not decrypt under this pre-shared key";
    TooLong => "too_long", "the event's text is longer than any that is taken";
    Truncated => "truncated", "the datagram was longer than the receive buffer of 65,536 bytes";
    NoEndOfHeaders => "no_end_of_headers", "no empty line ends the headers";
    MalformedHeader => "malformed_header", "a header line has no colon, or no name in front of it";
    TooManyHeaders => "too_many_headers", "the event has more headers than any that is taken";
    HeaderNameTooLong => "header_name_too_long", "a header's name is longer than any that is taken";
    HeaderValueTooLong => "header_value_too_long", "a header's value is longer than any that is taken";
    ArrayTooLong => "array_too_long", "an array header has more elements than any that is taken";
    BadContentLength => "bad_content_length", "Content-Length is not a number";
    LengthMismatch => "length_mismatch", "the body is not as long as Content-Length says";
    BadJson => "bad_json", "the text is not an event in JSON";
    NotSealed => "not_sealed", "the datagram is no sealed frame, and only those are taken here";
    FrameVersion => "frame_version", "the sealed frame has a version of the format that is not known here";
    MalformedFrame => "malformed_frame", "the sealed frame, or what it says, is not in the right form";
    UnknownKey => "unknown_key", "the frame or the MAC is under a key that is not live here";
    /// Forged, damaged on the way, or under another key of the same id.
    NotAuthentic => "not_authentic", "the frame or the MAC does not prove to be from a member of the group";
    Replayed => "replayed", "the frame has been taken before, or is older than what is remembered";
    Stale => "stale", "the stream could not be shown to be alive: it may be a recording";
    MalformedStamp => "malformed_stamp", "the datagram's stream, sequence or MAC is not in the right form";
    Untraced => "untraced", "the datagram has no sequence or no MAC, and only those that have are taken here";
    Flood => "flood", "too many datagrams that do not prove to be from a member came from that address, or in all";
    BadPayload => "bad_payload", "what the sealed frame holds cannot be decompressed, or is too large";
    BadSignature => "bad_signature", "no signature of a known signer covers the event";
    OutOfReach => "out_of_reach", "the sequence is too far ahead of the others to be believed";
}

/// A count for each reason.
#[derive(Clone, Debug)]
pub struct RejectCounts([u64; Reject::ALL.len()]);

impl Default for RejectCounts {
    fn default() -> Self {
        Self([0; Reject::ALL.len()])
    }
}

impl RejectCounts {
    pub fn add(&mut self, reason: Reject) {
        self.0[reason as usize] += 1;
    }

    /// So many at once.
    pub fn add_many(&mut self, reason: Reject, count: u64) {
        self.0[reason as usize] += count;
    }

    pub fn iter(&self) -> impl Iterator<Item = (Reject, u64)> + '_ {
        Reject::ALL.into_iter().zip(self.0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
