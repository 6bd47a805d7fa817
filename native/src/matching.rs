//! Which events are asked for: FreeSWITCH's own bindings, then an optional CEL condition.
//!
//! Bindings are compared with the bytes as they stand on the wire, so that what nobody asked for is never decoded. A
//! condition sees headers one at a time, each decoded when the condition comes to it.

mod bindings;
mod condition;
mod explain;
mod rewrite;
#[cfg(test)]
mod tests;
mod words;

pub use bindings::{BindingError, Bindings, EVENT_NAMES};
pub use condition::{Condition, ConditionError};

use crate::encoding;
use crate::event::Event;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a matcher needs to know of an event; nothing is decoded until asked.
///
/// `Sync`, because the values that CEL passes around have to be.
pub trait Headers: Sync {
    /// The first header of this name (in any case), as it stands on the wire.
    fn raw(&self, name: &[u8]) -> Option<&[u8]>;

    /// The first header of this name (in any case), decoded; bytes that are not UTF-8 become U+FFFD.
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let raw = self.raw(name.as_bytes())?;
        Some(match encoding::decode(raw) {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => Cow::Owned(lossy(value)),
        })
    }
}

impl Headers for Event {
    fn raw(&self, name: &[u8]) -> Option<&[u8]> {
        Event::raw(self, name)
    }
}

/// Like `String::from_utf8_lossy_owned`, which is not stable yet: no second copy when the bytes are UTF-8.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Bindings, then an optional condition. Shared: any number of threads may match with it at once.
#[derive(Debug)]
pub struct Matcher {
    bindings: Bindings,
    condition: Option<Condition>,
    errors: AtomicU64,
}

impl Matcher {
    pub fn new(bindings: Bindings, condition: Option<Condition>) -> Matcher {
        Matcher { bindings, condition, errors: AtomicU64::new(0) }
    }

    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// How many events the condition failed on, each of which counted as not matching.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Whether `event` is asked for. An event that the condition fails on is not, and is counted.
    pub fn matches<H: Headers>(&self, event: &H) -> bool {
        self.check(event).unwrap_or(false)
    }

    /// The same, for a caller who keeps counts of its own or wants the reason; counted here too.
    pub fn check<H: Headers>(&self, event: &H) -> Result<bool, String> {
        let name = if self.bindings.takes_all() { None } else { event.raw(b"Event-Name") };
        if !self.bindings.matches_raw(name, || event.raw(b"Event-Subclass")) {
            return Ok(false);
        }
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        condition.evaluate(event).inspect_err(|_| {
            self.errors.fetch_add(1, Ordering::Relaxed);
        })
    }
}
