//! What matching promises, on events that are lists of raw headers.

mod bindings;
mod condition;

use super::Headers;

/// An event's headers as they stand on the wire.
struct Raw<'a>(&'a [(&'a str, &'a str)]);

impl Headers for Raw<'_> {
    fn raw(&self, name: &[u8]) -> Option<&[u8]> {
        let same = |(known, _): &&(&str, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        self.0.iter().find(same).map(|(_, value)| value.as_bytes())
    }
}

/// Numbers that look random and are the same on every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
