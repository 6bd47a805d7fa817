//! Nothing lost unreported between our own nodes: what is sent again, who asks for it, and when.
//!
//! Two sessions without sockets and without a clock: datagrams and the time go in, datagrams, events and gap records come
//! out. A thread drives them on real sockets, a simulator of network and time drives the very same code in tests.
//!
//! ```text
//! receive.rs    the receiving session
//! given.rs      what it hands over: events, gap records, rows of its streams
//! admission.rs  streams that have yet to show that they are alive, and streams that are over
//! contact.rs    where a sender is reached, and how it is made to show that it is there
//! followed.rs   one stream that is followed: opened, ordered, asked for, given
//! table.rs      all of those
//! openers.rs    what one stream's frames are opened with
//! held.rs       events that wait for their signature
//! message.rs    what beacons, hellos, welcomes, requests and refusals say
//! random.rs     where the random numbers come from
//! transmit.rs   the sending session; with it sealer.rs, history.rs, requesters.rs, repairs.rs, budget.rs
//! ```
//!
//! How the two sides talk; all of it is in sealed frames, in traced mode too, where only the events are stock datagrams:
//!
//! ```text
//! sender                                                  receiver
//!   Event, Event, Event ──────────── group ──────────────>  opened, ordered, delivered
//!   Beacon: how far, how far back ── group ──────────────>  a lost tail is seen
//!                                                           first frame of a stream that it does not know: kept aside
//!   <───────────────────────────────────── Hello: challenge, from the receiver's own stream
//!   Welcome: the challenge, a cookie ────────────────────>  the stream is alive: what was kept aside is delivered
//!   <───────────────────────────────────── Request: cookie, every gap as a range
//!   Event again, to it or to the group ──────────────────>  the gap is closed
//!   Refusal: nothing below this sequence ────────────────>  a gap record, and on it goes
//! ```

pub mod admission;
pub mod budget;
pub mod contact;
pub mod followed;
pub mod given;
pub mod held;
pub mod history;
pub mod message;
pub mod openers;
pub mod random;
pub mod receive;
pub mod repairs;
pub mod requesters;
pub mod sealer;
pub mod table;
pub mod transmit;

use std::net::SocketAddr;
use std::sync::Arc;

/// A moment, in nanoseconds of a monotonic clock with any origin.
pub type Nanos = u64;
/// A moment of the wall clock, in milliseconds since 1970 UTC.
pub type WallMillis = u64;

/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// One second.
pub const SECOND: Nanos = 1_000_000_000;

/// How events travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As stock datagrams with three more headers, which stock hosts read too.
    Traced,
    /// As sealed frames.
    Sealed,
}

/// A datagram that a session wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub to: To,
    pub bytes: Arc<[u8]>,
}

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// To all destinations of the sender.
    Group,
    /// To one address, the one that a datagram came from.
    Address(SocketAddr),
}

#[cfg(test)]
mod tests;
