//! The books: what each stream sent, and what each receiver was given of it. They are kept apart from the sessions, and
//! whatever does not balance is a fault, which fails the run.
//!
//! For each receiver and stream, at all times and in this order:
//!
//! ```text
//! sequences sent = events given + events in gap records + signatures + counted rejects
//! ```

use super::network::NodeId;
use super::packet::Label;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use switchcast_native::reliable::Nanos;
use switchcast_native::reliable::given::{At, GapRecord, Lost, StreamRow};
use switchcast_native::sealed::header::StreamId;
use switchcast_native::trust::Trust;

/// So many faults are told; the first one is the one that matters.
const FAULTS_TOLD: usize = 12;

/// What was sent and what was given.
#[derive(Default)]
pub struct Books {
    streams: HashMap<StreamId, Sent>,
    pages: BTreeMap<(Hearer, StreamId), Page>,
    /// What does not balance.
    pub faults: Vec<String>,
    /// What was given though nobody sent it, or as from nobody.
    pub foreign: u64,
}

/// One start of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hearer {
    pub node: NodeId,
    pub start: u32,
}

/// One stream: all that it sent, by sequence from 1.
struct Sent {
    slots: Vec<Slot>,
    began: Nanos,
}

#[derive(Clone, Copy)]
struct Slot {
    digest: u64,
    at: Nanos,
    is_signature: bool,
    /// Nobody got it as it was first sent.
    is_lost: bool,
}

/// What one receiver was given of one stream.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The first sequence that it was given or told to be missing.
    pub first: u64,
    /// The sequence that comes next.
    pub next: u64,
    pub given: u64,
    /// Those that a signature vouches for, and those for which nothing does.
    pub signed: u64,
    pub unproven: u64,
    /// Events in gap records, of those that were sent.
    pub in_gaps: u64,
    pub signatures: u64,
    /// Events that were passed over without a word: counted rejects, or a fault.
    pub skipped: u64,
    pub reasons: HashMap<Lost, u64>,
    /// When it was first given something.
    pub began: Nanos,
    /// Delays in nanoseconds of the events whose first sending this receiver missed.
    pub repaired: Vec<Nanos>,
    /// Delays of all events.
    pub delays: Vec<Nanos>,
    /// Sequences whose first sending it missed on its own cable.
    missed: Vec<u64>,
    /// The sequence at which a gap record without an end began.
    pub open_from: Option<u64>,
}

impl Page {
    fn misses(&self, sequence: u64) -> bool {
        self.missed.get(sequence as usize / 64).is_some_and(|word| word >> (sequence % 64) & 1 == 1)
    }
}

/// What an event's text must be at the other end.
pub fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Books {
    /// A stream begins.
    pub fn begin(&mut self, stream: StreamId, now: Nanos) {
        if self.streams.insert(stream, Sent { slots: Vec::new(), began: now }).is_some() {
            self.fault(format!("two starts have the stream {stream:02x?}"));
        }
    }

    /// A stream sends a sequence: an event whose text has this digest, or a signature.
    pub fn sent(&mut self, label: Label, digest: u64, now: Nanos) {
        let sent = self.streams.get_mut(&label.stream).expect("its beginning was told");
        let due = sent.slots.len() as u64 + 1;
        sent.slots.push(Slot { digest, at: now, is_signature: label.is_signature, is_lost: false });
        if label.sequence != due {
            self.fault(format!("sequence {} was sent where {due} was due", label.sequence));
        }
    }

    /// A datagram of the data does not arrive as it was first sent: at `by`, or at anyone.
    pub fn lost(&mut self, label: Label, by: Option<Hearer>) {
        let Some(sent) = self.streams.get_mut(&label.stream) else { return };
        let Some(slot) = sent.slots.get_mut((label.sequence as usize).wrapping_sub(1)) else { return };
        match by {
            None => slot.is_lost = true,
            Some(hearer) => {
                let missed = &mut self.pages.entry((hearer, label.stream)).or_default().missed;
                let word = label.sequence as usize / 64;
                if missed.len() <= word {
                    missed.resize(word + 1, 0);
                }
                missed[word] |= 1 << (label.sequence % 64);
            }
        }
    }

    /// Whether the first sending of a sequence did not get to `by`.
    pub fn is_lost(&self, stream: &StreamId, sequence: u64, by: Hearer) -> bool {
        let slot = self.streams.get(stream).and_then(|sent| sent.slots.get((sequence as usize).wrapping_sub(1)));
        slot.is_some_and(|slot| slot.is_lost)
            || self.pages.get(&(by, *stream)).is_some_and(|page| page.misses(sequence))
    }

    /// A receiver is given an event.
    pub fn given(&mut self, hearer: Hearer, text: &[u8], trust: Trust, at: Option<At<'_>>, now: Nanos) {
        let slot = at.and_then(|at| Some((at, *self.streams.get(&at.stream)?.slots.get(at.sequence as usize - 1)?)));
        let Some((at, slot)) = slot.filter(|(_, slot)| slot.digest == digest(text) && !slot.is_signature) else {
            self.foreign += 1;
            return self.fault(format!("{hearer:?} was given what nobody sent, as {at:?}"));
        };
        let (from, to) = self.advance(hearer, at.stream, at.sequence, at.sequence + 1, now);
        if from > at.sequence {
            return self.fault(format!("{hearer:?} was given {} when {from} was due", at.sequence));
        }
        let page = self.page(hearer, &at.stream);
        page.next = to;
        page.given += 1;
        page.signed += u64::from(matches!(trust, Trust::Signed(_)));
        page.unproven += u64::from(trust < Trust::Member);
        page.delays.push(now - slot.at);
        if slot.is_lost || page.misses(at.sequence) {
            page.repaired.push(now - slot.at);
        }
    }

    /// A receiver is told that events are missing for good.
    pub fn gap(&mut self, hearer: Hearer, gap: &GapRecord, now: Nanos) {
        let Some(sent) = self.streams.get(&gap.stream).map(|sent| sent.slots.len() as u64) else {
            return self.fault(format!("{hearer:?} was told of a gap in a stream of nobody's: {gap:?}"));
        };
        if gap.range.is_empty() || !gap.is_open() && gap.range.end > sent + 1 {
            self.fault(format!("{hearer:?} was told of a gap of what was not sent: {gap:?}, {sent} sent"));
        }
        let (from, _) = self.advance(hearer, gap.stream, gap.range.start, gap.range.end, now);
        if from > gap.range.start {
            return self.fault(format!("{hearer:?} was told of the gap {:?} when {from} was due", gap.range));
        }
        let inside = gap.range.start..gap.range.end.min(sent + 1);
        let slots = &self.streams[&gap.stream].slots;
        let events = inside.filter(|sequence| !slots[*sequence as usize - 1].is_signature).count() as u64;
        let page = self.page(hearer, &gap.stream);
        page.next = gap.range.end;
        page.in_gaps += events;
        *page.reasons.entry(gap.reason).or_default() += events;
        page.open_from = gap.is_open().then_some(gap.range.start);
    }

    /// Move a page on to `start`, over signatures only; what was due, and `end`.
    fn advance(&mut self, hearer: Hearer, stream: StreamId, start: u64, end: u64, now: Nanos) -> (u64, u64) {
        let page = self.pages.entry((hearer, stream)).or_default();
        if page.first == 0 {
            (page.first, page.next, page.began) = (start, start, now);
        }
        let due = page.next;
        let skipped = due..start;
        let slots = &self.streams[&stream].slots;
        let is_signature = |sequence: &u64| slots.get(*sequence as usize - 1).is_some_and(|slot| slot.is_signature);
        let silent: Vec<u64> = skipped.clone().filter(|sequence| !is_signature(sequence)).collect();
        page.signatures += skipped.count() as u64 - silent.len() as u64;
        page.skipped += silent.len() as u64;
        (due, end)
    }

    fn page(&mut self, hearer: Hearer, stream: &StreamId) -> &mut Page {
        self.pages.entry((hearer, *stream)).or_default()
    }

    /// What `hearer` was given of `stream`, when it was given anything.
    pub fn page_of(&self, hearer: Hearer, stream: &StreamId) -> Option<&Page> {
        self.pages.get(&(hearer, *stream)).filter(|page| page.first > 0)
    }

    /// Every page of those that were given anything.
    pub fn pages(&self) -> impl Iterator<Item = (&(Hearer, StreamId), &Page)> {
        self.pages.iter().filter(|(_, page)| page.first > 0)
    }

    /// Every stream, in the order of their ids.
    pub fn streams(&self) -> Vec<StreamId> {
        let mut streams: Vec<_> = self.streams.keys().copied().collect();
        streams.sort_unstable();
        streams
    }

    /// How many events, signatures left out, were sent from `first` on.
    pub fn events(&self, stream: &StreamId, first: u64) -> u64 {
        let slots = self.streams.get(stream).map_or(&[][..], |sent| &sent.slots);
        slots.iter().skip(first as usize - 1).filter(|slot| !slot.is_signature).count() as u64
    }

    /// Whether a stream sent something at `since` or later.
    pub fn has_sent(&self, stream: &StreamId, since: Nanos) -> bool {
        let last = self.streams.get(stream).and_then(|sent| sent.slots.last());
        last.is_some_and(|slot| slot.at >= since)
    }

    /// Close the page of a receiver that has ended: what it was given has no holes of which it was not told.
    pub fn close_early(&mut self, hearer: Hearer, stream: &StreamId) {
        let skipped = self.page_of(hearer, stream).map_or(0, |page| page.skipped);
        if skipped > 0 {
            self.fault(format!("{hearer:?} was not given {skipped} events in the midst of others, and was not told"));
        }
    }

    /// Close the page of a receiver that runs to the end: nothing may be left that it was neither given nor told of.
    ///
    /// `since` is when the receiver began to listen; `row` is what the session itself says, which must be the same.
    pub fn close(&mut self, hearer: Hearer, stream: &StreamId, since: Nanos, row: Option<&StreamRow>) {
        let Some(sent) = self.streams.get(stream) else { return };
        let (began, count) = (sent.began, sent.slots.len() as u64);
        if self.events(stream, 1) == 0 {
            return;
        }
        let Some(page) = self.page_of(hearer, stream).cloned() else {
            return self.fault(format!("{hearer:?} was given nothing of {stream:02x?}, which sent {count}"));
        };
        let left = if page.next > count { 0 } else { self.events(stream, page.next) };
        if left > 0 {
            let next = page.next;
            self.fault(format!("{hearer:?} was not given {left} events from {next} on, and was not told"));
        }
        if since <= began && page.first != 1 && self.events(stream, 1) != self.events(stream, page.first) {
            self.fault(format!("{hearer:?} began with {} though it heard the stream begin", page.first));
        }
        let (owed, given, in_gaps) = (self.events(stream, page.first), page.given, page.in_gaps);
        let rejected = row.map_or(0, |row| row.rejected);
        if owed != given + in_gaps + rejected + left {
            self.fault(format!(
                "{hearer:?}: {owed} sent, {given} given, {in_gaps} in gap records, {rejected} rejected"
            ));
        }
        if let Some(row) = row {
            let told = row.delivered + row.gaps + row.signatures + row.rejected + row.held;
            if row.next - row.first != told || row.delivered != given || row.rejected != page.skipped {
                self.fault(format!("{hearer:?} tells of itself what the books do not say: {row:?}"));
            }
        } else {
            self.close_early(hearer, stream);
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_TOLD {
            self.faults.push(what);
        }
    }
}

/// The delay that so many hundredths of `delays` do not exceed; 0 when there are none.
pub fn percentile(delays: &mut [Nanos], hundredths: usize) -> Nanos {
    if delays.is_empty() {
        return 0;
    }
    let place = (delays.len() * hundredths / 100).min(delays.len() - 1);
    *delays.select_nth_unstable(place).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = [7; 16];
    const HEARER: Hearer = Hearer { node: 1, start: 0 };

    /// A stream that sent ten events and a signature, the last; the text of each event is its sequence.
    fn books() -> Books {
        let mut books = Books::default();
        books.begin(STREAM, 0);
        for sequence in 1..=11u64 {
            let label = Label { stream: STREAM, sequence, is_signature: sequence == 11 };
            books.sent(label, digest(&sequence.to_be_bytes()), sequence);
        }
        books
    }

    fn give(books: &mut Books, sequence: u64) {
        let at = At { sender: b"fs1", stream: STREAM, sequence };
        books.given(HEARER, &sequence.to_be_bytes(), Trust::Member, Some(at), 100 + sequence);
    }

    fn gap(books: &mut Books, range: std::ops::Range<u64>) {
        books.gap(HEARER, &GapRecord { sender: b"fs1".into(), stream: STREAM, range, reason: Lost::Expired }, 200);
    }

    fn closed(mut books: Books) -> Vec<String> {
        books.close(HEARER, &STREAM, 0, None);
        books.faults
    }

    #[test]
    fn books_that_balance_have_no_faults() {
        let mut books = books();
        (1..=4).for_each(|sequence| give(&mut books, sequence));
        gap(&mut books, 5..9);
        give(&mut books, 9);
        gap(&mut books, 10..u64::MAX);
        let page = books.page_of(HEARER, &STREAM).unwrap();
        assert_eq!((page.given, page.in_gaps, page.open_from), (5, 5, Some(10)));
        assert!(closed(books).is_empty());
    }

    #[test]
    fn whatever_does_not_balance_is_a_fault() {
        type Story = fn(&mut Books);
        let stories: [(&str, Story); 8] = [
            ("nothing given", |_| ()),
            ("one missing in the middle", |books| (1..=10).filter(|it| *it != 5).for_each(|it| give(books, it))),
            ("the last one missing", |books| (1..=9).for_each(|it| give(books, it))),
            ("the first one missing", |books| (2..=10).for_each(|it| give(books, it))),
            ("one given twice", |books| [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10].into_iter().for_each(|it| give(books, it))),
            ("two in the wrong order", |books| {
                [1, 3, 2, 4, 5, 6, 7, 8, 9, 10].into_iter().for_each(|it| give(books, it))
            }),
            ("one given and in a gap", |books| {
                (1..=10).for_each(|it| give(books, it));
                gap(books, 10..11);
            }),
            ("a gap of what was not sent", |books| {
                (1..=10).for_each(|it| give(books, it));
                gap(books, 12..14);
            }),
        ];
        for (name, story) in stories {
            let mut books = books();
            story(&mut books);
            assert!(!closed(books).is_empty(), "{name}");
        }
    }

    #[test]
    fn another_text_and_a_text_of_nobody_are_foreign() {
        let mut books = books();
        books.given(HEARER, b"other", Trust::Member, Some(At { sender: b"fs1", stream: STREAM, sequence: 1 }), 100);
        books.given(HEARER, b"other", Trust::Stock, None, 100);
        assert_eq!((books.foreign, books.faults.len()), (2, 2));
    }

    #[test]
    fn a_percentile_is_the_value_at_its_place() {
        let mut delays: Vec<Nanos> = (1..=1_000).rev().collect();
        assert_eq!((percentile(&mut delays, 50), percentile(&mut delays, 99)), (501, 991));
        assert_eq!(percentile(&mut [], 99), 0);
    }
}
