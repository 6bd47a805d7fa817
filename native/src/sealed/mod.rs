//! Sealed frames: what is authenticated, encrypted, compressed, and small enough for one Ethernet frame.
//!
//! ```text
//! header.rs     the 48 bytes in front, in the clear
//! ```

pub mod header;
