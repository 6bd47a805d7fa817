//! How much of what there is has been seen: Good and Turing's estimate.
//!
//! I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40
//! (1953): what the next one shows is new with about the probability with which one of those so far is the only one to
//! show what it shows. An event shows its kind, and each header of its kind. So of each event we know how many of these
//! no other event has, and count the events that have any.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Coverage {
    /// Events that show what no other does, by their numbers: how many such things. Bounded as those are.
    alone: HashMap<u64, u32>,
    /// Events in which something was beyond the bounds: nobody knows whether another has it, so all of them count.
    beyond: u64,
    /// The last of them.
    last_beyond: u64,
}

impl Coverage {
    /// The event with this number is the first to show something.
    pub fn first_seen_in(&mut self, event: u64) {
        *self.alone.entry(event).or_default() += 1;
    }

    /// What `event` was the first to show, another has shown too.
    pub fn seen_again(&mut self, event: u64) {
        if let Some(things) = self.alone.get_mut(&event) {
            *things -= 1;
            if *things == 0 {
                self.alone.remove(&event);
            }
        }
    }

    /// The event with this number, the newest, shows something that the bounds leave no room for.
    pub fn beyond_bounds(&mut self, event: u64) {
        if self.last_beyond != event {
            self.last_beyond = event;
            self.beyond += 1;
        }
    }

    /// Events that show what no other does, as far as is known; one that does both is counted twice, and so the estimate
    /// errs on the side of caution.
    pub fn events_with_news(&self) -> u64 {
        self.alone.len() as u64 + self.beyond
    }
}
