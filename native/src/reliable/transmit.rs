//! The sending side: events become datagrams for the group, what was sent is kept for a while, and who proves to be a
//! member and to be where it says is sent again what it misses.
//!
//! ```text
//! hearing.rs     hellos and requests: whose are taken, and what they are answered with
//! sealer.rs      what the frames are sealed with
//! history.rs     what can be sent again
//! requesters.rs  the receivers that ask, their addresses' proof and their shares
//! repairs.rs     what is asked for, held for a moment, and answered
//! budget.rs      how much is sent again, and how many strangers' frames are opened
//! ```
//!
//! Without a key, traced events say their stream and sequence and that is all: nobody could prove a request, so nothing
//! is kept and no beacon is sent.

use super::history::{History, traced_text};
use super::message::Beacon;
use super::random::Randomness;
use super::repairs::Repairs;
use super::requesters::Requesters;
use super::sealer::{Counted, Sealer};
use super::{MILLISECOND, Mode, Nanos, Outgoing, SECOND, To, WallMillis};
use crate::event::Event;
use crate::frame;
use crate::keys::{KeyRing, sender_id};
use crate::limits::{DATAGRAM_IPV4_BYTES, SEALED_EVENT_BYTES};
use crate::reject::RejectCounts;
use crate::sealed::header::{Cipher, Kind, SenderId, StreamId};
use crate::sealed::packing::{NO_DICTIONARY, Packer};
use crate::sealed::signing::Signing;
use crate::traced;
use std::sync::Arc;
use std::vec::Drain;

mod hearing;

/// When a beacon follows the last send, so that a lost tail is noticed soon.
const AFTER_LAST: [Nanos; 2] = [20 * MILLISECOND, 100 * MILLISECOND];
/// The same after the end, of which nobody could be told later.
const AFTER_END: [Nanos; 4] = [20 * MILLISECOND, 100 * MILLISECOND, 250 * MILLISECOND, 450 * MILLISECOND];
/// How long there is no beacon at most.
const BEACON: Nanos = 500 * MILLISECOND;
/// How long a session that has ended stays after the last request. Who misses something asks seven times meanwhile.
const LINGER: Nanos = SECOND;
/// How long a request before the end shows that there is somebody who loses datagrams.
const LOSSY: Nanos = 10 * SECOND;
/// How long it stays when nobody asks: for its last beacons, and what they make receivers ask.
const LAST_BEACONS: Nanos = 500 * MILLISECOND;
/// How long it stays when no receiver has ever been heard from.
const NOBODY: Nanos = 200 * MILLISECOND;

/// How a sender is to be. It holds a secret, so it is never shown.
#[derive(Clone)]
pub struct TransmitSettings {
    pub mode: Mode,
    pub cipher: Cipher,
    /// The sender's name, as `Multicast-Sender` says it.
    pub name: Vec<u8>,
    /// Bytes of memory that what was sent is kept in.
    pub keep_bytes: usize,
    /// How long it is kept.
    pub keep_for: Nanos,
    /// Whether anything is kept at all.
    pub repair: bool,
    /// The seed of the Ed25519 key that batches are signed with. Signatures are sealed, so they need a group key too.
    pub signing: Option<[u8; 32]>,
    pub random: Randomness,
}

impl TransmitSettings {
    /// A sender of this name that keeps 64 MiB for 30 s and signs nothing.
    pub fn new(mode: Mode, name: &[u8]) -> TransmitSettings {
        TransmitSettings {
            mode,
            cipher: Cipher::default(),
            name: name.to_vec(),
            keep_bytes: 64 * 1024 * 1024,
            keep_for: 30 * SECOND,
            repair: true,
            signing: None,
            random: Randomness::system(),
        }
    }
}

/// One start of a sender: a stream. It has no socket and no clock.
pub struct TransmitSession {
    mode: Mode,
    cipher: Cipher,
    name: Vec<u8>,
    sender: SenderId,
    stream: StreamId,
    repair: bool,
    keys: Option<Keys>,
    signing: Option<Signing>,
    history: History,
    requesters: Requesters,
    repairs: Repairs,
    outgoing: Vec<Outgoing>,
    /// The sequence of the next control frame.
    control: u64,
    started: Nanos,
    /// When something went out last, for the first time or again.
    last_sent: Nanos,
    last_beacon: Option<Nanos>,
    last_asked: Option<Nanos>,
    ended: Option<Nanos>,
    tally: Tally,
    /// Datagrams that came and were not taken, by reason.
    pub rejected: RejectCounts,
}

struct Keys {
    ring: KeyRing,
    sealer: Arc<Sealer>,
}

#[derive(Default)]
struct Tally {
    events: u64,
    signatures: u64,
    datagrams: u64,
    bytes: u64,
    too_large: u64,
    beacons: u64,
    hellos: u64,
    requests: u64,
    refusals: u64,
    lagging: u64,
    misdirected: u64,
}

impl TransmitSession {
    /// A new stream. `ring` may be missing only in traced mode.
    ///
    /// # Panics
    /// In sealed mode without keys, and when the operating system has no random numbers to give.
    pub fn new(settings: TransmitSettings, ring: Option<KeyRing>, now: Nanos, _wall: WallMillis) -> TransmitSession {
        assert!(settings.mode == Mode::Traced || ring.is_some(), "sealed mode needs a key");
        let TransmitSettings { mode, cipher, name, keep_bytes, keep_for, repair, signing, mut random } = settings;
        let (sender, stream) = (sender_id(&name), random.bytes());
        let sealer_of = |ring: KeyRing| {
            let sealer = Arc::new(Sealer::new(ring.sending(), cipher, sender, stream));
            Keys { ring, sealer }
        };
        TransmitSession {
            mode,
            cipher,
            name,
            sender,
            stream,
            repair,
            signing: signing.filter(|_| ring.is_some()).map(|seed| Signing::new(&seed)),
            keys: ring.map(sealer_of),
            history: History::new(keep_bytes, keep_for),
            requesters: Requesters::new(&mut random, now),
            repairs: Repairs::new(Packer::default(), now),
            outgoing: Vec::new(),
            control: 1,
            started: now,
            last_sent: now,
            last_beacon: None,
            last_asked: None,
            ended: None,
            tally: Tally::default(),
            rejected: RejectCounts::default(),
        }
    }

    /// The datagrams that carry `event` to the group, appended to `out`.
    ///
    /// `sender_line` is the line that the module adds (`Multicast-Sender: name\n`), for an event that has none. The
    /// error is the size of an event that is too large to be sent, in bytes: it takes no sequence.
    pub fn send(
        &mut self,
        event: &Event,
        sender_line: &[u8],
        now: Nanos,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<(), usize> {
        let before = out.len();
        let sent = match (self.mode, &self.keys) {
            (Mode::Sealed, Some(keys)) => {
                let sealer = keys.sealer.clone();
                self.send_sealed(event, sender_line, &sealer, now, out)
            }
            _ => self.send_traced(event, sender_line, now, out),
        };
        match sent {
            Ok(_) => self.tally.events += 1,
            Err(_) => self.tally.too_large += 1,
        }
        self.count_sent(&out[before..], now);
        if sent? {
            self.flush(now, out);
        }
        Ok(())
    }

    /// The end of a batch: its signature, where one is wanted and something waits for it.
    pub fn flush(&mut self, now: Nanos, out: &mut Vec<Arc<[u8]>>) {
        let (Some(signing), Some(keys)) = (&mut self.signing, &self.keys) else { return };
        let sequence = self.history.next();
        let Some(packed) = signing.sign(&keys.sealer.header(Kind::Signature, sequence)) else { return };
        let before = out.len();
        let counted = Counted { kind: Kind::Signature, sequence, dictionary: NO_DICTIONARY, packed: &packed };
        out.extend(keys.sealer.frames(counted, 0, None));
        if self.repair {
            self.history.keep_packed(Kind::Signature, NO_DICTIONARY, &packed, &keys.sealer, now);
        } else {
            self.history.pass();
        }
        self.tally.signatures += 1;
        self.count_sent(&out[before..], now);
    }

    /// Do what is due; when to be called again. `None`: nothing is ever due again, so that who ended it may close.
    pub fn tick(&mut self, now: Nanos, wall: WallMillis) -> Option<Nanos> {
        self.keys.as_ref()?;
        if self.repairs.due().is_some_and(|due| due <= now) {
            self.answer(now);
        }
        if self.is_over(now) {
            return None;
        }
        if self.beacon_due() <= now {
            self.history.expire(now);
            self.repairs.budget.fill(now);
            self.beacon(now, wall);
        }
        let beacon = self.beacon_due();
        Some(self.repairs.due().map_or(beacon, |due| due.min(beacon)))
    }

    /// What is to be sent now.
    pub fn outgoing(&mut self) -> Drain<'_, Outgoing> {
        self.outgoing.drain(..)
    }

    /// Nothing more will be sent. The group is told; what is kept can still be asked for until `tick` answers `None`.
    pub fn end(&mut self, now: Nanos, wall: WallMillis) {
        if self.ended.is_none() {
            let mut last = Vec::new();
            self.flush(now, &mut last);
            self.outgoing.extend(last.into_iter().map(|bytes| Outgoing { to: To::Group, bytes }));
            self.ended = Some(now);
            self.last_sent = now;
            self.beacon(now, wall);
        }
    }

    /// Send under the first key of `ring` from now on. What was sealed under another key can be sent again as it is.
    pub fn rekey(&mut self, ring: KeyRing) {
        self.repairs.forget();
        self.requesters.retain_keys(&ring);
        let sealer = match &self.keys {
            Some(keys) if keys.ring.sending().id() == ring.sending().id() => keys.sealer.clone(),
            _ => Arc::new(Sealer::new(ring.sending(), self.cipher, self.sender, self.stream)),
        };
        self.keys = Some(Keys { ring, sealer });
    }

    /// The stream's name.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Counters by name; the rejected ones stand in `rejected`.
    ///
    /// `events`, `signatures`: what the sequence counts; `datagrams`, `bytes`: what carried those to the group the first
    /// time; `too_large`: events that were not sent. `repairs`: sequences that were sent again, `repairs_shared` of them
    /// to the group, `repair_bytes` their bytes. `requests`, `hellos`: what came; `misdirected`: those for another
    /// stream; `refusals`: what was answered with one, `lagging` of them because the receiver asked for too much.
    /// `requests_held`: sequences asked for and not answered yet; `receivers_known`: who asked or said hello;
    /// `events_kept`, `bytes_kept`: what can be sent again now.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let Tally { events, signatures, datagrams, bytes, too_large, beacons, hellos, requests, .. } = self.tally;
        vec![
            ("events", events),
            ("signatures", signatures),
            ("datagrams", datagrams),
            ("bytes", bytes),
            ("too_large", too_large),
            ("beacons", beacons),
            ("hellos", hellos),
            ("requests", requests),
            ("misdirected", self.tally.misdirected),
            ("repairs", self.repairs.repairs),
            ("repairs_shared", self.repairs.shared),
            ("repair_bytes", self.repairs.bytes),
            ("refusals", self.tally.refusals),
            ("lagging", self.tally.lagging),
            ("requests_held", self.repairs.held() as u64),
            ("receivers_known", self.requesters.len() as u64),
            ("events_kept", self.history.len() as u64),
            ("bytes_kept", self.history.bytes() as u64),
        ]
    }

    fn send_sealed(
        &mut self,
        event: &Event,
        sender_line: &[u8],
        sealer: &Arc<Sealer>,
        now: Nanos,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<bool, usize> {
        let size = event.text().len() + sender_line.len();
        if size > SEALED_EVENT_BYTES {
            return Err(size);
        }
        let joined;
        let text = if sender_line.is_empty() {
            event.text()
        } else {
            joined = [event.header_lines(), sender_line, event.framed_body()].concat();
            &joined
        };
        let sequence = self.history.next();
        let (dictionary, packed) = self.repairs.packer.pack(text);
        let counted = Counted { kind: Kind::Event, sequence, dictionary, packed };
        out.extend(sealer.frames(counted, 0, None));
        if self.repair {
            self.history.keep_packed(Kind::Event, dictionary, packed, sealer, now);
        } else {
            self.history.pass();
        }
        Ok(self.signing.as_mut().is_some_and(|signing| signing.add(&self.stream, sequence, text)))
    }

    fn send_traced(
        &mut self,
        event: &Event,
        sender_line: &[u8],
        now: Nanos,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<bool, usize> {
        let sequence = self.history.next();
        let sealer = self.keys.as_ref().map(|keys| &keys.sealer);
        let proof = sealer.map(|sealer| sealer.proof());
        let mut text = traced::stamped(event, sender_line, &self.stream, sequence, proof);
        text.extend_from_slice(&frame::TAIL);
        if text.len() > DATAGRAM_IPV4_BYTES {
            return Err(text.len());
        }
        let datagram: Arc<[u8]> = text.into();
        match sealer {
            Some(sealer) if self.repair => self.history.keep_datagram(&datagram, sealer, now),
            _ => self.history.pass(),
        }
        let mut is_full = false;
        if let Some(signing) = &mut self.signing
            && let Some(text) = traced_text(&datagram)
        {
            is_full = signing.add(&self.stream, sequence, &text);
        }
        out.push(datagram);
        Ok(is_full)
    }

    fn count_sent(&mut self, datagrams: &[Arc<[u8]>], now: Nanos) {
        let bytes = datagrams.iter().map(|datagram| datagram.len()).sum();
        self.tally.datagrams += datagrams.len() as u64;
        self.tally.bytes += bytes as u64;
        self.repairs.budget.sent(bytes);
        self.last_sent = now;
    }

    fn beacon(&mut self, now: Nanos, wall: WallMillis) {
        self.tally.beacons += u64::from(self.keys.is_some());
        self.last_beacon = Some(now);
        self.control(Kind::Beacon, &self.state(now, wall).bytes(), To::Group);
    }

    fn state(&self, now: Nanos, wall: WallMillis) -> Beacon {
        Beacon {
            next: self.history.next(),
            oldest: self.history.oldest(),
            wall_millis: wall,
            age_millis: now.saturating_sub(self.started) / MILLISECOND,
            ended: self.ended.is_some(),
            name: self.name.clone(),
        }
    }

    fn control(&mut self, kind: Kind, payload: &[u8], to: To) {
        if let Some(keys) = &self.keys {
            let bytes = keys.sealer.control(kind, self.control, payload);
            self.control += 1;
            self.outgoing.push(Outgoing { to, bytes });
        }
    }

    /// When the next beacon is due: at the first of the moments after the last send that had none yet, and never later
    /// than [`BEACON`] after the last one.
    fn beacon_due(&self) -> Nanos {
        let Some(last) = self.last_beacon else { return self.started };
        let delays = if self.ended.is_some() { &AFTER_END[..] } else { &AFTER_LAST };
        let after = delays.iter().map(|delay| self.last_sent + delay).find(|&due| last < due);
        after.unwrap_or(Nanos::MAX).min(last + BEACON)
    }

    fn is_over(&self, now: Nanos) -> bool {
        let Some(ended) = self.ended else { return false };
        let beacons = ended + if self.requesters.is_empty() { NOBODY } else { LAST_BEACONS };
        let asked = self.last_asked.filter(|asked| asked + LOSSY >= ended);
        let quiet = asked.map_or(beacons, |asked| asked.max(ended) + LINGER);
        now >= quiet.min(beacons.max(ended + self.history.keep_for()))
    }
}
