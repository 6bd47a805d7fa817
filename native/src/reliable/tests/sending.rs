//! What goes to the group: events, beacons, the end, and what is kept of it.

use super::member::*;
use crate::frame;
use crate::keys::public_key;
use crate::limits::{DATAGRAM_IPV4_BYTES, SEALED_EVENT_BYTES};
use crate::reliable::transmit::{TransmitSession, TransmitSettings};
use crate::reliable::{MILLISECOND, Mode, Nanos, Outgoing, SECOND, To};
use crate::sealed::header::{Cipher, FRAME, Header, Kind};
use crate::sealed::signing::Verifier;
use crate::traced;

fn times_of_beacons(sent: &[(Nanos, Outgoing)]) -> Vec<Nanos> {
    let is_beacon = |outgoing: &Outgoing| outgoing.to == To::Group && beacon(outgoing).is_some();
    sent.iter().filter(|(_, outgoing)| is_beacon(outgoing)).map(|(now, _)| now / MILLISECOND).collect()
}

#[test]
fn a_sealed_event_is_frames_that_open_to_its_text() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        let mut session = session(TransmitSettings { cipher, ..settings(Mode::Sealed) });
        for (number, bytes) in [(1, 10), (2, 5_000), (3, 300_000)] {
            let sent = event(number, bytes);
            let frames = send(&mut session, &sent, 0);
            assert!(frames.iter().all(|frame| frame.len() <= FRAME));
            assert!(frames.iter().all(|frame| Header::read(frame).unwrap().0.sequence == number));
            assert!(frames.iter().all(|frame| Header::read(frame).unwrap().0.cipher == cipher));
            assert_eq!(text_of(frames.iter().map(|frame| &frame[..])), sent.text());
        }
    }
}

#[test]
fn the_senders_line_is_added_in_either_mode() {
    let line = b"Multicast-Sender: fs1\n";
    let sent = event(1, 10);
    let text = [sent.header_lines(), line, sent.framed_body()].concat();
    let mut out = Vec::new();
    session(settings(Mode::Sealed)).send(&sent, line, 0, &mut out).unwrap();
    assert_eq!(text_of(out.iter().map(|frame| &frame[..])), text);
    out.clear();
    session(settings(Mode::Traced)).send(&sent, line, 0, &mut out).unwrap();
    let stamped = frame::text_of(&out[0]).unwrap();
    assert_eq!(&*traced::without_stamp(stamped, &traced::read(stamped).unwrap().unwrap()), text);
}

#[test]
fn a_traced_event_is_a_stock_datagram_that_counts_and_proves() {
    let mut session = session(settings(Mode::Traced));
    for number in 1..4 {
        let datagrams = send(&mut session, &event(number, 700), 0);
        let text = frame::text_of(&datagrams[0]).unwrap();
        let stamp = traced::read(text).unwrap().unwrap();
        assert_eq!((datagrams.len(), stamp.stream, stamp.sequence), (1, session.stream(), number));
        let mac = traced::Mac::new(&key(1).subkey(&session.stream(), crate::keys::Purpose::Mac));
        assert_eq!(stamp.proof.unwrap().0, key(1).id());
        assert_eq!(mac.verify(text, &stamp), Ok(()));
    }
}

#[test]
fn a_traced_session_without_a_key_counts_and_does_nothing_else() {
    let mut session = TransmitSession::new(settings(Mode::Traced), None, 0, WALL);
    for number in 1..4 {
        let datagrams = send(&mut session, &event(number, 700), 0);
        let stamp = traced::read(frame::text_of(&datagrams[0]).unwrap()).unwrap().unwrap();
        assert_eq!((stamp.sequence, stamp.proof), (number, None));
    }
    assert_eq!(session.tick(SECOND, WALL), None);
    let mut member = Member::new(&session, 1);
    assert_eq!(member.ask(&mut session, &[1..4], SECOND), []);
    assert_eq!((rejected(&session, "unknown_key"), counted(&session, "events_kept")), (1, 0));
    session.end(SECOND, WALL);
    assert_eq!(session.outgoing().count(), 0);
}

#[test]
fn an_event_that_is_too_large_takes_no_sequence() {
    let mut out = Vec::new();
    let mut sealed = session(settings(Mode::Sealed));
    let size = event(1, 2 * SEALED_EVENT_BYTES).text().len();
    assert_eq!(sealed.send(&event(1, 2 * SEALED_EVENT_BYTES), b"", 0, &mut out), Err(size));
    let mut traced = session(settings(Mode::Traced));
    assert!(traced.send(&event(1, DATAGRAM_IPV4_BYTES), b"", 0, &mut out).unwrap_err() > DATAGRAM_IPV4_BYTES);
    assert!(out.is_empty());
    for session in [&mut sealed, &mut traced] {
        assert_eq!((counted(session, "events"), counted(session, "too_large")), (0, 1));
        session.tick(0, WALL);
        let sent: Vec<_> = session.outgoing().collect();
        assert_eq!(beacon(&sent[0]).unwrap().next, 1);
    }
}

#[test]
fn beacons_follow_the_last_event_soon_and_then_come_every_half_second() {
    let mut session = session(settings(Mode::Sealed));
    assert_eq!(times_of_beacons(&run_until(&mut session, 0, 1_200 * MILLISECOND)), [0, 20, 100, 600, 1_100]);
    let now = 1_234 * MILLISECOND;
    send(&mut session, &event(1, 10), now);
    let sent = run_until(&mut session, now, now + 1_200 * MILLISECOND);
    assert_eq!(times_of_beacons(&sent), [1_254, 1_334, 1_834, 2_334]);
    let told = beacon(&sent[0].1).unwrap();
    assert_eq!((told.next, told.oldest, told.ended, &told.name[..]), (2, 1, false, &b"fs1"[..]));
    assert_eq!((told.age_millis, told.wall_millis), (1_254, WALL));
}

#[test]
fn beacons_follow_a_repair_as_they_follow_an_event() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    send(&mut session, &event(1, 10), 0);
    run_until(&mut session, 0, 700 * MILLISECOND);
    let now = 710 * MILLISECOND;
    assert_eq!(repairs(&member.ask(&mut session, &[1..2], now)).len(), 1);
    assert_eq!(times_of_beacons(&run_until(&mut session, now, SECOND)), [730, 810]);
    assert_eq!(repairs(&Member::new(&session, 2).ask(&mut session, &[1..2], SECOND)).len(), 1);
    let unproven = run_until(&mut session, SECOND, 1_400 * MILLISECOND);
    assert_eq!(times_of_beacons(&unproven), [1_310], "who has proved nothing hastens nothing");
}

#[test]
fn there_is_a_beacon_every_half_second_while_events_are_sent() {
    let mut session = session(settings(Mode::Sealed));
    let mut sent = run_until(&mut session, 0, 0);
    for number in 1..=400 {
        let now = number * 5 * MILLISECOND;
        send(&mut session, &event(number, 10), now);
        session.tick(now, WALL);
        sent.extend(session.outgoing().map(|outgoing| (now, outgoing)));
    }
    assert_eq!(times_of_beacons(&sent), [0, 500, 1_000, 1_500, 2_000]);
}

/// End `session` at `now` and see it out: when beacons told of the end, and when it was over, in milliseconds from then.
fn see_out(session: &mut TransmitSession, end: Nanos) -> (Vec<Nanos>, Nanos) {
    let (mut now, mut told) = (end, Vec::new());
    session.end(now, WALL);
    session.end(now, WALL);
    while session.tick(now, WALL).is_some() {
        told.extend(session.outgoing().filter(|sent| beacon(sent).is_some_and(|beacon| beacon.ended)).map(|_| now));
        now += 10 * MILLISECOND;
    }
    (told.iter().map(|at| (at - end) / MILLISECOND).collect(), (now - end) / MILLISECOND)
}

#[test]
fn the_end_is_told_at_least_three_times() {
    let mut session = session(settings(Mode::Sealed));
    send(&mut session, &event(1, 10), 300 * MILLISECOND);
    assert_eq!(see_out(&mut session, 300 * MILLISECOND), (vec![0, 20, 100], 200));
}

#[test]
fn a_session_is_over_soon_where_nobody_asks_and_a_second_after_the_last_request() {
    let out = |asked: Option<Nanos>| {
        let mut session = session(settings(Mode::Sealed));
        let mut member = Member::proven(&mut session, 1, 0);
        send(&mut session, &event(1, 10), 0);
        asked.map(|asked| member.ask(&mut session, &[1..2], asked));
        see_out(&mut session, 20 * SECOND)
    };
    assert_eq!(out(None), (vec![0, 20, 100, 250, 450], 500), "a hello is no loss");
    assert_eq!(out(Some(9 * SECOND)).1, 500);
    assert_eq!(out(Some(11 * SECOND)), (vec![0, 20, 100, 250, 450, 950], 1_000));
}

#[test]
fn a_session_that_has_ended_stays_while_it_is_asked_and_not_longer_than_it_keeps() {
    let mut session = session(TransmitSettings { keep_for: 5 * SECOND, ..settings(Mode::Sealed) });
    let mut member = Member::proven(&mut session, 1, 0);
    send(&mut session, &event(1, 10), SECOND);
    session.end(SECOND, WALL);
    session.outgoing();
    let mut now = SECOND + 190 * MILLISECOND;
    while now < 6 * SECOND {
        assert!(session.tick(now, WALL).is_some(), "at {now}");
        assert_eq!(repairs(&member.ask(&mut session, &[1..2], now)).len(), 1, "at {now}");
        now += 990 * MILLISECOND;
    }
    assert_eq!(session.tick(6 * SECOND, WALL), None);
}

#[test]
fn what_is_kept_is_bounded_by_bytes() {
    let keep_bytes = 100_000;
    let mut session = session(TransmitSettings { keep_bytes, ..settings(Mode::Sealed) });
    for number in 1..=1_000 {
        send(&mut session, &event(number, 400), 0);
        assert!(counted(&session, "bytes_kept") <= keep_bytes as u64);
    }
    let kept = counted(&session, "events_kept");
    assert!((100..300).contains(&kept), "{kept}");
    session.tick(0, WALL);
    let told: Vec<_> = session.outgoing().collect();
    assert_eq!(beacon(&told[0]).unwrap().oldest, 1_001 - kept);
    assert_eq!(beacon(&told[0]).unwrap().next, 1_001);
}

#[test]
fn what_is_kept_is_bounded_by_time() {
    let mut session = session(TransmitSettings { keep_for: SECOND, ..settings(Mode::Traced) });
    for number in 1..=300 {
        send(&mut session, &event(number, 10), number * 10 * MILLISECOND);
    }
    assert_eq!(counted(&session, "events_kept"), 101);
    let told = run_until(&mut session, 3 * SECOND, 6 * SECOND);
    assert_eq!(counted(&session, "events_kept"), 0);
    let last = beacon(&told.last().unwrap().1).unwrap();
    assert_eq!((last.oldest, last.next), (301, 301));
}

#[test]
fn a_batch_is_signed_when_it_ends_or_is_full_and_the_signature_is_counted_and_kept() {
    let signers = [("alice".to_string(), public_key(&[5; 32]))];
    for mode in [Mode::Sealed, Mode::Traced] {
        let mut session = session(TransmitSettings { signing: Some([5; 32]), ..settings(mode) });
        let mut member = Member::proven(&mut session, 1, 0);
        let mut out = Vec::new();
        session.flush(0, &mut out);
        assert!(out.is_empty(), "there is nothing to sign");
        for number in 1..=70 {
            session.send(&event(number, 10), b"", 0, &mut out).unwrap();
        }
        session.flush(0, &mut out);
        session.flush(0, &mut out);
        assert_eq!((out.len(), counted(&session, "signatures"), counted(&session, "events")), (72, 2, 70));
        for (place, first, sequence) in [(64, 1, 65), (71, 66, 72)] {
            let (header, payload) = open(&out[place]);
            assert_eq!((header.kind, header.sequence), (Kind::Signature, sequence));
            let vouched = Verifier::new(&signers).verify(&header, &payload).unwrap();
            assert_eq!(vouched.sequences(), first..sequence);
            assert!(vouched.vouches_for(first, event(if first == 1 { 1 } else { 65 }, 10).text()));
            let again = member.ask(&mut session, &[sequence..sequence + 1], MILLISECOND);
            assert_eq!(open(&again[0].bytes).1, payload);
        }
        session.send(&event(71, 10), b"", 0, &mut out).unwrap();
        session.end(0, WALL);
        let last: Vec<_> = session.outgoing().collect();
        assert_eq!(open(&last[0].bytes).0.kind, Kind::Signature);
        assert_eq!(beacon(&last[1]).unwrap().next, 75);
    }
}

#[test]
fn without_repair_nothing_is_kept() {
    let mut session = session(TransmitSettings { repair: false, ..settings(Mode::Sealed) });
    let mut member = Member::proven(&mut session, 1, 0);
    for number in 1..=10 {
        send(&mut session, &event(number, 10), 0);
    }
    let answers = member.ask(&mut session, &[3..5], MILLISECOND);
    assert_eq!((answers.len(), refusal(&answers[0]).unwrap().below), (1, 11));
    assert_eq!(counted(&session, "bytes_kept"), 0);
}

#[test]
fn counters_say_what_was_done() {
    let mut session = session(settings(Mode::Sealed));
    let mut member = Member::proven(&mut session, 1, 0);
    let frames: Vec<_> = (1..=3).flat_map(|number| send(&mut session, &event(number, 3_000), 0)).collect();
    let repaired: usize = member.ask(&mut session, &[1..3], MILLISECOND).iter().map(|frame| frame.bytes.len()).sum();
    let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
    let expected = [
        ("events", 3),
        ("datagrams", frames.len()),
        ("bytes", bytes),
        ("hellos", 1),
        ("requests", 1),
        ("repairs", 2),
        ("repairs_shared", 0),
        ("repair_bytes", repaired),
        ("events_kept", 3),
    ];
    for (name, value) in expected {
        assert_eq!(counted(&session, name), value as u64, "{name}");
    }
    assert!(frames.iter().all(|frame| open(frame).0.kind == Kind::Event));
}

#[test]
fn a_session_can_be_handed_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<TransmitSession>();
}
