//! Who among the members spoke: one Ed25519 signature (RFC 8032) for a batch of events.
//!
//! A group key is shared, so a sealed frame proves a member and no more. A signature proves the holder of a key of his
//! own. It is a frame of its own behind the events that it vouches for, counted and repaired as they are:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |  sequence of the first event                                  |
//! |                                                               |
//! +---------------------------------------------------------------+
//! |  signer: the first 8 bytes of the public key                  |
//! |                                                               |
//! +---------------+-----------------------------------------------+
//! |  count        |  for each event the first 16 bytes of         |
//! +---------------+  SHA-256( stream, sequence, text ) ...        |
//! +---------------------------------------------------------------+
//! |  signature, 64 bytes ...                                      |
//! ```
//!
//! What is signed is a label, the frame's header as it is authenticated, and the payload in front of the signature: so
//! nobody who has the group key can move it to another stream, sender or group.

use super::header::{HEADER, Header, StreamId};
use crate::keys::{KEY, public_key};
use crate::reject::Reject;
use crate::trust::Signer;
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use std::ops::Range;

/// Events that one signature vouches for at most: with their digests it fits one frame.
pub const BATCH: usize = 64;
/// Bytes of an event's digest.
pub const DIGEST: usize = 16;
/// Bytes of an Ed25519 signature.
const SIGNATURE: usize = 64;
/// Bytes of the signer's name on the wire.
const HINT: usize = 8;
/// In front of what is signed, so that the key's signatures mean nothing elsewhere.
const LABEL: &[u8] = b"switchcast 1 signature";

/// What stands for an event in a signature.
pub type Digest = [u8; DIGEST];

/// The digest of an event, which belongs to its place in its stream.
pub fn digest(stream: &StreamId, sequence: u64, text: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(stream);
    context.update(&sequence.to_be_bytes());
    context.update(text);
    *context.finish().as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
}

/// A signing key, and the events of one stream that wait for its signature.
pub struct Signing {
    pair: Ed25519KeyPair,
    hint: [u8; HINT],
    first: u64,
    digests: Vec<Digest>,
}

impl Signing {
    /// Sign with the key that has this seed.
    pub fn new(seed: &[u8; KEY]) -> Signing {
        Signing {
            pair: Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes is a key"),
            hint: hint(&public_key(seed)),
            first: 0,
            digests: Vec::with_capacity(BATCH),
        }
    }

    /// Take the event that `stream` sent as `sequence`; whether the batch is full, so that it is to be signed now.
    ///
    /// The events of a batch follow one another: its signature comes next in the sequence, and begins a new one.
    pub fn add(&mut self, stream: &StreamId, sequence: u64, text: &[u8]) -> bool {
        debug_assert!(self.digests.len() < BATCH, "a full batch has to be signed first");
        if self.digests.is_empty() {
            self.first = sequence;
        }
        debug_assert_eq!(sequence, self.first + self.digests.len() as u64, "the events of a batch follow one another");
        self.digests.push(digest(stream, sequence, text));
        self.digests.len() == BATCH
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// The payload of the frame that `header` begins, a signature of all that waits; `None` when nothing does.
    pub fn sign(&mut self, header: &Header) -> Option<Vec<u8>> {
        if self.digests.is_empty() {
            return None;
        }
        let mut payload = Vec::with_capacity(8 + HINT + 1 + self.digests.len() * DIGEST + SIGNATURE);
        payload.extend_from_slice(&self.first.to_be_bytes());
        payload.extend_from_slice(&self.hint);
        payload.push(self.digests.len() as u8);
        payload.extend(self.digests.drain(..).flatten());
        let signature = self.pair.sign(&signed(header, &payload));
        payload.extend_from_slice(signature.as_ref());
        Some(payload)
    }
}

/// Those whose signatures count.
#[derive(Clone, Debug)]
pub struct Verifier(Vec<(Signer, [u8; KEY])>);

/// What a signature vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// Who does.
    pub signer: Signer,
    stream: StreamId,
    first: u64,
    digests: Vec<Digest>,
}

impl Verifier {
    /// Names, each with its public key. A name beyond the 65,536 that a program can tell apart is left out.
    pub fn new(signers: &[(String, [u8; KEY])]) -> Verifier {
        Verifier(signers.iter().filter_map(|(name, key)| Some((Signer::named(name)?, *key))).collect())
    }

    /// Whether nobody's signature counts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the signature in `payload`, whose frame `header` began, vouches for.
    ///
    /// `MalformedFrame` when it is none, `BadSignature` when it is by nobody known or was not made for this frame.
    pub fn verify(&self, header: &Header, payload: &[u8]) -> Result<Vouched, Reject> {
        let (body, signature) = payload.split_last_chunk::<SIGNATURE>().ok_or(Reject::MalformedFrame)?;
        let (first, rest) = body.split_first_chunk().ok_or(Reject::MalformedFrame)?;
        let (hinted, rest) = rest.split_first_chunk::<HINT>().ok_or(Reject::MalformedFrame)?;
        let (&count, digests) = rest.split_first().ok_or(Reject::MalformedFrame)?;
        let (digests, odd) = digests.as_chunks::<DIGEST>();
        let first = u64::from_be_bytes(*first);
        let fits = odd.is_empty() && digests.len() == count as usize && (1..=BATCH).contains(&digests.len());
        if !fits || first.checked_add(digests.len() as u64).is_none() {
            return Err(Reject::MalformedFrame);
        }
        let message = signed(header, body);
        let is_by = |key: &[u8; KEY]| UnparsedPublicKey::new(&ED25519, key).verify(&message, signature).is_ok();
        let (signer, _) =
            self.0.iter().find(|(_, key)| hint(key) == *hinted && is_by(key)).ok_or(Reject::BadSignature)?;
        Ok(Vouched { signer: *signer, stream: header.stream, first, digests: digests.to_vec() })
    }
}

impl Vouched {
    /// The sequences that it speaks of.
    pub fn sequences(&self) -> Range<u64> {
        self.first..self.first + self.digests.len() as u64
    }

    /// Whether it vouches for this text at this place of its stream.
    pub fn vouches_for(&self, sequence: u64, text: &[u8]) -> bool {
        let place = sequence.checked_sub(self.first).and_then(|place| self.digests.get(place as usize));
        place.is_some_and(|vouched| *vouched == digest(&self.stream, sequence, text))
    }
}

fn hint(key: &[u8; KEY]) -> [u8; HINT] {
    *key.first_chunk().expect("a key has 32 bytes")
}

fn signed(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(LABEL.len() + HEADER + body.len());
    message.extend_from_slice(LABEL);
    message.extend_from_slice(&header.associated());
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
#[path = "tests/signing.rs"]
mod tests;
