//! `Receiver` and `Sender`.

use super::event::{PyEvent, list_of};
use super::frames;
use super::matcher::PyMatcher;
use crate::event::Event;
use crate::socket::{DestinationRow, Intake, ReceiveOptions, Receiver, SendOptions, Sender, SocketError, SocketRow};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pyo3::import_exception!(switchcast.errors, EndpointClosed);
pyo3::import_exception!(switchcast.errors, EndpointDenied);
pyo3::import_exception!(switchcast.errors, EndpointUnavailable);
pyo3::import_exception!(switchcast.errors, UrlError);

impl From<SocketError> for PyErr {
    fn from(error: SocketError) -> PyErr {
        match error {
            SocketError::Unavailable(text) => EndpointUnavailable::new_err(text),
            SocketError::Denied(text) => EndpointDenied::new_err(text),
            SocketError::Usage(text) => UrlError::new_err(text),
        }
    }
}

#[pyclass(frozen, name = "Receiver", module = "switchcast._native")]
pub struct PyReceiver(Receiver);

#[pymethods]
impl PyReceiver {
    #[new]
    #[pyo3(signature = (addresses, port, *, interface=None, sources=None, psk=None, matcher=None,
                        receive_buffer=4_194_304, ring_events=65_536, ring_bytes=67_108_864, paused=false, shared=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        py: Python<'_>,
        addresses: Vec<String>,
        port: u16,
        interface: Option<String>,
        sources: Option<Vec<String>>,
        psk: Option<&[u8]>,
        matcher: Option<&Bound<'_, PyMatcher>>,
        receive_buffer: usize,
        ring_events: usize,
        ring_bytes: usize,
        paused: bool,
        shared: bool,
    ) -> PyResult<Self> {
        let options = receive_options(&addresses, port, interface, sources, receive_buffer, shared)?;
        let intake = Intake { psk: frames::expand(psk)?, matcher: matcher.map(|matcher| Arc::clone(&matcher.get().0)) };
        let opened = py.detach(|| Receiver::open(&options, intake, ring_events, ring_bytes, paused));
        Ok(PyReceiver(opened?))
    }

    fn resume(&self, py: Python<'_>) {
        py.detach(|| self.0.resume());
    }

    fn fileno(&self) -> RawFd {
        self.0.fd()
    }

    #[pyo3(signature = (max_events=1024, /))]
    fn read<'py>(&self, py: Python<'py>, max_events: usize) -> PyResult<Bound<'py, PyList>> {
        let events = py.detach(|| self.0.read(max_events));
        list_of(py, events)
    }

    #[pyo3(signature = (timeout=None, /))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_until(py, timeout, |left| self.0.wait(left), || self.0.is_closed())
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = py.detach(|| self.0.counters());
        let counters = PyDict::new(py);
        for (name, count) in rows {
            counters.set_item(name, count)?;
        }
        Ok(counters)
    }

    fn sockets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        rows_of(py, self.0.sockets())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, name = "Sender", module = "switchcast._native")]
pub struct PySender(Mutex<Sender>);

#[pymethods]
impl PySender {
    #[new]
    #[pyo3(signature = (addresses, port, *, interface=None, source=None, ttl=1, loopback=true, psk=None, sender=None,
                        send_buffer=4_194_304))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        addresses: Vec<String>,
        port: u16,
        interface: Option<String>,
        source: Option<String>,
        ttl: u8,
        loopback: bool,
        psk: Option<&[u8]>,
        sender: Option<&str>,
        send_buffer: usize,
    ) -> PyResult<Self> {
        let options = SendOptions {
            addresses: parse_all(&addresses)?,
            port,
            interface,
            source: source.map(|text| parse_address(&text)).transpose()?,
            ttl,
            loopback,
            send_buffer,
        };
        let opened = Sender::open(&options, frames::expand(psk)?, sender.map(str::as_bytes))?;
        Ok(PySender(Mutex::new(opened)))
    }

    #[pyo3(signature = (events, /))]
    fn send(&self, py: Python<'_>, events: Vec<Py<PyEvent>>) -> PyResult<usize> {
        py.detach(|| {
            let mut sender = self.lock();
            if sender.is_closed() {
                return Err(EndpointClosed::new_err("the sender is closed"));
            }
            let events: Vec<&Event> = events.iter().map(|event| &event.get().0).collect();
            Ok(sender.send(&events))
        })
    }

    fn abandon(&self) {
        self.lock().abandon();
    }

    fn take_too_large(&self) -> Option<(String, usize, usize)> {
        self.lock().take_too_large().map(|event| (event.name, event.size, event.limit))
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, count) in self.lock().counters() {
            counters.set_item(name, count)?;
        }
        Ok(counters)
    }

    fn destinations<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        rows_of(py, &self.lock().destinations())
    }

    fn close(&self) {
        self.lock().close();
    }
}

impl PySender {
    fn lock(&self) -> std::sync::MutexGuard<'_, Sender> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row of a table, as Python sees it: a dictionary.
pub trait Row {
    fn fill(&self, shown: &Bound<'_, PyDict>) -> PyResult<()>;
}

impl Row for SocketRow {
    fn fill(&self, shown: &Bound<'_, PyDict>) -> PyResult<()> {
        shown.set_item("address", &self.address)?;
        shown.set_item("port", self.port)?;
        shown.set_item("interface", &self.interface)?;
        shown.set_item("receive_buffer", self.receive_buffer)
    }
}

impl Row for DestinationRow {
    fn fill(&self, shown: &Bound<'_, PyDict>) -> PyResult<()> {
        shown.set_item("address", &self.address)?;
        shown.set_item("port", self.port)?;
        shown.set_item("kind", self.kind)?;
        shown.set_item("datagrams", self.datagrams)?;
        shown.set_item("errors", self.errors)?;
        shown.set_item("last_error", &self.last_error)
    }
}

/// Each row as a dictionary.
pub fn rows_of<'py>(py: Python<'py>, rows: &[impl Row]) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let shown = |row: &_| {
        let shown = PyDict::new(py);
        Row::fill(row, &shown)?;
        Ok(shown)
    };
    rows.iter().map(shown).collect()
}

/// Wait, without the GIL, until there is something to read, for `timeout` seconds at most; False when there is not.
pub fn wait_until(
    py: Python<'_>,
    timeout: Option<f64>,
    wait: impl Fn(Option<Duration>) -> bool + Sync,
    is_closed: impl Fn() -> bool + Sync,
) -> PyResult<bool> {
    let started = Instant::now();
    let timeout = timeout.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    loop {
        if py.detach(&is_closed) {
            return Ok(false);
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if py.detach(|| wait(left)) {
            return Ok(!py.detach(&is_closed));
        }
        py.check_signals()?;
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
    }
}

pub fn receive_options(
    addresses: &[String],
    port: u16,
    interface: Option<String>,
    sources: Option<Vec<String>>,
    receive_buffer: usize,
    shared: bool,
) -> PyResult<ReceiveOptions> {
    let sources = parse_all(&sources.unwrap_or_default())?;
    Ok(ReceiveOptions { addresses: parse_all(addresses)?, port, interface, sources, receive_buffer, shared })
}

pub fn parse_all(addresses: &[String]) -> PyResult<Vec<IpAddr>> {
    addresses.iter().map(|text| parse_address(text)).collect()
}

pub fn parse_address(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| UrlError::new_err(format!("{text:?} is not an IP address")))
}
