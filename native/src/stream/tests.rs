#![expect(clippy::single_range_in_vec_init, reason = "what is asked for is ranges, and often one")]

#[path = "../../../fuzz/properties/stream_model.rs"]
mod model;
mod reordering;
mod small_world;

use super::*;
use crate::reliable::{MILLISECOND, SECOND};
use crate::stream;
use proptest::prelude::*;

/// A window that begins with sequence 1, as large as they are by default.
fn window() -> Window<u64> {
    Window::new(1, Bounds::default(), MILLISECOND)
}

fn taken(window: &mut Window<u64>) -> Vec<Delivery<u64>> {
    std::iter::from_fn(|| window.take()).collect()
}

/// Put what is sent for the first time and counts as one byte.
fn put(window: &mut Window<u64>, sequence: u64, now: Nanos) -> Placed {
    window.put(sequence, sequence, 1, Sent::First, now)
}

fn repair(window: &mut Window<u64>, sequence: u64, now: Nanos) -> Placed {
    window.put(sequence, sequence, 1, Sent::Again, now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_window_does_what_its_model_does(first: u8, steps in prop::collection::vec(any::<[u8; model::STEP]>(), 1..100)) {
        model::run(&[&[first][..], steps.as_flattened()].concat());
    }

    #[test]
    fn a_window_at_the_end_of_the_numbers_does_what_its_model_does(
        steps in prop::collection::vec(any::<[u8; model::STEP]>(), 1..100),
    ) {
        model::run(&[&[0xFF][..], steps.as_flattened()].concat());
    }

    /// Whatever is lost, doubled and out of order: once everything came again, all was delivered, in order, once.
    #[test]
    fn repairs_make_a_stream_whole(arrivals in prop::collection::vec(1u64..200, 0..400)) {
        let mut window = window();
        let mut delivered = Vec::new();
        for sequence in arrivals {
            if window.pass(sequence) {
                delivered.push(Delivery::Item(sequence, sequence));
            } else {
                put(&mut window, sequence, 0);
                delivered.extend(taken(&mut window));
            }
        }
        window.sent_up_to(200, 0);
        for range in window.due(SECOND, 0) {
            for sequence in range {
                prop_assert_eq!(repair(&mut window, sequence, SECOND), Placed::Taken);
            }
        }
        delivered.extend(taken(&mut window));
        prop_assert_eq!(delivered, (1..200).map(|sequence| Delivery::Item(sequence, sequence)).collect::<Vec<_>>());
    }
}

#[test]
fn the_next_sequence_passes_and_nothing_is_stored() {
    let mut window = window();
    assert!((1..100_000).all(|sequence| window.pass(sequence)));
    assert!(!window.pass(99_999) && !window.pass(100_001));
    assert_eq!((window.next(), window.top(), window.next_due()), (100_000, 100_000, None));
    assert!(window.items.is_empty() && window.holes.is_empty() && window.lost.capacity() == 0);
}

#[test]
fn what_comes_after_a_hole_waits_for_it() {
    let mut window = window();
    assert!(window.pass(1));
    assert_eq!(put(&mut window, 3, 0), Placed::Taken);
    assert!(taken(&mut window).is_empty() && !window.pass(4) && !window.pass(2));
    assert_eq!(put(&mut window, 3, 0), Placed::Duplicate);
    assert_eq!(put(&mut window, 2, 0), Placed::Taken);
    assert_eq!(taken(&mut window), [Delivery::Item(2, 2), Delivery::Item(3, 3)]);
    assert_eq!(put(&mut window, 2, 0), Placed::TooOld);
    assert!(window.pass(4));
}

#[test]
fn a_lost_tail_is_known_from_a_beacon() {
    let mut window = window();
    assert!(window.pass(1) && window.sent_up_to(4, 0));
    assert_eq!(window.missing(), 2);
    assert_eq!(window.due(10 * MILLISECOND, 0), [2..4]);
    window.give_up(Lost::Silent);
    assert_eq!(taken(&mut window), [Delivery::Gap(2..4, Lost::Silent)]);
    assert!(window.pass(4));
}

#[test]
fn what_the_sender_forgot_is_a_gap_known_or_not() {
    let mut window = window();
    put(&mut window, 3, 0);
    put(&mut window, 6, 0);
    assert!(window.forget_below(5, Lost::Expired, 0));
    let gap = |range, lost| Delivery::Gap(range, lost);
    assert_eq!(taken(&mut window), [gap(1..3, Lost::Expired), Delivery::Item(3, 3), gap(4..5, Lost::Expired)]);
    assert!(window.forget_below(9, Lost::Lagging, 0));
    assert_eq!(taken(&mut window), [gap(5..6, Lost::Lagging), Delivery::Item(6, 6), gap(7..9, Lost::Lagging)]);
    assert_eq!(window.next(), 9);
}

#[test]
fn only_holes_that_are_old_enough_are_given_up() {
    let mut window = window();
    put(&mut window, 2, 0);
    put(&mut window, 4, 5 * MILLISECOND);
    window.give_up_older(5 * MILLISECOND, Lost::Unrepaired);
    assert_eq!(taken(&mut window), [Delivery::Gap(1..2, Lost::Unrepaired), Delivery::Item(2, 2)]);
    assert_eq!(window.missing(), 1);
}

#[test]
fn a_full_window_gives_up_its_oldest_hole_and_no_more() {
    let full = |bytes: usize, count: u64| {
        let mut window = window();
        for sequence in 2..2 + count {
            window.put(sequence, sequence, bytes, Sent::First, 0);
        }
        assert!(taken(&mut window).is_empty());
        assert_eq!(window.put(3 + count, 0, bytes, Sent::First, 0), Placed::Taken);
        let out = taken(&mut window);
        assert_eq!(out[0], Delivery::Gap(1..2, Lost::Overtaken));
        assert_eq!(out.len() as u64, 1 + count);
        assert_eq!((window.waiting(), window.waiting_bytes(), window.missing()), (1, bytes, 1));
    };
    full(1, limits::STREAM_ITEMS as u64);
    full(limits::STREAM_BYTES / 4, 4);
}

#[test]
fn one_item_larger_than_the_bound_waits_for_nothing() {
    let mut window = window();
    assert_eq!(window.put(5, 5, limits::STREAM_BYTES + 1, Sent::First, 0), Placed::Taken);
    assert_eq!(taken(&mut window), [Delivery::Gap(1..5, Lost::Overtaken), Delivery::Item(5, 5)]);
    assert_eq!((window.waiting(), window.waiting_bytes()), (0, 0));
}

#[test]
fn a_jump_costs_one_hole_however_far() {
    let mut window = window();
    assert_eq!(put(&mut window, limits::STREAM_REACH, 0), Placed::Taken);
    assert_eq!((window.holes.len(), window.missing()), (1, limits::STREAM_REACH - 1));
    assert_eq!(window.due(SECOND, 0), [1..limits::STREAM_REACH]);
    assert_eq!(put(&mut window, 1, 0), Placed::Taken);
    assert_eq!(taken(&mut window), [Delivery::Item(1, 1)]);
}

#[test]
fn what_is_out_of_reach_changes_nothing() {
    let mut window = window();
    for far in [limits::STREAM_REACH + 2, u64::MAX - 1, u64::MAX] {
        assert_eq!(put(&mut window, far, 0), Placed::OutOfReach);
        assert!(!window.sent_up_to(far, 0) && !window.forget_below(far, Lost::Expired, 0));
    }
    assert!(window.missing() == 0 && window.pass(1));
    let mut last = Window::new(u64::MAX - 1, Bounds::default(), 0);
    assert!(last.pass(u64::MAX - 1) && !last.pass(u64::MAX));
    assert_eq!(last.put(u64::MAX, 0, 1, Sent::First, 0), Placed::OutOfReach);
}

#[test]
fn beacons_that_creep_on_make_few_holes() {
    let mut window = window();
    for next in 2..50_000 {
        window.sent_up_to(next, next * MILLISECOND / 100);
    }
    // Half a second of them, a hundred in each millisecond, and nobody asked.
    assert!(window.holes.len() <= 500, "{}", window.holes.len());
    assert_eq!(window.due(SECOND, 0), [1..49_999]);
    assert_eq!(window.holes.len(), 1);
}

#[test]
fn a_hundred_holes_are_one_request() {
    let mut window = window();
    assert!((1..=100).all(|hole| put(&mut window, 2 * hole, 0) == Placed::Taken));
    assert!(window.due(2 * MILLISECOND, 0).is_empty(), "the jitter is not over");
    assert_eq!(window.due(3 * MILLISECOND, 0), (1..=100).map(|hole| 2 * hole - 1..2 * hole).collect::<Vec<_>>());
}

#[test]
fn more_holes_than_a_request_holds_are_asked_for_in_turn() {
    let mut window = window();
    let holes = 2 * ASKED as u64 + 1;
    assert!((1..=holes).all(|hole| put(&mut window, 2 * hole, 0) == Placed::Taken));
    let mut asked = Vec::new();
    let mut now = 0;
    for _ in 0..3 {
        now = window.next_due().unwrap();
        asked.push(window.due(now, 0).len() as u64);
    }
    assert_eq!(asked, [ASKED as u64, ASKED as u64, 1]);
    assert!(now < 10 * MILLISECOND);
}

/// The moments, in milliseconds, at which `window` asks until `end`.
fn moments(window: &mut Window<u64>, end: Nanos) -> Vec<u64> {
    let due = std::iter::from_fn(|| {
        let due = window.next_due().filter(|due| *due < end)?;
        (!window.due(due, 0).is_empty()).then_some(due / MILLISECOND)
    });
    due.collect()
}

#[test]
fn a_silent_sender_is_asked_ever_more_rarely_and_one_that_is_back_at_once() {
    let mut window = window();
    put(&mut window, 2, 0);
    assert_eq!(moments(&mut window, 1_200 * MILLISECOND), [3, 23, 46, 92, 184, 368, 618, 868, 1_118]);
    window.heard(1_200 * MILLISECOND);
    assert_eq!(window.next_due(), Some(1_200 * MILLISECOND));
    assert_eq!(window.due(1_200 * MILLISECOND, 0), [1..2]);
    assert_eq!(window.next_due(), Some(1_220 * MILLISECOND));
}

#[test]
fn a_sender_that_is_heard_is_asked_every_twenty_milliseconds() {
    let mut window = window();
    put(&mut window, 2, 0);
    for asked in 0..50 {
        let now = (3 + 20 * asked) * MILLISECOND;
        window.heard(now - MILLISECOND);
        assert_eq!(window.next_due(), Some(now));
        assert_eq!(window.due(now, 0), [1..2]);
    }
}

#[test]
fn a_sender_that_is_far_away_is_given_time_to_answer() {
    let mut window = window();
    put(&mut window, 4, 0);
    let now = window.next_due().unwrap();
    assert_eq!(window.due(now, 0), [1..4]);
    repair(&mut window, 1, now + 60 * MILLISECOND);
    assert!(window.due(now + 60 * MILLISECOND, 0).is_empty());
    assert_eq!(window.next_due(), Some(now + 120 * MILLISECOND));
}

#[test]
fn a_sender_that_repairs_a_lot_slowly_is_asked_as_often_as_before() {
    let mut window = window();
    put(&mut window, 101, 0);
    for round in 0..100 {
        let now = (3 + 20 * round) * MILLISECOND;
        assert_eq!(window.next_due(), Some(now));
        assert_eq!(window.due(now, 0), [1 + round..101]);
        repair(&mut window, 1 + round, now + MILLISECOND);
    }
}

#[test]
fn the_wait_grows_with_the_lateness_of_originals_and_shrinks_again() {
    let mut window = window();
    let wait = |window: &mut Window<u64>, now: Nanos| {
        let hole = window.next();
        put(window, hole + 1, now);
        let wait = window.next_due().unwrap() - now;
        repair(window, hole, now);
        taken(window);
        wait
    };
    assert_eq!(wait(&mut window, 0), 3 * MILLISECOND);
    let late = window.next();
    put(&mut window, late + 1, SECOND);
    put(&mut window, late, SECOND + 8 * MILLISECOND);
    taken(&mut window);
    assert_eq!(wait(&mut window, 2 * SECOND), 11 * MILLISECOND);
    let late = window.next();
    put(&mut window, late + 1, 3 * SECOND);
    put(&mut window, late, 4 * SECOND);
    taken(&mut window);
    assert_eq!(wait(&mut window, 5 * SECOND), 51 * MILLISECOND);
    let late = window.next();
    put(&mut window, late + 1, 100 * SECOND);
    put(&mut window, late, 100 * SECOND);
    taken(&mut window);
    assert_eq!(wait(&mut window, 101 * SECOND), 3 * MILLISECOND);
}

#[test]
fn an_original_that_comes_after_its_repair_teaches_as_well_but_once() {
    let mut window = window();
    put(&mut window, 2, 0);
    assert_eq!(window.due(3 * MILLISECOND, 0), [1..2]);
    repair(&mut window, 1, 4 * MILLISECOND);
    taken(&mut window);
    assert!(window.wants(1, Sent::First) && !window.wants(1, Sent::Again) && !window.wants(2, Sent::First));
    assert_eq!(put(&mut window, 1, 16 * MILLISECOND), Placed::TooOld);
    assert!(!window.wants(1, Sent::First) && window.spurious() == 1);
    put(&mut window, 4, 100 * MILLISECOND);
    assert_eq!(window.next_due(), Some(120 * MILLISECOND));
}
