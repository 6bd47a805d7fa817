//! What time brings: hellos, requests, gaps, ends.

use super::ReceiveSession;
use crate::reject::Reject;
use crate::reliable::admission::Over;
use crate::reliable::followed::{Desk, Fate, JITTER};
use crate::reliable::given::Give;
use crate::reliable::{Nanos, SECOND};
use crate::sealed::header::Kind;
use crate::stream::Lost;

/// Rows of streams that are over that are still told.
const TOLD: usize = 64;
/// While streams are followed, they are looked after at least this often.
const LOOK: Nanos = SECOND;

impl ReceiveSession {
    /// Do all that is due.
    pub(super) fn work(&mut self, now: Nanos, give: Give<'_>) {
        let asks = self.asks();
        let mut wake = Nanos::MAX;
        let mut place = 0;
        while place < self.table.len() {
            let ReceiveSession { table, unpacker, verifier, settings, rejected, .. } = self;
            let followed = table.at(place);
            let before = followed.bytes();
            let mut desk = Desk::new(unpacker, verifier, settings, rejected, now, give);
            let fate = followed.tick(asks, &mut desk);
            self.waiting = (self.waiting + followed.bytes()).saturating_sub(before);
            if fate != Fate::Goes {
                self.dismiss(place, now, give);
                continue;
            }
            wake = wake.min(followed.wake(asks));
            if asks && !followed.silent {
                self.ask(place, now);
                let followed = self.table.at(place);
                wake = wake.min(followed.wake(asks)).min(followed.contact.next());
            }
            place += 1;
        }
        if !self.table.is_empty() {
            wake = wake.min(now + LOOK);
        }
        let dropped = self.candidates.expire(now);
        self.rejected.add_many(Reject::Stale, dropped);
        self.challenge(now);
        self.wake = wake.min(self.candidates.wake());
    }

    /// Send the requests and the hello that one stream's sender is due.
    fn ask(&mut self, place: usize, now: Nanos) {
        let ReceiveSession { table, random, voice, keys, outgoing, counts, .. } = self;
        let Some(ring) = keys else { return };
        let followed = table.at(place);
        let cipher = followed.openers.cipher();
        if let Some((hello, to)) = followed.contact.hello(followed.stream, random, now) {
            counts.hellos += 1;
            outgoing.push(voice.say(ring, cipher, Kind::Hello, &hello.bytes(), to));
        }
        if followed.next_ask().is_some_and(|due| due <= now) {
            for payload in followed.ask(random.below(JITTER), now) {
                outgoing.push(voice.say(ring, cipher, Kind::Request, &payload, followed.contact.address()));
            }
        }
    }

    /// Send the hellos that are due to streams that have yet to show that they are alive.
    fn challenge(&mut self, now: Nanos) {
        let ReceiveSession { candidates, voice, keys, outgoing, counts, .. } = self;
        let Some(ring) = keys else { return };
        for candidate in candidates.iter_mut() {
            if let Some(hello) = candidate.knock.due(candidate.stream, now) {
                counts.hellos += 1;
                let cipher = candidate.openers.cipher();
                outgoing.push(voice.say(ring, cipher, Kind::Hello, &hello.bytes(), candidate.from));
            }
        }
    }

    /// Follow a stream no more: tell what is missing of it, and remember where it was left.
    pub(super) fn dismiss(&mut self, place: usize, now: Nanos, give: Give<'_>) {
        let ReceiveSession { table, unpacker, verifier, settings, rejected, .. } = self;
        let mut followed = table.remove(place);
        let before = followed.bytes();
        let lost = if followed.silent && !followed.succeeded { Lost::Silent } else { Lost::Ended };
        followed.finish(lost, &mut Desk::new(unpacker, verifier, settings, rejected, now, give));
        self.waiting = self.waiting.saturating_sub(before);
        if followed.is_proven() {
            self.past.add(followed.stream, Over { next: followed.top(), for_good: followed.has_ended() });
        }
        self.tally.add(&followed.tally());
        self.over.push_back(followed.row());
        if self.over.len() > TOLD {
            self.over.pop_front();
        }
    }
}
