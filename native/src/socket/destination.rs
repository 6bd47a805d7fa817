//! One destination of a sender, written to in batches; how far it got, and what became of what it was sent.
//!
//! Nothing here waits. A destination whose queue is full keeps its own place in the batch, and the caller comes back
//! with the rest; one that stays full for [`PATIENCE`] loses the datagram, counted. Other errors lose it at once,
//! counted, and no destination ever holds up the next.

use super::poll::checked;
use crate::limits;
use socket2::{SockAddr, Socket};
use std::io;
use std::mem::zeroed;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Datagrams that one call writes at most.
pub const BATCH: usize = 64;
/// Pieces of one datagram.
pub const PIECES: usize = 4;
/// How long a full queue is waited for before a datagram is given up for that destination.
const PATIENCE: Duration = Duration::from_millis(200);

/// What can be sent: one datagram as the pieces that make it up.
pub trait Datagram {
    fn pieces(&self) -> [&[u8]; PIECES];

    fn size(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }
}

impl Datagram for Arc<[u8]> {
    fn pieces(&self) -> [&[u8]; PIECES] {
        [self, b"", b"", b""]
    }
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

pub struct Destination {
    /// `None` once it is closed.
    socket: Option<Arc<Socket>>,
    at: SocketAddr,
    /// Where to, on a socket that is not connected.
    to: Option<SockAddr>,
    tally: Tally,
    /// How many datagrams at the head of the caller's list this destination is done with.
    ahead: usize,
    full_since: Option<Instant>,
}

impl Destination {
    /// Of a socket that is connected to `at`.
    pub fn connected(socket: Socket, at: SocketAddr) -> Destination {
        Destination {
            socket: Some(Arc::new(socket)),
            at,
            to: None,
            tally: Tally::default(),
            ahead: 0,
            full_since: None,
        }
    }

    /// Of a socket that sends to others too.
    pub fn sharing(socket: Arc<Socket>, at: SocketAddr) -> Destination {
        Destination {
            socket: Some(socket),
            at,
            to: Some(at.into()),
            tally: Tally::default(),
            ahead: 0,
            full_since: None,
        }
    }

    /// Send those of `datagrams` that this destination has not had, as far as its queue takes them; how many at the head
    /// it is done with. `too_large` is told of each that is longer than the size given with it, which is not sent.
    pub fn send<D: Datagram>(&mut self, datagrams: &[D], mut too_large: impl FnMut(&D, usize)) -> usize {
        while self.ahead < datagrams.len() {
            let next = &datagrams[self.ahead];
            if next.size() > self.limit() {
                self.tally.too_large += 1;
                self.ahead += 1;
                too_large(next, self.limit());
                continue;
            }
            let fitting = datagrams[self.ahead..].iter().take_while(|datagram| datagram.size() <= self.limit()).count();
            match self.write(&datagrams[self.ahead..self.ahead + fitting]) {
                Ok(()) => {}
                Err(error) if is_full(&error) => {
                    if self.full_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                        break;
                    }
                    self.tally.queue_full += 1;
                    self.fail(&error);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.send_despite(&error, &datagrams[self.ahead]),
            }
        }
        self.ahead
    }

    /// The caller leaves this many at the head of its list out from now on.
    pub fn shorten(&mut self, finished: usize) {
        self.ahead -= finished;
    }

    /// Forget how far it got: the caller will not come back with the rest of its list.
    pub fn abandon(&mut self) {
        self.ahead = 0;
        self.full_since = None;
    }

    /// Send no more.
    pub fn close(&mut self) {
        self.abandon();
        self.socket = None;
    }

    pub fn row(&self) -> DestinationRow {
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

    /// Write `datagrams` with one call, as many as it takes.
    fn write<D: Datagram>(&mut self, datagrams: &[D]) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let written = write(socket, self.to.as_ref(), datagrams)?;
        self.tally.datagrams += written as u64;
        self.tally.bytes += datagrams[..written].iter().map(|datagram| datagram.size() as u64).sum::<u64>();
        self.ahead += written;
        self.full_since = None;
        Ok(())
    }

    /// The error may be that of an earlier datagram, which a router or the host answered meanwhile: hear them out, and
    /// try this datagram once more.
    fn send_despite<D: Datagram>(&mut self, error: &io::Error, datagram: &D) {
        // On a socket that sends to others it may well be another's.
        if self.to.is_none() {
            self.tally.last_error = error.to_string();
        }
        if let Some(socket) = &self.socket {
            drain_errors(socket);
        }
        if let Err(error) = self.write(std::slice::from_ref(datagram)) {
            self.tally.errors += 1;
            self.fail(&error);
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
}

/// Counters by name, all destinations together. Each datagram and destination is in `datagrams`, `too_large`,
/// `queue_full` or `errors`, once.
pub fn counters(destinations: &[Destination]) -> [(&'static str, u64); 5] {
    let sum = |count: fn(&Tally) -> u64| destinations.iter().map(|row| count(&row.tally)).sum();
    [
        ("datagrams", sum(|tally| tally.datagrams)),
        ("bytes", sum(|tally| tally.bytes)),
        ("too_large", sum(|tally| tally.too_large)),
        ("queue_full", sum(|tally| tally.queue_full)),
        ("errors", sum(|tally| tally.errors)),
    ]
}

/// A full socket buffer (EAGAIN) or a full queue of the interface (ENOBUFS, which IP_RECVERR brings to light).
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Write `datagrams` with one call, to `to` unless the socket is connected; how many were taken.
fn write<D: Datagram>(socket: &Socket, to: Option<&SockAddr>, datagrams: &[D]) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH);
    let part = |piece: &[u8]| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
    let mut vectors: Vec<[libc::iovec; PIECES]> =
        datagrams[..count].iter().map(|datagram| datagram.pieces().map(part)).collect();
    let message = |vector: &mut [libc::iovec; PIECES]| {
        // SAFETY: zeros are a valid message header.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_iov = vector.as_mut_ptr();
        message.msg_hdr.msg_iovlen = PIECES;
        if let Some(to) = to {
            message.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = to.len();
        }
        message
    };
    let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every header points at vectors of this frame, and those at bytes that outlive it, as the address does;
    // nothing is written to.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count as libc::c_uint, flags as _) };
    checked(sent).map(|sent| sent as usize)
}

/// Take everything from the socket's error queue: it is bounded, and once it is full nothing more can be sent.
pub fn drain_errors(socket: &Socket) {
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
