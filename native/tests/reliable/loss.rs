//! Whatever is lost independently is sent again; so is what is signed; without a key it is told, no more.

use crate::simnet::load::Load;
use crate::simnet::network::NodeId;
use crate::simnet::packet::{Packet, Traffic};
use crate::simnet::trial::{FULL, Report, SMALL, Size, hold, hold_and_lose};
use crate::simnet::world::{Run, World};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use switchcast_native::reliable::{MILLISECOND, Mode, Nanos, SECOND};

/// Events a second.
const RATE: u64 = 5_000;

/// One sender, one receiver; each datagram, be it of the data, a request, an answer or a beacon, is lost with this
/// probability.
fn independent(loss: f64) -> impl Fn(&mut World) {
    move |world| {
        let (sender, receiver) = (world.sender(), world.receiver());
        run_lossy(world, sender, receiver, loss);
    }
}

fn run_lossy(world: &mut World, sender: NodeId, receiver: NodeId, loss: f64) {
    world.network.ports[receiver].down.lose(&Traffic::ALL, loss);
    world.network.ports[receiver].up.lose(&Traffic::ALL, loss);
    world.load(sender, Load { events: world.run.events, per_second: RATE, at_once: 4 });
    world.play(5 * SECOND);
}

fn within(p99: Nanos) -> impl Fn(&World, &Report) {
    move |_, report| {
        report.is_whole();
        assert!(report.p99 < p99, "p99 of a repaired event is {} ns", report.p99);
    }
}

/// Small runs have twice the time: one bad moment is more than a hundredth of them.
fn try_at(size: Size, hundredths: u32, p99: Nanos) {
    let p99 = if size.events < FULL.events { 2 * p99 } else { p99 };
    let name = format!("{hundredths}% lost, independently");
    hold_and_lose(&name, size, independent(f64::from(hundredths) / 100.0), within(p99));
}

#[test]
fn a_tenth_lost_is_repaired_within_100_ms() {
    try_at(SMALL, 10, 100 * MILLISECOND);
}

#[test]
fn a_fifth_lost_is_repaired_within_200_ms() {
    try_at(SMALL, 20, 200 * MILLISECOND);
}

#[test]
fn three_tenths_lost_are_repaired_within_500_ms() {
    try_at(SMALL, 30, 500 * MILLISECOND);
}

#[test]
#[ignore = "full size, for make soak"]
fn a_tenth_lost_is_repaired_within_100_ms_full() {
    try_at(FULL, 10, 100 * MILLISECOND);
}

#[test]
#[ignore = "full size, for make soak"]
fn a_fifth_lost_is_repaired_within_200_ms_full() {
    try_at(FULL, 20, 200 * MILLISECOND);
}

#[test]
#[ignore = "full size, for make soak"]
fn three_tenths_lost_are_repaired_within_500_ms_full() {
    try_at(FULL, 30, 500 * MILLISECOND);
}

/// The sender signs, and the receiver takes only what is signed.
fn signed(world: &mut World) {
    let seed = [7; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
    let key = pair.public_key().as_ref().try_into().expect("a public key has 32 bytes");
    let sender = world.sender_with(|settings| settings.signing = Some(seed));
    let receiver = world.receiver_with(|settings| {
        (settings.signers, settings.hold_unsigned) = (vec![("fs0".to_owned(), key)], true);
    });
    run_lossy(world, sender, receiver, 0.1);
}

fn all_signed(_: &World, report: &Report) {
    report.is_whole();
    assert_eq!(report.signed, report.given);
}

#[test]
fn lost_signatures_are_repaired_too() {
    hold_and_lose("10% lost, all signed", SMALL, signed, all_signed);
}

#[test]
#[ignore = "full size, for make soak"]
fn lost_signatures_are_repaired_too_full() {
    hold_and_lose("10% lost, all signed", FULL, signed, all_signed);
}

/// Traced without a key: nothing can be asked for, and nothing is proven.
fn keyless(world: &mut World) {
    let (sender, receiver) = (world.sender(), world.receiver());
    for node in [sender, receiver] {
        world.node(node).keys = None;
        world.start(node);
    }
    world.network.ports[receiver].down.lose(&Traffic::ALL, 0.1);
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(0);
    // There are no beacons, so only what follows shows a loss.
    world.network.ports[receiver].down.lose(&Traffic::ALL, 0.0);
    world.load(sender, Load::steady(100, RATE));
    world.play(5 * SECOND);
}

#[test]
fn without_a_key_every_loss_is_told() {
    let size = Size { modes: &[Mode::Traced], ..SMALL };
    hold("10% lost, no key", size, keyless, |world, report| {
        assert_eq!(world.network.tally(Traffic::Beacon).datagrams, 0);
        assert!(report.in_gaps > report.sent / 20 && report.unproven == report.given, "{report:?}");
    });
}

#[test]
fn a_seed_decides_all_that_happens() {
    let told = |mode, seed| {
        let mut world = World::new(Run { mode, seed, events: 2_000, repair: true });
        let wire = Rc::new(RefCell::new(DefaultHasher::new()));
        let seen = Rc::clone(&wire);
        world.network.taps.push(Box::new(move |now, packet: &Packet| {
            (now, packet.from, packet.to, &packet.bytes).hash(&mut *seen.borrow_mut());
        }));
        independent(0.2)(&mut world);
        wire.borrow().finish()
    };
    for mode in [Mode::Traced, Mode::Sealed] {
        assert_eq!(told(mode, 1), told(mode, 1));
        assert_ne!(told(mode, 1), told(mode, 2));
    }
}
