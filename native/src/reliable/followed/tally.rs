//! What is counted of a stream, and of all that are over.

/// What was counted of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub delivered: u64,
    pub gaps: u64,
    pub open_gaps: u64,
    pub signatures: u64,
    pub rejected: u64,
    pub duplicates: u64,
    pub requests: u64,
    pub repaired: u64,
    pub spurious: u64,
    /// Parts of events that made way for others, and have to come again.
    pub displaced: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.delivered += other.delivered;
        self.gaps += other.gaps;
        self.open_gaps += other.open_gaps;
        self.signatures += other.signatures;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        self.requests += other.requests;
        self.repaired += other.repaired;
        self.spurious += other.spurious;
        self.displaced += other.displaced;
    }
}
