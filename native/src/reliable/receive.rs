//! The receiving session: datagrams and the time go in, events in order and gap records come out.
//!
//! ```text
//!             ┌─ followed ──> look, open, order, give                         followed.rs, table.rs
//! datagram ── ┤  of a stream that is
//!             ├─ not known ─> budget, open, keep aside, hello ... admit       admission.rs, contact.rs
//!             └─ over ──────> rejected
//! ```
//!
//! The checks in their order, the cheap ones first: size and form, the key's id, the sequence (a look), authenticity, then
//! all that changes anything. What is not authentic leaves nothing behind but counts.

use super::admission::{Candidates, Past};
use super::budget::Strangers;
use super::contact::Voice;
use super::followed::{Desk, Followed, Out, Tally};
use super::given::{Give, StreamRow};
use super::random::Randomness;
use super::table::Table;
use super::{Mode, Nanos, Outgoing, WallMillis};
use crate::keys::KeyRing;
use crate::reject::{Reject, RejectCounts};
use crate::sealed::header::is_frame;
use crate::sealed::packing::Unpacker;
use crate::sealed::signing::Verifier;
use crate::stream::Lost;
use std::collections::VecDeque;
use std::net::SocketAddr;

mod admitting;
mod hearing;
mod looking_after;

/// What a receiving session is told at its start.
#[derive(Clone, Debug)]
pub struct ReceiveSettings {
    pub mode: Mode,
    /// Whether it asks for what is missing.
    pub repair: bool,
    /// Who may sign, and with which Ed25519 key. Where there are any, events of streams that are signed wait for the
    /// signature, which follows at the end of their batch.
    pub signers: Vec<(String, [u8; 32])>,
    /// Whether an event that no known signer's signature covers is rejected; else it is given as a member's.
    pub hold_unsigned: bool,
    /// Whether stock datagrams are delivered, as such, in traced mode.
    pub deliver_stock: bool,
    pub random: Randomness,
}

impl ReceiveSettings {
    /// A session that repairs, knows no signers, and takes no stock datagrams.
    pub fn new(mode: Mode) -> ReceiveSettings {
        ReceiveSettings {
            mode,
            repair: true,
            signers: Vec::new(),
            hold_unsigned: false,
            deliver_stock: false,
            random: Randomness::system(),
        }
    }
}

/// A receiving session.
pub struct ReceiveSession {
    settings: ReceiveSettings,
    keys: Option<KeyRing>,
    random: Randomness,
    voice: Voice,
    table: Table,
    candidates: Candidates,
    past: Past,
    strangers: Strangers,
    unpacker: Unpacker,
    verifier: Option<Verifier>,
    outgoing: Vec<Outgoing>,
    /// Why datagrams and events were rejected.
    pub rejected: RejectCounts,
    /// When it began to listen.
    began: Nanos,
    /// When something is due.
    wake: Nanos,
    /// Bytes that wait in all streams.
    waiting: usize,
    counts: Counts,
    /// Of the streams that are over.
    tally: Tally,
    over: VecDeque<StreamRow>,
}

/// What is counted besides.
#[derive(Debug, Default)]
struct Counts {
    datagrams: u64,
    bytes: u64,
    /// Stock datagrams that were given.
    stock: u64,
    /// Control frames that are for others.
    not_for_us: u64,
    hellos: u64,
    admitted: u64,
    /// Streams that showed that they are alive when there was no room for them.
    refused: u64,
}

impl ReceiveSession {
    /// A session that begins to listen `now`. Without keys it can only be a traced one, which then proves and repairs
    /// nothing: what it gives has the trust of stock.
    pub fn new(mut settings: ReceiveSettings, keys: Option<KeyRing>, now: Nanos) -> ReceiveSession {
        let mut random = std::mem::take(&mut settings.random);
        let verifier = Verifier::new(&settings.signers);
        ReceiveSession {
            keys,
            voice: Voice::new(&mut random),
            table: Table::default(),
            candidates: Candidates::default(),
            past: Past::default(),
            strangers: Strangers::new(&mut random, now),
            unpacker: Unpacker::default(),
            verifier: Some(verifier).filter(|verifier| settings.hold_unsigned || !verifier.is_empty()),
            outgoing: Vec::new(),
            rejected: RejectCounts::default(),
            began: now,
            wake: Nanos::MAX,
            waiting: 0,
            counts: Counts::default(),
            tally: Tally::default(),
            over: VecDeque::new(),
            random,
            settings,
        }
    }

    /// Take a datagram, which is decrypted where it stands, and give what it completes.
    pub fn hear(&mut self, datagram: &mut [u8], from: SocketAddr, now: Nanos, wall: WallMillis, give: Give<'_>) {
        self.counts.datagrams += 1;
        self.counts.bytes += datagram.len() as u64;
        let taken = if is_frame(datagram) {
            self.hear_frame(datagram, from, now, wall, give)
        } else if self.settings.mode == Mode::Traced {
            self.hear_text(datagram, from, now, give)
        } else {
            Err(if datagram.is_empty() { Reject::ZeroLength } else { Reject::NotSealed })
        };
        if let Err(reason) = taken {
            self.rejected.add(reason);
        }
    }

    /// Do what is due, and say when something is next. Cheap when nothing is.
    pub fn tick(&mut self, now: Nanos, _wall: WallMillis, give: Give<'_>) -> Option<Nanos> {
        if now >= self.wake {
            self.work(now, give);
        }
        Some(self.wake).filter(|wake| *wake != Nanos::MAX)
    }

    /// Give what waits, and tell what is missing in front of it: nothing more will be heard.
    pub fn end(&mut self, now: Nanos, give: Give<'_>) {
        let ReceiveSession { table, unpacker, verifier, settings, rejected, .. } = self;
        for followed in table.iter_mut() {
            let mut desk = Desk::new(unpacker, verifier, settings, rejected, now, give);
            followed.give_up(Lost::Unrepaired, &mut desk);
        }
        self.waiting = 0;
    }

    /// What is to be sent.
    pub fn outgoing(&mut self) -> std::vec::Drain<'_, Outgoing> {
        self.outgoing.drain(..)
    }

    /// Receive under these keys from now on. Streams go on, but for those that no key vouched for until now.
    pub fn rekey(&mut self, keys: KeyRing) {
        self.voice.rekey();
        self.candidates.retire(&keys);
        for followed in self.table.iter_mut() {
            followed.openers.retire(&keys);
            if !followed.is_proven() {
                followed.succeeded = true;
                followed.heard = 0;
                self.wake = 0;
            }
        }
        self.keys = Some(keys);
    }

    /// Counters by name. Those that end in `_now` go down, too.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut tally = self.tally;
        self.table.iter().for_each(|followed| tally.add(&followed.tally()));
        let (candidates, aside) = self.candidates.size();
        vec![
            ("datagrams", self.counts.datagrams),
            ("bytes", self.counts.bytes),
            ("stock", self.counts.stock),
            ("not_for_us", self.counts.not_for_us),
            ("events", tally.delivered),
            ("gap_events", tally.gaps),
            ("open_gaps", tally.open_gaps),
            ("signatures", tally.signatures),
            ("refused_events", tally.rejected),
            ("duplicates", tally.duplicates),
            ("requests", tally.requests),
            ("hellos", self.counts.hellos),
            ("repaired", tally.repaired),
            ("spurious", tally.spurious),
            ("displaced", tally.displaced),
            ("streams_admitted", self.counts.admitted),
            ("streams_refused", self.counts.refused),
            ("streams_now", self.table.len() as u64),
            ("streams_aside_now", candidates as u64),
            ("bytes_aside_now", aside as u64),
            ("bytes_waiting_now", self.waiting as u64),
        ]
    }

    /// One row for each stream that is followed, in the order in which they were admitted; in front of them the last of
    /// those that are over.
    pub fn streams(&self) -> Vec<StreamRow> {
        self.over.iter().cloned().chain(self.table.iter().map(Followed::row)).collect()
    }

    /// Whether what is missing is asked for.
    fn asks(&self) -> bool {
        self.settings.repair && self.keys.is_some()
    }
}

impl<'a> Desk<'a> {
    fn new(
        unpacker: &'a mut Unpacker,
        verifier: &'a Option<Verifier>,
        settings: &ReceiveSettings,
        rejected: &'a mut RejectCounts,
        now: Nanos,
        give: Give<'a>,
    ) -> Desk<'a> {
        let out = Out { verifier: verifier.as_ref(), hold_unsigned: settings.hold_unsigned, rejected, give, now };
        Desk { unpacker, out }
    }
}

#[cfg(test)]
mod tests;
