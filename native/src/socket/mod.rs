//! Multicast and unicast UDP sockets: opened with the options that this trade needs, read and written in batches.
//!
//! ```text
//! options.rs              addresses, interfaces, and sockets opened with every option set and read back
//! batch.rs                recvmmsg into one set of buffers; the kernel's drop counter
//! intake.rs               a datagram to an event that someone asked for, or to a count
//! receiver.rs             several sockets as one: inline while it is quiet, by a thread under load
//! sender.rs               stock datagrams to a fixed list of destinations
//! destination.rs          one of them: sendmmsg, its own place in the list, its own errors
//! ring.rs                 events between a reading thread and an event loop
//! reliable_receiver.rs    a receiving session on sockets, with a thread of its own
//! reliable_sender.rs      a transmitting session on sockets, with a thread of its own
//! answering.rs            the sockets by which they talk past the group
//! gap_ring.rs             a ring that tells in its place what it had no room for
//! clock.rs                the time as sessions are told it
//! poll.rs                 epoll, eventfd and poll
//! ```

mod answering;
mod batch;
mod clock;
mod destination;
mod gap_ring;
mod intake;
mod options;
mod poll;
mod receiver;
mod reliable_receiver;
mod reliable_sender;
mod ring;
mod sender;

pub use destination::DestinationRow;
pub use intake::{Counts, Intake};
pub use options::{ReceiveOptions, SendOptions, SocketError};
pub use receiver::{Receiver, SocketRow};
pub use reliable_receiver::ReliableReceiver;
pub use reliable_sender::ReliableSender;
pub use sender::{Sender, TooLarge};
