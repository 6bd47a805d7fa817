//! Losses that come together, lost tails, overtaking, copies, bit flips, and more loss than can be repaired.

use crate::simnet::asking::Asking;
use crate::simnet::link::Bursts;
use crate::simnet::load::Load;
use crate::simnet::network::NodeId;
use crate::simnet::packet::{Packet, Traffic};
use crate::simnet::trial::{FULL, Report, SMALL, Size, hold, hold_and_lose};
use crate::simnet::world::World;
use switchcast_native::reliable::{MILLISECOND, SECOND};

/// Events a second.
const RATE: u64 = 5_000;

fn pair(world: &mut World) -> (NodeId, NodeId) {
    (world.sender(), world.receiver())
}

/// Lose what `is_lost` says on the way to a receiver.
fn script(world: &mut World, receiver: NodeId, is_lost: impl FnMut(&Packet) -> bool + 'static) {
    world.network.ports[receiver].down.script = Some(Box::new(is_lost));
}

fn bursts(world: &mut World) {
    let (sender, receiver) = pair(world);
    world.network.ports[receiver].down.bursts = Some(Bursts { probability: 0.000_3, length: 50..=500 });
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(0);
    // With nothing but beacons on the cable a burst would last for minutes.
    world.network.ports[receiver].down.bursts = None;
    world.play(5 * SECOND);
}

fn whole(_: &World, report: &Report) {
    report.is_whole();
}

#[test]
fn bursts_of_50_to_500_are_repaired() {
    hold_and_lose("bursts of 50 to 500 lost", SMALL, bursts, whole);
}

#[test]
#[ignore = "full size, for make soak"]
fn bursts_of_50_to_500_are_repaired_full() {
    hold_and_lose("bursts of 50 to 500 lost", FULL, bursts, whole);
}

/// A hundred single events lost, each `apart` from the next.
fn holes(apart: u64) -> impl Fn(&mut World) {
    move |world| {
        let (sender, receiver) = pair(world);
        script(world, receiver, move |packet| {
            let hole = packet.label.is_some_and(|label| label.sequence % apart == 0 && label.sequence <= 100 * apart);
            packet.traffic == Traffic::Data && hole
        });
        world.load(sender, Load { events: 101 * apart, per_second: RATE, at_once: 10 });
        world.play(5 * SECOND);
    }
}

fn at_most_200_requests(_: &World, report: &Report) {
    report.is_whole();
    assert_eq!(report.repaired, 100);
    assert!(report.requests.datagrams <= 200, "{} requests", report.requests.datagrams);
}

#[test]
fn a_hundred_holes_cost_at_most_two_hundred_requests() {
    for apart in [2, 10, 100] {
        hold_and_lose(&format!("100 holes, one in {apart}"), SMALL, holes(apart), at_most_200_requests);
    }
}

#[test]
#[ignore = "full size, for make soak"]
fn a_hundred_holes_cost_at_most_two_hundred_requests_full() {
    for apart in [2, 10, 100, 1_000] {
        let size = Size { events: 101 * apart, ..FULL };
        hold_and_lose(&format!("100 holes, one in {apart}"), size, holes(apart), at_most_200_requests);
    }
}

/// The last event is lost, and the three beacons after it.
fn lost_tail(world: &mut World) {
    let (sender, receiver) = pair(world);
    let (last, mut beacons) = (world.run.events, 0);
    let mut is_over = false;
    script(world, receiver, move |packet| {
        let is_last = packet.label.is_some_and(|label| label.sequence == last);
        match packet.traffic {
            Traffic::Data if is_last => {
                is_over = true;
                true
            }
            Traffic::Beacon if is_over => {
                beacons += 1;
                beacons <= 3
            }
            _ => false,
        }
    });
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(5 * SECOND);
}

#[test]
fn a_lost_end_and_three_lost_beacons_cost_at_most_a_second_and_a_half() {
    let size = Size { events: 1_000, ..FULL };
    hold_and_lose("last event and three beacons lost", size, lost_tail, |_, report| {
        report.is_whole();
        assert!((1..=1_500 * MILLISECOND).contains(&report.longest), "after {} ns", report.longest);
    });
}

/// One in five overtaken by up to 64, one in ten doubled, a bit flipped in one of twenty.
fn mess(world: &mut World) {
    let (sender, receiver) = pair(world);
    world.asking = Some(Asking::default());
    for node in [sender, receiver] {
        world.network.ports[node].down.set(&Traffic::ALL, |faults| {
            (faults.reorder, faults.reorder_by) = (0.2, 64);
            (faults.duplicate, faults.flip) = (0.1, 0.05);
        });
    }
    world.load(sender, Load::steady(world.run.events, RATE));
    world.play(5 * SECOND);
}

fn exact(world: &World, report: &Report) {
    report.is_whole();
    let asking = world.asking.as_ref().expect("it was watched");
    let (spurious, asked) = (asking.spurious, asking.asked() as u64);
    assert!(spurious * 100 < asked, "{spurious} of {asked} sequences that were asked for had not been lost");
}

#[test]
fn overtaken_doubled_and_flipped_datagrams_give_the_exact_stream() {
    // A shorter run would count little but what the receiver asks for before it knows how late things come.
    let size = Size { events: 15_000, ..SMALL };
    hold_and_lose("20% reordered, 10% doubled, 5% flipped", size, mess, exact);
}

#[test]
#[ignore = "full size, for make soak"]
fn overtaken_doubled_and_flipped_datagrams_give_the_exact_stream_full() {
    hold_and_lose("20% reordered, 10% doubled, 5% flipped", FULL, mess, exact);
}

/// Half of everything is lost for a minute, and the sender keeps next to nothing.
fn drought(seconds: u64) -> impl Fn(&mut World) {
    move |world| {
        let sender = world.sender_with(|settings| settings.keep_bytes = 64 * 1024);
        let receiver = world.receiver();
        let port = &mut world.network.ports[receiver];
        port.down.lose(&Traffic::ALL, 0.5);
        port.up.lose(&Traffic::ALL, 0.5);
        world.load(sender, Load::steady(seconds * RATE, RATE));
        world.play_for(seconds * SECOND);
        world.network.ports[receiver].down.lose(&Traffic::ALL, 0.0);
        world.network.ports[receiver].up.lose(&Traffic::ALL, 0.0);
        world.load(sender, Load::steady(RATE, RATE));
        world.play(10 * SECOND);
    }
}

/// That every lost one is in a gap record is what the books hold every run to.
fn told(_: &World, report: &Report) {
    assert!(report.in_gaps > 0 && report.given > report.sent / 3, "{report:?}");
}

#[test]
fn what_a_small_buffer_does_not_keep_is_in_gap_records() {
    hold("half lost, 64 KiB kept", SMALL, drought(2), told);
}

#[test]
#[ignore = "full size, for make soak"]
fn what_a_small_buffer_does_not_keep_is_in_gap_records_full() {
    hold("half lost for 60 s, 64 KiB kept", FULL, drought(60), told);
}
