//! Events that wait for the signature that covers them, and gaps that stand between them.
//!
//! A signature follows the events that it covers, in the same sequence: when it has come in its turn, all that waits in
//! front of it is decided. A beacon that says that nothing follows what waits decides it without one; so does silence, and
//! so is decided what is too much.
//!
//! Every stream is supposed to be signed until it turns out that no signature follows; from then on, until one does, its
//! events wait only where unsigned ones are rejected. So the first events of a stream are given as what they are, too.

use crate::limits::{HELD_BYTES, HELD_EVENTS};
use crate::stream::Lost;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

/// What waits.
#[derive(Debug)]
pub enum Entry {
    Event { sequence: u64, text: Box<[u8]>, from: SocketAddr },
    Gap(Range<u64>, Lost),
}

/// One stream's events that wait for a signature, in order.
#[derive(Debug, Default)]
pub struct Held {
    entries: VecDeque<Entry>,
    events: usize,
    bytes: usize,
    /// Sequences of all entries.
    sequences: u64,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of text.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many sequences wait, those of gaps included.
    pub fn sequences(&self) -> u64 {
        self.sequences
    }

    /// Whether one more is more than may wait: then the oldest are to be taken.
    pub fn is_full(&self) -> bool {
        self.events > HELD_EVENTS || self.bytes > HELD_BYTES
    }

    pub fn hold(&mut self, sequence: u64, text: &[u8], from: SocketAddr) {
        self.events += 1;
        self.bytes += text.len();
        self.sequences += 1;
        self.entries.push_back(Entry::Event { sequence, text: text.into(), from });
    }

    /// A gap behind events that wait: it is told in its turn. `false` when nothing waits.
    pub fn hold_gap(&mut self, range: Range<u64>, lost: Lost) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        self.sequences += range.end - range.start;
        self.entries.push_back(Entry::Gap(range, lost));
        true
    }

    /// The oldest.
    pub fn take(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        match &entry {
            Entry::Event { text, .. } => {
                self.events -= 1;
                self.bytes -= text.len();
                self.sequences -= 1;
            }
            Entry::Gap(range, _) => self.sequences -= range.end - range.start,
        }
        Some(entry)
    }
}
