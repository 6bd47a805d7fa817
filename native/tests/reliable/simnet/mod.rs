//! A deterministic simulator of network and time. It drives the very sessions that threads drive on real sockets; the
//! clock moves on only when something happens, so an hour takes as long as its datagrams do, and a seed says all that
//! will go wrong.
//!
//! ```text
//! dice.rs       chance that repeats
//! queue.rs      what happens next
//! packet.rs     a datagram, and what can be told of it without a key
//! link.rs       one direction of a cable: loss, bursts, copies, overtaking, bit flips, delay, bandwidth, scripts
//! network.rs    nodes on a switch that knows one group; taps for who listens
//! load.rs       events to send
//! node.rs       a host: a session, and what a thread does that drives one on real sockets
//! world.rs      hosts on the network, and the clock that moves them
//! asking.rs     what receivers asked for, and whether it had been lost
//! books.rs      what was sent and what was given: whatever does not balance fails the run
//! stranger.rs   who has no key: records, replays, forges
//! trial.rs      a scenario in both modes, from several seeds; the table of figures
//! ```

pub mod asking;
pub mod books;
pub mod dice;
pub mod link;
pub mod load;
pub mod network;
pub mod node;
pub mod packet;
pub mod queue;
pub mod stranger;
pub mod trial;
pub mod world;
