//! What a receiving session hands over, and what it tells of the streams that it hears.

use crate::sealed::header::StreamId;
pub use crate::stream::Lost;
use crate::trust::Trust;
use std::net::SocketAddr;
use std::ops::Range;

/// What a receiving session hands over, in the order of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given<'a> {
    /// An event's text, as the sender was given it; borrowed, so that who does not want it copies nothing.
    Event {
        text: &'a [u8],
        trust: Trust,
        /// Where it came from: the sender, or whoever repaired it.
        from: SocketAddr,
        /// Its place; `None` for a stock datagram, which has none.
        at: Option<At<'a>>,
    },
    /// Events of which it is certain that they are missing. It stands where they would.
    Gap(GapRecord),
}

/// Takes what a session hands over.
pub type Give<'a> = &'a mut dyn FnMut(Given<'_>);

/// An event's place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// The sender's name; its id in hex as long as the name is not known.
    pub sender: &'a [u8],
    pub stream: StreamId,
    pub sequence: u64,
}

/// Events that will not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRecord {
    /// The sender's name; its id in hex when the name is not known.
    pub sender: Vec<u8>,
    pub stream: StreamId,
    /// Their sequences. The end is `u64::MAX` when it is not known: the sender vanished, and nobody can say how much
    /// it had sent.
    pub range: Range<u64>,
    pub reason: Lost,
}

impl GapRecord {
    /// Whether it is not known how much is missing.
    pub fn is_open(&self) -> bool {
        self.range.end == u64::MAX
    }
}

/// How a stream was found to be no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admitted {
    /// It answered a challenge of ours.
    Welcome,
    /// An authentic beacon of it told a time near ours.
    Beacon,
    /// It was not: without a key nothing can be.
    Unproven,
}

impl Admitted {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Admitted::Welcome => "welcome",
            Admitted::Beacon => "beacon",
            Admitted::Unproven => "unproven",
        }
    }
}

/// What is known of one stream.
///
/// At all times `next - first` is the sum of `delivered`, `gaps`, `signatures`, `rejected` and `held`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// The sender's name; its id in hex when the name is not known.
    pub sender: Vec<u8>,
    pub stream: StreamId,
    /// Where it is asked for what is missing.
    pub address: Option<SocketAddr>,
    pub admitted: Admitted,
    /// The sequence that we began with.
    pub first: u64,
    /// The sequence that comes next.
    pub next: u64,
    /// Events that were handed over.
    pub delivered: u64,
    /// Sequences that gap records told to be missing, open ends not counted.
    pub gaps: u64,
    /// Sequences that were signatures.
    pub signatures: u64,
    /// Sequences that came and were no events, or not signed as they had to be; each is counted by its reason too.
    pub rejected: u64,
    /// Events that wait for their signature.
    pub held: u64,
    /// Events from `next` on that wait for what is missing in front of them.
    pub waiting: u64,
    /// Frames and datagrams that had been taken before, or were too late.
    pub duplicates: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Sequences that came because they were asked for.
    pub repaired: u64,
    /// Sequences that came of themselves after they had been asked for.
    pub spurious: u64,
    /// Nothing is heard from it.
    pub silent: bool,
    /// Nothing more will come.
    pub ended: bool,
}
