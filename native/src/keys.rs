//! Group keys, and the subkeys that streams derive from them.

use crate::limits;
use crate::sealed::header::{KeyId, SenderId, StreamId};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{digest, hkdf};

/// Bytes of a group key.
pub const KEY: usize = 32;

/// A key that all members of a group share.
#[derive(Clone)]
pub struct GroupKey {
    id: KeyId,
    secret: [u8; KEY],
}

impl GroupKey {
    /// The key with these bytes. Its id is the first 4 bytes of HKDF-SHA256 of them, so it says nothing of the key.
    pub fn new(secret: [u8; KEY]) -> GroupKey {
        let mut id = [0; 4];
        expand(&secret, b"", b"switchcast key id", &mut id);
        GroupKey { id, secret }
    }

    /// Its name on the wire.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 bytes that `stream` uses for `purpose`: HKDF-SHA256 (RFC 5869) with the stream as salt, so that a sender
    /// that starts anew never meets an old nonce.
    pub fn subkey(&self, stream: &StreamId, purpose: Purpose) -> [u8; KEY] {
        let mut subkey = [0; KEY];
        expand(&self.secret, stream, purpose.info(), &mut subkey);
        subkey
    }
}

/// What a subkey is for: one key, one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    ChaCha20Poly1305,
    Aes256Gcm,
    /// The MAC of traced datagrams, which is AES-256-GCM as well: the same nonces, so never the same key.
    Mac,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Purpose::ChaCha20Poly1305 => b"switchcast 1 chacha20-poly1305",
            Purpose::Aes256Gcm => b"switchcast 1 aes-256-gcm",
            Purpose::Mac => b"switchcast 1 traced aes-256-gcm",
        }
    }
}

/// The keys that are live: what is received may be under any of them, what is sent is under the first.
#[derive(Clone)]
pub struct KeyRing(Vec<GroupKey>);

/// Why keys cannot be a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKeys {
    None,
    TooMany(usize),
    /// Two have the same id: they are the same key, most likely.
    Twice(KeyId),
}

impl KeyRing {
    /// A ring of 1 to [`limits::LIVE_KEYS`] keys, the sending one first.
    pub fn new(keys: Vec<GroupKey>) -> Result<KeyRing, BadKeys> {
        if keys.is_empty() {
            return Err(BadKeys::None);
        }
        if keys.len() > limits::LIVE_KEYS {
            return Err(BadKeys::TooMany(keys.len()));
        }
        for (place, key) in keys.iter().enumerate() {
            if keys[..place].iter().any(|other| other.id == key.id) {
                return Err(BadKeys::Twice(key.id));
            }
        }
        Ok(KeyRing(keys))
    }

    /// The key that is sent with.
    pub fn sending(&self) -> &GroupKey {
        &self.0[0]
    }

    /// The live key of this id.
    pub fn get(&self, id: KeyId) -> Option<&GroupKey> {
        self.0.iter().find(|key| key.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &GroupKey> {
        self.0.iter()
    }
}

/// The public key that goes with an Ed25519 seed (RFC 8032).
pub fn public_key(seed: &[u8; KEY]) -> [u8; KEY] {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed");
    pair.public_key().as_ref().try_into().expect("a public key has 32 bytes")
}

/// A sender's name on the wire.
pub fn sender_id(name: &[u8]) -> SenderId {
    let digest = digest::digest(&digest::SHA256, name);
    digest.as_ref()[..8].try_into().expect("a digest has 32 bytes")
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    extracted
        .expand(&[info], Length(out.len()))
        .and_then(|expanded| expanded.fill(out))
        .expect("HKDF-SHA256 gives up to 8,160 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subkeys_differ_by_key_stream_and_purpose() {
        let (one, other) = (GroupKey::new([1; 32]), GroupKey::new([2; 32]));
        let first = one.subkey(&[0; 16], Purpose::Mac);
        assert_eq!(first, one.subkey(&[0; 16], Purpose::Mac));
        assert_ne!(first, other.subkey(&[0; 16], Purpose::Mac));
        assert_ne!(first, one.subkey(&[1; 16], Purpose::Mac));
        assert_ne!(first, one.subkey(&[0; 16], Purpose::Aes256Gcm));
        assert_ne!(one.id(), other.id());
    }

    #[test]
    fn a_public_key_is_that_of_its_seed() {
        // RFC 8032, section 7.1, test 1
        let bytes = |text: &str| -> [u8; KEY] {
            std::array::from_fn(|place| u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).unwrap())
        };
        let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(public_key(&seed), public);
    }

    #[test]
    fn a_ring_sends_with_its_first_key_and_takes_at_most_four_different_ones() {
        let keys = |count: u8| (0..count).map(|byte| GroupKey::new([byte; 32])).collect::<Vec<_>>();
        let ring = KeyRing::new(keys(4)).ok().unwrap();
        assert_eq!(ring.sending().id(), keys(1)[0].id());
        assert!(keys(4).iter().all(|key| ring.get(key.id()).is_some()));
        assert_eq!(KeyRing::new(vec![]).err(), Some(BadKeys::None));
        assert_eq!(KeyRing::new(keys(5)).err(), Some(BadKeys::TooMany(5)));
        let twice = vec![GroupKey::new([1; 32]), GroupKey::new([1; 32])];
        assert_eq!(KeyRing::new(twice).err(), Some(BadKeys::Twice(GroupKey::new([1; 32]).id())));
    }
}
