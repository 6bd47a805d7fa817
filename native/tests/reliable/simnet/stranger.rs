//! A stranger on the network, who has no key: hears everything, and sends what it likes from any address.

use super::dice::Dice;
use super::network::Network;
use super::node::key;
use super::packet::Packet;
use super::world::World;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use switchcast_native::reliable::Nanos;
use switchcast_native::sealed::header::{Cipher, FLAG_REPAIR, HEADER, Header, Kind, StreamId};

/// What was overheard.
pub type Recording = Rc<RefCell<Vec<Packet>>>;

/// Record what is sent and `is_wanted`: the first `room`, and then one in the place of another.
pub fn record(world: &mut World, room: usize, is_wanted: impl Fn(&Packet) -> bool + 'static) -> Recording {
    let recording = Recording::default();
    let (kept, mut dice) = (Rc::clone(&recording), Dice::new(world.run.seed, 1 << 30));
    world.network.taps.push(Box::new(move |_, packet| {
        if is_wanted(packet) {
            let mut kept = kept.borrow_mut();
            if kept.len() < room {
                kept.push(packet.clone());
            } else {
                kept[dice.below(room as u64) as usize] = packet.clone();
            }
        }
    }));
    recording
}

/// Something that a stranger sends over and over.
pub struct Attack {
    pub left: u64,
    /// Between two, on average: in step with others it would always come before them, or after.
    pub pause: Nanos,
    pub dice: Dice,
    pub make: Box<dyn FnMut(&mut World) -> Packet>,
}

impl Attack {
    /// Send all of it, beginning now.
    pub fn go_on(mut self, world: &mut World) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let packet = (self.make)(world);
        world.inject(packet);
        let pause = self.dice.below(2 * self.pause) + 1;
        world.after(pause, move |world| self.go_on(world));
    }
}

/// What a stranger can do with frames.
pub struct Forger {
    pub dice: Dice,
    pub recording: Recording,
}

impl Forger {
    /// One of the recorded; none when nothing was recorded yet.
    pub fn replayed(&mut self) -> Option<Packet> {
        let recording = self.recording.borrow();
        let place = self.dice.below(recording.len() as u64) as usize;
        recording.get(place).cloned()
    }

    /// A recorded one, cut short.
    pub fn truncated(&mut self) -> Option<Packet> {
        let packet = self.replayed()?;
        let length = self.dice.below(packet.bytes.len() as u64) as usize;
        Some(Packet::new(packet.from, packet.to, packet.bytes[..length].into()))
    }

    /// A recorded one with some bits of it flipped.
    pub fn flipped(&mut self) -> Option<Packet> {
        let packet = self.replayed()?;
        let mut bytes = packet.bytes.to_vec();
        for _ in 0..self.dice.between(1..=3) {
            let bit = self.dice.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Some(Packet::new(packet.from, packet.to, bytes.into()))
    }

    /// A recorded frame with another sequence, another stream, another kind, or another key's name on it.
    pub fn renamed(&mut self) -> Option<Packet> {
        let packet = self.replayed()?;
        let (mut header, _) = Header::read(&packet.bytes).ok()?;
        match self.dice.below(4) {
            0 => header.sequence += self.dice.between(1..=100),
            1 => self.dice.fill(&mut header.stream),
            2 => header.kind = if header.kind == Kind::Event { Kind::Signature } else { Kind::Request },
            _ => header.key = key(9).id(),
        }
        let bytes = [&header.bytes()[..], &packet.bytes[HEADER..]].concat();
        Some(Packet::new(packet.from, packet.to, bytes.into()))
    }

    /// A good header for `stream`, or for one that nobody has, and rubbish behind it.
    pub fn made_up(&mut self, kinds: &[Kind], stream: StreamId) -> Arc<[u8]> {
        let mut header = Header {
            kind: kinds[self.dice.below(kinds.len() as u64) as usize],
            key: key(1).id(),
            sender: [0; 8],
            stream,
            sequence: self.dice.below(1 << 20),
            fragment: 0,
            fragments: 1,
            flags: if self.dice.happens(0.5) { FLAG_REPAIR } else { 0 },
            cipher: Cipher::ChaCha20Poly1305,
            dictionary: 0,
        };
        self.dice.fill(&mut header.sender);
        if self.dice.happens(0.5) {
            self.dice.fill(&mut header.stream);
        }
        let mut rubbish = vec![0; self.dice.between(16..=300) as usize];
        self.dice.fill(&mut rubbish);
        [&header.bytes()[..], &rubbish].concat().into()
    }

    /// An address that nobody has, or somebody's.
    pub fn any_address(&mut self) -> SocketAddr {
        Network::address(self.dice.below(64) as usize)
    }
}
