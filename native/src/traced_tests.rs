use super::*;
use proptest::prelude::*;

const STREAM_ID: StreamId = [0xAB; 16];
const KEY_ID: KeyId = [1, 2, 3, 4];

fn event(text: &[u8]) -> Event {
    Event::parse(text).unwrap()
}

fn mac() -> Mac {
    Mac::new(&[7; KEY])
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[test]
fn the_stamp_stands_in_front_of_the_sender() {
    let sent = stamped(&event(b"Event-Name: HEARTBEAT\n\n"), b"Multicast-Sender: fs1\n", &STREAM_ID, 17, None);
    let expected = "Event-Name: HEARTBEAT\nMulticast-Stream: abababababababababababababababab\n\
                    Multicast-Sequence: 17\nMulticast-Sender: fs1\n\n";
    assert_eq!(shown(&sent), expected);
    let stamp = read(&sent).unwrap().unwrap();
    assert_eq!((stamp.stream, stamp.sequence, &stamp.proof), (STREAM_ID, 17, &None));
    assert_eq!(shown(&without_stamp(&sent, &stamp)), "Event-Name: HEARTBEAT\nMulticast-Sender: fs1\n\n");
    assert_eq!(mac().verify(&sent, &stamp), Err(Reject::Untraced));
}

#[test]
fn what_was_stamped_reads_back_whatever_the_event() {
    let texts: [&[u8]; 8] = [
        b"\n",
        b"A: 1\n\n",
        b"A: 1\nMulticast-Sender: fs1\n\n",
        b"A: 1\nmulticast-sender:fs1\nContent-Length: 2\n\n\n\n",
        b"A: 1\ncontent-length: 9\nContent-Length: 0\n\n",
        b"content-length: 2\nA: 1\n\n\n\n",
        b"Multicast-Sender: a: 1\n\n",
        b"A: 1\nContent-Length: 33\n\nx\nMulticast-Sequence: 1\nB: 2\n\n\xE2\n\n",
    ];
    for text in texts {
        let event = event(text);
        for sequence in [1, 9, 10, u64::MAX] {
            let sent = stamped(&event, b"", &STREAM_ID, sequence, Some((KEY_ID, &mac())));
            let stamp = read(&sent).unwrap().unwrap();
            assert_eq!((stamp.stream, stamp.sequence), (STREAM_ID, sequence), "{}", shown(&sent));
            assert_eq!(mac().verify(&sent, &stamp), Ok(()));
            assert_eq!(shown(&without_stamp(&sent, &stamp)), shown(text));
            assert_eq!(Event::parse(&sent).unwrap().len(), event.len() + 3);
        }
    }
}

#[test]
fn a_stamp_that_the_event_carries_is_replaced() {
    let old = stamped(&event(b"A: 1\nMulticast-Sender: fs1\n\n"), b"", &[1; 16], 5, Some((KEY_ID, &mac())));
    let new = stamped(&event(&old), b"", &STREAM_ID, 6, None);
    let stamp = read(&new).unwrap().unwrap();
    assert_eq!((stamp.stream, stamp.sequence, stamp.proof.is_some()), (STREAM_ID, 6, false));
    assert_eq!(shown(&without_stamp(&new, &stamp)), "A: 1\nMulticast-Sender: fs1\n\n");
}

#[test]
fn a_header_that_the_old_stamp_kept_from_being_a_frame_stays_a_header() {
    let old = stamped(&event(b"content-length: 9\nContent-Length: 0\n\n"), b"", &[1; 16], 5, None);
    let carried = [without_frame(&old), b"\n"].concat();
    let new = stamped(&event(&carried), b"", &STREAM_ID, 6, None);
    let stamp = read(&new).unwrap().unwrap();
    assert_eq!(event(&without_stamp(&new, &stamp)).raw(b"Content-Length"), Some(&b"9"[..]));
}

fn without_frame(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"Content-Length: 0\n\n").unwrap()
}

#[test]
fn what_begins_as_a_stamp_and_is_none_is_rejected() {
    let stream = "Multicast-Stream: abababababababababababababababab\n";
    let proof = "Multicast-MAC: 01020304-000102030405060708090a0b0c0d0e0f\n";
    let malformed = [
        stream.to_owned(),
        proof.to_owned(),
        format!("{stream}{proof}"),
        "Multicast-Sequence: 1\n".to_owned(),
        format!("Multicast-Sequence: 1\n{stream}"),
        format!("{stream}A: 1\nMulticast-Sequence: 1\n"),
        format!("{stream}Multicast-Sequence: 0\n"),
        format!("{stream}Multicast-Sequence: 01\n"),
        format!("{stream}Multicast-Sequence: 18446744073709551616\n"),
        format!("{stream}Multicast-Sequence: +1\n"),
        format!("{stream}Multicast-Sequence: \n"),
        format!("{stream}Multicast-Sequence:1\n"),
        format!("{stream}multicast-sequence: 1\n"),
        format!("{}Multicast-Sequence: 1\n", stream.replacen("ab", "AB", 1)),
        format!("{}Multicast-Sequence: 1\n", stream.replacen("ab", "a", 1)),
        format!("{}Multicast-Sequence: 1\n", stream.replacen("ab", "%61b", 1)),
        format!("{stream}Multicast-Sequence: 1\n{}", proof.replace("04-", "04")),
        format!("{stream}Multicast-Sequence: 1\n{}", proof.replacen("0f", "0", 1)),
        format!("{stream}Multicast-Sequence: 1\n{proof}{proof}"),
    ];
    for lines in malformed {
        for end in ["", "Multicast-Sender: fs1\n", "multicast-sender:fs1\nContent-Length: 0\n"] {
            let text = format!("A: 1\n{lines}{end}\n");
            assert_eq!(read(text.as_bytes()), Err(Reject::MalformedStamp), "{text}");
        }
    }
    assert_eq!(read(b"A: 1\n"), Err(Reject::NoEndOfHeaders));
}

#[test]
fn headers_of_these_names_in_any_other_place_are_no_stamp() {
    let lines = "Multicast-Stream: abababababababababababababababab\nMulticast-Sequence: 1\n";
    for text in [
        format!("{lines}A: 1\n\n"),
        format!("{lines}A: 1\nMulticast-Sender: fs1\n\n"),
        format!("Multicast-Sender: fs1\n{lines}A: 1\n\n"),
        format!("A: 1\nContent-Length: {}\n\n{lines}\n", lines.len() + 1),
        format!("\n{lines}"),
        "A: 1\nMulticast-Sequence: 1: 2\n\n".to_owned(),
    ] {
        assert_eq!(read(text.as_bytes()), Ok(None), "{text}");
    }
    let after = format!("A: 1\n{lines}Multicast-Sender: fs1\nmulticast-sender: fs2\n\n");
    assert_eq!(read(after.as_bytes()), Ok(None));
}

#[test]
fn a_change_of_any_bit_is_seen() {
    let event = event(b"A: 1\nMulticast-Sender: fs1\nContent-Length: 3\n\nx\ny");
    let sent = stamped(&event, b"", &STREAM_ID, 17, Some((KEY_ID, &mac())));
    for bit in 0..sent.len() * 8 {
        let mut forged = sent.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Some(stamp)) = read(&forged) {
            let is_id = stamp.proof.is_some_and(|(id, _)| id != KEY_ID);
            assert!(is_id || mac().verify(&forged, &stamp).is_err(), "bit {bit}: {}", shown(&forged));
        }
    }
    let stamp = read(&sent).unwrap().unwrap();
    assert_eq!(Mac::new(&[8; KEY]).verify(&sent, &stamp), Err(Reject::NotAuthentic));
}

/// Pieces of which texts are made that are nearly traced.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"Multicast-Stream: abababababababababababababababab\n".to_vec()),
        Just(b"Multicast-Sequence: 1\n".to_vec()),
        Just(b"Multicast-MAC: 01020304-000102030405060708090a0b0c0d0e0f\n".to_vec()),
        Just(b"Multicast-Sender: fs1\n".to_vec()),
        Just(b"Content-Length: 3\n".to_vec()),
        Just(b"content-length: 0\n".to_vec()),
        Just(b"\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
        "[A-Za-z:]{1,6}: [a-z: ]{0,6}\n".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn whatever_is_read_stands_in_its_place(pieces in proptest::collection::vec(piece(), 0..12)) {
        let text = pieces.concat();
        if let Ok(Some(stamp)) = read(&text) {
            let lines = &text[stamp.lines.clone()];
            prop_assert!(lines.starts_with(STREAM) && lines.ends_with(b"\n"));
            prop_assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2 + usize::from(stamp.proof.is_some()));
            let end = headers_of(&text).unwrap().len();
            let behind: Vec<&[u8]> = text[stamp.lines.end..end].split_inclusive(|byte| *byte == b'\n').collect();
            prop_assert!(behind.len() <= 2);
            prop_assert_eq!(without_stamp(&text, &stamp).len() + lines.len(), text.len());
        }
    }

    #[test]
    fn any_event_comes_back_and_is_proven(pieces in proptest::collection::vec(piece(), 0..10), sequence in 1u64..) {
        let text = pieces.concat();
        let Ok(event) = Event::parse(&text) else { return Ok(()) };
        let sent = stamped(&event, b"", &STREAM_ID, sequence, Some((KEY_ID, &mac())));
        let stamp = read(&sent).unwrap().unwrap();
        prop_assert_eq!((stamp.stream, stamp.sequence), (STREAM_ID, sequence));
        prop_assert_eq!(mac().verify(&sent, &stamp), Ok(()));
        let delivered = Event::parse(&without_stamp(&sent, &stamp)).unwrap();
        prop_assert_eq!(delivered.body(), event.body());
        if read(&text) == Ok(None) {
            prop_assert_eq!(delivered.text(), event.text());
        }
    }
}

#[test]
fn hex_digits_are_lower_case_wherever_they_stand() {
    let value = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    for place in 0..8 {
        for byte in 0..=u8::MAX {
            let mut digits = *b"0f9a1e8d";
            digits[place] = byte;
            let mut bytes = [0x0F, 0x9A, 0x1E, 0x8D];
            let shift = if place % 2 == 0 { 4 } else { 0 };
            let expected = value(byte).map(|value| {
                bytes[place / 2] = bytes[place / 2] & !(0x0F << shift) | (value as u8) << shift;
                bytes
            });
            assert_eq!(from_hex::<4>(&digits), expected, "{digits:?}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_filled_up_is_no_part_of_the_text(text in proptest::collection::vec(any::<u8>(), 0..40), more in 1usize..17) {
        let longer = [&text[..], &vec![0; more]].concat();
        prop_assert_ne!(mac().of(1, [&text, b""]), mac().of(1, [&longer, b""]));
        prop_assert_eq!(mac().of(1, [&text, b""]), mac().of(1, [b"", &text]));
    }
}
