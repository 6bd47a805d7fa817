//! Multicast and unicast UDP sockets: opened with the options that this trade needs, read and written in batches.
//!
//! ```text
//! options.rs    addresses, interfaces, and sockets opened with every option set and read back
//! batch.rs      recvmmsg into one set of buffers; the kernel's drop counter
//! intake.rs     a datagram to an event that someone asked for, or to a count
//! receiver.rs   several sockets as one: inline while it is quiet, by a thread under load
//! sender.rs     one connected socket a destination, sendmmsg, errors by destination
//! poll.rs       epoll, eventfd and poll
//! ```

mod batch;
mod intake;
mod options;
mod poll;
mod receiver;
mod sender;

pub use intake::{Counts, Intake};
pub use options::{ReceiveOptions, SendOptions, SocketError};
pub use receiver::{Receiver, SocketRow};
pub use sender::{DestinationRow, Sender, TooLarge};
