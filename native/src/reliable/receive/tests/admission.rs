//! How a stream comes to be followed, and what does not.

use super::*;
use crate::reliable::admission::PROOF;
use crate::reliable::followed::GRACE;

/// The hello's answer, if the session has said one.
fn answer(bench: &mut Bench, sender: &mut Sender, next: u64, oldest: u64) -> Arc<[u8]> {
    let (_, hello, receiver) = bench.hellos().pop().expect("a hello");
    sender.welcome(&hello, receiver, next, oldest, bench.now)
}

#[test]
fn a_stream_is_kept_aside_until_it_answers_a_challenge() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.hear_from(&sender.event(500), address(3));
    bench.pass(2 * MILLISECOND);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.counter("streams_aside_now"), 1);
    let (to, hello, _) = bench.hellos().remove(0);
    assert_eq!((to, hello.stream), (address(3), sender.stream));
    bench.hear_all(sender.events(501..504));
    bench.pass(20 * MILLISECOND);
    let welcome = answer(&mut bench, &mut sender, 504, 480);
    bench.hear_from(&welcome, address(9));
    assert_eq!(bench.take(), events(500..504));
    let row = bench.row(&sender);
    assert_eq!((row.first, row.admitted.word(), row.address), (500, "welcome", Some(address(9))));
    bench.pass(100 * MILLISECOND);
    assert_eq!(bench.asked(), [], "what was sent before we listened is nothing to us");
    assert_eq!(bench.hellos(), []);
}

#[test]
fn hellos_are_repeated_ever_more_slowly_and_never_outweigh_what_came() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    let frames: Vec<_> = (1..=40).flat_map(|sequence| sender.frames(sequence, &[b'x'; 1_000], 0)).collect();
    bench.hear_all(&frames);
    bench.pass(SECOND);
    assert_eq!(bench.hellos().len(), 7, "at 0, 20, 60, 140, 300, 550 and 800 ms");
    let mut lonely = Sender::new(2).old();
    let heard = lonely.event(1);
    bench.hear_from(&heard, address(6));
    bench.pass(4 * SECOND);
    let sent = bench.hellos().iter().filter(|(to, ..)| *to == address(6)).count() * 224;
    assert!((224..=3 * heard.len()).contains(&sent), "{sent} bytes for {}", heard.len());
}

#[test]
fn a_fresh_beacon_admits_a_stream_and_the_first_events_of_a_young_one_are_asked_for() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.pass(50 * MILLISECOND);
    bench.hear_all(sender.events(4..6));
    bench.hear(&sender.beacon(6, 1, bench.now));
    assert_eq!(bench.take(), []);
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [1..4]);
    (1..4).for_each(|sequence| bench.hear(&sender.repair(sequence)));
    assert_eq!(bench.take(), events(1..6));
    assert_eq!(bench.row(&sender).admitted.word(), "beacon");
}

#[test]
fn what_a_young_stream_does_not_keep_any_more_is_told_to_be_missing() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.pass(50 * MILLISECOND);
    bench.hear(&sender.event(4));
    bench.hear(&sender.beacon(5, 3, bench.now));
    bench.pass(60 * MILLISECOND);
    assert_eq!(bench.take(), [Got::Gap(1..3, Lost::Expired)]);
    bench.hear(&sender.repair(3));
    assert_eq!(bench.take(), events(3..5));
}

#[test]
fn a_beacon_alone_begins_with_what_comes_next() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.hear(&sender.beacon(77, 1, bench.now));
    bench.pass(100 * MILLISECOND);
    assert_eq!(bench.asked(), []);
    bench.hear(&sender.event(77));
    assert_eq!(bench.take(), events(77..78));
}

#[test]
fn a_welcome_admits_only_who_answers_this_receiver_and_this_challenge() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.hear(&sender.event(5));
    bench.pass(3 * MILLISECOND);
    let (_, hello, receiver) = bench.hellos().remove(0);
    let other = Hello { challenge: [1; 16], ..hello.clone() };
    let zeros = Hello { challenge: [0; 16], ..hello.clone() };
    bench.hear(&sender.welcome(&other, receiver, 6, 1, bench.now));
    bench.hear(&sender.welcome(&zeros, receiver, 6, 1, bench.now));
    bench.hear(&sender.welcome(&hello, [3; 16], 6, 1, bench.now));
    assert_eq!(bench.counter("streams_now"), 0);
    bench.hear(&sender.welcome(&hello, receiver, 6, 1, bench.now));
    assert_eq!(bench.take(), events(5..6));
}

#[test]
fn a_recording_of_a_whole_stream_gives_nothing_and_is_stale() {
    let mut sender = Sender::new(1).old();
    let mut recording: Vec<_> = (0..50).map(|turn| sender.beacon(turn * 4 + 1, 1, START)).collect();
    recording.extend(sender.events(1..201));
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.pass(40 * SECOND);
    for frame in &recording {
        bench.hear(frame);
        bench.pass(10 * MILLISECOND);
    }
    bench.pass(PROOF);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.rejected(Reject::Stale), 250);
    assert_eq!(["streams_now", "streams_aside_now", "bytes_aside_now"].map(|name| bench.counter(name)), [0; 3]);
}

#[test]
fn a_recording_played_to_who_followed_the_stream_is_replayed() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let mut recording = vec![sender.beacon(51, 1, bench.now)];
    recording.extend(sender.events(1..51));
    bench.hear_all(&recording);
    assert_eq!(bench.take(), events(1..51));
    bench.hear_all(&recording);
    assert_eq!((bench.take(), bench.rejected(Reject::Replayed)), (vec![], 51));
}

#[test]
fn frames_from_before_what_the_sender_keeps_are_not_a_beginning() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.hear_all([sender.event(3), sender.event(90), sender.event(91)]);
    bench.pass(3 * MILLISECOND);
    let welcome = answer(&mut bench, &mut sender, 92, 80);
    bench.hear(&welcome);
    assert_eq!(bench.take(), events(90..92), "3 was recorded long ago and played to us");
    assert_eq!(bench.rejected(Reject::Stale), 1);
}

#[test]
fn a_stream_that_was_given_up_too_soon_goes_on_where_it_was_left() {
    let mut one = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut one);
    bench.hear_all(one.events(1..4));
    let mut other = Sender { began: bench.now, ..Sender::new(2) };
    bench.hear(&other.beacon(1, 1, bench.now));
    bench.pass(GRACE + MILLISECOND);
    assert_eq!(bench.take(), [events(1..4), vec![Got::Gap(4..u64::MAX, Lost::Ended)]].concat());
    bench.hear_all(one.events(1..4));
    bench.hear(&one.beacon(6, 1, bench.now));
    assert_eq!(bench.take(), [], "nothing twice");
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [4..6]);
    bench.hear_all([one.repair(4), one.repair(5)]);
    assert_eq!(bench.take(), events(4..6));
}

#[test]
fn a_cookie_is_renewed_before_it_is_too_old_and_when_the_sender_says_so() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    for _ in 0..62 {
        bench.pass(500 * MILLISECOND);
        bench.hear(&sender.beacon(1, 1, bench.now));
    }
    let (_, hello, receiver) = bench.hellos().remove(0);
    let beacon = sender.says(1, 1, bench.now);
    let welcome = Welcome { receiver, challenge: hello.challenge, cookie: [8; 16], beacon };
    bench.hear(&sender.control(Kind::Welcome, &welcome.bytes()));
    bench.hear(&sender.event(2));
    bench.pass(10 * MILLISECOND);
    assert_eq!(bench.requests()[0].1.cookie, [8; 16]);
    let welcome = Welcome { challenge: [0; 16], cookie: [7; 16], ..welcome };
    bench.hear(&sender.control(Kind::Welcome, &welcome.bytes()));
    bench.pass(50 * MILLISECOND);
    assert_eq!(bench.requests().pop().unwrap().1.cookie, [7; 16]);
}

#[test]
fn a_sender_that_moves_is_asked_where_it_answers() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    for _ in 0..62 {
        bench.pass(500 * MILLISECOND);
        bench.hear_from(&sender.beacon(1, 1, bench.now), address(2));
    }
    assert_eq!(bench.row(&sender).address, Some(address(1)), "it has not answered from there yet");
    let (to, hello, receiver) = bench.hellos().remove(0);
    assert_eq!(to, address(2));
    bench.hear_from(&sender.welcome(&hello, receiver, 1, 1, bench.now), address(2));
    assert_eq!(bench.row(&sender).address, Some(address(2)));
}

#[test]
fn a_welcome_that_overtakes_the_stream_makes_nothing_missing() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.hear(&sender.event(10));
    bench.pass(3 * MILLISECOND);
    let welcome = answer(&mut bench, &mut sender, 5_000, 1);
    bench.hear(&welcome);
    bench.pass(100 * MILLISECOND);
    assert_eq!(bench.asked(), [], "all of that may wait in the group's socket");
    bench.hear(&sender.beacon(12, 1, bench.now));
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [11..12]);
}
