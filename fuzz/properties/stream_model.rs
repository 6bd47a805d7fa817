//! A window over a stream said as simply as it can be, and steps from bytes on which the real one must do the same.
//!
//! Shared by the fuzz target and the tests beside the window itself, so it takes the window's names from its parent.

use super::stream::{Bounds, Delivery, Lost, Placed, Sent, Window};
use std::collections::BTreeMap;
use std::ops::Range;

const REACH: u64 = 1 << 40;
const MILLISECOND: u64 = 1_000_000;
/// So small that a few steps fill it.
pub const BOUNDS: Bounds = Bounds { items: 12, bytes: 600 };
/// Bytes of a step.
pub const STEP: usize = 4;

/// What has come, what is given up, and how far the stream is known to reach; all else is missing.
struct Model {
    next: u64,
    top: u64,
    /// Bytes by sequence, of what has not been taken.
    items: BTreeMap<u64, usize>,
    lost: Vec<(Range<u64>, Lost)>,
}

impl Model {
    fn missing(&self) -> Vec<Range<u64>> {
        let mut known: Vec<Range<u64>> = self.items.keys().map(|sequence| *sequence..sequence + 1).collect();
        known.extend(self.lost.iter().map(|(range, _)| range.clone()));
        known.push(self.top..self.top);
        known.sort_by_key(|range| range.start);
        let mut from = self.next;
        let gaps = known.into_iter().map(|range| std::mem::replace(&mut from, range.end)..range.start);
        gaps.filter(|gap| !gap.is_empty()).collect()
    }

    fn waiting(&self) -> impl Iterator<Item = usize> {
        let first = self.missing().first().map_or(self.top, |gap| gap.start);
        self.items.range(first..).map(|(_, bytes)| *bytes)
    }

    fn believes(&self, sequence: u64) -> bool {
        sequence < u64::MAX && (sequence <= self.next || sequence - self.next <= REACH)
    }

    fn pass(&mut self, sequence: u64) -> bool {
        let passes = sequence == self.next && self.next == self.top && sequence < u64::MAX;
        self.next += u64::from(passes);
        self.top += u64::from(passes);
        passes
    }

    fn put(&mut self, sequence: u64, bytes: usize) -> Placed {
        if !self.believes(sequence) {
            return Placed::OutOfReach;
        }
        if self.items.contains_key(&sequence) {
            return Placed::Duplicate;
        }
        if sequence < self.next || self.lost.iter().any(|(range, _)| range.contains(&sequence)) {
            return Placed::TooOld;
        }
        self.items.insert(sequence, bytes);
        self.top = self.top.max(sequence + 1);
        while self.waiting().count() > BOUNDS.items || self.waiting().sum::<usize>() > BOUNDS.bytes {
            self.overtake();
        }
        Placed::Taken
    }

    fn sent_up_to(&mut self, next: u64) -> bool {
        let believed = self.believes(next);
        if believed {
            self.top = self.top.max(next);
        }
        believed
    }

    fn forget_below(&mut self, sequence: u64, lost: Lost) -> bool {
        let believed = self.sent_up_to(sequence);
        if believed {
            for gap in self.missing() {
                self.lose(gap.start..gap.end.min(sequence), lost);
            }
        }
        believed
    }

    fn overtake(&mut self) {
        if let Some(gap) = self.missing().first() {
            self.lose(gap.clone(), Lost::Overtaken);
        }
    }

    fn lose(&mut self, range: Range<u64>, lost: Lost) {
        match self.lost.last_mut() {
            _ if range.is_empty() => (),
            Some((last, reason)) if last.end == range.start && *reason == lost => last.end = range.end,
            _ => self.lost.push((range, lost)),
        }
    }

    fn take(&mut self) -> Option<Delivery<u64>> {
        if self.lost.first().is_some_and(|(range, _)| range.start == self.next) {
            let (range, lost) = self.lost.remove(0);
            self.next = range.end;
            return Some(Delivery::Gap(range, lost));
        }
        self.items.remove(&self.next)?;
        self.next += 1;
        Some(Delivery::Item(self.next - 1, self.next - 1))
    }
}

/// A window and its model, at the same moment.
pub struct Pair {
    window: Window<u64>,
    model: Model,
    now: u64,
    /// Sequences that came out, as items and in gaps, and how many of them as items.
    out: u64,
    items: u64,
}

impl Pair {
    pub fn new(first: u64) -> Pair {
        let window = Window::new(first, BOUNDS, MILLISECOND);
        let model = Model { next: first, top: first, items: BTreeMap::new(), lost: Vec::new() };
        Pair { window, model, now: 0, out: 0, items: 0 }
    }

    /// Do what `step` says to both, and compare all that can be seen of them.
    pub fn step(&mut self, step: [u8; STEP]) {
        let [what, near, far, more] = step;
        let sequence = self.sequence(near, far);
        let sent = if more % 2 == 0 { Sent::First } else { Sent::Again };
        let lost = [Lost::Expired, Lost::Lagging, Lost::Silent, Lost::Ended][more as usize % 4];
        let bytes = more as usize;
        let (window, model) = (&mut self.window, &mut self.model);
        let is_missing = sequence >= model.top || model.missing().iter().any(|gap| gap.contains(&sequence));
        assert_eq!(window.wants(sequence, Sent::Again), is_missing);
        match what % 16 {
            0..5 => assert_eq!(window.put(sequence, sequence, bytes, sent, self.now), model.put(sequence, bytes)),
            5..8 => {
                let passed = window.pass(sequence);
                assert_eq!(passed, model.pass(sequence));
                self.out += u64::from(passed);
                self.items += u64::from(passed);
            }
            8 => assert_eq!(window.sent_up_to(sequence, self.now), model.sent_up_to(sequence)),
            9 => assert_eq!(window.forget_below(sequence, lost, self.now), model.forget_below(sequence, lost)),
            10 => {
                window.give_up(lost);
                model.missing().into_iter().for_each(|gap| model.lose(gap, lost));
            }
            11 => {
                window.overtake();
                model.overtake();
            }
            12 => self.now += u64::from(near) * u64::from(far) * MILLISECOND / 64,
            13 => window.heard(self.now),
            _ => self.ask(u64::from(more % 4) * MILLISECOND),
        }
        if what < 0xC0 {
            self.take();
        }
        self.compare();
    }

    /// Mostly close to what is delivered next, sometimes very far from it.
    fn sequence(&self, near: u8, far: u8) -> u64 {
        let distance = if far < 0xF0 { u64::from(near % 32) } else { 1 << (near % 64) };
        let back = if far < 0xF0 { 8 } else { u64::from(near) % 2 };
        self.model.next.saturating_add(distance).saturating_sub(back)
    }

    fn ask(&mut self, jitter: u64) {
        let due = self.window.next_due().is_some_and(|due| due <= self.now);
        let ranges = self.window.due(self.now, jitter);
        assert!(due || ranges.is_empty(), "nothing is asked for before it is due");
        assert!(ranges.windows(2).all(|two| two[0].end < two[1].start), "ascending, and not touching: {ranges:?}");
        let missing = self.model.missing();
        for range in &ranges {
            let whole = missing.iter().any(|gap| gap.start <= range.start && range.end <= gap.end);
            assert!(whole && !range.is_empty(), "{range:?} is not missing: {missing:?}");
        }
        assert!(self.window.next_due().is_none_or(|due| due > self.now));
    }

    fn take(&mut self) {
        loop {
            let delivery = self.window.take();
            assert_eq!(delivery, self.model.take());
            match delivery {
                Some(Delivery::Item(..)) => (self.out, self.items) = (self.out + 1, self.items + 1),
                Some(Delivery::Gap(range, _)) => self.out += range.end - range.start,
                None => break,
            }
        }
    }

    fn compare(&self) {
        let missing: u64 = self.model.missing().iter().map(|gap| gap.end - gap.start).sum();
        assert_eq!((self.window.next(), self.window.top()), (self.model.next, self.model.top));
        assert_eq!(self.window.missing(), missing);
        assert_eq!(self.window.waiting(), self.model.waiting().count());
        assert_eq!(self.window.waiting_bytes(), self.model.waiting().sum::<usize>());
        assert!(self.window.waiting() <= BOUNDS.items && self.window.waiting_bytes() <= BOUNDS.bytes);
        assert_eq!(self.window.next_due().is_some(), missing > 0);
    }

    /// A second without anything makes everything due; what is missing then is given up, and all has come out once. Says
    /// how many items did.
    pub fn finish(mut self, first: u64) -> u64 {
        self.now += 1_000 * MILLISECOND;
        assert_eq!(self.window.due(self.now, 0), self.model.missing(), "all that is missing is asked for");
        self.window.give_up(Lost::Ended);
        self.model.missing().into_iter().for_each(|gap| self.model.lose(gap, Lost::Ended));
        self.take();
        self.compare();
        assert_eq!(self.out, self.model.top - first, "sent = delivered + gaps");
        self.items
    }
}

/// Run the steps that `bytes` say; how many items were delivered.
pub fn run(bytes: &[u8]) -> u64 {
    let (first, steps) = match bytes.split_first() {
        Some((0xFF, steps)) => (u64::MAX - 40, steps),
        Some((first, steps)) => (u64::from(*first), steps),
        None => return 0,
    };
    let mut pair = Pair::new(first);
    steps.as_chunks().0.iter().for_each(|step| pair.step(*step));
    pair.finish(first)
}
