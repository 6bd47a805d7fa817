//! Chance that repeats from a seed.

use std::ops::RangeInclusive;
use switchcast_native::reliable::random::Randomness;

/// The dice of one part of a run. Each part has its own, so that a fault added to one link leaves the others' luck alone.
pub struct Dice(Randomness);

impl Dice {
    /// The dice of `part` in the run of `seed`.
    pub fn new(seed: u64, part: u64) -> Dice {
        Dice(Randomness::seeded(mix(seed, part)))
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        const STEPS: u64 = 1 << 53;
        probability > 0.0 && (self.0.below(STEPS) as f64) < probability * STEPS as f64
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.0.below(range.end() - range.start() + 1)
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

/// A seed for `part` of the run of `seed`.
pub fn mix(seed: u64, part: u64) -> u64 {
    let drawn = Randomness::seeded(seed).below(u64::MAX);
    Randomness::seeded(drawn ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15)).below(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_met_and_parts_differ() {
        let hits = |part, probability| {
            let mut dice = Dice::new(1, part);
            (0..100_000).map(|_| dice.happens(probability)).collect::<Vec<_>>()
        };
        let count = |hits: &[bool]| hits.iter().filter(|hit| **hit).count();
        assert!((9_500..10_500).contains(&count(&hits(1, 0.1))));
        assert_eq!((count(&hits(1, 0.0)), count(&hits(1, 1.0))), (0, 100_000));
        assert_eq!(hits(1, 0.3), hits(1, 0.3));
        assert_ne!(hits(1, 0.3), hits(2, 0.3));
    }
}
