//! A datagram on its way, and what anyone on the network can tell of it without a key.

use std::net::SocketAddr;
use std::sync::Arc;
use switchcast_native::reliable::To;
use switchcast_native::sealed::header::{self, FLAG_REPAIR, Header, Kind, StreamId};
use switchcast_native::traced;

/// What a datagram is for. Each kind can be lost at a rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Traffic {
    /// An event or a signature, for the first time.
    Data,
    /// One that is sent again.
    Repair,
    Beacon,
    Hello,
    Welcome,
    Request,
    Refusal,
    /// What is none of ours: rubbish, stock datagrams.
    Other,
}

impl Traffic {
    pub const ALL: [Traffic; 8] = [
        Traffic::Data,
        Traffic::Repair,
        Traffic::Beacon,
        Traffic::Hello,
        Traffic::Welcome,
        Traffic::Request,
        Traffic::Refusal,
        Traffic::Other,
    ];
    /// What a receiver sends.
    pub const ASKING: [Traffic; 2] = [Traffic::Hello, Traffic::Request];
}

/// What is told in the clear: the stream and the sequence of one of our datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    pub stream: StreamId,
    pub sequence: u64,
    pub is_signature: bool,
}

/// One datagram.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: To,
    pub bytes: Arc<[u8]>,
    pub traffic: Traffic,
    pub label: Option<Label>,
}

impl Packet {
    pub fn new(from: SocketAddr, to: To, bytes: Arc<[u8]>) -> Packet {
        let (traffic, label) = read(&bytes);
        Packet { from, to, bytes, traffic, label }
    }
}

fn read(bytes: &[u8]) -> (Traffic, Option<Label>) {
    if header::is_frame(bytes) {
        let Ok((header, _)) = Header::read(bytes) else { return (Traffic::Other, None) };
        let traffic = match header.kind {
            Kind::Event | Kind::Signature if header.flags & FLAG_REPAIR != 0 => Traffic::Repair,
            Kind::Event | Kind::Signature => Traffic::Data,
            Kind::Beacon => Traffic::Beacon,
            Kind::Hello => Traffic::Hello,
            Kind::Welcome => Traffic::Welcome,
            Kind::Request => Traffic::Request,
            Kind::Refusal => Traffic::Refusal,
        };
        let is_signature = header.kind == Kind::Signature;
        return (traffic, Some(Label { stream: header.stream, sequence: header.sequence, is_signature }));
    }
    let stamp = switchcast_native::frame::text_of(bytes).and_then(traced::read);
    match stamp {
        Ok(Some(stamp)) => {
            (Traffic::Data, Some(Label { stream: stamp.stream, sequence: stamp.sequence, is_signature: false }))
        }
        _ => (Traffic::Other, None),
    }
}
