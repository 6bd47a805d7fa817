//! `TracedFrames`.

use super::event::PyEvent;
use super::keys::exactly;
use crate::event::Event;
use crate::frame;
use crate::keys::{GroupKey, Purpose};
use crate::reject::Reject;
use crate::sealed::header::StreamId;
use crate::traced::{self, Mac};
use crate::trust::Trust;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

#[pyclass(frozen, name = "TracedFrames", module = "switchcast._native")]
pub struct TracedFrames {
    key: Option<GroupKey>,
    stream: StreamId,
}

#[pymethods]
impl TracedFrames {
    #[new]
    #[pyo3(signature = (secret=None, *, stream=None))]
    fn new(secret: Option<&[u8]>, stream: Option<&[u8]>) -> PyResult<Self> {
        let stream = match stream {
            None => crate::reliable::random::Randomness::default().bytes(),
            Some(bytes) => bytes.try_into().map_err(|_| PyValueError::new_err("a stream has 16 bytes"))?,
        };
        let key = secret.map(exactly).transpose()?.map(GroupKey::new);
        Ok(TracedFrames { key, stream })
    }

    #[getter]
    fn stream<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.stream)
    }

    #[pyo3(signature = (event, sequence, /))]
    fn frame<'py>(&self, py: Python<'py>, event: &Bound<'py, PyEvent>, sequence: u64) -> PyResult<Bound<'py, PyBytes>> {
        if sequence == 0 {
            return Err(PyValueError::new_err("a sequence counts from 1"));
        }
        let mac = self.key.as_ref().map(|key| (key.id(), mac_of(key, &self.stream)));
        let proof = mac.as_ref().map(|(id, mac)| (*id, mac));
        let mut datagram = traced::stamped(&event.get().0, b"", &self.stream, sequence, proof);
        datagram.extend_from_slice(&frame::TAIL);
        Ok(PyBytes::new(py, &datagram))
    }

    #[pyo3(signature = (datagram, /))]
    fn open(&self, datagram: &[u8]) -> PyResult<PyEvent> {
        let text = frame::text_of(datagram)?;
        let stamp = traced::read(text)?.ok_or(Reject::Untraced)?;
        let mut event = Event::parse(&traced::without_stamp(text, &stamp))?;
        event.trust = Trust::Stock;
        if let Some(key) = &self.key {
            let (id, _) = stamp.proof.ok_or(Reject::Untraced)?;
            if id != key.id() {
                return Err(Reject::UnknownKey.into());
            }
            mac_of(key, &stamp.stream).verify(text, &stamp)?;
            event.trust = Trust::Member;
        }
        Ok(PyEvent(event))
    }

    #[staticmethod]
    #[pyo3(signature = (datagram, /))]
    fn stamp<'py>(py: Python<'py>, datagram: &[u8]) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(stamp) = traced::read(frame::text_of(datagram)?)? else { return Ok(None) };
        let fields = PyDict::new(py);
        fields.set_item("stream", PyBytes::new(py, &stamp.stream))?;
        fields.set_item("sequence", stamp.sequence)?;
        fields.set_item("key", stamp.proof.map(|(id, _)| id.map(|byte| format!("{byte:02x}")).concat()))?;
        Ok(Some(fields))
    }

    fn __repr__(&self) -> String {
        format!("<TracedFrames stream={}>", self.stream.map(|byte| format!("{byte:02x}")).concat())
    }
}

fn mac_of(key: &GroupKey, stream: &StreamId) -> Mac {
    Mac::new(&key.subkey(stream, Purpose::Mac))
}
