//! What receivers asked for, held for a moment so that what several miss goes out once, and the answers.

use super::budget::RepairBudget;
use super::history::History;
use super::message::Request;
use super::requesters::{Caller, Requesters};
use super::{MILLISECOND, Nanos, Outgoing, To};
use crate::limits::HELD_REQUESTS;
use crate::sealed::header::FLAG_REPAIR;
use crate::sealed::packing::Packer;
use std::net::SocketAddr;
use std::ops::Range;

/// How many must miss the same for the answer to go to the group; with fewer who ask at all, nothing is held.
pub const SHARED: usize = 3;
/// How long requests are held when there are so many who ask.
const HOLD: Nanos = 2 * MILLISECOND;
/// How long what went to the group is not sent again: requests for it may still be under way.
const SETTLING: Nanos = 10 * MILLISECOND;
/// Bytes that the answer to one request has at most: more than any bucket holds, and what is left is asked for again.
const ANSWER: usize = 1024 * 1024;

/// One sequence that one receiver asked for.
struct Ask {
    sequence: u64,
    /// In `askers`.
    asker: usize,
    /// The fragments, where it has the others.
    missing: Option<Box<[u8]>>,
}

/// One request that is held.
struct Asker {
    caller: Caller,
    /// From the lowest that it asked for to the end of the highest.
    span: Range<u64>,
    /// It is not given all of it, for it is more than its share.
    short: bool,
}

/// A receiver that has asked for more than its share too long.
pub struct Lagging {
    pub caller: Caller,
    /// The end of what it asked for.
    pub below: u64,
}

/// What is held, and what was answered.
pub struct Repairs {
    asks: Vec<Ask>,
    askers: Vec<Asker>,
    due: Option<Nanos>,
    pub budget: RepairBudget,
    pub packer: Packer,
    /// Sequences that were sent again, to one or to the group.
    pub repairs: u64,
    /// Of those, the ones that went to the group.
    pub shared: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Repairs {
    pub fn new(packer: Packer, now: Nanos) -> Repairs {
        Repairs {
            asks: Vec::new(),
            askers: Vec::new(),
            due: None,
            budget: RepairBudget::new(now),
            packer,
            repairs: 0,
            shared: 0,
            bytes: 0,
        }
    }

    /// When [`Repairs::answer`] is to be called.
    pub fn due(&self) -> Option<Nanos> {
        self.due
    }

    /// How many sequences are held.
    pub fn held(&self) -> usize {
        self.asks.len()
    }

    /// Drop what is held; it will be asked for again.
    pub fn forget(&mut self) {
        self.asks.clear();
        self.askers.clear();
        self.due = None;
    }

    /// Hold a request from one who has proved its address, when there are `active` such receivers.
    pub fn hold(&mut self, caller: Caller, request: &Request, from: u64, active: usize, history: &History, now: Nanos) {
        let Some(span) = span(request, history.next()) else { return };
        let asker = self.asker(caller, span);
        let mut bytes = 0;
        for (sequence, missing) in wanted(request, from.max(history.oldest())..history.next()) {
            let Some(kept) = history.get(sequence) else { break };
            if kept.shared.is_some_and(|at| now.saturating_sub(at) < SETTLING) {
                continue;
            }
            if bytes > ANSWER {
                self.askers[asker].short = true;
                break;
            }
            if self.asks.len() >= HELD_REQUESTS {
                break;
            }
            bytes += kept.content_bytes();
            self.asks.push(Ask { sequence, asker, missing: missing.map(Box::from) });
        }
        self.due.get_or_insert(if active >= SHARED { now + HOLD } else { now });
    }

    /// Answer what is held: what enough of them miss goes to the group once, the rest to each of them, as the budget and
    /// their shares allow. Who has been asking for more than its share too long.
    pub fn answer(
        &mut self,
        history: &mut History,
        requesters: &mut Requesters,
        out: &mut Vec<Outgoing>,
        now: Nanos,
    ) -> Vec<Lagging> {
        self.due = None;
        self.budget.fill(now);
        let active = requesters.active(now);
        let mut asks = std::mem::take(&mut self.asks);
        let place_of = |ask: &Ask, askers: &[Asker]| askers[ask.asker].caller.place;
        asks.sort_by_key(|ask| (ask.sequence, place_of(ask, &self.askers)));
        asks.dedup_by(|later, earlier| {
            let same =
                later.sequence == earlier.sequence && place_of(later, &self.askers) == place_of(earlier, &self.askers);
            if same {
                earlier.missing = union([earlier.missing.take(), later.missing.take()]);
            }
            same
        });
        for same in asks.chunk_by_mut(|one, other| one.sequence == other.sequence) {
            if same.len() >= SHARED {
                self.answer_to_all(same, history, out, now);
            } else {
                for ask in same {
                    self.answer_to_one(ask, history, requesters, out, active, now);
                }
            }
        }
        asks.clear();
        self.asks = asks;
        self.judge(history.next(), requesters, now)
    }

    /// Answer one who has not proved its address, with `allowance` bytes at most.
    pub fn answer_unproven(
        &mut self,
        address: SocketAddr,
        request: &Request,
        mut allowance: usize,
        history: &mut History,
        out: &mut Vec<Outgoing>,
        now: Nanos,
    ) {
        self.budget.fill(now);
        for (sequence, missing) in wanted(request, history.oldest()..history.next()) {
            let Some((counted, sealer)) = history.repair(sequence, &mut self.packer) else { return };
            let mut answered = false;
            for frame in sealer.frames(counted, FLAG_REPAIR, missing) {
                if frame.len() > allowance || !self.budget.bucket.has_any() {
                    self.repairs += u64::from(answered);
                    return;
                }
                allowance -= frame.len();
                self.budget.bucket.take(frame.len());
                self.bytes += frame.len() as u64;
                answered = true;
                out.push(Outgoing { to: To::Address(address), bytes: frame });
            }
            self.repairs += u64::from(answered);
        }
    }

    /// Who asks: one row for all of its requests that are held.
    fn asker(&mut self, caller: Caller, span: Range<u64>) -> usize {
        if let Some(known) = self.askers.iter().position(|asker| asker.caller.place == caller.place) {
            let asker = &mut self.askers[known];
            asker.caller = caller;
            asker.span = asker.span.start.min(span.start)..asker.span.end.max(span.end);
            return known;
        }
        self.askers.push(Asker { caller, span, short: false });
        self.askers.len() - 1
    }

    fn answer_to_all(&mut self, same: &mut [Ask], history: &mut History, out: &mut Vec<Outgoing>, now: Nanos) {
        if !self.budget.bucket.has_any() {
            return;
        }
        let sequence = same[0].sequence;
        let missing = union(same.iter_mut().map(|ask| ask.missing.take()));
        let bytes = self.send(To::Group, sequence, missing.as_deref(), history, out);
        self.budget.bucket.take(bytes);
        self.shared += 1;
        history.mark_shared(sequence, now);
    }

    fn answer_to_one(
        &mut self,
        ask: &Ask,
        history: &mut History,
        requesters: &mut Requesters,
        out: &mut Vec<Outgoing>,
        active: usize,
        now: Nanos,
    ) {
        let asker = &mut self.askers[ask.asker];
        let Caller { place, address, .. } = asker.caller;
        if !requesters.allows(place, active, &self.budget, now) {
            asker.short |= !requesters.has_share(place);
            return;
        }
        let bytes = self.send(To::Address(address), ask.sequence, ask.missing.as_deref(), history, out);
        requesters.charge(place, bytes, &mut self.budget);
    }

    /// Send a sequence, or those of its fragments that are missing, again; how many bytes those are.
    fn send(
        &mut self,
        to: To,
        sequence: u64,
        missing: Option<&[u8]>,
        history: &mut History,
        out: &mut Vec<Outgoing>,
    ) -> usize {
        let Some((counted, sealer)) = history.repair(sequence, &mut self.packer) else { return 0 };
        let before = out.len();
        out.extend(sealer.frames(counted, FLAG_REPAIR, missing).map(|bytes| Outgoing { to, bytes }));
        let bytes = out[before..].iter().map(|outgoing| outgoing.bytes.len()).sum();
        self.repairs += 1;
        self.bytes += bytes as u64;
        bytes
    }

    fn judge(&mut self, next: u64, requesters: &mut Requesters, now: Nanos) -> Vec<Lagging> {
        let mut lagging = Vec::new();
        for Asker { caller, span, short } in self.askers.drain(..) {
            let behind = next.saturating_sub(span.start);
            if requesters.is_lagging(caller.place, short, behind, span.end, now) {
                lagging.push(Lagging { caller, below: span.end });
            }
        }
        lagging
    }
}

/// From the lowest sequence that is asked for to the end of the highest, those that do not exist yet left out.
pub fn span(request: &Request, next: u64) -> Option<Range<u64>> {
    let starts = request.ranges.first().map(|range| range.start).into_iter();
    let start = starts.chain(request.partials.first().map(|partial| partial.sequence)).min()?;
    let ends = request.ranges.last().map(|range| range.end).into_iter();
    let end = ends.chain(request.partials.last().map(|partial| partial.sequence.saturating_add(1))).max()?;
    Some(start..end.min(next))
}

/// What is asked for within `bounds`, lowest first: a sequence, and its missing fragments where the others are there.
fn wanted(request: &Request, bounds: Range<u64>) -> impl Iterator<Item = (u64, Option<&[u8]>)> {
    let Range { start, end } = bounds;
    let clipped = request.ranges.iter().flat_map(move |range| range.start.max(start)..range.end.min(end));
    let mut whole = clipped.map(|sequence| (sequence, None)).peekable();
    let inside = request.partials.iter().filter(move |partial| (start..end).contains(&partial.sequence));
    let mut partial = inside.map(|partial| (partial.sequence, Some(&partial.missing[..]))).peekable();
    std::iter::from_fn(move || match (whole.peek(), partial.peek()) {
        (Some((one, _)), Some((other, _))) if other < one => partial.next(),
        (Some(_), _) => whole.next(),
        (None, _) => partial.next(),
    })
}

/// The fragments that any of them misses; all (`None`) where one misses all.
fn union(missing: impl IntoIterator<Item = Option<Box<[u8]>>>) -> Option<Box<[u8]>> {
    let together = |one: Box<[u8]>, other: Box<[u8]>| {
        let (mut longer, shorter) = if one.len() >= other.len() { (one, other) } else { (other, one) };
        longer.iter_mut().zip(&shorter).for_each(|(byte, more)| *byte |= more);
        longer
    };
    missing.into_iter().reduce(|one, other| Some(together(one?, other?))).flatten()
}
