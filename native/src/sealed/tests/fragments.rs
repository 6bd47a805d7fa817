use super::super::header::Cipher;
use super::*;
use proptest::prelude::*;

fn header(sequence: u64, fragment: u16, fragments: u16) -> Header {
    Header {
        kind: Kind::Event,
        key: [1; 4],
        sender: [2; 8],
        stream: [3; 16],
        sequence,
        fragment,
        fragments,
        flags: 0,
        cipher: Cipher::default(),
        dictionary: 0,
    }
}

/// Bytes that differ from fragment to fragment.
fn packed(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / PAYLOAD * 31 + place) as u8).collect()
}

#[test]
fn an_event_is_cut_into_full_frames_and_a_last_one() {
    for (length, lengths) in [
        (0, vec![0]),
        (1, vec![1]),
        (PAYLOAD, vec![PAYLOAD]),
        (PAYLOAD + 1, vec![PAYLOAD, 1]),
        (3 * PAYLOAD, vec![PAYLOAD; 3]),
    ] {
        let whole = packed(length);
        let cut: Vec<_> = split(&whole).collect();
        assert_eq!(cut.iter().map(|(_, _, bytes)| bytes.len()).collect::<Vec<_>>(), lengths);
        assert!(cut.iter().enumerate().all(|(place, cut)| cut.0 as usize == place && cut.1 as usize == lengths.len()));
    }
    assert_eq!(split(&packed(SEALED_EVENT_BYTES)).count(), FRAGMENTS as usize);
}

#[test]
fn a_bitmap_of_the_largest_event_fits_a_request() {
    assert!((FRAGMENTS as usize).div_ceil(8) <= 128);
}

proptest! {
    #[test]
    fn fragments_in_any_order_and_repeated_give_the_event(
        length in 0..5 * PAYLOAD,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let whole = packed(length);
        let cut: Vec<_> = split(&whole).collect();
        let mut assembler = Assembler::default();
        let mut missing: Vec<bool> = vec![true; cut.len()];
        for index in order.iter().map(|index| index.index(cut.len())).chain(0..cut.len()) {
            let (number, count, bytes) = cut[index];
            missing[index] = false;
            let given = assembler.put(&header(9, number, count), bytes).unwrap();
            if missing.iter().any(|missing| *missing) {
                prop_assert_eq!(given, None);
                prop_assert_eq!(assembler.partials().collect::<Vec<_>>(), [9]);
                let told = assembler.missing(9).unwrap();
                prop_assert_ne!(told.last(), Some(&0));
                for (place, missing) in missing.iter().enumerate() {
                    let bit = told.get(place / 8).is_some_and(|bits| bits >> (place % 8) & 1 == 1);
                    prop_assert_eq!(bit, *missing);
                    prop_assert_eq!(assembler.holds(&header(9, place as u16, count)), !missing);
                }
            } else {
                prop_assert_eq!(given, Some(whole));
                prop_assert_eq!((assembler.len(), assembler.bytes(), assembler.missing(9)), (0, 0, None));
                return Ok(());
            }
        }
    }

    #[test]
    fn whatever_comes_memory_stays_bounded(
        frames in prop::collection::vec((0..40u64, 0..1_100u16, 0..1_100u16, 0..PAYLOAD + 2), 1..400),
    ) {
        let mut assembler = Assembler::default();
        for (sequence, one, other, length) in frames {
            let frame = header(sequence, one.min(other), one.max(other) + 1);
            let length = if length % 2 == 0 { PAYLOAD } else { length };
            let _ = assembler.put(&frame, &vec![7; length]);
            prop_assert!(assembler.bytes() <= PARTIAL_BYTES && assembler.len() <= PARTIAL_EVENTS);
            let held: usize = assembler.partials.values().map(|partial| size(partial.fragments)).sum();
            prop_assert_eq!(assembler.bytes(), held);
        }
        assembler.forget_below(40);
        prop_assert_eq!((assembler.bytes(), assembler.is_empty()), (0, true));
    }
}

#[test]
fn a_fragment_that_disagrees_is_refused_and_harms_nothing() {
    let whole = packed(2 * PAYLOAD + 5);
    let cut: Vec<_> = split(&whole).collect();
    let mut assembler = Assembler::default();
    assert_eq!(assembler.put(&header(1, 0, 3), cut[0].2), Ok(None));
    let good = header(1, 1, 3);
    for (wrong, bytes) in [
        (Header { fragments: 4, ..good }, cut[1].2),
        (Header { fragment: 0, fragments: 1, ..good }, cut[1].2),
        (Header { kind: Kind::Signature, ..good }, cut[1].2),
        (Header { dictionary: 1, ..good }, cut[1].2),
        (good, &cut[1].2[1..]),
        (good, b""),
        (Header { fragment: 3, ..good }, cut[2].2),
        (Header { fragment: 2, ..good }, b""),
        (Header { fragment: 2, ..good }, &[0; PAYLOAD + 1]),
    ] {
        assert_eq!(assembler.put(&wrong, bytes), Err(Reject::MalformedFrame), "{wrong:?}");
        assert_eq!(assembler.missing(1), Some(vec![0b110]));
    }
    assert_eq!(assembler.put(&header(1, 2, 3), cut[2].2), Ok(None));
    assert_eq!(assembler.put(&header(1, 1, 3), cut[1].2), Ok(Some(whole)));
}

#[test]
fn an_event_that_would_be_too_large_is_refused_before_anything_is_kept_for_it() {
    let mut assembler = Assembler::default();
    let full = [0; PAYLOAD];
    assert_eq!(assembler.put(&header(1, 0, FRAGMENTS + 1), &full), Err(Reject::BadPayload));
    assert_eq!(assembler.put(&header(1, 0, u16::MAX), &full), Err(Reject::BadPayload));
    assert!(assembler.is_empty());
    assert_eq!(assembler.put(&header(1, 0, FRAGMENTS), &full), Ok(None));
    assert_eq!(assembler.bytes(), FRAGMENTS as usize * PAYLOAD);
}

#[test]
fn when_there_is_no_room_the_highest_sequences_make_way() {
    let mut assembler = Assembler::default();
    let full = [0; PAYLOAD];
    for sequence in 1..=PARTIAL_EVENTS as u64 {
        assert_eq!(assembler.put(&header(sequence * 2, 0, 2), &full), Ok(None));
    }
    let highest = PARTIAL_EVENTS as u64 * 2;
    assert_eq!(assembler.put(&header(highest + 1, 0, 2), &full), Ok(None));
    assert_eq!((assembler.missing(highest + 1), assembler.displaced()), (None, 1));
    assert_eq!(assembler.put(&header(3, 0, 2), &full), Ok(None));
    assert_eq!((assembler.missing(highest), assembler.missing(3)), (None, Some(vec![0b10])));
    assert_eq!((assembler.len(), assembler.displaced()), (PARTIAL_EVENTS, 2));

    // The lowest one always has room, however much of it the others took.
    assert_eq!(assembler.put(&header(1, 0, FRAGMENTS), &full), Ok(None));
    let largest = PARTIAL_BYTES / size(FRAGMENTS);
    for sequence in 0..=largest as u64 {
        assert_eq!(assembler.put(&header(highest + 10 + sequence, 0, FRAGMENTS), &full), Ok(None));
    }
    assert!(assembler.missing(1).is_some() && assembler.bytes() <= PARTIAL_BYTES);
}
