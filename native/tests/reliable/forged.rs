//! What strangers send is never taken: forged, replayed, cut, damaged, renamed, under a wrong key or a retired one.

use crate::simnet::dice::Dice;
use crate::simnet::load::{Load, Writer};
use crate::simnet::network::Network;
use crate::simnet::node::ring;
use crate::simnet::packet::{Packet, Traffic};
use crate::simnet::stranger::{Attack, Forger, record};
use crate::simnet::trial::{FULL, Report, SMALL, Size, hold};
use crate::simnet::world::World;
use switchcast_native::reliable::random::Randomness;
use switchcast_native::reliable::transmit::{TransmitSession, TransmitSettings};
use switchcast_native::reliable::{MILLISECOND, Mode, SECOND, To};
use switchcast_native::sealed::header::Kind;

/// Forgeries a second, and good events.
const FORGERIES: u64 = 50_000;
const RATE: u64 = 2_000;

/// One that has a key, though not a live one of the group.
struct Outsider {
    session: TransmitSession,
    writer: Writer,
    waiting: Vec<std::sync::Arc<[u8]>>,
}

impl Outsider {
    fn new(mode: Mode, key: u8, seed: u64, world: &mut World) -> Outsider {
        let random = Randomness::seeded(seed);
        let settings = TransmitSettings { random, ..TransmitSettings::new(mode, b"fs1") };
        let session = TransmitSession::new(settings, Some(ring(&[key])), world.now(), 0);
        Outsider { session, writer: Writer::new(seed), waiting: Vec::new() }
    }

    /// The next datagram of a stream of its own.
    fn datagram(&mut self, world: &World) -> std::sync::Arc<[u8]> {
        while self.waiting.is_empty() {
            let event = self.writer.event();
            self.session.send(&event, b"Multicast-Sender: fs1\n", world.now(), &mut self.waiting).expect("it fits");
        }
        self.waiting.remove(0)
    }
}

/// Two receivers, a sender that has moved from key 1 to key 2, and a stranger who recorded all from the beginning. It
/// sends to the group and to the sender; 1 in 20 of the good datagrams is lost when there is `loss`.
fn forged(loss: f64) -> impl Fn(&mut World) {
    move |world| {
        let sender = world.sender();
        let receivers = [world.receiver(), world.receiver()];
        let nodes = [sender, receivers[0], receivers[1]];
        for node in receivers {
            world.network.ports[node].down.lose(&[Traffic::Data], loss);
        }
        let recording = record(world, 5_000, |_| true);
        world.load(sender, Load::steady(RATE, RATE));
        world.play(SECOND);
        nodes.iter().for_each(|node| world.node(*node).rekey(ring(&[2, 1])));
        world.load(sender, Load::steady(RATE, RATE));
        world.play(SECOND);
        nodes.iter().for_each(|node| world.node(*node).rekey(ring(&[2])));

        let (mode, seed, stream) = (world.run.mode, world.run.seed, world.stream(sender));
        let mut forger = Forger { dice: Dice::new(seed, 1 << 21), recording };
        let (mut stranger, mut thief) = (Outsider::new(mode, 9, 9, world), Outsider::new(mode, 1, 1, world));
        let make = move |world: &mut World| {
            let group = forger.dice.happens(0.9);
            let to = if group { To::Group } else { To::Address(Network::address(sender)) };
            let from = if forger.dice.happens(0.5) { Network::address(sender) } else { forger.any_address() };
            let packet = match forger.dice.below(7) {
                0 => None,
                1 => forger.replayed(),
                2 => forger.truncated(),
                3 => forger.flipped(),
                4 => forger.renamed(),
                5 => Some(Packet::new(from, to, stranger.datagram(world))),
                _ => Some(Packet::new(from, to, thief.datagram(world))),
            };
            let kinds = [Kind::Event, Kind::Signature, Kind::Beacon, Kind::Welcome, Kind::Refusal, Kind::Request];
            let packet = packet.unwrap_or_else(|| Packet::new(from, to, forger.made_up(&kinds, stream)));
            Packet { from, to, ..packet }
        };
        let left = world.run.events;
        Attack { left, pause: SECOND / FORGERIES, dice: Dice::new(seed, 1 << 23), make: Box::new(make) }.go_on(world);
        world.load(sender, Load::steady(left * RATE / FORGERIES, RATE));
        world.play(3 * SECOND);
        // One that is started only now hears the old streams again from the stranger, and none of them is alive.
        world.start(receivers[1]);
        world.play(SECOND);
    }
}

/// That nothing was given twice, or that nobody sent, is what the books hold every run to.
fn nothing_taken(world: &World, report: &Report) {
    assert_eq!((world.books.foreign, report.unproven), (0, 0), "a forgery was given");
    assert_eq!((report.given, report.in_gaps), (report.sent, 0), "good events were lost");
}

#[test]
fn no_forgery_is_taken() {
    hold("forgeries", Size { events: 20_000, ..SMALL }, forged(0.0), nothing_taken);
    hold("forgeries, 5% lost", Size { events: 20_000, ..SMALL }, forged(0.05), nothing_taken);
}

#[test]
#[ignore = "full size, for make soak"]
fn no_forgery_is_taken_full() {
    hold("a million forgeries", FULL, forged(0.0), nothing_taken);
    hold("a million forgeries, 5% lost", FULL, forged(0.05), nothing_taken);
}

/// The recording of a stream whose sender is gone is played to a receiver that was not there.
fn recorded(world: &mut World) {
    let (sender, receiver) = (world.sender(), world.receiver());
    let recording = record(world, usize::MAX, |packet| packet.to == To::Group);
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(SECOND);
    world.node(sender).stop();
    world.play_for(40 * SECOND);
    world.start(receiver);
    let (mut place, old) = (0, world.stream(sender));
    let left = recording.borrow().len() as u64;
    let make = move |_: &mut World| {
        place += 1;
        recording.borrow()[place - 1].clone()
    };
    Attack { left, pause: SECOND / RATE, dice: Dice::new(world.run.seed, 1 << 23), make: Box::new(make) }.go_on(world);
    world.play_for(2 * left * (SECOND / RATE) + 10 * SECOND);
    let hearer = world.hearer(receiver);
    assert!(world.books.page_of(hearer, &old).is_none(), "a recording was taken for a stream");
}

#[test]
fn a_recording_is_no_stream() {
    hold("a recording of a stream that is gone", Size { events: 2_000, ..SMALL }, recorded, |_, _| ());
}

/// A sender starts anew while a stranger, as from its address, sends frames of streams that nobody has.
fn started_in_a_flood(world: &mut World) {
    let (sender, receiver) = (world.sender(), world.receiver());
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play_for(200 * MILLISECOND);
    let recording = record(world, 1, |_| false);
    let mut forger = Forger { dice: Dice::new(world.run.seed, 1 << 22), recording };
    let from = Network::address(sender);
    let make = move |_: &mut World| Packet::new(from, To::Group, forger.made_up(&[Kind::Event], [0; 16]));
    let left = world.run.events * FORGERIES / RATE;
    let dice = Dice::new(world.run.seed, 1 << 23);
    Attack { left, pause: SECOND / FORGERIES, dice, make: Box::new(make) }.go_on(world);
    world.play_for(200 * MILLISECOND);
    world.start(sender);
    let started = world.now();
    world.play(3 * SECOND);
    let page = world.books.page_of(world.hearer(receiver), &world.stream(sender)).expect("it was let in");
    assert!(page.began - started < SECOND, "the new stream was let in after {} ns", page.began - started);
}

#[test]
fn a_flood_from_a_senders_address_does_not_keep_its_new_stream_out() {
    hold("restart in a flood", Size { events: 2_000, ..SMALL }, started_in_a_flood, |_, _| ());
}
