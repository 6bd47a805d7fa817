//! One sender's stream as a receiver sees it: what came, in which order, what is missing, and when to ask for it.
//!
//! ```text
//!            next         start of the first hole                    top
//!  taken  |   items and gaps, ready  |   holes, and items that wait  |   not known to exist
//! --------+--------------------------+-------------------------------+---------------------> sequence
//! ```
//!
//! A [`Window`] has no socket and no clock. Sequences go in as they come, deliveries come out in order: each sequence
//! from the first on comes out exactly once, as an item or as part of a gap. A hole is a range, however long, so a jump
//! over any distance costs one entry. Holes are given up lowest first, so what is ready is always in front of them.
//!
//! After every call that can make something ready, [`Window::take`] until there is nothing more.

mod asking;
#[cfg(test)]
mod tests;

use crate::limits;
use crate::reliable::message::ASKED;
use crate::reliable::{MILLISECOND, Nanos};
use asking::{Asked, Asking};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// What a window holds at most behind its first hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Items.
    pub items: usize,
    /// Bytes of those together, as [`Window::put`] is told.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { items: limits::STREAM_ITEMS, bytes: limits::STREAM_BYTES }
    }
}

/// How an item was sent: a late original shows that the network reorders, a late repair does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// For the first time.
    First,
    /// Again, because someone asked; of an event in fragments, any of them.
    Again,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placed {
    /// It was missing, and is kept until its turn comes.
    Taken,
    /// It is waiting for its turn already.
    Duplicate,
    /// It was delivered, or given up.
    TooOld,
    /// It is more than [`limits::STREAM_REACH`] ahead. Nothing has changed.
    OutOfReach,
}

/// Why a sequence is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// The sender does not keep it any more.
    Expired,
    /// The sender will not repair for this receiver, which asked for more than its share.
    Lagging,
    /// The sender is not heard any more.
    Silent,
    /// The sender has ended, or has started anew.
    Ended,
    /// Too much has come after it: the window was full.
    Overtaken,
    /// Nobody asks for repairs here.
    Unrepaired,
}

impl Lost {
    /// The word for it in gap records and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Lost::Expired => "expired",
            Lost::Lagging => "lagging",
            Lost::Silent => "silent",
            Lost::Ended => "ended",
            Lost::Overtaken => "overtaken",
            Lost::Unrepaired => "unrepaired",
        }
    }
}

/// What a stream brings, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery<T> {
    /// The item with this sequence.
    Item(u64, T),
    /// These sequences will not come. Not empty; a gap that touches the one before it has another reason.
    Gap(Range<u64>, Lost),
}

/// The sequences of one stream, from the first that is wanted on.
#[derive(Clone, Debug)]
pub struct Window<T> {
    bounds: Bounds,
    /// The sequence that is delivered next.
    next: u64,
    /// One more than the highest sequence that is known to exist.
    top: u64,
    items: BTreeMap<u64, Item<T>>,
    /// By their end, because repairs close them from the front. The later one is, the later it was noticed.
    holes: BTreeMap<u64, Hole>,
    /// Given up, in front of all holes.
    lost: VecDeque<(Range<u64>, Lost)>,
    /// Items behind the first hole, their bytes, and the sequences in all holes.
    waiting: usize,
    waiting_bytes: usize,
    missing: u64,
    asking: Asking,
}

#[derive(Clone, Debug)]
struct Item<T> {
    item: T,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    start: u64,
    noticed: Nanos,
    asked: Option<Asked>,
}

impl<T> Window<T> {
    /// A window whose first delivery is the sequence `first`. The first request waits `jitter` longer than reordering
    /// makes it wait.
    pub fn new(first: u64, bounds: Bounds, jitter: Nanos) -> Window<T> {
        Window {
            bounds,
            next: first,
            top: first,
            items: BTreeMap::new(),
            holes: BTreeMap::new(),
            lost: VecDeque::new(),
            waiting: 0,
            waiting_bytes: 0,
            missing: 0,
            asking: Asking::new(jitter),
        }
    }

    /// The sequence that is delivered next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// One more than the highest sequence that is known to exist.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// How many sequences are missing.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// How many items wait behind a hole.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The bytes of those together.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How many sequences came by themselves after they had been asked for.
    pub fn spurious(&self) -> u64 {
        self.asking.spurious()
    }

    /// Whether `sequence` is exactly the next, with nothing in front of it or behind it. Then it counts as delivered,
    /// and the caller delivers it: nothing is stored.
    pub fn pass(&mut self, sequence: u64) -> bool {
        let passes = sequence == self.next && self.next == self.top && sequence < u64::MAX;
        if passes {
            self.next += 1;
            self.top += 1;
        }
        passes
    }

    /// Whether a frame with this sequence is worth opening: it is missing, or new; or it came as a repair, and a late
    /// original would tell how long to wait before asking.
    pub fn wants(&self, sequence: u64, sent: Sent) -> bool {
        sequence >= self.top
            || self.hole_with(sequence).is_some()
            || (sent == Sent::First && self.asking.was_repaired(sequence))
    }

    /// Keep `item`, which counts as `bytes`, until all before it has been delivered or given up. When the window holds
    /// more than its bounds then, its oldest holes are given up as [`Lost::Overtaken`].
    pub fn put(&mut self, sequence: u64, item: T, bytes: usize, sent: Sent, now: Nanos) -> Placed {
        if !self.is_in_reach(sequence) {
            return Placed::OutOfReach;
        }
        self.heard(now);
        if sequence >= self.top {
            self.extend(sequence, now);
            self.top = sequence + 1;
        } else if !self.fill(sequence, sent, now) {
            if sent == Sent::First {
                self.asking.late_after_repair(sequence, now);
            }
            return if self.items.contains_key(&sequence) { Placed::Duplicate } else { Placed::TooOld };
        }
        self.items.insert(sequence, Item { item, bytes });
        if sequence > self.first_missing() {
            self.waiting += 1;
            self.waiting_bytes += bytes;
            while self.waiting > self.bounds.items || self.waiting_bytes > self.bounds.bytes {
                self.overtake();
            }
        }
        Placed::Taken
    }

    /// The sender has sent everything below `next`. Says whether that is in reach; if not, nothing has changed.
    pub fn sent_up_to(&mut self, next: u64, now: Nanos) -> bool {
        if !self.is_in_reach(next) {
            return false;
        }
        self.heard(now);
        self.extend(next, now);
        true
    }

    /// What comes next, if it is there.
    pub fn take(&mut self) -> Option<Delivery<T>> {
        if let Some((range, _)) = self.lost.front()
            && range.start == self.next
        {
            let (range, lost) = self.lost.pop_front()?;
            if self.lost.is_empty() {
                self.lost = VecDeque::new();
            }
            self.next = range.end;
            return Some(Delivery::Gap(range, lost));
        }
        let first = self.items.first_entry().filter(|entry| *entry.key() == self.next)?;
        let (sequence, Item { item, .. }) = first.remove_entry();
        self.next = sequence + 1;
        Some(Delivery::Item(sequence, item))
    }

    /// Nothing below `sequence` will come any more, known or not. Says whether that is in reach; if not, nothing has
    /// changed.
    pub fn forget_below(&mut self, sequence: u64, lost: Lost, now: Nanos) -> bool {
        if !self.is_in_reach(sequence) {
            return false;
        }
        self.extend(sequence, now);
        self.lose(lost, |hole, end| end.min(sequence).max(hole.start));
        true
    }

    /// Nothing that is missing now will come any more.
    pub fn give_up(&mut self, lost: Lost) {
        self.lose(lost, |_, end| end);
    }

    /// Nothing that was noticed to be missing before `noticed` will come any more.
    pub fn give_up_older(&mut self, noticed: Nanos, lost: Lost) {
        self.lose(lost, |hole, end| if hole.noticed < noticed { end } else { hole.start });
    }

    /// Give up the oldest hole, for room.
    pub fn overtake(&mut self) {
        let mut lost = self.first_missing();
        self.lose(Lost::Overtaken, |hole, end| {
            if hole.start == lost {
                lost = end;
            }
            hole.start.max(lost)
        });
    }

    /// The sender was heard now, so it can answer. [`Window::put`] and [`Window::sent_up_to`] imply it.
    pub fn heard(&mut self, now: Nanos) {
        self.asking.heard(now);
    }

    /// What to ask the sender for now, as ascending ranges that do not touch, at most one request full; they count as
    /// asked for. `jitter` is how much longer than it must the next request waits.
    pub fn due(&mut self, now: Nanos, jitter: Nanos) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        if self.next_due().is_none_or(|due| due > now) {
            return ranges;
        }
        let mut absorbed = Vec::new();
        let mut earliest = Nanos::MAX;
        for (&end, hole) in &mut self.holes {
            let due = self.asking.due(hole.noticed, hole.asked);
            if due > now {
                earliest = earliest.min(due);
                continue;
            }
            if ranges.len() == ASKED {
                earliest = now;
                break;
            }
            hole.asked = Some(Asked { first: hole.asked.map_or(now, |asked| asked.first), last: now });
            match ranges.last_mut() {
                Some(last) if last.end == hole.start => {
                    absorbed.push(last.end);
                    last.end = end;
                }
                _ => ranges.push(hole.start..end),
            }
        }
        for end in absorbed {
            self.join(end);
        }
        self.asking.end(!ranges.is_empty(), earliest, now, jitter);
        ranges
    }

    /// When to call [`Window::due`].
    pub fn next_due(&self) -> Option<Nanos> {
        if self.missing == 0 { None } else { Some(self.asking.next()) }
    }

    fn is_in_reach(&self, sequence: u64) -> bool {
        sequence < u64::MAX && sequence.saturating_sub(self.next) <= limits::STREAM_REACH
    }

    /// Everything below this is ready or taken.
    fn first_missing(&self) -> u64 {
        self.holes.first_key_value().map_or(self.top, |(_, hole)| hole.start)
    }

    /// The end of the hole that `sequence` is in, and the hole.
    fn hole_with(&self, sequence: u64) -> Option<(u64, Hole)> {
        let (&end, &hole) = self.holes.range(sequence.checked_add(1)?..).next()?;
        (hole.start <= sequence).then_some((end, hole))
    }

    /// Everything below `next` exists: what is new of it is missing.
    fn extend(&mut self, next: u64, now: Nanos) {
        if next <= self.top {
            return;
        }
        let mut hole = Hole { start: self.top, noticed: now, asked: None };
        self.asking.noticed(self.missing == 0, now);
        self.missing += next - self.top;
        if let Some(last) = self.holes.last_entry()
            && *last.key() == self.top
            && last.get().asked.is_none()
            && now.saturating_sub(last.get().noticed) < MILLISECOND
        {
            hole = last.remove();
        }
        self.holes.insert(next, hole);
        self.top = next;
    }

    /// Take `sequence` out of the hole that it is in, if it is in one.
    fn fill(&mut self, sequence: u64, sent: Sent, now: Nanos) -> bool {
        let Some((end, hole)) = self.hole_with(sequence) else { return false };
        self.asking.filled(sequence, sent, hole.noticed, hole.asked, now);
        let first = self.first_missing();
        self.missing -= 1;
        match (hole.start < sequence, sequence + 1 < end) {
            (false, false) => drop(self.holes.remove(&end)),
            (false, true) => drop(self.holes.insert(end, Hole { start: sequence + 1, ..hole })),
            (true, false) => {
                self.holes.remove(&end);
                self.holes.insert(sequence, hole);
            }
            (true, true) => {
                self.holes.insert(end, Hole { start: sequence + 1, ..hole });
                self.holes.insert(sequence, hole);
            }
        }
        self.settle(first);
        true
    }

    /// Make the hole that ends at `end` and the one that begins there one, with the moments of the first.
    fn join(&mut self, end: u64) {
        let Some(first) = self.holes.remove(&end) else { return };
        if let Some((_, second)) = self.holes.range_mut(end..).next() {
            *second = first;
        }
    }

    /// Give up the holes in front, each up to what `keep_from` says of it and its end; stop at the first that it keeps.
    fn lose(&mut self, lost: Lost, mut keep_from: impl FnMut(&Hole, u64) -> u64) {
        let first = self.first_missing();
        while let Some(mut entry) = self.holes.first_entry() {
            let end = *entry.key();
            let start = entry.get().start;
            let keep = keep_from(entry.get(), end);
            if keep > start {
                self.missing -= keep - start;
                match self.lost.back_mut() {
                    Some((range, reason)) if range.end == start && *reason == lost => range.end = keep,
                    _ => self.lost.push_back((start..keep, lost)),
                }
            }
            if keep < end {
                entry.get_mut().start = keep;
                break;
            }
            entry.remove();
        }
        self.settle(first);
    }

    /// The items between `before`, where the first hole was, and where it is now do not wait any more.
    fn settle(&mut self, before: u64) {
        let now = self.first_missing();
        if now - before > 1 {
            for item in self.items.range(before..now).map(|(_, item)| item) {
                self.waiting -= 1;
                self.waiting_bytes -= item.bytes;
            }
        }
    }
}
