//! Token buckets: how many bytes are sent again, and how many frames from strangers are looked into.

use super::random::Randomness;
use super::{MILLISECOND, Nanos, SECOND};
use crate::limits::{STRANGER_OPENS, STRANGER_OPENS_PER_SOURCE, STRANGER_SOURCES};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// Bytes a second that may be sent again however little is sent: a quarter of the sending rate alone cannot make up for
/// 30% of loss.
pub const REPAIR_FLOOR: u64 = 4 * 1024 * 1024;
/// The part of the sending rate that may be sent again, when that is more.
const REPAIR_PART: u64 = 4;
/// What a bucket holds: its rate, for this long. At the floor those are 256 KiB: much more would only fill the queues of
/// receivers, which ask again every 20 ms while answers come.
const DEPTH: Nanos = SECOND / 16;
/// How long the sending rate is measured before the next measurement begins.
const MEASURED: Nanos = 100 * MILLISECOND;

/// A token bucket. What is taken may leave a debt, so that what is larger than the bucket passes too, only later.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Tokens, in billionths, so that no moment is too short to be worth something.
    tokens: i64,
    filled: Nanos,
}

impl Bucket {
    /// One that is full at `now`, for tokens at `rate` a second.
    pub fn full(rate: u64, now: Nanos) -> Bucket {
        Bucket { tokens: depth(rate), filled: now }
    }

    /// Put in what has come since the last time at `rate` tokens a second.
    pub fn fill(&mut self, rate: u64, now: Nanos) {
        let gained = now.saturating_sub(self.filled).saturating_mul(rate);
        self.filled = self.filled.max(now);
        let sum = self.tokens.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX));
        self.tokens = sum.min(depth(rate));
    }

    /// Whether there is anything in it.
    pub fn has_any(&self) -> bool {
        self.tokens > 0
    }

    /// Whether more than half of what it can hold at this rate is there.
    pub fn has_half(&self, rate: u64) -> bool {
        self.tokens > depth(rate) / 2
    }

    /// Take so many tokens out, into debt if need be.
    pub fn take(&mut self, tokens: usize) {
        let billionths = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(SECOND as i64);
        self.tokens = self.tokens.saturating_sub(billionths);
    }

    /// Put so many back that were taken for nothing.
    pub fn give_back(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(i64::from(tokens) * SECOND as i64);
    }
}

fn depth(rate: u64) -> i64 {
    i64::try_from(rate.saturating_mul(DEPTH)).unwrap_or(i64::MAX)
}

/// The bytes that may be sent again: a quarter of the sending rate, but at least [`REPAIR_FLOOR`].
#[derive(Debug)]
pub struct RepairBudget {
    pub bucket: Bucket,
    rate: u64,
    /// Bytes sent since `since`.
    sent: u64,
    since: Nanos,
}

impl RepairBudget {
    pub fn new(now: Nanos) -> RepairBudget {
        RepairBudget { bucket: Bucket::full(REPAIR_FLOOR, now), rate: REPAIR_FLOOR, sent: 0, since: now }
    }

    /// So many bytes went to the group for the first time.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bring the rate and the bucket up to date.
    pub fn fill(&mut self, now: Nanos) {
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= MEASURED {
            let sending = u128::from(self.sent) * u128::from(SECOND) / u128::from(elapsed);
            self.rate = REPAIR_FLOOR.max(u64::try_from(sending).unwrap_or(u64::MAX) / REPAIR_PART);
            (self.sent, self.since) = (0, now);
        }
        self.bucket.fill(self.rate, now);
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }
}

/// How many frames of unknown streams are opened, which costs a key derivation each: for each source, and in all.
///
/// Sources share a fixed number of buckets, so that a stranger with many addresses takes no memory.
#[derive(Debug)]
pub struct Strangers {
    sources: Box<[Bucket]>,
    all: Bucket,
    /// So that nobody can choose addresses that share a bucket with someone else's.
    salt: [u8; 16],
}

impl Strangers {
    pub fn new(random: &mut Randomness, now: Nanos) -> Strangers {
        Strangers {
            sources: vec![Bucket::full(STRANGER_OPENS_PER_SOURCE, now); STRANGER_SOURCES].into(),
            all: Bucket::full(STRANGER_OPENS, now),
            salt: random.bytes(),
        }
    }

    /// Whether one more frame from there may be opened; it is counted.
    pub fn take(&mut self, source: IpAddr, now: Nanos) -> bool {
        self.all.fill(STRANGER_OPENS, now);
        let place = self.place(source);
        let bucket = &mut self.sources[place];
        bucket.fill(STRANGER_OPENS_PER_SOURCE, now);
        let may = bucket.has_any() && self.all.has_any();
        if may {
            bucket.take(1);
            self.all.take(1);
        }
        may
    }

    /// What was opened last was no stranger's after all: it does not count.
    pub fn give_back(&mut self, source: IpAddr) {
        let place = self.place(source);
        self.sources[place].give_back(1);
        self.all.give_back(1);
    }

    fn place(&self, source: IpAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.salt, source).hash(&mut hasher);
        (hasher.finish() % self.sources.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more_than_it_holds() {
        let mut bucket = Bucket::full(1_600, 0);
        bucket.take(100);
        assert!(!bucket.has_any());
        bucket.fill(1_600, SECOND / 1_600);
        assert!(bucket.has_any() && !bucket.has_half(1_600));
        bucket.fill(1_600, 100 * SECOND);
        bucket.take(99);
        assert!(bucket.has_any());
        bucket.take(1);
        assert!(!bucket.has_any(), "it never holds more than a sixteenth of a second's worth");
    }

    #[test]
    fn a_debt_is_paid_before_anything_else_is_taken() {
        let mut bucket = Bucket::full(1_000, 0);
        bucket.take(2_062);
        bucket.fill(1_000, 2 * SECOND - MILLISECOND);
        assert!(!bucket.has_any());
        bucket.fill(1_000, 2 * SECOND + MILLISECOND);
        assert!(bucket.has_any());
    }

    #[test]
    fn time_that_stands_still_or_ends_gives_nothing_and_breaks_nothing() {
        let mut bucket = Bucket::full(u64::MAX, 5);
        bucket.fill(u64::MAX, 3);
        bucket.fill(u64::MAX, u64::MAX);
        bucket.take(usize::MAX);
        bucket.fill(1, u64::MAX);
        assert!(!bucket.has_any());
    }

    #[test]
    fn what_may_be_sent_again_is_a_quarter_of_what_is_sent_but_never_below_the_floor() {
        let mut budget = RepairBudget::new(0);
        let sending = 64 * 1024 * 1024;
        for tenth in 1..=10 {
            budget.sent(sending / 10);
            budget.fill(tenth * 100 * MILLISECOND);
        }
        assert_eq!(budget.rate() / 1_000, sending as u64 / 4 / 1_000);
        budget.fill(2 * SECOND);
        assert_eq!(budget.rate(), REPAIR_FLOOR);
    }

    #[test]
    fn strangers_are_looked_into_by_source_and_in_all() {
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let mut strangers = Strangers::new(&mut Randomness::seeded(1), 0);
        let taken = |strangers: &mut Strangers, source, tries: u64, now| {
            (0..tries).filter(|_| strangers.take(source, now)).count() as u64
        };
        let burst = STRANGER_OPENS_PER_SOURCE / 16;
        assert_eq!(taken(&mut strangers, address(1), 1_000, 0), burst);
        assert_eq!(taken(&mut strangers, address(1), 1_000, SECOND / 32), burst / 2);
        strangers.give_back(address(1));
        assert_eq!(taken(&mut strangers, address(1), 1_000, SECOND / 32), 1, "who was no stranger has cost nothing");
        let many: u64 = (0..100_000).map(|number| taken(&mut strangers, address(number), 1, SECOND / 32)).sum();
        assert!(many <= STRANGER_OPENS / 16, "{many}");
        assert_eq!(strangers.sources.len(), STRANGER_SOURCES);
    }
}
