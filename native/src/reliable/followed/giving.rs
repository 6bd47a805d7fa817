//! What a stream gives, in order: events, and gap records where they are missing.

use super::{Desk, Followed, ITEM, Item, Out, Waiting};
use crate::reject::Reject;
use crate::reliable::given::{At, GapRecord, Given, StreamRow};
use crate::reliable::held::Entry;
use crate::sealed::header::Header;
use crate::sealed::signing::Vouched;
use crate::stream::{Delivery, Lost, Placed, Sent};
use crate::trust::Trust;
use std::net::SocketAddr;
use std::ops::Range;

impl Followed {
    /// Keep what did not come next, and give what it completes.
    pub(super) fn put(
        &mut self,
        sequence: u64,
        item: Item,
        from: SocketAddr,
        sent: Sent,
        desk: &mut Desk<'_>,
    ) -> Result<(), Reject> {
        let bytes = ITEM + item.len();
        match self.window.put(sequence, Waiting { item, from }, bytes, sent, desk.out.now) {
            Placed::Taken => {
                self.tally.repaired += u64::from(sent == Sent::Again);
                self.drain(desk);
                Ok(())
            }
            Placed::Duplicate | Placed::TooOld => {
                self.tally.duplicates += 1;
                Err(Reject::Replayed)
            }
            Placed::OutOfReach => Err(Reject::OutOfReach),
        }
    }

    /// Give all that is ready.
    pub fn drain(&mut self, desk: &mut Desk<'_>) {
        while let Some(delivery) = self.window.take() {
            match delivery {
                Delivery::Item(sequence, Waiting { item, from }) => match item {
                    Item::Packed { dictionary, packed } => self.unpack(sequence, dictionary, &packed, from, desk),
                    Item::Text(text) => self.bring(sequence, &text, from, &mut desk.out),
                    Item::Signature(signature) => self.sign(&signature.0, &signature.1, &mut desk.out),
                },
                Delivery::Gap(range, lost) => {
                    if !self.assembler.is_empty() {
                        self.assembler.forget_below(range.end);
                    }
                    self.miss(range, lost, &mut desk.out);
                }
            }
        }
    }

    /// An event's turn has come: unpack it.
    pub(super) fn unpack(
        &mut self,
        sequence: u64,
        dictionary: u16,
        packed: &[u8],
        from: SocketAddr,
        desk: &mut Desk<'_>,
    ) {
        match desk.unpacker.unpack(dictionary, packed) {
            Ok(text) => self.bring(sequence, text, from, &mut desk.out),
            Err(reason) => self.refuse(reason, &mut desk.out),
        }
    }

    /// An event's turn has come: give it, or let it wait for its signature.
    pub(super) fn bring(&mut self, sequence: u64, text: &[u8], from: SocketAddr, out: &mut Out<'_>) {
        let is_awaited = out.verifier.is_some() && (out.hold_unsigned || self.signs);
        if is_awaited && self.is_proven() {
            self.held.hold(sequence, text, from);
            while self.held.is_full() {
                self.decide_oldest(None, out);
            }
        } else if is_awaited && out.hold_unsigned {
            self.refuse(Reject::BadSignature, out);
        } else {
            self.deliver(sequence, text, from, self.trust(), out);
        }
    }

    /// A signature's turn has come: decide what waits in front of it.
    pub(super) fn sign(&mut self, header: &Header, payload: &[u8], out: &mut Out<'_>) {
        let Some(verifier) = out.verifier else {
            self.tally.signatures += 1;
            return;
        };
        match verifier.verify(header, payload) {
            Ok(vouched) => {
                self.tally.signatures += 1;
                self.signs = true;
                self.decide(Some(&vouched), out);
            }
            Err(reason) => {
                self.refuse(reason, out);
                self.decide(None, out);
            }
        }
    }

    /// Decide all that waits for a signature.
    pub(super) fn decide(&mut self, vouched: Option<&Vouched>, out: &mut Out<'_>) {
        while self.decide_oldest(vouched, out) {}
    }

    /// No signature follows what waits for one: a sender signs at the end of each batch, before it says how far it got.
    pub(super) fn be_unsigned(&mut self, out: &mut Out<'_>) {
        if !self.held.is_empty() {
            self.signs = false;
            self.decide(None, out);
        }
    }

    fn decide_oldest(&mut self, vouched: Option<&Vouched>, out: &mut Out<'_>) -> bool {
        match self.held.take() {
            None => return false,
            Some(Entry::Gap(range, lost)) => self.tell(range, lost, out),
            Some(Entry::Event { sequence, text, from, .. }) => {
                let signer = vouched.filter(|vouched| vouched.vouches_for(sequence, &text));
                match signer {
                    Some(vouched) => self.deliver(sequence, &text, from, Trust::Signed(vouched.signer), out),
                    None if out.hold_unsigned => self.refuse(Reject::BadSignature, out),
                    None => self.deliver(sequence, &text, from, self.trust(), out),
                }
            }
        }
        true
    }

    fn trust(&self) -> Trust {
        if self.is_proven() { Trust::Member } else { Trust::Stock }
    }

    fn deliver(&mut self, sequence: u64, text: &[u8], from: SocketAddr, trust: Trust, out: &mut Out<'_>) {
        self.tally.delivered += 1;
        let at = At { sender: &self.label, stream: self.stream, sequence };
        (out.give)(Given::Event { text, trust, from, at: Some(at) });
    }

    /// A sequence came, and is no event that could be given.
    fn refuse(&mut self, reason: Reject, out: &mut Out<'_>) {
        self.tally.rejected += 1;
        out.rejected.add(reason);
    }

    fn miss(&mut self, range: Range<u64>, lost: Lost, out: &mut Out<'_>) {
        if !self.held.hold_gap(range.clone(), lost) {
            self.tell(range, lost, out);
        }
    }

    fn tell(&mut self, range: Range<u64>, lost: Lost, out: &mut Out<'_>) {
        if range.end == u64::MAX {
            self.tally.open_gaps += 1;
        } else {
            self.tally.gaps += range.end - range.start;
        }
        (out.give)(Given::Gap(GapRecord { sender: self.label.clone(), stream: self.stream, range, reason: lost }));
    }

    /// Nothing that is missing now will come: tell it, and give what waited behind it.
    pub fn give_up(&mut self, lost: Lost, desk: &mut Desk<'_>) {
        self.window.give_up(lost);
        self.drain(desk);
        self.decide(None, &mut desk.out);
        self.assembler.forget_below(u64::MAX);
        self.expiring = None;
    }

    /// The stream is over. What may have been sent behind all that is known of it is told with an open end, unless the
    /// sender said that it has ended.
    pub fn finish(&mut self, lost: Lost, desk: &mut Desk<'_>) {
        self.give_up(lost, desk);
        if self.is_proven() && self.end.is_none() {
            self.tell(self.window.next()..u64::MAX, lost, &mut desk.out);
        }
    }

    /// What is known of it.
    pub fn row(&self) -> StreamRow {
        StreamRow {
            sender: self.label.clone(),
            stream: self.stream,
            address: Some(self.contact.address()),
            admitted: self.admitted,
            first: self.first,
            next: self.window.next(),
            delivered: self.tally.delivered,
            gaps: self.tally.gaps,
            signatures: self.tally.signatures,
            rejected: self.tally.rejected,
            held: self.held.sequences(),
            waiting: self.window.waiting() as u64,
            duplicates: self.tally.duplicates,
            requests: self.tally.requests,
            repaired: self.tally.repaired,
            spurious: self.window.spurious(),
            silent: self.silent,
            ended: self.end.is_some(),
        }
    }
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Packed { packed, .. } => packed.len(),
            Item::Text(text) => text.len(),
            Item::Signature(signature) => signature.1.len(),
        }
    }
}
