//! Traced mode: events in stock datagrams, everything else in sealed frames.

use super::*;
use crate::limits::UNPROVEN_REACH;
use crate::reliable::followed::LATENESS;

/// What is given of a traced datagram: the sender's line is part of it.
fn plain(sequence: u64) -> Vec<u8> {
    format!("Event-Name: HEARTBEAT\nEvent-Sequence: {sequence}\nMulticast-Sender: fs1\n\n").into_bytes()
}

fn given(sequences: Range<u64>, trust: Trust) -> Vec<Got> {
    sequences.map(|sequence| Got::Event(sequence, plain(sequence), trust)).collect()
}

fn members(sequences: Range<u64>) -> Vec<Got> {
    given(sequences, Trust::Member)
}

fn repair(sender: &mut Sender, sequence: u64) -> Arc<[u8]> {
    sender.frames(sequence, &plain(sequence), FLAG_REPAIR).remove(0)
}

#[test]
fn proven_datagrams_are_given_without_their_stamp() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Traced, &mut sender);
    bench.hear_all((1..51).map(|sequence| sender.datagram(sequence, true)));
    assert_eq!(bench.take(), members(1..51));
}

#[test]
fn what_is_missing_comes_as_sealed_frames_and_once() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Traced, &mut sender);
    bench.hear_all([1, 4, 6].map(|sequence| sender.datagram(sequence, true)));
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [2..4, 5..6]);
    bench.hear_all([repair(&mut sender, 2), repair(&mut sender, 5), repair(&mut sender, 3), repair(&mut sender, 3)]);
    bench.hear_all([2, 3, 5, 6].map(|sequence| sender.datagram(sequence, true)));
    assert_eq!(bench.take(), members(1..7));
    assert_eq!(bench.row(&sender).repaired, 3);
    assert_eq!(bench.row(&sender).duplicates, 5);
}

#[test]
fn a_stream_of_datagrams_is_kept_aside_until_it_answers_a_challenge() {
    let mut sender = Sender::new(1).old();
    let mut bench = Bench::new(Mode::Traced, &[1]);
    bench.hear_all([700, 701, 703].map(|sequence| sender.datagram(sequence, true)));
    bench.pass(3 * MILLISECOND);
    assert_eq!(bench.take(), []);
    let (to, hello, receiver) = bench.hellos().remove(0);
    assert_eq!(to, address(1));
    bench.hear(&sender.welcome(&hello, receiver, 704, 600, bench.now));
    assert_eq!(bench.take(), members(700..702));
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [702..703]);
}

#[test]
fn a_recording_of_datagrams_is_stale_and_replayed() {
    let sender = Sender::new(1).old();
    let recording: Vec<_> = (1..101).map(|sequence| sender.datagram(sequence, true)).collect();
    let mut bench = Bench::new(Mode::Traced, &[1]);
    bench.hear_all(&recording);
    bench.pass(10 * SECOND);
    assert_eq!((bench.take(), bench.rejected(Reject::Stale)), (vec![], 100));
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Traced, &mut sender);
    bench.hear_all(&recording);
    bench.take();
    bench.hear_all(&recording);
    assert_eq!((bench.take(), bench.rejected(Reject::Replayed)), (vec![], 100));
}

#[test]
fn a_datagram_with_any_byte_changed_is_not_given_as_a_members() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Traced, &mut sender);
    let datagram = sender.datagram(1, true);
    for place in 0..datagram.len() {
        let mut changed = datagram.clone();
        changed[place] ^= 1;
        bench.hear(&changed);
        bench.now += 10 * MILLISECOND;
    }
    assert_eq!(bench.take(), []);
    assert_eq!(bench.session.rejected.total(), datagram.len() as u64);
    assert!(bench.rejected(Reject::NotAuthentic) > 40);
    bench.hear(&datagram);
    assert_eq!(bench.take(), members(1..2));
}

#[test]
fn stock_datagrams_are_given_as_such_or_rejected() {
    let stock = [&text(1)[..], &frame::TAIL].concat();
    let unproven = Sender::new(1).datagram(1, false);
    let mut bench = Bench::new(Mode::Traced, &[1]);
    bench.hear_all([&stock, &unproven]);
    assert_eq!((bench.take(), bench.rejected(Reject::Untraced)), (vec![], 2));
    let mut bench = Bench::with(
        |settings| {
            settings.mode = Mode::Traced;
            settings.deliver_stock = true;
        },
        &[1],
    );
    bench.hear(&stock);
    assert_eq!(bench.take(), [Got::Stock(text(1))]);
    bench.hear(&unproven);
    let Got::Stock(given) = bench.take().remove(0) else { panic!("no stream is followed without a proof") };
    assert!(given.windows(17).any(|window| window == b"Multicast-Stream:"), "as it came");
    let forged = Sender::under(key(9), [1; 16], b"fs1", Cipher::default()).datagram(1, true);
    bench.hear(&forged);
    assert_eq!((bench.take(), bench.rejected(Reject::UnknownKey)), (vec![], 1), "a wrong proof is worse than none");
}

#[test]
fn without_a_key_what_is_missing_is_told_and_nothing_is_vouched_for() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Traced, &[]);
    bench.hear_all([10, 11, 14, 13, 14, 17].map(|sequence| sender.datagram(sequence, false)));
    assert_eq!(bench.take(), given(10..12, Trust::Stock));
    bench.pass(2 * LATENESS + MILLISECOND);
    let expected = [
        vec![Got::Gap(12..13, Lost::Unrepaired)],
        given(13..15, Trust::Stock),
        vec![Got::Gap(15..17, Lost::Unrepaired)],
        given(17..18, Trust::Stock),
    ];
    assert_eq!(bench.take(), expected.concat());
    let row = bench.row(&sender);
    assert_eq!((row.sender.as_slice(), row.admitted.word(), row.duplicates), (&b"fs1"[..], "unproven", 1));
    bench.hear(&sender.beacon(20, 1, bench.now));
    assert_eq!(bench.rejected(Reject::UnknownKey), 1);
    bench.pass(600 * SECOND);
    assert_eq!((bench.take(), bench.said.len()), (vec![], 0));
    assert!(!bench.row(&sender).silent, "a switch without events is none");
}

#[test]
fn without_a_key_a_jump_is_believed_at_the_third_datagram() {
    let sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Traced, &[]);
    let far = 5 + UNPROVEN_REACH;
    bench.hear_all([1, far, 2, far + 1, 3, far + 2, 4].map(|sequence| sender.datagram(sequence, false)));
    assert_eq!(bench.take(), given(1..5, Trust::Stock));
    assert_eq!(bench.rejected(Reject::OutOfReach), 3, "never three in a row");
    let far = 1_000_000;
    bench.hear_all([far, far + 1, far + 2, far + 3].map(|sequence| sender.datagram(sequence, false)));
    bench.pass(2 * LATENESS + MILLISECOND);
    let expected = [vec![Got::Gap(5..far + 2, Lost::Unrepaired)], given(far + 2..far + 4, Trust::Stock)].concat();
    assert_eq!((bench.take(), bench.rejected(Reject::OutOfReach)), (expected, 5));
}

#[test]
fn streams_without_a_key_are_followed_anew_when_a_key_comes() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Traced, &[]);
    bench.pass(2 * MILLISECOND);
    bench.hear_all([1, 2].map(|sequence| sender.datagram(sequence, false)));
    bench.session.rekey(ring(&[1]));
    bench.keys.push(key(1));
    bench.pass(MILLISECOND);
    assert_eq!((bench.take(), bench.counter("streams_now")), (given(1..3, Trust::Stock), 0));
    bench.hear_all([3, 4].map(|sequence| sender.datagram(sequence, true)));
    bench.hear(&sender.beacon(5, 1, bench.now));
    bench.pass(MILLISECOND);
    let first = bench.row(&sender);
    assert_eq!((first.admitted.word(), first.first), ("beacon", 1), "it was not proven to have been heard before");
    bench.hear_all([repair(&mut sender, 1), repair(&mut sender, 2)]);
    assert_eq!(bench.take(), members(1..5));
}
