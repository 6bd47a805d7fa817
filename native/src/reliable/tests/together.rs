//! A sender and a receiver with a network between them that loses, doubles, delays and reorders: everything is given,
//! once and in order, or told to be missing.

use super::member::{WALL, event, ring, settings};
use crate::event::Event;
use crate::reliable::given::{Given, Lost};
use crate::reliable::random::Randomness;
use crate::reliable::receive::{ReceiveSession, ReceiveSettings};
use crate::reliable::transmit::TransmitSession;
use crate::reliable::{MILLISECOND, Mode, Nanos, SECOND, To, WallMillis};
use crate::sealed::header::StreamId;
use crate::trust::Trust;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::collections::HashMap;
use std::net::SocketAddr;

const SEED: [u8; 32] = [3; 32];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// So many events, each with so many bytes of body.
    Send(u64, usize),
    /// Milliseconds in which nothing is sent.
    Pass(u64),
    /// Milliseconds in which nothing gets through. Two in a row can make a sender silent.
    Cut(u64),
    /// The sender is killed and starts anew.
    Restart,
    Rekey,
}

fn steps(may_restart: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..40u64, prop_oneof![0..400usize, Just(3_000), Just(20_000)]).prop_map(|(count, bytes)| Step::Send(count, bytes)),
        4 => (0..300u64).prop_map(Step::Pass),
        1 => (0..3_000u64).prop_map(Step::Cut),
        1 => Just(if may_restart { Step::Restart } else { Step::Rekey }),
    ];
    proptest::collection::vec(step, 1..25)
}

#[derive(Clone, Copy, Debug)]
struct Faults {
    mode: Mode,
    seed: u64,
    /// Of a hundred datagrams either way.
    lost: u64,
    doubled: u64,
    /// Of the delay, in microseconds.
    jitter: u64,
    signed: bool,
}

fn faults() -> impl Strategy<Value = Faults> {
    let mode = prop_oneof![Just(Mode::Sealed), Just(Mode::Traced)];
    (mode, any::<u64>(), 0..35u64, 0..20u64, 0..3_000u64, any::<bool>())
        .prop_map(|(mode, seed, lost, doubled, jitter, signed)| Faults { mode, seed, lost, doubled, jitter, signed })
}

/// What was given of one stream.
#[derive(Default)]
struct Heard {
    /// The sequence that has to come next.
    next: u64,
    texts: Vec<(u64, Vec<u8>)>,
    gaps: Vec<(std::ops::Range<u64>, Lost)>,
    /// Events that no signature covered.
    unsigned: usize,
}

struct World {
    faults: Faults,
    random: Randomness,
    now: Nanos,
    cut_until: Nanos,
    sender: TransmitSession,
    receiver: ReceiveSession,
    /// When it arrives, a number that makes the order certain, whether at the receiver, and what.
    flying: Vec<(Nanos, u64, bool, Vec<u8>)>,
    launched: u64,
    /// Numbers of events, from 0, over all streams; the text of each, and its stream.
    sent: Vec<(StreamId, Vec<u8>)>,
    heard: HashMap<StreamId, Heard>,
}

impl World {
    fn new(faults: Faults) -> World {
        let random = Randomness::seeded(faults.seed);
        let mut receiving =
            ReceiveSettings { random: Randomness::seeded(faults.seed ^ 1), ..ReceiveSettings::new(faults.mode) };
        if faults.signed {
            let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
            receiving.signers = vec![("alice".into(), pair.public_key().as_ref().try_into().unwrap())];
            receiving.hold_unsigned = faults.seed.is_multiple_of(2);
        }
        let receiver = ReceiveSession::new(receiving, Some(ring(&[1])), 0);
        let sender = World::start(faults, 0, MILLISECOND);
        World {
            faults,
            random,
            now: MILLISECOND,
            cut_until: 0,
            sender,
            receiver,
            flying: Vec::new(),
            launched: 0,
            sent: Vec::new(),
            heard: HashMap::new(),
        }
    }

    fn start(faults: Faults, number: u64, now: Nanos) -> TransmitSession {
        let mut settings = settings(faults.mode);
        settings.random = Randomness::seeded(faults.seed ^ (2 + number));
        settings.signing = faults.signed.then_some(SEED);
        TransmitSession::new(settings, Some(ring(&[1])), now, wall(now))
    }

    fn launch(&mut self, to_receiver: bool, bytes: &[u8]) {
        let copies = if self.random.below(100) < self.faults.doubled { 2 } else { 1 };
        for _ in 0..copies {
            if self.now < self.cut_until || self.random.below(100) < self.faults.lost {
                continue;
            }
            self.launched += 1;
            let arrives = self.now + 300_000 + self.random.below(1_000 * self.faults.jitter + 1);
            self.flying.push((arrives, self.launched, to_receiver, bytes.to_vec()));
        }
    }

    fn send(&mut self, count: u64, bytes: usize) {
        let mut out = Vec::new();
        for _ in 0..count {
            let event: Event = event(self.sent.len() as u64, bytes);
            self.sender.send(&event, b"", self.now, &mut out).unwrap();
            self.sent.push((self.sender.stream(), event.text().to_vec()));
        }
        self.sender.flush(self.now, &mut out);
        out.iter().for_each(|datagram| self.launch(true, datagram));
        self.collect();
    }

    /// Launch what both sessions want sent.
    fn collect(&mut self) {
        let outgoing: Vec<_> = self.sender.outgoing().map(|outgoing| (true, outgoing)).collect();
        let outgoing: Vec<_> =
            outgoing.into_iter().chain(self.receiver.outgoing().map(|outgoing| (false, outgoing))).collect();
        for (to_receiver, outgoing) in outgoing {
            let meant = if to_receiver { receiver_address() } else { sender_address() };
            if let To::Address(address) = outgoing.to {
                assert_eq!(address, meant);
            }
            self.launch(to_receiver, &outgoing.bytes);
        }
    }

    /// Let so much time pass.
    fn pass(&mut self, time: Nanos) {
        let end = self.now + time;
        loop {
            let World { sender, receiver, heard, now, .. } = self;
            let mut next = sender.tick(*now, wall(*now)).unwrap_or(Nanos::MAX);
            next = next.min(receiver.tick(*now, wall(*now), &mut |given| note(heard, given)).unwrap_or(Nanos::MAX));
            self.collect();
            let arrival = self.flying.iter().enumerate().min_by_key(|(_, (arrives, number, ..))| (*arrives, *number));
            let arrival = arrival.map(|(place, (arrives, ..))| (place, *arrives));
            next = next.min(arrival.map_or(Nanos::MAX, |(_, arrives)| arrives));
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if let Some((place, arrives)) = arrival
                && arrives <= self.now
            {
                let (.., to_receiver, mut bytes) = self.flying.swap_remove(place);
                self.arrive(to_receiver, &mut bytes);
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, to_receiver: bool, bytes: &mut [u8]) {
        let World { sender, receiver, heard, now, .. } = self;
        if to_receiver {
            receiver.hear(bytes, sender_address(), *now, wall(*now), &mut |given| note(heard, given));
        } else {
            sender.hear(bytes, receiver_address(), *now, wall(*now));
        }
        for row in self.receiver.streams() {
            let accounted = row.delivered + row.gaps + row.signatures + row.rejected + row.held;
            assert_eq!(row.next - row.first, accounted, "{row:?}");
        }
    }

    fn take(&mut self, step: &Step, number: u64) {
        match *step {
            Step::Send(count, bytes) => self.send(count, bytes),
            Step::Pass(time) => self.pass(time * MILLISECOND),
            Step::Cut(time) => {
                self.cut_until = self.now + time * MILLISECOND;
                self.pass(time * MILLISECOND);
            }
            Step::Restart => {
                self.sender = World::start(self.faults, number + 1, self.now);
                // What is on its way to the old one finds nobody.
                self.flying.retain(|(.., to_receiver, _)| *to_receiver);
            }
            Step::Rekey => {
                self.receiver.rekey(ring(&[1, 2]));
                self.sender.rekey(ring(&[2, 1]));
            }
        }
    }
}

/// Enter what was given, and see that it comes in its turn.
fn note(heard: &mut HashMap<StreamId, Heard>, given: Given<'_>) {
    match given {
        Given::Event { text, trust, at: Some(at), .. } => {
            assert!(trust >= Trust::Member);
            let heard = heard.entry(at.stream).or_insert_with(|| Heard { next: 1, ..Heard::default() });
            assert!(at.sequence >= heard.next, "{} comes after {}", at.sequence, heard.next);
            heard.next = at.sequence + 1;
            heard.unsigned += usize::from(trust == Trust::Member);
            heard.texts.push((at.sequence, text.to_vec()));
        }
        Given::Event { at: None, .. } => panic!("there is nothing else here"),
        Given::Gap(gap) => {
            let heard = heard.entry(gap.stream).or_insert_with(|| Heard { next: 1, ..Heard::default() });
            assert!(gap.range.start >= heard.next, "{:?} comes after {}", gap.range, heard.next);
            heard.next = gap.range.end;
            heard.gaps.push((gap.range, gap.reason));
        }
    }
}

fn wall(now: Nanos) -> WallMillis {
    WALL + now / MILLISECOND
}

fn sender_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4_242))
}

fn receiver_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 4_243))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(faults in faults(), steps in steps(false)) {
        let mut world = World::new(faults);
        steps.iter().zip(0..).for_each(|(step, number)| world.take(step, number));
        world.pass(20 * SECOND);
        let given: Vec<_> = world.heard.values().flat_map(|heard| &heard.texts).map(|(_, text)| text).collect();
        let sent: Vec<_> = world.sent.iter().map(|(_, text)| text).collect();
        let gaps: Vec<_> = world.heard.values().flat_map(|heard| heard.gaps.clone()).collect();
        let is_cut = steps.iter().any(|step| matches!(step, Step::Cut(_)));
        prop_assert!(gaps.iter().all(|(_, lost)| is_cut && *lost == Lost::Silent), "{:?}", gaps);
        if gaps.is_empty() {
            prop_assert_eq!(given.len(), sent.len());
            prop_assert!(given == sent);
            prop_assert!(!faults.signed || world.heard.values().all(|heard| heard.unsigned == 0));
        }
    }

    #[test]
    fn of_a_sender_that_is_killed_every_event_is_given_or_told_to_be_missing(faults in faults(), steps in steps(true)) {
        let faults = Faults { signed: false, ..faults };
        let mut world = World::new(faults);
        steps.iter().zip(0..).for_each(|(step, number)| world.take(step, number));
        world.pass(20 * SECOND);
        let alive = world.sender.stream();
        let mut sent: HashMap<StreamId, Vec<&Vec<u8>>> = HashMap::new();
        world.sent.iter().for_each(|(stream, text)| sent.entry(*stream).or_default().push(text));
        for (stream, heard) in &world.heard {
            let sent = sent.remove(stream).unwrap_or_default();
            for (sequence, text) in &heard.texts {
                prop_assert!(text == sent[*sequence as usize - 1]);
            }
            let missing: u64 = heard.gaps.iter().map(|(gap, _)| gap.end.min(sent.len() as u64 + 1).saturating_sub(gap.start)).sum();
            prop_assert_eq!(heard.texts.len() as u64 + missing, sent.len() as u64);
            prop_assert_eq!(*stream == alive, heard.gaps.is_empty());
        }
        // Of a stream that was killed before any of it came through, nobody can know.
        prop_assert!(!sent.contains_key(&alive));
    }
}
