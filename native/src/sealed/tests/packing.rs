use super::*;
use proptest::prelude::*;

const HEARTBEAT: &[u8] = b"Event-Name: HEARTBEAT\nCore-UUID: 774efe72-0b02-4ad5-b685-481f4ce4aaff\n\
    FreeSWITCH-Hostname: fs1.example.com\nFreeSWITCH-Switchname: fs1.example.com\n\
    Event-Calling-File: switch_core.c\nEvent-Calling-Function: send_heartbeat\nEvent-Calling-Line-Number: 95\n\
    Event-Info: System%20Ready\nSession-Count: 0\nMax-Sessions: 1000\nSession-Per-Sec: 30\nHeartbeat-Interval: 20\n\n";

fn packed(text: &[u8]) -> (u16, Vec<u8>) {
    let mut packer = Packer::default();
    let (dictionary, packed) = packer.pack(text);
    (dictionary, packed.to_vec())
}

/// Packed as ours is, but with other parameters.
fn packed_with(parameter: CParameter, text: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER).unwrap();
    compressor.set_parameter(parameter).unwrap();
    compressor.compress(text).unwrap()
}

#[test]
fn the_dictionary_is_the_one_that_its_id_says() {
    assert_eq!(zstd::zstd_safe::get_dict_id_from_dict(DICTIONARY_BYTES).unwrap().get(), u32::from(DICTIONARY));
    let digest = ring::digest::digest(&ring::digest::SHA256, DICTIONARY_BYTES);
    let first = u64::from_be_bytes(digest.as_ref()[..8].try_into().unwrap());
    assert_eq!(first, 0x5bb4_a88f_8365_fb94, "a dictionary with other bytes needs another id");
}

#[test]
fn an_event_is_packed_to_a_fraction_and_back() {
    let (dictionary, packed) = packed(HEARTBEAT);
    assert_eq!(dictionary, DICTIONARY);
    assert!(packed.len() < HEARTBEAT.len() / 2, "{} bytes", packed.len());
    assert_eq!(Unpacker::default().unpack(dictionary, &packed), Ok(HEARTBEAT));
}

#[test]
fn what_gets_no_smaller_is_left_as_it_is() {
    for text in [&b""[..], b"\n", b"x\xE2"] {
        assert_eq!(packed(text), (NO_DICTIONARY, text.to_vec()));
    }
    assert_eq!(Unpacker::default().unpack(NO_DICTIONARY, b"\n"), Ok(&b"\n"[..]));
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was_and_never_longer(
        texts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3_000),
                (any::<u8>(), 0..20_000usize).prop_map(|(byte, length)| vec![byte; length]),
                prop::sample::subsequence(HEARTBEAT.to_vec(), 0..HEARTBEAT.len()),
            ],
            1..5,
        ),
    ) {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        for text in &texts {
            let (dictionary, packed) = packer.pack(text);
            prop_assert!(packed.len() <= text.len());
            prop_assert_eq!(unpacker.unpack(dictionary, packed), Ok(&text[..]));
        }
    }

    #[test]
    fn whatever_a_member_sends_is_unpacked_within_bounds_or_refused(
        dictionary in 0..3u16,
        start in prop::sample::select(vec![vec![], packed(HEARTBEAT).1, packed(&[0; SEALED_EVENT_BYTES]).1]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        behind in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = [start, behind].concat();
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        let mut unpacker = Unpacker::default();
        match unpacker.unpack(dictionary, &bytes) {
            Ok(text) => prop_assert!(text.len() <= SEALED_EVENT_BYTES),
            Err(reason) => prop_assert_eq!(reason, Reject::BadPayload),
        }
        prop_assert!(unpacker.text.capacity() <= SEALED_EVENT_BYTES);
    }
}

#[test]
fn the_largest_event_is_taken_and_one_byte_more_is_not() {
    let text = vec![b'x'; SEALED_EVENT_BYTES + 1];
    let mut unpacker = Unpacker::default();
    for (length, is_taken) in [(SEALED_EVENT_BYTES, true), (SEALED_EVENT_BYTES + 1, false)] {
        let (dictionary, packed) = packed(&text[..length]);
        assert_eq!(unpacker.unpack(dictionary, &packed).is_ok(), is_taken);
        assert_eq!(unpacker.unpack(NO_DICTIONARY, &text[..length]).is_ok(), is_taken);
    }
}

#[test]
fn a_bomb_is_refused_before_room_is_made_for_it() {
    let bomb = packed(&vec![0; 64 * SEALED_EVENT_BYTES]).1;
    assert!(bomb.len() < SEALED_EVENT_BYTES / 100, "{} bytes are no bomb", bomb.len());
    let mut unpacker = Unpacker::default();
    assert_eq!(unpacker.unpack(DICTIONARY, &bomb), Err(Reject::BadPayload));
    assert_eq!(unpacker.text.capacity(), 0);
}

#[test]
fn a_bomb_that_says_it_is_small_fills_no_more_than_it_said() {
    let mut bomb = packed(&vec![0; 64 * SEALED_EVENT_BYTES]).1;
    // Four bytes of length, little-endian, behind the magic number, the descriptor and the window (RFC 8878, 3.1.1.1).
    assert_eq!(bomb[6..10], (64 * SEALED_EVENT_BYTES as u32).to_le_bytes());
    bomb[6..10].copy_from_slice(&1_000u32.to_le_bytes());
    let mut unpacker = Unpacker::default();
    assert_eq!(unpacker.unpack(DICTIONARY, &bomb), Err(Reject::BadPayload));
    assert!(unpacker.text.capacity() < 2_000);
}

#[test]
fn what_is_not_one_whole_frame_of_ours_is_refused() {
    let mut unpacker = Unpacker::default();
    let good = packed(HEARTBEAT).1;
    let mut refused = |packed: &[u8], why: &str| {
        assert_eq!(unpacker.unpack(DICTIONARY, packed), Err(Reject::BadPayload), "{why}");
    };
    (0..good.len()).for_each(|length| refused(&good[..length], "cut short"));
    refused(&[&good[..], b"\0"].concat(), "a byte behind it");
    refused(&[&good[..], &good].concat(), "two of them");
    refused(&packed_with(CParameter::ContentSizeFlag(false), HEARTBEAT), "no length");
    refused(HEARTBEAT, "no frame at all");
    assert_eq!(unpacker.unpack(2, &good), Err(Reject::BadPayload));
}

#[test]
fn in_the_long_run_nothing_is_allocated() {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (dictionary, packed) = packer.pack(HEARTBEAT);
        unpacker.unpack(dictionary, packed).unwrap();
        seen.push((packer.packed.as_ptr(), unpacker.text.as_ptr()));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}
