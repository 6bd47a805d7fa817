//! Events between the thread that reads and the event loop that takes them: bounded, in events and in bytes.

use super::poll::Wake;
use crate::event::Event;
use std::collections::VecDeque;

pub struct Ring {
    events: VecDeque<Event>,
    bytes: usize,
    most_events: usize,
    most_bytes: usize,
    /// Whether the flag is up for us.
    told: bool,
}

impl Ring {
    pub fn new(most_events: usize, most_bytes: usize) -> Ring {
        Ring { events: VecDeque::new(), bytes: 0, most_events, most_bytes, told: false }
    }

    /// Take `event` in, or give it back when there is no room for it.
    pub fn put(&mut self, event: Event) -> Result<(), Event> {
        let bytes = event.text().len();
        if self.events.len() >= self.most_events || self.bytes + bytes > self.most_bytes {
            return Err(event);
        }
        self.bytes += bytes;
        self.events.push_back(event);
        Ok(())
    }

    /// Move at most `most` events to `events`. `filled` comes down when none is left.
    pub fn take(&mut self, most: usize, events: &mut Vec<Event>, filled: &Wake) {
        let count = self.events.len().min(most);
        let mut bytes = 0;
        events.extend(self.events.drain(..count).inspect(|event| bytes += event.text().len()));
        self.bytes -= bytes;
        if self.events.is_empty() && self.told {
            filled.clear();
            self.told = false;
        }
    }

    /// Raise `filled` if there is anything to take.
    pub fn announce(&mut self, filled: &Wake) {
        if !self.told && !self.events.is_empty() {
            filled.set();
            self.told = true;
        }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
