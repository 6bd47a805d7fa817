//! `StockFrames` and `stock_misreads`.

use super::convert::KeyTextError;
use super::event::PyEvent;
use crate::event::Event;
use crate::frame::{self, BadKeyLength, Psk};
use crate::limits;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(frozen, name = "StockFrames", module = "switchcast._native")]
pub struct StockFrames {
    psk: Option<Psk>,
}

#[pymethods]
impl StockFrames {
    #[new]
    #[pyo3(signature = (psk=None))]
    fn new(psk: Option<&[u8]>) -> PyResult<Self> {
        Ok(StockFrames { psk: expand(psk)? })
    }

    #[pyo3(signature = (datagram, /))]
    fn open(&self, datagram: &[u8]) -> PyResult<PyEvent> {
        Ok(PyEvent(frame::open(datagram, self.psk.as_ref())?))
    }

    #[pyo3(signature = (event, /, *, salt=None))]
    fn frame<'py>(
        &self,
        py: Python<'py>,
        event: &Bound<'py, PyEvent>,
        salt: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let event: &Event = &event.get().0;
        let Some(psk) = &self.psk else {
            if salt.is_some() {
                return Err(PyValueError::new_err("a salt goes with a pre-shared key, and there is none"));
            }
            return Ok(PyBytes::new(py, &frame::pieces(event, b"").concat()));
        };
        let salt: [u8; frame::SALT] = match salt {
            None => frame::random_salt(),
            Some(text) => text
                .as_bytes()
                .try_into()
                .ok()
                .filter(|salt: &[u8; frame::SALT]| frame::is_salt(salt))
                .ok_or_else(|| PyValueError::new_err("a salt is a UUID of 36 characters"))?,
        };
        Ok(PyBytes::new(py, &psk.seal(&salt, &frame::sealed_text(event, b""))))
    }
}

/// The key, expanded; `KeyTextError` without the key in it when it has the wrong length.
pub fn expand(psk: Option<&[u8]>) -> PyResult<Option<Psk>> {
    psk.map(Psk::new).transpose().map_err(|BadKeyLength(length)| {
        KeyTextError::new_err(format!(
            "the pre-shared key has {length} bytes; FreeSWITCH's Blowfish takes 1 to {}",
            limits::PSK_BYTES
        ))
    })
}

/// What a stock receiver would read wrong in this event.
#[pyfunction]
#[pyo3(signature = (event, /))]
pub fn stock_misreads(event: &Bound<'_, PyEvent>) -> Vec<String> {
    frame::stock_misreads(&event.get().0)
}
