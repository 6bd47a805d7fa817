//! Where a session's random numbers come from: the operating system, or, in tests, a seed, so that a run can be repeated.

/// A source of random numbers: stream ids, challenges, cookie secrets and jitter. The system's by default.
///
/// A session draws all of them from one of these, and lets nothing else that differs from run to run (the order of a
/// hash map, say) be seen in what it sends: then the simulator repeats a run from its seed.
#[derive(Clone, Debug, Default)]
pub struct Randomness(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Seeded(u64),
}

impl Randomness {
    /// The operating system's: what cannot be guessed.
    pub fn system() -> Randomness {
        Randomness(Source::System)
    }

    /// The same numbers from the same seed. For tests alone: who knows the seed knows every challenge and cookie.
    pub fn seeded(seed: u64) -> Randomness {
        Randomness(Source::Seeded(seed))
    }

    /// Fill `out`.
    ///
    /// # Panics
    /// When the operating system has no random numbers to give: nothing could be sent safely then.
    pub fn fill(&mut self, out: &mut [u8]) {
        match &mut self.0 {
            Source::System => getrandom::fill(out).expect("the operating system gives random numbers"),
            Source::Seeded(state) => {
                for piece in out.chunks_mut(8) {
                    piece.copy_from_slice(&split_mix(state).to_le_bytes()[..piece.len()]);
                }
            }
        }
    }

    /// So many random bytes.
    pub fn bytes<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        self.fill(&mut bytes);
        bytes
    }

    /// A number below `end`, near enough to evenly spread for jitter; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(u64::from_le_bytes(self.bytes())) * u128::from(end)) >> 64) as u64
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        let drawn = |mut random: Randomness| (random.bytes::<16>(), random.below(1 << 40));
        assert_eq!(drawn(Randomness::seeded(1)), drawn(Randomness::seeded(1)));
        assert_ne!(drawn(Randomness::seeded(1)), drawn(Randomness::seeded(2)));
        assert_ne!(drawn(Randomness::system()), drawn(Randomness::default()));
    }

    #[test]
    fn a_number_below_stays_below() {
        let mut random = Randomness::seeded(7);
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert_eq!((0..100).map(|_| random.below(3)).max(), Some(2));
        assert_eq!(random.below(0), 0);
    }
}
