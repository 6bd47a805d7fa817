//! What those who have no key, or are not where they say, cannot make a sender do; and that no nonce is used twice.

use super::member::*;
use crate::limits::{STRANGER_OPENS, STRANGER_OPENS_PER_SOURCE};
use crate::reliable::message::{CHALLENGE, Partial, Request};
use crate::reliable::transmit::{TransmitSession, TransmitSettings};
use crate::reliable::{MILLISECOND, Mode, Nanos, Outgoing, SECOND, To};
use crate::sealed::header::{HEADER, Header, Kind};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

/// A session that has something to send again.
fn busy(mode: Mode) -> TransmitSession {
    let mut session = session(settings(mode));
    (1..=50).for_each(|number| drop(send(&mut session, &event(number, number as usize * 40), 0)));
    session
}

#[test]
fn a_hello_is_answered_with_its_challenge_and_how_far_the_stream_is() {
    let mut session = busy(Mode::Sealed);
    let mut member = Member::new(&session, 1);
    let hello = member.hello([9; CHALLENGE]);
    let answers = member.say(&mut session, &hello, 40 * MILLISECOND);
    let told = welcome(&answers[0]).unwrap();
    assert_eq!((answers.len(), answers[0].to), (1, To::Address(member.address)));
    assert_eq!((told.challenge, told.receiver), ([9; CHALLENGE], member.stream));
    assert_eq!((told.beacon.next, told.beacon.oldest, told.beacon.age_millis), (51, 1, 40));
}

#[test]
fn a_cookie_is_good_for_one_address_and_receiver_and_for_a_minute_or_two() {
    let mut session = session(TransmitSettings { keep_for: 1_000 * SECOND, ..settings(Mode::Sealed) });
    send(&mut session, &event(1, 3_000), 0);
    let given = 59 * SECOND;
    let mut member = Member::proven(&mut session, 1, given);
    let is_whole = |answers: &[Outgoing]| repairs(answers).len() == 3;
    assert!(is_whole(&member.ask(&mut session, &[1..2], 60 * SECOND)), "the minute is another");
    assert!(is_whole(&member.ask(&mut session, &[1..2], 119 * SECOND)));
    assert!(!is_whole(&member.ask(&mut session, &[1..2], 120 * SECOND)));
    member.greet(&mut session, 120 * SECOND);
    let home = member.address;
    for elsewhere in ["10.0.0.1:4243", "10.0.0.2:4242", "[::1]:4242"] {
        member.address = elsewhere.parse().unwrap();
        assert!(!is_whole(&member.ask(&mut session, &[1..2], 121 * SECOND)), "{elsewhere}");
    }
    member.address = home;
    assert!(is_whole(&member.ask(&mut session, &[1..2], 121 * SECOND)));
    let mut other = Member::new(&session, 2);
    (other.cookie, other.address) = (member.cookie, home);
    assert!(!is_whole(&other.ask(&mut session, &[1..2], 121 * SECOND)), "a cookie is its receiver's own");
}

#[test]
fn who_has_no_cookie_is_given_one_with_a_challenge_that_proves_nothing() {
    let mut session = busy(Mode::Sealed);
    let mut member = Member::new(&session, 1);
    let answers = member.ask(&mut session, &[40..51], MILLISECOND);
    let told = answers.iter().find_map(welcome).unwrap();
    assert_eq!(told.challenge, [0; CHALLENGE]);
    member.cookie = told.cookie;
    assert!(repairs(&member.ask(&mut session, &[40..51], 2 * MILLISECOND)).len() > 11);
}

#[test]
fn a_repeated_frame_is_ignored() {
    let mut session = busy(Mode::Sealed);
    let mut member = Member::proven(&mut session, 1, 0);
    let request = member.request(&[1..3], &[]);
    assert_ne!(member.say(&mut session, &request, MILLISECOND), []);
    for elsewhere in [member.address, "10.9.9.9:1".parse().unwrap()] {
        member.address = elsewhere;
        assert_eq!(member.say(&mut session, &request, 2 * MILLISECOND), []);
    }
    assert_eq!((rejected(&session, "replayed"), counted(&session, "requests")), (2, 1));
}

#[test]
fn what_was_written_to_another_stream_is_ignored_and_not_remembered() {
    let mut session = busy(Mode::Sealed);
    let old = TransmitSession::new(TransmitSettings::new(Mode::Sealed, b"fs1"), Some(ring(&[1])), 0, WALL);
    let mut member = Member::new(&old, 1);
    let frames = [member.hello([1; CHALLENGE]), member.request(&[1..3], &[])];
    for frame in frames {
        assert_eq!(member.say(&mut session, &frame, MILLISECOND), []);
    }
    assert_eq!((counted(&session, "misdirected"), counted(&session, "receivers_known")), (2, 0));
}

#[test]
fn what_is_forged_is_ignored_and_counted() {
    let mut session = busy(Mode::Sealed);
    let mut member = Member::proven(&mut session, 1, 0);
    let good = member.request(&[1..3], &[]);
    let mut wrong_key = Member::under(&session, 2, &key(9));
    let unknown = wrong_key.request(&[1..3], &[]);
    let changed = |place: usize| {
        let mut frame = good.clone();
        frame[place] ^= 1;
        frame
    };
    let beacon = member.frame(Kind::Beacon, &[]);
    let malformed = member.frame(Kind::Request, b"no request");
    let cases = [
        (vec![], "zero_length"),
        (b"Event-Name: HEARTBEAT\n\n".repeat(3), "not_sealed"),
        (changed(2), "frame_version"),
        (good[..HEADER + 5].to_vec(), "malformed_frame"),
        (beacon, "malformed_frame"),
        (malformed, "malformed_frame"),
        (unknown, "unknown_key"),
        (changed(8), "not_authentic"),
        (changed(16), "not_authentic"),
        (changed(HEADER), "not_authentic"),
        (changed(good.len() - 1), "not_authentic"),
    ];
    for (frame, reason) in cases {
        let before = rejected(&session, reason);
        assert_eq!(member.say(&mut session, &frame, MILLISECOND), [], "{reason}");
        assert_eq!(rejected(&session, reason), before + 1, "{reason}");
    }
    assert_ne!(member.say(&mut session, &good, MILLISECOND), [], "and the good one is taken all the same");
}

#[test]
fn a_flood_from_strangers_is_answered_with_nothing_and_opened_seldom() {
    let mut session = busy(Mode::Sealed);
    let mut member = Member::proven(&mut session, 1, 0);
    let good = Member::new(&session, 2).request(&[1..3], &[]);
    let forged = |number: u32| {
        let mut frame = good.clone();
        frame[16..20].copy_from_slice(&number.to_be_bytes());
        frame
    };
    let count = 20_000u32;
    for number in 0..count {
        let from = SocketAddr::from((number.to_be_bytes(), 4_242));
        let now = u64::from(number) * SECOND / u64::from(count);
        session.hear(&mut forged(number), from, now, WALL);
    }
    assert_eq!(session.outgoing().count(), 0);
    let opened = rejected(&session, "not_authentic");
    assert!(opened <= STRANGER_OPENS + STRANGER_OPENS / 16, "{opened}");
    assert_eq!(opened + rejected(&session, "flood"), u64::from(count));
    for number in 0..count {
        session.hear(&mut forged(number), "10.6.6.6:6".parse().unwrap(), 2 * SECOND, WALL);
    }
    let from_one = rejected(&session, "not_authentic") - opened;
    assert!(from_one <= STRANGER_OPENS_PER_SOURCE, "{from_one}");
    assert_eq!(repairs(&member.ask(&mut session, &[1..3], 2 * SECOND)).len(), 2, "who is known is not held up");
    assert_eq!(counted(&session, "receivers_known"), 1);
}

#[test]
fn many_receivers_on_one_host_are_no_flood() {
    let mut session = busy(Mode::Sealed);
    let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
    for number in 1..=200 {
        let mut member = Member::of_stream(&session, [number; 16], address(u16::from(number)), &key(1));
        member.greet(&mut session, 0);
    }
    assert_eq!((counted(&session, "receivers_known"), rejected(&session, "flood")), (200, 0));
}

/// What a property does to a sender.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Hello(u8),
    Ask(u8, Vec<Range<u64>>, Vec<Partial>),
    Wait(Nanos),
    Rekey(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (1..60u64, 1..9u64).prop_map(|(start, length)| start..start + length);
    let partial = (1..60u64, proptest::collection::vec(any::<u8>(), 1..3))
        .prop_map(|(sequence, missing)| Partial { sequence, missing });
    let ask = (1..6u8, proptest::collection::vec(range, 0..4), proptest::collection::vec(partial, 0..3));
    let ask = ask.prop_map(|(member, mut ranges, mut partials)| {
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by(|later, earlier| later.start <= earlier.end);
        partials.sort_by_key(|partial| partial.sequence);
        partials.dedup_by_key(|partial| partial.sequence);
        Step::Ask(member, ranges, partials)
    });
    let step = prop_oneof![
        4 => (1..6_000usize).prop_map(Step::Send),
        1 => (1..6u8).prop_map(Step::Hello),
        4 => ask,
        2 => (0..40u64).prop_map(|millis| Step::Wait(millis * MILLISECOND)),
        1 => (1..4u8).prop_map(Step::Rekey),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_nonce_is_used_for_two_contents(mode in prop_oneof![Just(Mode::Sealed), Just(Mode::Traced)], steps in steps()) {
        let mut session = session(TransmitSettings { signing: Some([5; 32]), ..settings(mode) });
        let mut members: Vec<Member> = (0..6).map(|number| Member::proven(&mut session, number, 0)).collect();
        let (mut now, mut number) = (0, 0);
        let mut seen = HashMap::new();
        let mut look = |frame: &[u8]| {
            if let Ok((header, _)) = Header::read(frame) {
                let mut frame = frame.to_vec();
                frame[44] = 0;
                let before = seen.entry((header.key, header.nonce())).or_insert_with(|| frame.clone());
                assert_eq!(*before, frame, "the same nonce holds something else");
            }
        };
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Send(bytes) => {
                    number += 1;
                    session.send(&event(number, bytes), b"", now, &mut out).unwrap();
                    if bytes % 3 == 0 {
                        session.flush(now, &mut out);
                    }
                }
                Step::Hello(member) => {
                    let hello = members[member as usize].hello([1; CHALLENGE]);
                    session.hear(&mut hello.clone(), members[member as usize].address, now, WALL);
                }
                Step::Ask(member, ranges, partials) => {
                    let request = members[member as usize].request(&ranges, &partials);
                    session.hear(&mut request.clone(), members[member as usize].address, now, WALL);
                }
                Step::Wait(time) => now += time,
                Step::Rekey(key) => {
                    let others = (1..4).filter(|other| *other != key);
                    session.rekey(ring(&[key].into_iter().chain(others).collect::<Vec<_>>()));
                }
            }
            session.tick(now, WALL);
            out.iter().for_each(|frame| look(frame));
            session.outgoing().for_each(|outgoing| look(&outgoing.bytes));
        }
    }

    #[test]
    fn who_has_not_proved_its_address_never_gets_more_than_three_times_its_bytes(
        mode in prop_oneof![Just(Mode::Sealed), Just(Mode::Traced)],
        name in proptest::collection::vec(any::<u8>(), 0..300),
        keep_for in prop_oneof![Just(30 * SECOND), Just(50 * MILLISECOND)],
        steps in steps(),
    ) {
        let mut session = session(TransmitSettings { name, keep_for, ..settings(mode) });
        let mut members: Vec<Member> = (0..6).map(|number| Member::new(&session, number)).collect();
        let (mut now, mut number) = (0, 0);
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    number += 1;
                    send(&mut session, &event(number, bytes), now);
                }
                Step::Hello(member) => {
                    let frame = members[member as usize].hello([1; CHALLENGE]);
                    let answers = members[member as usize].say(&mut session, &frame, now);
                    prop_assert!(answers.iter().all(|answer| answer.to == To::Address(members[member as usize].address)));
                    prop_assert!(answers.iter().map(|answer| answer.bytes.len()).sum::<usize>() <= 3 * frame.len());
                }
                Step::Ask(member, ranges, partials) => {
                    let frame = members[member as usize].request(&ranges, &partials);
                    let answers = members[member as usize].say(&mut session, &frame, now);
                    prop_assert!(answers.iter().all(|answer| answer.to == To::Address(members[member as usize].address)));
                    prop_assert!(answers.iter().map(|answer| answer.bytes.len()).sum::<usize>() <= 3 * frame.len());
                }
                Step::Wait(time) => now += time,
                Step::Rekey(_) => {}
            }
            session.tick(now, WALL);
            prop_assert!(session.outgoing().all(|outgoing| beacon(&outgoing).is_some()), "nothing is held for them");
        }
    }

    #[test]
    fn no_input_makes_a_sender_panic(datagram in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..9u8) {
        let mut session = busy(Mode::Sealed);
        let mut member = Member::proven(&mut session, 1, 0);
        session.hear(&mut datagram.clone(), member.address, 0, WALL);
        for kind in [Kind::Hello, Kind::Request].into_iter().chain((kind == 8).then_some(Kind::Event)) {
            let frame = member.frame(kind, &datagram);
            member.say(&mut session, &frame, u64::from(kind as u8));
        }
        let request = Request { stream: session.stream(), cookie: member.cookie, ranges: vec![0..u64::MAX], partials: vec![] };
        let frame = member.frame(Kind::Request, &request.bytes());
        prop_assert!(!member.say(&mut session, &frame, u64::MAX / 2).is_empty());
    }
}
