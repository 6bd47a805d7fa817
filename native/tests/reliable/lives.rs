//! Restarts, partitions, new keys, and nonces.

use crate::simnet::books::Hearer;
use crate::simnet::load::Load;
use crate::simnet::network::NodeId;
use crate::simnet::node::ring;
use crate::simnet::packet::{Packet, Traffic};
use crate::simnet::trial::{FULL, Report, SMALL, Size, hold, hold_and_lose};
use crate::simnet::world::World;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use switchcast_native::frame;
use switchcast_native::reliable::{MILLISECOND, Nanos, SECOND};
use switchcast_native::sealed::header::{Header, KeyId, StreamId, is_frame};
use switchcast_native::traced;

/// Events a second.
const RATE: u64 = 2_000;
/// How often a host is started anew.
const RESTARTS: u64 = 20;
/// A new stream is heard within this time.
const HEARD: Nanos = 2 * SECOND;

fn lossy_pair(world: &mut World) -> (NodeId, NodeId) {
    let (sender, receiver) = (world.sender(), world.receiver());
    world.network.ports[receiver].down.lose(&Traffic::ALL, 0.1);
    world.network.ports[receiver].up.lose(&Traffic::ALL, 0.1);
    (sender, receiver)
}

/// A sender is killed and started over and over, in the midst of sending.
fn restarted_senders(world: &mut World) {
    let (sender, receiver) = lossy_pair(world);
    let life = world.run.events / RESTARTS;
    let mut streams = vec![world.stream(sender)];
    for _ in 0..RESTARTS {
        world.load(sender, Load::steady(life, RATE));
        world.play_for(life * SECOND / RATE * 3 / 4);
        world.node(sender).stop();
        world.play_for(50 * MILLISECOND);
        world.start(sender);
        streams.push(world.stream(sender));
        world.play(0);
        let began = world.now();
        let was_heard = |world: &World| {
            world.books.page_of(world.hearer(receiver), &world.stream(sender)).is_some_and(|page| page.given > 0)
        };
        while !was_heard(world) {
            world.play_for(10 * MILLISECOND);
            assert!(world.now() - began < HEARD, "a new stream was not heard");
        }
    }
    world.play(10 * SECOND);
    for stream in &streams[..streams.len() - 1] {
        let page = world.books.page_of(world.hearer(receiver), stream).expect("it was heard");
        assert!(page.open_from.is_some(), "nothing told that the stream's end is not known");
    }
}

#[test]
fn the_tails_of_senders_that_are_killed_are_reported() {
    hold("sender killed 20 times, 10% lost", SMALL, restarted_senders, |_, _| ());
}

#[test]
#[ignore = "full size, for make soak"]
fn the_tails_of_senders_that_are_killed_are_reported_full() {
    hold("sender killed 20 times, 10% lost", FULL, restarted_senders, |_, _| ());
}

/// A sender that ends in peace leaves nothing open.
fn ended(world: &mut World) {
    let (sender, receiver) = lossy_pair(world);
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(0);
    world.end(sender);
    world.play_for(3 * SECOND);
    world.node(sender).stop();
    world.start(sender);
    world.load(sender, Load::steady(100, RATE));
    world.play(10 * SECOND);
    assert!(world.books.pages().all(|(_, page)| page.open_from.is_none()), "an end that was told is held for unknown");
    assert!(
        world.books.pages().count() == 2
            && world.books.page_of(world.hearer(receiver), &world.stream(sender)).is_some()
    );
}

#[test]
fn a_sender_that_ends_in_peace_is_heard_to_its_end() {
    hold_and_lose("sender ends, 10% lost", SMALL, ended, whole);
}

/// A receiver is killed and started over and over.
fn restarted_receivers(world: &mut World) {
    let (sender, receiver) = lossy_pair(world);
    let life = world.run.events / RESTARTS;
    for _ in 0..RESTARTS {
        world.load(sender, Load::steady(life, RATE));
        world.play_for(life * SECOND / RATE / 4);
        world.node(receiver).stop();
        world.play_for(life * SECOND / RATE / 4);
        world.start(receiver);
        let began = world.now();
        let stream = world.stream(sender);
        while world.books.page_of(world.hearer(receiver), &stream).is_none_or(|page| page.given == 0) {
            world.play_for(10 * MILLISECOND);
            assert!(world.now() - began < HEARD, "the stream was not heard by the receiver that started anew");
        }
        world.play(0);
    }
    world.play(5 * SECOND);
}

fn whole(_: &World, report: &Report) {
    report.is_whole();
}

#[test]
fn a_receiver_that_starts_anew_takes_the_stream_up() {
    hold("receiver killed 20 times, 10% lost", Size { events: 20_000, ..SMALL }, restarted_receivers, whole);
}

#[test]
#[ignore = "full size, for make soak"]
fn a_receiver_that_starts_anew_takes_the_stream_up_full() {
    hold("receiver killed 20 times, 10% lost", FULL, restarted_receivers, whole);
}

/// How many events a receiver was given, or told to be missing.
fn told(world: &World, hearer: Hearer, stream: &StreamId) -> u64 {
    world.books.page_of(hearer, stream).map_or(0, |page| page.given + page.in_gaps)
}

/// A receiver's cable is cut for a while, again and again, under a load.
fn partitions(times: u64, cut: Nanos) -> impl Fn(&mut World) {
    move |world| {
        let (sender, receiver) = lossy_pair(world);
        for _ in 0..times {
            world.load(sender, Load::steady((cut + 3 * SECOND) * RATE / SECOND, RATE));
            world.play_for(SECOND);
            let port = &mut world.network.ports[receiver];
            (port.up.cut, port.down.cut) = (true, true);
            world.play_for(cut);
            let port = &mut world.network.ports[receiver];
            (port.up.cut, port.down.cut) = (false, false);
            let (hearer, stream) = (world.hearer(receiver), world.stream(sender));
            let (given, sent) = (told(world, hearer, &stream), world.books.events(&stream, 1));
            let back = world.now();
            while told(world, hearer, &stream) == given {
                world.play_for(10 * MILLISECOND);
                assert!(world.now() - back < HEARD, "nothing was given after the cable was joined again");
            }
            while told(world, hearer, &stream) < sent {
                world.play_for(10 * MILLISECOND);
                assert!(world.now() - back < HEARD + cut / 2, "what was missed takes as long as it took to miss it");
            }
            world.play(0);
        }
        world.play(10 * SECOND);
    }
}

/// What was known to be missing when the cable was cut for long is lost, and no more.
fn nearly_whole(_: &World, report: &Report) {
    assert!(report.in_gaps < report.sent / 100 && report.repaired > 0, "{report:?}");
}

#[test]
fn a_cut_cable_costs_nothing_that_the_sender_still_keeps() {
    hold_and_lose("cut for 300 ms, 2 times, 10% lost", SMALL, partitions(2, 300 * MILLISECOND), whole);
    hold_and_lose("cut for 8 s, 10% lost", SMALL, partitions(1, 8 * SECOND), nearly_whole);
}

#[test]
#[ignore = "full size, for make soak"]
fn a_cut_cable_costs_nothing_that_the_sender_still_keeps_full() {
    hold_and_lose("cut for 300 ms, 20 times, 10% lost", FULL, partitions(20, 300 * MILLISECOND), whole);
    hold_and_lose("cut for 3 s, 20 times, 10% lost", FULL, partitions(20, 3 * SECOND), whole);
    hold_and_lose("cut for 20 s, 5 times, 10% lost", FULL, partitions(5, 20 * SECOND), nearly_whole);
    hold("cut for 60 s, 3 times, 10% lost", FULL, partitions(3, 60 * SECOND), |_, report| assert!(report.in_gaps > 0));
}

/// Three senders and two receivers move from key 1 to key 2 under a load, one after the other, as a rotation goes: first
/// all can receive under it, then they send with it, and when nothing older is kept by anyone the old one goes.
fn rotation(world: &mut World) {
    let senders = [world.sender(), world.sender(), world.sender()];
    let receivers = [world.receiver(), world.receiver()];
    let nodes: Vec<NodeId> = senders.into_iter().chain(receivers).collect();
    for node in receivers {
        world.network.ports[node].down.lose(&Traffic::ALL, 0.1);
        world.network.ports[node].up.lose(&Traffic::ALL, 0.1);
    }
    for node in senders {
        world.load(node, Load::steady(world.run.events / 3, RATE));
    }
    let time = world.run.events / 3 * SECOND / RATE;
    let mut step = |keys: &'static [u8], at: Nanos| {
        for (place, node) in nodes.iter().copied().enumerate() {
            let apart = place as Nanos * (time / 40);
            world.after(at + apart, move |world| world.node(node).rekey(ring(keys)));
        }
    };
    step(&[1, 2], time / 8);
    step(&[2, 1], time / 3);
    step(&[2], time + 2 * SECOND);
    world.play(3 * SECOND);
    for node in senders {
        world.load(node, Load::steady(500, RATE));
    }
    world.play(3 * SECOND);
}

#[test]
fn keys_change_under_load_and_nothing_is_lost() {
    hold_and_lose("keys rotated, 3 senders, 10% lost", SMALL, rotation, whole);
}

#[test]
#[ignore = "full size, for make soak"]
fn keys_change_under_load_and_nothing_is_lost_full() {
    hold_and_lose("keys rotated, 3 senders, 10% lost", FULL, rotation, whole);
}

/// What was sealed, or what has a MAC, under a nonce.
type Sealed = HashMap<(KeyId, StreamId, Nonce), u64>;

/// A frame's, or the sequence that is a traced datagram's: they are under different subkeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Nonce {
    Frame([u8; 12]),
    Traced(u64),
}

/// Read every datagram on the wire: under one subkey no nonce may stand over two different contents.
fn watch_nonces(world: &mut World) -> Rc<RefCell<Sealed>> {
    let sealed = Rc::<RefCell<Sealed>>::default();
    let seen = Rc::clone(&sealed);
    world.network.taps.push(Box::new(move |_, packet: &Packet| {
        let (key, stream, nonce, content) = if is_frame(&packet.bytes) {
            let (header, rest) = Header::read(&packet.bytes).expect("a session's own frame can be read");
            (header.key, header.stream, Nonce::Frame(header.nonce()), [&header.associated()[..], rest].concat())
        } else {
            let text = frame::text_of(&packet.bytes).expect("a session's own datagram can be read");
            let stamp = traced::read(text).expect("its stamp too").expect("it has one");
            let Some((key, _)) = stamp.proof else { return };
            (key, stamp.stream, Nonce::Traced(stamp.sequence), text.to_vec())
        };
        let content = crate::simnet::books::digest(&content);
        let before = seen.borrow_mut().insert((key, stream, nonce), content);
        assert!(before.is_none_or(|before| before == content), "a nonce stands over two contents: {nonce:?}");
    }));
    sealed
}

/// A hundred starts of a sender, with repairs. The streams come from the system's random numbers, as they do in use.
fn many_starts(world: &mut World) {
    let sender = world.sender_with(|_| ());
    let receiver = world.receiver();
    world.network.ports[receiver].down.lose(&[Traffic::Data], 0.1);
    world.node(sender).unseeded = true;
    let sealed = watch_nonces(world);
    for _ in 0..100 {
        world.start(sender);
        world.load(sender, Load::steady(world.run.events / 100, RATE));
        world.play(30 * MILLISECOND);
    }
    world.play(10 * SECOND);
    assert!(sealed.borrow().len() as u64 > world.run.events / 20, "hardly anything was sealed: nothing was tried");
}

#[test]
fn no_nonce_is_used_twice_in_a_hundred_starts() {
    hold("100 starts, every nonce read", SMALL, many_starts, |_, _| ());
}

#[test]
#[ignore = "full size, for make soak"]
fn no_nonce_is_used_twice_in_a_hundred_starts_full() {
    hold("100 starts, every nonce read", FULL, many_starts, |_, _| ());
}
