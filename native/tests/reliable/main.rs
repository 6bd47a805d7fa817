//! The two reliable sessions on a simulated network: what they promise holds for every seed that is tried.
//!
//! ```text
//! simnet/       the network, the clock, and the books that every run is checked against
//! loss.rs       independent loss; signed events; no key
//! damage.rs     bursts, holes, lost ends, overtaking, copies, bit flips, more loss than can be repaired
//! crowd.rs      many receivers that miss the same; requests that a stranger makes up or steals
//! forged.rs     whatever else strangers send
//! lives.rs      restarts, partitions, new keys, nonces
//! ```
//!
//! Each scenario is run small by every `cargo test`, and at full size (a million events, five seeds) by `make soak`.

mod crowd;
mod damage;
mod forged;
mod lives;
mod loss;
mod simnet;
