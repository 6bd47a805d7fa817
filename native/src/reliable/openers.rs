//! What one stream's frames and datagrams are opened with, under whichever group key that is live.

use crate::keys::{KeyRing, Purpose};
use crate::reject::Reject;
use crate::sealed::cipher::Subkey;
use crate::sealed::header::{Cipher, Header, KeyId, StreamId};
use crate::traced::{Mac, Stamp};

/// A stream's subkeys, each derived when it is needed for the first time.
///
/// There are at most two ciphers and one MAC for each of [`crate::limits::LIVE_KEYS`], so that whoever names them all
/// in forged headers of a known stream makes us derive them once and no more.
pub struct Openers {
    stream: StreamId,
    subkeys: Vec<(KeyId, Cipher, Subkey)>,
    macs: Vec<(KeyId, Mac)>,
}

impl Openers {
    pub fn new(stream: StreamId) -> Openers {
        Openers { stream, subkeys: Vec::new(), macs: Vec::new() }
    }

    /// Decrypt `rest`, what follows `header`, where it stands.
    pub fn open<'a>(&mut self, ring: &KeyRing, header: &Header, rest: &'a mut [u8]) -> Result<&'a mut [u8], Reject> {
        let is_meant = |(key, cipher, _): &(KeyId, Cipher, Subkey)| (*key, *cipher) == (header.key, header.cipher);
        let place = match self.subkeys.iter().position(is_meant) {
            Some(place) => place,
            None => {
                let key = ring.get(header.key).ok_or(Reject::UnknownKey)?;
                self.subkeys.push((header.key, header.cipher, Subkey::new(key, &self.stream, header.cipher)));
                self.subkeys.len() - 1
            }
        };
        self.subkeys[place].2.open(header, rest)
    }

    /// Check the proof in `stamp`, which was read from this very `text`.
    pub fn verify(&mut self, ring: &KeyRing, text: &[u8], stamp: &Stamp) -> Result<(), Reject> {
        let (id, _) = stamp.proof.ok_or(Reject::Untraced)?;
        let place = match self.macs.iter().position(|(key, _)| *key == id) {
            Some(place) => place,
            None => {
                let key = ring.get(id).ok_or(Reject::UnknownKey)?;
                self.macs.push((id, Mac::new(&key.subkey(&self.stream, Purpose::Mac))));
                self.macs.len() - 1
            }
        };
        self.macs[place].1.verify(text, stamp)
    }

    /// Forget what is under keys that are not live any more.
    pub fn retire(&mut self, ring: &KeyRing) {
        self.subkeys.retain(|(key, ..)| ring.get(*key).is_some());
        self.macs.retain(|(key, _)| ring.get(*key).is_some());
    }

    /// The cipher of the frames that came, the default before the first.
    pub fn cipher(&self) -> Cipher {
        self.subkeys.last().map_or(Cipher::default(), |(_, cipher, _)| *cipher)
    }
}
