//! Where a stream's sender is reached, and how a receiver gets it to show that it is there.

use super::message::{CHALLENGE, COOKIE, HELLO, Hello, Welcome};
use super::random::Randomness;
use super::sealer::Sealer;
use super::{MILLISECOND, Nanos, Outgoing, SECOND, To};
use crate::keys::KeyRing;
use crate::sealed::header::{Cipher, HEADER, Kind, StreamId, TAG};
use std::net::SocketAddr;

/// The first hello is sent within this time, so that not all receivers send theirs at once.
const KNOCK_JITTER: Nanos = 2 * MILLISECOND;
/// The second hello follows the first after this, and each one after twice as long as the one before,
const FIRST_KNOCK: Nanos = 20 * MILLISECOND;
/// up to this.
const LAST_KNOCK: Nanos = 250 * MILLISECOND;
/// A cookie is as good as this long: it names a minute, and the sender takes it in the next one too.
const COOKIE_AGE: Nanos = 30 * SECOND;
/// After so many hellos that nobody answered, the next follow only when the cookie would be renewed anyway.
const KNOCKS: u32 = 10;
/// Bytes of a hello's frame.
const HELLO_FRAME: u64 = (HEADER + HELLO + TAG) as u64;

/// What a receiver says: control frames of a stream of its own.
pub struct Voice {
    stream: StreamId,
    /// Frames so far. None has the same number twice, whatever its cipher and key.
    said: u64,
    sealers: Vec<(Cipher, Sealer)>,
}

impl Voice {
    pub fn new(random: &mut Randomness) -> Voice {
        Voice { stream: random.bytes(), said: 0, sealers: Vec::new() }
    }

    /// The receiver's stream: what answers name.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Use another key from now on.
    pub fn rekey(&mut self) {
        self.sealers.clear();
    }

    /// A control frame, sealed.
    pub fn say(&mut self, ring: &KeyRing, cipher: Cipher, kind: Kind, payload: &[u8], to: SocketAddr) -> Outgoing {
        let place = self.sealers.iter().position(|(known, _)| *known == cipher).unwrap_or_else(|| {
            // A receiver has no name. Its sender's id is the beginning of its stream.
            let sender = *self.stream.first_chunk().expect("a stream's id is longer");
            self.sealers.push((cipher, Sealer::new(ring.sending(), cipher, sender, self.stream)));
            self.sealers.len() - 1
        });
        self.said += 1;
        Outgoing { to: To::Address(to), bytes: self.sealers[place].1.control(kind, self.said, payload) }
    }
}

/// A challenge that is sent until it is answered.
///
/// No more than three times the bytes go to an address that came from there: it may be a victim's.
#[derive(Debug)]
pub struct Knock {
    challenge: [u8; CHALLENGE],
    next: Nanos,
    knocks: u32,
    credit: u64,
}

impl Knock {
    pub fn new(random: &mut Randomness, now: Nanos) -> Knock {
        Knock { challenge: random.bytes(), next: now + random.below(KNOCK_JITTER), knocks: 0, credit: 0 }
    }

    /// So many bytes came from there, authentic.
    pub fn heard(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_add(3 * bytes as u64);
    }

    /// When the next hello is due.
    pub fn next(&self) -> Nanos {
        self.next
    }

    /// The hello for `stream` that is due now.
    pub fn due(&mut self, stream: StreamId, now: Nanos) -> Option<Hello> {
        if now < self.next {
            return None;
        }
        if self.credit < HELLO_FRAME {
            self.next = now + FIRST_KNOCK;
            return None;
        }
        self.credit -= HELLO_FRAME;
        self.next = now + (FIRST_KNOCK << self.knocks.min(8)).min(LAST_KNOCK);
        self.knocks += 1;
        Some(Hello { stream, challenge: self.challenge })
    }

    /// Whether `welcome` answers it.
    pub fn is_answered_by(&self, welcome: &Welcome) -> bool {
        self.challenge == welcome.challenge
    }
}

/// How the sender of an admitted stream is reached.
#[derive(Debug)]
pub struct Contact {
    /// Where its last authentic frame came from: on the way to us anyone could have changed that.
    seen: SocketAddr,
    /// Where its last welcome came from.
    proven: Option<SocketAddr>,
    cookie: [u8; COOKIE],
    knock: Option<Knock>,
    /// When the next challenge is drawn, while none waits for its answer.
    renew: Nanos,
}

impl Contact {
    pub fn new(seen: SocketAddr, now: Nanos) -> Contact {
        Contact { seen, proven: None, cookie: [0; COOKIE], knock: None, renew: now }
    }

    /// Where requests go.
    pub fn address(&self) -> SocketAddr {
        self.proven.unwrap_or(self.seen)
    }

    pub fn cookie(&self) -> [u8; COOKIE] {
        self.cookie
    }

    /// An authentic frame came from there.
    #[inline]
    pub fn heard(&mut self, from: SocketAddr, bytes: usize) {
        self.seen = from;
        if let Some(knock) = &mut self.knock {
            knock.heard(bytes);
        }
    }

    /// It answered our challenge, or, with one of zeros, a request whose cookie was too old.
    pub fn welcome(&mut self, welcome: &Welcome, from: SocketAddr, now: Nanos) {
        let answers = self.knock.as_ref().is_some_and(|knock| knock.is_answered_by(welcome));
        if answers {
            self.answered(welcome, from, now);
        } else if welcome.challenge == [0; CHALLENGE] {
            self.cookie = welcome.cookie;
        }
    }

    /// The challenge that admitted the stream was answered from there.
    pub fn answered(&mut self, welcome: &Welcome, from: SocketAddr, now: Nanos) {
        self.proven = Some(from);
        self.cookie = welcome.cookie;
        self.knock = None;
        self.renew = now + COOKIE_AGE;
    }

    /// When [`Contact::hello`] has something to say.
    pub fn next(&self) -> Nanos {
        self.knock.as_ref().map_or(self.renew, Knock::next)
    }

    /// The hello that is due now, and where it goes.
    pub fn hello(&mut self, stream: StreamId, random: &mut Randomness, now: Nanos) -> Option<(Hello, SocketAddr)> {
        if self.knock.as_ref().is_some_and(|knock| knock.knocks >= KNOCKS) {
            self.knock = None;
            self.renew = now + COOKIE_AGE;
        }
        if self.knock.is_none() && now >= self.renew {
            let mut knock = Knock::new(random, now);
            // It is known to be there: one hello needs no more than what came from it before.
            knock.heard(HELLO_FRAME as usize / 3 + 1);
            self.knock = Some(knock);
        }
        let hello = self.knock.as_mut()?.due(stream, now)?;
        Some((hello, self.seen))
    }
}
