//! The native core of switchcast: everything that touches each datagram; no logging.
//!
//! Only the folder `python` knows Python. The other files are plain Rust and are tested by cargo alone.

pub mod capture;
pub mod encoding;
pub mod event;
pub mod frame;
pub mod inventory;
pub mod keys;
pub mod limits;
pub mod lines;
pub mod loops;
pub mod matching;
pub mod policy;
pub mod reject;
pub mod reliable;
pub mod render;
pub mod replay;
pub mod sealed;
pub mod socket;
pub mod stream;
pub mod traced;
pub mod trust;

#[cfg(feature = "python")]
mod python;

/// An event is made by the receiving thread and dropped by Python's: glibc's allocator has a lock for that, this has none.
#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
