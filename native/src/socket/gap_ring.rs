//! The ring of a reliable receiver: what it has no room for is told in its place, as a gap record like any other.
//!
//! A gap record is an event, `CUSTOM switchcast::gap`, which this host vouches for (`Trust::Local`), so nobody else can
//! put one into the stream. `src/switchcast/wire/gap_record.py` has its headers.

use super::poll::Wake;
use super::ring::Ring;
use crate::encoding::Escape;
use crate::event::{Event, Value};
use crate::limits;
use crate::reliable::given::GapRecord;
use crate::sealed::header::StreamId;
use std::collections::VecDeque;
use std::ops::Range;

/// Why the ring loses events.
const OVERFLOW: &str = "overflow";

/// An event's place in its stream, kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub stream: StreamId,
    pub sequence: u64,
}

pub struct GapRing {
    ring: Ring,
    /// What could not be told yet, oldest first. As long as there is any, every event is lost too: order is kept.
    untold: VecDeque<Missing>,
    /// Events that found the ring full.
    pub overflow: u64,
}

/// What a gap record says.
#[derive(Debug)]
struct Missing {
    /// The sender's name.
    sender: Vec<u8>,
    /// `None` for stock datagrams, and for what was lost of several streams when there were too many of them.
    stream: Option<StreamId>,
    /// From the first to the last of them; between them may be others that nobody had asked for.
    range: Range<u64>,
    events: u64,
    reason: &'static str,
}

impl GapRing {
    pub fn new(most_events: usize, most_bytes: usize) -> GapRing {
        GapRing { ring: Ring::new(most_events, most_bytes), untold: VecDeque::new(), overflow: 0 }
    }

    /// Take `event` in, or remember that it was lost.
    pub fn put(&mut self, event: Event, place: Option<Place>) {
        self.tell();
        let refused = if self.untold.is_empty() { self.ring.put(event).err() } else { Some(event) };
        if let Some(event) = refused {
            self.overflow += 1;
            self.miss(&event, place);
        }
    }

    /// Take the record of a gap in, now or as soon as there is room.
    pub fn put_gap(&mut self, gap: GapRecord) {
        let events = if gap.is_open() { 0 } else { gap.range.end - gap.range.start };
        let missing = Missing {
            sender: gap.sender,
            stream: Some(gap.stream),
            range: gap.range,
            events,
            reason: gap.reason.name(),
        };
        self.remember(missing);
        self.tell();
    }

    /// Move at most `most` events to `events`; `filled` comes down when none is left.
    pub fn take(&mut self, most: usize, events: &mut Vec<Event>, filled: &Wake) {
        self.ring.take(most, events, filled);
        if !self.untold.is_empty() {
            self.tell();
            self.announce(filled);
        }
    }

    /// Raise `filled` if there is anything to take.
    pub fn announce(&mut self, filled: &Wake) {
        self.ring.announce(filled);
    }

    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Put the records that wait into the ring, as far as it has room.
    fn tell(&mut self) {
        while let Some(missing) = self.untold.front() {
            // Something that this builds from its own numbers and one name always is an event.
            let Ok(record) = missing.record() else { break };
            if self.ring.put(record).is_err() {
                break;
            }
            self.untold.pop_front();
        }
    }

    fn miss(&mut self, event: &Event, place: Option<Place>) {
        let sender = || event.value(b"Multicast-Sender").unwrap_or_default().into_owned();
        let range = place.map_or(0..0, |place| place.sequence..place.sequence.saturating_add(1));
        let stream = place.map(|place| place.stream);
        // The last of its stream, for a gap of another reason may stand in front of it.
        if let Some(last) = self.untold.iter_mut().rev().find(|missing| missing.stream == stream)
            && last.reason == OVERFLOW
        {
            last.take_in(&range, 1);
            return;
        }
        self.remember(Missing { sender: sender(), stream, range, events: 1, reason: OVERFLOW });
    }

    /// Keep `missing` until it can be told. When too many wait, the last one takes in what it says, and names no stream.
    fn remember(&mut self, missing: Missing) {
        if self.untold.len() < limits::UNTOLD_GAPS {
            self.untold.push_back(missing);
        } else if let Some(last) = self.untold.back_mut() {
            last.events += missing.events;
            (last.stream, last.range, last.reason) = (None, 0..0, OVERFLOW);
            last.sender.clear();
        }
    }
}

impl Missing {
    fn take_in(&mut self, range: &Range<u64>, events: u64) {
        self.range.end = self.range.end.max(range.end);
        self.events += events;
    }

    fn record(&self) -> Result<Event, crate::event::BuildError> {
        let mut headers: Vec<(&[u8], Value)> = Vec::with_capacity(8);
        let mut add = |name: &'static [u8], value: Vec<u8>| headers.push((name, Value::Text(value)));
        add(b"Event-Name", b"CUSTOM".into());
        add(b"Event-Subclass", b"switchcast::gap".into());
        add(b"Gap-Reason", self.reason.into());
        if self.range.end != u64::MAX {
            add(b"Gap-Events", self.events.to_string().into());
        }
        if !self.sender.is_empty() {
            add(b"Gap-Sender", self.sender.clone());
        }
        if let Some(stream) = self.stream {
            add(b"Gap-Stream", stream.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into());
            let last = if self.range.end == u64::MAX { String::new() } else { (self.range.end - 1).to_string() };
            add(b"Gap-Range", format!("{}-{last}", self.range.start).into());
        }
        Event::build(headers, b"", Escape::Lossless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Lost;

    fn event(sequence: u64) -> Event {
        Event::parse(format!("Event-Name: HEARTBEAT\nN: {sequence}\nMulticast-Sender: fs1\n\n").as_bytes()).unwrap()
    }

    fn shown(ring: &mut GapRing, most: usize) -> Vec<String> {
        let mut events = Vec::new();
        ring.take(most, &mut events, &Wake::new().unwrap());
        let text =
            |event: &Event, name: &[u8]| String::from_utf8(event.value(name).unwrap_or_default().into_owned()).unwrap();
        let show = |event: &Event| match text(event, b"N") {
            number if number.is_empty() => ["Gap-Reason", "Gap-Sender", "Gap-Range", "Gap-Events"]
                .map(|name| text(event, name.as_bytes()))
                .join(" "),
            number => number,
        };
        events.iter().map(show).collect()
    }

    fn place(stream: u8, sequence: u64) -> Option<Place> {
        Some(Place { stream: [stream; 16], sequence })
    }

    #[test]
    fn what_finds_no_room_is_told_where_it_would_stand() {
        let mut ring = GapRing::new(2, 10_000);
        for sequence in 1..=5 {
            ring.put(event(sequence), place(1, sequence));
        }
        assert_eq!(ring.overflow, 3);
        assert_eq!(shown(&mut ring, 1), ["1"]);
        ring.put(event(6), place(1, 6));
        assert_eq!(shown(&mut ring, 9), ["2", "overflow fs1 3-5 3"]);
        assert_eq!(shown(&mut ring, 9), ["overflow fs1 6-6 1"]);
        ring.put(event(7), place(1, 7));
        assert_eq!(shown(&mut ring, 9), ["7"]);
    }

    #[test]
    fn streams_are_told_apart_and_gaps_wait_for_room_in_their_order() {
        let mut ring = GapRing::new(1, 10_000);
        ring.put(event(1), place(1, 1));
        ring.put(event(2), place(1, 2));
        ring.put(event(9), place(2, 9));
        ring.put(event(3), place(1, 3));
        let gap = |range, reason| GapRecord { sender: b"fs2".into(), stream: [2; 16], range, reason };
        ring.put_gap(gap(10..12, Lost::Expired));
        ring.put_gap(gap(12..u64::MAX, Lost::Ended));
        ring.put(event(13), None);
        let mut told = Vec::new();
        while ring.len() > 0 {
            told.extend(shown(&mut ring, 9));
        }
        assert_eq!(
            told,
            [
                "1",
                "overflow fs1 2-3 2",
                "overflow fs1 9-9 1",
                "expired fs2 10-11 2",
                "ended fs2 12- ",
                "overflow fs1  1"
            ]
        );
    }

    #[test]
    fn no_more_gaps_wait_than_the_limit_and_none_is_forgotten() {
        let mut ring = GapRing::new(1, 10_000);
        ring.put(event(1), place(1, 1));
        let count = limits::UNTOLD_GAPS as u64 + 10;
        for number in 0..count {
            let range = number * 2..number * 2 + 1;
            ring.put_gap(GapRecord { sender: b"fs2".into(), stream: [2; 16], range, reason: Lost::Expired });
        }
        assert_eq!(ring.untold.len(), limits::UNTOLD_GAPS);
        let told: u64 = ring.untold.iter().map(|missing| missing.events).sum();
        assert_eq!(told, count);
    }
}
