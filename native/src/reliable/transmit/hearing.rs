//! What comes for a sender: hellos and requests, whose are taken, and what they are answered with.
//!
//! In this order, the cheapest first: the header, the key's id, the replay window or, for a stream that is not known, the
//! budget; then the frame is opened; then the message, and whether it names this stream. What fails is answered with
//! nothing at all.

use super::TransmitSession;
use crate::reject::Reject;
use crate::reliable::message::{CHALLENGE, Hello, Refusal, RefusalReason, Request, Welcome};
use crate::reliable::repairs::span;
use crate::reliable::requesters::Caller;
use crate::reliable::{Nanos, To, WallMillis};
use crate::sealed::header::{HEADER, Header, Kind, StreamId, TAG};
use std::net::SocketAddr;
use std::ops::Range;

/// How many times its bytes a request is answered with at most, until it proves its address.
const UNPROVEN: usize = 3;

/// What a frame for a sender says.
enum Message {
    Hello(Hello),
    Request(Request),
}

impl TransmitSession {
    /// Take a datagram that came for this sender. It is decrypted where it stands.
    pub fn hear(&mut self, datagram: &mut [u8], from: SocketAddr, now: Nanos, wall: WallMillis) {
        if let Err(reason) = self.take(datagram, from, now, wall) {
            self.rejected.add(reason);
        }
    }

    fn take(&mut self, datagram: &mut [u8], from: SocketAddr, now: Nanos, wall: WallMillis) -> Result<(), Reject> {
        let length = datagram.len();
        let (header, _) = Header::read(datagram)?;
        if !matches!(header.kind, Kind::Hello | Kind::Request) {
            return Err(Reject::MalformedFrame);
        }
        let key = self.keys.as_ref().and_then(|keys| keys.ring.get(header.key)).ok_or(Reject::UnknownKey)?;
        let (writer, payload) = self.requesters.open(&header, key, &mut datagram[HEADER..], from.ip(), now)?;
        let message = Message::read(header.kind, payload)?;
        if *message.stream() != self.stream {
            self.tally.misdirected += 1;
            return Ok(());
        }
        if self.requesters.displaces(&writer) {
            // The newcomer's place may be one that a held request refers to.
            self.answer(now);
        }
        let caller = self.requesters.admit(&header, writer, from, now);
        match message {
            Message::Hello(hello) => {
                self.tally.hellos += 1;
                self.welcome(&caller, hello.challenge, &mut (UNPROVEN * length), now, wall);
            }
            Message::Request(request) => {
                self.tally.requests += 1;
                self.last_asked = Some(now);
                self.request(caller, &request, length, now, wall);
            }
        }
        Ok(())
    }

    fn request(&mut self, caller: Caller, request: &Request, length: usize, now: Nanos, wall: WallMillis) {
        self.history.expire(now);
        let is_proven = self.requesters.prove(&caller, &request.cookie, now);
        let mut allowance = if is_proven { usize::MAX } else { UNPROVEN * length };
        if !is_proven {
            self.welcome(&caller, [0; CHALLENGE], &mut allowance, now, wall);
        }
        let Some(Range { start, .. }) = span(request, self.history.next()) else { return };
        let oldest = self.history.oldest();
        let floor = oldest.max(self.requesters.refused_below(caller.place));
        if start < floor {
            let reason = if floor == oldest { RefusalReason::Expired } else { RefusalReason::Lagging };
            self.refuse(&caller, floor, reason, &mut allowance);
        }
        if is_proven {
            let active = self.requesters.active(now);
            self.repairs.hold(caller, request, floor, active, &self.history, now);
            if self.repairs.due().is_some_and(|due| due <= now) {
                self.answer(now);
            }
        } else {
            let (history, out) = (&mut self.history, &mut self.outgoing);
            self.repairs.answer_unproven(caller.address, request, allowance, history, out, now);
        }
    }

    /// Answer what is held. A beacon follows what was sent again as it follows what is sent: who hears something asks
    /// again soon for what was lost once more.
    pub(super) fn answer(&mut self, now: Nanos) {
        let before = self.outgoing.len();
        let lagging = self.repairs.answer(&mut self.history, &mut self.requesters, &mut self.outgoing, now);
        if self.outgoing.len() > before {
            self.last_sent = now;
        }
        for late in lagging {
            self.tally.lagging += 1;
            self.refuse(&late.caller, late.below, RefusalReason::Lagging, &mut { usize::MAX });
        }
    }

    fn welcome(
        &mut self,
        caller: &Caller,
        challenge: [u8; CHALLENGE],
        allowance: &mut usize,
        now: Nanos,
        wall: WallMillis,
    ) {
        let cookie = self.requesters.cookie(caller, now);
        let welcome = Welcome { receiver: caller.stream, challenge, cookie, beacon: self.state(now, wall) };
        self.reply(Kind::Welcome, &welcome.bytes(), caller, allowance);
    }

    fn refuse(&mut self, caller: &Caller, below: u64, reason: RefusalReason, allowance: &mut usize) {
        let refusal = Refusal { receiver: caller.stream, below, reason };
        if self.reply(Kind::Refusal, &refusal.bytes(), caller, allowance) {
            self.tally.refusals += 1;
        }
    }

    /// Answer one receiver, when the answer is not longer than is left of its allowance.
    fn reply(&mut self, kind: Kind, payload: &[u8], caller: &Caller, allowance: &mut usize) -> bool {
        let Some(left) = allowance.checked_sub(HEADER + payload.len() + TAG) else { return false };
        *allowance = left;
        self.control(kind, payload, To::Address(caller.address));
        true
    }
}

impl Message {
    fn read(kind: Kind, payload: &[u8]) -> Result<Message, Reject> {
        match kind {
            Kind::Hello => Hello::read(payload).map(Message::Hello),
            _ => Request::read(payload).map(Message::Request),
        }
    }

    fn stream(&self) -> &StreamId {
        match self {
            Message::Hello(hello) => &hello.stream,
            Message::Request(request) => &request.stream,
        }
    }
}
