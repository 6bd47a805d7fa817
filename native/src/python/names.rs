//! Header names as Python strings.

use super::convert::text;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names that have been seen, as Python strings: a name costs its string once, not once an event.
///
/// They come from outside, so a name has two places that it may be in, and the last two to come have them: a stranger's
/// inventions take no more room than the real names, and do not keep them out. What is longer than any real name is
/// made anew each time.
pub struct Names {
    places: Vec<Option<Name>>,
}

struct Name {
    bytes: Box<[u8]>,
    text: Py<PyString>,
}

const NAME_PLACES: usize = 8_192;
const KEPT_BYTES: usize = 64;
/// An odd number with its bits well spread: what is multiplied by it has its high bits mixed.
pub const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
static NAMES: PyOnceLock<Mutex<Names>> = PyOnceLock::new();

impl Names {
    pub fn lock(py: Python<'_>) -> MutexGuard<'static, Names> {
        let empty = || {
            let places = std::iter::repeat_with(|| None).take(NAME_PLACES).collect();
            Mutex::new(Names { places })
        };
        NAMES.get_or_init(py, empty).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name as text.
    pub fn get<'py>(&mut self, py: Python<'py>, name: &[u8]) -> Bound<'py, PyString> {
        if name.len() > KEPT_BYTES {
            return text(py, name);
        }
        let first = (word_of(name).wrapping_mul(MIX) >> 40) as usize % (NAME_PLACES / 2) * 2;
        let is_in = |place: &Option<Name>| place.as_ref().is_some_and(|known| *known.bytes == *name);
        if !is_in(&self.places[first]) {
            if !is_in(&self.places[first + 1]) {
                let text = text(py, name).unbind();
                self.places[first + 1] = Some(Name { bytes: name.into(), text });
            }
            self.places.swap(first, first + 1);
        }
        match &self.places[first] {
            Some(known) => known.text.bind(py).clone(),
            None => text(py, name),
        }
    }
}

/// The length and the first and last eight bytes, in which the names of one event differ most: names that meet in one
/// place only cost the time to make their text again.
pub fn word_of(name: &[u8]) -> u64 {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (word(first), word(last)),
        _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
    };
    first ^ last.rotate_left(29) ^ name.len() as u64
}
