use super::super::header::{Cipher, Kind, PAYLOAD};
use super::*;

const STREAM: StreamId = [3; 16];
const ALICE: [u8; KEY] = [11; KEY];
const MALLORY: [u8; KEY] = [12; KEY];

fn header(sequence: u64) -> Header {
    Header {
        kind: Kind::Signature,
        key: [1; 4],
        sender: [2; 8],
        stream: STREAM,
        sequence,
        fragment: 0,
        fragments: 1,
        flags: 0,
        cipher: Cipher::default(),
        dictionary: 0,
    }
}

fn text(sequence: u64) -> Vec<u8> {
    format!("Event-Name: HEARTBEAT\nEvent-Sequence: {sequence}\n\n").into_bytes()
}

/// The signature of events `first` to `first + count - 1`.
fn signature(seed: &[u8; KEY], first: u64, count: u64) -> Vec<u8> {
    let mut signing = Signing::new(seed);
    for sequence in first..first + count {
        signing.add(&STREAM, sequence, &text(sequence));
    }
    signing.sign(&header(first + count)).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(&[("bob".into(), public_key(&[13; KEY])), ("alice".into(), public_key(&ALICE))])
}

#[test]
fn a_signature_vouches_for_its_events_at_their_places_and_for_nothing_else() {
    let vouched = verifier().verify(&header(10), &signature(&ALICE, 7, 3)).unwrap();
    assert_eq!((vouched.signer.name().as_str(), vouched.sequences()), ("alice", 7..10));
    for sequence in 0..20 {
        assert_eq!(vouched.vouches_for(sequence, &text(sequence)), (7..10).contains(&sequence));
    }
    assert!(!vouched.vouches_for(8, &text(7)), "at another place");
    assert!(!vouched.vouches_for(7, b""), "another text");
}

#[test]
fn a_full_batch_fits_one_frame() {
    let mut signing = Signing::new(&ALICE);
    assert_eq!((signing.is_empty(), signing.sign(&header(1))), (true, None));
    for sequence in 1..=BATCH as u64 {
        assert_eq!(signing.add(&STREAM, sequence, b""), sequence == BATCH as u64);
    }
    let payload = signing.sign(&header(BATCH as u64 + 1)).unwrap();
    assert!(payload.len() <= PAYLOAD && signing.is_empty());
    assert_eq!(verifier().verify(&header(65), &payload).unwrap().sequences(), 1..65);
}

#[test]
fn only_the_keys_that_are_listed_count() {
    let forged = signature(&MALLORY, 7, 3);
    assert_eq!(verifier().verify(&header(10), &forged), Err(Reject::BadSignature));
    assert_eq!(Verifier::new(&[]).verify(&header(10), &signature(&ALICE, 7, 3)), Err(Reject::BadSignature));
    let mut pretended = forged;
    pretended[8..16].copy_from_slice(&public_key(&ALICE)[..8]);
    assert_eq!(verifier().verify(&header(10), &pretended), Err(Reject::BadSignature));
}

#[test]
fn a_signature_holds_for_no_other_frame() {
    let payload = signature(&ALICE, 7, 3);
    let good = header(10);
    for moved in [
        Header { key: [9; 4], ..good },
        Header { sender: [9; 8], ..good },
        Header { stream: [9; 16], ..good },
        Header { sequence: 11, ..good },
    ] {
        assert_eq!(verifier().verify(&moved, &payload), Err(Reject::BadSignature), "{moved:?}");
    }
    let again = Header { flags: super::super::header::FLAG_REPAIR, ..good };
    assert!(verifier().verify(&again, &payload).is_ok(), "it may be sent again");
}

#[test]
fn a_signature_that_is_changed_cut_or_longer_is_refused() {
    let payload = signature(&ALICE, 7, 3);
    for bit in 0..payload.len() * 8 {
        let mut changed = payload.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verifier().verify(&header(10), &changed).is_err(), "bit {bit}");
    }
    for length in 0..payload.len() {
        assert_eq!(verifier().verify(&header(10), &payload[..length]), Err(Reject::MalformedFrame));
    }
    assert_eq!(verifier().verify(&header(10), &[&payload[..], b"\0"].concat()), Err(Reject::MalformedFrame));
}

#[test]
fn a_batch_that_could_not_be_is_malformed() {
    let body = |first: u64, count: usize| {
        let mut payload = [&first.to_be_bytes()[..], &public_key(&ALICE)[..8], &[count as u8]].concat();
        payload.resize(payload.len() + count * DIGEST + SIGNATURE, 0);
        verifier().verify(&header(10), &payload)
    };
    assert_eq!(body(7, 0), Err(Reject::MalformedFrame));
    assert_eq!(body(7, BATCH + 1), Err(Reject::MalformedFrame));
    assert_eq!(body(u64::MAX, 1), Err(Reject::MalformedFrame));
    assert_eq!(body(u64::MAX - 1, 1), Err(Reject::BadSignature), "the right form, and not signed");
}
