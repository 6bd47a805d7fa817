//! Stock datagrams to a fixed list of destinations, each with a connected socket of its own.
//!
//! Nothing here waits: see [`Destination`].

use super::destination::{self, BATCH, Datagram, Destination, DestinationRow, PIECES};
use super::options::{SendOptions, SocketError, find_interface, open_sending};
use crate::event::Event;
use crate::frame::{self, Psk};
use std::net::{IpAddr, SocketAddr};

/// What a destination could not be sent, because no datagram is that long. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub name: String,
    pub size: usize,
    pub limit: usize,
}

impl TooLarge {
    pub fn new(event: &Event, size: usize, limit: usize) -> TooLarge {
        let name = event.value(b"Event-Name").unwrap_or_default();
        TooLarge { name: String::from_utf8_lossy(&name).chars().take(60).collect(), size, limit }
    }
}

/// A sender to a fixed list of destinations.
pub struct Sender {
    destinations: Vec<Destination>,
    psk: Option<Psk>,
    /// `Multicast-Sender` for events that have none; empty: the event's own FreeSWITCH-Switchname.
    sender: Vec<u8>,
    too_large: Option<TooLarge>,
    closed: bool,
}

/// One event's datagram, as the pieces that make it up.
struct StockDatagram<'a> {
    event: &'a Event,
    sender_line: Vec<u8>,
    sealed: Option<Vec<u8>>,
}

impl Datagram for StockDatagram<'_> {
    fn pieces(&self) -> [&[u8]; PIECES] {
        match &self.sealed {
            Some(sealed) => [sealed, b"", b"", b""],
            None => frame::pieces(self.event, &self.sender_line),
        }
    }
}

impl StockDatagram<'_> {
    fn too_large(&self, limit: usize) -> TooLarge {
        TooLarge::new(self.event, self.size(), limit)
    }
}

impl Sender {
    pub fn open(options: &SendOptions, psk: Option<Psk>, sender: Option<&[u8]>) -> Result<Sender, SocketError> {
        if options.addresses.is_empty() {
            return Err(SocketError::Usage("no address to send to".into()));
        }
        if options.port == 0 {
            return Err(SocketError::Usage("port 0 cannot be sent to".into()));
        }
        let interface = find_interface(options.interface.as_deref())?;
        let open = |&address: &IpAddr| {
            let socket = open_sending(address, &interface, options)?;
            Ok(Destination::connected(socket, SocketAddr::new(address, options.port)))
        };
        Ok(Sender {
            destinations: options.addresses.iter().map(open).collect::<Result<_, _>>()?,
            psk,
            sender: sender.map(sender_line).unwrap_or_default(),
            too_large: None,
            closed: false,
        })
    }

    /// Send what the queues take of `events`; how many at the head of the list every destination is done with. The
    /// caller comes back with the rest of the same list.
    pub fn send(&mut self, events: &[&Event]) -> usize {
        if self.closed {
            return events.len();
        }
        let mut done = 0;
        while done < events.len() {
            let chunk = &events[done..events.len().min(done + BATCH)];
            let datagrams: Vec<StockDatagram<'_>> = chunk.iter().map(|event| self.datagram(event)).collect();
            let mut finished = chunk.len();
            for destination in &mut self.destinations {
                let told = &mut self.too_large;
                let ahead = destination.send(&datagrams, |datagram, limit| *told = Some(datagram.too_large(limit)));
                finished = finished.min(ahead);
            }
            self.destinations.iter_mut().for_each(|destination| destination.shorten(finished));
            done += finished;
            if finished < chunk.len() {
                break;
            }
        }
        done
    }

    /// Forget how far each destination got: the caller will not come back with the rest of its list.
    pub fn abandon(&mut self) {
        self.destinations.iter_mut().for_each(Destination::abandon);
    }

    /// The last event that was too large, told once.
    pub fn take_too_large(&mut self) -> Option<TooLarge> {
        self.too_large.take()
    }

    pub fn close(&mut self) {
        self.closed = true;
        self.destinations.iter_mut().for_each(Destination::close);
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Counters by name, all destinations together. Each event and destination is in `datagrams`, `too_large`,
    /// `queue_full` or `errors`, once.
    pub fn counters(&self) -> [(&'static str, u64); 5] {
        destination::counters(&self.destinations)
    }

    pub fn destinations(&self) -> Vec<DestinationRow> {
        self.destinations.iter().map(Destination::row).collect()
    }

    fn datagram<'a>(&self, event: &'a Event) -> StockDatagram<'a> {
        let sender_line = line_for(event, &self.sender);
        let sealed =
            self.psk.as_ref().map(|psk| psk.seal(&frame::random_salt(), &frame::sealed_text(event, &sender_line)));
        StockDatagram { event, sender_line, sealed }
    }
}

/// The line that is added to `event`: none where it has one, `sender` unless that is empty, else its switch's name.
pub fn line_for(event: &Event, sender: &[u8]) -> Vec<u8> {
    match event.raw(b"Multicast-Sender") {
        Some(_) => Vec::new(),
        None if !sender.is_empty() => sender.to_vec(),
        None => event.raw(b"FreeSWITCH-Switchname").map(line_of).unwrap_or_default(),
    }
}

/// `Multicast-Sender: name\n` for a name as text.
pub fn sender_line(name: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    crate::encoding::encode_into(name, crate::encoding::Escape::Lossless, &mut raw);
    line_of(&raw)
}

fn line_of(raw: &[u8]) -> Vec<u8> {
    [b"Multicast-Sender: ", raw, b"\n"].concat()
}
