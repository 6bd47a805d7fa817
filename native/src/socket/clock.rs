//! The time, as sessions are told it.

use crate::reliable::{Nanos, WallMillis};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Monotonic, from the first call in this process.
pub fn now() -> Nanos {
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as Nanos
}

/// The wall clock in milliseconds since 1970 UTC.
pub fn wall() -> WallMillis {
    since_1970().as_millis() as WallMillis
}

/// The wall clock in nanoseconds since 1970 UTC: when an event was received.
pub fn received() -> u64 {
    since_1970().as_nanos() as u64
}

/// How long it is from `now` to `then`.
pub fn until(then: Nanos, now: Nanos) -> Duration {
    Duration::from_nanos(then.saturating_sub(now))
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
