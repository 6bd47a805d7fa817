//! The receiving session: datagrams and the time go in, events in order and gap records come out.

use super::given::{Given, StreamRow};
use super::random::Randomness;
use super::{Mode, Nanos, Outgoing, WallMillis};
use crate::keys::KeyRing;
use crate::reject::{Reject, RejectCounts};
use std::net::SocketAddr;

/// What a receiving session is told at its start.
#[derive(Clone, Debug)]
pub struct ReceiveSettings {
    pub mode: Mode,
    /// Whether it asks for what is missing.
    pub repair: bool,
    /// Who may sign, and with which Ed25519 key.
    pub signers: Vec<(String, [u8; 32])>,
    /// Whether an event that no known signer's signature covers is rejected, and waits until then.
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

/// Takes what a [`Given`] borrows.
pub type Give<'a> = &'a mut dyn FnMut(Given<'_>);

/// A receiving session.
pub struct ReceiveSession {
    settings: ReceiveSettings,
    keys: Option<KeyRing>,
    outgoing: Vec<Outgoing>,
    /// Why datagrams were rejected.
    pub rejected: RejectCounts,
    datagrams: u64,
}

impl ReceiveSession {
    /// A session that begins to listen `now`. Without keys it can only be a traced one, which then asks for nothing.
    pub fn new(settings: ReceiveSettings, keys: Option<KeyRing>, now: Nanos) -> ReceiveSession {
        let _ = now;
        ReceiveSession { settings, keys, outgoing: Vec::new(), rejected: RejectCounts::default(), datagrams: 0 }
    }

    /// Take a datagram, which is decrypted where it stands, and give what it completes.
    pub fn hear(&mut self, datagram: &mut [u8], from: SocketAddr, now: Nanos, wall: WallMillis, give: Give<'_>) {
        let _ = (datagram, from, now, wall, give, &self.settings, &self.keys);
        self.datagrams += 1;
        self.rejected.add(Reject::NotSealed);
    }

    /// Do what is due, and say when something is next. Cheap when nothing is.
    pub fn tick(&mut self, now: Nanos, wall: WallMillis, give: Give<'_>) -> Option<Nanos> {
        let _ = (now, wall, give);
        None
    }

    /// What is to be sent.
    pub fn outgoing(&mut self) -> std::vec::Drain<'_, Outgoing> {
        self.outgoing.drain(..)
    }

    /// Receive under these keys from now on. Streams go on.
    pub fn rekey(&mut self, keys: KeyRing) {
        self.keys = Some(keys);
    }

    /// Counters by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("datagrams", self.datagrams)]
    }

    /// One row for each stream, in the order in which they were admitted.
    pub fn streams(&self) -> Vec<StreamRow> {
        Vec::new()
    }
}
