//! Signatures: who spoke, not only that a member did.

use super::*;
use crate::limits::HELD_EVENTS;
use crate::reliable::followed::SILENCE;
use crate::sealed::signing::Signing;
use crate::trust::Signer;
use ring::signature::{Ed25519KeyPair, KeyPair};

const SEED: [u8; 32] = [5; 32];

fn public(seed: [u8; 32]) -> [u8; 32] {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    pair.public_key().as_ref().try_into().unwrap()
}

fn knowing(hold_unsigned: bool, sender: &mut Sender) -> Bench {
    let mut bench = Bench::with(
        |settings| {
            settings.signers = vec![("alice".into(), public(SEED))];
            settings.hold_unsigned = hold_unsigned;
        },
        &[1],
    );
    bench.pass(2 * MILLISECOND);
    meet(&mut bench, sender);
    bench
}

fn by_alice(sequences: Range<u64>) -> Vec<Got> {
    let alice = Trust::Signed(Signer::named("alice").unwrap());
    sequences.map(|sequence| Got::Event(sequence, text(sequence), alice)).collect()
}

/// The frame, with this sequence, that signs the events of these sequences with this seed.
fn signature(sender: &mut Sender, seed: [u8; 32], signed: Range<u64>, sequence: u64) -> Arc<[u8]> {
    let mut signing = Signing::new(&seed);
    for sequence in signed {
        signing.add(&sender.stream, sequence, &text(sequence));
    }
    let (mut header, _) = Header::read(&sender.event(sequence)).unwrap();
    (header.kind, header.dictionary) = (Kind::Signature, 0);
    let packed = signing.sign(&header).unwrap();
    sender
        .sealer
        .frames(Counted { kind: Kind::Signature, sequence, dictionary: 0, packed: &packed }, 0, None)
        .next()
        .unwrap()
}

#[test]
fn an_event_waits_for_its_signature() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(true, &mut sender);
    bench.hear_all(sender.events(1..4));
    assert_eq!((bench.take(), bench.row(&sender).held), (vec![], 3));
    bench.hear(&signature(&mut sender, SEED, 1..4, 4));
    assert_eq!(bench.take(), by_alice(1..4));
    let row = bench.row(&sender);
    assert_eq!((row.next, row.delivered, row.signatures, row.held), (5, 3, 1, 0));
}

#[test]
fn what_nobody_known_signed_is_rejected() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(true, &mut sender);
    bench.hear_all(sender.events(1..3));
    bench.hear(&signature(&mut sender, [6; 32], 1..3, 3));
    assert_eq!((bench.take(), bench.rejected(Reject::BadSignature)), (vec![], 3), "and the signature itself");
    bench.hear_all(sender.events(4..7));
    bench.hear(&signature(&mut sender, SEED, 5..7, 7));
    assert_eq!((bench.take(), bench.rejected(Reject::BadSignature)), (by_alice(5..7), 4), "4 is not covered");
    bench.hear_all(sender.events(8..10));
    bench.pass(SILENCE + MILLISECOND);
    assert_eq!((bench.take(), bench.rejected(Reject::BadSignature)), (vec![], 6), "no signature came");
}

#[test]
fn a_lost_signature_is_asked_for_and_events_wait_meanwhile() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(true, &mut sender);
    bench.hear_all([sender.event(1), sender.event(3)]);
    bench.pass(SILENCE - MILLISECOND);
    assert_eq!(bench.asked()[0], 2..3);
    assert_eq!(bench.take(), []);
    bench.hear(&signature(&mut sender, SEED, 1..2, 2));
    bench.hear(&signature(&mut sender, SEED, 3..4, 4));
    assert_eq!(bench.take(), [by_alice(1..2), by_alice(3..4)].concat());
}

#[test]
fn a_gap_is_told_in_its_turn() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(true, &mut sender);
    bench.hear_all([sender.event(1), sender.event(3)]);
    bench.hear(&signature(&mut sender, SEED, 1..4, 4));
    bench.hear(&sender.beacon(5, 3, bench.now));
    bench.pass(60 * MILLISECOND);
    assert_eq!(bench.take(), [by_alice(1..2), vec![Got::Gap(2..3, Lost::Expired)], by_alice(3..4)].concat());
}

#[test]
fn who_does_not_insist_gets_signed_events_as_such_and_others_as_a_members() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(false, &mut sender);
    bench.hear_all(sender.events(1..3));
    assert_eq!(bench.take(), [], "a signature may follow");
    bench.hear(&signature(&mut sender, SEED, 1..3, 3));
    assert_eq!(bench.take(), by_alice(1..3));
    bench.hear_all([sender.event(4), sender.beacon(5, 1, bench.now)]);
    assert_eq!(bench.take(), events(4..5), "no signature came");
    bench.hear(&sender.event(5));
    assert_eq!(bench.take(), events(5..6), "and none is expected any more");
    bench.hear(&signature(&mut sender, SEED, 4..6, 6));
    bench.hear(&sender.event(7));
    assert_eq!(bench.take(), [], "but now it is");
    bench.hear(&signature(&mut sender, SEED, 7..8, 8));
    assert_eq!(bench.take(), by_alice(7..8));
}

#[test]
fn a_beacon_that_says_that_nothing_follows_decides_what_waits() {
    for hold_unsigned in [true, false] {
        let mut sender = Sender::new(1);
        let mut bench = knowing(hold_unsigned, &mut sender);
        bench.hear_all(sender.events(1..3));
        bench.hear(&sender.beacon(4, 1, bench.now));
        assert_eq!(bench.take(), [], "the signature is missing");
        bench.hear(&signature(&mut sender, SEED, 1..3, 3));
        assert_eq!(bench.take(), by_alice(1..3));
        bench.hear_all(sender.events(4..6));
        bench.hear(&sender.beacon(5, 1, bench.now));
        assert_eq!(bench.take(), [], "the beacon is older than what waits");
        bench.hear(&sender.beacon(6, 1, bench.now));
        assert_eq!(bench.take(), if hold_unsigned { vec![] } else { events(4..6) });
        assert_eq!(bench.rejected(Reject::BadSignature), if hold_unsigned { 2 } else { 0 });
    }
}

#[test]
fn signatures_are_nothing_to_who_knows_no_signers() {
    let mut sender = Sender::new(1);
    let mut bench = following(Mode::Sealed, &mut sender);
    bench.hear(&sender.event(1));
    bench.hear(&signature(&mut sender, SEED, 1..2, 2));
    bench.hear(&sender.event(3));
    assert_eq!(bench.take(), [events(1..2), events(3..4)].concat());
    assert_eq!(bench.row(&sender).signatures, 1);
}

#[test]
fn no_more_than_so_many_events_wait() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(true, &mut sender);
    let most = HELD_EVENTS as u64;
    bench.hear_all(sender.events(1..most + 11));
    assert_eq!((bench.row(&sender).held, bench.rejected(Reject::BadSignature)), (most, 10));
}

#[test]
fn no_more_than_so_many_bytes_wait() {
    let mut sender = Sender::new(1);
    let mut bench = knowing(true, &mut sender);
    let mut long = b"Event-Name: API\nContent-Length: 900000\n\n".to_vec();
    long.resize(long.len() + 900_000, b'x');
    for sequence in 1..=6 {
        let frames = sender.frames(sequence, &long, 0);
        bench.hear_all(frames);
    }
    assert_eq!((bench.row(&sender).held, bench.rejected(Reject::BadSignature)), (4, 2));
}
