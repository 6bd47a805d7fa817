//! When a stream's holes are asked for: how long to wait for reordering, and how soon to ask again.
//!
//! A hole may close by itself, because the network delivers out of order: how late originals came of late says how long
//! to wait for one. An answer may be lost, or the sender may be gone: it is asked again soon while it is heard, and
//! ever more rarely while it is not.

use super::Sent;
use crate::reliable::{MILLISECOND, Nanos, SECOND};
use std::collections::VecDeque;

/// A hole is left this long at least, in case what is missing is only late.
pub const LEAST_WAIT: Nanos = 2 * MILLISECOND;
/// And this long at most, however late originals come.
pub const MOST_WAIT: Nanos = 50 * MILLISECOND;
/// A sender that is heard is asked again after this.
pub const LEAST_RETRY: Nanos = 20 * MILLISECOND;
/// One that is not, after ever longer, up to this.
pub const MOST_RETRY: Nanos = 250 * MILLISECOND;
/// Two requests for one stream have this between them, so that losses that go on are asked for together.
pub const SPACING: Nanos = 2 * MILLISECOND;
/// Lateness is forgotten after one to two of these.
const MEMORY: Nanos = 30 * SECOND;
/// Repairs that are remembered, so that an original that comes after its repair is known for a late one.
const REPAIRS: usize = 256;

#[derive(Debug)]
pub struct Asking {
    /// The earliest moment of the next request, if anything is missing.
    next: Nanos,
    /// When the last request was made.
    last: Option<Nanos>,
    retry: Nanos,
    heard: bool,
    jitter: Nanos,
    lateness: Lateness,
    /// Sequences that came as repairs, and when each was noticed to be missing.
    repairs: VecDeque<(u64, Nanos)>,
}

/// The longest lateness of an original in the last 30 to 60 seconds.
#[derive(Debug, Default)]
struct Lateness {
    since: Nanos,
    before: Nanos,
    current: Nanos,
}

impl Asking {
    pub fn new(jitter: Nanos) -> Asking {
        Asking {
            next: Nanos::MAX,
            last: None,
            retry: LEAST_RETRY,
            heard: false,
            jitter,
            lateness: Lateness::default(),
            repairs: VecDeque::new(),
        }
    }

    pub fn next(&self) -> Nanos {
        self.next
    }

    /// A hole begins; it is the `only` one.
    pub fn noticed(&mut self, only: bool, now: Nanos) {
        let due = self.spaced(now.saturating_add(self.lateness.wait()).saturating_add(self.jitter));
        self.next = if only { due } else { self.next.min(due) };
    }

    pub fn heard(&mut self, now: Nanos) {
        self.heard = true;
        if self.retry > LEAST_RETRY {
            self.retry = LEAST_RETRY;
            let due = self.last.map_or(now, |last| last.saturating_add(LEAST_RETRY).max(now));
            self.next = self.next.min(due.saturating_add(self.jitter));
        }
    }

    /// What was missing has come.
    pub fn filled(&mut self, sequence: u64, sent: Sent, noticed: Nanos, asked: bool, now: Nanos) {
        match sent {
            Sent::First => self.lateness.learn(now.saturating_sub(noticed), now),
            Sent::Again if asked => {
                if self.repairs.len() == REPAIRS {
                    self.repairs.pop_front();
                }
                self.repairs.push_back((sequence, noticed));
            }
            Sent::Again => (),
        }
    }

    pub fn was_repaired(&self, sequence: u64) -> bool {
        self.repairs.iter().any(|(repaired, _)| *repaired == sequence)
    }

    /// An original has come that is not missing; perhaps its repair was faster.
    pub fn late_after_repair(&mut self, sequence: u64, now: Nanos) {
        if let Some(place) = self.repairs.iter().position(|(repaired, _)| *repaired == sequence)
            && let Some((_, noticed)) = self.repairs.remove(place)
        {
            self.lateness.learn(now.saturating_sub(noticed), now);
        }
    }

    /// A request is put together.
    pub fn begin(&mut self, now: Nanos) {
        self.lateness.turn(now);
    }

    /// When a hole is to be asked for.
    pub fn due(&self, noticed: Nanos, asked: Option<Nanos>) -> Nanos {
        match asked {
            None => noticed.saturating_add(self.lateness.wait()),
            Some(asked) => asked.saturating_add(self.retry),
        }
    }

    /// The request is put together; the earliest of the other holes is due at `earliest`.
    pub fn end(&mut self, asks: bool, earliest: Nanos, now: Nanos, jitter: Nanos) {
        self.jitter = jitter;
        if asks {
            self.retry = if self.heard || self.last.is_none() { LEAST_RETRY } else { MOST_RETRY.min(2 * self.retry) };
            self.heard = false;
            self.last = Some(now);
        }
        let again = if asks { now.saturating_add(self.retry) } else { Nanos::MAX };
        self.next = self.spaced(earliest.min(again).saturating_add(jitter));
    }

    fn spaced(&self, due: Nanos) -> Nanos {
        self.last.map_or(due, |last| due.max(last.saturating_add(SPACING)))
    }
}

impl Lateness {
    fn learn(&mut self, late: Nanos, now: Nanos) {
        self.turn(now);
        self.current = self.current.max(late);
    }

    fn turn(&mut self, now: Nanos) {
        let age = now.saturating_sub(self.since);
        if age >= MEMORY {
            self.before = if age < 2 * MEMORY { self.current } else { 0 };
            self.current = 0;
            self.since = now;
        }
    }

    /// A quarter longer than the latest original.
    fn wait(&self) -> Nanos {
        let late = self.before.max(self.current);
        late.saturating_add(late / 4).clamp(LEAST_WAIT, MOST_WAIT)
    }
}
