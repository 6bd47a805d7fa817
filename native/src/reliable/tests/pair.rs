//! One sender and its receivers on a network in memory that takes half a millisecond and loses what it likes.

use super::member::{counted, event, ring, settings};
use crate::keys::public_key;
use crate::reliable::given::{GapRecord, Given, Lost};
use crate::reliable::random::Randomness;
use crate::reliable::receive::{ReceiveSession, ReceiveSettings};
use crate::reliable::transmit::{TransmitSession, TransmitSettings};
use crate::reliable::{MILLISECOND, Mode, Nanos, Outgoing, SECOND, To, WallMillis};
use crate::sealed::header::StreamId;
use crate::trust::Trust;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

const DELAY: Nanos = MILLISECOND / 2;
const SENDER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 4_242);

fn wall(now: Nanos) -> WallMillis {
    super::member::WALL + now / MILLISECOND
}

struct Receiver {
    session: ReceiveSession,
    address: SocketAddr,
    events: Vec<(StreamId, u64, Vec<u8>, Trust)>,
    gaps: Vec<GapRecord>,
    wake: Option<Nanos>,
    /// How many of a thousand of the group's datagrams it loses besides.
    deaf: u64,
}

impl Receiver {
    fn with(&mut self, what: impl FnOnce(&mut ReceiveSession, &mut dyn FnMut(Given<'_>)) -> Option<Nanos>) {
        let Receiver { session, events, gaps, .. } = self;
        self.wake = what(session, &mut |given| match given {
            Given::Event { text, trust, at, .. } => {
                let at = at.expect("all events here have a place");
                events.push((at.stream, at.sequence, text.to_vec(), trust));
            }
            Given::Gap(gap) => gaps.push(gap),
        });
    }

    fn numbers(&self) -> Vec<u64> {
        self.events.iter().map(|(_, sequence, ..)| *sequence).collect()
    }
}

struct Letter {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Arc<[u8]>,
}

/// The sender, its receivers, and what is under way between them.
struct Network {
    sender: TransmitSession,
    receivers: Vec<Receiver>,
    /// By the time of arrival.
    under_way: BTreeMap<(Nanos, u64), Letter>,
    count: u64,
    now: Nanos,
    random: Randomness,
    /// How many of a thousand datagrams are lost on their way to one of the others.
    loss: u64,
    sent: u64,
}

impl Network {
    fn new(transmit: TransmitSettings, receive: ReceiveSettings, receivers: u8) -> Network {
        let receiver = |number| {
            let settings = ReceiveSettings { random: Randomness::seeded(u64::from(number)), ..receive.clone() };
            Receiver {
                session: ReceiveSession::new(settings, Some(ring(&[1, 2])), 0),
                address: SocketAddr::from(([10, 0, 1, number], 5_000)),
                events: Vec::new(),
                gaps: Vec::new(),
                wake: None,
                deaf: 0,
            }
        };
        Network {
            sender: TransmitSession::new(transmit, Some(ring(&[1, 2])), 0, wall(0)),
            receivers: (0..receivers).map(receiver).collect(),
            under_way: BTreeMap::new(),
            count: 0,
            now: 0,
            random: Randomness::seeded(99),
            loss: 0,
            sent: 0,
        }
    }

    fn send(&mut self) {
        self.sent += 1;
        let mut out = Vec::new();
        let bytes = if self.sent.is_multiple_of(10) { 5_000 } else { 300 };
        self.sender.send(&event(self.sent, bytes), b"", self.now, &mut out).unwrap();
        if self.sent.is_multiple_of(8) {
            self.sender.flush(self.now, &mut out);
        }
        self.spread(out.into_iter().map(|bytes| Outgoing { to: To::Group, bytes }).collect());
    }

    /// So many events, two a millisecond.
    fn send_many(&mut self, count: u64) {
        for _ in 0..count {
            self.send();
            self.run(MILLISECOND / 2);
        }
    }

    /// Let so much time pass.
    fn run(&mut self, time: Nanos) {
        let end = self.now + time;
        loop {
            let due = self.sender.tick(self.now, wall(self.now));
            let sent = self.sender.outgoing().collect();
            self.spread(sent);
            let arrives = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let wakes = self.receivers.iter().filter_map(|receiver| receiver.wake).min();
            let next = [due, arrives, wakes].into_iter().flatten().min().unwrap_or(end).max(self.now);
            if next >= end {
                break;
            }
            self.now = next;
            while let Some(first) = self.under_way.first_entry().filter(|first| first.key().0 <= next) {
                let letter = first.remove();
                self.arrive(letter);
            }
            for receiver in &mut self.receivers {
                receiver.with(|session, give| session.tick(next, wall(next), give));
            }
            self.answers();
        }
        self.now = end;
    }

    fn arrive(&mut self, Letter { from, to, bytes }: Letter) {
        let (now, mut datagram) = (self.now, bytes.to_vec());
        if to == SENDER {
            return self.sender.hear(&mut datagram, from, now, wall(now));
        }
        let receiver = self.receivers.iter_mut().find(|receiver| receiver.address == to);
        receiver.expect("answers go where requests came from").with(|session, give| {
            session.hear(&mut datagram, from, now, wall(now), give);
            session.tick(now, wall(now), give)
        });
    }

    fn answers(&mut self) {
        for place in 0..self.receivers.len() {
            let Receiver { session, address, .. } = &mut self.receivers[place];
            let (address, sent) = (*address, session.outgoing().collect::<Vec<_>>());
            for outgoing in sent {
                assert_eq!(outgoing.to, To::Address(SENDER));
                self.post(address, SENDER, outgoing.bytes);
            }
        }
    }

    fn spread(&mut self, sent: Vec<Outgoing>) {
        for Outgoing { to, bytes } in sent {
            match to {
                To::Address(address) => self.post(SENDER, address, bytes),
                To::Group => {
                    for place in 0..self.receivers.len() {
                        let Receiver { address, deaf, .. } = self.receivers[place];
                        if self.random.below(1_000) >= deaf {
                            self.post(SENDER, address, bytes.clone());
                        }
                    }
                }
            }
        }
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Arc<[u8]>) {
        if self.random.below(1_000) >= self.loss {
            self.count += 1;
            self.under_way.insert((self.now + DELAY, self.count), Letter { from, to, bytes });
        }
    }

    /// Everything that was sent was given once, in its order.
    fn assert_complete(&self) {
        let signatures = counted(&self.sender, "signatures");
        for receiver in &self.receivers {
            assert_eq!(receiver.gaps, []);
            assert!(receiver.numbers().is_sorted_by(|one, other| one < other));
            assert_eq!(receiver.events.len() as u64, self.sent);
            for (number, (_, _, text, _)) in (1..).zip(&receiver.events) {
                let bytes = if number % 10 == 0 { 5_000 } else { 300 };
                assert!(text == event(number, bytes).text(), "event {number} is another");
            }
            let row = &receiver.session.streams()[0];
            assert_eq!((row.delivered, row.gaps, row.signatures), (self.sent, 0, signatures));
            assert_eq!(row.next - row.first, self.sent + signatures);
        }
    }
}

#[test]
fn where_nothing_is_lost_nothing_is_asked_for() {
    for mode in [Mode::Sealed, Mode::Traced] {
        let mut network = Network::new(settings(mode), ReceiveSettings::new(mode), 2);
        network.run(MILLISECOND);
        network.send_many(500);
        network.run(SECOND);
        network.assert_complete();
        assert_eq!(counted(&network.sender, "requests"), 0);
        assert!(network.receivers[0].events.iter().all(|(.., trust)| *trust == Trust::Member));
    }
}

#[test]
fn what_is_lost_is_repaired_where_three_of_ten_datagrams_are_lost_either_way() {
    for mode in [Mode::Sealed, Mode::Traced] {
        let mut network = Network::new(settings(mode), ReceiveSettings::new(mode), 4);
        network.loss = 300;
        network.send_many(1_000);
        network.run(3 * SECOND);
        network.assert_complete();
        let counted = |name| counted(&network.sender, name);
        assert!(counted("repairs") > 300 && counted("repairs_shared") > 0);
    }
}

#[test]
fn without_repair_what_is_lost_is_told() {
    for mode in [Mode::Sealed, Mode::Traced] {
        let mut network =
            Network::new(settings(mode), ReceiveSettings { repair: false, ..ReceiveSettings::new(mode) }, 1);
        network.run(MILLISECOND);
        network.loss = 100;
        network.send_many(1_000);
        network.run(5 * SECOND);
        let receiver = &network.receivers[0];
        let told: Vec<u64> = receiver.gaps.iter().flat_map(|gap| gap.range.clone()).collect();
        assert!(told.len() > 50, "{} of 1,000", told.len());
        let mut all = [told, receiver.numbers()].concat();
        all.sort_unstable();
        assert_eq!(all, (1..=1_000).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_not_kept_any_more_is_told_with_its_range() {
    let small = TransmitSettings { keep_bytes: 4_000, ..settings(Mode::Sealed) };
    let mut network = Network::new(small, ReceiveSettings::new(Mode::Sealed), 1);
    network.run(MILLISECOND);
    network.send_many(10);
    network.loss = 1_000;
    network.send_many(100);
    network.loss = 0;
    network.send_many(10);
    network.run(2 * SECOND);
    let receiver = &network.receivers[0];
    let told: Vec<Range<u64>> = receiver.gaps.iter().map(|gap| gap.range.clone()).collect();
    assert!(receiver.gaps.iter().all(|gap| gap.reason == Lost::Expired), "{:?}", receiver.gaps);
    assert_eq!(told[0].start, 11);
    let lost: u64 = told.iter().map(|range| range.end - range.start).sum();
    assert!((80..=100).contains(&lost), "{told:?}");
    assert_eq!(receiver.events.len() as u64 + lost, 120);
}

#[test]
fn keys_rotate_under_load_and_loss_and_nothing_is_lost() {
    for mode in [Mode::Sealed, Mode::Traced] {
        let mut network = Network::new(settings(mode), ReceiveSettings::new(mode), 2);
        network.loss = 200;
        // First receivers learn the new key, then it is sent under, then the old one is retired.
        for (receiving, sending) in [(&[1, 2, 3], &[2, 1, 3]), (&[2, 3, 4], &[3, 2, 4])] {
            network.send_many(200);
            network.receivers.iter_mut().for_each(|receiver| receiver.session.rekey(ring(receiving)));
            network.send_many(200);
            network.sender.rekey(ring(sending));
            network.send_many(200);
            // What is under way under the old key would be lost, so it is left time to arrive.
            network.run(2 * SECOND);
        }
        network.assert_complete();
    }
}

#[test]
fn a_signers_events_bear_its_name_where_a_fifth_is_lost() {
    let transmit = TransmitSettings { signing: Some([5; 32]), ..settings(Mode::Sealed) };
    let signers = vec![("pair's signer".to_string(), public_key(&[5; 32]))];
    let receive = ReceiveSettings { signers, hold_unsigned: true, ..ReceiveSettings::new(Mode::Sealed) };
    let mut network = Network::new(transmit, receive, 2);
    network.loss = 200;
    network.send_many(400);
    network.run(3 * SECOND);
    network.assert_complete();
    let is_signed = |trust: &Trust| matches!(trust, Trust::Signed(signer) if signer.name() == "pair's signer");
    assert!(network.receivers.iter().flat_map(|receiver| &receiver.events).all(|(.., trust)| is_signed(trust)));
}

#[test]
fn the_last_events_are_not_lost_with_the_first_beacons_after_them() {
    let mut network = Network::new(settings(Mode::Sealed), ReceiveSettings::new(Mode::Sealed), 1);
    network.run(MILLISECOND);
    network.send_many(10);
    network.loss = 1_000;
    network.send_many(5);
    let ended = network.now;
    network.sender.end(network.now, wall(network.now));
    network.run(300 * MILLISECOND);
    network.loss = 0;
    while network.receivers[0].events.len() < 15 {
        network.run(10 * MILLISECOND);
        assert!(network.now < ended + 1_500 * MILLISECOND, "{:?}", network.receivers[0].session.streams());
    }
    network.assert_complete();
    network.run(10 * SECOND);
    assert_eq!(network.sender.tick(network.now, wall(network.now)), None);
}

#[test]
fn one_that_cannot_keep_up_is_told_what_it_will_not_get_and_slows_nobody() {
    let mut network = Network::new(settings(Mode::Sealed), ReceiveSettings::new(Mode::Sealed), 2);
    network.run(MILLISECOND);
    network.receivers[0].deaf = 950;
    network.receivers[1].deaf = 10;
    for _ in 0..1_400 {
        network.sent += 1;
        let mut out = Vec::new();
        network.sender.send(&event(network.sent, 20_000), b"", network.now, &mut out).unwrap();
        network.spread(out.into_iter().map(|bytes| Outgoing { to: To::Group, bytes }).collect());
        network.run(2 * MILLISECOND);
    }
    network.receivers[0].deaf = 0;
    network.run(8 * SECOND);
    let [slow, good] = &network.receivers[..] else { unreachable!("there are two") };
    assert_eq!((&good.gaps[..], good.events.len() as u64), (&[][..], network.sent));
    assert!(counted(&network.sender, "lagging") > 0 && !slow.gaps.is_empty());
    assert!(slow.gaps.iter().all(|gap| gap.reason == Lost::Lagging), "{:?}", slow.gaps);
    let told: Vec<u64> = slow.gaps.iter().flat_map(|gap| gap.range.clone()).collect();
    let mut all = [told, slow.numbers()].concat();
    all.sort_unstable();
    assert_eq!(all, (1..=network.sent).collect::<Vec<_>>());
}
