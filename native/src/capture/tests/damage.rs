//! Captures that are cut, split, damaged or hostile.

use super::*;
use crate::limits::{CAPTURE_INTERFACES, CAPTURE_PACKET_BYTES};

/// A capture of each format with a bit of everything in it.
fn samples() -> Vec<Vec<u8>> {
    let mut frames = vec![packet(&datagram(b"one")), packet(&datagram6(b"two")), b"rubbish".to_vec()];
    frames.extend(fragments(&datagram(&[5; 900]), 3, 400));
    frames.push(packet(&datagram(b"")));
    let timed: Vec<_> = frames.iter().map(|frame| (TIME, &frame[..])).collect();
    let mut samples = vec![pcap(101, &timed)];
    for order in Order::BOTH {
        let mut file = [order.section(), order.interface(101, &[(9, &[9])]), order.block(0xbad, &[1; 60])].concat();
        file.extend(frames.iter().flat_map(|frame| order.enhanced(0, TIME, frame)));
        samples.push(file);
    }
    samples
}

#[test]
fn pieces_of_any_size_give_the_same_as_the_whole() {
    let mut numbers = Numbers(42);
    for sample in samples() {
        let whole = Read::whole(&sample);
        assert_eq!(whole.datagrams.len(), 4);
        assert_eq!(Read::of(sample.chunks(1)), whole);
        for _ in 0..200 {
            let mut pieces = Vec::new();
            let mut rest = &sample[..];
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(1 + numbers.below(rest.len().min(700)));
                pieces.push(piece);
                rest = others;
            }
            assert_eq!(Read::of(pieces), whole);
        }
    }
}

#[test]
fn a_cut_capture_gives_what_is_there_and_says_so() {
    for sample in samples() {
        let whole = Read::whole(&sample).datagrams;
        let mut boundaries = 0;
        for length in 4..sample.len() {
            let read = Read::whole(&sample[..length]);
            assert_eq!(read.error, None);
            assert!(whole.starts_with(&read.datagrams));
            boundaries += usize::from(read.cut.is_none());
            if let Some(text) = read.cut {
                assert!(text.ends_with("is cut short"), "{text}");
            }
        }
        // Between two records nothing is cut: the header's end and each record's but the last.
        assert!((7..=9).contains(&boundaries), "{boundaries}");
    }
    assert_eq!(Read::whole(b"").cut, None);
    assert_eq!(Read::whole(b"\xa1\xb2").cut.unwrap(), "the header, which begins at byte 0, is cut short");
}

#[test]
fn damage_never_panics_and_pieces_still_agree() {
    let mut numbers = Numbers(7);
    let samples = samples();
    for round in 0..3_000 {
        let mut file = samples[round % samples.len()].clone();
        for _ in 0..=numbers.below(6) {
            let at = numbers.below(file.len());
            file[at] = [0, 1, 0x7f, 0xff, numbers.below(256) as u8][numbers.below(5)];
        }
        if numbers.below(4) == 0 {
            let at = numbers.below(file.len());
            file.drain(at..(at + 1 + numbers.below(40)).min(file.len()));
        }
        let whole = Read::whole(&file);
        assert_eq!(Read::of(file.chunks(1)), whole, "round {round}");
        assert_eq!(Read::of(file.chunks(1 + numbers.below(50))), whole, "round {round}");
    }
}

#[test]
fn rubbish_is_no_capture() {
    let error = Read::whole(b"{\"Event-Name\":\"HEARTBEAT\"}").error.unwrap();
    assert_eq!(error, CaptureError::NotACapture(*b"{\"Ev"));
    assert_eq!(error.to_string(), "no capture: it begins with 7b 22 45 76 where a pcap or pcapng file has its mark");
    let order = Order(false);
    let no_mark = order.block(0x0a0d_0d0a, &[0; 16]);
    let too_short = order.block(0x0a0d_0d0a, &order.u32(0x1a2b_3c4d));
    assert_eq!(Read::whole(&no_mark).error, Some(CaptureError::SectionHeader));
    assert_eq!(Read::whole(&too_short).error, Some(CaptureError::SectionHeader));
}

/// The reader's answer to a capture whose end cannot be: what came before stands, what follows is not read.
#[track_caller]
fn ends(file: &[u8], datagrams: usize, text: &str) {
    let behind = packet(&datagram(b"behind"));
    let file = [file, &Order(false).enhanced(0, TIME, &behind)].concat();
    let read = Read::whole(&file);
    assert_eq!((read.datagrams.len(), &read.error), (datagrams, &None));
    assert_eq!(read.cut.as_deref(), Some(text));
    assert_eq!(Read::of(file.chunks(1)), read);
}

#[test]
fn lengths_that_cannot_be_end_the_reading() {
    let order = Order(false);
    let frame = packet(&datagram(b"event"));
    let one = pcap(101, &[(TIME, &frame)]);
    let long = order.fields(&[0, 0, CAPTURE_PACKET_BYTES as u32 + 1, 100]);
    ends(
        &[&one[..], &long].concat(),
        1,
        "at byte 73 is a record that says it has 262145 bytes, more than any packet; what follows was not read",
    );
    let one = [order.section(), order.interface(101, &[]), order.enhanced(0, TIME, &frame)].concat();
    let cases = [
        (order.fields(&[6, 400_000]), "a block that says it has 400000 bytes, more than any packet"),
        (order.fields(&[0xbad, 13]), "a block that says it has 13 bytes, which no block can have"),
        (order.fields(&[0xbad, 8]), "a block that says it has 8 bytes, which no block can have"),
        (order.fields(&[1, 20, 101, 0, 24]), "a block of 20 bytes that does not end in its length"),
        (order.fields(&[1, 12, 12]), "an interface description that is too short"),
        (order.fields(&[0x0a0d_0d0a, 28, 0]), "a section header that is not valid"),
    ];
    for (rest, text) in cases {
        let expected = format!("at byte {} is {text}; what follows was not read", one.len());
        ends(&[&one[..], &rest].concat(), 1, &expected);
    }
    let many = [order.section(), order.interface(101, &[]).repeat(CAPTURE_INTERFACES + 1)].concat();
    let at = 28 + 20 * CAPTURE_INTERFACES;
    ends(&many, 0, &format!("at byte {at} is an interface beyond the 4096 that are read; what follows was not read"));
}

#[test]
fn claimed_lengths_cost_no_memory() {
    let order = Order(false);
    // 4 GiB of a block that nobody reads: passed over as it comes, never kept.
    let file = [order.section(), order.fields(&[0xbad, 0xffff_fffc])].concat();
    let mut reader = CaptureReader::new();
    let mut out = Vec::new();
    reader.feed(&file, &mut out).unwrap();
    for _ in 0..1_000 {
        reader.feed(&[0; 4_096], &mut out).unwrap();
        assert!(reader.buffered() < 64);
    }
    assert_eq!(reader.finish().unwrap(), "the last block, which begins at byte 4096036, is cut short");
}

#[test]
fn the_largest_packet_is_read_and_options_do_not_hide_it() {
    let frame = vec![0; CAPTURE_PACKET_BYTES];
    assert_eq!(Read::whole(&pcap(101, &[(0, &frame)])).count("packets"), 1);
    let order = Order(false);
    let length = CAPTURE_PACKET_BYTES as u32;
    let comment = [&order.u16(1)[..], &order.u16(60_000), &[b'x'; 60_000]].concat();
    let body = [&order.fields(&[0, 0, 0, length, length])[..], &frame, &comment].concat();
    let file = [order.section(), order.interface(101, &[]), order.block(6, &body)].concat();
    let read = Read::whole(&file);
    assert_eq!((read.count("packets"), &read.cut), (1, &None));
    // A packet that says it is longer than its block contradicts itself, and harms nothing else.
    let body = [&order.fields(&[0, 0, 0, 1_000, 1_000])[..], &[0; 8]].concat();
    let behind = order.enhanced(0, TIME / 1_000, &packet(&datagram(b"event")));
    let file = [order.section(), order.interface(101, &[]), order.block(6, &body), behind].concat();
    let read = Read::whole(&file);
    assert_eq!((read.count("malformed"), read.datagrams.len()), (1, 1));
}
