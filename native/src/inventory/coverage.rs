//! How much of what there is has been seen: Good and Turing's estimate.
//!
//! I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40
//! (1953): what the next one shows is new with about the probability with which one of those so far is the only one to
//! show what it shows. An event shows its kind, and each header of its kind. So of each event we know how many of these
//! no other event has, and count the events that have any.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Coverage {
    /// Events that show what no other does, by their numbers. There are no more of them than there are such things.
    alone: HashMap<u64, Alone>,
    /// Events in which something was beyond the bounds: nobody knows whether another has it, so all of them count.
    beyond: u64,
    /// The last of them.
    last_beyond: u64,
    /// Those of them that are in `alone` as well.
    both: u64,
}

#[derive(Debug)]
struct Alone {
    things: u32,
    is_beyond: bool,
}

impl Coverage {
    /// The event with this number, the newest, is the first to show something.
    pub fn first_seen_in(&mut self, event: u64) {
        let is_beyond = self.last_beyond == event;
        let both = &mut self.both;
        let alone = self.alone.entry(event).or_insert_with(|| {
            *both += u64::from(is_beyond);
            Alone { things: 0, is_beyond }
        });
        alone.things += 1;
    }

    /// What `event` was the first to show, another has shown too.
    pub fn seen_again(&mut self, event: u64) {
        let Some(alone) = self.alone.get_mut(&event) else { return };
        alone.things -= 1;
        if alone.things == 0 {
            self.both -= u64::from(alone.is_beyond);
            self.alone.remove(&event);
        }
    }

    /// The event with this number, the newest, shows something that the bounds leave no room for.
    pub fn beyond_bounds(&mut self, event: u64) {
        if self.last_beyond == event {
            return;
        }
        self.last_beyond = event;
        self.beyond += 1;
        if let Some(alone) = self.alone.get_mut(&event) {
            alone.is_beyond = true;
            self.both += 1;
        }
    }

    /// Events that show what no other does, as far as is known.
    pub fn events_with_news(&self) -> u64 {
        self.alone.len() as u64 + self.beyond - self.both
    }
}
