//! Where the header lines of a text begin, split and end: the one loop that sees every byte of every event.
//!
//! Sixty-four bytes at a time become two masks, one of line breaks and one of colons, so that the work goes by lines and
//! not by bytes.

/// One header line: `start..colon` is the name, the value follows the colon (and the space behind it) up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub start: u32,
    pub colon: u32,
    pub end: u32,
}

/// Why the lines could not all be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// No empty line ends the headers.
    Endless,
    /// A line has no colon.
    NoColon,
    /// What the visitor said.
    Visitor(E),
}

const BLOCK: usize = 64;

/// Give every header line of `text` to `visit`, in order; where the empty line behind them stands.
///
/// A line splits at its last colon that a space follows, for names may hold colons and values may not; at its last colon
/// where a foreign sender leaves out the space.
pub fn header_lines<E>(text: &[u8], mut visit: impl FnMut(Line) -> Result<(), E>) -> Result<usize, Fault<E>> {
    let mut start = 0;
    let mut colon = LastColon::default();
    for (number, block) in text.chunks(BLOCK).enumerate() {
        let base = number * BLOCK;
        let (mut breaks, mut colons) = masks(block);
        while breaks != 0 {
            let place = breaks.trailing_zeros();
            let end = base + place as usize;
            if end == start {
                return Ok(end);
            }
            let before = colons & ((1u64 << place) - 1);
            colon.look(text, base, before);
            let at = colon.take().ok_or(Fault::NoColon)?;
            visit(Line { start: start as u32, colon: at as u32, end: end as u32 }).map_err(Fault::Visitor)?;
            colons &= !before;
            breaks &= breaks - 1;
            start = end + 1;
        }
        colon.look(text, base, colons);
    }
    Err(Fault::Endless)
}

/// The last colon of the line so far, those with a space behind them first.
#[derive(Default)]
struct LastColon {
    spaced: Option<usize>,
    any: Option<usize>,
}

impl LastColon {
    /// Take in the colons of one block, the bits of `mask`.
    fn look(&mut self, text: &[u8], base: usize, mut mask: u64) {
        if mask == 0 {
            return;
        }
        self.any = Some(base + last_bit(mask));
        while mask != 0 {
            let bit = last_bit(mask);
            if text.get(base + bit + 1) == Some(&b' ') {
                self.spaced = Some(base + bit);
                return;
            }
            mask ^= 1 << bit;
        }
    }

    fn take(&mut self) -> Option<usize> {
        let any = self.any.take();
        self.spaced.take().or(any)
    }
}

fn last_bit(mask: u64) -> usize {
    63 - mask.leading_zeros() as usize
}

/// Which bytes of a block of at most 64 are line breaks, and which are colons; the first byte is the lowest bit.
fn masks(block: &[u8]) -> (u64, u64) {
    match block.first_chunk::<BLOCK>() {
        Some(whole) => whole_masks(whole),
        None => {
            let mut padded = [0; BLOCK];
            padded[..block.len()].copy_from_slice(block);
            whole_masks(&padded)
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn whole_masks(block: &[u8; BLOCK]) -> (u64, u64) {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    let (mut breaks, mut colons) = (0, 0);
    // SAFETY: SSE2 is part of every x86-64, and each load reads sixteen bytes that lie inside the block.
    unsafe {
        let (a_break, a_colon) = (_mm_set1_epi8(b'\n' as i8), _mm_set1_epi8(b':' as i8));
        for quarter in 0..4 {
            let bytes = _mm_loadu_si128(block.as_ptr().add(quarter * 16).cast());
            let equal = |needle| u64::from(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, needle)) as u16);
            breaks |= equal(a_break) << (quarter * 16);
            colons |= equal(a_colon) << (quarter * 16);
        }
    }
    (breaks, colons)
}

#[cfg(not(target_arch = "x86_64"))]
fn whole_masks(block: &[u8; BLOCK]) -> (u64, u64) {
    portable_masks(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_masks(block: &[u8; BLOCK]) -> (u64, u64) {
    let mask = |needle: u8| block.iter().rev().fold(0, |mask, &byte| mask << 1 | u64::from(byte == needle));
    (mask(b'\n'), mask(b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The obvious way: line by line, byte by byte.
    fn slow(text: &[u8]) -> Result<(Vec<Line>, usize), Fault<()>> {
        let mut lines = Vec::new();
        let mut start = 0;
        loop {
            let length = text[start..].iter().position(|&byte| byte == b'\n').ok_or(Fault::Endless)?;
            if length == 0 {
                return Ok((lines, start));
            }
            let end = start + length;
            let colons = || (start..end).rev().filter(|&at| text[at] == b':');
            let spaced = colons().find(|&at| text[at + 1] == b' ');
            let colon = spaced.or_else(|| colons().next()).ok_or(Fault::NoColon)?;
            lines.push(Line { start: start as u32, colon: colon as u32, end: end as u32 });
            start = end + 1;
        }
    }

    fn fast(text: &[u8]) -> Result<(Vec<Line>, usize), Fault<()>> {
        let mut lines = Vec::new();
        let end = header_lines(text, |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok((lines, end))
    }

    #[test]
    fn lines_are_those_that_one_finds_byte_by_byte() {
        // A generator with a fixed seed (Marsaglia's xorshift): texts of the bytes that matter, around block borders.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..200_000 {
            let length = random(200) as usize;
            let scarce = random(20) + 4;
            let text: Vec<u8> = (0..length).map(|_| *b"\n: :".get(random(scarce) as usize).unwrap_or(&b'x')).collect();
            assert_eq!(fast(&text), slow(&text), "{:?}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn both_ways_to_make_masks_agree() {
        for shift in 0..=255u8 {
            let block: [u8; BLOCK] = std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(shift));
            assert_eq!(whole_masks(&block), portable_masks(&block));
        }
    }
}
