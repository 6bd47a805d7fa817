//! An event's text made small: Zstandard (RFC 8878) with a dictionary of what every switch says, and back.
//!
//! Nine tenths of an event are header names and constants, so a dictionary does most of the work, and the fast levels
//! pack nearly as well as the slow ones. The dictionary is trained by `scripts/train_dictionary.py` on recordings of a
//! real FreeSWITCH; frames name it by its id, and it never changes: another one gets another id.
//!
//! The Zstandard frame has no checksum and does not repeat the dictionary's id, for the sealed frame around it answers
//! for both. It tells the text's length, so a reader knows what it is in for before it makes room.

use crate::limits::SEALED_EVENT_BYTES;
use crate::reject::Reject;
use std::sync::LazyLock;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CParameter, compress_bound, get_frame_content_size};

/// The id of what is not compressed.
pub const NO_DICTIONARY: u16 = 0;
/// The id of the dictionary that is packed with.
pub const DICTIONARY: u16 = 1;
/// The dictionary's bytes, as Zstandard's own tools read them.
pub static DICTIONARY_BYTES: &[u8] = include_bytes!("dictionary.bin");

/// Tried on events that the dictionary had not seen: level 1 makes them a seventh larger in nearly the same time, level 5
/// a twentieth smaller in five times the time.
const LEVEL: i32 = 3;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_BYTES, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_BYTES));

/// Packs one text after the other. It keeps its memory, so that in the long run nothing is allocated.
pub struct Packer {
    compressor: Compressor<'static>,
    packed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        let compressor = Compressor::with_prepared_dictionary(&ENCODER).and_then(|mut compressor| {
            compressor.set_parameter(CParameter::DictIdFlag(false))?;
            Ok(compressor)
        });
        Packer { compressor: compressor.expect("the dictionary is part of the program"), packed: Vec::new() }
    }
}

impl Packer {
    /// The dictionary that `text` is packed with, and what it is packed to: never more bytes than it has itself.
    pub fn pack<'a>(&'a mut self, text: &'a [u8]) -> (u16, &'a [u8]) {
        self.packed.clear();
        self.packed.reserve(compress_bound(text.len()));
        match self.compressor.compress_to_buffer(text, &mut self.packed) {
            Ok(length) if length < text.len() => (DICTIONARY, &self.packed),
            _ => (NO_DICTIONARY, text),
        }
    }
}

/// Unpacks one text after the other. It keeps its memory, as a packer does.
pub struct Unpacker {
    decompressor: Decompressor<'static>,
    text: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        let decompressor = Decompressor::with_prepared_dictionary(&DECODER);
        Unpacker { decompressor: decompressor.expect("the dictionary is part of the program"), text: Vec::new() }
    }
}

impl Unpacker {
    /// The text that was packed with `dictionary`.
    ///
    /// `BadPayload` when it is none, was packed with a dictionary that is not known here, or has more than
    /// [`SEALED_EVENT_BYTES`]; that is seen before room is made for it.
    pub fn unpack<'a>(&'a mut self, dictionary: u16, packed: &'a [u8]) -> Result<&'a [u8], Reject> {
        match dictionary {
            NO_DICTIONARY if packed.len() <= SEALED_EVENT_BYTES => return Ok(packed),
            DICTIONARY => {}
            _ => return Err(Reject::BadPayload),
        }
        let claimed = match get_frame_content_size(packed) {
            Ok(Some(length)) if length <= SEALED_EVENT_BYTES as u64 => length as usize,
            _ => return Err(Reject::BadPayload),
        };
        self.text.clear();
        self.text.reserve(claimed);
        match self.decompressor.decompress_to_buffer(packed, &mut self.text) {
            Ok(length) if length == claimed => Ok(&self.text),
            _ => Err(Reject::BadPayload),
        }
    }
}

#[cfg(test)]
#[path = "tests/packing.rs"]
mod tests;
