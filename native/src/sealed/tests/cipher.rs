use super::super::header::Kind;
use super::*;
use crate::keys::{KEY, KeyRing};
use proptest::prelude::*;

const CIPHERS: [Cipher; 2] = Cipher::ALL;
const STREAM: StreamId = [6; 16];

fn key(byte: u8) -> GroupKey {
    GroupKey::new([byte; KEY])
}

fn header(cipher: Cipher) -> Header {
    Header {
        kind: Kind::Event,
        key: key(1).id(),
        sender: [5; 8],
        stream: STREAM,
        sequence: 17,
        fragment: 0,
        fragments: 2,
        flags: 0,
        cipher,
        dictionary: 0,
    }
}

fn sealed(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Subkey::new(&key(1), &header.stream, header.cipher).seal(header, payload, &mut frame);
    frame
}

fn opened(subkey: &Subkey, frame: &[u8]) -> Result<Vec<u8>, Reject> {
    let mut frame = frame.to_vec();
    let (header, _) = Header::read(&frame)?;
    subkey.open(&header, &mut frame[HEADER..]).map(|payload| payload.to_vec())
}

#[test]
fn what_is_sealed_opens_and_shows_nothing_of_itself() {
    for cipher in CIPHERS {
        let subkey = Subkey::new(&key(1), &STREAM, cipher);
        for payload in [&b""[..], b"Event-Name: HEARTBEAT", &[b'x'; PAYLOAD]] {
            let frame = sealed(&header(cipher), payload);
            assert_eq!(frame.len(), HEADER + payload.len() + TAG);
            assert_eq!(opened(&subkey, &frame).as_deref(), Ok(payload));
            assert!(payload.is_empty() || !frame.windows(payload.len()).any(|window| window == payload));
        }
    }
}

#[test]
fn frames_are_appended_one_behind_the_other() {
    let subkey = Subkey::new(&key(1), &STREAM, Cipher::default());
    let (first, second) = (header(Cipher::default()), Header { fragment: 1, ..header(Cipher::default()) });
    let mut out = Vec::new();
    subkey.seal(&first, b"one", &mut out);
    subkey.seal(&second, b"two", &mut out);
    assert_eq!(out, [sealed(&first, b"one"), sealed(&second, b"two")].concat());
}

#[test]
fn only_the_same_key_stream_and_cipher_open() {
    for cipher in CIPHERS {
        let frame = sealed(&header(cipher), b"secret");
        let other = CIPHERS[usize::from(cipher == CIPHERS[0])];
        for wrong in [
            Subkey::new(&key(2), &STREAM, cipher),
            Subkey::new(&key(1), &[7; 16], cipher),
            Subkey::new(&key(1), &STREAM, other),
        ] {
            assert_eq!(opened(&wrong, &frame), Err(Reject::NotAuthentic));
        }
    }
}

#[test]
fn a_frame_under_a_retired_key_finds_no_key_and_opens_under_no_other() {
    let frame = sealed(&header(Cipher::default()), b"secret");
    let (under, _) = Header::read(&frame).unwrap();
    let ring = KeyRing::new(vec![key(1), key(2)]).ok().unwrap();
    assert!(ring.get(under.key).is_some());
    let rotated = KeyRing::new(vec![key(2), key(3)]).ok().unwrap();
    assert!(rotated.get(under.key).is_none());
    for live in rotated.iter() {
        let pretended = [&frame[..4], &live.id(), &frame[8..]].concat();
        assert_eq!(opened(&Subkey::new(live, &STREAM, Cipher::default()), &pretended), Err(Reject::NotAuthentic));
    }
}

#[test]
fn any_flipped_bit_is_refused_but_in_the_flags() {
    for cipher in CIPHERS {
        let subkey = Subkey::new(&key(1), &STREAM, cipher);
        let frame = sealed(&header(cipher), b"Event-Name: HEARTBEAT\n\n");
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let is_flag = bit / 8 == 44;
            assert_eq!(opened(&subkey, &changed).is_ok(), is_flag, "bit {bit}");
        }
    }
}

#[test]
fn a_frame_that_is_cut_or_longer_is_refused() {
    for cipher in CIPHERS {
        let subkey = Subkey::new(&key(1), &STREAM, cipher);
        let frame = sealed(&header(cipher), b"Event-Name: HEARTBEAT\n\n");
        assert!((0..frame.len()).all(|length| opened(&subkey, &frame[..length]).is_err()));
        assert_eq!(opened(&subkey, &[&frame[..], b"\0"].concat()), Err(Reject::NotAuthentic));
        for length in 0..TAG {
            assert_eq!(subkey.open(&header(cipher), &mut vec![0; length]), Err(Reject::NotAuthentic));
        }
    }
}

#[test]
fn payloads_cannot_change_places() {
    let subkey = Subkey::new(&key(1), &STREAM, Cipher::default());
    let first = header(Cipher::default());
    let second = Header { fragment: 1, ..first };
    let (one, two) = (sealed(&first, b"one"), sealed(&second, b"two"));
    let swapped = [&one[..HEADER], &two[HEADER..]].concat();
    assert_eq!(opened(&subkey, &swapped), Err(Reject::NotAuthentic));
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

/// What a nonce is made of: near one another as often as far apart.
fn any_place() -> impl Strategy<Value = (Kind, u64, u16)> {
    (any_kind(), prop_oneof![0..4u64, any::<u64>()], prop_oneof![0..4u16, any::<u16>()])
}

proptest! {
    #[test]
    fn a_nonce_is_shared_by_no_other_fragment_sequence_or_space(one in any_place(), other in any_place()) {
        let nonce = |(kind, sequence, fragment)| Header { kind, sequence, fragment, ..header(CIPHERS[0]) }.nonce();
        let place = |(kind, sequence, fragment): (Kind, u64, u16)| (kind.is_counted(), sequence, fragment);
        prop_assert_eq!(nonce(one) == nonce(other), place(one) == place(other));
    }
}
