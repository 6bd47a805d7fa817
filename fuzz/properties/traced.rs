//! Stamps in stock datagrams.

use super::sealed::KEY;
use switchcast_native::event::Event;
use switchcast_native::keys::{GroupKey, Purpose};
use switchcast_native::limits::HEADERS;
use switchcast_native::reject::Reject;
use switchcast_native::sealed::header::{KeyId, StreamId};
use switchcast_native::traced::{self, Mac, STAMP, Stamp};

const STREAM: StreamId = [0xA7; 16];

/// Any text has a stamp, none, or a wrong one; an event that is stamped reads back, its MAC holds, and holds no more with
/// any one bit changed. Says whether the text is an event.
pub fn stamp(text: &[u8]) -> bool {
    let found = traced::read(text);
    if let Ok(Some(stamp)) = &found {
        assert!(stamp.lines.end <= text.len() && stamp.lines.len() <= STAMP && stamp.sequence > 0);
        assert_eq!(traced::without_stamp(text, stamp).len(), text.len() - stamp.lines.len());
        let mac = mac(&stamp.stream);
        assert!(matches!(mac.verify(text, stamp), Err(Reject::NotAuthentic | Reject::Untraced)));
    }
    let Ok(event) = Event::parse(text) else {
        return false;
    };
    let sequence = text.len() as u64 + 1;
    let key = GroupKey::new(KEY).id();
    let mac = mac(&STREAM);
    for proof in [None, Some((key, &mac))] {
        let sent = traced::stamped(&event, b"", &STREAM, sequence, proof);
        let stamp = traced::read(&sent).expect("a stamp of ours is a right one").expect("and is found");
        assert_eq!((stamp.stream, stamp.sequence), (STREAM, sequence));
        assert_eq!(stamp.proof.as_ref().map(|(key, _)| *key), proof.map(|(key, _)| key));
        if found == Ok(None) {
            assert_eq!(*traced::without_stamp(&sent, &stamp), *text, "the text is given back");
        }
        if event.len() + 4 <= HEADERS {
            let read = Event::parse(&sent).expect("it is an event still");
            assert_eq!(read.body(), event.body());
        }
        if proof.is_some() {
            assert_eq!(mac.verify(&sent, &stamp), Ok(()));
            changed(&mac, key, sent);
        }
    }
    true
}

fn mac(stream: &StreamId) -> Mac {
    Mac::new(&GroupKey::new(KEY).subkey(stream, Purpose::Mac))
}

/// One bit is changed, somewhere.
fn changed(mac: &Mac, key: KeyId, mut sent: Vec<u8>) {
    let bit = sent.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let bit = bit % (8 * sent.len());
    sent[bit / 8] ^= 1 << (bit % 8);
    match traced::read(&sent) {
        // Another key's id: its owner looks the key up, and does not have this one.
        Ok(Some(Stamp { proof: Some((named, _)), .. })) if named != key => (),
        Ok(Some(stamp)) => assert!(mac.verify(&sent, &stamp).is_err(), "bit {bit} is not authenticated"),
        Ok(None) | Err(_) => (),
    }
}
