//! One connected socket for each destination, written to in batches.
//!
//! Nothing here waits. A destination whose queue is full keeps its own place in the batch, and the caller comes back
//! with the rest; one that stays full for [`PATIENCE`] loses the event, counted. Other errors lose it at once, counted,
//! and no destination ever holds up the next.

use super::options::{SendOptions, SocketError, find_interface, open_sending};
use super::poll::checked;
use crate::event::Event;
use crate::frame::{self, Psk};
use crate::limits;
use socket2::Socket;
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Datagrams that one call writes at most.
const BATCH: usize = 64;
/// Pieces of one datagram.
const PIECES: usize = 4;
/// How long a full queue is waited for before an event is given up for that destination.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a destination could not be sent, because no datagram is that long. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub name: String,
    pub size: usize,
    pub limit: usize,
}

/// One row for each destination.
pub struct DestinationRow {
    pub address: String,
    pub port: u16,
    /// `IPv4 multicast` and so on, as the module's `multicast_peers` names them.
    pub kind: &'static str,
    pub datagrams: u64,
    pub errors: u64,
    pub last_error: String,
}

#[derive(Default)]
struct Tally {
    datagrams: u64,
    bytes: u64,
    too_large: u64,
    queue_full: u64,
    errors: u64,
    last_error: String,
}

struct Destination {
    socket: Socket,
    at: SocketAddr,
    tally: Tally,
    /// How many events at the head of the caller's list this destination is done with.
    ahead: usize,
    full_since: Option<Instant>,
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
struct Datagram<'a> {
    event: &'a Event,
    sender_line: Vec<u8>,
    sealed: Option<Vec<u8>>,
}

impl Datagram<'_> {
    fn pieces(&self) -> [&[u8]; PIECES] {
        match &self.sealed {
            Some(sealed) => [sealed, b"", b"", b""],
            None => frame::pieces(self.event, &self.sender_line),
        }
    }

    fn len(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
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
            Ok(Destination {
                socket: open_sending(address, &interface, options)?,
                at: SocketAddr::new(address, options.port),
                tally: Tally::default(),
                ahead: 0,
                full_since: None,
            })
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
            let datagrams: Vec<Datagram<'_>> = chunk.iter().map(|event| self.datagram(event)).collect();
            let mut finished = chunk.len();
            for destination in &mut self.destinations {
                destination.send(&datagrams, &mut self.too_large);
                finished = finished.min(destination.ahead);
            }
            for destination in &mut self.destinations {
                destination.ahead -= finished;
            }
            done += finished;
            if finished < chunk.len() {
                break;
            }
        }
        done
    }

    /// Forget how far each destination got: the caller will not come back with the rest of its list.
    pub fn abandon(&mut self) {
        for destination in &mut self.destinations {
            destination.ahead = 0;
            destination.full_since = None;
        }
    }

    /// The last event that was too large, told once.
    pub fn take_too_large(&mut self) -> Option<TooLarge> {
        self.too_large.take()
    }

    pub fn close(&mut self) {
        self.closed = true;
        self.destinations.iter_mut().for_each(|destination| {
            let _ = destination.socket.shutdown(std::net::Shutdown::Both);
        });
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Counters by name, all destinations together. Each event and destination is in `datagrams`, `too_large`,
    /// `queue_full` or `errors`, once.
    pub fn counters(&self) -> [(&'static str, u64); 5] {
        let sum = |count: fn(&Tally) -> u64| self.destinations.iter().map(|row| count(&row.tally)).sum();
        [
            ("datagrams", sum(|tally| tally.datagrams)),
            ("bytes", sum(|tally| tally.bytes)),
            ("too_large", sum(|tally| tally.too_large)),
            ("queue_full", sum(|tally| tally.queue_full)),
            ("errors", sum(|tally| tally.errors)),
        ]
    }

    pub fn destinations(&self) -> Vec<DestinationRow> {
        self.destinations.iter().map(Destination::row).collect()
    }

    fn datagram<'a>(&self, event: &'a Event) -> Datagram<'a> {
        let sender_line = match event.raw(b"Multicast-Sender") {
            Some(_) => Vec::new(),
            None if !self.sender.is_empty() => self.sender.clone(),
            None => event.raw(b"FreeSWITCH-Switchname").map(line_of).unwrap_or_default(),
        };
        let sealed =
            self.psk.as_ref().map(|psk| psk.seal(&frame::random_salt(), &frame::sealed_text(event, &sender_line)));
        Datagram { event, sender_line, sealed }
    }
}

impl Destination {
    /// Send those of `datagrams` that this destination has not had, as far as its queue takes them.
    fn send(&mut self, datagrams: &[Datagram<'_>], too_large: &mut Option<TooLarge>) {
        while self.ahead < datagrams.len() {
            let next = &datagrams[self.ahead];
            if next.len() > self.limit() {
                self.tally.too_large += 1;
                self.ahead += 1;
                *too_large = Some(self.describe(next));
                continue;
            }
            let fitting = datagrams[self.ahead..].iter().take_while(|datagram| datagram.len() <= self.limit()).count();
            match write(&self.socket, &datagrams[self.ahead..self.ahead + fitting]) {
                Ok(written) => {
                    let sent = &datagrams[self.ahead..self.ahead + written];
                    self.tally.datagrams += written as u64;
                    self.tally.bytes += sent.iter().map(|datagram| datagram.len() as u64).sum::<u64>();
                    self.ahead += written;
                    self.full_since = None;
                }
                Err(error) if is_full(&error) => {
                    if self.full_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                        return;
                    }
                    self.tally.queue_full += 1;
                    self.fail(&error);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.send_despite(&error, &datagrams[self.ahead]),
            }
        }
    }

    /// The error may be that of an earlier datagram, which a router or the host answered meanwhile: hear them out, and
    /// try this datagram once more.
    fn send_despite(&mut self, error: &io::Error, datagram: &Datagram<'_>) {
        self.tally.last_error = error.to_string();
        drain_errors(&self.socket);
        match write(&self.socket, std::slice::from_ref(datagram)) {
            Ok(_) => {
                self.tally.datagrams += 1;
                self.tally.bytes += datagram.len() as u64;
                self.ahead += 1;
            }
            Err(error) => {
                self.tally.errors += 1;
                self.fail(&error);
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.tally.last_error = error.to_string();
        self.full_since = None;
        self.ahead += 1;
    }

    fn limit(&self) -> usize {
        if self.at.is_ipv4() { limits::DATAGRAM_IPV4_BYTES } else { limits::DATAGRAM_IPV6_BYTES }
    }

    fn describe(&self, datagram: &Datagram<'_>) -> TooLarge {
        let name = datagram.event.value(b"Event-Name").unwrap_or_default();
        TooLarge {
            name: String::from_utf8_lossy(&name).chars().take(60).collect(),
            size: datagram.len(),
            limit: self.limit(),
        }
    }

    fn row(&self) -> DestinationRow {
        let address = self.at.ip();
        let kind = match (address.is_ipv4(), address.is_multicast()) {
            (true, true) => "IPv4 multicast",
            (true, false) => "IPv4 unicast",
            (false, true) => "IPv6 multicast",
            (false, false) => "IPv6 unicast",
        };
        DestinationRow {
            address: address.to_string(),
            port: self.at.port(),
            kind,
            datagrams: self.tally.datagrams,
            errors: self.tally.errors + self.tally.queue_full + self.tally.too_large,
            last_error: self.tally.last_error.clone(),
        }
    }
}

/// `Multicast-Sender: name\n` for a name as text.
fn sender_line(name: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    crate::encoding::encode_into(name, crate::encoding::Escape::Lossless, &mut raw);
    line_of(&raw)
}

fn line_of(raw: &[u8]) -> Vec<u8> {
    [b"Multicast-Sender: ", raw, b"\n"].concat()
}

/// A full socket buffer (EAGAIN) or a full queue of the interface (ENOBUFS, which IP_RECVERR brings to light).
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Write `datagrams` with one call; how many were taken.
fn write(socket: &Socket, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH);
    let part = |piece: &[u8]| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
    let mut vectors: Vec<[libc::iovec; PIECES]> =
        datagrams[..count].iter().map(|datagram| datagram.pieces().map(part)).collect();
    let message = |vector: &mut [libc::iovec; PIECES]| {
        // SAFETY: zeros are a valid message header.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_iov = vector.as_mut_ptr();
        message.msg_hdr.msg_iovlen = PIECES;
        message
    };
    let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
    // SAFETY: every header points at vectors of this frame, and those at bytes that outlive it; nothing is written to.
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count as libc::c_uint, flags as _) };
    checked(sent).map(|sent| sent as usize)
}

/// Take everything from the socket's error queue: it is bounded, and once it is full nothing more can be sent.
fn drain_errors(socket: &Socket) {
    let mut payload = [0u8; 512];
    let mut control = [0u64; 64];
    loop {
        let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
        // SAFETY: zeros are a valid header; its pointers are to locals, with their lengths.
        let read = unsafe {
            let mut header: libc::msghdr = zeroed();
            header.msg_iov = &mut vector;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&control);
            libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
        };
        if read < 0 {
            break;
        }
    }
    // The pending error itself is cleared by asking for it.
    let _ = socket.take_error();
}
