//! `switchcast.Event`.

use super::convert::{
    built_headers, bytes_of, collect_repeated, pairs, source_from, source_text, text, text_or_list, texts,
};
use super::layouts;
use super::names::Names;
use super::trust::trust_from;
use crate::encoding::{self, Escape};
use crate::event::{Event, Value};
use crate::render;
use crate::trust::Trust;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyString, PyTuple, PyType};
use std::hash::{DefaultHasher, Hash, Hasher};

pyo3::import_exception!(switchcast.errors, RejectedDatagram);

#[pyclass(frozen, mapping, name = "Event", module = "switchcast._native")]
pub struct PyEvent(pub Event);

fn by_reference(headers: &[(Vec<u8>, Value)]) -> impl Iterator<Item = (&[u8], Value)> {
    headers.iter().map(|(name, value)| (name.as_slice(), value.clone()))
}

#[pymethods]
impl PyEvent {
    #[new]
    #[pyo3(signature = (name, headers=None, body=None))]
    fn new(
        name: &Bound<'_, PyString>,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut built = vec![(b"Event-Name".to_vec(), Value::Text(bytes_of(name)?))];
        if let Some(headers) = headers {
            built.extend(built_headers(&pairs(headers)?, false)?);
        }
        let body = body.map_or(Ok(Vec::new()), bytes_of)?;
        Ok(PyEvent(Event::build(by_reference(&built), &body, Escape::Lossless)?))
    }

    #[staticmethod]
    #[pyo3(signature = (headers, body=None, *, encoded=false, exact=false))]
    fn from_headers(
        headers: &Bound<'_, PyAny>,
        body: Option<&Bound<'_, PyAny>>,
        encoded: bool,
        exact: bool,
    ) -> PyResult<Self> {
        let built = built_headers(&pairs(headers)?, encoded)?;
        let body = body.map_or(Ok(Vec::new()), bytes_of)?;
        let escape = if exact { Escape::Exact } else { Escape::Lossless };
        Ok(PyEvent(Event::build(by_reference(&built), &body, escape)?))
    }

    #[staticmethod]
    #[pyo3(signature = (text, source=None, received=None, trust="local", signer=None))]
    fn from_plain(
        text: &[u8],
        source: Option<String>,
        received: Option<u64>,
        trust: &str,
        signer: Option<&str>,
    ) -> PyResult<Self> {
        let trust = trust_from(trust, signer)?;
        let mut event = Event::parse(text)?;
        event.source = source_from(source);
        event.received = received.unwrap_or(0);
        event.trust = trust;
        Ok(PyEvent(event))
    }

    #[staticmethod]
    fn from_json(py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bad = |detail: String| RejectedDatagram::new_err(("bad_json", detail));
        let pairs_kept = PyDict::new(py);
        pairs_kept.set_item("object_pairs_hook", py.get_type::<PyTuple>())?;
        let parsed = py
            .import("json")?
            .call_method("loads", (text,), Some(&pairs_kept))
            .map_err(|error| bad(format!("not JSON: {}", error.value(py))))?;
        let object = parsed.cast::<PyTuple>().map_err(|_| bad("not a JSON object".into()))?;
        let mut headers = Vec::new();
        let mut body = Vec::new();
        let mut framing = None;
        for pair in object.iter() {
            let (name, value): (Bound<'_, PyString>, Bound<'_, PyAny>) =
                pair.extract().map_err(|_| bad("not a JSON object".into()))?;
            let refused = |what: &str| bad(format!("the value of {name:?} is not {what}"));
            match name.to_str() {
                Ok("_body") => {
                    body = bytes_of(&value).map_err(|_| refused("text that an event could carry"))?;
                }
                Ok(extra) if extra.starts_with('_') => {}
                _ if !value.is_instance_of::<PyString>() && !value.is_instance_of::<PyList>() => {
                    return Err(refused("a string or a list of strings"));
                }
                Ok("Content-Length") => {
                    framing = Some(headers.len());
                    headers.push((name.into_any(), value));
                }
                _ => headers.push((name.into_any(), value)),
            }
        }
        // The length that frames the body is written anew; without a body the name is a header like any other.
        if let (Some(place), false) = (framing, body.is_empty()) {
            headers.remove(place);
        }
        let built = built_headers(&headers, false).map_err(|error| bad(error.value(py).to_string()))?;
        let event = Event::build(by_reference(&built), &body, Escape::Lossless).map_err(|error| bad(error.0))?;
        Ok(PyEvent(event))
    }

    fn to_plain<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.text())
    }

    fn to_json(&self) -> String {
        render::to_json(&self.0)
    }

    fn json_rebuilds(&self) -> bool {
        render::json_rebuilds(&self.0)
    }

    fn to_xml(&self) -> String {
        render::to_xml(&self.0)
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        if let Some(dict) = layouts::known(py, &self.0, |layout| layout.dict(py, &self.0))? {
            return Ok(dict);
        }
        let dict = PyDict::new(py);
        for (name, raw) in self.0.raw_headers() {
            let key = Names::lock(py).get(py, name);
            dict.set_item(key, text_or_list(py, raw)?)?;
        }
        if dict.len() < self.0.len() {
            collect_repeated(py, &dict, &self.0, &self.0.repeats())?;
        }
        Ok(dict)
    }

    fn with_headers(&self, headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        let built = built_headers(&pairs(headers)?, false)?;
        Ok(PyEvent(self.0.with_headers(by_reference(&built), Escape::Lossless)?))
    }

    #[pyo3(signature = (source, received))]
    fn with_origin(&self, source: Option<String>, received: Option<u64>) -> Self {
        let mut event = self.0.clone();
        event.source = source_from(source);
        event.received = received.unwrap_or(0);
        PyEvent(event)
    }

    #[pyo3(signature = (text, /))]
    fn with_text(&self, text: &[u8]) -> PyResult<Self> {
        let mut event = Event::parse(text)?;
        event.source = self.0.source.clone();
        event.received = self.0.received;
        event.trust = self.0.trust;
        Ok(PyEvent(event))
    }

    #[pyo3(signature = (trust, signer=None))]
    fn with_trust(&self, trust: &str, signer: Option<&str>) -> PyResult<Self> {
        let mut event = self.0.clone();
        event.trust = trust_from(trust, signer)?;
        Ok(PyEvent(event))
    }

    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match self.0.raw(b"Event-Name") {
            Some(raw) => Names::lock(py).get(py, &encoding::decode(raw)),
            None => PyString::new(py, ""),
        }
    }

    #[getter]
    fn subclass<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.decoded(py, b"Event-Subclass")
    }

    #[getter]
    fn sender<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.decoded(py, b"Multicast-Sender")
    }

    #[getter]
    fn core_uuid<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.decoded(py, b"Core-UUID")
    }

    #[getter]
    fn sequence(&self) -> Option<u64> {
        self.0.number(b"Event-Sequence")
    }

    #[getter]
    fn timestamp(&self) -> Option<u64> {
        self.0.number(b"Event-Date-Timestamp")
    }

    #[getter]
    fn unique_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.decoded(py, b"Unique-ID")
    }

    #[getter]
    fn hostname<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.decoded(py, b"FreeSWITCH-Hostname")
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.body())
    }

    #[getter]
    fn source(&self) -> Option<String> {
        source_text(&self.0)
    }

    #[getter]
    fn received(&self) -> Option<u64> {
        (self.0.received != 0).then_some(self.0.received)
    }

    #[getter]
    fn trust(&self) -> &'static str {
        self.0.trust.word()
    }

    #[getter]
    fn signer(&self) -> Option<String> {
        match self.0.trust {
            Trust::Signed(signer) => Some(signer.name()),
            _ => None,
        }
    }

    #[pyo3(signature = (name, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.find(py, name)?.map(Bound::into_any).or(default))
    }

    #[pyo3(signature = (name, /))]
    fn getall<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Vec<Bound<'py, PyString>>> {
        Ok(self.0.raw_all(&bytes_of(name)?).map(|raw| text(py, &encoding::decode(raw))).collect())
    }

    #[pyo3(signature = (name, /))]
    fn array<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Vec<Bound<'py, PyString>>> {
        let Some(value) = self.0.value(&bytes_of(name)?) else { return Ok(Vec::new()) };
        Ok(texts(py, encoding::array_elements(&value).unwrap_or_else(|| vec![&value])))
    }

    #[pyo3(signature = (name, /))]
    fn raw<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.0.raw(&bytes_of(name)?).map(|raw| PyBytes::new(py, raw)))
    }

    fn raw_items<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        self.0.raw_headers().map(|(name, raw)| (PyBytes::new(py, name), PyBytes::new(py, raw))).collect()
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyString>, Bound<'py, PyString>)>> {
        if let Some(items) = layouts::known(py, &self.0, |layout| Ok(layout.items(py, &self.0)))? {
            return Ok(items);
        }
        let mut names = Names::lock(py);
        let item = |(name, raw)| (names.get(py, name), text(py, &encoding::decode(raw)));
        Ok(self.0.raw_headers().map(item).collect())
    }

    fn keys<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyString>> {
        let mut names = Names::lock(py);
        self.0.raw_headers().map(|(name, _)| names.get(py, name)).collect()
    }

    fn values<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyString>> {
        self.0.raw_headers().map(|(_, raw)| text(py, &encoding::decode(raw))).collect()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
        self.find(py, name)?.ok_or_else(|| PyKeyError::new_err(name.clone().unbind()))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        let known = |name: Vec<u8>| self.0.raw(&name).is_some();
        name.is_instance_of::<PyString>() && bytes_of(name).is_ok_and(known)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        PyList::new(py, self.keys(py))?.try_iter()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// An event is true even if it has no headers: it is a thing that happened.
    fn __bool__(&self) -> bool {
        true
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<PyEvent>().is_ok_and(|other| self.0 == other.get().0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.text().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rebuild: Bound<'py, PyType> = py.get_type::<PyEvent>();
        let state = (self.to_plain(py), self.source(), self.received(), self.trust(), self.signer());
        (rebuild.getattr("from_plain")?, state).into_pyobject(py)
    }

    fn __repr__(&self) -> String {
        let shown = |name: &[u8]| {
            self.0.value(name).map(|value| String::from_utf8_lossy(&value).escape_debug().take(60).collect::<String>())
        };
        let mut out = format!("<Event {}", shown(b"Event-Name").unwrap_or_else(|| "without a name".into()));
        if let Some(subclass) = shown(b"Event-Subclass") {
            out += &format!(" {subclass}");
        }
        if let Some(sender) = shown(b"Multicast-Sender").or_else(|| shown(b"FreeSWITCH-Switchname")) {
            out += &format!(" from {sender}");
        }
        out += &format!(", {} headers", self.0.len());
        if !self.0.body().is_empty() {
            out += &format!(", {} bytes of body", self.0.body().len());
        }
        out + ">"
    }
}

/// `events` as a Python list.
pub fn list_of(py: Python<'_>, events: Vec<Event>) -> PyResult<Bound<'_, PyList>> {
    let objects: Vec<_> = events.into_iter().map(|event| object_of(py, event)).collect::<PyResult<_>>()?;
    PyList::new(py, objects)
}

/// `event` as a Python object that the garbage collector does not know.
///
/// It need not: an event refers to no other object, so it is in no cycle. Programs hold many of them, and each
/// collection would visit them all.
fn object_of(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyEvent>> {
    event.prefetch();
    let object = Bound::new(py, PyEvent(event))?;
    // SAFETY: a live object, of a type whose objects have the collector's header, as PyO3 gives it to all of its types.
    unsafe { pyo3::ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
    Ok(object)
}

impl PyEvent {
    fn decoded<'py>(&self, py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyString>> {
        self.0.value(name).map(|value| text(py, &value))
    }

    fn find<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyString>>> {
        match name.to_str() {
            Ok(name) => Ok(self.decoded(py, name.as_bytes())),
            Err(_) => Ok(self.decoded(py, &bytes_of(name)?)),
        }
    }
}
