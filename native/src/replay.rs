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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What a window must do, said with a set of all that was ever taken.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn commit(&mut self, sequence: u64) -> bool {
            let too_old = self.0.last().is_some_and(|highest| highest.saturating_sub(sequence) >= REPLAY_WINDOW);
            !too_old && self.0.insert(sequence)
        }
    }

    /// Near one another, at the window's far edge, and anywhere.
    fn sequences() -> impl Strategy<Value = u64> {
        let edge = REPLAY_WINDOW - 70..REPLAY_WINDOW + 70;
        prop_oneof![
            4 => 0u64..200,
            2 => edge.clone(),
            2 => edge.prop_map(|distance| 2 * distance),
            1 => (0u64..100).prop_map(|distance| u64::MAX - distance),
            1 => any::<u64>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_sequence_is_taken_once_and_only_while_it_is_remembered(
            sequences in prop::collection::vec(sequences(), 1..100),
        ) {
            let (mut window, mut model) = (ReplayWindow::new(), Model::default());
            for sequence in sequences {
                let looked = window.look(sequence);
                prop_assert_eq!(window.commit(sequence), looked);
                prop_assert_eq!(model.commit(sequence), looked, "{}", sequence);
                prop_assert!(!window.look(sequence));
            }
        }
    }

    #[test]
    fn the_window_is_exactly_as_long_as_it_says_wherever_it_stands() {
        for highest in (0..200).map(|offset| 10 * REPLAY_WINDOW + offset).chain([u64::MAX]) {
            let mut window = ReplayWindow::new();
            assert!(window.commit(highest));
            let oldest = highest - (REPLAY_WINDOW - 1);
            assert!(!window.look(oldest - 1));
            assert!((oldest..highest).all(|sequence| window.commit(sequence)));
            assert!((oldest..=highest).all(|sequence| !window.commit(sequence)));
        }
    }

    #[test]
    fn looking_changes_nothing() {
        let window = ReplayWindow::new();
        assert!(window.look(0) && window.look(u64::MAX) && window.look(0));
    }
}
