//! A network that reorders, doubles and damages, and a sender that answers within a millisecond: hardly anything may be
//! asked for that comes by itself.

use super::super::*;
use super::window;
use crate::reliable::MILLISECOND;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

const EVENTS: u64 = 10_000;
/// Sequences in which the window may still be learning.
const LEARNING: u64 = 500;
/// Events behind others at most, when they are late.
const LATE: u64 = 64;
const ROUND_TRIP: Nanos = MILLISECOND;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Of what was asked for once the window had learned: all, and what came by itself after that.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    spurious: u64,
    requests: u64,
}

/// 20% late by up to 64 events, 10% doubled, 5% damaged; one event every `apart`. When `tells` is false, the window does
/// not get to know that an original is one.
fn run(seed: u64, apart: Nanos, tells: bool) -> Tally {
    let mut random = Random(seed);
    let mut window = window();
    let mut arrivals = BinaryHeap::new();
    for sequence in 1..EVENTS {
        let late = if random.below(5) == 0 { random.below(LATE * apart) } else { 0 };
        let arrives = sequence * apart + late;
        if random.below(20) > 0 {
            arrivals.push(Reverse((arrives, sequence, Sent::First as u8)));
            if random.below(10) == 0 {
                arrivals.push(Reverse((arrives + random.below(LATE * apart), sequence, Sent::First as u8)));
            }
        }
    }
    let (mut tally, mut asked) = (Tally::default(), BTreeSet::new());
    loop {
        let arrives = arrivals.peek().map_or(Nanos::MAX, |Reverse((arrives, ..))| *arrives);
        if let Some(due) = window.next_due().filter(|due| *due < arrives) {
            let ranges = window.due(due, random.below(3 * MILLISECOND));
            tally.requests += u64::from(!ranges.is_empty());
            for repaired in ranges.into_iter().flatten() {
                tally.asked += u64::from(asked.insert(repaired) && repaired > LEARNING);
                arrivals.push(Reverse((due + ROUND_TRIP, repaired, Sent::Again as u8)));
            }
            continue;
        }
        let Some(Reverse((now, sequence, sent))) = arrivals.pop() else { break };
        let original = sent == Sent::First as u8;
        let told = if original && tells { Sent::First } else { Sent::Again };
        tally.spurious += u64::from(original && sequence > LEARNING && asked.remove(&sequence));
        if window.wants(sequence, told) && !window.pass(sequence) {
            window.put(sequence, sequence, 1, told, now);
        }
        while let Some(delivery) = window.take() {
            assert_eq!(delivery, Delivery::Item(window.next() - 1, window.next() - 1), "nothing is lost");
        }
    }
    assert_eq!((window.missing(), window.next()), (0, window.top()));
    assert!(window.spurious() >= tally.spurious || !tells);
    tally
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn little_is_asked_for_that_comes_by_itself(seed: u64, micros in 50u64..500) {
        let tally = run(seed, micros * 1_000, true);
        prop_assert!(tally.asked > EVENTS / 25 && tally.requests < EVENTS / 10, "{tally:?}");
        prop_assert!(tally.spurious * 100 < tally.asked, "{tally:?}");
    }
}

/// The same without what teaches it: so the other test can fail.
#[test]
fn without_learning_much_is_asked_for_in_vain() {
    let tally = run(1, 200_000, false);
    assert!(tally.spurious * 2 > tally.asked, "{tally:?}");
}
