//! Sealed frames: what is authenticated, encrypted, compressed, and small enough for one Ethernet frame.
//!
//! ```text
//! header.rs     the 48 bytes in front, in the clear
//! cipher.rs     a stream's subkey seals and opens
//! fragments.rs  what does not fit one frame
//! packing.rs    an event made small, and back
//! signing.rs    which member it was
//! ```

pub mod cipher;
pub mod fragments;
pub mod header;
pub mod packing;
pub mod signing;
