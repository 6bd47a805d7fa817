//! Many receivers, and strangers who would have the sender flood someone.

use crate::simnet::books::percentile;
use crate::simnet::dice::Dice;
use crate::simnet::load::Load;
use crate::simnet::network::Network;
use crate::simnet::packet::{Packet, Traffic};
use crate::simnet::stranger::{Attack, Forger, Recording, record};
use crate::simnet::trial::{FULL, Report, SMALL, Size, hold, hold_and_lose};
use crate::simnet::world::World;
use std::cell::Cell;
use std::rc::Rc;
use switchcast_native::reliable::{MILLISECOND, SECOND, To};
use switchcast_native::sealed::header::Kind;

/// Events a second.
const RATE: u64 = 2_000;
/// Receivers in a crowd.
const CROWD: usize = 50;

/// What one of twenty datagrams is lost by, is lost by all.
fn crowd(world: &mut World) {
    let sender = world.sender();
    for _ in 0..CROWD {
        world.receiver();
    }
    world.network.ports[sender].up.lose(&[Traffic::Data], 0.05);
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(3 * SECOND);
}

fn shared(world: &World, report: &Report) {
    report.is_whole();
    let lost = world.network.tally(Traffic::Data).lost;
    let repairs = report.repairs.datagrams;
    assert!(repairs * 2 <= lost * 3, "{repairs} repairs for {lost} losses that all {CROWD} share");
}

#[test]
fn a_crowd_that_misses_the_same_shares_the_repairs() {
    hold_and_lose("50 receivers miss the same", Size { events: 600, ..SMALL }, crowd, shared);
}

#[test]
#[ignore = "full size, for make soak"]
fn a_crowd_that_misses_the_same_shares_the_repairs_full() {
    hold_and_lose("50 receivers miss the same", Size { events: 20_000, ..FULL }, crowd, shared);
}

/// A good receiver that loses a tenth; a member whose hellos and requests a stranger takes off its cable; a victim; and a
/// flood of requests as from the victim: the stolen ones, each before the sender has seen it, recorded ones and rubbish.
fn flooded(world: &mut World) {
    let (sender, good, prey) = (world.sender(), world.receiver(), world.receiver());
    let victim = world.stranger();
    for node in [good, prey] {
        world.network.ports[node].down.lose(&Traffic::ALL, 0.1);
    }
    let recording = record(world, 1_000, |packet| Traffic::ASKING.contains(&packet.traffic));
    let stolen = Recording::default();
    let taken = Rc::clone(&stolen);
    world.network.ports[prey].up.script = Some(Box::new(move |packet| {
        taken.borrow_mut().push(packet.clone());
        true
    }));
    let (sent, stream) = (Rc::new(Cell::new(0)), world.stream(sender));
    let count = Rc::clone(&sent);
    let mut forger = Forger { dice: Dice::new(world.run.seed, 1 << 20), recording };
    let (from, to) = (Network::address(victim), To::Address(Network::address(sender)));
    let make = move |_: &mut World| {
        let fresh = stolen.borrow_mut().pop();
        let recorded = if forger.dice.happens(0.5) { forger.replayed() } else { None };
        let bytes = match fresh.or(recorded) {
            Some(packet) => packet.bytes,
            None => forger.made_up(&[Kind::Request, Kind::Hello], stream),
        };
        count.set(count.get() + bytes.len() as u64);
        Packet::new(from, to, bytes)
    };
    let pause = MILLISECOND / 20;
    let left = world.run.events * SECOND / RATE / pause;
    let dice = Dice::new(world.run.seed, 1 << 23);
    Attack { left, pause, dice, make: Box::new(make) }.go_on(world);
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(0);
    world.network.ports[prey].up.script = None;
    // The member that nobody answered has all of it to catch up with, or to be told that it is not kept any more.
    world.play(40 * SECOND);
    let answered = world.network.ports[victim].heard;
    assert!(answered.datagrams > 0, "no stolen request was answered: nothing was tried");
    assert!(answered.bytes <= 3 * sent.get(), "{} bytes had the victim get {}", sent.get(), answered.bytes);
    let page = world.books.page_of(world.hearer(good), &stream).expect("it was given some");
    assert_eq!((page.given, page.in_gaps), (world.run.events, 0), "the good receiver lost something");
    let p99 = percentile(&mut page.repaired.clone(), 99);
    assert!(p99 < 100 * MILLISECOND, "p99 of an event that was repaired for it is {p99} ns");
}

#[test]
fn a_flood_of_requests_is_answered_threefold_at_most_and_harms_nobody() {
    hold("requests as from a victim", Size { events: 3_000, ..SMALL }, flooded, |_, _| ());
}

#[test]
#[ignore = "full size, for make soak"]
fn a_flood_of_requests_is_answered_threefold_at_most_and_harms_nobody_full() {
    hold("requests as from a victim", Size { events: 60_000, ..FULL }, flooded, |_, _| ());
}
