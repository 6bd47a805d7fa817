//! A stream's subkey: it seals frames, and opens those that it sealed, in place.

use super::header::{Cipher, HEADER, Header, PAYLOAD, StreamId, TAG};
use crate::keys::{GroupKey, Purpose};
use crate::reject::Reject;
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// What one stream's frames are sealed with: one key for one start of a sender, under one cipher.
///
/// A receiver keeps it as long as it knows the stream: to derive it costs an HKDF and a key schedule.
pub struct Subkey(LessSafeKey);

impl Subkey {
    /// The subkey that `stream` has under `key`.
    pub fn new(key: &GroupKey, stream: &StreamId, cipher: Cipher) -> Subkey {
        let (purpose, algorithm) = match cipher {
            Cipher::ChaCha20Poly1305 => (Purpose::ChaCha20Poly1305, &CHACHA20_POLY1305),
            Cipher::Aes256Gcm => (Purpose::Aes256Gcm, &AES_256_GCM),
        };
        let key = UnboundKey::new(algorithm, &key.subkey(stream, purpose));
        Subkey(LessSafeKey::new(key.expect("both ciphers take the 32 bytes of a subkey")))
    }

    /// Append the whole frame to `out`: `header`, `payload` encrypted, the tag.
    ///
    /// `payload` has at most [`PAYLOAD`] bytes, and `header` a nonce that this subkey has not sealed other bytes with:
    /// two frames under one nonce would tell what both of them hold, and how to forge a third.
    pub fn seal(&self, header: &Header, payload: &[u8], out: &mut Vec<u8>) {
        debug_assert!(payload.len() <= PAYLOAD, "{} bytes are more than a frame holds", payload.len());
        out.reserve(HEADER + payload.len() + TAG);
        out.extend_from_slice(&header.bytes());
        let start = out.len();
        out.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(header.nonce());
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(header.associated()), &mut out[start..]);
        out.extend_from_slice(tag.expect("the ciphers take gigabytes").as_ref());
    }

    /// Decrypt `rest`, what follows `header` in its frame, where it stands; the payload.
    ///
    /// `NotAuthentic` when the frame is not as this subkey sealed it; `rest` then holds nothing of use.
    pub fn open<'a>(&self, header: &Header, rest: &'a mut [u8]) -> Result<&'a mut [u8], Reject> {
        let nonce = Nonce::assume_unique_for_key(header.nonce());
        self.0.open_in_place(nonce, Aad::from(header.associated()), rest).map_err(|_| Reject::NotAuthentic)
    }
}

#[cfg(test)]
#[path = "tests/cipher.rs"]
mod tests;
