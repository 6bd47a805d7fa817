//! What becomes of a datagram.

use super::ReceiveSession;
use crate::frame;
use crate::limits::WAITING_BYTES;
use crate::reject::Reject;
use crate::reliable::followed::Desk;
use crate::reliable::given::{Give, Given};
use crate::reliable::{Nanos, WallMillis};
use crate::sealed::header::{Header, Kind};
use crate::stream::Sent;
use crate::traced::{self, Stamp};
use crate::trust::Trust;
use std::net::SocketAddr;
use std::ops::Range;

impl ReceiveSession {
    pub(super) fn hear_frame(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Nanos,
        wall: WallMillis,
        give: Give<'_>,
    ) -> Result<(), Reject> {
        let (header, _) = Header::read(datagram)?;
        if self.keys.as_ref().is_none_or(|ring| ring.get(header.key).is_none()) {
            return Err(Reject::UnknownKey);
        }
        match header.kind {
            // Sequences count from 1.
            Kind::Event | Kind::Signature if header.sequence == 0 => return Err(Reject::MalformedFrame),
            Kind::Hello | Kind::Request => {
                self.counts.not_for_us += 1;
                return Ok(());
            }
            _ => (),
        }
        match self.table.find(&header.stream) {
            Some(place) => self.hear_followed(place, &header, datagram, from, now, give),
            None => self.hear_candidate(&header, datagram, from, now, wall, give),
        }
    }

    fn hear_followed(
        &mut self,
        place: usize,
        header: &Header,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Nanos,
        give: Give<'_>,
    ) -> Result<(), Reject> {
        let ReceiveSession { table, keys, unpacker, verifier, settings, rejected, voice, .. } = self;
        let ring = keys.as_ref().ok_or(Reject::UnknownKey)?;
        let followed = table.at(place);
        let before = followed.bytes();
        let mut desk = Desk::new(unpacker, verifier, settings, rejected, now, give);
        let taken = if header.kind.is_counted() {
            followed.hear(header, datagram, from, ring, &mut desk)
        } else {
            followed.hear_control(header, datagram, from, ring, &voice.stream(), &mut desk)
        };
        self.took(place, before, now, give);
        taken
    }

    pub(super) fn hear_text(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Nanos,
        give: Give<'_>,
    ) -> Result<(), Reject> {
        let length = frame::text_of(datagram)?.len();
        let text = &mut datagram[..length];
        match traced::read(text)? {
            Some(stamp) if self.keys.is_none() => self.hear_unproven(&stamp, text, from, now, give),
            Some(stamp) if stamp.proof.is_some() => self.hear_proven(&stamp, text, from, now, give),
            _ if self.settings.deliver_stock => {
                self.counts.stock += 1;
                give(Given::Event { text, trust: Trust::Stock, from, at: None });
                Ok(())
            }
            _ => Err(Reject::Untraced),
        }
    }

    fn hear_proven(
        &mut self,
        stamp: &Stamp,
        text: &mut [u8],
        from: SocketAddr,
        now: Nanos,
        give: Give<'_>,
    ) -> Result<(), Reject> {
        let ReceiveSession { table, keys, unpacker, verifier, settings, rejected, .. } = self;
        let ring = keys.as_ref().ok_or(Reject::UnknownKey)?;
        if stamp.proof.is_none_or(|(key, _)| ring.get(key).is_none()) {
            return Err(Reject::UnknownKey);
        }
        let Some(place) = table.find(&stamp.stream) else {
            return self.keep_text(stamp, text, from, now);
        };
        let followed = table.at(place);
        followed.look(stamp.sequence, Sent::First)?;
        followed.openers.verify(ring, text, stamp)?;
        followed.hears(from, text.len(), now);
        let before = followed.bytes();
        let mut desk = Desk::new(unpacker, verifier, settings, rejected, now, give);
        let taken = followed.take_text(stamp.sequence, without(text, &stamp.lines), from, &mut desk);
        self.took(place, before, now, give);
        taken
    }

    fn hear_unproven(
        &mut self,
        stamp: &Stamp,
        text: &mut [u8],
        from: SocketAddr,
        now: Nanos,
        give: Give<'_>,
    ) -> Result<(), Reject> {
        let place = match self.table.find(&stamp.stream) {
            Some(place) => place,
            None => self.follow_unproven(stamp, text, from, now, give)?,
        };
        let ReceiveSession { table, unpacker, verifier, settings, rejected, .. } = self;
        let followed = table.at(place);
        followed.look(stamp.sequence, Sent::First)?;
        followed.reach(stamp.sequence)?;
        followed.hears(from, text.len(), now);
        let before = followed.bytes();
        let mut desk = Desk::new(unpacker, verifier, settings, rejected, now, give);
        let taken = followed.take_text(stamp.sequence, without(text, &stamp.lines), from, &mut desk);
        self.took(place, before, now, give);
        taken
    }

    /// A stream has taken something, before which it had so many bytes waiting: keep the accounts, and make room.
    #[inline]
    pub(super) fn took(&mut self, place: usize, before: usize, now: Nanos, give: Give<'_>) {
        let asks = self.asks();
        let followed = self.table.at(place);
        if followed.is_stirred() {
            self.wake = self.wake.min(followed.wake(asks));
        }
        self.waiting = (self.waiting + followed.bytes()).saturating_sub(before);
        while self.waiting > WAITING_BYTES {
            let Some(heaviest) = self.table.heaviest() else { break };
            let ReceiveSession { table, unpacker, verifier, settings, rejected, .. } = self;
            let followed = table.at(heaviest);
            let before = followed.bytes();
            followed.overtake(&mut Desk::new(unpacker, verifier, settings, rejected, now, give));
            self.waiting = (self.waiting + followed.bytes()).saturating_sub(before);
        }
    }
}

/// The text without the lines of its stamp, which is cut out where it stands.
fn without<'a>(text: &'a mut [u8], lines: &Range<usize>) -> &'a [u8] {
    text.copy_within(lines.end.., lines.start);
    &text[..text.len() - lines.len()]
}
