//! When a stream's holes are asked for: how long to wait for reordering, and how soon to ask again.
//!
//! A hole may close by itself, because the network delivers out of order: how late originals came of late says how long
//! to wait for one. An answer may be lost, or the sender may be gone: it is asked again soon while it is heard, and
//! after as long again as nothing was heard while it is not.

use super::Sent;
use crate::reliable::{MILLISECOND, Nanos, SECOND};
use std::collections::VecDeque;

/// A hole is left this long at least, in case what is missing is only late.
pub const LEAST_WAIT: Nanos = 2 * MILLISECOND;
/// And this long at most, however late originals come.
pub const MOST_WAIT: Nanos = 50 * MILLISECOND;
/// A sender that is heard is asked again after this, if its answers do not take longer.
pub const LEAST_RETRY: Nanos = 20 * MILLISECOND;
/// One that is not heard, or far away, after this at most.
pub const MOST_RETRY: Nanos = 250 * MILLISECOND;
/// Two requests for one stream have this between them, so that losses that go on are asked for together.
pub const SPACING: Nanos = 2 * MILLISECOND;
/// How late originals were, and how fast answers, is forgotten after one to two of these.
const MEMORY: Nanos = 30 * SECOND;
/// Repairs that are remembered, so that an original that comes after its repair is known for a late one.
const REPAIRS: usize = 256;

/// When something was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub first: Nanos,
    pub last: Nanos,
}

#[derive(Clone, Debug)]
pub struct Asking {
    /// The earliest moment of the next request, if anything is missing.
    next: Nanos,
    /// When the last request was made.
    last: Option<Nanos>,
    /// When the sender was heard last; of what passed through the window without a hole nobody knows.
    heard: Nanos,
    jitter: Nanos,
    lateness: Lateness,
    answers: Answers,
    /// Sequences that came as repairs, and when each was noticed to be missing.
    repairs: VecDeque<(u64, Nanos)>,
    spurious: u64,
}

impl Asking {
    pub fn new(jitter: Nanos) -> Asking {
        Asking {
            next: Nanos::MAX,
            last: None,
            heard: 0,
            jitter,
            lateness: Lateness::default(),
            answers: Answers::default(),
            repairs: VecDeque::new(),
            spurious: 0,
        }
    }

    /// Originals that came after they had been asked for.
    pub fn spurious(&self) -> u64 {
        self.spurious
    }

    pub fn next(&self) -> Nanos {
        self.next
    }

    /// A hole begins; it is the `only` one.
    pub fn noticed(&mut self, only: bool, now: Nanos) {
        self.lateness.turn(now);
        let due = self.spaced(now.saturating_add(self.lateness.wait()).saturating_add(self.jitter));
        self.next = if only { due } else { self.next.min(due) };
    }

    /// The sender was heard. Nothing becomes due earlier by it unless it has been silent.
    pub fn heard(&mut self, now: Nanos) {
        if now.saturating_sub(self.heard) > LEAST_RETRY {
            self.next = self.next.min(self.spaced(now.saturating_add(self.jitter)));
        }
        self.heard = self.heard.max(now);
    }

    /// What was missing has come.
    pub fn filled(&mut self, sequence: u64, sent: Sent, noticed: Nanos, asked: Option<Asked>, now: Nanos) {
        match (sent, asked) {
            (Sent::First, asked) => {
                self.spurious += u64::from(asked.is_some());
                self.lateness.learn(now.saturating_sub(noticed), now);
            }
            (Sent::Again, Some(asked)) => {
                self.answers.learn(now.saturating_sub(asked.first), now);
                if self.repairs.len() == REPAIRS {
                    self.repairs.pop_front();
                }
                self.repairs.push_back((sequence, noticed));
            }
            (Sent::Again, None) => (),
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
            self.spurious += 1;
            self.lateness.learn(now.saturating_sub(noticed), now);
        }
    }

    /// When a hole is to be asked for.
    pub fn due(&self, noticed: Nanos, asked: Option<Asked>) -> Nanos {
        match asked {
            None => noticed.saturating_add(self.lateness.wait()),
            Some(asked) => asked.last.saturating_add(self.retry(asked.last)),
        }
    }

    /// The request is put together, and asks for something or not; the earliest of the other holes is due at `earliest`.
    pub fn end(&mut self, asks: bool, earliest: Nanos, now: Nanos, jitter: Nanos) {
        self.jitter = jitter;
        let mut next = earliest;
        if asks {
            self.last = Some(now);
            next = next.min(now.saturating_add(self.retry(now)));
        }
        self.next = self.spaced(next.saturating_add(jitter));
    }

    /// How long to wait for an answer to what was asked at `asked`: twice what answers take, and while the sender is
    /// silent as long as it had been silent then, so that each time is twice the last.
    fn retry(&self, asked: Nanos) -> Nanos {
        let silent = asked.saturating_sub(self.heard);
        silent.max(self.answers.fastest().saturating_mul(2)).clamp(LEAST_RETRY, MOST_RETRY)
    }

    fn spaced(&self, due: Nanos) -> Nanos {
        self.last.map_or(due, |last| due.max(last.saturating_add(SPACING)))
    }
}

/// The longest lateness of an original in the last 30 to 60 seconds.
#[derive(Clone, Debug, Default)]
struct Lateness {
    since: Nanos,
    before: Nanos,
    current: Nanos,
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

/// How long the fastest answer of the last 30 to 60 seconds took, from when it was first asked for. The others were asked
/// for in vain first, or waited until the sender had sent so much else again: then it is asked for soon all the same.
#[derive(Clone, Debug, Default)]
struct Answers {
    since: Nanos,
    before: Option<Nanos>,
    current: Option<Nanos>,
}

impl Answers {
    fn learn(&mut self, took: Nanos, now: Nanos) {
        let age = now.saturating_sub(self.since);
        if age >= MEMORY {
            self.before = self.current.take().filter(|_| age < 2 * MEMORY);
            self.since = now;
        }
        self.current = Some(self.current.map_or(took, |fastest| fastest.min(took)));
    }

    fn fastest(&self) -> Nanos {
        self.before.into_iter().chain(self.current).min().unwrap_or(0)
    }
}
