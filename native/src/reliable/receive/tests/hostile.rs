//! What strangers send, and members gone wrong.

use super::*;
use crate::limits::{STRANGER_OPENS, STREAM_REACH};

fn noise(random: &mut Randomness, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// A frame that looks right under `key`, and is not authentic.
fn forged(random: &mut Randomness, key: &GroupKey, stream: StreamId, kind: Kind) -> Vec<u8> {
    let header = Header {
        kind,
        key: key.id(),
        sender: sender_id(b"fs1"),
        stream,
        sequence: 1 + random.below(1 << 50),
        fragment: 0,
        fragments: 1,
        flags: 0,
        cipher: if random.below(2) == 0 { Cipher::ChaCha20Poly1305 } else { Cipher::Aes256Gcm },
        dictionary: 1,
    };
    let length = 16 + random.below(600) as usize;
    [&header.bytes()[..], &noise(random, length)].concat()
}

const KINDS: [Kind; 5] = [Kind::Event, Kind::Signature, Kind::Beacon, Kind::Welcome, Kind::Refusal];

#[test]
fn forged_frames_of_a_followed_stream_change_nothing() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let mut random = Randomness::seeded(5);
    bench.hear(&sender.event(1));
    let row = bench.row(&sender);
    bench.take();
    for turn in 0..2_000 {
        let frame = forged(&mut random, &key(1), sender.stream, KINDS[turn % KINDS.len()]);
        bench.hear(&frame);
    }
    assert_eq!(bench.rejected(Reject::NotAuthentic), 2_000);
    assert_eq!((bench.take(), bench.row(&sender)), (vec![], row));
    bench.hear(&sender.event(2));
    assert_eq!(bench.take(), events(2..3));
}

#[test]
fn forged_frames_of_unknown_streams_leave_nothing_behind_and_are_opened_within_a_budget() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let mut random = Randomness::seeded(6);
    for turn in 0..20_000u64 {
        let stream = random.bytes();
        let frame = forged(&mut random, &key(1), stream, KINDS[turn as usize % KINDS.len()]);
        bench.hear_from(&frame, SocketAddr::from((random.bytes::<4>(), 4242)));
        bench.now += 10_000;
        if turn % 100 == 0 {
            bench.hear(&sender.event(turn / 100 + 1));
        }
    }
    let (opened, flood) = (bench.rejected(Reject::NotAuthentic), bench.rejected(Reject::Flood));
    assert_eq!(opened + flood, 20_000);
    let budget = STRANGER_OPENS / 5 + STRANGER_OPENS / 16 + 1;
    assert!((1..=budget).contains(&opened), "{opened} were opened in 0.2 s");
    assert_eq!(bench.take(), events(1..201), "no good event is lost");
    assert_eq!(["streams_now", "streams_aside_now", "bytes_aside_now"].map(|name| bench.counter(name)), [1, 0, 0]);
}

#[test]
fn a_new_stream_is_found_in_a_flood_from_everywhere() {
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    let mut sender = Sender::new(1);
    let mut random = Randomness::seeded(8);
    bench.pass(2 * MILLISECOND);
    for turn in 1..=200 {
        for _ in 0..20 {
            let stream = random.bytes();
            let frame = forged(&mut random, &key(1), stream, Kind::Event);
            bench.hear_from(&frame, SocketAddr::from((random.bytes::<4>(), 4242)));
        }
        bench.hear(&sender.event(turn));
        bench.hear(&sender.beacon(turn + 1, 1, bench.now));
        bench.pass(MILLISECOND);
    }
    assert_eq!(bench.counter("streams_now"), 1);
    assert!(bench.rejected(Reject::Flood) > 1_000);
}

#[test]
fn wrong_and_retired_keys_are_turned_away_before_anything_is_derived() {
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    let mut stranger = Sender::under(key(9), [4; 16], b"fs1", Cipher::default());
    bench.hear_all(stranger.events(1..11));
    bench.hear(&stranger.beacon(11, 1, bench.now));
    assert_eq!(bench.rejected(Reject::UnknownKey), 11);
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.session.rekey(ring(&[2]));
    bench.hear_all(sender.events(1..11));
    bench.hear(&sender.beacon(11, 1, bench.now));
    assert_eq!((bench.rejected(Reject::UnknownKey), bench.take()), (11, vec![]));
}

#[test]
fn a_key_of_the_same_id_does_not_open_what_another_sealed() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let mut other = Sender::under(key(9), sender.stream, b"fs1", Cipher::default());
    let mut frame = other.event(1).to_vec();
    frame[4..8].copy_from_slice(&key(1).id());
    bench.hear(&frame);
    assert_eq!((bench.rejected(Reject::NotAuthentic), bench.take()), (1, vec![]));
}

#[test]
fn a_frame_with_any_bit_flipped_or_cut_anywhere_is_rejected() {
    for mut bench in [following(Mode::Sealed, &mut Sender::new(1)), Bench::new(Mode::Sealed, &[1])] {
        let mut sender = Sender::new(1);
        let frame = sender.event(1);
        let flags = 44;
        for place in (0..frame.len()).filter(|place| *place != flags) {
            for bit in 0..8 {
                let mut flipped = frame.to_vec();
                flipped[place] ^= 1 << bit;
                bench.hear(&flipped);
                bench.now += 10 * MILLISECOND;
            }
        }
        for length in 0..frame.len() {
            bench.hear(&frame[..length]);
            bench.now += 10 * MILLISECOND;
        }
        assert_eq!(bench.take(), []);
        assert_eq!(bench.counter("streams_aside_now"), 0);
        assert_eq!(bench.session.rejected.total(), 8 * (frame.len() as u64 - 1) + frame.len() as u64);
    }
}

#[test]
fn a_member_that_jumps_out_of_reach_is_not_followed_there() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear(&sender.event(1));
    bench.hear(&sender.event(STREAM_REACH + 3));
    bench.hear(&sender.beacon(u64::MAX, 1, bench.now));
    bench.hear(&sender.event(2));
    assert_eq!((bench.take(), bench.rejected(Reject::OutOfReach)), (events(1..3), 2));
    bench.hear(&sender.event(1 << 39));
    assert_eq!(bench.row(&sender).waiting, 1);
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [3..1 << 39], "one range, however long");
}

#[test]
fn a_member_that_sends_one_sequence_whole_and_in_fragments_is_believed_once() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    let long = noise(&mut Randomness::seeded(1), 3_000);
    let parts = sender.frames(1, &long, 0);
    bench.hear_all([&parts[0], &sender.event(1)]);
    assert_eq!((bench.take(), bench.rejected(Reject::MalformedFrame)), (vec![], 1));
    bench.hear_all([&parts[1], &parts[2], &sender.event(1)]);
    assert_eq!(bench.take(), [Got::Event(1, long, Trust::Member)]);
    assert_eq!((bench.rejected(Reject::Replayed), bench.counter("bytes_waiting_now")), (1, 0));
}

#[test]
fn sequence_zero_and_what_is_for_senders_are_no_business_of_a_receiver() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear(&sender.event(0));
    assert_eq!(bench.rejected(Reject::MalformedFrame), 1);
    let hello = Hello { stream: sender.stream, challenge: [1; 16] };
    bench.hear(&sender.control(Kind::Hello, &hello.bytes()));
    assert_eq!(bench.counter("not_for_us"), 1);
    assert_eq!(bench.session.rejected.total(), 1);
}

#[test]
fn what_is_no_frame_at_all_is_rejected_by_what_it_is() {
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.hear(b"");
    bench.hear(&Sender::new(1).datagram(1, true));
    assert_eq!((bench.rejected(Reject::ZeroLength), bench.rejected(Reject::NotSealed)), (1, 1));
    let mut random = Randomness::seeded(2);
    for length in 0..1_500 {
        let mut bytes = noise(&mut random, length);
        if length > 4 {
            bytes[..3].copy_from_slice(&[0xC5, 0x57, 1]);
        }
        bench.hear(&bytes);
    }
    assert_eq!((bench.session.rejected.total(), bench.take()), (1_502, vec![]));
}

#[test]
fn control_frames_that_say_nonsense_or_come_twice_are_rejected() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    for kind in [Kind::Beacon, Kind::Welcome, Kind::Refusal] {
        bench.hear(&sender.control(kind, b"nonsense"));
    }
    assert_eq!(bench.rejected(Reject::MalformedFrame), 3);
    let beacon = sender.beacon(5, 1, bench.now);
    bench.hear_all([&beacon, &beacon]);
    assert_eq!(bench.rejected(Reject::Replayed), 1);
}
