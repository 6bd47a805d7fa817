//! A text and where its lines are, in one piece of memory.
//!
//! ```text
//! text | a tag for each line, one byte | colon and end of each line, 16 bits each; 32 in a text of more than 64 KiB
//! ```
//!
//! An event is made by a thread that receives and read by another, so each line of cache that a look-up needs has to come
//! from the other core. A tag is a hash of a name: a look-up runs over the tags, which are one or two lines of cache for
//! a whole event, and touches the text of hardly any name but the one that it is for.

use crate::lines::Line;
use std::cell::RefCell;

/// Longest text whose places fit 16 bits.
const NARROW: usize = u16::MAX as usize;
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

#[derive(Clone, Debug)]
pub struct Indexed {
    bytes: Box<[u8]>,
    text: u32,
    count: u32,
}

impl Indexed {
    /// A copy of `text` with its `lines`, which are in order, each beginning where the one before it ended.
    pub fn new(text: &[u8], lines: &[Line]) -> Indexed {
        thread_local! {
            static INDEX: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        // New memory is in no cache, or in that of the core that freed it: it is written once, in long pieces.
        INDEX.with_borrow_mut(|index| {
            if text.len() <= NARROW {
                write_index(index, text, lines, |line| (line.colon as u16, line.end as u16), u16::to_ne_bytes);
            } else {
                write_index(index, text, lines, |line| (line.colon, line.end), u32::to_ne_bytes);
            }
            let mut bytes = Vec::with_capacity(text.len() + index.len());
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(index);
            Indexed { bytes: bytes.into_boxed_slice(), text: text.len() as u32, count: lines.len() as u32 }
        })
    }

    /// Have the processor fetch what look-ups begin with, and the first name and value, while it does something else.
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for line in std::iter::once(&self.bytes[..]).chain(self.bytes[self.text as usize..].chunks(CACHE_LINE)) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint, which reads nothing.
            unsafe { _mm_prefetch(line.as_ptr().cast(), _MM_HINT_T0) };
        }
    }

    pub fn text(&self) -> &[u8] {
        &self.bytes[..self.text as usize]
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// A hash of each line's name, in order; of names that differ in case only it is the same.
    pub fn tags(&self) -> &[u8] {
        &self.bytes[self.text as usize..][..self.len()]
    }

    /// The line in this place.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn line(&self, place: usize) -> Line {
        let start = if place == 0 { 0 } else { self.entry(place - 1).1 + 1 };
        let (colon, end) = self.entry(place);
        Line { start, colon, end }
    }

    /// Every line in order.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line> + '_ {
        let mut start = 0;
        (0..self.len()).map(move |place| {
            let (colon, end) = self.entry(place);
            Line { start: std::mem::replace(&mut start, end + 1), colon, end }
        })
    }

    /// The lines of this name, whatever its case, in order.
    pub fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = Line> + 'a {
        let tags = if name.is_empty() { &[] } else { self.tags() };
        let tag = if name.is_empty() { 0 } else { tag_of(name) };
        memchr::memchr_iter(tag, tags).map(|place| self.line(place)).filter(move |line| {
            let known = &self.text()[line.start as usize..line.colon as usize];
            known == name || known.eq_ignore_ascii_case(name)
        })
    }

    /// Colon and end of the line in this place.
    fn entry(&self, place: usize) -> (u32, u32) {
        let entries = &self.bytes[self.text as usize + self.len()..];
        if self.text as usize <= NARROW {
            let [a, b, c, d] = part(entries, place);
            (u16::from_ne_bytes([a, b]).into(), u16::from_ne_bytes([c, d]).into())
        } else {
            let [a, b, c, d, e, f, g, h] = part(entries, place);
            (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
        }
    }
}

/// Make `index` the tags of `lines`, and their places as `SIZE` bytes each.
#[inline]
fn write_index<N, const SIZE: usize>(
    index: &mut Vec<u8>,
    text: &[u8],
    lines: &[Line],
    places: impl Fn(&Line) -> (N, N),
    bytes: impl Fn(N) -> [u8; SIZE],
) {
    index.clear();
    index.resize(lines.len() * (1 + 2 * SIZE), 0);
    let (tags, entries) = index.split_at_mut(lines.len());
    for ((line, tag), entry) in lines.iter().zip(tags).zip(entries.chunks_exact_mut(2 * SIZE)) {
        let (colon, end) = places(line);
        *tag = tag_of(&text[line.start as usize..line.colon as usize]);
        entry[..SIZE].copy_from_slice(&bytes(colon));
        entry[SIZE..].copy_from_slice(&bytes(end));
    }
}

fn part<const SIZE: usize>(entries: &[u8], place: usize) -> [u8; SIZE] {
    entries[place * SIZE..][..SIZE].try_into().expect("a slice of that length")
}

/// A hash of a name that is not empty, from its length and three of its letters, which differ most among header names.
fn tag_of(name: &[u8]) -> u8 {
    const LOWER: u32 = 0x20_20_20_00; // whatever its case
    let length = name.len();
    let known = u32::from_le_bytes([length as u8, name[length / 2], name[length - 1], name[length * 3 / 4]]);
    ((known | LOWER).wrapping_mul(0x9E37_79B1) >> 24) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(names: &[&str], value: &str) -> Indexed {
        let mut text = Vec::new();
        let mut lines = Vec::new();
        for name in names {
            let start = text.len() as u32;
            text.extend_from_slice(format!("{name}: {value}\n").as_bytes());
            lines.push(Line { start, colon: start + name.len() as u32, end: text.len() as u32 - 1 });
        }
        let indexed = Indexed::new(&text, &lines);
        assert_eq!(indexed.text(), text);
        assert!(indexed.lines().eq(lines.iter().copied()));
        assert!((0..lines.len()).all(|place| indexed.line(place) == lines[place]));
        indexed
    }

    #[test]
    fn lines_are_found_in_texts_of_either_width() {
        for value in ["v".to_owned(), "v".repeat(NARROW)] {
            let indexed = indexed(&["Event-Name", "variable_a", "VARIABLE_A", "x"], &value);
            assert_eq!(indexed.named(b"Variable_A").count(), 2);
            assert_eq!(indexed.named(b"x").next(), Some(indexed.line(3)));
            assert_eq!(indexed.named(b"y").next(), None);
            assert_eq!(indexed.named(b"").next(), None);
        }
        assert_eq!(indexed(&[], "v").named(b"x").next(), None);
    }

    #[test]
    fn the_case_of_a_name_does_not_change_its_tag() {
        for name in ["Event-Name", "x", "variable_sip_h_X-Thing", "\u{c4}[]"] {
            assert_eq!(tag_of(name.as_bytes()), tag_of(name.to_ascii_lowercase().as_bytes()));
            assert_eq!(tag_of(name.as_bytes()), tag_of(name.to_ascii_uppercase().as_bytes()));
        }
    }
}
