//! Someone who has the group's key and writes to a sender whatever a test wants written.

use crate::event::Event;
use crate::keys::{GroupKey, KeyRing, sender_id};
use crate::reliable::message::{Beacon, CHALLENGE, COOKIE, Hello, Partial, Refusal, Request, Welcome};
use crate::reliable::random::Randomness;
use crate::reliable::sealer::Sealer;
use crate::reliable::transmit::{TransmitSession, TransmitSettings};
use crate::reliable::{Mode, Nanos, Outgoing, To, WallMillis};
use crate::sealed::cipher::Subkey;
use crate::sealed::header::{Cipher, HEADER, Header, Kind, StreamId};
use crate::sealed::packing::Unpacker;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// The wall clock of every test.
pub const WALL: WallMillis = 1_800_000_000_000;

pub fn key(byte: u8) -> GroupKey {
    GroupKey::new([byte; 32])
}

pub fn ring(bytes: &[u8]) -> KeyRing {
    KeyRing::new(bytes.iter().map(|&byte| key(byte)).collect()).expect("a test's keys are few and differ")
}

pub fn settings(mode: Mode) -> TransmitSettings {
    TransmitSettings { random: Randomness::seeded(7), ..TransmitSettings::new(mode, b"fs1") }
}

/// A session at time 0 under key 1.
pub fn session(settings: TransmitSettings) -> TransmitSession {
    TransmitSession::new(settings, Some(ring(&[1])), 0, WALL)
}

/// An event with a body of so many bytes, which hardly compress and differ by `number`.
pub fn event(number: u64, bytes: usize) -> Event {
    let mut body = vec![0; bytes];
    Randomness::seeded(number).fill(&mut body);
    body.iter_mut().for_each(|byte| *byte = b'0' + (*byte & 63));
    let headers = format!("Event-Name: TEST\nNumber: {number}\nContent-Length: {bytes}\n\n");
    Event::parse(&[headers.as_bytes(), &body].concat()).expect("it is an event")
}

/// Send `event`; the datagrams for the group.
pub fn send(session: &mut TransmitSession, event: &Event, now: Nanos) -> Vec<Arc<[u8]>> {
    let mut out = Vec::new();
    session.send(event, b"", now, &mut out).expect("it is small enough");
    out
}

/// Let the session do all that is due until `end`.
pub fn run_until(session: &mut TransmitSession, from: Nanos, end: Nanos) -> Vec<(Nanos, Outgoing)> {
    let (mut now, mut sent) = (from, Vec::new());
    while let Some(next) = session.tick(now, WALL) {
        sent.extend(session.outgoing().map(|outgoing| (now, outgoing)));
        if next > end {
            break;
        }
        assert!(next > now, "a session that wants to be called at once again never rests");
        now = next;
    }
    sent
}

/// What a counter says.
pub fn counted(session: &TransmitSession, name: &str) -> u64 {
    let counters = session.counters();
    counters.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("there is a counter {name}")).1
}

pub fn rejected(session: &TransmitSession, name: &str) -> u64 {
    session.rejected.iter().find(|(reason, _)| reason.name() == name).map_or(0, |(_, count)| count)
}

/// A frame that a sender wrote, opened under the key that its header names.
pub fn open(frame: &[u8]) -> (Header, Vec<u8>) {
    let mut frame = frame.to_vec();
    let (header, _) = Header::read(&frame).expect("it is a frame");
    let key = [1, 2, 3].map(key).into_iter().find(|key| key.id() == header.key).expect("a test's key");
    let subkey = Subkey::new(&key, &header.stream, header.cipher);
    let payload = subkey.open(&header, &mut frame[HEADER..]).expect("it is authentic").to_vec();
    (header, payload)
}

/// The text of an event whose frames these are, in order.
pub fn text_of<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut packed, mut dictionary) = (Vec::new(), 0);
    for frame in frames {
        let (header, payload) = open(frame);
        assert_eq!(header.kind, Kind::Event);
        dictionary = header.dictionary;
        packed.extend(payload);
    }
    Unpacker::default().unpack(dictionary, &packed).expect("it was packed by a sender").to_vec()
}

/// A receiver, as far as a sender can see one.
pub struct Member {
    pub address: SocketAddr,
    pub stream: StreamId,
    pub cookie: [u8; COOKIE],
    sender: StreamId,
    sealer: Sealer,
    control: u64,
}

impl Member {
    /// Number `number` of those that hear `session`, under key 1.
    pub fn new(session: &TransmitSession, number: u8) -> Member {
        Member::under(session, number, &key(1))
    }

    pub fn under(session: &TransmitSession, number: u8, key: &GroupKey) -> Member {
        Member::of_stream(session, [number; 16], SocketAddr::from(([10, 0, 0, number], 4_242)), key)
    }

    pub fn of_stream(session: &TransmitSession, stream: StreamId, address: SocketAddr, key: &GroupKey) -> Member {
        let sealer = Sealer::new(key, Cipher::default(), sender_id(&stream), stream);
        Member { address, stream, cookie: [0; COOKIE], sender: session.stream(), sealer, control: 0 }
    }

    /// One that has said hello and has been given a cookie.
    pub fn proven(session: &mut TransmitSession, number: u8, now: Nanos) -> Member {
        let mut member = Member::new(session, number);
        member.greet(session, now);
        member
    }

    /// Say hello, and take the cookie.
    pub fn greet(&mut self, session: &mut TransmitSession, now: Nanos) {
        let hello = self.hello([7; CHALLENGE]);
        let answers = self.say(session, &hello, now);
        self.cookie = answers.iter().find_map(welcome).expect("a hello is answered").cookie;
    }

    pub fn hello(&mut self, challenge: [u8; CHALLENGE]) -> Vec<u8> {
        let hello = Hello { stream: self.sender, challenge };
        self.frame(Kind::Hello, &hello.bytes())
    }

    pub fn request(&mut self, ranges: &[Range<u64>], partials: &[Partial]) -> Vec<u8> {
        let (ranges, partials) = (ranges.to_vec(), partials.to_vec());
        let request = Request { stream: self.sender, cookie: self.cookie, ranges, partials };
        self.frame(Kind::Request, &request.bytes())
    }

    pub fn frame(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        self.control += 1;
        self.sealer.control(kind, self.control, payload).to_vec()
    }

    /// Let the sender hear this from here; what it answers at once.
    pub fn say(&self, session: &mut TransmitSession, frame: &[u8], now: Nanos) -> Vec<Outgoing> {
        session.hear(&mut frame.to_vec(), self.address, now, WALL);
        session.outgoing().collect()
    }

    /// Ask for these; what is answered at once.
    pub fn ask(&mut self, session: &mut TransmitSession, ranges: &[Range<u64>], now: Nanos) -> Vec<Outgoing> {
        let request = self.request(ranges, &[]);
        self.say(session, &request, now)
    }
}

pub fn welcome(outgoing: &Outgoing) -> Option<Welcome> {
    control(outgoing, Kind::Welcome).map(|payload| Welcome::read(&payload).expect("a sender's welcome is right"))
}

pub fn refusal(outgoing: &Outgoing) -> Option<Refusal> {
    control(outgoing, Kind::Refusal).map(|payload| Refusal::read(&payload).expect("a sender's refusal is right"))
}

pub fn beacon(outgoing: &Outgoing) -> Option<Beacon> {
    control(outgoing, Kind::Beacon).map(|payload| Beacon::read(&payload).expect("a sender's beacon is right"))
}

/// The sequences that were sent again, and where to: one item a frame.
pub fn repairs(sent: &[Outgoing]) -> Vec<(u64, To)> {
    let header = |outgoing: &Outgoing| Header::read(&outgoing.bytes).expect("it is a frame").0;
    let counted = sent.iter().filter(|outgoing| header(outgoing).kind.is_counted());
    counted.map(|outgoing| (header(outgoing).sequence, outgoing.to)).collect()
}

fn control(outgoing: &Outgoing, kind: Kind) -> Option<Vec<u8>> {
    let (header, payload) = open(&outgoing.bytes);
    (header.kind == kind).then_some(payload)
}
