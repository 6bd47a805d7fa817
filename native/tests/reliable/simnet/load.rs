//! Events to send: of the sizes that switches send, each with its own number, so that no two are the same.

use super::dice::Dice;
use std::io::Write;
use switchcast_native::event::Event;
use switchcast_native::reliable::{Nanos, SECOND};

/// Random hex digits to take bodies from: they do not shrink below a half.
const POOL: usize = 1 << 16;

/// How much a sender has to send, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub events: u64,
    pub per_second: u64,
    /// So many come at once at most.
    pub at_once: u64,
}

impl Load {
    /// One after the other.
    pub fn steady(events: u64, per_second: u64) -> Load {
        Load { events, per_second, at_once: 1 }
    }
}

/// Writes events.
pub struct Writer {
    dice: Dice,
    pool: Vec<u8>,
    written: u64,
}

impl Writer {
    pub fn new(seed: u64) -> Writer {
        let mut dice = Dice::new(seed, u64::MAX);
        let pool = (0..POOL).map(|_| b"0123456789abcdef"[dice.below(16) as usize]).collect();
        Writer { dice, pool, written: 0 }
    }

    /// How long after `count` events of `load` the next ones come: never in step with anything else.
    pub fn pause(&mut self, load: &Load, count: u64) -> Nanos {
        self.dice.below(2 * count * SECOND / load.per_second) + 1
    }

    /// The next event. Nine in ten have up to 900 bytes; one in a hundred has 3 to 12 KB, which takes several frames.
    pub fn event(&mut self) -> Event {
        self.written += 1;
        let length = match self.dice.below(100) {
            0..90 => self.dice.between(40..=700),
            90..99 => self.dice.between(700..=3_000),
            _ => self.dice.between(3_000..=12_000),
        } as usize;
        let at = self.dice.below((POOL - length) as u64) as usize;
        let mut text = Vec::with_capacity(length + 200);
        let written = write!(
            text,
            "Event-Name: CUSTOM\nEvent-Subclass: simnet%3A%3Aload\nCore-UUID: dae00fd0-1c45-4215-853e-30c6eeaf7b53\n\
             FreeSWITCH-Hostname: fs1.example.com\nEvent-Sequence: {}\nContent-Length: {length}\n\n",
            self.written
        );
        written.expect("a vector takes what is written");
        text.extend_from_slice(&self.pool[at..at + length]);
        Event::parse(&text).expect("it is an event")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_writes_the_same_events_and_no_two_alike() {
        let events = |seed| {
            let mut writer = Writer::new(seed);
            (0..2_000).map(|_| writer.event()).collect::<Vec<_>>()
        };
        let some = events(1);
        assert_eq!(some, events(1));
        assert_ne!(some, events(2));
        let sizes: Vec<_> = some.iter().map(|event| event.text().len()).collect();
        assert!(sizes.iter().any(|size| *size > 3_000) && sizes.iter().filter(|size| **size < 1_000).count() > 1_700);
    }
}
