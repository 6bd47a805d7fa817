//! Four datagrams, and everything that can happen to them: all of it is tried.
//!
//! Each can come once, twice or never, in any order, as an original or as a repair that was asked for; a beacon, a
//! refusal, the loss of patience and the passing of time can stand anywhere between. The states that this leads to are
//! few, so every way through them is covered by trying every step from every state once.

use super::super::*;
use crate::reliable::SECOND;
use std::collections::HashSet;
use std::hash::Hash;

const DATAGRAMS: usize = 4;
/// Items that a window holds here, so few that it can be full.
const BOUND: usize = 2;
const END: u64 = DATAGRAMS as u64 + 1;

/// What a receiver may know of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Missing,
    Waiting,
    Delivered,
    Gap,
}

/// A step that the world can take.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// An original comes; it passes or is put.
    Original(usize, bool),
    Repair(usize),
    Beacon,
    Refusal(u64),
    /// The stream is over, its sender has started anew or is silent; what is still under way may come later.
    GiveUp,
    Ask,
}

#[derive(Clone, Debug)]
struct World {
    window: Window<usize>,
    fates: [Fate; DATAGRAMS],
    /// Copies of the original that may still come, and whether a repair is under way.
    originals: [u8; DATAGRAMS],
    repairs: [bool; DATAGRAMS],
    beacons: u8,
    refusals: u8,
    endings: u8,
    asks: u8,
}

impl World {
    fn new() -> World {
        World {
            window: Window::new(1, Bounds { items: BOUND, bytes: 64 }, 0),
            fates: [Fate::Missing; DATAGRAMS],
            originals: [2; DATAGRAMS],
            repairs: [false; DATAGRAMS],
            beacons: 1,
            refusals: 1,
            endings: 1,
            asks: 2,
        }
    }

    /// All that a later step can depend on. What the window has learned of lateness and answers is left out: it moves a
    /// request by less than the seconds that pass before one here.
    fn state(&self) -> impl Eq + Hash + use<> {
        let holes: Vec<_> = self.window.holes.iter().map(|(end, hole)| (hole.start, *end)).collect();
        let left = [self.beacons, self.refusals, self.endings, self.asks];
        (self.fates, self.originals, self.repairs, left, self.window.next, self.window.top, holes)
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for place in 0..DATAGRAMS {
            if self.originals[place] > 0 {
                steps.push(Step::Original(place, false));
                // Where it does not pass, trying to changes nothing.
                if self.window.clone().pass(place as u64 + 1) {
                    steps.push(Step::Original(place, true));
                }
            }
            if self.repairs[place] {
                steps.push(Step::Repair(place));
            }
        }
        steps.extend((0..self.beacons).map(|_| Step::Beacon));
        steps.extend((0..self.refusals).flat_map(|_| (2..=END).map(Step::Refusal)));
        steps.extend((0..self.endings).map(|_| Step::GiveUp));
        steps.extend((0..self.asks.min(1)).map(|_| Step::Ask));
        steps
    }

    /// Seconds pass between two requests, and none between anything else: so there are few states.
    fn now(&self) -> Nanos {
        (3 - u64::from(self.asks)) * SECOND
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Original(place, passes) => {
                self.originals[place] -= 1;
                let sequence = place as u64 + 1;
                if passes {
                    assert!(self.window.pass(sequence));
                    assert_eq!(self.fates[place], Fate::Missing);
                    self.fates[place] = Fate::Delivered;
                } else {
                    self.put(place, Sent::First);
                }
            }
            Step::Repair(place) => {
                self.repairs[place] = false;
                self.put(place, Sent::Again);
            }
            Step::Beacon => {
                self.beacons -= 1;
                self.window.sent_up_to(END, self.now());
            }
            Step::Refusal(below) => {
                self.refusals -= 1;
                self.window.forget_below(below, Lost::Expired, self.now());
                self.take(|place| (place as u64) + 1 < below);
            }
            Step::GiveUp => {
                self.endings -= 1;
                self.window.give_up(Lost::Ended);
                self.take(|_| true);
            }
            Step::Ask => self.ask(),
        }
    }

    fn put(&mut self, place: usize, sent: Sent) {
        let full = self.window.waiting() == BOUND;
        let placed = self.window.put(place as u64 + 1, place, 8, sent, self.now());
        match self.fates[place] {
            Fate::Missing => {
                assert_eq!(placed, Placed::Taken);
                self.fates[place] = Fate::Waiting;
            }
            Fate::Waiting => assert_eq!(placed, Placed::Duplicate),
            Fate::Delivered | Fate::Gap => assert_eq!(placed, Placed::TooOld),
        }
        self.take(|_| full);
    }

    fn ask(&mut self) {
        self.asks -= 1;
        let missing: Vec<u64> = (self.window.next()..self.window.top())
            .filter(|sequence| self.fates[*sequence as usize - 1] == Fate::Missing)
            .collect();
        let asked = self.window.due(self.now(), 0);
        assert!(asked.windows(2).all(|two| two[0].end < two[1].start));
        assert_eq!(asked.into_iter().flatten().collect::<Vec<_>>(), missing, "all that is missing, and nothing else");
        missing.into_iter().for_each(|sequence| self.repairs[sequence as usize - 1] = true);
    }

    /// Take what is ready: it goes on where it stopped, what has come is an item, and what is lost `may` be.
    fn take(&mut self, may_be_lost: impl Fn(usize) -> bool) {
        let mut next = self.window.next();
        while let Some(delivery) = self.window.take() {
            match delivery {
                Delivery::Item(sequence, place) => {
                    assert_eq!((sequence, place as u64 + 1), (next, next));
                    assert_eq!(self.fates[place], Fate::Waiting);
                    self.fates[place] = Fate::Delivered;
                    next += 1;
                }
                Delivery::Gap(range, _) => {
                    assert!(range.start == next && range.end > next && range.end <= END);
                    for place in next as usize - 1..range.end as usize - 1 {
                        assert!(self.fates[place] == Fate::Missing && may_be_lost(place));
                        self.fates[place] = Fate::Gap;
                    }
                    next = range.end;
                }
            }
            assert_eq!(next, self.window.next());
        }
    }

    /// What is left undelivered has a reason.
    fn check(&self) {
        let top = self.window.top() as usize - 1;
        assert!(self.fates[top..].iter().all(|fate| *fate == Fate::Missing));
        let missing = self.fates[..top].iter().filter(|fate| **fate == Fate::Missing).count();
        let waiting = self.fates.iter().filter(|fate| **fate == Fate::Waiting).count();
        assert_eq!((self.window.missing(), self.window.waiting()), (missing as u64, waiting));
        let next = self.window.next() as usize - 1;
        assert!(self.fates[..next].iter().all(|fate| matches!(fate, Fate::Delivered | Fate::Gap)));
        assert!(next == top || self.fates[next] == Fate::Missing, "what is ready has been taken");
    }

    /// The world ends here: a last beacon, and no hope. `sent = delivered + gaps`.
    fn end(mut self) {
        self.window.sent_up_to(END, self.now());
        self.window.give_up(Lost::Ended);
        self.take(|_| true);
        assert!(self.fates.iter().all(|fate| matches!(fate, Fate::Delivered | Fate::Gap)), "sent = delivered + gaps");
        assert_eq!((self.window.missing(), self.window.waiting(), self.window.next()), (0, 0, END));
    }
}

#[test]
fn in_every_small_world_all_is_delivered_once_in_order_or_reported() {
    let mut seen = HashSet::new();
    let mut todo = vec![World::new()];
    let mut steps = 0;
    while let Some(world) = todo.pop() {
        for step in world.steps() {
            let mut after = world.clone();
            after.take_step(step);
            after.check();
            steps += 1;
            if seen.insert(after.state()) {
                after.clone().end();
                todo.push(after);
            }
        }
    }
    println!("{} states, {steps} steps", seen.len());
    assert!(seen.len() > 10_000);
}
