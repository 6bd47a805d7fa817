//! What events hold, counted: every kind of event and every header of each, who sends them, and how large they are.
//!
//! Nothing is decoded but the values that are worth a closer look, and of those there are ever fewer: the first of each
//! [shape](shape) of a header's values, and then the second, fourth, eighth ... of that shape, where it is another value
//! than the one before. So a header whose values become another kind of thing is seen at once, and one whose values stay
//! what they are costs some tens of nanoseconds.
//!
//! Events of one kind mostly have the same headers in the same order: each header remembers which one came behind it,
//! and only where that guess fails is a name looked up.
//!
//! Whatever a stranger makes up is bounded; what is over a bound is in [`Uncounted`], and so it holds at all times that
//! `events = those of all kinds + uncounted.kinds = those of all senders + uncounted.senders`.

mod coverage;
mod shape;
#[cfg(test)]
mod tests;

use crate::encoding;
use crate::event::Event;
use crate::limits;
use coverage::Coverage;
use shape::Shapes;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

/// How much is kept at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub kinds: usize,
    pub headers: usize,
    pub headers_of_kind: usize,
    pub senders: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            kinds: limits::AUDIT_KINDS,
            headers: limits::AUDIT_HEADERS,
            headers_of_kind: limits::AUDIT_HEADERS_OF_KIND,
            senders: limits::AUDIT_SENDERS,
        }
    }
}

/// What the bounds left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Events of kinds that are not kept. Their headers are not counted either.
    pub kinds: u64,
    /// Header lines, of kinds that are kept, whose names are not.
    pub headers: u64,
    /// Events whose sender is not kept.
    pub senders: u64,
    /// Values that came in a shape for which there was no room any more; counted all the same.
    pub shapes: u64,
    /// Values that were worth a look and were cut for it.
    pub cut: u64,
}

/// A value that is worth a look: the first of its shape, or one of the ever fewer later ones.
#[derive(Debug, PartialEq, Eq)]
pub struct Specimen {
    /// The kind's place in [`Inventory::kinds`].
    pub kind: usize,
    /// The header's place in its kind; `None` for the body.
    pub header: Option<usize>,
    /// Decoded, at most [`limits::AUDIT_VALUE_BYTES`].
    pub value: Vec<u8>,
}

/// One header of one kind of event, or its bodies.
#[derive(Debug)]
pub struct Header {
    /// As the first event spelt it.
    pub name: Box<str>,
    /// Events that have it, however often it stands in one.
    pub events: u64,
    /// Bytes of its values as they stand on the wire, every one of them.
    pub bytes: u64,
    /// The event that had it last, by its number.
    last_event: u64,
    /// The header that came behind it last time, by its place.
    next: usize,
    values: Shapes,
}

/// One kind of event: a name, and for CUSTOM events the subclass.
#[derive(Debug)]
pub struct Kind {
    pub name: Box<str>,
    pub events: u64,
    /// Bytes of the events' plain text; of all, of the smallest, and of the largest.
    pub bytes: u64,
    pub smallest: u64,
    pub largest: u64,
    /// Events of each sender, by the sender's place; those that sent none may be missing at the end.
    pub senders: Vec<u64>,
    /// In the order in which they were first seen.
    pub headers: Vec<Header>,
    /// There from the first body on.
    pub body: Option<Header>,
    places: HashMap<Box<str>, usize>,
    /// The number of the first event of this kind.
    first_event: u64,
    /// The first header of the last event.
    opens_with: usize,
}

/// What has been seen.
#[derive(Debug, Default)]
pub struct Inventory {
    bounds: Bounds,
    events: u64,
    bytes: u64,
    kinds: Vec<Kind>,
    kind_places: HashMap<Box<str>, usize>,
    headers: usize,
    senders: Vec<(Box<str>, u64)>,
    /// Events by what vouches for them, by its word: there are four.
    trust: BTreeMap<&'static str, u64>,
    sender_places: HashMap<Box<str>, usize>,
    uncounted: Uncounted,
    coverage: Coverage,
    /// Keyed at random, so that nobody can make up a value which passes for another.
    hasher: RandomState,
}

impl Inventory {
    pub fn new(bounds: Bounds) -> Inventory {
        Inventory { bounds, ..Inventory::default() }
    }

    /// Count `event`, and give `found` what of it is worth a look.
    pub fn add(&mut self, event: &Event, found: &mut Vec<Specimen>) {
        self.events += 1;
        self.bytes += event.text().len() as u64;
        *self.trust.entry(event.trust.word()).or_default() += 1;
        let sender = self.place_of_sender(event);
        match sender {
            Some(place) => self.senders[place].1 += 1,
            None => self.uncounted.senders += 1,
        }
        let Some(kind) = self.place_of_kind(event) else {
            self.uncounted.kinds += 1;
            self.coverage.beyond_bounds(self.events);
            return;
        };
        self.kinds[kind].count(event, sender, self.events, &mut self.coverage);
        self.count_headers(event, kind, found);
        self.count_body(event, kind, found);
    }

    /// Events that were seen.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes of their plain text.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// In the order in which they were first seen.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Names and numbers of events, in the order in which they were first seen.
    pub fn senders(&self) -> &[(Box<str>, u64)] {
        &self.senders
    }

    /// Events by what vouches for them.
    pub fn trust(&self) -> &BTreeMap<&'static str, u64> {
        &self.trust
    }

    pub fn uncounted(&self) -> Uncounted {
        self.uncounted
    }

    /// How likely the next event shows no kind and no header of its kind that has not been seen; 0 before the first.
    pub fn coverage(&self) -> f64 {
        if self.events == 0 {
            return 0.0;
        }
        1.0 - self.coverage.events_with_news() as f64 / self.events as f64
    }

    fn count_headers(&mut self, event: &Event, kind: usize, found: &mut Vec<Specimen>) {
        let mut before = None;
        for (name, raw) in event.raw_headers() {
            let Some(place) = self.place_of_header(kind, before, name) else {
                self.uncounted.headers += 1;
                self.coverage.beyond_bounds(self.events);
                continue;
            };
            before = Some(place);
            let header = &mut self.kinds[kind].headers[place];
            header.count(raw.len(), self.events, &mut self.coverage);
            let look = header.values.note(&self.hasher, raw, true);
            self.uncounted.shapes += u64::from(look.is_other);
            if look.is_wanted {
                let value = encoding::decode(raw);
                self.uncounted.cut += u64::from(value.len() > limits::AUDIT_VALUE_BYTES);
                found.push(Specimen { kind, header: Some(place), value: cut(&value) });
            }
        }
    }

    fn count_body(&mut self, event: &Event, kind: usize, found: &mut Vec<Specimen>) {
        let bytes = event.body();
        if bytes.is_empty() {
            return;
        }
        let body = self.kinds[kind].body.get_or_insert_with(|| Header::new(Box::default()));
        body.events += 1;
        body.bytes += bytes.len() as u64;
        let look = body.values.note(&self.hasher, bytes, false);
        self.uncounted.shapes += u64::from(look.is_other);
        if look.is_wanted {
            self.uncounted.cut += u64::from(bytes.len() > limits::AUDIT_VALUE_BYTES);
            found.push(Specimen { kind, header: None, value: cut(bytes) });
        }
    }

    /// The place of who sent it: the switch's name that the sending module wrote, or else the switch itself.
    fn place_of_sender(&mut self, event: &Event) -> Option<usize> {
        let name = event.value(b"Multicast-Sender").or_else(|| event.value(b"FreeSWITCH-Switchname"));
        let name = String::from_utf8_lossy(name.as_deref().unwrap_or_default());
        if let Some(&place) = self.sender_places.get(&*name) {
            return Some(place);
        }
        if self.senders.len() == self.bounds.senders || name.len() > limits::AUDIT_NAME_BYTES {
            return None;
        }
        self.sender_places.insert(Box::from(&*name), self.senders.len());
        self.senders.push((Box::from(&*name), 0));
        Some(self.senders.len() - 1)
    }

    fn place_of_kind(&mut self, event: &Event) -> Option<usize> {
        let name = kind_of(event);
        let name = String::from_utf8_lossy(&name);
        if let Some(&place) = self.kind_places.get(&*name) {
            return Some(place);
        }
        if self.kinds.len() == self.bounds.kinds || name.len() > limits::AUDIT_NAME_BYTES {
            return None;
        }
        self.kind_places.insert(Box::from(&*name), self.kinds.len());
        self.kinds.push(Kind::new(Box::from(&*name)));
        Some(self.kinds.len() - 1)
    }

    /// The place of the header `name` in its kind; `before` is the place of the one in front of it.
    #[inline]
    fn place_of_header(&mut self, kind: usize, before: Option<usize>, name: &[u8]) -> Option<usize> {
        let known = &self.kinds[kind];
        let guess = before.map_or(known.opens_with, |place| known.headers[place].next);
        if known.headers.get(guess).is_some_and(|header| header.name.as_bytes() == name) {
            return Some(guess);
        }
        let place = self.look_up_header(kind, name)?;
        let known = &mut self.kinds[kind];
        *before.map_or(&mut known.opens_with, |place| &mut known.headers[place].next) = place;
        Some(place)
    }

    fn look_up_header(&mut self, kind: usize, name: &[u8]) -> Option<usize> {
        let known = &mut self.kinds[kind];
        let name = String::from_utf8_lossy(name);
        let key = name.to_ascii_lowercase();
        if let Some(&place) = known.places.get(&*key) {
            return Some(place);
        }
        let is_full = self.headers == self.bounds.headers || known.headers.len() == self.bounds.headers_of_kind;
        if is_full || name.len() > limits::AUDIT_NAME_BYTES {
            return None;
        }
        self.headers += 1;
        known.places.insert(key.into_boxed_str(), known.headers.len());
        known.headers.push(Header::new(Box::from(&*name)));
        Some(known.headers.len() - 1)
    }
}

impl Kind {
    fn new(name: Box<str>) -> Kind {
        Kind {
            name,
            events: 0,
            bytes: 0,
            smallest: u64::MAX,
            largest: 0,
            senders: Vec::new(),
            headers: Vec::new(),
            body: None,
            places: HashMap::new(),
            first_event: 0,
            opens_with: 0,
        }
    }

    /// Count `event`, all but its headers and its body; `number` counts the events of all kinds.
    fn count(&mut self, event: &Event, sender: Option<usize>, number: u64, coverage: &mut Coverage) {
        self.events += 1;
        match self.events {
            1 => {
                self.first_event = number;
                coverage.first_seen_in(number);
            }
            2 => coverage.seen_again(self.first_event),
            _ => {}
        }
        let size = event.text().len() as u64;
        self.bytes += size;
        self.smallest = self.smallest.min(size);
        self.largest = self.largest.max(size);
        if let Some(place) = sender {
            if self.senders.len() <= place {
                self.senders.resize(place + 1, 0);
            }
            self.senders[place] += 1;
        }
    }
}

impl Header {
    fn new(name: Box<str>) -> Header {
        Header { name, events: 0, bytes: 0, last_event: 0, next: 0, values: Shapes::default() }
    }

    #[inline]
    fn count(&mut self, bytes: usize, event: u64, coverage: &mut Coverage) {
        self.bytes += bytes as u64;
        if self.last_event == event {
            return;
        }
        self.events += 1;
        match self.events {
            1 => coverage.first_seen_in(event),
            2 => coverage.seen_again(self.last_event),
            _ => {}
        }
        self.last_event = event;
    }
}

/// The event's name, decoded; of CUSTOM events with the subclass behind it, as in bindings.
fn kind_of(event: &Event) -> Cow<'_, [u8]> {
    let name = event.value(b"Event-Name").unwrap_or_default();
    if *name != *b"CUSTOM" {
        return name;
    }
    match event.value(b"Event-Subclass") {
        Some(subclass) if !subclass.is_empty() => Cow::Owned([&name, b" ".as_slice(), &subclass].concat()),
        _ => name,
    }
}

fn cut(value: &[u8]) -> Vec<u8> {
    value[..value.len().min(limits::AUDIT_VALUE_BYTES)].to_vec()
}

/// Half of it is enough to tell a value from the one before.
fn hash_of(hasher: &RandomState, value: &[u8]) -> u64 {
    hasher.hash_one(value)
}
