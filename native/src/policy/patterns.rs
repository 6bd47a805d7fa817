//! Patterns over names of events and headers, and tables of the names that need no pattern.

/// `*` is any text, `?` one character, all else itself; the case of ASCII letters does not count.
#[derive(Debug)]
pub struct Pattern {
    text: Box<[u8]>,
    lower: Box<[u8]>,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let lower = text.to_ascii_lowercase().into_bytes().into();
        Pattern { text: text.as_bytes().into(), lower }
    }

    /// Whether only one name matches, but for its case.
    pub fn is_literal(&self) -> bool {
        memchr::memchr2(b'*', b'?', &self.text).is_none()
    }

    /// The text, as it was given.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Takes time in proportion to the length of both at the worst, for only the last `*` is ever tried anew.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut at, mut from) = (0, 0);
        let mut last_star = None;
        loop {
            match self.lower.get(at) {
                None if from == name.len() => return true,
                Some(b'*') => {
                    at += 1;
                    last_star = Some((at, from));
                    continue;
                }
                Some(b'?') if from < name.len() => {
                    at += 1;
                    from += character_length(&name[from..]);
                    continue;
                }
                Some(byte) if name.get(from).is_some_and(|other| other.to_ascii_lowercase() == *byte) => {
                    at += 1;
                    from += 1;
                    continue;
                }
                _ => {}
            }
            let Some((behind_star, taken)) = last_star.as_mut() else { return false };
            if *taken == name.len() {
                return false;
            }
            *taken += 1;
            (at, from) = (*behind_star, *taken);
        }
    }
}

/// Bytes of the first character of a text that is not empty; a byte that is not UTF-8 is one by itself.
fn character_length(text: &[u8]) -> usize {
    match text.utf8_chunks().next() {
        Some(chunk) => chunk.valid().chars().next().map_or(1, char::len_utf8),
        None => 1,
    }
}

/// Which events: patterns of a name, or of the subclass of a CUSTOM event.
#[derive(Debug)]
pub struct Kinds(Vec<Kind>);

#[derive(Debug)]
enum Kind {
    Named(Pattern),
    Custom(Pattern),
}

impl Kinds {
    /// Pairs of a name and, for CUSTOM events, a subclass.
    pub fn new(kinds: &[(String, Option<String>)]) -> Kinds {
        let kind = |(name, subclass): &(String, Option<String>)| match subclass {
            Some(subclass) => Kind::Custom(Pattern::new(subclass)),
            None => Kind::Named(Pattern::new(name)),
        };
        Kinds(kinds.iter().map(kind).collect())
    }

    /// Whether an event of this name and subclass, decoded, is one of them.
    pub fn has(&self, name: &[u8], subclass: &[u8]) -> bool {
        let is_custom = name.eq_ignore_ascii_case(b"CUSTOM");
        self.0.iter().any(|kind| match kind {
            Kind::Named(pattern) => pattern.matches(name),
            Kind::Custom(pattern) => is_custom && pattern.matches(subclass),
        })
    }
}

/// Names in any case, and something for each; looked up without allocating.
#[derive(Debug)]
pub struct NameTable<T> {
    entries: Vec<(Box<[u8]>, T)>,
    /// Indexes into `entries`, from 1; 0 is free. Open addressing, at most a quarter full.
    slots: Box<[u16]>,
}

impl<T> NameTable<T> {
    /// Of a name that stands twice the first counts.
    ///
    /// # Panics
    /// When there are more than 65,535 names.
    pub fn new(named: impl IntoIterator<Item = (Box<[u8]>, T)>) -> NameTable<T> {
        let entries: Vec<_> = named.into_iter().collect();
        let mut slots = vec![0_u16; (entries.len() * 4).next_power_of_two().max(4)].into_boxed_slice();
        for (index, (name, _)) in entries.iter().enumerate() {
            let mut slot = slot_of(name, slots.len());
            while slots[slot] != 0 {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = u16::try_from(index + 1).expect("a policy's names are limited");
        }
        NameTable { entries, slots }
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&T> {
        let mut slot = slot_of(name, self.slots.len());
        while self.slots[slot] != 0 {
            let (known, value) = &self.entries[self.slots[slot] as usize - 1];
            // Nearly always the name is written as it is in the table, and that is quicker to see.
            if **known == *name || known.eq_ignore_ascii_case(name) {
                return Some(value);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }
}

/// By the length and the first and last eight bytes, in which header names differ most. Letters' case does not count.
#[inline]
fn slot_of(name: &[u8], slots: usize) -> usize {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
    };
    let word = (first | LOWER) ^ (last | LOWER).rotate_left(29) ^ name.len() as u64;
    (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (slots - 1)
}
