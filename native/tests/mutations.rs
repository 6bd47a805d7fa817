//! A short, repeatable fuzz run on the stable compiler: recorded inputs, changed at random from a fixed start.
//!
//! `make fuzz` runs the same properties under libFuzzer, for as long as one likes.

#[path = "../../fuzz/properties.rs"]
mod properties;

use std::fs;
use std::path::{Path, PathBuf};

const MUTATIONS: usize = 30_000;
/// Of inputs that are many datagrams, of which each is sealed and heard.
const SESSIONS: usize = 2_000;

/// Bytes on which the parsers turn: separators, the first byte of the trailer, NUL, and the ends of the range.
const TURNING: [u8; 12] = [b'\n', b':', b' ', b'%', b'\r', 0, 0xE2, 0xFF, b'0', b'9', b'A', b'|'];

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One change: a byte set or flipped, a piece cut out, said twice, moved in from another seed, or the end cut off.
fn mutate(data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(data.len());
    let length = 1 + random.below(32);
    let end = (at + length).min(data.len());
    match random.below(7) {
        0 if !data.is_empty() => data[at] = TURNING[random.below(TURNING.len())],
        1 if !data.is_empty() => data[at] ^= 1 << random.below(8),
        2 => data.insert(at, TURNING[random.below(TURNING.len())]),
        3 => drop(data.drain(at..end)),
        4 => {
            let piece = data[at..end].to_vec();
            data.splice(at..at, piece);
        }
        5 => {
            let from = random.below(other.len());
            let piece = &other[from..(from + length).min(other.len())];
            data.splice(at..end, piece.iter().copied());
        }
        _ => data.truncate(at),
    }
}

/// Try `property` on every seed and on mutations of each; some must be taken and some rejected, or nothing was tried.
fn check(target: &str, property: fn(&[u8]) -> bool) {
    check_many(target, MUTATIONS, property);
}

fn check_many(target: &str, mutations: usize, property: fn(&[u8]) -> bool) {
    let seeds = seeds(target);
    let mut random = Random(seeds.len() as u64);
    let (mut taken, mut rejected) = (0, 0);
    for (index, seed) in seeds.iter().enumerate() {
        assert!(property(seed), "the recorded seed {index} of {target} is not taken");
        for _ in 0..mutations / seeds.len() {
            let mut data = seed.clone();
            for _ in 0..=random.below(4) {
                mutate(&mut data, &seeds[random.below(seeds.len())], &mut random);
            }
            *if property(&data) { &mut taken } else { &mut rejected } += 1;
        }
    }
    assert!(taken > mutations / 20 && rejected > mutations / 20, "{target}: {taken} taken, {rejected} rejected");
}

#[test]
fn any_text_is_an_event_or_rejected() {
    check("event", properties::event);
}

#[test]
fn any_datagram_is_an_event_or_rejected() {
    check("frame", properties::frame);
}

#[test]
fn any_file_is_a_capture_or_rejected() {
    check("capture", properties::capture);
}

#[test]
fn any_datagram_is_a_sealed_frame_or_rejected() {
    check("sealed", properties::sealed::frame);
}

#[test]
fn any_payload_is_a_control_message_or_rejected() {
    check("message", properties::sealed::message);
}

#[test]
fn whatever_is_packed_unpacks_within_bounds() {
    check("packing", properties::sealed::packing);
}

#[test]
fn fragments_in_any_order_are_put_together_or_rejected() {
    check("fragments", properties::sealed::fragments);
}

#[test]
fn any_text_can_be_traced_or_rejected() {
    check("traced", properties::traced::stamp);
}

#[test]
fn a_window_does_what_its_model_does() {
    check("stream", properties::stream);
}

#[test]
fn a_session_takes_nothing_from_strangers_and_keeps_its_books() {
    check_many("session", SESSIONS, properties::sessions::sessions);
}
