//! Streams that are not followed: those that have yet to show that they are alive, and those that are over.
//!
//! A receiver with no memory of a stream cannot tell new from recorded. So what opens is kept aside, and a challenge goes
//! where it came from; the stream is admitted when it answers that, or when an authentic beacon tells a time near ours.
//!
//! So a receiver that has just started can be given what was sent in the last half minute by whoever recorded that, as it
//! could be given it by the sender itself, which keeps as much. What is older is stale, and nothing is given twice by one
//! that runs: streams that are over are remembered for longer than their beacons are fresh.

use super::contact::Knock;
use super::message::Beacon;
use super::openers::Openers;
use super::{Nanos, SECOND, WallMillis};
use crate::keys::KeyRing;
use crate::limits::{ASIDE_BYTES, ASIDE_FRAMES, ASIDE_STREAMS, PAST_STREAMS};
use crate::reject::Reject;
use crate::replay::ReplayWindow;
use crate::sealed::header::{Header, SenderId, StreamId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

/// A stream that did not show within this time that it is alive is dropped.
pub const PROOF: Nanos = 5 * SECOND;
/// A beacon whose wall clock is this near ours was sent just now.
const FRESH: WallMillis = 30_000;

/// Whether a beacon was sent just now, by what it says.
pub fn is_fresh(beacon: &Beacon, wall: WallMillis) -> bool {
    beacon.wall_millis.abs_diff(wall) <= FRESH
}

/// What is kept aside: opened, for a stream that may be a recording.
pub enum Kept {
    Frame(Header, Box<[u8]>),
    /// A traced datagram's text, without its stamp.
    Text(Box<[u8]>),
}

/// A stream that has to show that it is alive.
pub struct Candidate {
    pub stream: StreamId,
    pub sender: SenderId,
    pub openers: Openers,
    pub controls: ReplayWindow,
    pub knock: Knock,
    /// Where the last of it came from.
    pub from: SocketAddr,
    since: Nanos,
    /// By sequence and fragment.
    aside: BTreeMap<(u64, u16), (Kept, SocketAddr)>,
    bytes: usize,
    /// What there was no room for, and what said nothing new.
    passed: u64,
}

impl Candidate {
    pub fn new(
        openers: Openers,
        sender: SenderId,
        stream: StreamId,
        from: SocketAddr,
        knock: Knock,
        now: Nanos,
    ) -> Self {
        Candidate {
            stream,
            sender,
            openers,
            controls: ReplayWindow::new(),
            knock,
            from,
            since: now,
            aside: BTreeMap::new(),
            bytes: 0,
            passed: 0,
        }
    }

    /// Something authentic came from there.
    pub fn heard(&mut self, from: SocketAddr, bytes: usize) {
        self.from = from;
        self.knock.heard(bytes);
    }

    /// Keep this aside. When there is no room for it, it is asked for if the stream is admitted.
    pub fn keep(&mut self, sequence: u64, fragment: u16, kept: Kept, from: SocketAddr) -> Result<(), Reject> {
        if self.aside.contains_key(&(sequence, fragment)) {
            return Err(Reject::Replayed);
        }
        let bytes = kept.bytes();
        if self.aside.len() >= ASIDE_FRAMES || self.bytes + bytes > ASIDE_BYTES {
            self.passed += 1;
        } else {
            self.bytes += bytes;
            self.aside.insert((sequence, fragment), (kept, from));
        }
        Ok(())
    }

    /// Something came that does not show that the stream is alive.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// Where to begin, when the stream is alive and `beacon` is what it says: at 1 when it is younger than we have
    /// `listened`, else at the first that was kept aside and is not older than what the sender keeps.
    pub fn first(&self, beacon: &Beacon, listened: Nanos) -> u64 {
        if beacon.age_millis.saturating_mul(1_000_000) <= listened {
            return 1;
        }
        self.aside.range((beacon.oldest, 0)..).next().map_or(beacon.next, |((sequence, _), _)| *sequence)
    }

    /// What was kept aside, in order.
    pub fn into_kept(self) -> (Openers, ReplayWindow, impl Iterator<Item = (u64, Kept, SocketAddr)>) {
        let kept = self.aside.into_iter().map(|((sequence, _), (kept, from))| (sequence, kept, from));
        (self.openers, self.controls, kept)
    }

    /// How much of it came.
    fn count(&self) -> u64 {
        self.aside.len() as u64 + self.passed
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Kept::Frame(_, payload) => payload.len(),
            Kept::Text(text) => text.len(),
        }
    }
}

/// The streams that have to show that they are alive, oldest first.
#[derive(Default)]
pub struct Candidates {
    list: Vec<Candidate>,
}

impl Candidates {
    pub fn get(&mut self, stream: &StreamId) -> Option<&mut Candidate> {
        self.list.iter_mut().find(|candidate| candidate.stream == *stream)
    }

    /// Take up one more. Says of how many frames or datagrams the oldest was that made room for it.
    pub fn add(&mut self, candidate: Candidate) -> u64 {
        let dropped = if self.list.len() >= ASIDE_STREAMS { self.list.remove(0).count() } else { 0 };
        self.list.push(candidate);
        dropped
    }

    pub fn remove(&mut self, stream: &StreamId) -> Option<Candidate> {
        let place = self.list.iter().position(|candidate| candidate.stream == *stream)?;
        Some(self.list.remove(place))
    }

    /// Drop those that had time enough. Says of how many frames and datagrams they were.
    pub fn expire(&mut self, now: Nanos) -> u64 {
        let mut dropped = 0;
        self.list.retain(|candidate| {
            let stays = now < candidate.since + PROOF;
            dropped += if stays { 0 } else { candidate.count() };
            stays
        });
        dropped
    }

    /// Forget what is under keys that are not live any more.
    pub fn retire(&mut self, ring: &KeyRing) {
        self.list.iter_mut().for_each(|candidate| candidate.openers.retire(ring));
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.list.iter_mut()
    }

    /// How many there are, and the bytes that are kept aside.
    pub fn size(&self) -> (usize, usize) {
        (self.list.len(), self.list.iter().map(|candidate| candidate.bytes).sum())
    }

    /// When something is due.
    pub fn wake(&self) -> Nanos {
        let due = |candidate: &Candidate| candidate.knock.next().min(candidate.since + PROOF);
        self.list.iter().map(due).min().unwrap_or(Nanos::MAX)
    }
}

/// The streams that are over, so that a recording of one is not taken for a new one while its beacons are fresh.
#[derive(Default)]
pub struct Past {
    streams: HashMap<StreamId, Over>,
    order: VecDeque<StreamId>,
}

/// What is remembered of a stream that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Everything below was given, or told to be missing.
    pub next: u64,
    /// The sender said that it has ended. Else it may be that we gave it up too soon, and it comes back.
    pub for_good: bool,
}

impl Past {
    pub fn get(&self, stream: &StreamId) -> Option<Over> {
        self.streams.get(stream).copied()
    }

    pub fn add(&mut self, stream: StreamId, over: Over) {
        if self.streams.insert(stream, over).is_none() {
            self.order.push_back(stream);
        }
        if self.order.len() > PAST_STREAMS
            && let Some(oldest) = self.order.pop_front()
        {
            self.streams.remove(&oldest);
        }
    }
}
