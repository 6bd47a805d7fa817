//! A host on the network: a session and what drives it, in the place of a thread with sockets.

use super::books::{Books, Hearer};
use super::dice::mix;
use super::network::NodeId;
use super::packet::Packet;
use switchcast_native::keys::{GroupKey, KeyRing};
use switchcast_native::reliable::given::Given;
use switchcast_native::reliable::random::Randomness;
use switchcast_native::reliable::receive::{ReceiveSession, ReceiveSettings};
use switchcast_native::reliable::transmit::{TransmitSession, TransmitSettings};
use switchcast_native::reliable::{Nanos, Outgoing, WallMillis};
use switchcast_native::sealed::header::StreamId;

/// What a host is. Its session is gone while the host is down.
pub enum Role {
    Sender(Box<Sender>),
    Receiver(Box<Receiver>),
    /// Hears, and keeps nothing.
    Stranger,
}

pub struct Sender {
    pub settings: TransmitSettings,
    pub session: Option<TransmitSession>,
    /// The last stream.
    pub stream: StreamId,
    /// The header line that names it.
    pub line: Vec<u8>,
}

pub struct Receiver {
    pub settings: ReceiveSettings,
    pub session: Option<ReceiveSession>,
    pub start: u32,
    pub since: Nanos,
}

/// A host.
pub struct Node {
    pub id: NodeId,
    pub role: Role,
    pub keys: Option<KeyRing>,
    /// Whether its random numbers are the system's, for once: then nothing repeats.
    pub unseeded: bool,
    /// How far its wall clock is ahead, in milliseconds.
    pub ahead: i64,
    /// When its session is to be asked what is due.
    pub wake_at: Nanos,
    /// So often in a row it wanted to be asked at once.
    pub spins: u32,
}

/// A moment on both of a host's clocks.
#[derive(Clone, Copy)]
pub struct Moment {
    pub now: Nanos,
    pub wall: WallMillis,
}

/// A key of the group.
pub fn key(number: u8) -> GroupKey {
    GroupKey::new([number; 32])
}

/// Keys of the group, the sending one first.
pub fn ring(numbers: &[u8]) -> KeyRing {
    KeyRing::new(numbers.iter().map(|number| key(*number)).collect()).expect("they are few and different")
}

impl Node {
    /// A host that has key 1 of the group and is down.
    pub fn new(id: NodeId, role: Role) -> Node {
        Node { id, role, keys: Some(ring(&[1])), unseeded: false, ahead: 0, wake_at: Nanos::MAX, spins: 0 }
    }

    /// Start its session; its random numbers are those of `start` in the run of `seed`. The stream that begins, if one does.
    pub fn start(&mut self, seed: u64, start: u64, Moment { now, wall }: Moment) -> Option<StreamId> {
        let seeded = Randomness::seeded(mix(seed, start << 32));
        let random = if self.unseeded { Randomness::system() } else { seeded };
        match &mut self.role {
            Role::Sender(sender) => {
                let settings = TransmitSettings { random, ..sender.settings.clone() };
                let session = TransmitSession::new(settings, self.keys.clone(), now, wall);
                sender.stream = session.stream();
                sender.session = Some(session);
                Some(sender.stream)
            }
            Role::Receiver(receiver) => {
                let settings = ReceiveSettings { random, ..receiver.settings.clone() };
                receiver.session = Some(ReceiveSession::new(settings, self.keys.clone(), now));
                receiver.start += 1;
                receiver.since = now;
                None
            }
            Role::Stranger => None,
        }
    }

    /// Kill it: it says nothing more.
    pub fn stop(&mut self) {
        match &mut self.role {
            Role::Sender(sender) => sender.session = None,
            Role::Receiver(receiver) => receiver.session = None,
            Role::Stranger => (),
        }
    }

    pub fn is_running(&self) -> bool {
        match &self.role {
            Role::Sender(sender) => sender.session.is_some(),
            Role::Receiver(receiver) => receiver.session.is_some(),
            Role::Stranger => false,
        }
    }

    /// Give it other keys.
    pub fn rekey(&mut self, keys: KeyRing) {
        self.keys = Some(keys.clone());
        match &mut self.role {
            Role::Sender(sender) => sender.session.iter_mut().for_each(|session| session.rekey(keys.clone())),
            Role::Receiver(receiver) => receiver.session.iter_mut().for_each(|session| session.rekey(keys.clone())),
            Role::Stranger => (),
        }
    }

    /// The last start of a receiver.
    pub fn hearer(&self) -> Option<Hearer> {
        match &self.role {
            Role::Receiver(receiver) => Some(Hearer { node: self.id, start: receiver.start }),
            _ => None,
        }
    }

    /// A datagram has come.
    pub fn hear(&mut self, packet: &Packet, scratch: &mut Vec<u8>, books: &mut Books, Moment { now, wall }: Moment) {
        scratch.clear();
        scratch.extend_from_slice(&packet.bytes);
        let hearer = self.hearer();
        match (&mut self.role, hearer) {
            (Role::Sender(sender), _) => {
                let Some(session) = &mut sender.session else { return };
                session.hear(scratch, packet.from, now, wall);
            }
            (Role::Receiver(receiver), Some(hearer)) => {
                let Some(session) = &mut receiver.session else { return };
                session.hear(scratch, packet.from, now, wall, &mut |given| enter(books, hearer, given, now));
            }
            _ => (),
        }
    }

    /// Ask its session what is due, and when to ask again.
    pub fn tick(&mut self, books: &mut Books, Moment { now, wall }: Moment) -> Option<Nanos> {
        let hearer = self.hearer();
        match (&mut self.role, hearer) {
            (Role::Sender(sender), _) => sender.session.as_mut()?.tick(now, wall),
            (Role::Receiver(receiver), Some(hearer)) => {
                receiver.session.as_mut()?.tick(now, wall, &mut |given| enter(books, hearer, given, now))
            }
            _ => None,
        }
    }

    /// What its session wants sent.
    pub fn outgoing(&mut self) -> Vec<Outgoing> {
        match &mut self.role {
            Role::Sender(sender) => sender.session.iter_mut().flat_map(|session| session.outgoing()).collect(),
            Role::Receiver(receiver) => receiver.session.iter_mut().flat_map(|session| session.outgoing()).collect(),
            Role::Stranger => Vec::new(),
        }
    }
}

fn enter(books: &mut Books, hearer: Hearer, given: Given<'_>, now: Nanos) {
    match given {
        Given::Event { text, trust, at, .. } => books.given(hearer, text, trust, at, now),
        Given::Gap(gap) => books.gap(hearer, &gap, now),
    }
}
