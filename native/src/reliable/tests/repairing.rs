//! What is sent again, to whom, how soon and how much.

use super::member::*;
use crate::limits::{HELD_REQUESTS, REQUESTERS};
use crate::reliable::budget::REPAIR_FLOOR;
use crate::reliable::message::{CHALLENGE, Partial, RefusalReason};
use crate::reliable::transmit::{TransmitSession, TransmitSettings};
use crate::reliable::{MILLISECOND, Mode, Nanos, Outgoing, SECOND, To};
use crate::sealed::header::{FLAG_REPAIR, Header};
use std::net::SocketAddr;
use std::sync::Arc;

/// The frame without its flags, which are the only byte that may change.
fn without_flags(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[44] = 0;
    frame
}

fn bytes_of(sent: &[Outgoing]) -> usize {
    sent.iter().map(|outgoing| outgoing.bytes.len()).sum()
}

/// Let the time pass to `now`; what is sent.
fn tick(session: &mut TransmitSession, now: Nanos) -> Vec<Outgoing> {
    session.tick(now, WALL);
    session.outgoing().filter(|outgoing| beacon(outgoing).is_none()).collect()
}

#[test]
fn a_repair_is_the_same_frame_but_for_its_flag() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    let originals: Vec<Arc<[u8]>> =
        (1..=20).flat_map(|number| send(&mut session, &event(number, number as usize * 300), 0)).collect();
    let again = member.ask(&mut session, &[1..21], MILLISECOND);
    assert_eq!(again.len(), originals.len());
    for (original, repair) in originals.iter().zip(&again) {
        assert_eq!(repair.to, To::Address(member.address));
        assert_eq!(repair.bytes[44], FLAG_REPAIR);
        assert_eq!(without_flags(&repair.bytes), &original[..]);
    }
}

#[test]
fn a_traced_event_is_sent_again_as_sealed_frames_without_its_stamp() {
    let mut session = session(settings(Mode::Traced));
    let mut member = Member::proven(&mut session, 1, 0);
    let sent = event(1, 5_000);
    send(&mut session, &sent, 0);
    let first = member.ask(&mut session, &[1..2], MILLISECOND);
    assert_eq!(text_of(first.iter().map(|outgoing| &outgoing.bytes[..])), sent.text());
    let second = member.ask(&mut session, &[1..2], 50 * MILLISECOND);
    assert_eq!(first, second, "under one nonce there is one content");
}

#[test]
fn of_an_event_that_is_there_in_part_only_what_is_missing_is_sent() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    let originals = send(&mut session, &event(1, 16_000), 0);
    assert!(originals.len() > 10);
    let partials = [Partial { sequence: 1, missing: vec![0b1000_0010, 0b10] }];
    let request = member.request(&[], &partials);
    let again = member.say(&mut session, &request, MILLISECOND);
    let fragments: Vec<u16> = again.iter().map(|repair| Header::read(&repair.bytes).unwrap().0.fragment).collect();
    assert_eq!(fragments, [1, 7, 9]);
    for (repair, fragment) in again.iter().zip(fragments) {
        assert_eq!(without_flags(&repair.bytes), &originals[fragment as usize][..]);
    }
}

#[test]
fn what_is_asked_for_in_ranges_and_in_part_is_answered_lowest_first() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    (1..=9).for_each(|number| drop(send(&mut session, &event(number, 3_000), 0)));
    let partials = [2, 5, 9, 40].map(|sequence| Partial { sequence, missing: vec![0b10] });
    let request = member.request(&[1..2, 3..5, 7..9, 30..u64::MAX], &partials);
    let again = repairs(&member.say(&mut session, &request, MILLISECOND));
    let mut sequences: Vec<u64> = again.iter().map(|(sequence, _)| *sequence).collect();
    sequences.dedup();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 7, 8, 9]);
    assert_eq!(again.iter().filter(|(sequence, _)| *sequence == 5).count(), 1);
}

#[test]
fn what_three_miss_goes_to_the_group_once_and_the_rest_to_each() {
    let mut session = session(settings(Mode::Sealed));
    let mut members: Vec<Member> = (1..=4).map(|number| Member::proven(&mut session, number, 0)).collect();
    (1..=9).for_each(|number| drop(send(&mut session, &event(number, 300), 0)));
    // The first time each of them asks it is not yet known that they are three.
    for member in &mut members {
        member.ask(&mut session, &[1..2], MILLISECOND);
    }
    tick(&mut session, 10 * MILLISECOND);
    let now = 100 * MILLISECOND;
    tick(&mut session, now);
    let asked = [vec![2..4, 6..7], vec![3..4], vec![3..5], vec![4..5, 6..7]];
    for (member, ranges) in members.iter_mut().zip(&asked) {
        assert_eq!(member.ask(&mut session, ranges, now), [], "it is held");
    }
    assert_eq!(tick(&mut session, now + MILLISECOND), []);
    let address = |number: usize| To::Address(members[number].address);
    let expected =
        [(2, address(0)), (3, To::Group), (4, address(2)), (4, address(3)), (6, address(0)), (6, address(3))];
    assert_eq!(repairs(&tick(&mut session, now + 2 * MILLISECOND)), expected);
    assert_eq!(counted(&session, "repairs_shared"), 1);
}

#[test]
fn the_group_is_sent_the_fragments_that_any_of_them_misses() {
    let mut session = session(settings(Mode::Sealed));
    let mut members: Vec<Member> = (1..=3).map(|number| Member::proven(&mut session, number, 0)).collect();
    send(&mut session, &event(1, 8_000), 0);
    send(&mut session, &event(2, 100), 0);
    members.iter_mut().for_each(|member| drop(member.ask(&mut session, &[2..3], MILLISECOND)));
    tick(&mut session, 20 * MILLISECOND);
    for (member, missing) in members.iter_mut().zip([0b1, 0b100, 0b101]) {
        let request = member.request(&[], &[Partial { sequence: 1, missing: vec![missing] }]);
        assert_eq!(member.say(&mut session, &request, 30 * MILLISECOND), []);
    }
    let sent = tick(&mut session, 32 * MILLISECOND);
    let fragments: Vec<u16> = sent.iter().map(|repair| Header::read(&repair.bytes).unwrap().0.fragment).collect();
    assert_eq!(fragments, [0, 2]);
    assert!(sent.iter().all(|repair| repair.to == To::Group));
}

#[test]
fn what_went_to_the_group_is_not_sent_again_for_a_while() {
    let mut session = session(settings(Mode::Sealed));
    let mut members: Vec<Member> = (1..=5).map(|number| Member::proven(&mut session, number, 0)).collect();
    (1..=3).for_each(|number| drop(send(&mut session, &event(number, 300), 0)));
    members.iter_mut().for_each(|member| drop(member.ask(&mut session, &[3..4], MILLISECOND)));
    tick(&mut session, 20 * MILLISECOND);
    let now = 50 * MILLISECOND;
    for member in &mut members[..3] {
        member.ask(&mut session, &[1..2], now);
    }
    assert_eq!(repairs(&tick(&mut session, now + 2 * MILLISECOND)), [(1, To::Group)]);
    let late = now + 11 * MILLISECOND;
    members[3].ask(&mut session, &[1..3], late);
    assert_eq!(repairs(&tick(&mut session, late + 2 * MILLISECOND)), [(2, To::Address(members[3].address))]);
    let later = now + 13 * MILLISECOND;
    members[4].ask(&mut session, &[1..2], later);
    assert_eq!(repairs(&tick(&mut session, later + 2 * MILLISECOND)), [(1, To::Address(members[4].address))]);
}

#[test]
fn fifty_that_miss_the_same_cost_little_more_than_one() {
    let mut session = session(settings(Mode::Sealed));
    let mut members: Vec<Member> = (1..=50).map(|number| Member::proven(&mut session, number, 0)).collect();
    (1..=100).for_each(|number| drop(send(&mut session, &event(number, 300), 0)));
    members.iter_mut().for_each(|member| drop(member.ask(&mut session, &[100..101], MILLISECOND)));
    tick(&mut session, 20 * MILLISECOND);
    let mut sent = Vec::new();
    for (at, member) in members.iter_mut().enumerate() {
        let now = 50 * MILLISECOND + at as Nanos * 60_000;
        sent.extend(tick(&mut session, now));
        sent.extend(member.ask(&mut session, &[10..60], now));
    }
    sent.extend(tick(&mut session, 60 * MILLISECOND));
    assert_eq!(repairs(&sent), (10..60).map(|sequence| (sequence, To::Group)).collect::<Vec<_>>());
}

#[test]
fn more_than_the_floor_is_not_sent_again_where_little_is_sent() {
    let mut session = session(TransmitSettings { keep_for: 1_000 * SECOND, ..settings(Mode::Sealed) });
    let mut member = Member::proven(&mut session, 1, 0);
    (1..=9_000).for_each(|number| drop(send(&mut session, &event(number, 1_000), 0)));
    let mut repaired = 0;
    for millis in (1_000..3_000).step_by(20) {
        repaired += bytes_of(&member.ask(&mut session, &[1..9_001], millis * MILLISECOND));
    }
    let floor = 2 * REPAIR_FLOOR as usize;
    assert!((floor * 95 / 100..floor * 115 / 100).contains(&repaired), "{repaired}");
}

#[test]
fn a_quarter_of_what_is_sent_may_be_sent_again() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    let (mut sent, mut repaired) = (0, 0);
    // 40 MB a second, of which half is asked for again.
    for number in 1..=1_000 {
        let now = number * MILLISECOND;
        sent += send(&mut session, &event(number, 50_000), now).iter().map(|frame| frame.len()).sum::<usize>();
        session.tick(now, WALL);
        repaired += bytes_of(&session.outgoing().collect::<Vec<_>>());
        if number % 20 == 0 {
            repaired += bytes_of(&member.ask(&mut session, &[number - 19..number - 9], now));
        }
    }
    assert!(sent > 7 * REPAIR_FLOOR as usize, "{sent}");
    assert!((sent / 5..sent * 28 / 100).contains(&repaired), "{repaired} of {sent}");
}

#[test]
fn one_that_asks_for_everything_leaves_the_others_theirs_and_is_told_to_give_up() {
    let mut session = session(settings(Mode::Sealed));
    let mut greedy = Member::proven(&mut session, 1, 0);
    let mut others: Vec<Member> = (2..=3).map(|number| Member::proven(&mut session, number, 0)).collect();
    let (mut told, mut asked, mut answered) = (None, Vec::new(), Vec::new());
    for number in 1..=6_000 {
        let now = number * MILLISECOND / 2;
        send(&mut session, &event(number, 5_000), now);
        let mut sent = tick(&mut session, now);
        if number % 40 == 0 && told.is_none() {
            sent.extend(greedy.ask(&mut session, &[1.max(number.saturating_sub(5_000))..number], now));
        }
        if number % 50 == 2 {
            asked.push(number);
            sent.extend(others[number as usize / 50 % 2].ask(&mut session, &[number..number + 1], now));
        }
        let others = repairs(&sent).into_iter().filter(|(_, to)| *to != To::Address(greedy.address));
        answered.extend(others.map(|(sequence, _)| sequence));
        told = told.or_else(|| sent.iter().find_map(refusal).map(|refusal| (now, refusal, number)));
    }
    answered.dedup();
    assert_eq!(answered, asked);
    let (now, refusal, number) = told.expect("it was told");
    assert_eq!((refusal.receiver, refusal.reason), (greedy.stream, RefusalReason::Lagging));
    assert!((number.saturating_sub(41)..=number).contains(&refusal.below));
    assert!((2 * SECOND..3 * SECOND).contains(&now), "{now}");
    assert_eq!(counted(&session, "lagging"), 1);
    let again = greedy.ask(&mut session, &[1..2], 3 * SECOND + MILLISECOND);
    assert_eq!((repairs(&again).len(), super::member::refusal(&again[0]).unwrap().below), (0, refusal.below));
}

#[test]
fn one_that_catches_up_is_left_alone() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    (1..=5_000).for_each(|number| drop(send(&mut session, &event(number, 4_000), SECOND)));
    let mut next = 1;
    for millis in (1_000..12_000).step_by(20) {
        let sent = member.ask(&mut session, &[next..5_001], millis * MILLISECOND);
        assert_eq!(sent.iter().find_map(refusal), None, "at {millis} ms");
        next = repairs(&sent).last().map_or(next, |(sequence, _)| sequence + 1);
        if next > 5_000 {
            return;
        }
    }
    panic!("it never caught up");
}

#[test]
fn an_event_larger_than_any_bucket_is_sent_again_too() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    let frames = send(&mut session, &event(1, 900_000), 0).len();
    send(&mut session, &event(2, 10), 0);
    assert_eq!(repairs(&member.ask(&mut session, &[1..3], MILLISECOND)).len(), frames, "and then there is a debt");
    assert_eq!(repairs(&member.ask(&mut session, &[2..3], 20 * MILLISECOND)).len(), 0);
    assert_eq!(repairs(&member.ask(&mut session, &[2..3], 500 * MILLISECOND)).len(), 1);
}

#[test]
fn what_is_not_kept_any_more_is_refused_and_the_rest_sent() {
    let mut session = session(TransmitSettings { keep_for: SECOND, ..settings(Mode::Sealed) });
    let mut member = Member::proven(&mut session, 1, 0);
    (1..=10).for_each(|number| drop(send(&mut session, &event(number, 10), number * 200 * MILLISECOND)));
    let answers = member.ask(&mut session, &[2..4, 8..10], 2_100 * MILLISECOND);
    let refused = refusal(&answers[0]).unwrap();
    assert_eq!((refused.below, refused.reason, refused.receiver), (6, RefusalReason::Expired, member.stream));
    assert_eq!(repairs(&answers).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(counted(&session, "refusals"), 1);
}

#[test]
fn what_was_sealed_under_another_key_is_sent_again_as_it_was() {
    for mode in [Mode::Sealed, Mode::Traced] {
        let mut session = session(settings(mode));
        let mut member = Member::proven(&mut session, 1, 0);
        let before = send(&mut session, &event(1, 300), 0);
        session.rekey(ring(&[2, 1]));
        let behind = send(&mut session, &event(2, 300), 0);
        let again = member.ask(&mut session, &[1..3], MILLISECOND);
        let keys: Vec<_> = again.iter().map(|repair| Header::read(&repair.bytes).unwrap().0.key).collect();
        assert_eq!(keys, [key(1).id(), key(2).id()]);
        assert_eq!(text_of([&again[1].bytes[..]]), event(2, 300).text());
        if mode == Mode::Sealed {
            assert_eq!(without_flags(&again[0].bytes), &before[0][..]);
            assert_eq!(without_flags(&again[1].bytes), &behind[0][..]);
        }
        session.rekey(ring(&[2]));
        assert_eq!(member.ask(&mut session, &[1..3], 20 * MILLISECOND), [], "its key is not live any more");
        let mut renewed = Member::under(&session, 1, &key(2));
        renewed.cookie = member.cookie;
        assert_eq!(renewed.ask(&mut session, &[1..3], 40 * MILLISECOND).len(), 2);
    }
}

#[test]
fn what_is_held_is_bounded() {
    let mut session = session(settings(Mode::Sealed));
    let mut members: Vec<Member> = (1..=60).map(|number| Member::proven(&mut session, number, 0)).collect();
    (1..=2_000).for_each(|number| drop(send(&mut session, &event(number, 10), 0)));
    members.iter_mut().for_each(|member| drop(member.ask(&mut session, &[1..2], MILLISECOND)));
    tick(&mut session, 20 * MILLISECOND);
    for member in &mut members {
        assert_eq!(member.ask(&mut session, &[1..2_001], 50 * MILLISECOND), []);
    }
    assert_eq!(counted(&session, "requests_held"), HELD_REQUESTS as u64);
}

#[test]
fn who_was_not_heard_from_for_longest_makes_way() {
    let mut session = session(settings(Mode::Sealed));
    let mut first = Member::proven(&mut session, 1, 0);
    let hello = first.hello([1; CHALLENGE]);
    assert_eq!(first.say(&mut session, &hello, MILLISECOND).len(), 1);
    for number in 0..REQUESTERS as u64 {
        assert_eq!(first.say(&mut session, &hello, number * 10 * MILLISECOND), [], "a repeated frame is known");
        let mut stream = [0xFF; 16];
        stream[..8].copy_from_slice(&number.to_be_bytes());
        let mut other = Member::of_stream(&session, stream, SocketAddr::from(([10, 1, 0, 1], 4_242)), &key(1));
        let frame = other.hello([2; CHALLENGE]);
        assert_eq!(other.say(&mut session, &frame, (number + 1) * 10 * MILLISECOND).len(), 1);
    }
    assert_eq!(counted(&session, "receivers_known"), REQUESTERS as u64);
    assert_eq!(first.say(&mut session, &hello, 20 * SECOND).len(), 1, "it was forgotten, and is welcomed as if new");
    assert_eq!(counted(&session, "receivers_known"), REQUESTERS as u64);
}
