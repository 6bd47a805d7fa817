//! Several sockets read as one.
//!
//! A hop from a reading thread to an event loop costs more than a datagram does, and a loop that reads for itself loses
//! datagrams while it is busy. So there are three modes, and [`Mode`] says who reads:
//!
//! ```text
//!            resume()              a full batch, or the loop did not come
//!   Paused ───────────> Inline ───────────────────────────────────────────> Threaded
//!                          ^            below QUIET_RATE for a WINDOW          │
//!                          └───────────────────────────────────────────────────┘
//! ```
//!
//! - Inline: the sockets are in the epoll set that the loop watches, and `read` reads them in the caller's thread.
//! - Threaded: the sockets are out of that set; a thread reads them into a bounded ring and raises a flag, which is in
//!   the set. What finds the ring full is dropped and counted.
//!
//! Who reads holds the `reader` lock, and modes change under it only, so order is kept across a change.

use super::batch::{BATCH, Batch, kernel_drops};
use super::intake::{Counts, Intake};
use super::options::{ReceiveOptions, SocketError, find_interface, open_receiving};
use super::poll::{Epoll, Wake, wait_readable};
use super::ring::Ring;
use crate::event::Event;
use socket2::Socket;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the thread looks, while datagrams come, whether the loop still reads. A buffer of 4 MiB holds the events
/// of some 6 ms at the highest rate that a core can receive.
const LOOK: Duration = Duration::from_millis(4);
/// How long it goes on to look after the last datagram, before it sleeps until the next one.
const LOOK_ON: Duration = Duration::from_secs(1);
/// Over what time the thread measures whether it is still needed.
const WINDOW: Duration = Duration::from_millis(100);
/// Datagrams a second below which the loop reads for itself again.
const QUIET_RATE: u64 = 10_000;
/// Full batches after which the thread wakes the loop although there is more to read: some 1 ms at full load.
const TURNS: u32 = 48;

/// One row for each socket.
pub struct SocketRow {
    pub address: String,
    pub port: u16,
    pub interface: String,
    /// Bytes that the kernel granted, as it counts them (twice what was asked for, to allow for its own overhead).
    pub receive_buffer: usize,
}

impl SocketRow {
    /// Of a socket that `address` was asked for, and `port`: 0 for any.
    pub fn of(socket: &Socket, address: IpAddr, port: u16, interface: &str) -> SocketRow {
        SocketRow {
            address: address.to_string(),
            port: socket.local_addr().ok().and_then(|at| at.as_socket()).map_or(port, |at| at.port()),
            interface: interface.to_owned(),
            receive_buffer: socket.recv_buffer_size().unwrap_or(0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Paused,
    Inline,
    Threaded,
    Closed,
}

struct Reader {
    mode: Mode,
    sockets: Vec<Socket>,
    /// Datagrams that each socket had dropped when last told.
    dropped: Vec<u32>,
    batch: Batch,
    counts: Counts,
    /// Which socket is read first: they take turns.
    turn: usize,
}

struct Shared {
    intake: Intake,
    reader: Mutex<Reader>,
    ring: Mutex<Ring>,
    /// Events that found it full.
    overflow: AtomicU64,
    /// What the loop watches: the sockets while Inline, and `filled` always.
    watched: Epoll,
    /// Up while the ring holds something, or the receiver is closed.
    filled: Wake,
    /// Up when the mode has changed and the thread has to know.
    changed: Wake,
    /// Counts the calls of `read`, so that the thread sees whether the loop still comes.
    reads: AtomicU64,
    delivered: AtomicU64,
    /// Callers who wait for the reader: under full load the thread would never let them have it unasked.
    callers: AtomicU64,
}

/// A receiver; dropping it closes it.
pub struct Receiver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    rows: Vec<SocketRow>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    pub fn open(
        options: &ReceiveOptions,
        intake: Intake,
        ring_events: usize,
        ring_bytes: usize,
        paused: bool,
    ) -> Result<Receiver, SocketError> {
        if options.addresses.is_empty() {
            return Err(SocketError::Usage("no address to listen on".into()));
        }
        let interface = find_interface(options.interface.as_deref())?;
        let mut sockets = Vec::new();
        let mut rows = Vec::new();
        for &address in &options.addresses {
            let socket = open_receiving(address, &interface, options)?;
            rows.push(SocketRow::of(&socket, address, options.port, &interface.name));
            sockets.push(socket);
        }
        let failed = |error: io::Error| SocketError::Unavailable(format!("cannot watch sockets: {error}"));
        let watched = Epoll::new().map_err(failed)?;
        let filled = Wake::new().map_err(failed)?;
        watched.add(filled.as_raw_fd()).map_err(failed)?;
        let dropped = vec![0; sockets.len()];
        let reader =
            Reader { mode: Mode::Paused, sockets, dropped, batch: Batch::new(), counts: Counts::default(), turn: 0 };
        let shared = Arc::new(Shared {
            intake,
            reader: Mutex::new(reader),
            ring: Mutex::new(Ring::new(ring_events, ring_bytes)),
            overflow: AtomicU64::new(0),
            watched,
            filled,
            changed: Wake::new().map_err(failed)?,
            reads: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            callers: AtomicU64::new(0),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("switchcast-recv".into())
            .stack_size(256 * 1024)
            .spawn(move || for_thread.run())
            .map_err(failed)?;
        let receiver = Receiver { shared, thread: Mutex::new(Some(thread)), rows };
        if !paused {
            receiver.resume();
        }
        Ok(receiver)
    }

    /// Start to read, for a receiver that was opened paused.
    pub fn resume(&self) {
        let mut reader = self.shared.reader_for_caller();
        if reader.mode == Mode::Paused {
            self.shared.change(&mut reader, Mode::Inline);
        }
    }

    /// The descriptor that can be read when [`Receiver::read`] has something to give.
    pub fn fd(&self) -> RawFd {
        self.shared.watched.as_raw_fd()
    }

    /// What has arrived, oldest first, without waiting.
    pub fn read(&self, most: usize) -> Vec<Event> {
        self.shared.read(most)
    }

    /// Wait until there is something to read, at most for `timeout`; a signal ends the wait early.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        wait_readable(&[self.fd()], timeout)
    }

    pub fn sockets(&self) -> &[SocketRow] {
        &self.rows
    }

    /// Counters by name. `datagrams` is the sum of `delivered`, `unmatched`, the rejected, `ring_overflow` and `waiting`.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let (counts, drops) = {
            let mut reader = self.shared.reader_for_caller();
            (reader.counts.clone(), reader.kernel_drops())
        };
        let ring = locked(&self.shared.ring);
        let mut rows: Vec<(String, u64)> = [
            ("datagrams", counts.datagrams),
            ("bytes", counts.bytes),
            ("delivered", self.shared.delivered.load(Ordering::Relaxed)),
            ("unmatched", counts.unmatched),
            ("condition_errors", counts.condition_errors),
            ("ring_overflow", self.shared.overflow.load(Ordering::Relaxed)),
            ("waiting", ring.len() as u64),
            ("kernel_drops", drops),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        rows.extend(counts.rejected.iter().map(|(reason, count)| (format!("rejected_{}", reason.name()), count)));
        rows
    }

    /// Leave the groups, end the thread. Safe to repeat; a waiting loop is woken and finds nothing.
    pub fn close(&self) {
        self.shared.close();
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.shared.reader_for_caller().mode == Mode::Closed
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

impl Reader {
    /// Read one batch of each socket, hand every event to `give`; the most datagrams that one socket had.
    fn read_once(&mut self, intake: &Intake, mut give: impl FnMut(Event)) -> usize {
        let received = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let mut most = 0;
        self.turn = self.turn.wrapping_add(1);
        for offset in 0..self.sockets.len() {
            let place = (self.turn + offset) % self.sockets.len();
            // What the kernel reports here is an ICMP error of some other datagram; the next call reads on.
            let Ok(read) = self.batch.read(&self.sockets[place]) else { continue };
            let (batch, counts) = (&self.batch, &mut self.counts);
            for slot in 0..read {
                let (datagram, truncated) = batch.datagram(slot);
                if let Some(event) = intake.take(datagram, truncated, || batch.source(slot), received, counts) {
                    give(event);
                }
            }
            if read > 0
                && let Some(dropped) = batch.dropped(read - 1)
            {
                self.dropped[place] = dropped;
            }
            most = most.max(read);
        }
        most
    }

    fn kernel_drops(&mut self) -> u64 {
        for (socket, dropped) in self.sockets.iter().zip(&mut self.dropped) {
            *dropped = kernel_drops(socket).unwrap_or(*dropped);
        }
        self.dropped.iter().map(|&dropped| u64::from(dropped)).sum()
    }

    fn fds(&self) -> Vec<RawFd> {
        self.sockets.iter().map(AsRawFd::as_raw_fd).collect()
    }
}

impl Shared {
    fn change(&self, reader: &mut Reader, mode: Mode) {
        for fd in reader.fds() {
            // A descriptor of ours that is not in the set, or is already, is no error worth more than this.
            let _ = if mode == Mode::Inline { self.watched.add(fd) } else { self.watched.remove(fd) };
        }
        reader.mode = mode;
        self.changed.set();
    }

    fn reader_for_caller(&self) -> MutexGuard<'_, Reader> {
        self.callers.fetch_add(1, Ordering::SeqCst);
        let reader = locked(&self.reader);
        self.callers.fetch_sub(1, Ordering::SeqCst);
        reader
    }

    fn close(&self) {
        let mut reader = self.reader_for_caller();
        if reader.mode != Mode::Closed {
            let _ = reader.kernel_drops();
            self.change(&mut reader, Mode::Closed);
            // The sockets close here, which leaves their groups; the counts stay readable.
            reader.sockets.clear();
            self.filled.set();
        }
    }

    fn read(&self, most: usize) -> Vec<Event> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut events = Vec::new();
        let emptied = self.take_from_ring(most, &mut events);
        // When the thread has the reader, what it reads reaches us through the ring.
        if emptied && let Ok(mut reader) = self.reader.try_lock() {
            // The thread may have filled the ring and handed back to us since we looked.
            if reader.mode == Mode::Inline && self.take_from_ring(most - events.len(), &mut events) {
                let busiest = reader.read_once(&self.intake, |event| events.push(event));
                if busiest == BATCH {
                    self.change(&mut reader, Mode::Threaded);
                }
            }
        }
        self.delivered.fetch_add(events.len() as u64, Ordering::Relaxed);
        events
    }

    /// Move at most `most` events from the ring to `events`; whether the ring is empty now.
    fn take_from_ring(&self, most: usize, events: &mut Vec<Event>) -> bool {
        let mut ring = locked(&self.ring);
        ring.take(most, events, &self.filled);
        ring.is_empty()
    }

    /// Move `events` to the ring, as far as it has room, and raise the flag when `announce` says so.
    fn put_into_ring(&self, events: &mut Vec<Event>, announce: bool) {
        let mut ring = locked(&self.ring);
        let refused = events.drain(..).filter_map(|event| ring.put(event).err()).count();
        self.overflow.fetch_add(refused as u64, Ordering::Relaxed);
        if announce {
            ring.announce(&self.filled);
        }
    }

    /// The thread: reads while Threaded, keeps an eye on the loop while Inline.
    fn run(&self) {
        let mut events = Vec::with_capacity(BATCH);
        loop {
            self.changed.clear();
            let (mode, fds) = {
                let reader = locked(&self.reader);
                (reader.mode, reader.fds())
            };
            match mode {
                Mode::Closed => return,
                Mode::Paused => {
                    wait_readable(&[self.changed.as_raw_fd()], None);
                }
                Mode::Inline => self.look_after_the_loop(&fds),
                Mode::Threaded => self.read_until_quiet(&fds, &mut events),
            }
        }
    }

    /// While Inline: sleep until something arrives, then look every so often whether the loop reads it; if not, take over.
    fn look_after_the_loop(&self, fds: &[RawFd]) {
        let mut any = fds.to_vec();
        any.push(self.changed.as_raw_fd());
        wait_readable(&any, None);
        let mut reads = self.reads.load(Ordering::Relaxed);
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < LOOK_ON {
            if wait_readable(&[self.changed.as_raw_fd()], Some(LOOK)) {
                return;
            }
            let reads_now = self.reads.load(Ordering::Relaxed);
            if reads_now != reads {
                reads = reads_now;
                quiet_since = Instant::now();
            } else if wait_readable(fds, Some(Duration::ZERO)) {
                let mut reader = locked(&self.reader);
                if reader.mode == Mode::Inline {
                    self.change(&mut reader, Mode::Threaded);
                }
                return;
            }
        }
    }

    /// While Threaded: read, and hand back to the loop when little comes.
    fn read_until_quiet(&self, fds: &[RawFd], events: &mut Vec<Event>) {
        let mut any = fds.to_vec();
        any.push(self.changed.as_raw_fd());
        let mut unannounced = 0;
        let mut window = (Instant::now(), locked(&self.reader).counts.datagrams);
        loop {
            let busiest = {
                let mut reader = locked(&self.reader);
                if reader.mode != Mode::Threaded {
                    return;
                }
                let busiest = reader.read_once(&self.intake, |event| events.push(event));
                // More is waiting in the sockets: the loop is woken for a good many events, or when they are all read.
                unannounced = if busiest == BATCH { unannounced + 1 } else { TURNS };
                self.put_into_ring(events, unannounced >= TURNS);
                unannounced %= TURNS;
                let passed = window.0.elapsed();
                // Never with a full batch: what it left in the ring may not have been announced yet.
                if passed >= WINDOW && busiest < BATCH {
                    let so_far = reader.counts.datagrams;
                    if (so_far - window.1) * 1_000 < QUIET_RATE * passed.as_millis() as u64 {
                        self.change(&mut reader, Mode::Inline);
                        return;
                    }
                    window = (Instant::now(), so_far);
                }
                busiest
            };
            if busiest < BATCH {
                wait_readable(&any, Some(WINDOW));
            }
            while self.callers.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    }
}
