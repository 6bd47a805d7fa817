//! Reads what receivers ask for, with the group's key, and holds it against what was lost.

use super::books::{Books, Hearer};
use super::node::key;
use super::packet::{Packet, Traffic};
use std::collections::{HashMap, HashSet};
use switchcast_native::reliable::message::Request;
use switchcast_native::sealed::cipher::Subkey;
use switchcast_native::sealed::header::{HEADER, Header, StreamId};

/// What receivers asked for, each sequence counted once for a receiver.
#[derive(Default)]
pub struct Asking {
    subkeys: HashMap<StreamId, Subkey>,
    asked: HashSet<(Hearer, StreamId, u64)>,
    /// Of those, which had not been lost: they were only late.
    pub spurious: u64,
}

impl Asking {
    /// How many sequences were asked for.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// A receiver sends something; what is no request under key 1 is passed over.
    pub fn see(&mut self, hearer: Hearer, packet: &Packet, books: &Books) {
        if packet.traffic != Traffic::Request {
            return;
        }
        let mut bytes = packet.bytes.to_vec();
        let Ok((header, _)) = Header::read(&packet.bytes) else { return };
        let subkey =
            self.subkeys.entry(header.stream).or_insert_with(|| Subkey::new(&key(1), &header.stream, header.cipher));
        let Ok(payload) = subkey.open(&header, &mut bytes[HEADER..]) else { return };
        let request = Request::read(payload).expect("a session's own request can be read");
        let partials = request.partials.iter().map(|partial| partial.sequence..partial.sequence + 1);
        for sequence in request.ranges.iter().cloned().chain(partials).flatten() {
            if self.asked.insert((hearer, request.stream, sequence))
                && !books.is_lost(&request.stream, sequence, hearer)
            {
                self.spurious += 1;
            }
        }
    }
}
