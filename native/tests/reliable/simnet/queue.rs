//! Time: what will happen, in order. What is due at the same moment happens in the order in which it was planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use switchcast_native::reliable::Nanos;

/// A clock that stands until the next thing happens.
pub struct Queue<T> {
    now: Nanos,
    planned: u64,
    heap: BinaryHeap<Entry<T>>,
}

struct Entry<T> {
    at: Nanos,
    serial: u64,
    what: T,
}

impl<T> Queue<T> {
    /// A clock at `now` with nothing planned.
    pub fn new(now: Nanos) -> Queue<T> {
        Queue { now, planned: 0, heap: BinaryHeap::new() }
    }

    pub fn now(&self) -> Nanos {
        self.now
    }

    /// `what` happens at `at`, or now when that has passed.
    pub fn plan(&mut self, at: Nanos, what: T) {
        self.planned += 1;
        self.heap.push(Entry { at: at.max(self.now), serial: self.planned, what });
    }

    /// The next thing that happens no later than `until`; the clock moves on to it, or to `until` when there is none.
    pub fn next(&mut self, until: Nanos) -> Option<T> {
        if self.heap.peek().is_some_and(|entry| entry.at <= until) {
            let entry = self.heap.pop().expect("there is one");
            self.now = entry.at;
            return Some(entry.what);
        }
        self.now = self.now.max(until);
        None
    }
}

// The heap gives its greatest first, so the earliest is the greatest here.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_happens_in_order_and_never_in_the_past() {
        let mut queue = Queue::new(100);
        for (at, what) in [(300, 'c'), (200, 'a'), (200, 'b'), (50, '0')] {
            queue.plan(at, what);
        }
        let mut seen = Vec::new();
        while let Some(what) = queue.next(250) {
            seen.push((queue.now(), what));
        }
        assert_eq!(seen, [(100, '0'), (200, 'a'), (200, 'b')]);
        assert_eq!((queue.now(), queue.next(300), queue.now()), (250, Some('c'), 300));
    }
}
