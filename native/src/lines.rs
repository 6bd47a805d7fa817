//! Where the header lines of a text begin, split and end: the one loop that sees every byte of every event.
//!
//! Sixty-four bytes at a time become three masks, of line breaks, colons and spaces, so that the work goes by lines and
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
pub enum Fault {
    /// No empty line ends the headers.
    Endless,
    /// A line has no colon.
    NoColon,
    /// There are more lines than were allowed.
    TooMany,
}

const BLOCK: usize = 64;

/// Find the header lines of `text`, in order, at most `most`: where the empty line behind them stands.
///
/// A line splits at its last colon that a space follows, for names may hold colons and values may not; at its last colon
/// where a foreign sender leaves out the space. `lines` is emptied first; with a fault it has the lines in front of it.
pub fn header_lines(text: &[u8], most: usize, lines: &mut Vec<Line>) -> Result<usize, Fault> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
    {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { scan_avx2(text, most, lines) };
    }
    scan(text, most, lines, masks_of_any_processor)
}

/// Where in a block something stands; the first byte is the lowest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Masks {
    breaks: u64,
    colons: u64,
    spaces: u64,
}

#[inline(always)]
fn scan(
    text: &[u8],
    most: usize,
    lines: &mut Vec<Line>,
    masks_of: impl Fn(&[u8; BLOCK]) -> Masks,
) -> Result<usize, Fault> {
    lines.clear();
    let mut start = 0;
    // The last colon of the line so far that a space follows, and whether a colon ended the block before.
    let mut colon = NOWHERE;
    let mut ended_in_colon = 0;
    for (number, block) in text.chunks(BLOCK).enumerate() {
        let base = number * BLOCK;
        let Masks { mut breaks, colons, spaces } = match block.first_chunk() {
            Some(whole) => masks_of(whole),
            None => masks_of(&padded(block)),
        };
        // What is chosen here and below is nothing that a processor could guess, so there is no branch to it.
        colon = if ended_in_colon & spaces == 0 { colon } else { base - 1 };
        ended_in_colon = colons >> (BLOCK - 1);
        let mut spaced = colons & spaces >> 1;
        while breaks != 0 {
            let place = breaks.trailing_zeros();
            let end = base + place as usize;
            if end == start {
                return Ok(end);
            }
            let line = (1u64 << place) - 1;
            colon = last_or(colon, base, spaced & line);
            if colon == NOWHERE {
                colon = last_colon(text, start, end).ok_or(Fault::NoColon)?;
            }
            if lines.len() == most {
                return Err(Fault::TooMany);
            }
            lines.push(Line { start: start as u32, colon: colon as u32, end: end as u32 });
            colon = NOWHERE;
            spaced &= !line;
            breaks &= breaks - 1;
            start = end + 1;
        }
        colon = last_or(colon, base, spaced);
    }
    Err(Fault::Endless)
}

const NOWHERE: usize = usize::MAX;

/// Where the highest bit of a block's mask stands; `otherwise` if there is none.
#[inline(always)]
fn last_or(otherwise: usize, base: usize, mask: u64) -> usize {
    if mask == 0 { otherwise } else { base + (BLOCK - 1) - mask.leading_zeros() as usize }
}

/// Of a line in which no space follows a colon.
#[cold]
fn last_colon(text: &[u8], start: usize, end: usize) -> Option<usize> {
    memchr::memrchr(b':', &text[start..end]).map(|at| start + at)
}

fn padded(block: &[u8]) -> [u8; BLOCK] {
    let mut padded = [0; BLOCK];
    padded[..block.len()].copy_from_slice(block);
    padded
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn scan_avx2(text: &[u8], most: usize, lines: &mut Vec<Line>) -> Result<usize, Fault> {
    scan(text, most, lines, |block| masks_avx2(block))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn masks_avx2(block: &[u8; BLOCK]) -> Masks {
    use std::arch::x86_64::{_mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8};
    // SAFETY: each load reads thirty-two bytes that lie inside the block.
    let halves = unsafe { [0, 32].map(|at| _mm256_loadu_si256(block.as_ptr().add(at).cast())) };
    let mask = |needle: u8| {
        let needle = _mm256_set1_epi8(needle as i8);
        let [low, high] = halves.map(|half| _mm256_movemask_epi8(_mm256_cmpeq_epi8(half, needle)) as u32);
        u64::from(low) | u64::from(high) << 32
    };
    Masks { breaks: mask(b'\n'), colons: mask(b':'), spaces: mask(b' ') }
}

#[cfg(target_arch = "x86_64")]
fn masks_of_any_processor(block: &[u8; BLOCK]) -> Masks {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: SSE2 is part of every x86-64, and each load reads sixteen bytes that lie inside the block.
    let quarters = unsafe { [0, 16, 32, 48].map(|at| _mm_loadu_si128(block.as_ptr().add(at).cast())) };
    let mask = |needle: u8| {
        // SAFETY: as above.
        let equal =
            quarters.map(|part| unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_set1_epi8(needle as i8))) });
        equal.iter().rev().fold(0, |mask, &bits| mask << 16 | u64::from(bits as u16))
    };
    Masks { breaks: mask(b'\n'), colons: mask(b':'), spaces: mask(b' ') }
}

#[cfg(not(target_arch = "x86_64"))]
fn masks_of_any_processor(block: &[u8; BLOCK]) -> Masks {
    portable_masks(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_masks(block: &[u8; BLOCK]) -> Masks {
    let mask = |needle: u8| block.iter().rev().fold(0, |mask, &byte| mask << 1 | u64::from(byte == needle));
    Masks { breaks: mask(b'\n'), colons: mask(b':'), spaces: mask(b' ') }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The obvious way: line by line, byte by byte.
    fn slow(text: &[u8], most: usize, lines: &mut Vec<Line>) -> Result<usize, Fault> {
        lines.clear();
        let mut start = 0;
        loop {
            let length = text[start..].iter().position(|&byte| byte == b'\n').ok_or(Fault::Endless)?;
            if length == 0 {
                return Ok(start);
            }
            let end = start + length;
            let colons = || (start..end).rev().filter(|&at| text[at] == b':');
            let spaced = colons().find(|&at| text[at + 1] == b' ');
            let colon = spaced.or_else(|| colons().next()).ok_or(Fault::NoColon)?;
            if lines.len() == most {
                return Err(Fault::TooMany);
            }
            lines.push(Line { start: start as u32, colon: colon as u32, end: end as u32 });
            start = end + 1;
        }
    }

    type Way = fn(&[u8], usize, &mut Vec<Line>) -> Result<usize, Fault>;

    /// Every way that there is on this processor.
    const WAYS: [(&str, Way); 3] = [
        ("chosen", header_lines),
        ("of any processor", |text, most, lines| scan(text, most, lines, masks_of_any_processor)),
        ("portable", |text, most, lines| scan(text, most, lines, portable_masks)),
    ];

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
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for _ in 0..100_000 {
            let length = random(200) as usize;
            let scarce = random(20) + 4;
            let most = random(20) as usize;
            let text: Vec<u8> = (0..length).map(|_| *b"\n: :".get(random(scarce) as usize).unwrap_or(&b'x')).collect();
            let outcome = slow(&text, most, &mut expected);
            for (name, way) in WAYS {
                let shown = String::from_utf8_lossy(&text);
                assert_eq!(way(&text, most, &mut found), outcome, "{name}: {shown:?}");
                assert_eq!(found, expected, "{name}: {shown:?}");
            }
        }
    }
}
