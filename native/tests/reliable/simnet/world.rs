//! Senders and receivers on the network: the place of the threads that drive the sessions on real sockets.

use super::books::{self, Books, Hearer};
use super::dice::mix;
use super::load::{Load, Writer};
use super::network::{Network, NodeId, Step};
use super::packet::{Packet, Traffic};
use super::queue::Queue;
use std::sync::Arc;
use switchcast_native::keys::{GroupKey, KeyRing};
use switchcast_native::reliable::given::Given;
use switchcast_native::reliable::random::Randomness;
use switchcast_native::reliable::receive::{ReceiveSession, ReceiveSettings};
use switchcast_native::reliable::transmit::{TransmitSession, TransmitSettings};
use switchcast_native::reliable::{MILLISECOND, Mode, Nanos, Outgoing, SECOND, To, WallMillis};
use switchcast_native::sealed::header::StreamId;

/// A thread takes the datagrams of so long together before it asks its session what is due.
const BATCH: Nanos = MILLISECOND / 20;
/// The clock's start: hosts have been up for a while.
const BEGIN: Nanos = 1_000 * SECOND;
/// The wall clock at that time.
const WALL: WallMillis = 1_800_000_000_000;
/// A session that wants to be asked again at once so often in a row would keep a processor busy.
const SPINS: u32 = 1_000;

/// Something that a test does at a time of its own.
pub type Act = Box<dyn FnOnce(&mut World)>;

enum Happening {
    Network(Step),
    Wake(NodeId),
    Publish(NodeId, Load),
    Act(Act),
}

enum Role {
    Sender(Sender),
    Receiver(Receiver),
    /// Hears, and keeps nothing.
    Stranger,
}

struct Node {
    role: Role,
    keys: Option<KeyRing>,
    /// How far its wall clock is ahead, in milliseconds.
    ahead: i64,
    wake_at: Nanos,
    spins: u32,
}

struct Sender {
    settings: TransmitSettings,
    session: Option<TransmitSession>,
    /// The last stream.
    stream: StreamId,
    line: Vec<u8>,
}

struct Receiver {
    settings: ReceiveSettings,
    session: Option<ReceiveSession>,
    start: u32,
    since: Nanos,
}

/// What a run is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub mode: Mode,
    pub seed: u64,
    /// How many events are sent in all.
    pub events: u64,
    pub repair: bool,
}

/// A network, its nodes, the clock and the books.
pub struct World {
    pub run: Run,
    pub network: Network,
    pub books: Books,
    queue: Queue<Happening>,
    nodes: Vec<Node>,
    writer: Writer,
    starts: u64,
    /// Loads that have not ended.
    loads: usize,
    datagrams: Vec<Arc<[u8]>>,
    scratch: Vec<u8>,
}

/// A key of the group.
pub fn key(number: u8) -> GroupKey {
    GroupKey::new([number; 32])
}

/// Keys of the group, the sending one first.
pub fn ring(numbers: &[u8]) -> KeyRing {
    KeyRing::new(numbers.iter().map(|number| key(*number)).collect()).ok().expect("they are few and different")
}

impl World {
    pub fn new(run: Run) -> World {
        World {
            run,
            network: Network::new(run.seed),
            books: Books::default(),
            queue: Queue::new(BEGIN),
            nodes: Vec::new(),
            writer: Writer::new(run.seed),
            starts: 0,
            loads: 0,
            datagrams: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub fn now(&self) -> Nanos {
        self.queue.now()
    }

    /// One more sender, which has started.
    pub fn sender(&mut self) -> NodeId {
        self.sender_with(|_| ())
    }

    /// One more sender with settings of its own.
    pub fn sender_with(&mut self, change: impl FnOnce(&mut TransmitSettings)) -> NodeId {
        let node = self.network.add(false);
        let name = format!("fs{node}");
        let line = format!("Multicast-Sender: {name}\n").into_bytes();
        let mut settings =
            TransmitSettings { repair: self.run.repair, ..TransmitSettings::new(self.run.mode, name.as_bytes()) };
        change(&mut settings);
        self.add(Role::Sender(Sender { settings, session: None, stream: [0; 16], line }));
        self.start(node);
        node
    }

    /// One more receiver, which listens from now on.
    pub fn receiver(&mut self) -> NodeId {
        self.receiver_with(|_| ())
    }

    /// One more receiver with settings of its own.
    pub fn receiver_with(&mut self, change: impl FnOnce(&mut ReceiveSettings)) -> NodeId {
        let node = self.network.add(true);
        let mut settings = ReceiveSettings { repair: self.run.repair, ..ReceiveSettings::new(self.run.mode) };
        change(&mut settings);
        self.add(Role::Receiver(Receiver { settings, session: None, start: 0, since: 0 }));
        self.start(node);
        node
    }

    /// One more node that has no session: a victim, or an address to attack from.
    pub fn stranger(&mut self) -> NodeId {
        let node = self.network.add(false);
        self.add(Role::Stranger);
        node
    }

    fn add(&mut self, role: Role) {
        self.nodes.push(Node { role, keys: Some(ring(&[1])), ahead: 0, wake_at: Nanos::MAX, spins: 0 });
    }

    /// Set a node's wall clock ahead by so many milliseconds.
    pub fn set_ahead(&mut self, node: NodeId, millis: i64) {
        self.nodes[node].ahead = millis;
    }

    /// Start a node, anew when it runs: what it knew is lost.
    pub fn start(&mut self, node: NodeId) {
        self.stop(node);
        self.starts += 1;
        let random = Randomness::seeded(mix(self.run.seed, self.starts << 32));
        let (now, wall) = (self.now(), self.wall(node));
        let Node { role, keys, .. } = &mut self.nodes[node];
        match role {
            Role::Sender(sender) => {
                let settings = TransmitSettings { random, ..sender.settings.clone() };
                let session = TransmitSession::new(settings, keys.clone(), now, wall);
                sender.stream = session.stream();
                sender.session = Some(session);
                self.books.begin(sender.stream, now);
            }
            Role::Receiver(receiver) => {
                let settings = ReceiveSettings { random, ..receiver.settings.clone() };
                receiver.session = Some(ReceiveSession::new(settings, keys.clone(), now));
                receiver.start += 1;
                receiver.since = now;
            }
            Role::Stranger => (),
        }
        self.wake(node, now);
    }

    /// Kill a node: it says nothing more.
    pub fn stop(&mut self, node: NodeId) {
        match &mut self.nodes[node].role {
            Role::Sender(sender) => sender.session = None,
            Role::Receiver(receiver) => receiver.session = None,
            Role::Stranger => (),
        }
    }

    /// Let a sender end in peace.
    pub fn end(&mut self, node: NodeId) {
        let (now, wall) = (self.now(), self.wall(node));
        self.sending(node).end(now, wall);
        self.send_outgoing(node);
        self.wake(node, now);
    }

    /// Give a node other keys.
    pub fn rekey(&mut self, node: NodeId, numbers: &[u8]) {
        self.nodes[node].keys = Some(ring(numbers));
        match &mut self.nodes[node].role {
            Role::Sender(Sender { session: Some(session), .. }) => session.rekey(ring(numbers)),
            Role::Receiver(Receiver { session: Some(session), .. }) => session.rekey(ring(numbers)),
            _ => (),
        }
    }

    /// The session of a sender that runs.
    pub fn sending(&mut self, node: NodeId) -> &mut TransmitSession {
        match &mut self.nodes[node].role {
            Role::Sender(Sender { session: Some(session), .. }) => session,
            _ => panic!("node {node} is no sender that runs"),
        }
    }

    /// The session of a receiver that runs.
    pub fn receiving(&self, node: NodeId) -> &ReceiveSession {
        match &self.nodes[node].role {
            Role::Receiver(Receiver { session: Some(session), .. }) => session,
            _ => panic!("node {node} is no receiver that runs"),
        }
    }

    /// The last stream of a sender.
    pub fn stream(&self, node: NodeId) -> StreamId {
        match &self.nodes[node].role {
            Role::Sender(sender) => sender.stream,
            _ => panic!("node {node} is no sender"),
        }
    }

    /// The last start of a receiver.
    pub fn hearer(&self, node: NodeId) -> Hearer {
        match &self.nodes[node].role {
            Role::Receiver(receiver) => Hearer { node, start: receiver.start },
            _ => panic!("node {node} is no receiver"),
        }
    }

    /// Whether a stream's sender runs.
    pub fn is_running(&self, stream: &StreamId) -> bool {
        self.nodes.iter().any(|node| match &node.role {
            Role::Sender(sender) => sender.session.is_some() && sender.stream == *stream,
            _ => false,
        })
    }

    /// The receivers that run, and since when they do.
    pub fn hearers(&self) -> Vec<(NodeId, Hearer, Nanos)> {
        let running = |(node, it): (NodeId, &Node)| match &it.role {
            Role::Receiver(Receiver { session: Some(_), start, since, .. }) => {
                Some((node, Hearer { node, start: *start }, *since))
            }
            _ => None,
        };
        self.nodes.iter().enumerate().filter_map(running).collect()
    }

    /// Do something after a while.
    pub fn after(&mut self, pause: Nanos, act: impl FnOnce(&mut World) + 'static) {
        self.queue.plan(self.queue.now() + pause, Happening::Act(Box::new(act)));
    }

    /// Have a sender send, from now on. While it does not run, its load waits.
    pub fn load(&mut self, node: NodeId, load: Load) {
        self.loads += 1;
        self.queue.plan(self.now(), Happening::Publish(node, load));
    }

    /// Send one event now.
    pub fn publish(&mut self, node: NodeId) {
        let (now, event) = (self.now(), self.writer.event());
        let Role::Sender(Sender { session: Some(session), line, .. }) = &mut self.nodes[node].role else { return };
        let text = [event.header_lines(), line, event.framed_body()].concat();
        session.send(&event, line, now, &mut self.datagrams).expect("the events of a load fit a datagram");
        self.account(node, books::digest(&text));
    }

    /// Put a datagram on the network at the switch, from any address.
    pub fn inject(&mut self, packet: Packet) {
        let now = self.now();
        self.network.forward(now, packet);
        self.plan_network();
    }

    /// Let the world run until its loads have ended, and for so long after that.
    pub fn play(&mut self, rest: Nanos) {
        while self.loads > 0 {
            let until = self.now() + SECOND;
            self.play_until(until);
        }
        let until = self.now() + rest;
        self.play_until(until);
    }

    /// Let the world run until this time.
    pub fn play_until(&mut self, until: Nanos) {
        while let Some(happening) = self.queue.next(until) {
            match happening {
                Happening::Network(step) => {
                    let arrived = self.network.step(self.queue.now(), step);
                    self.plan_network();
                    if let Some((node, packet)) = arrived {
                        self.hear(node, &packet);
                    }
                }
                Happening::Wake(node) if self.nodes[node].wake_at == self.queue.now() => self.tick(node),
                Happening::Wake(_) => (),
                Happening::Publish(node, load) => self.go_on(node, load),
                Happening::Act(act) => act(self),
            }
        }
    }

    fn go_on(&mut self, node: NodeId, load: Load) {
        let is_running = matches!(&self.nodes[node].role, Role::Sender(sender) if sender.session.is_some());
        if !is_running {
            return self.queue.plan(self.queue.now() + MILLISECOND, Happening::Publish(node, load));
        }
        let count = load.at_once.min(load.events);
        for _ in 0..count {
            self.publish(node);
        }
        let now = self.now();
        let datagrams = &mut self.datagrams;
        if let Role::Sender(Sender { session: Some(session), .. }) = &mut self.nodes[node].role {
            session.flush(now, datagrams);
        }
        self.account(node, 0);
        self.wake(node, now + BATCH);
        if load.events == count {
            self.loads -= 1;
        } else {
            let rest = Load { events: load.events - count, ..load };
            self.queue.plan(now + load.pause(count), Happening::Publish(node, rest));
        }
    }

    /// Put what a session has made on the network, and in the books; `digest` is that of the event's text.
    fn account(&mut self, node: NodeId, digest: u64) {
        let now = self.now();
        let mut last = 0;
        for bytes in std::mem::take(&mut self.datagrams) {
            let packet = Packet::new(Network::address(node), To::Group, bytes);
            if let (Traffic::Data, Some(label)) = (packet.traffic, packet.label)
                && label.sequence != last
            {
                last = label.sequence;
                self.books.sent(label, digest, now);
            }
            self.network.send(now, node, packet);
        }
        self.plan_network();
    }

    fn hear(&mut self, node: NodeId, packet: &Packet) {
        let (now, wall) = (self.now(), self.wall(node));
        self.scratch.clear();
        self.scratch.extend_from_slice(&packet.bytes);
        match &mut self.nodes[node].role {
            Role::Sender(Sender { session: Some(session), .. }) => {
                session.hear(&mut self.scratch, packet.from, now, wall);
            }
            Role::Receiver(Receiver { session: Some(session), start, .. }) => {
                let (hearer, books) = (Hearer { node, start: *start }, &mut self.books);
                session.hear(&mut self.scratch, packet.from, now, wall, &mut |given| enter(books, hearer, given, now));
            }
            _ => return,
        }
        self.send_outgoing(node);
        self.wake(node, now + BATCH);
    }

    fn tick(&mut self, node: NodeId) {
        let (now, wall) = (self.now(), self.wall(node));
        let next = match &mut self.nodes[node].role {
            Role::Sender(Sender { session: Some(session), .. }) => session.tick(now, wall),
            Role::Receiver(Receiver { session: Some(session), start, .. }) => {
                let (hearer, books) = (Hearer { node, start: *start }, &mut self.books);
                session.tick(now, wall, &mut |given| enter(books, hearer, given, now))
            }
            _ => return,
        };
        let place = &mut self.nodes[node];
        place.wake_at = Nanos::MAX;
        place.spins = if next.is_some_and(|next| next <= now) { place.spins + 1 } else { 0 };
        assert!(place.spins < SPINS, "node {node} wants to be asked at once, again and again");
        self.send_outgoing(node);
        if let Some(next) = next {
            self.wake(node, next.max(now + BATCH));
        }
    }

    /// Ask a node's session at `at` what is due, if it will not be asked before.
    fn wake(&mut self, node: NodeId, at: Nanos) {
        if at < self.nodes[node].wake_at {
            self.nodes[node].wake_at = at;
            self.queue.plan(at, Happening::Wake(node));
        }
    }

    fn send_outgoing(&mut self, node: NodeId) {
        let outgoing: Vec<Outgoing> = match &mut self.nodes[node].role {
            Role::Sender(Sender { session: Some(session), .. }) => session.outgoing().collect(),
            Role::Receiver(Receiver { session: Some(session), .. }) => session.outgoing().collect(),
            _ => return,
        };
        let now = self.now();
        for Outgoing { to, bytes } in outgoing {
            self.network.send(now, node, Packet::new(Network::address(node), to, bytes));
        }
        self.plan_network();
    }

    fn plan_network(&mut self) {
        for (at, step) in self.network.planned.drain(..) {
            self.queue.plan(at, Happening::Network(step));
        }
        for loss in std::mem::take(&mut self.network.losses) {
            match loss.by.map(|node| (node, &self.nodes[node].role)) {
                None => self.books.lost(loss.label, None),
                Some((node, Role::Receiver(receiver))) => {
                    self.books.lost(loss.label, Some(Hearer { node, start: receiver.start }));
                }
                Some(_) => (),
            }
        }
    }

    /// Close the books: each receiver that runs was given, or told to be missing, all of each stream that it heard
    /// begin or go on; the others at least have no holes of which they were not told.
    pub fn close(&mut self) {
        let mut open: Vec<(Hearer, StreamId)> = self.books.pages().map(|(whose, _)| *whose).collect();
        for (node, hearer, since) in self.hearers() {
            let rows = self.receiving(node).streams();
            for stream in self.books.streams() {
                if !self.is_owed(hearer, &stream) {
                    continue;
                }
                open.retain(|whose| *whose != (hearer, stream));
                let row = rows.iter().find(|row| row.stream == stream);
                self.books.close(hearer, &stream, since, row);
            }
        }
        for (hearer, stream) in open {
            self.books.close_early(hearer, &stream);
        }
    }

    /// A receiver is owed all of a stream that it heard something of, or that still runs.
    fn is_owed(&self, hearer: Hearer, stream: &StreamId) -> bool {
        self.books.page_of(hearer, stream).is_some() || self.is_running(stream)
    }

    fn wall(&self, node: NodeId) -> WallMillis {
        (WALL + (self.now() - BEGIN) / MILLISECOND).saturating_add_signed(self.nodes[node].ahead)
    }
}

fn enter(books: &mut Books, hearer: Hearer, given: Given<'_>, now: Nanos) {
    match given {
        Given::Event { text, trust, at, .. } => books.given(hearer, text, trust, at, now),
        Given::Gap(gap) => books.gap(hearer, &gap, now),
    }
}
