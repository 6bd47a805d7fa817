//! A stream that a receiver follows: what comes of it is opened, put in order, put together, and given.
//!
//! ```text
//! frame ──> look: wanted? ──> open ──> fragment? assembler ──> next? ─────────────> unpack ──> held for a signature? ──> give
//!                                                                └─> window ─ take ─┘
//! ```
//!
//! What comes in order and whole goes straight through, without a copy: that is how nearly everything comes.

use super::contact::Contact;
use super::given::{Admitted, Give};
use super::held::Held;
use super::message::{Beacon, Refusal, RefusalReason, Welcome};
use super::openers::Openers;
use super::{MILLISECOND, Nanos, SECOND};
use crate::keys::{KeyRing, sender_id};
use crate::limits::UNPROVEN_REACH;
use crate::reject::{Reject, RejectCounts};
use crate::replay::ReplayWindow;
use crate::sealed::fragments::Assembler;
use crate::sealed::header::{FLAG_REPAIR, HEADER, Header, Kind, SenderId, StreamId};
use crate::sealed::packing::Unpacker;
use crate::sealed::signing::Verifier;
use crate::stream::{Bounds, Lost, Sent, Window};
use std::net::SocketAddr;

mod asking;
mod giving;
mod tally;

pub use asking::Fate;
pub use tally::Tally;

/// A sender of which nothing was heard for this long, ten beacons, is silent.
pub const SILENCE: Nanos = 5 * SECOND;
/// A stream whose sender has begun another one is over when it was not heard for this long, three beacons.
pub const GRACE: Nanos = 1_500 * MILLISECOND;
/// What nobody repairs is waited for this long, in case it is only late; to twice as long.
pub const LATENESS: Nanos = 50 * MILLISECOND;
/// A request is put off by up to this, so that not all receivers ask at once.
pub const JITTER: Nanos = 3 * MILLISECOND;
/// So many sequences in a row that are far ahead are believed without a key.
const BELIEVED: u8 = 3;
/// Bytes that an item takes in a window besides its own.
const ITEM: usize = 96;
/// Frames of requests that are sent at once; what does not fit them is asked for next time.
const REQUEST_FRAMES: usize = 4;

/// What a stream needs of its session while it takes something.
pub struct Desk<'a> {
    pub unpacker: &'a mut Unpacker,
    pub out: Out<'a>,
}

/// Where what was taken goes.
pub struct Out<'a> {
    /// Who may sign; `None` when nobody is known.
    pub verifier: Option<&'a Verifier>,
    /// Whether what is not signed is rejected.
    pub hold_unsigned: bool,
    pub rejected: &'a mut RejectCounts,
    pub give: Give<'a>,
    pub now: Nanos,
}

/// What waits in a window.
enum Item {
    Packed { dictionary: u16, packed: Box<[u8]> },
    Text(Box<[u8]>),
    Signature(Box<(Header, Box<[u8]>)>),
}

struct Waiting {
    item: Item,
    from: SocketAddr,
}

/// What is known of a stream when it is admitted.
pub struct Beginning {
    pub stream: StreamId,
    pub sender: SenderId,
    pub name: Option<Vec<u8>>,
    pub openers: Openers,
    pub controls: ReplayWindow,
    pub admitted: Admitted,
    /// The first sequence that is wanted.
    pub first: u64,
    /// When it began, on our clock.
    pub began: i64,
    pub from: SocketAddr,
}

/// A stream that is followed.
pub struct Followed {
    pub stream: StreamId,
    pub sender: SenderId,
    /// The sender's name, or its id in hex.
    label: Vec<u8>,
    pub admitted: Admitted,
    pub began: i64,
    first: u64,
    pub openers: Openers,
    window: Window<Waiting>,
    assembler: Assembler,
    controls: ReplayWindow,
    held: Held,
    /// Its sender signs what it sends; supposed until it turns out that no signature follows.
    signs: bool,
    pub contact: Contact,
    /// When something authentic came last.
    pub heard: Nanos,
    pub silent: bool,
    /// Its sender has begun another stream since.
    pub succeeded: bool,
    /// What the sender said comes next, when it said that nothing will.
    end: Option<u64>,
    /// The oldest sequence that the sender keeps.
    oldest: u64,
    /// What is below is not kept by the sender. It is given up at that moment, for it may be on its way.
    expiring: Option<(u64, Nanos)>,
    /// The last sequence that was too far ahead to be believed, and how many of those have come in a row.
    strays: (u64, u8),
    /// When to look again for what nobody repairs.
    unrepaired: Option<Nanos>,
    tally: Tally,
}

impl Followed {
    pub fn new(beginning: Beginning, jitter: Nanos, now: Nanos) -> Followed {
        let Beginning { stream, sender, name, openers, controls, admitted, first, began, from } = beginning;
        Followed {
            stream,
            sender,
            label: name.unwrap_or_else(|| hex(&sender)),
            admitted,
            began,
            first,
            openers,
            window: Window::new(first, Bounds::default(), jitter),
            assembler: Assembler::default(),
            controls,
            held: Held::default(),
            signs: true,
            contact: Contact::new(from, now),
            heard: now,
            silent: false,
            succeeded: false,
            end: None,
            oldest: 0,
            expiring: None,
            strays: (0, 0),
            unrepaired: None,
            tally: Tally::default(),
        }
    }

    /// The sequence after the last that was given or is known to be missing.
    pub fn top(&self) -> u64 {
        self.window.top()
    }

    /// What was counted.
    pub fn tally(&self) -> Tally {
        let displaced = self.tally.displaced + self.assembler.displaced();
        Tally { spurious: self.window.spurious(), displaced, ..self.tally }
    }

    /// Whether the sender said that nothing more will come.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    pub fn is_proven(&self) -> bool {
        self.admitted != Admitted::Unproven
    }

    /// Whether something waits here, so that [`Followed::wake`] may have come nearer.
    #[inline]
    pub fn is_stirred(&self) -> bool {
        self.window.missing() > 0 || self.end.is_some()
    }

    /// Bytes of memory that what waits here takes.
    pub fn bytes(&self) -> usize {
        self.window.waiting_bytes() + self.assembler.bytes() + self.held.bytes()
    }

    /// Make room: give up the oldest hole, or what else takes most.
    pub fn overtake(&mut self, desk: &mut Desk<'_>) {
        let (window, parts, held) = (self.window.waiting_bytes(), self.assembler.bytes(), self.held.bytes());
        if held >= window.max(parts) {
            self.decide(None, &mut desk.out);
        } else if window >= parts {
            self.window.overtake();
            self.drain(desk);
        } else {
            self.tally.displaced += self.assembler.len() as u64;
            self.assembler.forget_below(u64::MAX);
        }
    }

    /// Take a frame of events or signatures, still sealed.
    #[inline]
    pub fn hear(
        &mut self,
        header: &Header,
        datagram: &mut [u8],
        from: SocketAddr,
        ring: &KeyRing,
        desk: &mut Desk<'_>,
    ) -> Result<(), Reject> {
        self.look(header.sequence, sent(header))?;
        let bytes = datagram.len();
        let payload = self.openers.open(ring, header, &mut datagram[HEADER..])?;
        self.hears(from, bytes, desk.out.now);
        self.take(header, payload, from, desk)
    }

    /// Take the opened payload of such a frame.
    pub fn take(
        &mut self,
        header: &Header,
        payload: &[u8],
        from: SocketAddr,
        desk: &mut Desk<'_>,
    ) -> Result<(), Reject> {
        let (sequence, sent) = (header.sequence, sent(header));
        if header.fragments == 1 {
            if !self.assembler.is_empty() && self.assembler.missing(sequence).is_some() {
                // No honest sender sends the same once whole and once in fragments.
                return Err(Reject::MalformedFrame);
            }
            if self.window.pass(sequence) {
                self.tally.repaired += u64::from(sent == Sent::Again);
                match header.kind {
                    Kind::Event => self.unpack(sequence, header.dictionary, payload, from, desk),
                    _ => self.sign(header, payload, &mut desk.out),
                }
                return Ok(());
            }
            return self.put(sequence, item(header, payload.into()), from, sent, desk);
        }
        if !self.window.wants(sequence, Sent::Again) {
            // It is complete, and the window learns that the network can be this late.
            return self.put(sequence, Item::Text(Box::default()), from, sent, desk);
        }
        match self.assembler.put(header, payload)? {
            Some(packed) => self.put(sequence, item(header, packed.into()), from, sent, desk),
            None => Ok(()),
        }
    }

    /// Take a traced datagram's text, whose proof has been checked where there is a key.
    pub fn take_text(
        &mut self,
        sequence: u64,
        text: &[u8],
        from: SocketAddr,
        desk: &mut Desk<'_>,
    ) -> Result<(), Reject> {
        if self.window.pass(sequence) {
            self.bring(sequence, text, from, &mut desk.out);
            return Ok(());
        }
        self.put(sequence, Item::Text(text.into()), from, Sent::First, desk)
    }

    /// Whether this sequence is worth being opened.
    #[inline]
    pub fn look(&mut self, sequence: u64, sent: Sent) -> Result<(), Reject> {
        if self.window.wants(sequence, sent) {
            return Ok(());
        }
        self.tally.duplicates += 1;
        Err(Reject::Replayed)
    }

    /// Whether a sequence that nobody vouches for can be believed: it is not far ahead, or the third in a row that is.
    pub fn reach(&mut self, sequence: u64) -> Result<(), Reject> {
        if sequence.saturating_sub(self.window.top()) <= UNPROVEN_REACH {
            self.strays = (0, 0);
            return Ok(());
        }
        let (last, count) = self.strays;
        let goes_on = count > 0 && sequence > last && sequence - last <= UNPROVEN_REACH;
        self.strays = (sequence, if goes_on { count + 1 } else { 1 });
        if self.strays.1 < BELIEVED { Err(Reject::OutOfReach) } else { Ok(()) }
    }

    /// Something authentic came from there.
    #[inline]
    pub fn hears(&mut self, from: SocketAddr, bytes: usize, now: Nanos) {
        self.heard = now;
        self.silent = false;
        self.contact.heard(from, bytes);
    }

    /// Take a control frame, still sealed. `own` is the stream that answers to this receiver name.
    pub fn hear_control(
        &mut self,
        header: &Header,
        datagram: &mut [u8],
        from: SocketAddr,
        ring: &KeyRing,
        own: &StreamId,
        desk: &mut Desk<'_>,
    ) -> Result<(), Reject> {
        if !self.controls.look(header.sequence) {
            self.tally.duplicates += 1;
            return Err(Reject::Replayed);
        }
        let bytes = datagram.len();
        let payload = self.openers.open(ring, header, &mut datagram[HEADER..])?;
        self.controls.commit(header.sequence);
        self.hears(from, bytes, desk.out.now);
        let mut next = None;
        match header.kind {
            Kind::Beacon => {
                let beacon = Beacon::read(payload)?;
                self.told(&beacon, desk.out.now)?;
                next = Some(beacon.next);
            }
            Kind::Welcome => {
                let welcome = Welcome::read(payload)?;
                if welcome.receiver != *own {
                    return Ok(());
                }
                self.contact.welcome(&welcome, from, desk.out.now);
                if welcome.beacon.ended {
                    self.told(&welcome.beacon, desk.out.now)?;
                }
            }
            _ => {
                let refusal = Refusal::read(payload)?;
                if refusal.receiver != *own {
                    return Ok(());
                }
                let lost = match refusal.reason {
                    RefusalReason::Expired => Lost::Expired,
                    RefusalReason::Lagging => Lost::Lagging,
                };
                if !self.window.forget_below(refusal.below, lost, desk.out.now) {
                    return Err(Reject::OutOfReach);
                }
            }
        }
        self.drain(desk);
        if next == Some(self.window.next()) {
            self.be_unsigned(&mut desk.out);
        }
        Ok(())
    }

    /// What the sender says of itself.
    ///
    /// What a welcome says counts only when nothing else will be said: it comes to another socket than the stream, so
    /// it overtakes what waits in that of the group, and all of that would be asked for.
    pub fn told(&mut self, beacon: &Beacon, now: Nanos) -> Result<(), Reject> {
        if self.label != beacon.name && sender_id(&beacon.name) == self.sender {
            self.label.clone_from(&beacon.name);
        }
        if !self.window.sent_up_to(beacon.next, now) {
            return Err(Reject::OutOfReach);
        }
        if beacon.ended {
            self.end = Some(beacon.next);
        }
        self.oldest = self.oldest.max(beacon.oldest);
        self.expire_later(now);
        Ok(())
    }
}

fn sent(header: &Header) -> Sent {
    if header.flags & FLAG_REPAIR == 0 { Sent::First } else { Sent::Again }
}

fn item(header: &Header, packed: Box<[u8]>) -> Item {
    match header.kind {
        Kind::Signature => Item::Signature(Box::new((*header, packed))),
        _ => Item::Packed { dictionary: header.dictionary, packed },
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| b"0123456789abcdef"[nibble as usize]).collect()
}
