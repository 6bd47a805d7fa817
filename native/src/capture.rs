//! Captures to UDP payloads and back: pcap and pcapng, with no I/O and no clock.
//!
//! ```text
//! bytes ──> reader.rs ────────> packet.rs ─────────> reassembly.rs ──> Datagram
//!           records and blocks  link layer, IP, UDP  IP fragments
//!
//! Datagram ──> writer.rs ──> bytes
//! ```
//!
//! A capture is a file from outside, so it is as hostile as a datagram. Nothing that it claims is believed before it is
//! there, memory is bounded by the limits below whatever the file says, and what cannot be read is counted.
//!
//! The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng; link types by their numbers in
//! draft-ietf-opsawg-pcaplinktype.

mod packet;
mod reader;
mod reassembly;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::CaptureReader;
pub use writer::{CaptureFormat, CaptureWriter};

use std::fmt;
use std::net::SocketAddr;

/// One UDP datagram out of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Nanoseconds since 1970 UTC; of fragments, that of the one that made it whole. 0 where the capture has no times.
    pub time_ns: u64,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub payload: Vec<u8>,
}

/// Why a capture cannot be read at all, or a packet cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureError {
    /// The first bytes are those of no capture format.
    NotACapture([u8; 4]),
    /// A pcap file of a link layer that cannot hold what we look for, or that we cannot read.
    LinkType(u16),
    /// The section header of a pcapng file, which all else depends on, makes no sense.
    SectionHeader,
    /// Source and destination are not of one family.
    MixedFamilies(SocketAddr, SocketAddr),
    /// More payload than one unfragmented packet can carry: `size` and `limit` in bytes.
    PayloadTooLong { size: usize, limit: usize },
    /// A pcap file counts seconds in 32 bits.
    TimeTooLate(u64),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACapture(first) => {
                write!(f, "no capture: it begins with ")?;
                first.iter().try_for_each(|byte| write!(f, "{byte:02x} "))?;
                write!(f, "where a pcap or pcapng file has its mark")
            }
            Self::LinkType(number) => write!(
                f,
                "a capture of link type {number}, which is not read; Ethernet, raw IP, Linux cooked and BSD loopback are"
            ),
            Self::SectionHeader => write!(f, "no capture: it begins as a pcapng file but has no valid section header"),
            Self::MixedFamilies(source, destination) => {
                write!(f, "a packet cannot go from {source} to {destination}: one is IPv4, the other IPv6")
            }
            Self::PayloadTooLong { size, limit } => {
                write!(f, "{size} bytes of payload do not fit one packet, which holds {limit}")
            }
            Self::TimeTooLate(seconds) => {
                write!(f, "second {seconds} since 1970 does not fit a pcap file; pcapng has room for it")
            }
        }
    }
}

impl std::error::Error for CaptureError {}
