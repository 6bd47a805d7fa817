//! Python values to ours and back.

use crate::encoding;
use crate::event::{BuildError, Event, Source, Value};
use crate::reject::Reject;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyMapping, PyString};
use std::sync::{Mutex, MutexGuard, PoisonError};

pyo3::import_exception!(switchcast.errors, RejectedDatagram);
pyo3::import_exception!(switchcast.errors, KeyTextError);

/// A header's name and value, both as Python objects.
pub type Pair<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

impl From<Reject> for PyErr {
    fn from(reason: Reject) -> PyErr {
        RejectedDatagram::new_err((reason.name(), reason.message()))
    }
}

impl From<BuildError> for PyErr {
    fn from(error: BuildError) -> PyErr {
        PyValueError::new_err(error.0)
    }
}

/// Text from bytes: UTF-8, other bytes as lone surrogates.
pub fn text<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    // SAFETY: the pointer and the length are those of one slice, and `surrogateescape` maps every byte that is not
    // UTF-8 to a lone surrogate, so that decoding fails for lack of memory only.
    unsafe {
        let decoded = pyo3::ffi::PyUnicode_DecodeUTF8(
            bytes.as_ptr().cast(),
            bytes.len() as pyo3::ffi::Py_ssize_t,
            c"surrogateescape".as_ptr(),
        );
        Bound::from_owned_ptr(py, decoded).cast_into_unchecked()
    }
}

/// Bytes from `str` (UTF-8, lone surrogates back to the bytes they stand for) or from `bytes`.
pub fn bytes_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(text) = value.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Ok(text.as_bytes().to_vec()),
            Err(_) => {
                Ok(text.call_method1("encode", ("utf-8", "surrogateescape"))?.cast::<PyBytes>()?.as_bytes().to_vec())
            }
        };
    }
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
        Err(_) => Err(PyTypeError::new_err(format!("expected str or bytes, not {}", value.get_type().name()?))),
    }
}

/// The pairs of a mapping, or of an iterable of pairs, in order.
pub fn pairs<'py>(headers: &Bound<'py, PyAny>) -> PyResult<Vec<Pair<'py>>> {
    match headers.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.iter().map(|item| pair(&item)).collect(),
        Err(_) => headers.try_iter()?.map(|item| pair(&item?)).collect(),
    }
}

fn pair<'py>(item: &Bound<'py, PyAny>) -> PyResult<Pair<'py>> {
    if !item.is_instance_of::<PyString>() && item.len().is_ok_and(|length| length == 2) {
        return Ok((item.get_item(0)?, item.get_item(1)?));
    }
    Err(PyTypeError::new_err(format!("a header is a pair of name and value, not {}", item.get_type().name()?)))
}

/// Names and values ready to be built.
pub fn built_headers(pairs: &[Pair<'_>], encoded: bool) -> PyResult<Vec<(Vec<u8>, Value)>> {
    let header = |(name, value): &Pair<'_>| Ok((bytes_of(name)?, header_value(value, encoded)?));
    pairs.iter().map(header).collect()
}

fn header_value(value: &Bound<'_, PyAny>, encoded: bool) -> PyResult<Value> {
    let is_text = value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>();
    if encoded {
        return Ok(Value::Encoded(bytes_of(value)?));
    }
    if is_text {
        return Ok(Value::Text(bytes_of(value)?));
    }
    match value.try_iter() {
        Ok(elements) => Ok(Value::Array(elements.map(|element| bytes_of(&element?)).collect::<PyResult<_>>()?)),
        Err(_) => {
            let kind = value.get_type().name()?;
            Err(PyTypeError::new_err(format!("a header's value is a str or a list of str, not {kind}")))
        }
    }
}

/// `address:port` of a source, `[address]:port` for IPv6.
pub fn source_text(event: &Event) -> Option<String> {
    match &event.source {
        Source::Unknown => None,
        Source::Datagram(address) => Some(address.to_string()),
        Source::Other(text) => Some(text.to_string()),
    }
}

pub fn source_from(text: Option<String>) -> Source {
    match text {
        None => Source::Unknown,
        Some(text) => match text.parse() {
            Ok(address) => Source::Datagram(address),
            Err(_) => Source::Other(text.into_boxed_str()),
        },
    }
}

/// Names that have been seen, as Python strings, each with the value that last stood under it: a name costs its string
/// once, not once an event, and so does a value that is the same as in the event before, as most are.
///
/// Both come from outside, so a name has two places that it may be in, and the last two to come have them: a
/// stranger's inventions take no more room than the real names, and do not keep them out. What is longer than any real
/// name is made anew each time.
pub struct Names {
    places: Vec<Option<Box<Name>>>,
}

struct Name {
    bytes: Box<[u8]>,
    text: Py<PyString>,
    /// As it stands on the wire, and decoded.
    value: Option<(Vec<u8>, Py<PyString>)>,
}

const NAME_PLACES: usize = 8_192;
const KEPT_BYTES: usize = 64;
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
        match self.place(py, name) {
            Some(place) => place.text.bind(py).clone(),
            None => text(py, name),
        }
    }

    /// A name as text, and the value that stands under it, decoded.
    pub fn pair<'py>(
        &mut self,
        py: Python<'py>,
        (name, raw): (&[u8], &[u8]),
    ) -> (Bound<'py, PyString>, Bound<'py, PyString>) {
        let Some(place) = self.place(py, name) else {
            return (text(py, name), text(py, &encoding::decode(raw)));
        };
        let key = place.text.bind(py).clone();
        if let Some((known, value)) = &place.value
            && **known == *raw
        {
            return (key, value.bind(py).clone());
        }
        let value = text(py, &encoding::decode(raw));
        if raw.len() <= KEPT_BYTES {
            let (mut bytes, _) = place.value.take().unwrap_or_else(|| (Vec::new(), value.clone().unbind()));
            bytes.clear();
            bytes.extend_from_slice(raw);
            place.value = Some((bytes, value.clone().unbind()));
        }
        (key, value)
    }

    /// Where `name` is kept; `None` when it is too long for that.
    fn place(&mut self, py: Python<'_>, name: &[u8]) -> Option<&mut Name> {
        if name.len() > KEPT_BYTES {
            return None;
        }
        let first = place_of(name);
        let second = first ^ 1;
        let is_in = |place: &Option<Box<Name>>| place.as_ref().is_some_and(|known| *known.bytes == *name);
        if !is_in(&self.places[first]) {
            if !is_in(&self.places[second]) {
                let text = text(py, name).unbind();
                self.places[second] = Some(Box::new(Name { bytes: name.into(), text, value: None }));
            }
            self.places.swap(first, second);
        }
        self.places[first].as_deref_mut()
    }
}

/// By the length and the first and last eight bytes, in which the names of one event differ most: names that meet in one
/// place only cost the time to make their text again.
fn place_of(name: &[u8]) -> usize {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (word(first), word(last)),
        _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
    };
    let mixed = (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as usize % NAME_PLACES
}
