//! Python values to ours and back.

use super::names::Names;
use crate::encoding;
use crate::event::{BuildError, Event, Source, Value};
use crate::reject::Reject;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString};

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

/// Each value as text.
pub fn texts<'py, T: AsRef<[u8]>>(py: Python<'py>, values: impl IntoIterator<Item = T>) -> Vec<Bound<'py, PyString>> {
    values.into_iter().map(|value| text(py, value.as_ref())).collect()
}

/// A header's value from the wire: text, or the list of its texts if it is an array.
pub fn text_or_list<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let value = encoding::decode(raw);
    match encoding::array_elements(&value) {
        Some(elements) => texts(py, elements).into_pyobject(py),
        None => Ok(text(py, &value).into_any()),
    }
}

/// Set each name that repeats to the list of all its values; `repeats` are their places.
pub fn collect_repeated(
    py: Python<'_>,
    dict: &Bound<'_, PyDict>,
    event: &Event,
    repeats: &[Vec<usize>],
) -> PyResult<()> {
    for places in repeats {
        let values = PyList::empty(py);
        for &place in places {
            let value = encoding::decode(event.raw_header(place).1);
            match encoding::array_elements(&value) {
                Some(elements) => texts(py, elements).into_iter().try_for_each(|element| values.append(element))?,
                None => values.append(text(py, &value))?,
            }
        }
        let key = Names::lock(py).get(py, event.raw_header(places[0]).0);
        dict.set_item(key, values)?;
    }
    Ok(())
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
