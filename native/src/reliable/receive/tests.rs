//! A receiving session by itself, with a sender of which every frame is made by hand, and a clock that is moved by hand.

// What is asked for is a list of ranges, often of one.
#![allow(clippy::single_range_in_vec_init)]

mod admission;
mod bounds;
mod hostile;
mod signed;
mod streams;
mod traced;

use super::{ReceiveSession, ReceiveSettings};
use crate::frame;
use crate::keys::{GroupKey, KeyRing, sender_id};
use crate::reject::Reject;
use crate::reliable::given::{Given, StreamRow};
use crate::reliable::message::{Beacon, Hello, Refusal, RefusalReason, Request, Welcome};
use crate::reliable::random::Randomness;
use crate::reliable::sealer::{Counted, Sealer};
use crate::reliable::{MILLISECOND, Mode, Nanos, SECOND, To, WallMillis};
use crate::sealed::cipher::Subkey;
use crate::sealed::header::{Cipher, FLAG_REPAIR, HEADER, Header, Kind, StreamId};
use crate::sealed::packing::Packer;
use crate::stream::Lost;
use crate::trust::Trust;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

const WALL: WallMillis = 1_800_000_000_000;
/// The session begins to listen this long after its clock's origin.
const START: Nanos = 1_000 * SECOND;

fn key(byte: u8) -> GroupKey {
    GroupKey::new([byte; 32])
}

fn ring(bytes: &[u8]) -> KeyRing {
    KeyRing::new(bytes.iter().map(|&byte| key(byte)).collect()).ok().unwrap()
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 4242))
}

/// What the session gave.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Event(u64, Vec<u8>, Trust),
    Stock(Vec<u8>),
    Gap(Range<u64>, Lost),
}

/// The text of the event with this sequence.
fn text(sequence: u64) -> Vec<u8> {
    format!("Event-Name: HEARTBEAT\nEvent-Sequence: {sequence}\n\n").into_bytes()
}

fn events(sequences: Range<u64>) -> Vec<Got> {
    sequences.map(|sequence| Got::Event(sequence, text(sequence), Trust::Member)).collect()
}

/// A session and its clock.
struct Bench {
    session: ReceiveSession,
    now: Nanos,
    got: Vec<Got>,
    /// The session's own frames, opened: to whom, and what they say.
    said: Vec<(SocketAddr, Said)>,
    keys: Vec<GroupKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Hello(Hello, StreamId),
    Request(Request),
}

impl Bench {
    fn new(mode: Mode, keys: &[u8]) -> Bench {
        Bench::with(|settings| settings.mode = mode, keys)
    }

    fn with(change: impl FnOnce(&mut ReceiveSettings), keys: &[u8]) -> Bench {
        let mut settings = ReceiveSettings { random: Randomness::seeded(7), ..ReceiveSettings::new(Mode::Sealed) };
        change(&mut settings);
        let ring = (!keys.is_empty()).then(|| ring(keys));
        let session = ReceiveSession::new(settings, ring, START);
        let keys = keys.iter().map(|&byte| key(byte)).collect();
        Bench { session, now: START, got: Vec::new(), said: Vec::new(), keys }
    }

    fn wall(&self) -> WallMillis {
        WALL + (self.now - START) / MILLISECOND
    }

    fn hear_from(&mut self, frame: &[u8], from: SocketAddr) {
        let mut frame = frame.to_vec();
        let (now, wall, got) = (self.now, self.wall(), &mut self.got);
        self.session.hear(&mut frame, from, now, wall, &mut |given| got.push(kept(given)));
        self.after();
    }

    fn hear(&mut self, frame: &[u8]) {
        self.hear_from(frame, address(1));
    }

    fn hear_all<T: AsRef<[u8]>>(&mut self, frames: impl IntoIterator<Item = T>) {
        frames.into_iter().for_each(|frame| self.hear(frame.as_ref()));
    }

    /// Let time pass, with every tick that the session asks for; at most a thousand a millisecond.
    fn pass(&mut self, time: Nanos) {
        let end = self.now + time;
        let mut ticks = 0;
        loop {
            let next = self.tick();
            ticks += 1;
            assert!(ticks <= 1_000 * (time / MILLISECOND + 1), "the session asks to be called again and again");
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        self.tick();
    }

    fn tick(&mut self) -> Option<Nanos> {
        let (now, wall, got) = (self.now, self.wall(), &mut self.got);
        let next = self.session.tick(now, wall, &mut |given| got.push(kept(given)));
        self.after();
        next
    }

    /// Open what the session said.
    fn after(&mut self) {
        for outgoing in self.session.outgoing() {
            let To::Address(to) = outgoing.to else { panic!("a receiver says nothing to the group") };
            let mut frame = outgoing.bytes.to_vec();
            let (header, _) = Header::read(&frame).unwrap();
            let key = self.keys.iter().find(|key| key.id() == header.key).expect("a live key");
            let subkey = Subkey::new(key, &header.stream, header.cipher);
            let payload = subkey.open(&header, &mut frame[HEADER..]).unwrap();
            self.said.push(match header.kind {
                Kind::Hello => (to, Said::Hello(Hello::read(payload).unwrap(), header.stream)),
                Kind::Request => (to, Said::Request(Request::read(payload).unwrap())),
                other => panic!("a receiver does not say {other:?}"),
            });
        }
    }

    /// What was given since the last time; the accounts of all streams must be right.
    fn take(&mut self) -> Vec<Got> {
        for row in self.session.streams() {
            let accounted = row.delivered + row.gaps + row.signatures + row.rejected + row.held;
            assert_eq!(row.next - row.first, accounted, "{row:?}");
        }
        std::mem::take(&mut self.got)
    }

    fn requests(&mut self) -> Vec<(SocketAddr, Request)> {
        let requests = self.said.iter().filter_map(|(to, said)| match said {
            Said::Request(request) => Some((*to, request.clone())),
            Said::Hello(..) => None,
        });
        let requests = requests.collect();
        self.said.retain(|(_, said)| !matches!(said, Said::Request(_)));
        requests
    }

    /// The ranges of all requests so far.
    fn asked(&mut self) -> Vec<Range<u64>> {
        self.requests().into_iter().flat_map(|(_, request)| request.ranges).collect()
    }

    fn hellos(&mut self) -> Vec<(SocketAddr, Hello, StreamId)> {
        let hellos = self.said.iter().filter_map(|(to, said)| match said {
            Said::Hello(hello, receiver) => Some((*to, hello.clone(), *receiver)),
            Said::Request(_) => None,
        });
        let hellos = hellos.collect();
        self.said.retain(|(_, said)| !matches!(said, Said::Hello(..)));
        hellos
    }

    fn rejected(&self, reason: Reject) -> u64 {
        self.session.rejected.iter().find(|(other, _)| *other == reason).unwrap().1
    }

    fn counter(&self, name: &str) -> u64 {
        self.session.counters().iter().find(|(other, _)| *other == name).unwrap().1
    }

    fn row(&self, sender: &Sender) -> StreamRow {
        self.session.streams().into_iter().rfind(|row| row.stream == sender.stream).unwrap()
    }
}

fn kept(given: Given<'_>) -> Got {
    match given {
        Given::Event { text, trust, at: Some(at), .. } => Got::Event(at.sequence, text.to_vec(), trust),
        Given::Event { text, trust, at: None, .. } => {
            assert_eq!(trust, Trust::Stock);
            Got::Stock(text.to_vec())
        }
        Given::Gap(gap) => Got::Gap(gap.range, gap.reason),
    }
}

/// A sender of which every frame is made by hand.
struct Sender {
    name: Vec<u8>,
    stream: StreamId,
    sealer: Sealer,
    controls: u64,
    packer: Packer,
    /// When it began, on the clock of the bench.
    began: Nanos,
}

impl Sender {
    fn new(number: u8) -> Sender {
        Sender::under(key(1), [number; 16], b"fs1", Cipher::default())
    }

    fn under(key: GroupKey, stream: StreamId, name: &[u8], cipher: Cipher) -> Sender {
        let sealer = Sealer::new(&key, cipher, sender_id(name), stream);
        let (name, packer) = (name.to_vec(), Packer::default());
        Sender { name, stream, sealer, controls: 0, packer, began: START + MILLISECOND }
    }

    /// Older than the bench has listened.
    fn old(mut self) -> Sender {
        self.began = START - 500 * SECOND;
        self
    }

    fn frames(&mut self, sequence: u64, text: &[u8], flags: u8) -> Vec<Arc<[u8]>> {
        let (dictionary, packed) = self.packer.pack(text);
        let counted = Counted { kind: Kind::Event, sequence, dictionary, packed };
        self.sealer.frames(counted, flags, None).collect()
    }

    fn event(&mut self, sequence: u64) -> Arc<[u8]> {
        self.frames(sequence, &text(sequence), 0).remove(0)
    }

    fn repair(&mut self, sequence: u64) -> Arc<[u8]> {
        self.frames(sequence, &text(sequence), FLAG_REPAIR).remove(0)
    }

    fn events(&mut self, sequences: Range<u64>) -> Vec<Arc<[u8]>> {
        sequences.map(|sequence| self.event(sequence)).collect()
    }

    fn says(&self, next: u64, oldest: u64, now: Nanos) -> Beacon {
        let age_millis = now.saturating_sub(self.began) / MILLISECOND;
        let wall_millis = WALL + (now - START) / MILLISECOND;
        Beacon { next, oldest, wall_millis, age_millis, ended: false, name: self.name.clone() }
    }

    fn control(&mut self, kind: Kind, payload: &[u8]) -> Arc<[u8]> {
        self.controls += 1;
        self.sealer.control(kind, self.controls, payload)
    }

    fn beacon(&mut self, next: u64, oldest: u64, now: Nanos) -> Arc<[u8]> {
        let beacon = self.says(next, oldest, now);
        self.control(Kind::Beacon, &beacon.bytes())
    }

    fn last_beacon(&mut self, next: u64, now: Nanos) -> Arc<[u8]> {
        let beacon = Beacon { ended: true, ..self.says(next, 1, now) };
        self.control(Kind::Beacon, &beacon.bytes())
    }

    fn welcome(&mut self, hello: &Hello, receiver: StreamId, next: u64, oldest: u64, now: Nanos) -> Arc<[u8]> {
        let beacon = self.says(next, oldest, now);
        let welcome = Welcome { receiver, challenge: hello.challenge, cookie: [9; 16], beacon };
        self.control(Kind::Welcome, &welcome.bytes())
    }

    fn refusal(&mut self, receiver: StreamId, below: u64, reason: RefusalReason) -> Arc<[u8]> {
        self.control(Kind::Refusal, &Refusal { receiver, below, reason }.bytes())
    }

    /// The traced datagram of this event; with a proof if so wanted.
    fn datagram(&self, sequence: u64, is_proven: bool) -> Vec<u8> {
        let event = crate::event::Event::parse(&text(sequence)).unwrap();
        let proof = is_proven.then(|| self.sealer.proof());
        let line = [b"Multicast-Sender: ", &self.name[..], b"\n"].concat();
        let mut datagram = crate::traced::stamped(&event, &line, &self.stream, sequence, proof);
        datagram.extend_from_slice(&frame::TAIL);
        datagram
    }
}

/// A session that follows `sender` from 1 on, and has its cookie.
fn following(mode: Mode, sender: &mut Sender) -> Bench {
    let mut bench = Bench::new(mode, &[1]);
    bench.pass(2 * MILLISECOND);
    meet(&mut bench, sender);
    bench
}

/// Let the session find that the sender is there, and get its cookie.
fn meet(bench: &mut Bench, sender: &mut Sender) {
    let beacon = sender.beacon(1, 1, bench.now);
    bench.hear(&beacon);
    bench.pass(5 * MILLISECOND);
    let (_, hello, receiver) = bench.hellos().remove(0);
    let welcome = sender.welcome(&hello, receiver, 1, 1, bench.now);
    bench.hear(&welcome);
    assert_eq!(bench.take(), []);
}
