//! What one session seals its frames with: a stream and a sender under one group key.

use crate::keys::{GroupKey, Purpose};
use crate::sealed::cipher::Subkey;
use crate::sealed::fragments;
use crate::sealed::header::{Cipher, FRAME, Header, KeyId, Kind, SenderId, StreamId};
use crate::traced::Mac;
use std::sync::Arc;

/// A stream under one group key: its headers' fixed part, its subkey, and the key of its MACs.
pub struct Sealer {
    header: Header,
    subkey: Subkey,
    mac: Mac,
}

/// What the sequence of events counts: an event or a signature, packed.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    pub kind: Kind,
    pub sequence: u64,
    pub dictionary: u16,
    pub packed: &'a [u8],
}

impl Sealer {
    pub fn new(key: &GroupKey, cipher: Cipher, sender: SenderId, stream: StreamId) -> Sealer {
        let header = Header {
            kind: Kind::Event,
            key: key.id(),
            sender,
            stream,
            sequence: 0,
            fragment: 0,
            fragments: 1,
            flags: 0,
            cipher,
            dictionary: 0,
        };
        let mac = Mac::new(&key.subkey(&stream, Purpose::Mac));
        Sealer { header, subkey: Subkey::new(key, &stream, cipher), mac }
    }

    /// The id of the group key, and what proves a traced datagram under it.
    pub fn proof(&self) -> (KeyId, &Mac) {
        (self.header.key, &self.mac)
    }

    /// The header of a frame of its own, not cut into fragments and not packed; a signature is made for it.
    pub fn header(&self, kind: Kind, sequence: u64) -> Header {
        Header { kind, sequence, ..self.header }
    }

    /// A control frame: `sequence` counts those of this stream alone, and none has the same twice.
    pub fn control(&self, kind: Kind, sequence: u64, payload: &[u8]) -> Arc<[u8]> {
        self.seal(&self.header(kind, sequence), payload)
    }

    /// The frames of an event or a signature, with these flags: always the same bytes for the same sequence. Only
    /// those that are `missing` (bit `n` of byte `n / 8`, lowest first: fragment `n`) where that is given.
    pub fn frames<'a>(
        &'a self,
        counted: Counted<'a>,
        flags: u8,
        missing: Option<&'a [u8]>,
    ) -> impl Iterator<Item = Arc<[u8]>> + 'a {
        let Counted { kind, sequence, dictionary, packed } = counted;
        let wanted = move |fragment: u16| {
            missing
                .is_none_or(|bits| bits.get(fragment as usize / 8).is_some_and(|byte| byte >> (fragment % 8) & 1 == 1))
        };
        fragments::split(packed).filter(move |&(fragment, ..)| wanted(fragment)).map(
            move |(fragment, fragments, payload)| {
                let header = Header { kind, sequence, fragment, fragments, flags, dictionary, ..self.header };
                self.seal(&header, payload)
            },
        )
    }

    fn seal(&self, header: &Header, payload: &[u8]) -> Arc<[u8]> {
        let mut frame = Vec::with_capacity(FRAME);
        self.subkey.seal(header, payload, &mut frame);
        frame.into()
    }
}
