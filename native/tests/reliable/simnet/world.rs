//! Hosts on the network, the clock that moves them, and the books.

use super::asking::Asking;
use super::books::{self, Books, Hearer};
use super::load::{Load, Writer};
use super::network::{Network, NodeId, Step};
use super::node::{Moment, Node, Receiver, Role, Sender};
use super::packet::{Packet, Traffic};
use super::queue::Queue;
use std::sync::Arc;
use switchcast_native::reliable::receive::ReceiveSettings;
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

/// What a run is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub mode: Mode,
    pub seed: u64,
    /// How many events are sent in all.
    pub events: u64,
    pub repair: bool,
}

/// A network, its hosts, the clock and the books.
pub struct World {
    pub run: Run,
    pub network: Network,
    pub books: Books,
    /// What receivers asked for, when that is watched.
    pub asking: Option<Asking>,
    queue: Queue<Happening>,
    nodes: Vec<Node>,
    writer: Writer,
    starts: u64,
    /// Loads that have not ended.
    loads: usize,
    datagrams: Vec<Arc<[u8]>>,
    scratch: Vec<u8>,
}

impl World {
    pub fn new(run: Run) -> World {
        World {
            run,
            network: Network::new(run.seed),
            books: Books::default(),
            asking: None,
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
        let name = format!("fs{}", self.nodes.len());
        let line = format!("Multicast-Sender: {name}\n").into_bytes();
        let mut settings =
            TransmitSettings { repair: self.run.repair, ..TransmitSettings::new(self.run.mode, name.as_bytes()) };
        change(&mut settings);
        self.add(Role::Sender(Box::new(Sender { settings, session: None, stream: [0; 16], line })))
    }

    /// One more receiver, which listens from now on.
    pub fn receiver(&mut self) -> NodeId {
        self.receiver_with(|_| ())
    }

    /// One more receiver with settings of its own.
    pub fn receiver_with(&mut self, change: impl FnOnce(&mut ReceiveSettings)) -> NodeId {
        let mut settings = ReceiveSettings { repair: self.run.repair, ..ReceiveSettings::new(self.run.mode) };
        change(&mut settings);
        self.add(Role::Receiver(Box::new(Receiver { settings, session: None, start: 0, since: 0 })))
    }

    /// One more host that has no session: a victim, or an address to attack from.
    pub fn stranger(&mut self) -> NodeId {
        self.add(Role::Stranger)
    }

    fn add(&mut self, role: Role) -> NodeId {
        let node = self.network.add(matches!(role, Role::Receiver(_)));
        self.nodes.push(Node::new(node, role));
        self.start(node);
        node
    }

    /// A host, to change or to ask.
    pub fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node]
    }

    /// Start a host, anew when it runs: what it knew is lost.
    pub fn start(&mut self, node: NodeId) {
        self.starts += 1;
        let moment = self.moment(node);
        if let Some(stream) = self.nodes[node].start(self.run.seed, self.starts, moment) {
            self.books.begin(stream, moment.now);
        }
        self.wake(node, moment.now);
    }

    /// Let a sender end in peace.
    pub fn end(&mut self, node: NodeId) {
        let Moment { now, wall } = self.moment(node);
        self.sending(node).end(now, wall);
        self.send_outgoing(node);
        self.wake(node, now);
    }

    /// The session of a sender that runs.
    pub fn sending(&mut self, node: NodeId) -> &mut TransmitSession {
        match &mut self.nodes[node].role {
            Role::Sender(sender) => sender.session.as_mut().expect("it runs"),
            _ => panic!("host {node} is no sender"),
        }
    }

    /// The last stream of a sender.
    pub fn stream(&self, node: NodeId) -> StreamId {
        match &self.nodes[node].role {
            Role::Sender(sender) => sender.stream,
            _ => panic!("host {node} is no sender"),
        }
    }

    /// The last start of a receiver.
    pub fn hearer(&self, node: NodeId) -> Hearer {
        self.nodes[node].hearer().expect("it is a receiver")
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

    /// Put a datagram on the network at the switch, from any address.
    pub fn inject(&mut self, packet: Packet) {
        let now = self.now();
        self.network.forward(now, packet);
        self.plan_network();
    }

    /// Let the world run until its loads have ended, and for so long after that.
    pub fn play(&mut self, rest: Nanos) {
        while self.loads > 0 {
            self.play_for(SECOND);
        }
        self.play_for(rest);
    }

    /// Let the world run for so long.
    pub fn play_for(&mut self, time: Nanos) {
        let until = self.now() + time;
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
                Happening::Publish(node, load) => self.publish(node, load),
                Happening::Act(act) => act(self),
            }
        }
    }

    /// Close the books: each receiver that runs was given, or told to be missing, all of each stream that it heard
    /// begin or go on; the others at least have no holes of which they were not told.
    pub fn close(&mut self) {
        let mut open: Vec<(Hearer, StreamId)> = self.books.pages().map(|(whose, _)| *whose).collect();
        for node in 0..self.nodes.len() {
            let Role::Receiver(receiver) = &self.nodes[node].role else { continue };
            let Some(session) = &receiver.session else { continue };
            let (hearer, since, rows) = (self.hearer(node), receiver.since, session.streams());
            for stream in self.books.streams() {
                if self.is_owed(hearer, since, &stream) {
                    open.retain(|whose| *whose != (hearer, stream));
                    let row = rows.iter().find(|row| row.stream == stream);
                    self.books.close(hearer, &stream, since, row);
                }
            }
        }
        for (hearer, stream) in open {
            self.books.close_early(hearer, &stream);
        }
    }

    /// A receiver is owed all of a stream that it was given something of, or that runs and has sent since it listens.
    fn is_owed(&self, hearer: Hearer, since: Nanos, stream: &StreamId) -> bool {
        let runs = |node: &Node| match &node.role {
            Role::Sender(sender) => sender.session.is_some() && sender.stream == *stream,
            _ => false,
        };
        let goes_on = self.books.has_sent(stream, since) && self.nodes.iter().any(runs);
        goes_on || self.books.page_of(hearer, stream).is_some()
    }

    fn publish(&mut self, node: NodeId, load: Load) {
        let now = self.now();
        if !self.nodes[node].is_running() {
            return self.queue.plan(now + MILLISECOND, Happening::Publish(node, load));
        }
        let count = load.at_once.min(load.events);
        for _ in 0..count {
            self.send_event(node);
        }
        let Role::Sender(sender) = &mut self.nodes[node].role else { panic!("host {node} is no sender") };
        let session = sender.session.as_mut().expect("it runs");
        session.flush(now, &mut self.datagrams);
        self.send_data(node, 0);
        self.wake(node, now + BATCH);
        if load.events == count {
            self.loads -= 1;
        } else {
            let rest = Load { events: load.events - count, ..load };
            let pause = self.writer.pause(&load, count);
            self.queue.plan(now + pause, Happening::Publish(node, rest));
        }
    }

    /// One event of a sender that runs.
    fn send_event(&mut self, node: NodeId) {
        let (now, event) = (self.now(), self.writer.event());
        let Role::Sender(sender) = &mut self.nodes[node].role else { panic!("host {node} is no sender") };
        let text = [event.header_lines(), &sender.line, event.framed_body()].concat();
        let session = sender.session.as_mut().expect("it runs");
        session.send(&event, &sender.line, now, &mut self.datagrams).expect("the events of a load fit a datagram");
        self.send_data(node, books::digest(&text));
    }

    /// Put what a session has made on the network, and in the books; `digest` is that of the event's text.
    fn send_data(&mut self, node: NodeId, digest: u64) {
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
        let moment = self.moment(node);
        self.nodes[node].hear(packet, &mut self.scratch, &mut self.books, moment);
        self.send_outgoing(node);
        self.wake(node, moment.now + BATCH);
    }

    fn tick(&mut self, node: NodeId) {
        let moment = self.moment(node);
        let place = &mut self.nodes[node];
        place.wake_at = Nanos::MAX;
        let next = place.tick(&mut self.books, moment);
        place.spins = if next.is_some_and(|next| next <= moment.now) { place.spins + 1 } else { 0 };
        assert!(place.spins < SPINS, "host {node} wants to be asked at once, again and again");
        self.send_outgoing(node);
        if let Some(next) = next {
            self.wake(node, next.max(moment.now + BATCH));
        }
    }

    /// Ask a host's session at `at` what is due, if it will not be asked before.
    fn wake(&mut self, node: NodeId, at: Nanos) {
        if at < self.nodes[node].wake_at {
            self.nodes[node].wake_at = at;
            self.queue.plan(at, Happening::Wake(node));
        }
    }

    fn send_outgoing(&mut self, node: NodeId) {
        let now = self.now();
        for Outgoing { to, bytes } in self.nodes[node].outgoing() {
            let packet = Packet::new(Network::address(node), to, bytes);
            if let (Some(asking), Some(hearer)) = (&mut self.asking, self.nodes[node].hearer()) {
                asking.see(hearer, &packet, &self.books);
            }
            self.network.send(now, node, packet);
        }
        self.plan_network();
    }

    fn plan_network(&mut self) {
        for (at, step) in self.network.planned.drain(..) {
            self.queue.plan(at, Happening::Network(step));
        }
        for loss in self.network.losses.drain(..) {
            match loss.by {
                None => self.books.lost(loss.label, None),
                Some(node) => {
                    if let Some(hearer) = self.nodes[node].hearer() {
                        self.books.lost(loss.label, Some(hearer));
                    }
                }
            }
        }
    }

    fn moment(&self, node: NodeId) -> Moment {
        let wall = WALL + (self.now() - BEGIN) / MILLISECOND;
        Moment { now: self.now(), wall: wall.saturating_add_signed(self.nodes[node].ahead) }
    }
}
