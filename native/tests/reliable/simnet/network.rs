//! Nodes on one switch. What goes to the group reaches every member but its sender; each node's cable has faults of its
//! own in both directions, so that a loss can hit one receiver or all of them.
//!
//! ```text
//! node ── up ──> switch ── down ──> each member of the group, or the one node with that address
//! ```

use super::dice::Dice;
use super::link::{Fate, Link};
use super::packet::{Label, Packet, Traffic};
use std::net::{Ipv4Addr, SocketAddr};
use switchcast_native::reliable::{MILLISECOND, Nanos, To};

/// From one end to the other and back takes a millisecond: there are four cables on that way.
const DELAY: Nanos = MILLISECOND / 4;
const PORT: u16 = 4242;

/// A node's place.
pub type NodeId = usize;

/// One thing that the network will do.
pub enum Step {
    /// A datagram comes out of a node's cable at the switch.
    Switch(Packet),
    /// A datagram reaches a node.
    Arrive(NodeId, Packet),
    /// A datagram was held back long enough.
    Release(NodeId, Way, u64),
}

/// A direction of a node's cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// A node's cable.
pub struct Port {
    pub up: Link,
    pub down: Link,
    /// What came out of it at the node.
    pub heard: Tally,
    is_member: bool,
}

/// A datagram of the data that did not arrive as it was sent.
pub struct Loss {
    /// The node that misses it; none when all do.
    pub by: Option<NodeId>,
    pub label: Label,
}

/// What was sent, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub datagrams: u64,
    pub bytes: u64,
    /// Copies of these that were lost or damaged on a cable.
    pub lost: u64,
}

/// Sees every datagram as it is sent.
pub type Tap = Box<dyn FnMut(Nanos, &Packet)>;

/// The switch and its cables.
pub struct Network {
    pub ports: Vec<Port>,
    pub taps: Vec<Tap>,
    /// By [`Traffic`].
    pub tallies: [Tally; Traffic::ALL.len()],
    /// Since they were last taken.
    pub losses: Vec<Loss>,
    /// What went to addresses that no node has.
    pub astray: Tally,
    /// What will happen, for the clock's queue.
    pub planned: Vec<(Nanos, Step)>,
    seed: u64,
    fates: Vec<Fate>,
}

impl Network {
    pub fn new(seed: u64) -> Network {
        Network {
            ports: Vec::new(),
            taps: Vec::new(),
            tallies: Default::default(),
            losses: Vec::new(),
            astray: Tally::default(),
            planned: Vec::new(),
            seed,
            fates: Vec::new(),
        }
    }

    /// One more node, a member of the group or not.
    pub fn add(&mut self, is_member: bool) -> NodeId {
        let id = self.ports.len();
        let link = |way| Link::new(DELAY, Dice::new(self.seed, id as u64 * 2 + way));
        self.ports.push(Port { up: link(0), down: link(1), heard: Tally::default(), is_member });
        id
    }

    /// A node's address.
    pub fn address(node: NodeId) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from(0x0A00_0001 + node as u32), PORT))
    }

    pub fn tally(&self, traffic: Traffic) -> Tally {
        self.tallies[traffic as usize]
    }

    /// `node` sends a datagram.
    pub fn send(&mut self, now: Nanos, node: NodeId, packet: Packet) {
        let tally = &mut self.tallies[packet.traffic as usize];
        tally.datagrams += 1;
        tally.bytes += packet.bytes.len() as u64;
        for tap in &mut self.taps {
            tap(now, &packet);
        }
        self.ports[node].up.carry(now, packet, &mut self.fates);
        self.settle(node, Way::Up);
    }

    /// Something that was planned happens; a datagram that has reached a node is given back.
    pub fn step(&mut self, now: Nanos, step: Step) -> Option<(NodeId, Packet)> {
        match step {
            Step::Arrive(node, packet) => {
                let heard = &mut self.ports[node].heard;
                heard.datagrams += 1;
                heard.bytes += packet.bytes.len() as u64;
                return Some((node, packet));
            }
            Step::Switch(packet) => self.forward(now, packet),
            Step::Release(node, way, serial) => {
                let port = &mut self.ports[node];
                let link = if way == Way::Up { &mut port.up } else { &mut port.down };
                self.fates.extend(link.release(now, serial));
                self.settle(node, way);
            }
        }
        None
    }

    /// The switch passes a datagram on. A forger's begin here, for the switch believes any address.
    pub fn forward(&mut self, now: Nanos, packet: Packet) {
        match packet.to {
            To::Group => {
                for node in 0..self.ports.len() {
                    if self.ports[node].is_member && Network::address(node) != packet.from {
                        self.deliver(now, node, packet.clone());
                    }
                }
            }
            To::Address(address) => match self.find(address) {
                Some(node) => self.deliver(now, node, packet),
                None => {
                    self.astray.datagrams += 1;
                    self.astray.bytes += packet.bytes.len() as u64;
                }
            },
        }
    }

    fn deliver(&mut self, now: Nanos, node: NodeId, packet: Packet) {
        self.ports[node].down.carry(now, packet, &mut self.fates);
        self.settle(node, Way::Down);
    }

    fn settle(&mut self, node: NodeId, way: Way) {
        for fate in self.fates.drain(..) {
            match fate {
                Fate::Arrives(at, packet) if way == Way::Up => self.planned.push((at, Step::Switch(packet))),
                Fate::Arrives(at, packet) => self.planned.push((at, Step::Arrive(node, packet))),
                Fate::Held(until, serial) => self.planned.push((until, Step::Release(node, way, serial))),
                Fate::Lost(packet) => {
                    self.tallies[packet.traffic as usize].lost += 1;
                    if let (Traffic::Data, Some(label)) = (packet.traffic, packet.label) {
                        self.losses.push(Loss { by: (way == Way::Down).then_some(node), label });
                    }
                }
            }
        }
    }

    fn find(&self, address: SocketAddr) -> Option<NodeId> {
        let SocketAddr::V4(address) = address else { return None };
        let node = u32::from(*address.ip()).checked_sub(0x0A00_0001)? as NodeId;
        (node < self.ports.len() && address.port() == PORT).then_some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::*;
    use switchcast_native::reliable::SECOND;

    /// Play what is planned to its end; which node got what, and when.
    fn play(network: &mut Network, queue: &mut Queue<Step>) -> Vec<(Nanos, NodeId, u8)> {
        let mut arrived = Vec::new();
        loop {
            for (at, step) in network.planned.drain(..) {
                queue.plan(at, step);
            }
            let Some(step) = queue.next(queue.now() + SECOND) else { return arrived };
            if let Some((node, packet)) = network.step(queue.now(), step) {
                arrived.push((queue.now(), node, packet.bytes[0]));
            }
        }
    }

    fn packet(from: NodeId, to: To, byte: u8) -> Packet {
        Packet::new(Network::address(from), to, [byte].into())
    }

    #[test]
    fn the_group_reaches_its_members_and_an_address_its_node() {
        let mut network = Network::new(1);
        let nodes: Vec<_> = [true, true, false, true].into_iter().map(|is_member| network.add(is_member)).collect();
        network.send(0, nodes[0], packet(0, To::Group, 1));
        let mut queue = Queue::new(0);
        assert_eq!(play(&mut network, &mut queue), [(2 * DELAY, 1, 1), (2 * DELAY, 3, 1)]);
        let now = queue.now();
        network.send(now, nodes[1], packet(1, To::Address(Network::address(2)), 2));
        network.send(now, nodes[1], packet(1, To::Address("192.0.2.1:4242".parse().unwrap()), 3));
        assert_eq!(play(&mut network, &mut queue), [(now + 2 * DELAY, 2, 2)]);
        assert_eq!((network.astray.datagrams, network.tally(Traffic::Other).datagrams), (1, 3));
    }

    #[test]
    fn a_seed_decides_all_that_happens() {
        let run = |seed| {
            let mut network = Network::new(seed);
            for _ in 0..4 {
                let node = network.add(true);
                let port = &mut network.ports[node];
                for link in [&mut port.up, &mut port.down] {
                    link.jitter = DELAY;
                    link.set(&Traffic::ALL, |faults| {
                        (faults.loss, faults.duplicate, faults.reorder, faults.reorder_by) = (0.2, 0.1, 0.2, 8);
                    });
                }
            }
            for number in 0..200 {
                network.send(u64::from(number) * DELAY, 0, packet(0, To::Group, number));
            }
            play(&mut network, &mut Queue::new(0))
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_loss_on_the_way_up_is_everyones_and_a_loss_on_the_way_down_is_ones_own() {
        let mut network = Network::new(1);
        for _ in 0..50 {
            network.add(true);
        }
        network.ports[0].up.lose(&[Traffic::Other], 0.5);
        network.ports[7].down.lose(&[Traffic::Other], 0.5);
        for number in 0..100 {
            network.send(0, 0, packet(0, To::Group, number));
        }
        let arrived = play(&mut network, &mut Queue::new(0));
        let count = |node| arrived.iter().filter(|(_, by, _)| *by == node).count();
        assert!((30..70).contains(&count(1)));
        assert!((1..50).filter(|node| *node != 7).all(|node| count(node) == count(1)));
        assert!(count(7) < count(1) * 3 / 4);
    }
}
