//! How a stream comes to be followed.

use super::ReceiveSession;
use crate::encoding;
use crate::event;
use crate::keys::sender_id;
use crate::reject::Reject;
use crate::reliable::admission::{Candidate, Kept, is_fresh};
use crate::reliable::contact::Knock;
use crate::reliable::followed::{Beginning, Desk, Followed, JITTER};
use crate::reliable::given::{Admitted, Give};
use crate::reliable::message::{Beacon, Welcome};
use crate::reliable::openers::Openers;
use crate::reliable::{MILLISECOND, Nanos, WallMillis};
use crate::replay::ReplayWindow;
use crate::sealed::header::{HEADER, Header, Kind, SenderId, StreamId};
use crate::traced::Stamp;
use std::net::SocketAddr;

/// What shows that a stream is alive.
struct Proof {
    admitted: Admitted,
    sender: SenderId,
    beacon: Beacon,
    welcome: Option<Welcome>,
}

impl ReceiveSession {
    /// A frame of a stream that is not followed.
    pub(super) fn hear_candidate(
        &mut self,
        header: &Header,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Nanos,
        wall: WallMillis,
        give: Give<'_>,
    ) -> Result<(), Reject> {
        let bytes = datagram.len();
        let rest = &mut datagram[HEADER..];
        let ring = self.keys.as_ref().ok_or(Reject::UnknownKey)?;
        if self.past.get(&header.stream).is_some_and(|over| over.for_good) {
            if header.kind.is_counted() {
                return Err(Reject::Replayed);
            }
            // A sender says several times that it has ended.
            self.counts.not_for_us += 1;
            return Ok(());
        }
        let payload = match self.candidates.get(&header.stream) {
            Some(candidate) => candidate.openers.open(ring, header, rest)?,
            None => {
                if !self.strangers.take(from.ip(), now) {
                    return Err(Reject::Flood);
                }
                let mut openers = Openers::new(header.stream);
                let payload = openers.open(ring, header, rest)?;
                self.begin_candidate(openers, header.sender, header.stream, from, now);
                payload
            }
        };
        let candidate = self.candidates.get(&header.stream).ok_or(Reject::Stale)?;
        if !header.kind.is_counted() && !candidate.controls.commit(header.sequence) {
            return Err(Reject::Replayed);
        }
        candidate.heard(from, bytes);
        let (admitted, beacon, welcome) = match header.kind {
            Kind::Beacon => (Admitted::Beacon, Beacon::read(payload)?, None),
            Kind::Welcome => {
                let welcome = Welcome::read(payload)?;
                (Admitted::Welcome, welcome.beacon.clone(), Some(welcome))
            }
            Kind::Event | Kind::Signature => {
                let kept = Kept::Frame(*header, (&*payload).into());
                return candidate.keep(header.sequence, header.fragment, kept, from);
            }
            _ => {
                candidate.pass();
                return Ok(());
            }
        };
        let own = self.voice.stream();
        let is_alive = match &welcome {
            Some(welcome) => welcome.receiver == own && candidate.knock.is_answered_by(welcome),
            None => is_fresh(&beacon, wall),
        };
        if !is_alive {
            candidate.pass();
            return Ok(());
        }
        self.admit(&header.stream, Proof { admitted, sender: header.sender, beacon, welcome }, from, now, give);
        Ok(())
    }

    /// A traced datagram, with a proof, of a stream that is not followed.
    pub(super) fn keep_text(&mut self, stamp: &Stamp, text: &[u8], from: SocketAddr, now: Nanos) -> Result<(), Reject> {
        let ring = self.keys.as_ref().ok_or(Reject::UnknownKey)?;
        if self.past.get(&stamp.stream).is_some_and(|over| over.for_good) {
            return Err(Reject::Replayed);
        }
        match self.candidates.get(&stamp.stream) {
            Some(candidate) => candidate.openers.verify(ring, text, stamp)?,
            None => {
                if !self.strangers.take(from.ip(), now) {
                    return Err(Reject::Flood);
                }
                let mut openers = Openers::new(stamp.stream);
                openers.verify(ring, text, stamp)?;
                let sender = sender_id(&sender_of(text).unwrap_or_default());
                self.begin_candidate(openers, sender, stamp.stream, from, now);
            }
        }
        let candidate = self.candidates.get(&stamp.stream).ok_or(Reject::Stale)?;
        candidate.heard(from, text.len());
        let kept = [&text[..stamp.lines.start], &text[stamp.lines.end..]].concat();
        candidate.keep(stamp.sequence, 0, Kept::Text(kept.into()), from)
    }

    fn begin_candidate(&mut self, openers: Openers, sender: SenderId, stream: StreamId, from: SocketAddr, now: Nanos) {
        let knock = Knock::new(&mut self.random, now);
        let dropped = self.candidates.add(Candidate::new(openers, sender, stream, from, knock, now));
        self.rejected.add_many(Reject::Stale, dropped);
        self.wake = self.wake.min(self.candidates.wake());
    }

    /// The stream is alive: follow it, and give what was kept aside.
    fn admit(&mut self, stream: &StreamId, proof: Proof, from: SocketAddr, now: Nanos, give: Give<'_>) {
        if !self.make_place(now, give) {
            self.counts.refused += 1;
            return;
        }
        let Some(candidate) = self.candidates.remove(stream) else { return };
        let Proof { admitted, sender, beacon, welcome } = proof;
        let first = match self.past.get(stream) {
            Some(over) => over.next,
            None => candidate.first(&beacon, now - self.began.min(now)),
        };
        let (openers, controls, kept) = candidate.into_kept();
        let beginning = Beginning {
            stream: *stream,
            sender,
            name: Some(beacon.name.clone()).filter(|name| sender_id(name) == sender),
            openers,
            controls,
            admitted,
            first,
            began: (now as i64).saturating_sub_unsigned(beacon.age_millis.saturating_mul(MILLISECOND)),
            from,
        };
        let mut followed = Followed::new(beginning, self.random.below(JITTER), now);
        if let Some(welcome) = &welcome {
            followed.contact.answered(welcome, from, now);
        }
        let ReceiveSession { unpacker, verifier, settings, rejected, .. } = self;
        let mut desk = Desk::new(unpacker, verifier, settings, rejected, now, give);
        for (sequence, kept, from) in kept {
            let taken = match kept {
                _ if sequence < first => Err(Reject::Stale),
                Kept::Frame(header, payload) => followed.take(&header, &payload, from, &mut desk),
                Kept::Text(text) => followed.take_text(sequence, &text, from, &mut desk),
            };
            if let Err(reason) = taken {
                desk.out.rejected.add(reason);
            }
        }
        if (admitted == Admitted::Beacon || beacon.ended)
            && let Err(reason) = followed.told(&beacon, now)
        {
            desk.out.rejected.add(reason);
        }
        followed.drain(&mut desk);
        self.follow(followed, now, give);
    }

    /// Without a key every stream is taken as it comes. It begins with its first datagram.
    pub(super) fn follow_unproven(
        &mut self,
        stamp: &Stamp,
        text: &[u8],
        from: SocketAddr,
        now: Nanos,
        give: Give<'_>,
    ) -> Result<usize, Reject> {
        if !self.strangers.take(from.ip(), now) || !self.make_place(now, give) {
            return Err(Reject::Flood);
        }
        let name = sender_of(text);
        let beginning = Beginning {
            stream: stamp.stream,
            sender: sender_id(name.as_deref().unwrap_or_default()),
            name,
            openers: Openers::new(stamp.stream),
            controls: ReplayWindow::new(),
            admitted: Admitted::Unproven,
            first: stamp.sequence,
            began: now as i64,
            from,
        };
        let followed = Followed::new(beginning, 0, now);
        Ok(self.follow(followed, now, give))
    }

    fn follow(&mut self, followed: Followed, now: Nanos, give: Give<'_>) -> usize {
        self.counts.admitted += 1;
        let place = self.table.add(followed);
        self.wake = now;
        self.took(place, 0, now, give);
        place
    }

    /// Have room for one more stream: the one that can best be done without makes way. `false` when all are needed.
    fn make_place(&mut self, now: Nanos, give: Give<'_>) -> bool {
        if !self.table.is_full() {
            return true;
        }
        let Some(idlest) = self.table.idlest() else { return false };
        self.dismiss(idlest, now, give);
        true
    }
}

/// The name in the line that the sender's module adds.
fn sender_of(text: &[u8]) -> Option<Vec<u8>> {
    event::peek(text, b"Multicast-Sender").map(|name| encoding::decode(name).into_owned())
}
