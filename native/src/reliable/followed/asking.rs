//! What time brings: holes to ask for, or to give up; silence; the end.

use super::{Desk, Followed, GRACE, LATENESS, REQUEST_FRAMES, SILENCE};
use crate::reliable::Nanos;
use crate::reliable::message::{Partial, Request};
use crate::stream::Lost;
use std::ops::Range;

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Goes,
    /// The sender said that it has ended, and everything is here or told to be missing.
    Ended,
    /// The sender has begun another stream, and nothing comes of this one any more.
    Succeeded,
}

impl Followed {
    /// Do what is due. `asks`: whether what is missing is asked for here.
    pub fn tick(&mut self, asks: bool, desk: &mut Desk<'_>) -> Fate {
        let now = desk.out.now;
        if let Some((below, at)) = self.expiring
            && now >= at
        {
            self.expiring = None;
            self.window.forget_below(below, Lost::Expired, now);
            self.expire_later(now);
            self.drain(desk);
        }
        if !asks {
            self.give_up_unrepaired(desk);
        }
        if self.is_proven() && !self.silent && now >= self.heard + SILENCE {
            self.silent = true;
            self.give_up(if self.end.is_some() { Lost::Ended } else { Lost::Silent }, desk);
        }
        if self.end.is_some_and(|end| self.window.next() >= end) {
            Fate::Ended
        } else if self.succeeded && now >= self.heard + GRACE {
            Fate::Succeeded
        } else {
            Fate::Goes
        }
    }

    /// When [`Followed::tick`] or [`Followed::ask`] has something to do.
    pub fn wake(&self, asks: bool) -> Nanos {
        if self.end.is_some_and(|end| self.window.next() >= end) {
            return 0;
        }
        let mut wake = Nanos::MAX;
        if let Some((_, at)) = self.expiring {
            wake = wake.min(at);
        }
        if asks {
            wake = wake.min(self.window.next_due().unwrap_or(Nanos::MAX));
        } else if self.window.missing() > 0 {
            wake = wake.min(self.unrepaired.unwrap_or(0));
        }
        if self.is_proven() {
            wake = wake.min(if self.silent { Nanos::MAX } else { self.heard + SILENCE });
        }
        if self.succeeded {
            wake = wake.min(self.heard + GRACE);
        }
        wake
    }

    /// What the sender does not keep any more will not come, if it is not on its way.
    pub(super) fn expire_later(&mut self, now: Nanos) {
        if self.expiring.is_none() && self.window.missing() > 0 && self.oldest > self.window.next() {
            self.expiring = Some((self.oldest, now + LATENESS));
        }
    }

    fn give_up_unrepaired(&mut self, desk: &mut Desk<'_>) {
        let now = desk.out.now;
        if self.window.missing() == 0 {
            self.unrepaired = None;
        } else if self.unrepaired.is_none_or(|at| now >= at) {
            self.unrepaired = Some(now + LATENESS);
            self.window.give_up_older((now + 1).saturating_sub(LATENESS), Lost::Unrepaired);
            self.drain(desk);
        }
    }

    /// When [`Followed::ask`] has something to say.
    pub fn next_ask(&self) -> Option<Nanos> {
        self.window.next_due()
    }

    /// The payloads of the requests for all that is missing and due.
    pub fn ask(&mut self, jitter: Nanos, now: Nanos) -> Vec<Vec<u8>> {
        let ranges = self.window.due(now, jitter);
        let mut payloads = Vec::new();
        if ranges.is_empty() {
            return payloads;
        }
        let (ranges, partials) = self.without_partials(ranges);
        let mut request = Request { stream: self.stream, cookie: self.contact.cookie(), ranges, partials };
        while payloads.len() < REQUEST_FRAMES && !(request.ranges.is_empty() && request.partials.is_empty()) {
            payloads.push(request.take_bytes());
        }
        self.tally.requests += payloads.len() as u64;
        payloads
    }

    /// The same without the events that are there in part, and what is missing of those.
    fn without_partials(&self, ranges: Vec<Range<u64>>) -> (Vec<Range<u64>>, Vec<Partial>) {
        let mut whole = Vec::with_capacity(ranges.len());
        let mut partials = Vec::new();
        let mut parts = self.assembler.partials().peekable();
        for Range { mut start, end } in ranges {
            while let Some(&sequence) = parts.peek()
                && sequence < end
            {
                parts.next();
                let Some(missing) = self.assembler.missing(sequence).filter(|_| sequence >= start) else { continue };
                partials.push(Partial { sequence, missing });
                if start < sequence {
                    whole.push(start..sequence);
                }
                start = sequence + 1;
            }
            if start < end {
                whole.push(start..end);
            }
        }
        (whole, partials)
    }
}
