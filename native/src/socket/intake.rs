//! A datagram becomes an event that someone asked for, or a count.

use crate::event::{self, Event, Source};
use crate::frame::{self, Psk};
use crate::matching::Matcher;
use crate::reject::{Reject, RejectCounts};
use crate::trust::Trust;
use std::net::SocketAddr;
use std::sync::Arc;

/// What became of the datagrams.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub datagrams: u64,
    pub bytes: u64,
    /// Events that nobody asked for.
    pub unmatched: u64,
    /// Events that the condition failed on; each is among the unmatched too.
    pub condition_errors: u64,
    pub rejected: RejectCounts,
}

/// What a receiver does with each datagram. Cheap checks come first: size, trailer, bindings; only what is left is
/// copied and indexed.
pub struct Intake {
    pub psk: Option<Psk>,
    pub matcher: Option<Arc<Matcher>>,
}

impl Intake {
    /// The event in `datagram`, when it is one that is asked for.
    pub fn take(
        &self,
        datagram: &[u8],
        truncated: bool,
        source: impl FnOnce() -> Option<SocketAddr>,
        received: u64,
        counts: &mut Counts,
    ) -> Option<Event> {
        counts.datagrams += 1;
        counts.bytes += datagram.len() as u64;
        let opened = if truncated { Err(Reject::Truncated) } else { self.open(datagram) };
        let mut event = self.wanted(opened, counts)?;
        event.source = source().map_or(Source::Unknown, Source::Datagram);
        event.received = received;
        event.trust = Trust::Stock;
        Some(event)
    }

    /// The event with this text, when it is one that is asked for. The text is copied for such a one only.
    pub fn choose(&self, text: &[u8], counts: &mut Counts) -> Option<Event> {
        let opened = if self.is_bound(text) { Event::parse(text).map(Some) } else { Ok(None) };
        self.wanted(opened, counts)
    }

    fn wanted(&self, opened: Result<Option<Event>, Reject>, counts: &mut Counts) -> Option<Event> {
        match opened {
            Ok(Some(event)) if self.condition_holds(&event, counts) => Some(event),
            Ok(Some(_)) => {
                counts.unmatched += 1;
                None
            }
            Ok(None) => {
                counts.unmatched += 1;
                None
            }
            Err(reason) => {
                counts.rejected.add(reason);
                None
            }
        }
    }

    fn open(&self, datagram: &[u8]) -> Result<Option<Event>, Reject> {
        match &self.psk {
            None => {
                let text = frame::text_of(datagram)?;
                if self.is_bound(text) { Event::parse(text).map(Some) } else { Ok(None) }
            }
            Some(psk) => {
                let text = frame::open_text(datagram, psk)?;
                if self.is_bound(&text) { Event::parse(&text).map(Some) } else { Ok(None) }
            }
        }
    }

    /// Whether the bindings take this text, by its first lines alone.
    fn is_bound(&self, text: &[u8]) -> bool {
        let Some(bindings) = self.matcher.as_ref().map(|matcher| matcher.bindings()) else {
            return true;
        };
        if bindings.takes_all() {
            return true;
        }
        let name = event::peek(text, b"Event-Name");
        bindings.matches_raw(name, || event::peek(text, b"Event-Subclass"))
    }

    fn condition_holds(&self, event: &Event, counts: &mut Counts) -> bool {
        let Some(condition) = self.matcher.as_ref().and_then(|matcher| matcher.condition()) else {
            return true;
        };
        condition.evaluate(event).unwrap_or_else(|_| {
            counts.condition_errors += 1;
            false
        })
    }
}
