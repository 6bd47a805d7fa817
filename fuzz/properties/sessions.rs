//! Whole sessions: a stranger's datagrams change nothing but counts; a member's may say what they like, and every stream's
//! books balance.

use super::sealed::KEY;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use switchcast_native::event::Event;
use switchcast_native::frame;
use switchcast_native::keys::{GroupKey, KeyRing, Purpose};
use switchcast_native::limits::{ASIDE_BYTES, ASIDE_STREAMS, FOLLOWED_STREAMS, STREAM_BYTES, WAITING_BYTES};
use switchcast_native::reliable::given::Given;
use switchcast_native::reliable::random::Randomness;
use switchcast_native::reliable::receive::{ReceiveSession, ReceiveSettings};
use switchcast_native::reliable::transmit::{TransmitSession, TransmitSettings};
use switchcast_native::reliable::{MILLISECOND, Mode, Nanos, SECOND, To};
use switchcast_native::sealed::cipher::Subkey;
use switchcast_native::sealed::header::{Header, Kind, StreamId, TAG};
use switchcast_native::traced::{self, Mac};

/// The stream that the seeds name; a hello and a request for it are taken to mean the sender's own.
const SEED_STREAM: StreamId = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// The wall clock that the seeds' beacons tell.
const WALL: u64 = 1_800_000_000_000;
/// Bytes in front of each datagram: milliseconds that pass, and its length.
const STEP: usize = 3;
/// Datagrams of one input at most.
const STEPS: usize = 64;
/// Events that a sender has sent before it is asked for some.
const EVENTS: u64 = 20;

/// Datagrams with the time between them, as a stranger's and as a member's; the first bit says for which mode. Says
/// whether a member brought an event.
pub fn sessions(data: &[u8]) -> bool {
    let mode = if data.first().is_some_and(|first| first % 2 == 0) { Mode::Sealed } else { Mode::Traced };
    let datagrams = cut(data);
    strangers(mode, &datagrams);
    requests(mode, &datagrams);
    members(mode, &datagrams) > 0
}

/// Each datagram, and the moment at which it comes.
fn cut(mut data: &[u8]) -> Vec<(Nanos, Vec<u8>)> {
    let (mut now, mut datagrams) = (SECOND, Vec::new());
    while let Some(([pause, high, low], rest)) = data.split_first_chunk::<STEP>()
        && datagrams.len() < STEPS
    {
        now += u64::from(*pause) * u64::from(*pause) * MILLISECOND / 4;
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        datagrams.push((now, rest[..length].to_vec()));
        data = &rest[length..];
    }
    datagrams
}

fn ring() -> KeyRing {
    KeyRing::new(vec![GroupKey::new(KEY)]).unwrap_or_else(|_| panic!("one key is a ring"))
}

/// Four senders, by when they are heard.
fn address(now: Nanos) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4242 + (now / MILLISECOND % 4) as u16))
}

fn receiver(mode: Mode) -> ReceiveSession {
    let settings = ReceiveSettings { random: Randomness::seeded(1), ..ReceiveSettings::new(mode) };
    ReceiveSession::new(settings, Some(ring()), 0)
}

fn count(counters: &[(&'static str, u64)], name: &str) -> u64 {
    counters.iter().find(|(known, _)| *known == name).map_or_else(|| panic!("no counter {name}"), |(_, count)| *count)
}

/// What nobody sealed: nothing is given, nothing is sent, nothing is kept, and each is counted.
fn strangers(mode: Mode, datagrams: &[(Nanos, Vec<u8>)]) {
    let (mut session, mut sender) = (receiver(mode), transmitter(mode, 0));
    let nothing = &mut |given: Given<'_>| panic!("a stranger is not heard: {given:?}");
    for (now, datagram) in datagrams {
        session.hear(&mut datagram.clone(), address(*now), *now, WALL, nothing);
        sender.hear(&mut datagram.clone(), address(*now), *now, WALL);
        session.tick(*now, WALL, nothing);
        assert!(
            session.outgoing().next().is_none() && sender.outgoing().next().is_none(),
            "a stranger is not answered"
        );
    }
    let counters = session.counters();
    assert_eq!(session.rejected.total() + count(&counters, "not_for_us"), datagrams.len() as u64);
    assert!(
        ["streams_now", "streams_aside_now", "bytes_aside_now", "bytes_waiting_now"]
            .iter()
            .all(|name| count(&counters, name) == 0)
    );
    assert_eq!(sender.rejected.total(), datagrams.len() as u64);
    assert_eq!(count(&sender.counters(), "receivers_known"), 0);
}

/// The same as a member would have sent it. Says how many events were given.
fn members(mode: Mode, datagrams: &[(Nanos, Vec<u8>)]) -> u64 {
    let mut session = receiver(mode);
    let (mut events, mut next) = (0, BTreeMap::<StreamId, u64>::new());
    let mut give = |given: Given<'_>| {
        let (stream, range) = match given {
            Given::Event { at: Some(at), .. } => {
                events += 1;
                (at.stream, at.sequence..at.sequence + 1)
            }
            Given::Gap(gap) => (gap.stream, gap.range),
            Given::Event { at: None, .. } => panic!("stock is not delivered"),
        };
        let before = next.insert(stream, range.end).unwrap_or(0);
        assert!(before <= range.start && range.start < range.end, "in order, and once");
    };
    for (now, datagram) in datagrams {
        session.hear(&mut sealed(datagram, &SEED_STREAM), address(*now), *now, WALL, &mut give);
        session.tick(*now, WALL, &mut give);
        session.outgoing().for_each(drop);
        balance(&session);
    }
    let mut now = datagrams.last().map_or(0, |(now, _)| *now);
    for _ in 0..20 {
        now += SECOND;
        session.tick(now, WALL, &mut give);
        session.outgoing().for_each(drop);
        balance(&session);
    }
    session.end(now, &mut give);
    balance(&session);
    events
}

/// `sent = delivered + gaps + rejects` in every stream, and what waits is bounded.
fn balance(session: &ReceiveSession) {
    for row in session.streams() {
        let told = row.delivered + row.gaps + row.signatures + row.rejected + row.held;
        assert_eq!(row.next - row.first, told, "{row:?}");
    }
    let counters = session.counters();
    assert!(count(&counters, "bytes_waiting_now") <= WAITING_BYTES.min(STREAM_BYTES * FOLLOWED_STREAMS) as u64);
    assert!(count(&counters, "bytes_aside_now") <= (ASIDE_BYTES * ASIDE_STREAMS) as u64);
    assert!(count(&counters, "streams_now") <= FOLLOWED_STREAMS as u64);
}

fn transmitter(mode: Mode, events: u64) -> TransmitSession {
    let settings = TransmitSettings { random: Randomness::seeded(2), ..TransmitSettings::new(mode, b"fs1") };
    let mut session = TransmitSession::new(settings, Some(ring()), 0, WALL);
    let mut out = Vec::new();
    for number in 1..=events {
        let text = format!("Event-Name: HEARTBEAT\nNumber: {}\n\n", "x".repeat(number as usize * 200));
        let event = Event::parse(text.as_bytes()).expect("it is one");
        session.send(&event, b"Multicast-Sender: fs1\n", 0, &mut out).expect("it is small");
    }
    session
}

/// Requests of members whose addresses nobody has seen proof of: what they are answered is at most threefold.
fn requests(mode: Mode, datagrams: &[(Nanos, Vec<u8>)]) {
    let mut session = transmitter(mode, EVENTS);
    let (mut heard, mut answered) = (0, 0);
    let own = session.stream();
    for (now, datagram) in datagrams {
        let mut datagram = sealed(datagram, &own);
        heard += datagram.len();
        session.hear(&mut datagram, address(*now), *now, WALL);
        session.tick(*now, WALL);
        for outgoing in session.outgoing() {
            answered += if outgoing.to == To::Group { 0 } else { outgoing.bytes.len() };
        }
        assert!(answered <= 3 * heard, "{answered} bytes for {heard}");
    }
}

/// The datagram as a member would have sealed or stamped it; what is neither a frame nor traced, as it is.
fn sealed(datagram: &[u8], own: &StreamId) -> Vec<u8> {
    let key = GroupKey::new(KEY);
    if let Ok((header, rest)) = Header::read(datagram) {
        let header = Header { key: key.id(), ..header };
        let mut payload = rest[..rest.len() - TAG].to_vec();
        if matches!(header.kind, Kind::Hello | Kind::Request) && payload.starts_with(&SEED_STREAM) {
            payload[..SEED_STREAM.len()].copy_from_slice(own);
        }
        let mut sealed = Vec::new();
        Subkey::new(&key, &header.stream, header.cipher).seal(&header, &payload, &mut sealed);
        return sealed;
    }
    let text = frame::text_of(datagram).unwrap_or(datagram);
    let (Ok(Some(stamp)), Ok(event)) = (traced::read(text), Event::parse(text)) else {
        return datagram.to_vec();
    };
    let mac = Mac::new(&key.subkey(&stamp.stream, Purpose::Mac));
    let mut sent = traced::stamped(&event, b"", &stamp.stream, stamp.sequence, Some((key.id(), &mac)));
    sent.extend_from_slice(&frame::TAIL);
    sent
}
