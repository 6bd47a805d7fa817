//! The switch's percent-encoding of header values.
//!
//! A byte is encoded when it is below 0x20, above 0x7E, or one of those that a URL would not carry. The switch leaves a
//! `%` alone when two upper-case hex digits follow, so on its wire the text `%41` and the letter `A` look the same;
//! [`Escape::Lossless`] encodes that `%` too, which every reader decodes to what was meant.

use std::borrow::Cow;

/// What the switch writes for an empty value.
pub const UNDEF: &[u8] = b"_undef_";

/// What an array value starts with, before encoding.
pub const ARRAY_PREFIX: &[u8] = b"ARRAY::";
/// What stands between the elements of an array, before encoding.
pub const ARRAY_SEPARATOR: &[u8] = b"|:";

const HEX: &[u8; 16] = b"0123456789ABCDEF";

const NO_HEX: u8 = 0xFF;

/// What a hex digit of either case stands for; [`NO_HEX`], which no digit's bits add up to, for every other byte.
const HEX_VALUE: [u8; 256] = {
    let mut table = [NO_HEX; 256];
    let mut digit = 0;
    while digit < 16 {
        table[HEX[digit] as usize] = digit as u8;
        table[HEX[digit].to_ascii_lowercase() as usize] = digit as u8;
        digit += 1;
    }
    table
};

const MUST_ENCODE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte <= 0x20 || byte > 0x7E;
        byte += 1;
    }
    let listed = b"\"#%&+:;<=>?@[\\]^`{|}";
    let mut i = 0;
    while i < listed.len() {
        table[listed[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether the switch encodes this byte of a value.
pub const fn must_encode(byte: u8) -> bool {
    MUST_ENCODE[byte as usize]
}

/// How a value that stock would write ambiguously is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Byte for byte what the switch writes: `%41` stays, and reads back as `A`.
    Exact,
    /// `%` is always encoded, and the text `_undef_` too, so that every value reads back as it was.
    Lossless,
}

/// Append `value` to `out` as it stands on the wire.
pub fn encode_into(value: &[u8], escape: Escape, out: &mut Vec<u8>) {
    if value.is_empty() {
        out.extend_from_slice(UNDEF);
        return;
    }
    if escape == Escape::Lossless && value == UNDEF {
        out.extend_from_slice(b"%5Fundef_");
        return;
    }
    let mut rest = value;
    while let Some(at) = rest.iter().position(|&byte| must_encode(byte)) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        rest = &rest[at + 1..];
        if byte == b'%' && escape == Escape::Exact && starts_with_upper_hex(rest) {
            out.push(b'%');
        } else {
            out.extend_from_slice(&[b'%', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
        }
    }
    out.extend_from_slice(rest);
}

/// The value that `raw` stands for; borrowed where nothing is encoded.
pub fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(b'%', raw) {
        None if raw == UNDEF => Cow::Borrowed(&[]),
        None => Cow::Borrowed(raw),
        Some(first) => Cow::Owned(decode_from(raw, first)),
    }
}

/// Decode `raw`, in which the first `%` stands at `first`.
fn decode_from(raw: &[u8], first: usize) -> Vec<u8> {
    let mut out = raw.to_vec();
    let (mut from, mut to) = (first, first);
    while from < raw.len() {
        let mut byte = raw[from];
        if byte == b'%'
            && let Some([_, high, low]) = raw[from..].first_chunk()
            && let (high, low) = (HEX_VALUE[*high as usize], HEX_VALUE[*low as usize])
            && high | low != NO_HEX
        {
            byte = high << 4 | low;
            from += 2;
        }
        out[to] = byte;
        from += 1;
        to += 1;
    }
    out.truncate(to);
    out
}

/// Whether a raw value is that of an array.
pub fn is_array(raw: &[u8]) -> bool {
    let longest_prefix = 3 * ARRAY_PREFIX.len();
    matches!(raw.first(), Some(b'A' | b'%')) && decode(&raw[..raw.len().min(longest_prefix)]).starts_with(ARRAY_PREFIX)
}

/// How many elements a raw value holds as an array; 0 when it is none.
pub fn count_array_elements(raw: &[u8]) -> usize {
    if !is_array(raw) {
        return 0;
    }
    memchr::memmem::find_iter(&decode(raw), ARRAY_SEPARATOR).count() + 1
}

/// The elements of a decoded array value; `None` when it is no array.
pub fn array_elements(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = value.strip_prefix(ARRAY_PREFIX)?;
    let mut elements = Vec::new();
    while let Some(at) = memchr::memmem::find(rest, ARRAY_SEPARATOR) {
        elements.push(&rest[..at]);
        rest = &rest[at + ARRAY_SEPARATOR.len()..];
    }
    elements.push(rest);
    Some(elements)
}

fn starts_with_upper_hex(text: &[u8]) -> bool {
    let upper_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    text.len() >= 2 && text[..2].iter().all(upper_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(value: &[u8], escape: Escape) -> Vec<u8> {
        let mut out = Vec::new();
        encode_into(value, escape, &mut out);
        out
    }

    #[test]
    fn a_percent_in_front_of_two_upper_hex_digits_is_left_alone_by_stock_only() {
        let value = b"pre%41post %zz %4";
        assert_eq!(encode(value, Escape::Exact), b"pre%41post%20%25zz%20%254");
        assert_eq!(encode(value, Escape::Lossless), b"pre%2541post%20%25zz%20%254");
        assert_eq!(decode(b"pre%2541post%20%25zz%20%254").as_ref(), value);
    }

    #[test]
    fn every_byte_survives() {
        let value: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&value, Escape::Lossless)).as_ref(), value);
    }

    #[test]
    fn the_empty_value_and_the_text_undef_are_told_apart() {
        assert_eq!(encode(b"", Escape::Lossless), b"_undef_");
        assert_eq!(decode(b"_undef_").as_ref(), b"");
        assert_eq!(decode(&encode(b"_undef_", Escape::Lossless)).as_ref(), b"_undef_");
    }

    #[test]
    fn hex_of_either_case_is_decoded_and_what_is_no_hex_is_kept() {
        assert_eq!(decode(b"%2f%2F%zz%4%").as_ref(), b"//%zz%4%");
    }

    #[test]
    fn arrays_split_and_count_alike() {
        let raw = encode(b"ARRAY::one|:two|:", Escape::Exact);
        assert_eq!(count_array_elements(&raw), 3);
        let value = decode(&raw);
        let elements: Vec<&[u8]> = vec![b"one", b"two", b""];
        assert_eq!(array_elements(&value), Some(elements));
        assert_eq!(count_array_elements(b"ARRAYS"), 0);
        assert_eq!(count_array_elements(b"%41RRAY::a|:b"), 2);
        assert_eq!(count_array_elements(b"%41%52%52%41%59%3A%3Aa|%3Ab"), 2);
    }
}
