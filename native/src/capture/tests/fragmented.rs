//! Datagrams in fragments.

use super::*;
use crate::limits::{CAPTURE_FRAGMENT_BYTES, CAPTURE_FRAGMENTED_DATAGRAMS};

fn large(seed: u8) -> Datagram {
    datagram(&(0..6_000u32).map(|index| (index * 7) as u8 ^ seed).collect::<Vec<_>>())
}

fn large6(seed: u8) -> Datagram {
    let four = large(seed);
    datagram6(&four.payload)
}

#[test]
fn fragments_become_one_datagram_in_any_order_and_repeated() {
    for each in [large(0), large6(0), datagram(&[9; 65_507])] {
        let in_order = fragments(&each, 77, 1_480);
        let count = in_order.len() as u64;
        let read = read_frames(&in_order);
        read.gives(std::slice::from_ref(&each));
        assert_eq!((read.count("fragments"), read.count("packets"), read.count("incomplete")), (count, count, 0));
        let mut reversed = in_order.clone();
        reversed.reverse();
        read_frames(&reversed).gives(std::slice::from_ref(&each));
        let (first, rest) = in_order.split_first().unwrap();
        let repeated = [&[first.clone(), first.clone(), first.clone()][..], rest].concat();
        read_frames(&repeated).gives(std::slice::from_ref(&each));
    }
}

#[test]
fn interleaved_datagrams_keep_apart() {
    let frames: Vec<_> = (0..40).flat_map(|index| fragments(&large(index), u32::from(index), 1_000)).collect();
    let mut numbers = Numbers(11);
    let mut shuffled = frames;
    for index in (1..shuffled.len()).rev() {
        shuffled.swap(index, numbers.below(index + 1));
    }
    let mut read = read_frames(&shuffled);
    read.datagrams.sort_by_key(|each| each.payload[0]);
    let mut expected: Vec<_> = (0..40).map(large).collect();
    expected.sort_by_key(|each| each.payload[0]);
    read.gives(&expected);
}

#[test]
fn a_missing_fragment_makes_an_incomplete_datagram() {
    let mut frames = fragments(&large(1), 1, 1_480);
    frames.remove(2);
    frames.extend(fragments(&large(2), 2, 1_480));
    let read = read_frames(&frames);
    read.gives(&[large(2)]);
    assert_eq!((read.count("incomplete"), read.count("evicted")), (1, 0));
}

#[test]
fn a_reused_identification_gives_the_old_datagram_up() {
    for (old, new) in [(large(1), large(2)), (large6(1), large6(2)), (datagram(&[3; 9_000]), large(2))] {
        let mut frames = fragments(&old, 5, 1_480);
        frames.pop();
        frames.extend(fragments(&new, 5, 1_480));
        let read = read_frames(&frames);
        read.gives(&[new]);
        assert_eq!(read.count("incomplete"), 1);
    }
    // An end that is nearer than what has come.
    let mut frames = fragments(&large(1), 5, 1_480);
    frames.remove(0);
    frames.pop();
    let short = datagram(&[4; 2_000]);
    frames.extend(fragments(&short, 5, 1_480).into_iter().rev());
    let read = read_frames(&frames);
    read.gives(&[short]);
    assert_eq!(read.count("incomplete"), 1);
}

#[test]
fn fragments_that_fit_but_are_of_two_datagrams_fail_the_checksum() {
    let (one, two) = (fragments(&large(1), 5, 1_480), fragments(&large(2), 5, 1_480));
    let mixed = [&one[..2], &two[2..]].concat();
    let read = read_frames(&mixed);
    assert_eq!((read.datagrams.len(), read.count("malformed")), (0, 1));
    // Not made by the sender: nothing to go by, as RFC 768 allows over IPv4.
    let mut unchecked = mixed;
    unchecked[0][26..28].copy_from_slice(&[0, 0]);
    assert_eq!(read_frames(&unchecked).datagrams.len(), 1);
}

#[test]
fn a_fragment_that_comes_after_thirty_seconds_begins_anew() {
    let frames = fragments(&large(1), 5, 3_000);
    let late = TIME + 30_000_000_001;
    let timed: Vec<_> = [TIME, late, late].into_iter().zip(&frames).map(|(time, frame)| (time, &frame[..])).collect();
    let read = Read::whole(&pcap(101, &timed));
    assert_eq!((read.datagrams.len(), read.count("incomplete")), (0, 2));
    let in_time: Vec<_> =
        [TIME, late - 1, late - 1].into_iter().zip(&frames).map(|(t, frame)| (t, &frame[..])).collect();
    let read = Read::whole(&pcap(101, &in_time));
    read.gives(&[Datagram { time_ns: late - 1, ..large(1) }]);
}

#[test]
fn two_interfaces_that_see_the_same_fragments_give_two_datagrams() {
    let order = Order(false);
    let frames = fragments(&large(1), 5, 3_000);
    let mut file = [order.section(), order.interface(101, &[]), order.interface(101, &[])].concat();
    for frame in &frames {
        file.extend(order.enhanced(0, TIME / 1_000, frame));
        file.extend(order.enhanced(1, TIME / 1_000, frame));
    }
    assert_eq!(Read::whole(&file).datagrams.len(), 2);
}

#[test]
fn fragments_that_can_be_part_of_nothing_are_malformed() {
    let mut frames = fragments(&large(1), 5, 1_480);
    frames.truncate(2);
    frames[0].truncate(20 + 13); // more follow, yet 13 bytes
    frames[0][2..4].copy_from_slice(&33u16.to_be_bytes());
    frames[1][6..8].copy_from_slice(&0x1fffu16.to_be_bytes()); // ends beyond 65,535
    let mut empty = frames[1][..20].to_vec();
    empty[2..4].copy_from_slice(&20u16.to_be_bytes());
    frames.push(empty);
    let read = read_frames(&frames);
    assert_eq!((read.count("malformed"), read.count("fragments"), read.count("incomplete")), (3, 0, 0));
}

#[test]
fn the_number_of_waiting_datagrams_is_bounded() {
    let extra = 10;
    let frames: Vec<_> = (0..CAPTURE_FRAGMENTED_DATAGRAMS + extra)
        .map(|identification| fragments(&datagram(&[0; 64]), identification as u32, 32).remove(0))
        .collect();
    let read = read_frames(&frames);
    assert_eq!(read.count("evicted"), extra as u64);
    assert_eq!(read.count("incomplete"), (CAPTURE_FRAGMENTED_DATAGRAMS + extra) as u64);
    // The oldest go first: the last one is still there to be completed.
    let mut frames = frames;
    let last = (CAPTURE_FRAGMENTED_DATAGRAMS + extra - 1) as u32;
    frames.extend(fragments(&datagram(&[0; 64]), last, 32).split_off(1));
    assert_eq!(read_frames(&frames).datagrams, [datagram(&[0; 64])]);
}

#[test]
fn the_bytes_of_waiting_datagrams_are_bounded() {
    let at_the_far_end = |identification: u32| {
        let mut frame = fragments(&datagram(&[0; 64]), identification, 32).remove(0);
        frame[6..8].copy_from_slice(&(0x2000u16 | 8_184).to_be_bytes());
        frame
    };
    let count = 2 * CAPTURE_FRAGMENT_BYTES / 65_536;
    let frames: Vec<_> = (0..count).map(|identification| at_the_far_end(identification as u32)).collect();
    let read = read_frames(&frames);
    let kept = count as u64 - read.count("evicted");
    assert!((200..=256).contains(&kept), "{kept} datagrams of 64 KiB were kept");
}
