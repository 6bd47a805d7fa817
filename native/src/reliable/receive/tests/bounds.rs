//! The limits of what a receiver keeps.

use super::*;
use crate::limits::{ASIDE_BYTES, ASIDE_FRAMES, ASIDE_STREAMS, FOLLOWED_STREAMS, PAST_STREAMS, WAITING_BYTES};
use crate::reliable::admission::{Over, Past};
use crate::reliable::followed::SILENCE;

fn numbered(number: u32, name: &str) -> Sender {
    let mut stream = [0; 16];
    stream[..4].copy_from_slice(&number.to_be_bytes());
    Sender::under(key(1), stream, name.as_bytes(), Cipher::default())
}

/// An address of its own for each, for strangers of one address are looked into at a limited rate.
fn place_of(number: u32) -> SocketAddr {
    SocketAddr::from(((0x0A00_0000 + number).to_be_bytes(), 4242))
}

/// Let the session hear one beacon of each of so many senders.
fn crowd(bench: &mut Bench, numbers: Range<u32>) {
    for number in numbers {
        let mut sender = numbered(number, &format!("fs{number}"));
        let beacon = sender.beacon(1, 1, bench.now);
        bench.hear_from(&beacon, place_of(number));
        bench.now += MILLISECOND;
    }
}

#[test]
fn so_many_streams_are_followed_and_a_silent_one_makes_way() {
    let mut bench = Bench::with(|settings| settings.repair = false, &[1]);
    bench.now += SECOND;
    let most = FOLLOWED_STREAMS as u32;
    crowd(&mut bench, 0..most + 10);
    assert_eq!(bench.counter("streams_now"), u64::from(most));
    assert_eq!(bench.counter("streams_refused"), 10, "none of those that are there is silent");
    bench.pass(SILENCE);
    bench.take();
    crowd(&mut bench, 5_000..5_003);
    assert_eq!(bench.counter("streams_now"), u64::from(most));
    assert_eq!(bench.take(), vec![Got::Gap(1..u64::MAX, Lost::Silent); 3]);
}

#[test]
fn streams_that_nobody_vouches_for_make_way_for_one_another_but_not_one_that_gives_much() {
    let mut bench = Bench::new(Mode::Traced, &[]);
    let busy = numbered(1 << 20, "busy");
    for number in 0..FOLLOWED_STREAMS as u32 + 500 {
        let forged = numbered(number, "forged").datagram(1, false);
        bench.hear_from(&forged, place_of(number));
        bench.hear(&busy.datagram(u64::from(number) + 1, false));
        bench.now += MILLISECOND;
    }
    assert_eq!(bench.counter("streams_now"), FOLLOWED_STREAMS as u64);
    assert_eq!(bench.row(&busy).delivered, FOLLOWED_STREAMS as u64 + 500);
}

#[test]
fn so_much_waits_in_all_streams_together() {
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.now += SECOND;
    let count = 20;
    crowd(&mut bench, 0..count);
    let mut noise = vec![0; 1_000_000];
    Randomness::seeded(1).fill(&mut noise);
    for number in 0..count {
        let sender = numbered(number, &format!("fs{number}"));
        // One fragment makes an event take a mebibyte.
        for sequence in 1..=8 {
            let counted = Counted { kind: Kind::Event, sequence, dictionary: 0, packed: &noise };
            let frame = sender.sealer.frames(counted, 0, None).next().unwrap();
            bench.hear(&frame);
        }
        assert!(bench.counter("bytes_waiting_now") <= WAITING_BYTES as u64);
    }
    assert!(bench.counter("bytes_waiting_now") > WAITING_BYTES as u64 / 2);
    let mut last = numbered(count - 1, &format!("fs{}", count - 1));
    bench.take();
    let whole = last.frames(1, &noise, 0);
    bench.hear_all(whole);
    assert!(bench.counter("displaced") > 0);
    assert_eq!(bench.take(), [Got::Event(1, noise, Trust::Member)], "what made way is taken when it comes again");
}

#[test]
fn so_many_streams_are_kept_aside_and_the_oldest_makes_way() {
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    for number in 0..ASIDE_STREAMS as u32 + 5 {
        let mut sender = numbered(number, "fs");
        bench.hear_from(&sender.event(1), place_of(number));
        bench.now += MILLISECOND;
    }
    assert_eq!(bench.counter("streams_aside_now"), ASIDE_STREAMS as u64);
    assert_eq!(bench.rejected(Reject::Stale), 5);
}

#[test]
fn so_many_frames_and_bytes_of_a_stream_are_kept_aside_and_the_rest_is_asked_for() {
    let mut sender = Sender::new(1);
    let mut bench = Bench::new(Mode::Sealed, &[1]);
    bench.pass(2 * MILLISECOND);
    let most = ASIDE_FRAMES as u64;
    bench.hear_all(sender.events(1..most + 11));
    assert!(bench.counter("bytes_aside_now") > 0);
    bench.hear(&sender.beacon(most + 11, 1, bench.now));
    assert_eq!(bench.take(), events(1..most + 1));
    bench.pass(6 * MILLISECOND);
    assert_eq!(bench.asked(), [most + 1..most + 11]);
    let mut other = Sender::new(2);
    let mut random = Randomness::seeded(4);
    let mut noise = vec![0; 1_100];
    for sequence in 1..=300 {
        random.fill(&mut noise);
        let frame = other.frames(sequence, &noise, 0).remove(0);
        bench.hear_from(&frame, address(2));
    }
    let kept = bench.counter("bytes_aside_now") as usize;
    assert!((ASIDE_BYTES - 1_200..=ASIDE_BYTES).contains(&kept), "{kept}");
}

#[test]
fn so_many_streams_that_are_over_are_remembered() {
    let mut past = Past::default();
    let id = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let over = Over { next: 7, for_good: true };
    for number in 0..PAST_STREAMS as u32 + 3 {
        past.add(id(number), over);
        past.add(id(number), over);
    }
    assert_eq!((past.get(&id(2)), past.get(&id(3))), (None, Some(over)));
    assert_eq!(past.get(&id(PAST_STREAMS as u32 + 2)), Some(over));
}
