//! A [`TransmitSession`] on real sockets: one an address family, from which it sends to all destinations, and at which
//! receivers ask for what they miss.
//!
//! `send` works in the caller's thread. A thread of its own reads what receivers say, keeps the session's timers, for
//! beacons are due while the program is silent, and sends on where a queue was full. After `end` it lingers: as long as
//! the session says, for receivers may still ask, and never longer than it was told to.

use super::answering::Answering;
use super::batch::{BATCH, Batch};
use super::clock;
use super::destination::{self, Destination, DestinationRow};
use super::options::{SendOptions, SocketError, find_interface, open_sending, scoped};
use super::poll::{Wake, wait_readable};
use super::sender::{TooLarge, line_for, sender_line};
use crate::event::Event;
use crate::keys::KeyRing;
use crate::limits;
use crate::reject::Reject;
use crate::reliable::transmit::{TransmitSession, TransmitSettings};
use crate::reliable::{Mode, Nanos, To};
use crate::sealed::header::StreamId;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events that are given to the session before what it makes of them is written.
const CHUNK: usize = 64;
/// Bytes to ask for, for what receivers say.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// How long until a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing is sent any more but repairs and last beacons, until then at most.
    Lingering(Nanos),
    Closed,
}

struct State {
    phase: Phase,
    session: TransmitSession,
    answering: Answering,
    destinations: Vec<Destination>,
    /// Datagrams for all destinations, of which one at least has not had the first.
    outbox: Vec<Arc<[u8]>>,
    batch: Batch,
    /// `Multicast-Sender` for events that have none; empty: the event's own FreeSWITCH-Switchname.
    sender: Vec<u8>,
    /// Bytes of what one event makes at most.
    limit: usize,
    too_large: Option<TooLarge>,
    too_large_events: u64,
    heard: u64,
    /// When the thread will look at the session's timers next; `None`: not before something wakes it.
    planned: Option<Nanos>,
}

struct Shared {
    state: Mutex<State>,
    /// Up when the thread has to look at the state before it had planned to.
    changed: Wake,
    /// Up when the thread has ended.
    ended: Wake,
    /// Callers who wait for the state: under a flood the thread would never let them have it unasked.
    callers: AtomicU64,
}

/// A sender that repairs what its receivers lose; dropping it closes it at once.
pub struct ReliableSender {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReliableSender {
    /// Open the sockets and begin a stream. `sender` is the `Multicast-Sender` of events that have none.
    pub fn open(
        options: &SendOptions,
        settings: TransmitSettings,
        keys: Option<KeyRing>,
        sender: Option<&[u8]>,
    ) -> Result<ReliableSender, SocketError> {
        if options.addresses.is_empty() {
            return Err(SocketError::Usage("no address to send to".into()));
        }
        if options.port == 0 {
            return Err(SocketError::Usage("port 0 cannot be sent to".into()));
        }
        let interface = find_interface(options.interface.as_deref())?;
        for &address in &options.addresses {
            // Connecting is what finds out whether a route leads there.
            open_sending(address, &interface, options)?;
        }
        let answering = Answering::open(&options.addresses, &interface, options, RECEIVE_BUFFER)?;
        let reached = |address| Some((address, Arc::clone(answering.for_family_of(address)?)));
        let destinations = options
            .addresses
            .iter()
            .filter_map(|&address| reached(address))
            .map(|(address, socket)| Destination::sharing(socket, scoped(address, options.port, interface.index)))
            .collect();
        let limit = match settings.mode {
            Mode::Traced => limits::DATAGRAM_IPV4_BYTES,
            Mode::Sealed => limits::SEALED_EVENT_BYTES,
        };
        let failed = |error: io::Error| SocketError::Unavailable(format!("cannot watch sockets: {error}"));
        let state = State {
            phase: Phase::Open,
            session: TransmitSession::new(settings, keys, clock::now(), clock::wall()),
            answering,
            destinations,
            outbox: Vec::new(),
            batch: Batch::new(),
            sender: sender.map(sender_line).unwrap_or_default(),
            limit,
            too_large: None,
            too_large_events: 0,
            heard: 0,
            planned: Some(0),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Wake::new().map_err(failed)?,
            ended: Wake::new().map_err(failed)?,
            callers: AtomicU64::new(0),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("switchcast-send".into())
            .stack_size(512 * 1024)
            .spawn(move || for_thread.run())
            .map_err(failed)?;
        Ok(ReliableSender { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Send what the queues take of `events`; how many at the head of the list are on their way. The caller comes back
    /// with the rest of the same list, when there is one. `None` when closed.
    pub fn send(&self, events: &[&Event]) -> Option<usize> {
        let mut state = self.shared.state_for_caller();
        if state.phase != Phase::Open {
            return None;
        }
        let mut done = 0;
        while done < events.len() && state.write() {
            let chunk = &events[done..events.len().min(done + CHUNK)];
            state.take(chunk, clock::now());
            done += chunk.len();
        }
        state.write();
        self.shared.look_again(&mut state);
        Some(done)
    }

    /// The last event that was too large, told once.
    pub fn take_too_large(&self) -> Option<TooLarge> {
        self.shared.state_for_caller().too_large.take()
    }

    /// Send under the first of these keys from now on, and take what is under any.
    pub fn rekey(&self, keys: KeyRing) {
        let mut state = self.shared.state_for_caller();
        state.session.rekey(keys);
        self.shared.look_again(&mut state);
    }

    /// The stream that it sends now.
    pub fn stream(&self) -> StreamId {
        self.shared.state_for_caller().session.stream()
    }

    /// Counters by name: those of the sockets, of the session, and a count for each reason to reject what was heard.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let state = self.shared.state_for_caller();
        let mut rows = destination::counters(&state.destinations).to_vec();
        if let Some((_, count)) = rows.iter_mut().find(|(name, _)| *name == "too_large") {
            *count += state.too_large_events;
        }
        rows.extend([("heard", state.heard), ("unsent", state.answering.unsent)]);
        let known: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
        rows.extend(state.session.counters().into_iter().filter(|(name, _)| !known.contains(name)));
        let named = rows.into_iter().map(|(name, count)| (name.to_owned(), count));
        let rejected = state.session.rejected.iter();
        named.chain(rejected.map(|(reason, count)| (format!("rejected_{}", reason.name()), count))).collect()
    }

    pub fn destinations(&self) -> Vec<DestinationRow> {
        self.shared.state_for_caller().destinations.iter().map(Destination::row).collect()
    }

    /// Send no more events, say so to the receivers, and answer them for `longest` at most. Returns at once: the
    /// descriptor can be read when it is over.
    pub fn end(&self, longest: Duration) {
        let mut state = self.shared.state_for_caller();
        if state.phase == Phase::Open {
            let now = clock::now();
            state.session.end(now, clock::wall());
            state.phase = Phase::Lingering(now.saturating_add(longest.as_nanos() as Nanos));
            self.shared.changed.set();
        }
    }

    /// The descriptor that can be read when the sender has ended.
    pub fn fd(&self) -> RawFd {
        self.shared.ended.as_raw_fd()
    }

    /// End at once. Safe to repeat.
    pub fn close(&self) {
        self.shared.state_for_caller().phase = Phase::Closed;
        self.shared.changed.set();
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for ReliableSender {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// Give `events` to the session, and what it makes of them to the outbox.
    fn take(&mut self, events: &[&Event], now: Nanos) {
        for event in events {
            let line = line_for(event, &self.sender);
            if let Err(size) = self.session.send(event, &line, now, &mut self.outbox) {
                self.too_large_events += 1;
                self.too_large = Some(TooLarge::new(event, size, self.limit));
            }
        }
        self.session.flush(now, &mut self.outbox);
    }

    /// Write the outbox to every destination, as far as their queues take it; whether it is empty now.
    fn write(&mut self) -> bool {
        if self.outbox.is_empty() {
            return true;
        }
        let mut finished = self.outbox.len();
        for destination in &mut self.destinations {
            finished = finished.min(destination.send(&self.outbox, |_, _| {}));
        }
        self.destinations.iter_mut().for_each(|destination| destination.shorten(finished));
        self.outbox.drain(..finished);
        self.outbox.is_empty()
    }

    /// Read one batch of each socket, do what is due and send what is to be sent; the most datagrams that one had.
    fn turn(&mut self) -> usize {
        let (now, wall) = (clock::now(), clock::wall());
        let mut most = 0;
        for socket in self.answering.sockets() {
            // What the kernel reports here is an ICMP error of some other datagram; the next call reads on.
            let Ok(read) = self.batch.read(socket) else { continue };
            for slot in 0..read {
                let Some(from) = self.batch.answer_to(slot) else { continue };
                self.heard += 1;
                match self.batch.datagram_mut(slot) {
                    (_, true) => self.session.rejected.add(Reject::Truncated),
                    (datagram, false) => self.session.hear(datagram, from, now, wall),
                }
            }
            most = most.max(read);
        }
        self.tend(now);
        most
    }

    /// Do what is due, and send what the session has to say.
    fn tend(&mut self, now: Nanos) {
        self.planned = self.session.tick(now, clock::wall());
        for outgoing in self.session.outgoing() {
            match outgoing.to {
                To::Group => self.outbox.push(outgoing.bytes),
                To::Address(to) => self.answering.send(&outgoing.bytes, to),
            }
        }
        self.write();
    }

    /// Whether nobody needs it any more.
    fn is_over(&self, now: Nanos) -> bool {
        match self.phase {
            Phase::Open => false,
            Phase::Lingering(longest) => now >= longest || (self.planned.is_none() && self.outbox.is_empty()),
            Phase::Closed => true,
        }
    }
}

impl Shared {
    fn state_for_caller(&self) -> MutexGuard<'_, State> {
        self.callers.fetch_add(1, Ordering::SeqCst);
        let state = locked(&self.state);
        self.callers.fetch_sub(1, Ordering::SeqCst);
        state
    }

    /// The session has been given something: wake the thread if it has to look at it earlier than it had planned.
    fn look_again(&self, state: &mut State) {
        let planned = state.planned;
        state.tend(clock::now());
        let earlier = match (state.planned, planned) {
            (Some(now), Some(before)) => now < before,
            (now, before) => now.is_some() && before.is_none(),
        };
        if earlier || !state.outbox.is_empty() {
            self.changed.set();
        } else {
            // It will find out when it wakes as it had planned.
            state.planned = planned;
        }
    }

    /// The thread.
    fn run(&self) {
        loop {
            self.changed.clear();
            let (wait, mut fds) = {
                let mut state = locked(&self.state);
                let most = if state.phase == Phase::Closed { 0 } else { state.turn() };
                let now = clock::now();
                if state.is_over(now) {
                    state.phase = Phase::Closed;
                    state.destinations.iter_mut().for_each(Destination::close);
                    state.answering.close();
                    self.ended.set();
                    return;
                }
                let wait = state.planned.map(|planned| clock::until(planned, now));
                let wait = match state.phase {
                    _ if most == BATCH => Some(Duration::ZERO),
                    _ if !state.outbox.is_empty() => Some(wait.map_or(FULL_PAUSE, |wait| wait.min(FULL_PAUSE))),
                    Phase::Lingering(longest) => {
                        let left = clock::until(longest, now);
                        Some(wait.map_or(left, |wait| wait.min(left)))
                    }
                    _ => wait,
                };
                (wait, state.answering.sockets().map(|socket| socket.as_raw_fd()).collect::<Vec<_>>())
            };
            if wait != Some(Duration::ZERO) {
                fds.push(self.changed.as_raw_fd());
                wait_readable(&fds, wait);
            }
            while self.callers.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    }
}
