//! Which sequences of a stream have been taken, so that none is taken twice.
//!
//! A ring of bits behind the highest sequence; what is older than the ring counts as taken (RFC 6479's scheme).

/// Sequences that are told apart, the highest included.
pub const REPLAY_WINDOW: u64 = 4_096;

const BITS: u64 = u64::BITS as u64;
/// One word more than the window: the highest sequence's word is not full, and the lowest's is not empty.
const WORDS: usize = (REPLAY_WINDOW / BITS) as usize + 1;

/// The sequences of one stream that have been taken. Any `u64` is a sequence.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// The highest that was taken; `None` before the first.
    highest: Option<u64>,
    /// Bit `sequence % 64` of word `sequence / 64 % WORDS`.
    taken: [u64; WORDS],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        ReplayWindow { highest: None, taken: [0; WORDS] }
    }
}

impl ReplayWindow {
    pub fn new() -> ReplayWindow {
        ReplayWindow::default()
    }

    /// Whether `sequence` could be taken: it is not too old, and has not been. Changes nothing, so it may be asked
    /// before anyone knows whether the frame is authentic.
    pub fn look(&self, sequence: u64) -> bool {
        match self.highest {
            Some(highest) if sequence <= highest => {
                highest - sequence < REPLAY_WINDOW && self.taken[word(sequence)] & bit(sequence) == 0
            }
            _ => true,
        }
    }

    /// Take `sequence`; says whether it could be. Only for what is authentic.
    pub fn commit(&mut self, sequence: u64) -> bool {
        if !self.look(sequence) {
            return false;
        }
        let highest = self.highest.unwrap_or(0);
        if sequence > highest {
            let passed = (sequence / BITS - highest / BITS).min(WORDS as u64);
            for back in 0..passed {
                self.taken[word(sequence - back * BITS)] = 0;
            }
        }
        self.highest = Some(highest.max(sequence));
        self.taken[word(sequence)] |= bit(sequence);
        true
    }
}

fn word(sequence: u64) -> usize {
    (sequence / BITS % WORDS as u64) as usize
}

fn bit(sequence: u64) -> u64 {
    1 << (sequence % BITS)
}
