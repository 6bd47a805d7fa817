//! A stream that is followed: order, loss, repair, refusals, silence, ends.

use super::*;
use crate::reliable::followed::{GRACE, LATENESS, SILENCE};

#[test]
fn what_comes_in_order_is_given_at_once() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    for sequence in 1..=100 {
        bench.hear(&sender.event(sequence));
        assert_eq!(bench.take(), events(sequence..sequence + 1));
    }
    let row = bench.row(&sender);
    assert_eq!((row.sender.as_slice(), row.first, row.next, row.delivered), (&b"fs1"[..], 1, 101, 100));
    assert_eq!(row.address, Some(address(1)));
    bench.pass(100 * MILLISECOND);
    assert_eq!(bench.asked(), []);
}

#[test]
fn what_comes_out_of_order_is_given_in_order_and_never_twice() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    for sequence in [2, 3, 1, 2, 1, 5, 4, 4] {
        bench.hear(&sender.event(sequence));
    }
    assert_eq!(bench.take(), events(1..6));
    assert_eq!(bench.rejected(Reject::Replayed), 3);
    assert_eq!(bench.row(&sender).duplicates, 3);
}

#[test]
fn holes_are_asked_for_together_until_they_close() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    for sequence in [1, 3, 4, 8] {
        bench.hear(&sender.event(sequence));
    }
    assert_eq!(bench.take(), events(1..2));
    assert_eq!(bench.row(&sender).waiting, 3);
    bench.pass(2 * MILLISECOND - 1);
    assert_eq!(bench.asked(), [], "it may only be late");
    bench.pass(4 * MILLISECOND);
    let requests = bench.requests();
    assert_eq!(requests.len(), 1);
    let (to, request) = &requests[0];
    assert_eq!((*to, request.stream, request.cookie), (address(1), sender.stream, [9; 16]));
    assert_eq!(request.ranges, [2..3, 5..8]);
    bench.hear(&sender.repair(2));
    assert_eq!(bench.take(), events(2..5));
    bench.pass(24 * MILLISECOND);
    assert_eq!(bench.asked(), [5..8], "asked again");
    bench.hear_all([sender.repair(7), sender.repair(6), sender.repair(5)]);
    assert_eq!(bench.take(), events(5..9));
    bench.pass(SECOND);
    assert_eq!(bench.asked(), []);
    let row = bench.row(&sender);
    assert_eq!((row.requests, row.repaired, row.spurious, row.waiting), (2, 4, 0, 0));
}

#[test]
fn an_original_that_comes_after_it_was_asked_for_is_counted_and_waited_for_longer() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear_all([sender.event(1), sender.event(3)]);
    bench.pass(10 * MILLISECOND);
    assert_eq!(bench.asked(), [2..3]);
    bench.hear(&sender.event(2));
    assert_eq!(bench.row(&sender).spurious, 1);
    bench.hear(&sender.event(5));
    bench.pass(9 * MILLISECOND);
    assert_eq!(bench.asked(), [], "the network reorders by 10 ms");
}

#[test]
fn a_lost_tail_is_noticed_by_a_beacon() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear(&sender.event(1));
    let beacon = sender.beacon(4, 1, bench.now);
    bench.hear(&beacon);
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [2..4]);
    bench.hear_all([sender.repair(3), sender.repair(2)]);
    assert_eq!(bench.take(), events(1..4));
}

#[test]
fn an_event_in_fragments_is_put_together_and_asked_for_by_what_is_missing() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let mut long = b"Event-Name: API\nContent-Length: 40000\n\n".to_vec();
    let mut random = Randomness::seeded(3);
    long.extend(std::iter::repeat_with(|| random.below(256) as u8).take(40_000));
    let frames = sender.frames(1, &long, 0);
    assert!(frames.len() > 30);
    for (place, frame) in frames.iter().enumerate().filter(|(place, _)| ![3, 11].contains(place)) {
        bench.hear(frame);
        if place == 5 {
            bench.hear(frame);
        }
    }
    bench.hear(&sender.event(2));
    bench.pass(6 * MILLISECOND);
    let (_, request) = bench.requests().remove(0);
    assert_eq!(request.ranges, []);
    assert_eq!(request.partials.len(), 1);
    assert_eq!((request.partials[0].sequence, &request.partials[0].missing[..]), (1, &[1 << 3, 1 << 3][..]));
    bench.hear_all([&frames[11], &frames[3]]);
    let expected = [vec![Got::Event(1, long, Trust::Member)], events(2..3)].concat();
    assert_eq!(bench.take(), expected);
    bench.hear_all(&frames);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.counter("bytes_waiting_now"), 0);
}

#[test]
fn what_the_sender_refuses_becomes_a_gap() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.pass(2 * MILLISECOND);
    bench.hear(&sender.beacon(1, 1, bench.now));
    bench.pass(5 * MILLISECOND);
    let (_, _, receiver) = bench.hellos().remove(0);
    bench.hear_all([sender.event(1), sender.event(4), sender.event(7), sender.event(9)]);
    bench.take();
    bench.hear(&sender.refusal([0; 16], 9, RefusalReason::Expired));
    assert_eq!(bench.take(), [], "it was for another receiver");
    bench.hear(&sender.refusal(receiver, 6, RefusalReason::Expired));
    assert_eq!(
        bench.take(),
        [vec![Got::Gap(2..4, Lost::Expired)], events(4..5), vec![Got::Gap(5..6, Lost::Expired)]].concat()
    );
    bench.hear(&sender.refusal(receiver, 9, RefusalReason::Lagging));
    assert_eq!(
        bench.take(),
        [vec![Got::Gap(6..7, Lost::Lagging)], events(7..8), vec![Got::Gap(8..9, Lost::Lagging)], events(9..10)]
            .concat()
    );
    bench.hear(&sender.repair(2));
    assert_eq!(bench.take(), [], "what was told to be missing stays so");
}

#[test]
fn what_the_sender_does_not_keep_any_more_becomes_a_gap_when_it_cannot_be_on_its_way() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear_all([sender.event(1), sender.event(5)]);
    bench.take();
    bench.hear(&sender.beacon(6, 4, bench.now));
    bench.pass(LATENESS - MILLISECOND);
    assert_eq!(bench.take(), []);
    bench.pass(2 * MILLISECOND);
    assert_eq!(bench.take(), [Got::Gap(2..4, Lost::Expired)]);
    bench.hear(&sender.repair(4));
    assert_eq!(bench.take(), events(4..6));
}

#[test]
fn without_repair_nothing_is_asked_for_and_what_is_not_only_late_becomes_a_gap() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::with(|settings| settings.repair = false, &[1]);
    bench.pass(2 * MILLISECOND);
    bench.hear(&sender.beacon(1, 1, bench.now));
    bench.hear_all([sender.event(1), sender.event(3), sender.event(2), sender.event(5)]);
    bench.pass(LATENESS - MILLISECOND);
    assert_eq!(bench.take(), events(1..4));
    bench.pass(LATENESS + 2 * MILLISECOND);
    assert_eq!(bench.take(), [vec![Got::Gap(4..5, Lost::Unrepaired)], events(5..6)].concat());
    assert_eq!(bench.asked(), []);
}

#[test]
fn a_silent_sender_gives_its_holes_up_and_goes_on_when_it_is_back() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear_all([sender.event(1), sender.event(3)]);
    bench.take();
    bench.pass(SILENCE - 10 * MILLISECOND);
    assert_eq!(bench.take(), []);
    assert!(!bench.row(&sender).silent);
    let requests = bench.requests().len();
    assert!((20..60).contains(&requests), "{requests} requests to a sender that is not heard");
    bench.pass(20 * MILLISECOND);
    assert_eq!(bench.take(), [vec![Got::Gap(2..3, Lost::Silent)], events(3..4)].concat());
    assert!(bench.row(&sender).silent);
    bench.said.clear();
    bench.pass(600 * SECOND);
    assert_eq!(bench.said, [], "nobody is asked who is not there");
    // The link is back: what was sent meanwhile is asked for, and nothing is given twice.
    bench.hear_all(sender.events(1..4));
    bench.hear(&sender.beacon(8, 2, bench.now));
    assert!(!bench.row(&sender).silent);
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [4..8]);
    (4..8).for_each(|sequence| bench.hear(&sender.repair(sequence)));
    assert_eq!(bench.take(), events(4..8));
}

#[test]
fn a_sender_that_starts_anew_ends_its_old_stream_with_its_holes_and_an_open_end() {
    let mut old = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut old);
    bench.hear_all([old.event(1), old.event(3)]);
    bench.take();
    bench.pass(500 * MILLISECOND);
    let mut new = Sender { began: bench.now, ..Sender::new(2) };
    bench.hear(&new.beacon(1, 1, bench.now));
    bench.hear(&new.event(1));
    assert_eq!(bench.take(), events(1..2), "the new stream does not wait for the old one");
    bench.pass(GRACE);
    let told = [vec![Got::Gap(2..3, Lost::Ended)], events(3..4), vec![Got::Gap(4..u64::MAX, Lost::Ended)]].concat();
    assert_eq!(bench.take(), told);
    assert_eq!(bench.counter("streams_now"), 1);
    assert_eq!(bench.row(&old).next, 4);
    bench.hear(&new.event(2));
    assert_eq!(bench.take(), events(2..3));
}

#[test]
fn two_senders_of_one_name_that_are_both_alive_are_both_followed() {
    let (mut one, mut other) = (Sender::new(1), Sender { began: START + 2 * MILLISECOND, ..Sender::new(2) });
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.pass(10 * MILLISECOND);
    for turn in 1..20 {
        bench.hear_all([one.beacon(turn, 1, bench.now), other.beacon(turn, 1, bench.now)]);
        bench.hear_all([one.event(turn), other.event(turn)]);
        assert_eq!(bench.take(), [events(turn..turn + 1), events(turn..turn + 1)].concat());
        bench.pass(500 * MILLISECOND);
    }
    assert_eq!(bench.counter("streams_now"), 2);
}

#[test]
fn a_stream_that_ends_in_order_has_no_open_end_and_is_not_taken_up_again() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear_all([sender.event(1), sender.event(3)]);
    bench.hear(&sender.last_beacon(4, bench.now));
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [2..3]);
    bench.hear(&sender.repair(2));
    bench.pass(MILLISECOND);
    assert_eq!(bench.take(), events(1..4));
    assert_eq!(bench.counter("streams_now"), 0);
    assert!(bench.row(&sender).ended);
    bench.hear(&sender.beacon(4, 1, bench.now));
    bench.hear_all(sender.events(1..5));
    bench.pass(SECOND);
    assert_eq!(bench.take(), []);
    assert_eq!((bench.rejected(Reject::Replayed), bench.counter("not_for_us")), (4, 1));
}

#[test]
fn a_sender_that_ends_and_is_gone_before_it_has_repaired_leaves_a_gap_with_its_end() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear(&sender.event(1));
    bench.hear(&sender.last_beacon(4, bench.now));
    bench.pass(SILENCE + MILLISECOND);
    assert_eq!(bench.take(), [events(1..2), vec![Got::Gap(2..4, Lost::Ended)]].concat());
    assert_eq!(bench.counter("streams_now"), 0);
}

#[test]
fn what_waits_when_listening_ends_is_given_with_its_gaps() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear_all([sender.event(1), sender.event(3)]);
    bench.take();
    let (now, got) = (bench.now, &mut bench.got);
    bench.session.end(now, &mut |given| got.push(kept(given)));
    assert_eq!(bench.take(), [vec![Got::Gap(2..3, Lost::Unrepaired)], events(3..4)].concat());
}

#[test]
fn keys_change_without_a_loss() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.keys.push(key(2));
    bench.hear(&sender.event(1));
    bench.session.rekey(ring(&[1, 2]));
    bench.hear(&sender.event(2));
    let mut switched = Sender::under(key(2), sender.stream, b"fs1", Cipher::Aes256Gcm);
    switched.controls = sender.controls;
    bench.hear_all([switched.event(3), switched.event(5)]);
    bench.session.rekey(ring(&[2, 1]));
    bench.hear(&sender.repair(4));
    bench.session.rekey(ring(&[2]));
    bench.hear_all([switched.event(6), switched.event(8)]);
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [7..8], "and the request is under the new key");
    bench.hear(&sender.repair(7));
    assert_eq!(bench.rejected(Reject::UnknownKey), 1, "the old key is retired");
    bench.hear(&switched.repair(7));
    assert_eq!(bench.take(), events(1..9));
}

#[test]
fn what_a_member_sends_that_is_no_event_is_counted_in_its_place() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let broken = Counted { kind: Kind::Event, sequence: 2, dictionary: 1, packed: b"no Zstandard" };
    let unknown = Counted { kind: Kind::Event, sequence: 3, dictionary: 77, packed: b"?" };
    let frames: Vec<_> = [broken, unknown]
        .into_iter()
        .flat_map(|counted| sender.sealer.frames(counted, 0, None).collect::<Vec<_>>())
        .collect();
    bench.hear_all([sender.event(1)]);
    bench.hear_all(frames);
    bench.hear_all([sender.event(4)]);
    assert_eq!(bench.take(), [events(1..2), events(4..5)].concat());
    assert_eq!(bench.rejected(Reject::BadPayload), 2);
    assert_eq!(bench.row(&sender).rejected, 2);
}
