//! The shape of a value: what kind of thing stands where, and not which.
//!
//! ```text
//! sip:1000@192.0.2.17:5060;fs_nat=yes      a:9@9.9.9.9:9;a_a=a
//! +49 30 1234567                           +9 9 N
//! 774efe72-0b02-4ad5-b685-481f4ce4aaff     U
//! z9hG4bKPj3f                              x
//! ```
//!
//! A run of letters is `a` (what is not ASCII counts as letters), of fewer than 7 digits `9`, of 7 to 15 `N` (as a
//! telephone number has, ITU-T E.164), of more `M`; of both `x`; a UUID `U`. Other characters stand for themselves, and
//! once for any number of them. It ends after [`SHAPE_TOKENS`] of these, or as many bytes of value as [`SHAPED_BYTES`].

use super::hash_of;
use crate::encoding;
use crate::limits;
use std::hash::RandomState;

const SHAPE_TOKENS: usize = 64;
const SHAPED_BYTES: usize = 512;
const UUID_BYTES: usize = 36;
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

/// What is to be done with a value.
pub struct Look {
    /// It is worth a look.
    pub is_wanted: bool,
    /// There was no room for its shape.
    pub is_other: bool,
}

/// The shapes that one header's values have had.
#[derive(Debug, Default)]
pub struct Shapes {
    known: Vec<Shape>,
    /// All shapes together for which there was no room.
    other: Shape,
    /// The value before this one, and the place of its shape: values mostly come again.
    last: Option<(u64, usize)>,
}

#[derive(Debug, Default)]
struct Shape {
    hash: u64,
    values: u32,
    /// The value that was last worth a look.
    shown: u32,
}

impl Shapes {
    /// Note a value, `encoded` as in a header or as it is, and say what is to be done with it.
    #[inline]
    pub fn note(&mut self, hasher: &RandomState, raw: &[u8], encoded: bool) -> Look {
        let hash = hash_of(hasher, raw);
        let place = match self.last {
            Some((value, place)) if value == hash => place,
            _ => self.place_of(hasher, raw, encoded),
        };
        self.last = Some((hash, place));
        let is_other = place == limits::AUDIT_SHAPES;
        let shape = if is_other { &mut self.other } else { &mut self.known[place] };
        Look { is_wanted: shape.count(hash as u32), is_other }
    }

    /// The place of the shape that `raw` has; the first one behind the last there can be when there is no room for it.
    fn place_of(&mut self, hasher: &RandomState, raw: &[u8], encoded: bool) -> usize {
        let start = &raw[..raw.len().min(SHAPED_BYTES)];
        let (tokens, count) = if encoded { shape_of(&encoding::decode(start)) } else { shape_of(start) };
        let hash = hash_of(hasher, &tokens[..count]);
        if let Some(place) = self.known.iter().position(|shape| shape.hash == hash) {
            return place;
        }
        if self.known.len() < limits::AUDIT_SHAPES {
            self.known.push(Shape { hash, values: 0, shown: 0 });
            return self.known.len() - 1;
        }
        limits::AUDIT_SHAPES
    }
}

impl Shape {
    /// Count a value of this shape: whether it is the first, or the second, fourth, eighth ... and another than was last
    /// worth a look.
    fn count(&mut self, value: u32) -> bool {
        self.values = self.values.saturating_add(1);
        if self.values != 1 && (!self.values.is_power_of_two() || self.shown == value) {
            return false;
        }
        self.shown = value;
        true
    }
}

/// The tokens of a decoded value's shape, and how many there are.
fn shape_of(value: &[u8]) -> ([u8; SHAPE_TOKENS], usize) {
    let mut tokens = [0; SHAPE_TOKENS];
    let mut count = 0;
    let mut at = 0;
    while at < value.len() && count < SHAPE_TOKENS {
        let (token, bytes) = token_of(&value[at..]);
        if count == 0 || tokens[count - 1] != token {
            tokens[count] = token;
            count += 1;
        }
        at += bytes;
    }
    (tokens, count)
}

/// The first token of `rest`, which is not empty, and how many bytes it stands for.
fn token_of(rest: &[u8]) -> (u8, usize) {
    if is_uuid(rest) {
        return (b'U', UUID_BYTES);
    }
    let word = rest.iter().position(|&byte| !is_of_word(byte)).unwrap_or(rest.len());
    if word == 0 {
        return (rest[0], 1);
    }
    let digits = rest[..word].iter().filter(|byte| byte.is_ascii_digit()).count();
    let token = match digits {
        0 => b'a',
        _ if digits < word => b'x',
        1..7 => b'9',
        7..16 => b'N',
        16.. => b'M',
    };
    (token, word)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn is_uuid(rest: &[u8]) -> bool {
    rest.get(UUID_DASHES[0]) == Some(&b'-')
        && rest.len() >= UUID_BYTES
        && !rest.get(UUID_BYTES).is_some_and(|&byte| is_of_word(byte))
        && rest[..UUID_BYTES]
            .iter()
            .enumerate()
            .all(|(place, byte)| if UUID_DASHES.contains(&place) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(value: &str) -> String {
        let (tokens, count) = shape_of(value.as_bytes());
        tokens[..count].iter().map(|&token| char::from(token)).collect()
    }

    #[test]
    fn shapes_say_what_stands_where() {
        for (value, expected) in [
            ("", ""),
            ("sip:1000@192.0.2.17:5060;fs_nat=yes", "a:9@9.9.9.9:9;a_a=a"),
            ("+49 30 1234567", "+9 9 N"),
            ("999999", "9"),
            ("1234567", "N"),
            ("123456789012345", "N"),
            ("1795404669491970", "M"),
            ("774efe72-0b02-4ad5-b685-481f4ce4aaff", "U"),
            ("<774efe72-0b02-4ad5-b685-481f4ce4aaff>", "<U>"),
            ("774efe72-0b02-4ad5-b685-481f4ce4aafg", "x-x-x-x-x"),
            ("774efe72-0b02-4ad5-b685-481f4ce4aaff0", "x-x-x-x-x"),
            ("774efe72-0b02", "x-x"),
            ("Müller,  Ina", "a, a"),
            ("z9hG4bKPj3f", "x"),
            ("-----", "-"),
        ] {
            assert_eq!(shape(value), expected, "{value}");
        }
    }

    #[test]
    fn a_shape_ends_somewhere() {
        assert_eq!(shape(&"a-".repeat(1_000)).len(), SHAPE_TOKENS);
    }

    #[test]
    fn of_each_shape_the_first_and_then_ever_fewer_are_wanted() {
        let (hasher, mut shapes) = (RandomState::new(), Shapes::default());
        let wanted: Vec<u32> =
            (1..=100).filter(|number| shapes.note(&hasher, format!("{number}").as_bytes(), true).is_wanted).collect();
        assert_eq!(wanted, [1, 2, 4, 8, 16, 32, 64]);
        assert!(shapes.note(&hasher, b"one", true).is_wanted);
        assert!(!shapes.note(&hasher, b"one", true).is_wanted, "the same value tells nothing more");
        assert!(!shapes.note(&hasher, b"two", true).is_wanted);
        assert!(shapes.note(&hasher, b"four", true).is_wanted);
    }

    #[test]
    fn values_are_decoded_where_they_are_encoded() {
        let (hasher, mut shapes) = (RandomState::new(), Shapes::default());
        assert!(shapes.note(&hasher, b"a%3Ab", true).is_wanted);
        assert!(shapes.note(&hasher, b"c:d", true).is_wanted, "the second of its shape");
        assert!(!shapes.note(&hasher, b"e%3af", true).is_wanted, "the third");
        assert!(shapes.note(&hasher, b"a%3Ab", false).is_wanted, "as a body it is of another");
        assert!(shapes.note(&hasher, b"_undef_", true).is_wanted);
        assert!(shapes.note(&hasher, b"a_a_a", true).is_wanted);
    }

    #[test]
    fn shapes_beyond_the_bound_count_as_one() {
        let (hasher, mut shapes) = (RandomState::new(), Shapes::default());
        let marks = "!$&'()*,-./_~";
        let texts = marks.chars().flat_map(|first| marks.chars().map(move |second| format!("a{first}a{second}a")));
        for value in texts.take(limits::AUDIT_SHAPES) {
            let look = shapes.note(&hasher, value.as_bytes(), true);
            assert!(look.is_wanted && !look.is_other, "{value}");
        }
        let others = ["x9\u{1}", "\u{2}", "\u{3}", "\u{4}", "\u{5}"];
        let looks = others.map(|value| shapes.note(&hasher, value.as_bytes(), true));
        assert!(looks.iter().all(|look| look.is_other));
        assert_eq!(looks.map(|look| look.is_wanted), [true, true, false, true, false]);
    }
}
