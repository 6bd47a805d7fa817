//! A [`ReceiveSession`] on real sockets: those of the group, and one an address family that asks and is answered.
//!
//! A thread of its own reads them and keeps the session's timers, for a request must not wait until an event loop has
//! time for it. It matches bindings while the text is still borrowed, so what nobody asked for is never copied, and
//! puts what is left into a bounded ring. A loop that is too slow is told in-band what found no room: see [`GapRing`].

use super::answering::Answering;
use super::batch::{BATCH, Batch, kernel_drops};
use super::clock;
use super::gap_ring::{GapRing, Place};
use super::intake::{Counts, Intake};
use super::options::{ReceiveOptions, SendOptions, SocketError, find_interface, open_receiving};
use super::poll::{Wake, wait_readable};
use super::receiver::SocketRow;
use crate::event::{Event, Source};
use crate::keys::KeyRing;
use crate::reject::Reject;
use crate::reliable::given::{GapRecord, Given, StreamRow};
use crate::reliable::receive::{ReceiveSession, ReceiveSettings};
use crate::reliable::{MILLISECOND, Nanos, To};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Full batches after which the thread wakes the loop although there is more to read.
const TURNS: u32 = 16;
/// How long the session's timers wait, at most, for a backlog to be read.
const BACKLOG: Nanos = 250 * MILLISECOND;
/// Bytes to ask for, for sending hellos and requests.
const SEND_BUFFER: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Paused,
    Open,
    Closed,
}

/// What the session gave, on its way to the ring.
enum Taken {
    Event(Event, Option<Place>),
    Gap(GapRecord),
}

struct Reader {
    phase: Phase,
    /// Those of the group, then those that ask.
    sockets: Vec<Arc<Socket>>,
    asking: Answering,
    dropped: Vec<u32>,
    batch: Batch,
    session: ReceiveSession,
    counts: Counts,
    taken: Vec<Taken>,
    /// When the session's timers were last looked at, and when they are to be looked at again.
    ticked: Nanos,
    due: Option<Nanos>,
}

struct Shared {
    intake: Intake,
    reader: Mutex<Reader>,
    ring: Mutex<GapRing>,
    /// Up while the ring holds something, or the receiver is closed.
    filled: Wake,
    /// Up when the phase has changed.
    changed: Wake,
    delivered: AtomicU64,
    /// Callers who wait for the reader: under full load the thread would never let them have it unasked.
    callers: AtomicU64,
}

/// A receiver that loses nothing untold; dropping it closes it.
pub struct ReliableReceiver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    rows: Vec<SocketRow>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReliableReceiver {
    /// Open the sockets; unless `paused`, read them from now on. `intake` has no key of its own: the session opens.
    pub fn open(
        options: &ReceiveOptions,
        settings: ReceiveSettings,
        keys: Option<KeyRing>,
        intake: Intake,
        ring: (usize, usize),
        paused: bool,
    ) -> Result<ReliableReceiver, SocketError> {
        if options.addresses.is_empty() {
            return Err(SocketError::Usage("no address to listen on".into()));
        }
        let interface = find_interface(options.interface.as_deref())?;
        let mut sockets = Vec::new();
        let mut rows = Vec::new();
        for &address in &options.addresses {
            let socket = open_receiving(address, &interface, options)?;
            rows.push(SocketRow::of(&socket, address, options.port, &interface.name));
            sockets.push(Arc::new(socket));
        }
        let sending = SendOptions {
            addresses: options.addresses.clone(),
            port: options.port,
            interface: options.interface.clone(),
            source: None,
            ttl: 1,
            loopback: true,
            send_buffer: SEND_BUFFER,
        };
        let asking = Answering::open(&options.addresses, &interface, &sending, options.receive_buffer)?;
        sockets.extend(asking.sockets().cloned());
        let failed = |error: io::Error| SocketError::Unavailable(format!("cannot watch sockets: {error}"));
        let reader = Reader {
            phase: if paused { Phase::Paused } else { Phase::Open },
            dropped: vec![0; sockets.len()],
            sockets,
            asking,
            batch: Batch::new(),
            session: ReceiveSession::new(settings, keys, clock::now()),
            counts: Counts::default(),
            taken: Vec::new(),
            ticked: 0,
            due: None,
        };
        let shared = Arc::new(Shared {
            intake,
            reader: Mutex::new(reader),
            ring: Mutex::new(GapRing::new(ring.0, ring.1)),
            filled: Wake::new().map_err(failed)?,
            changed: Wake::new().map_err(failed)?,
            delivered: AtomicU64::new(0),
            callers: AtomicU64::new(0),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("switchcast-hear".into())
            .stack_size(512 * 1024)
            .spawn(move || for_thread.run())
            .map_err(failed)?;
        Ok(ReliableReceiver { shared, thread: Mutex::new(Some(thread)), rows })
    }

    /// Start to read, for a receiver that was opened paused.
    pub fn resume(&self) {
        let mut reader = self.shared.reader_for_caller();
        if reader.phase == Phase::Paused {
            reader.phase = Phase::Open;
            self.shared.changed.set();
        }
    }

    /// The descriptor that can be read when [`ReliableReceiver::read`] has something to give.
    pub fn fd(&self) -> RawFd {
        self.shared.filled.as_raw_fd()
    }

    /// What has arrived, events and gap records, in the order of each stream, without waiting.
    pub fn read(&self, most: usize) -> Vec<Event> {
        let mut events = Vec::new();
        locked(&self.shared.ring).take(most, &mut events, &self.shared.filled);
        self.shared.delivered.fetch_add(events.len() as u64, Ordering::Relaxed);
        events
    }

    /// Wait until there is something to read, at most for `timeout`; a signal ends the wait early.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        wait_readable(&[self.fd()], timeout)
    }

    pub fn sockets(&self) -> &[SocketRow] {
        &self.rows
    }

    /// What is known of each stream.
    pub fn streams(&self) -> Vec<StreamRow> {
        self.shared.reader_for_caller().session.streams()
    }

    /// Receive under these keys from now on.
    pub fn rekey(&self, keys: KeyRing) {
        self.shared.reader_for_caller().session.rekey(keys);
    }

    /// Counters by name: those of the sockets, of the session, and a count for each reason to reject.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let (rejected, mut rows, drops) = {
            let mut reader = self.shared.reader_for_caller();
            let rejected: Vec<(Reject, u64)> = reader
                .counts
                .rejected
                .iter()
                .zip(reader.session.rejected.iter())
                .map(|((reason, ours), (_, theirs))| (reason, ours + theirs))
                .collect();
            let counts = &reader.counts;
            let mut rows = vec![
                ("datagrams", counts.datagrams),
                ("bytes", counts.bytes),
                ("unmatched", counts.unmatched),
                ("condition_errors", counts.condition_errors),
                ("unsent", reader.asking.unsent),
            ];
            let known: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
            rows.extend(reader.session.counters().into_iter().filter(|(name, _)| !known.contains(name)));
            (rejected, rows, reader.kernel_drops())
        };
        let ring = locked(&self.shared.ring);
        rows.extend([
            ("delivered", self.shared.delivered.load(Ordering::Relaxed)),
            ("ring_overflow", ring.overflow),
            ("waiting", ring.len() as u64),
            ("kernel_drops", drops),
        ]);
        let named = rows.into_iter().map(|(name, count)| (name.to_owned(), count));
        named.chain(rejected.iter().map(|(reason, count)| (format!("rejected_{}", reason.name()), *count))).collect()
    }

    /// Leave the groups, end the thread. Safe to repeat; a waiting loop is woken and finds nothing.
    pub fn close(&self) {
        self.shared.close();
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.shared.reader_for_caller().phase == Phase::Closed
    }
}

impl Drop for ReliableReceiver {
    fn drop(&mut self) {
        self.close();
    }
}

impl Reader {
    /// Read one batch of each socket, do what is due, and send what is to be sent. The most datagrams that one socket
    /// had, and when something is due next.
    fn turn(&mut self, intake: &Intake) -> (usize, Option<Nanos>) {
        let (now, wall, received) = (clock::now(), clock::wall(), clock::received());
        let (counts, taken) = (&mut self.counts, &mut self.taken);
        let mut give = |given: Given<'_>| match given {
            Given::Event { text, trust, from, at } => {
                if let Some(mut event) = intake.choose(text, counts) {
                    (event.source, event.received, event.trust) = (Source::Datagram(shown(from)), received, trust);
                    let place = at.map(|at| Place { stream: at.stream, sequence: at.sequence });
                    taken.push(Taken::Event(event, place));
                }
            }
            Given::Gap(gap) => taken.push(Taken::Gap(gap)),
        };
        let (mut most, mut datagrams, mut bytes) = (0, 0, 0);
        for socket in &self.sockets {
            // What the kernel reports here is an ICMP error of some other datagram; the next call reads on.
            let Ok(read) = self.batch.read(socket) else { continue };
            for slot in 0..read {
                let Some(from) = self.batch.answer_to(slot) else { continue };
                let (datagram, truncated) = self.batch.datagram_mut(slot);
                datagrams += 1;
                bytes += datagram.len() as u64;
                if truncated {
                    self.session.rejected.add(Reject::Truncated);
                } else {
                    self.session.hear(datagram, from, now, wall, &mut give);
                }
            }
            most = most.max(read);
        }
        // While there is more to read, what seems to be missing may well be in it, and asking would only add to it.
        let backlog = most == BATCH && now.saturating_sub(self.ticked) < BACKLOG;
        if !backlog {
            self.due = self.session.tick(now, wall, &mut give);
            self.ticked = now;
        }
        counts.datagrams += datagrams;
        counts.bytes += bytes;
        for outgoing in self.session.outgoing() {
            match outgoing.to {
                To::Address(to) => self.asking.send(&outgoing.bytes, to),
                // A receiver has nothing to say to a group.
                To::Group => self.asking.unsent += 1,
            }
        }
        (most, self.due)
    }

    fn kernel_drops(&mut self) -> u64 {
        for (socket, dropped) in self.sockets.iter().zip(&mut self.dropped) {
            *dropped = kernel_drops(socket).unwrap_or(*dropped);
        }
        self.dropped.iter().map(|&dropped| u64::from(dropped)).sum()
    }
}

/// A source as it is displayed and compared with configured addresses: without the interface.
fn shown(mut from: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut from {
        v6.set_scope_id(0);
    }
    from
}

impl Shared {
    fn reader_for_caller(&self) -> MutexGuard<'_, Reader> {
        self.callers.fetch_add(1, Ordering::SeqCst);
        let reader = locked(&self.reader);
        self.callers.fetch_sub(1, Ordering::SeqCst);
        reader
    }

    fn close(&self) {
        let mut reader = self.reader_for_caller();
        if reader.phase != Phase::Closed {
            let _ = reader.kernel_drops();
            reader.phase = Phase::Closed;
            self.changed.set();
            self.filled.set();
        }
    }

    /// The thread.
    fn run(&self) {
        let mut unannounced = 0;
        loop {
            self.changed.clear();
            let (wait, fds) = {
                let mut reader = locked(&self.reader);
                match reader.phase {
                    // The sockets close with the thread, which leaves their groups; the counts stay readable.
                    Phase::Closed => {
                        reader.sockets.clear();
                        reader.asking.close();
                        return;
                    }
                    Phase::Paused => (None, Vec::new()),
                    Phase::Open => {
                        let (most, due) = reader.turn(&self.intake);
                        // More is waiting: the loop is woken for a good many events, or when they are all read.
                        unannounced = if most == BATCH { unannounced + 1 } else { TURNS };
                        self.put_into_ring(&mut reader.taken, unannounced >= TURNS);
                        unannounced %= TURNS;
                        let wait = due.map(|due| clock::until(due, clock::now()));
                        let fds = reader.sockets.iter().map(|socket| socket.as_raw_fd()).collect();
                        (if most == BATCH { Some(Duration::ZERO) } else { wait }, fds)
                    }
                }
            };
            if wait != Some(Duration::ZERO) {
                wait_readable(&[&fds[..], &[self.changed.as_raw_fd()]].concat(), wait);
            }
            while self.callers.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    }

    fn put_into_ring(&self, taken: &mut Vec<Taken>, announce: bool) {
        let mut ring = locked(&self.ring);
        for taken in taken.drain(..) {
            match taken {
                Taken::Event(event, place) => ring.put(event, place),
                Taken::Gap(gap) => ring.put_gap(gap),
            }
        }
        if announce {
            ring.announce(&self.filled);
        }
    }
}
