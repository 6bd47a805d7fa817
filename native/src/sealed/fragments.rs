//! What does not fit one frame: cut into fragments, put together again, and which of them are missing.
//!
//! Every fragment but the last fills its frame, so a fragment's number tells where its bytes go, and an event is put
//! together where it will be read. Whoever has opened a fragment knows that a member wrote it; what a member may make
//! others keep is bounded all the same.

use super::header::{Header, Kind, PAYLOAD};
use crate::limits::{PARTIAL_BYTES, PARTIAL_EVENTS, SEALED_EVENT_BYTES};
use crate::reject::Reject;
use std::collections::BTreeMap;

/// Fragments of one event at most.
pub const FRAGMENTS: u16 = SEALED_EVENT_BYTES.div_ceil(PAYLOAD) as u16;

/// Cut what an event was packed to: the fragment's number, how many there are, its bytes.
///
/// `packed` has at most [`SEALED_EVENT_BYTES`]; nothing at all is one empty fragment.
pub fn split(packed: &[u8]) -> impl Iterator<Item = (u16, u16, &[u8])> {
    let count = packed.len().div_ceil(PAYLOAD).max(1);
    debug_assert!(count <= FRAGMENTS as usize, "{count} fragments are more than an event may have");
    (0..count).map(move |number| {
        let start = number * PAYLOAD;
        (number as u16, count as u16, &packed[start..packed.len().min(start + PAYLOAD)])
    })
}

/// The events of one stream that are there in part.
///
/// It has room for [`PARTIAL_EVENTS`] and [`PARTIAL_BYTES`]. When there is none left, the events with the highest
/// sequences make way: those below are delivered first, and what made way is asked for again as a whole.
#[derive(Debug, Default)]
pub struct Assembler {
    partials: BTreeMap<u64, Partial>,
    bytes: usize,
    displaced: u64,
}

#[derive(Debug)]
struct Partial {
    kind: Kind,
    dictionary: u16,
    fragments: u16,
    /// How many of them are there.
    arrived: u16,
    /// Bit `n` of byte `n / 8`, lowest first: fragment `n` is missing.
    missing: Vec<u8>,
    /// As long as the event is once its last fragment is there; until then as if that one were full.
    packed: Vec<u8>,
}

impl Assembler {
    /// Take one fragment of a sequence that is not complete yet; all that the event was packed to, when it was the last.
    ///
    /// A fragment that is there already changes nothing. `MalformedFrame` when it has the wrong length or disagrees with
    /// those that are there (their count, kind or dictionary), `BadPayload` when the event would be too large: what is
    /// there stays as it is. An event of one fragment is copied and no more, so it may as well go past this.
    pub fn put(&mut self, header: &Header, payload: &[u8]) -> Result<Option<Vec<u8>>, Reject> {
        if header.fragments > FRAGMENTS {
            return Err(Reject::BadPayload);
        }
        let agrees = self.partials.get(&header.sequence).is_none_or(|partial| partial.agrees(header));
        if !agrees || !is_whole(header, payload) {
            return Err(Reject::MalformedFrame);
        }
        if header.fragments == 1 {
            return Ok(Some(payload.to_vec()));
        }
        if !self.partials.contains_key(&header.sequence) {
            if !self.make_room(header) {
                return Ok(None);
            }
            self.bytes += size(header.fragments);
            self.partials.insert(header.sequence, Partial::new(header));
        }
        let partial = self.partials.get_mut(&header.sequence).expect("it is there, or has just been put there");
        partial.put(header.fragment, payload);
        if partial.arrived < partial.fragments {
            return Ok(None);
        }
        Ok(self.remove(header.sequence).map(|partial| partial.packed))
    }

    /// Which fragments of this sequence are missing, as a request tells it: bit `n` of byte `n / 8`, lowest first,
    /// without zeros at the end. `None` when nothing of it is there.
    pub fn missing(&self, sequence: u64) -> Option<Vec<u8>> {
        let missing = &self.partials.get(&sequence)?.missing;
        let length = missing.iter().rposition(|&bits| bits != 0)? + 1;
        Some(missing[..length].to_vec())
    }

    /// Whether this very fragment is there already.
    pub fn holds(&self, header: &Header) -> bool {
        self.partials.get(&header.sequence).is_some_and(|partial| partial.holds(header.fragment))
    }

    /// The sequences that are there in part, ascending.
    pub fn partials(&self) -> impl Iterator<Item = u64> {
        self.partials.keys().copied()
    }

    /// Drop what there is of sequences below this one: they are given up.
    pub fn forget_below(&mut self, sequence: u64) {
        self.partials = self.partials.split_off(&sequence);
        self.bytes = self.partials.values().map(|partial| size(partial.fragments)).sum();
    }

    /// Bytes of memory that the parts take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many events are there in part.
    pub fn len(&self) -> usize {
        self.partials.len()
    }

    pub fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    /// How often a part of an event was dropped because there was no room.
    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Let higher sequences make way for this one; whether there is room now.
    fn make_room(&mut self, header: &Header) -> bool {
        while self.partials.len() >= PARTIAL_EVENTS || self.bytes + size(header.fragments) > PARTIAL_BYTES {
            self.displaced += 1;
            match self.partials.last_key_value() {
                Some((&highest, _)) if highest > header.sequence => self.remove(highest),
                _ => return false,
            };
        }
        true
    }

    fn remove(&mut self, sequence: u64) -> Option<Partial> {
        let partial = self.partials.remove(&sequence)?;
        self.bytes -= size(partial.fragments);
        Some(partial)
    }
}

/// Whether a fragment has the bytes that one in its place has: only the last may be shorter, and only a first empty.
fn is_whole(header: &Header, payload: &[u8]) -> bool {
    match header.fragments.checked_sub(header.fragment) {
        None | Some(0) => false,
        Some(1) => payload.len() <= PAYLOAD && (header.fragment == 0 || !payload.is_empty()),
        Some(_) => payload.len() == PAYLOAD,
    }
}

/// Bytes that an event of so many fragments takes while it is put together.
fn size(fragments: u16) -> usize {
    fragments as usize * PAYLOAD
}

impl Partial {
    fn new(header: &Header) -> Partial {
        let count = header.fragments as usize;
        let mut missing = vec![0xFF; count.div_ceil(8)];
        if let (Some(last), rest @ 1..) = (missing.last_mut(), count % 8) {
            *last = 0xFF >> (8 - rest);
        }
        Partial {
            kind: header.kind,
            dictionary: header.dictionary,
            fragments: header.fragments,
            arrived: 0,
            missing,
            packed: vec![0; size(header.fragments)],
        }
    }

    fn agrees(&self, header: &Header) -> bool {
        (self.kind, self.dictionary, self.fragments) == (header.kind, header.dictionary, header.fragments)
    }

    fn holds(&self, number: u16) -> bool {
        number < self.fragments && self.missing[number as usize / 8] >> (number % 8) & 1 == 0
    }

    fn put(&mut self, number: u16, payload: &[u8]) {
        if self.holds(number) {
            return;
        }
        self.missing[number as usize / 8] &= !(1 << (number % 8));
        self.arrived += 1;
        let start = number as usize * PAYLOAD;
        self.packed[start..start + payload.len()].copy_from_slice(payload);
        if number + 1 == self.fragments {
            self.packed.truncate(start + payload.len());
        }
    }
}

#[cfg(test)]
#[path = "tests/fragments.rs"]
mod tests;
