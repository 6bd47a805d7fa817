//! The 48 bytes in front of every frame, in the clear and authenticated.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+---------------+---------------+
//! |  magic C5 57                  |  version 1    |  kind         |
//! +---------------+---------------+---------------+---------------+
//! |  key id                                                       |
//! +---------------------------------------------------------------+
//! |  sender: the first 8 bytes of SHA-256 of its name             |
//! |                                                               |
//! +---------------------------------------------------------------+
//! |  stream: 16 random bytes for each start of a sender           |
//! |                                                               |
//! |                                                               |
//! |                                                               |
//! +---------------------------------------------------------------+
//! |  sequence                                                     |
//! |                                                               |
//! +-------------------------------+-------------------------------+
//! |  fragment, from 0             |  fragments, at least 1        |
//! +---------------+---------------+-------------------------------+
//! |  flags        |  cipher       |  dictionary; 0: not compressed|
//! +---------------+---------------+-------------------------------+
//! |  the payload, encrypted, and 16 bytes of tag ...              |
//! ```
//!
//! Numbers are big-endian. The flags are left out of what is authenticated (they count as 0 there): they are hints for
//! statistics, and the same frame is sent again with another flag under the same nonce.

use crate::reject::Reject;

/// Bytes of the header.
pub const HEADER: usize = 48;
/// Bytes of the authentication tag behind the payload.
pub const TAG: usize = 16;
/// Bytes of one frame at most, header and tag included: with IPv6's and UDP's headers it fits IPv6's least MTU of 1,280
/// (RFC 8200).
pub const FRAME: usize = 1_200;
/// Bytes of payload in one frame at most.
pub const PAYLOAD: usize = FRAME - HEADER - TAG;

/// The first two bytes of every frame. No stock datagram begins so: they are no text.
pub const MAGIC: [u8; 2] = [0xC5, 0x57];
/// The version of this format.
pub const VERSION: u8 = 1;
/// The flag of a frame that is sent again because someone asked for it.
pub const FLAG_REPAIR: u8 = 0x01;

/// What a frame is. The first two share the sequence that counts events; the others share one of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An event's text, or a fragment of it.
    Event = 1,
    /// A signature of the events before it; counted and repaired like an event.
    Signature = 2,
    /// A sender says how far it got.
    Beacon = 3,
    /// A receiver asks a sender to prove that it is there now.
    Hello = 4,
    /// The answer to a hello.
    Welcome = 5,
    /// A receiver asks for what it misses.
    Request = 6,
    /// A sender tells a receiver what it will not send again.
    Refusal = 7,
}

impl Kind {
    /// Every kind, in the order of their bytes.
    pub const ALL: [Kind; 7] =
        [Kind::Event, Kind::Signature, Kind::Beacon, Kind::Hello, Kind::Welcome, Kind::Request, Kind::Refusal];

    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// The word for it that Python uses.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Signature => "signature",
            Kind::Beacon => "beacon",
            Kind::Hello => "hello",
            Kind::Welcome => "welcome",
            Kind::Request => "request",
            Kind::Refusal => "refusal",
        }
    }

    /// Whether it is counted by the sequence of events.
    pub fn is_counted(self) -> bool {
        matches!(self, Kind::Event | Kind::Signature)
    }
}

/// The cipher of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439).
    #[default]
    ChaCha20Poly1305 = 1,
    /// AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm = 2,
}

impl Cipher {
    /// Every cipher, the default first.
    pub const ALL: [Cipher; 2] = [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm];

    /// The word for it that settings and Python use.
    pub fn word(self) -> &'static str {
        match self {
            Cipher::ChaCha20Poly1305 => "chacha20-poly1305",
            Cipher::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// The cipher that this is the word for.
    pub fn of_word(word: &str) -> Option<Cipher> {
        Cipher::ALL.into_iter().find(|cipher| cipher.word() == word)
    }
}

/// A group key's name on the wire.
pub type KeyId = [u8; 4];
/// A stream's name: random, so that no two starts of a sender share one.
pub type StreamId = [u8; 16];
/// A sender's name on the wire.
pub type SenderId = [u8; 8];

/// A frame's header, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub key: KeyId,
    pub sender: SenderId,
    pub stream: StreamId,
    pub sequence: u64,
    pub fragment: u16,
    pub fragments: u16,
    pub flags: u8,
    pub cipher: Cipher,
    /// The compression dictionary's id; 0 when the payload is not compressed.
    pub dictionary: u16,
}

/// Whether a datagram is, or pretends to be, one of our frames.
pub fn is_frame(datagram: &[u8]) -> bool {
    datagram.starts_with(&MAGIC)
}

impl Header {
    /// The header in front of `datagram`, and the rest of it.
    pub fn read(datagram: &[u8]) -> Result<(Header, &[u8]), Reject> {
        let Some((bytes, rest)) = datagram.split_first_chunk::<HEADER>() else {
            return Err(if datagram.is_empty() { Reject::ZeroLength } else { Reject::NotSealed });
        };
        if bytes[..2] != MAGIC {
            return Err(Reject::NotSealed);
        }
        if bytes[2] != VERSION {
            return Err(Reject::FrameVersion);
        }
        let cipher = Cipher::ALL.into_iter().find(|cipher| *cipher as u8 == bytes[45]);
        let header = Header {
            kind: Kind::from_byte(bytes[3]).ok_or(Reject::MalformedFrame)?,
            key: part(bytes, 4),
            sender: part(bytes, 8),
            stream: part(bytes, 16),
            sequence: u64::from_be_bytes(part(bytes, 32)),
            fragment: u16::from_be_bytes(part(bytes, 40)),
            fragments: u16::from_be_bytes(part(bytes, 42)),
            flags: bytes[44],
            cipher: cipher.ok_or(Reject::MalformedFrame)?,
            dictionary: u16::from_be_bytes(part(bytes, 46)),
        };
        let wrong = header.fragment >= header.fragments
            || datagram.len() > FRAME
            || rest.len() < TAG
            || (!header.kind.is_counted() && header.fragments != 1);
        if wrong { Err(Reject::MalformedFrame) } else { Ok((header, rest)) }
    }

    /// As it stands on the wire.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[3] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.key);
        bytes[8..16].copy_from_slice(&self.sender);
        bytes[16..32].copy_from_slice(&self.stream);
        bytes[32..40].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[40..42].copy_from_slice(&self.fragment.to_be_bytes());
        bytes[42..44].copy_from_slice(&self.fragments.to_be_bytes());
        bytes[44] = self.flags;
        bytes[45] = self.cipher as u8;
        bytes[46..].copy_from_slice(&self.dictionary.to_be_bytes());
        bytes
    }

    /// What is authenticated with the payload: the header without its flags.
    pub fn associated(&self) -> [u8; HEADER] {
        Header { flags: 0, ..*self }.bytes()
    }

    /// The nonce, of which no two frames under one subkey have the same: space, 0, fragment, sequence.
    pub fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[0] = u8::from(!self.kind.is_counted());
        nonce[2..4].copy_from_slice(&self.fragment.to_be_bytes());
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        nonce
    }
}

fn part<const LENGTH: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; LENGTH] {
    bytes[at..at + LENGTH].try_into().expect("a range of that length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Event,
            key: [1, 2, 3, 4],
            sender: [5; 8],
            stream: [6; 16],
            sequence: 0x0102_0304_0506_0708,
            fragment: 2,
            fragments: 3,
            flags: FLAG_REPAIR,
            cipher: Cipher::Aes256Gcm,
            dictionary: 1,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let datagram = [&header().bytes()[..], &[7; 20]].concat();
        assert_eq!(Header::read(&datagram), Ok((header(), &[7; 20][..])));
    }

    #[test]
    fn the_repair_flag_is_the_only_part_that_is_not_authenticated() {
        let repair = header();
        assert_eq!(repair.associated(), Header { flags: 0, ..repair }.associated());
        for place in (0..HEADER).filter(|place| *place != 44) {
            let mut bytes = [&repair.bytes()[..], &[7; 20]].concat();
            bytes[place] ^= 1;
            if let Ok((changed, _)) = Header::read(&bytes) {
                assert_ne!(changed.associated(), repair.associated(), "byte {place}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_has_its_reason() {
        let good = [&header().bytes()[..], &[7; 20]].concat();
        let changed = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            Header::read(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(Header::read(&[]).unwrap_err(), Reject::ZeroLength);
        assert_eq!(Header::read(&good[..47]).unwrap_err(), Reject::NotSealed);
        assert_eq!(Header::read(&good[..60]).unwrap_err(), Reject::MalformedFrame);
        assert_eq!(Header::read(&[&good[..], &[0; FRAME]].concat()).unwrap_err(), Reject::MalformedFrame);
        assert_eq!(changed(0, b'E'), Reject::NotSealed);
        assert_eq!(changed(2, 2), Reject::FrameVersion);
        assert_eq!(changed(3, 0), Reject::MalformedFrame);
        assert_eq!(changed(3, Kind::Beacon as u8), Reject::MalformedFrame);
        assert_eq!(changed(43, 2), Reject::MalformedFrame);
        assert_eq!(changed(45, 3), Reject::MalformedFrame);
    }
}
