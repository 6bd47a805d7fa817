//! What becomes of a value that passes, but not as it is.

use crate::encoding;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The key that values are hashed under. Nothing shows it.
pub struct HashKey(Hmac<Sha256>);

impl HashKey {
    pub fn new(key: &[u8]) -> HashKey {
        HashKey(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// The first `characters` hex digits of the HMAC-SHA256 of `value`.
    fn digest(&self, value: &[u8], characters: usize) -> Vec<u8> {
        let mut hmac = self.0.clone();
        hmac.update(value);
        let digits = hmac.finalize().into_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.take(characters).map(|digit| b"0123456789abcdef"[digit as usize]).collect()
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

/// An action on a value. Characters are those of the decoded value; a byte that is not UTF-8 is one by itself.
#[derive(Debug)]
pub enum Treatment {
    /// `*` for every character but so many at either end; for every one where that would leave nothing to hide.
    Mask { first: usize, last: usize },
    /// So many hex digits of a keyed hash, at most 64: equal values stay equal.
    Hash { key: Arc<HashKey>, characters: usize },
    /// The first so many characters.
    Truncate { characters: usize },
}

impl Treatment {
    /// What becomes of `raw`, decoded; each element of an array by itself. `None` when it stays as it is, as an empty
    /// value always does.
    pub fn apply(&self, raw: &[u8]) -> Option<Vec<u8>> {
        let value = encoding::decode(raw);
        let treated = match encoding::array_elements(&value) {
            None => self.one(&value).into_owned(),
            Some(elements) => {
                let treated: Vec<_> = elements.into_iter().map(|element| self.one(element)).collect();
                [encoding::ARRAY_PREFIX, &treated.join(encoding::ARRAY_SEPARATOR)].concat()
            }
        };
        (treated != *value).then_some(treated)
    }

    fn one<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        if value.is_empty() {
            return Cow::Borrowed(value);
        }
        match self {
            Treatment::Mask { first, last } => {
                let characters: Vec<&[u8]> = characters_of(value).collect();
                let count = characters.len();
                let (first, last) = if first + last < count { (*first, *last) } else { (0, 0) };
                let masked = |(place, text): (usize, &'v [u8])| {
                    if place < first || place >= count - last { text } else { b"*".as_slice() }
                };
                Cow::Owned(characters.into_iter().enumerate().flat_map(masked).copied().collect())
            }
            Treatment::Hash { key, characters } => Cow::Owned(key.digest(value, *characters)),
            Treatment::Truncate { characters } => {
                Cow::Borrowed(&value[..characters_of(value).take(*characters).map(<[u8]>::len).sum()])
            }
        }
    }
}

fn characters_of(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.utf8_chunks().flat_map(|chunk| {
        let whole = chunk.valid().split_inclusive(|_: char| true).map(str::as_bytes);
        whole.chain(chunk.invalid().chunks(1))
    })
}
