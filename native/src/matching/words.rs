//! A set of words that raw header values are looked up in, without decoding or allocating.

use crate::encoding::{self, Escape};

/// Words to be found in whichever way they stand on the wire.
///
/// The usual forms (encoded as the switch encodes, and plain) are keys of a hash table. Only a value that is encoded in
/// some other way (`sofia%3a%3aregister`, `%48EARTBEAT`) is compared with the words one by one.
#[derive(Debug)]
pub struct WordSet {
    words: Vec<String>,
    keys: Vec<Box<[u8]>>,
    /// Indexes into `keys`, from 1; 0 is free. Open addressing, at most a quarter full.
    slots: Box<[u16]>,
    any_case: bool,
}

impl WordSet {
    /// `any_case` compares ASCII letters without regard to case.
    pub fn new(words: Vec<String>, any_case: bool) -> WordSet {
        let mut keys: Vec<Box<[u8]>> = Vec::with_capacity(words.len());
        for word in &words {
            let mut encoded = Vec::new();
            encoding::encode_into(word.as_bytes(), Escape::Lossless, &mut encoded);
            if encoded != word.as_bytes() && encoding::decode(word.as_bytes()) == word.as_bytes() {
                keys.push(word.as_bytes().into());
            }
            keys.push(encoded.into());
        }
        let mut slots = vec![0_u16; (keys.len() * 4).next_power_of_two().max(4)].into_boxed_slice();
        for (index, key) in keys.iter().enumerate() {
            let mut slot = slot_of(key, slots.len());
            while slots[slot] != 0 {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = u16::try_from(index + 1).expect("the number of words is limited");
        }
        WordSet { words, keys, slots, any_case }
    }

    /// The words, as given.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether `raw` stands for one of the words.
    pub fn contains(&self, raw: &[u8]) -> bool {
        let mut slot = slot_of(raw, self.slots.len());
        while self.slots[slot] != 0 {
            let key = &self.keys[self.slots[slot] as usize - 1];
            if **key == *raw || (self.any_case && key.eq_ignore_ascii_case(raw)) {
                return true;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        memchr::memchr(b'%', raw).is_some()
            && !is_canonical(raw)
            && self.words.iter().any(|word| self.spells(raw, word))
    }

    fn spells(&self, raw: &[u8], word: &str) -> bool {
        let value = encoding::decode(raw);
        if self.any_case { value.eq_ignore_ascii_case(word.as_bytes()) } else { *value == *word.as_bytes() }
    }
}

/// By the length and the last eight bytes, in which names and subclasses differ most. Letters' case does not count.
fn slot_of(bytes: &[u8], slots: usize) -> usize {
    let tail = match bytes.last_chunk::<8>() {
        Some(tail) => u64::from_le_bytes(*tail),
        None => bytes.iter().fold(0, |tail, &byte| tail << 8 | u64::from(byte)),
    };
    let lower = tail | 0x2020_2020_2020_2020;
    let mixed = (lower ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as usize & (slots - 1)
}

/// Whether `raw` is as the switch itself would write it, or has no escapes at all: equal text then means equal bytes.
fn is_canonical(raw: &[u8]) -> bool {
    let mut rest = raw;
    let mut has_escapes = false;
    let mut has_strays = false;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (Some(high), Some(low)) = (behind.first().and_then(upper_hex), behind.get(1).and_then(upper_hex))
            else {
                return false;
            };
            if !encoding::must_encode(high << 4 | low) {
                return false;
            }
            has_escapes = true;
            rest = &behind[2..];
        } else {
            has_strays |= encoding::must_encode(byte);
        }
    }
    !(has_escapes && has_strays)
}

fn upper_hex(byte: &u8) -> Option<u8> {
    match byte {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        letter @ b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}
