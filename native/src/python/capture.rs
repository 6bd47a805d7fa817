//! `CaptureReader` and `CaptureWriter`.

use crate::capture::{CaptureError, CaptureFormat, CaptureReader, CaptureWriter, Datagram};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

impl From<CaptureError> for PyErr {
    fn from(error: CaptureError) -> PyErr {
        PyValueError::new_err(error.to_string())
    }
}

/// Time, source and its port, destination and its port, payload.
type Row<'py> = (u64, String, u16, String, u16, Bound<'py, PyBytes>);

#[pyclass(frozen, name = "CaptureReader", module = "switchcast._native")]
pub struct PyCaptureReader(Mutex<CaptureReader>);

#[pymethods]
impl PyCaptureReader {
    #[new]
    fn new() -> Self {
        PyCaptureReader(Mutex::new(CaptureReader::new()))
    }

    #[pyo3(signature = (data, /))]
    fn feed<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Vec<Row<'py>>> {
        let mut datagrams: Vec<Datagram> = Vec::new();
        py.detach(|| self.lock().feed(data, &mut datagrams))?;
        let row = |datagram: Datagram| {
            let (source, destination) = (datagram.source, datagram.destination);
            let payload = PyBytes::new(py, &datagram.payload);
            let (from, to) = (source.ip().to_string(), destination.ip().to_string());
            (datagram.time_ns, from, source.port(), to, destination.port(), payload)
        };
        Ok(datagrams.into_iter().map(row).collect())
    }

    fn finish(&self) -> Option<String> {
        self.lock().finish()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, count) in self.lock().counters() {
            counters.set_item(name, count)?;
        }
        Ok(counters)
    }
}

impl PyCaptureReader {
    fn lock(&self) -> MutexGuard<'_, CaptureReader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pyclass(frozen, name = "CaptureWriter", module = "switchcast._native")]
pub struct PyCaptureWriter(CaptureWriter);

#[pymethods]
impl PyCaptureWriter {
    #[new]
    #[pyo3(signature = (format="pcapng"))]
    fn new(format: &str) -> PyResult<Self> {
        let format = CaptureFormat::from_name(format)
            .ok_or_else(|| PyValueError::new_err(format!("{format:?} is neither \"pcapng\" nor \"pcap\"")))?;
        Ok(PyCaptureWriter(CaptureWriter::new(format)))
    }

    fn header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.header())
    }

    #[pyo3(signature = (time_ns, source, source_port, destination, destination_port, payload, /))]
    #[expect(clippy::too_many_arguments, reason = "a datagram's own parts")]
    fn packet<'py>(
        &self,
        py: Python<'py>,
        time_ns: u64,
        source: &str,
        source_port: u16,
        destination: &str,
        destination_port: u16,
        payload: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let from = SocketAddr::new(address(source)?, source_port);
        let to = SocketAddr::new(address(destination)?, destination_port);
        Ok(PyBytes::new(py, &self.0.packet(time_ns, from, to, payload)?))
    }
}

fn address(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("{text:?} is not an IP address")))
}
