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
//! world.rs      senders and receivers, in the place of the threads that drive sessions on real sockets
//! books.rs      what was sent and what was given: whatever does not balance fails the run
//! trial.rs      a scenario in both modes, from several seeds; the table of figures
//! ```

pub mod books;
pub mod dice;
pub mod link;
pub mod load;
pub mod network;
pub mod packet;
pub mod queue;
pub mod trial;
pub mod world;
