//! The two reliable sessions on a simulated network: what they promise holds for every seed that is tried.
//!
//! ```text
//! simnet/       the network, the clock, and the books that every run is checked against
//! ```

mod simnet;
