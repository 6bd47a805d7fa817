use super::*;

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
