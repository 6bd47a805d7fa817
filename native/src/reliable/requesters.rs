//! The receivers that a sender hears from: who they are, whether they are where they say, and what their share is.

use super::budget::{Bucket, REPAIR_FLOOR, RepairBudget, Strangers};
use super::message::COOKIE;
use super::random::Randomness;
use super::{Nanos, SECOND};
use crate::keys::{GroupKey, KeyRing};
use crate::limits::REQUESTERS;
use crate::reject::Reject;
use crate::replay::ReplayWindow;
use crate::sealed::cipher::Subkey;
use crate::sealed::header::{Cipher, Header, KeyId, StreamId};
use ring::hmac;
use std::collections::HashMap;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

/// How long a receiver that has asked counts as one of those who ask.
const ACTIVE: Nanos = 10 * SECOND;
/// How long one may ask for more than its share before it is told to give up.
const PATIENCE: Nanos = 2 * SECOND;
/// How long its share must be enough for that to be forgotten.
const CONTENT: Nanos = SECOND / 2;
/// How long a cookie is good, at least; at most twice as long.
const COOKIE_LIFE: Nanos = 60 * SECOND;

/// What a receiver's control frames are sealed with tells who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id {
    stream: StreamId,
    key: KeyId,
    cipher: Cipher,
}

/// One receiver that has named this very stream in a frame of its own.
struct Requester {
    id: Id,
    subkey: Subkey,
    replay: ReplayWindow,
    heard: Nanos,
    /// When it last asked with a cookie that showed its address.
    proven: Option<Nanos>,
    share: Bucket,
    over: Option<Over>,
    /// It was told that nothing below will be sent to it again.
    refused_below: u64,
}

/// It asks for more than its share: since when, how far it was behind then, and when it did so last.
struct Over {
    since: Nanos,
    behind: u64,
    last: Nanos,
}

/// Who a frame is from, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub place: usize,
    pub stream: StreamId,
    pub address: SocketAddr,
}

/// Who wrote a frame that opened.
pub enum Writer {
    Known(usize),
    /// Nobody that is known yet: what its frames open with.
    New(Box<Subkey>),
}

/// The receivers, at most [`REQUESTERS`]: who was not heard from for longest makes way.
pub struct Requesters {
    rows: Vec<Requester>,
    places: HashMap<Id, usize>,
    strangers: Strangers,
    cookies: Cookies,
}

impl Requesters {
    pub fn new(random: &mut Randomness, now: Nanos) -> Requesters {
        Requesters {
            rows: Vec::new(),
            places: HashMap::new(),
            strangers: Strangers::new(random, now),
            cookies: Cookies(hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>())),
        }
    }

    /// Open `rest`, what follows `header`, under the writer's subkey of `key`; its payload.
    ///
    /// Who is known costs no key derivation, and shall not repeat a frame. A stranger's is opened as the budget allows.
    pub fn open<'a>(
        &mut self,
        header: &Header,
        key: &GroupKey,
        rest: &'a mut [u8],
        source: IpAddr,
        now: Nanos,
    ) -> Result<(Writer, &'a [u8]), Reject> {
        if let Some(&place) = self.places.get(&Id::of(header)) {
            let row = &mut self.rows[place];
            if !row.replay.look(header.sequence) {
                return Err(Reject::Replayed);
            }
            let payload = row.subkey.open(header, rest)?;
            row.replay.commit(header.sequence);
            return Ok((Writer::Known(place), payload));
        }
        if !self.strangers.take(source, now) {
            return Err(Reject::Flood);
        }
        let subkey = Subkey::new(key, &header.stream, header.cipher);
        let payload = subkey.open(header, rest)?;
        Ok((Writer::New(Box::new(subkey)), payload))
    }

    /// Remember who wrote this frame, for it is meant for us. The place holds until the next that is new.
    pub fn admit(&mut self, header: &Header, writer: Writer, address: SocketAddr, now: Nanos) -> Caller {
        let place = match writer {
            Writer::Known(place) => place,
            Writer::New(subkey) => {
                self.strangers.give_back(address.ip());
                self.add(header, *subkey, now)
            }
        };
        self.rows[place].heard = now;
        Caller { place, stream: header.stream, address }
    }

    /// Whether to remember this one means to forget another.
    pub fn displaces(&self, writer: &Writer) -> bool {
        matches!(writer, Writer::New(_)) && self.rows.len() >= REQUESTERS
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forget those whose key is not live any more. All places change.
    pub fn retain_keys(&mut self, ring: &KeyRing) {
        self.rows.retain(|row| ring.get(row.id.key).is_some());
        self.places = self.rows.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
    }

    /// A cookie for who asks from there.
    pub fn cookie(&self, caller: &Caller, now: Nanos) -> [u8; COOKIE] {
        self.cookies.bake(caller, now / COOKIE_LIFE)
    }

    /// Whether this cookie was given to that receiver at that address lately. It is remembered as one who asks.
    pub fn prove(&mut self, caller: &Caller, cookie: &[u8; COOKIE], now: Nanos) -> bool {
        let is_good = self.cookies.is_good(cookie, caller, now);
        if is_good {
            self.rows[caller.place].proven = Some(now);
        }
        is_good
    }

    /// How many have proved their address lately.
    pub fn active(&self, now: Nanos) -> usize {
        let recent = |row: &&Requester| row.proven.is_some_and(|at| now.saturating_sub(at) < ACTIVE);
        self.rows.iter().filter(recent).count()
    }

    /// Below which nothing will be sent again to this one.
    pub fn refused_below(&self, place: usize) -> u64 {
        self.rows[place].refused_below
    }

    /// Whether something may be sent again to this one alone: its share allows it, or others leave enough.
    pub fn allows(&mut self, place: usize, active: usize, budget: &RepairBudget, now: Nanos) -> bool {
        let share = &mut self.rows[place].share;
        share.fill(budget.rate() / active.max(1) as u64, now);
        budget.bucket.has_any() && (share.has_any() || budget.bucket.has_half(budget.rate()))
    }

    /// Whether anything is left of its share.
    pub fn has_share(&self, place: usize) -> bool {
        self.rows[place].share.has_any()
    }

    /// So many bytes were. Its share pays where it has something left.
    pub fn charge(&mut self, place: usize, bytes: usize, budget: &mut RepairBudget) {
        budget.bucket.take(bytes);
        let share = &mut self.rows[place].share;
        if share.has_any() {
            share.take(bytes);
        }
    }

    /// Judge one that asked: `short` when its share was not enough for all of it, `behind` by so many sequences, up to `end`. Whether
    /// it is lagging: it has asked for more than its share for 2 s, and did not come nearer meanwhile.
    pub fn is_lagging(&mut self, place: usize, short: bool, behind: u64, end: u64, now: Nanos) -> bool {
        let row = &mut self.rows[place];
        if row.over.as_ref().is_some_and(|over| now.saturating_sub(over.last) >= CONTENT) {
            row.over = None;
        }
        if !short {
            return false;
        }
        let over = row.over.get_or_insert(Over { since: now, behind, last: now });
        over.last = now;
        if behind < over.behind - over.behind / 8 {
            (over.since, over.behind) = (now, behind);
        }
        let is_lagging = now.saturating_sub(over.since) >= PATIENCE;
        if is_lagging {
            row.over = None;
            row.refused_below = row.refused_below.max(end);
        }
        is_lagging
    }

    fn add(&mut self, header: &Header, subkey: Subkey, now: Nanos) -> usize {
        let id = Id::of(header);
        let mut replay = ReplayWindow::new();
        replay.commit(header.sequence);
        let share = Bucket::full(REPAIR_FLOOR, now);
        let row = Requester { id, subkey, replay, heard: now, proven: None, share, over: None, refused_below: 0 };
        let place = if self.rows.len() >= REQUESTERS {
            let quietest = (0..self.rows.len()).min_by_key(|&place| self.rows[place].heard).unwrap_or(0);
            self.places.remove(&self.rows[quietest].id);
            self.rows[quietest] = row;
            quietest
        } else {
            self.rows.push(row);
            self.rows.len() - 1
        };
        self.places.insert(id, place);
        place
    }
}

impl Id {
    fn of(header: &Header) -> Id {
        Id { stream: header.stream, key: header.key, cipher: header.cipher }
    }
}

/// What makes cookies, and knows them again without remembering them: a MAC over the address, the receiver's stream and
/// the minute, under a secret of the session.
struct Cookies(hmac::Key);

impl Cookies {
    fn bake(&self, caller: &Caller, minute: u64) -> [u8; COOKIE] {
        let ip = match caller.address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let said =
            [&ip.octets()[..], &caller.address.port().to_be_bytes(), &caller.stream, &minute.to_be_bytes()].concat();
        *hmac::sign(&self.0, &said).as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// Whether it is from this minute or the one before. Takes the same time wherever a wrong one differs.
    fn is_good(&self, cookie: &[u8; COOKIE], caller: &Caller, now: Nanos) -> bool {
        let minute = now / COOKIE_LIFE;
        [Some(minute), minute.checked_sub(1)].into_iter().flatten().any(|minute| {
            let right = self.bake(caller, minute);
            let differ = |sum, (one, other): (&u8, &u8)| black_box(sum | one ^ other);
            cookie.iter().zip(&right).fold(0, differ) == 0
        })
    }
}
