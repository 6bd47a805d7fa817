//! `ReliableReceiver` and `ReliableSender`.

use super::event::{PyEvent, list_of};
use super::matcher::PyMatcher;
use super::sockets::{EndpointClosed, UrlError, parse_address, parse_all, receive_options, rows_of, wait_until};
use crate::event::Event;
use crate::keys::{GroupKey, KEY, KeyRing};
use crate::reliable::Mode;
use crate::reliable::given::StreamRow;
use crate::reliable::receive::ReceiveSettings;
use crate::reliable::transmit::TransmitSettings;
use crate::sealed::header::Cipher;
use crate::socket::{Intake, ReliableReceiver, ReliableSender, SendOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

#[pyclass(frozen, name = "ReliableReceiver", module = "switchcast._native")]
pub struct PyReliableReceiver(ReliableReceiver);

#[pymethods]
impl PyReliableReceiver {
    #[new]
    #[pyo3(signature = (addresses, port, *, mode, keys=None, repair=true, signers=None, hold_unsigned=false,
                        deliver_stock=true, interface=None, sources=None, matcher=None, receive_buffer=4_194_304,
                        ring_events=65_536, ring_bytes=67_108_864, paused=false, shared=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        py: Python<'_>,
        addresses: Vec<String>,
        port: u16,
        mode: &str,
        keys: Option<Vec<Vec<u8>>>,
        repair: bool,
        signers: Option<Vec<(String, Vec<u8>)>>,
        hold_unsigned: bool,
        deliver_stock: bool,
        interface: Option<String>,
        sources: Option<Vec<String>>,
        matcher: Option<&Bound<'_, PyMatcher>>,
        receive_buffer: usize,
        ring_events: usize,
        ring_bytes: usize,
        paused: bool,
        shared: bool,
    ) -> PyResult<Self> {
        let options = receive_options(&addresses, port, interface, sources, receive_buffer, shared)?;
        let signer = |(name, key): (String, Vec<u8>)| Ok((name, thirty_two(&key, "a signer's key")?));
        let settings = ReceiveSettings {
            repair,
            signers: signers.unwrap_or_default().into_iter().map(signer).collect::<PyResult<_>>()?,
            hold_unsigned,
            deliver_stock,
            ..ReceiveSettings::new(parse_mode(mode, keys.is_some())?)
        };
        let keys = keys.map(|keys| ring_of(&keys)).transpose()?;
        let intake = Intake { psk: None, matcher: matcher.map(|matcher| Arc::clone(&matcher.get().0)) };
        let ring = (ring_events, ring_bytes);
        let opened = py.detach(|| ReliableReceiver::open(&options, settings, keys, intake, ring, paused));
        Ok(PyReliableReceiver(opened?))
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

    #[pyo3(signature = (keys, /))]
    fn rekey(&self, py: Python<'_>, keys: Vec<Vec<u8>>) -> PyResult<()> {
        let ring = ring_of(&keys)?;
        py.detach(|| self.0.rekey(ring));
        Ok(())
    }

    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        py.detach(|| self.0.streams()).iter().map(|row| stream_row(py, row)).collect()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = py.detach(|| self.0.counters());
        counters_of(py, rows)
    }

    fn sockets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        rows_of(py, self.0.sockets())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, name = "ReliableSender", module = "switchcast._native")]
pub struct PyReliableSender(ReliableSender);

#[pymethods]
impl PyReliableSender {
    #[new]
    #[pyo3(signature = (addresses, port, *, mode, name, keys=None, cipher="chacha20-poly1305", repair=true,
                        keep=67_108_864, keep_for=30.0, signing=None, interface=None, source=None, ttl=1,
                        loopback=true, sender=None, send_buffer=4_194_304))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        py: Python<'_>,
        addresses: Vec<String>,
        port: u16,
        mode: &str,
        name: &str,
        keys: Option<Vec<Vec<u8>>>,
        cipher: &str,
        repair: bool,
        keep: usize,
        keep_for: f64,
        signing: Option<&[u8]>,
        interface: Option<String>,
        source: Option<String>,
        ttl: u8,
        loopback: bool,
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
        let mode = parse_mode(mode, keys.is_some())?;
        let settings = TransmitSettings {
            cipher: parse_cipher(cipher)?,
            keep_bytes: keep,
            keep_for: duration(keep_for)?.as_nanos() as u64,
            repair,
            signing: signing.map(|seed| thirty_two(seed, "a signing key")).transpose()?,
            ..TransmitSettings::new(mode, name.as_bytes())
        };
        let keys = keys.map(|keys| ring_of(&keys)).transpose()?;
        let opened = py.detach(|| ReliableSender::open(&options, settings, keys, sender.map(str::as_bytes)));
        Ok(PyReliableSender(opened?))
    }

    #[pyo3(signature = (events, /))]
    fn send(&self, py: Python<'_>, events: Vec<Py<PyEvent>>) -> PyResult<usize> {
        let sent = py.detach(|| {
            let events: Vec<&Event> = events.iter().map(|event| &event.get().0).collect();
            self.0.send(&events)
        });
        sent.ok_or_else(|| EndpointClosed::new_err("the sender is closed"))
    }

    /// What `send` has taken is on its way already: there is nothing to forget.
    fn abandon(&self) {}

    fn take_too_large(&self, py: Python<'_>) -> Option<(String, usize, usize)> {
        py.detach(|| self.0.take_too_large()).map(|event| (event.name, event.size, event.limit))
    }

    #[pyo3(signature = (keys, /))]
    fn rekey(&self, py: Python<'_>, keys: Vec<Vec<u8>>) -> PyResult<()> {
        let ring = ring_of(&keys)?;
        py.detach(|| self.0.rekey(ring));
        Ok(())
    }

    fn stream(&self, py: Python<'_>) -> String {
        hex(&py.detach(|| self.0.stream()))
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = py.detach(|| self.0.counters());
        counters_of(py, rows)
    }

    fn destinations<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let rows = py.detach(|| self.0.destinations());
        rows_of(py, &rows)
    }

    fn fileno(&self) -> RawFd {
        self.0.fd()
    }

    #[pyo3(signature = (longest=5.0, /))]
    fn end(&self, py: Python<'_>, longest: f64) -> PyResult<()> {
        let longest = duration(longest)?;
        py.detach(|| self.0.end(longest));
        Ok(())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

fn parse_mode(text: &str, has_keys: bool) -> PyResult<Mode> {
    match text {
        "traced" => Ok(Mode::Traced),
        "sealed" if has_keys => Ok(Mode::Sealed),
        "sealed" => Err(UrlError::new_err("mode sealed needs keys")),
        _ => Err(UrlError::new_err(format!("{text:?} is no mode with sequences: traced and sealed are"))),
    }
}

fn parse_cipher(text: &str) -> PyResult<Cipher> {
    match text {
        "chacha20-poly1305" => Ok(Cipher::ChaCha20Poly1305),
        "aes-256-gcm" => Ok(Cipher::Aes256Gcm),
        _ => Err(UrlError::new_err(format!("{text:?} is no cipher: chacha20-poly1305 and aes-256-gcm are"))),
    }
}

fn ring_of(keys: &[Vec<u8>]) -> PyResult<KeyRing> {
    let keys = keys.iter().map(|key| Ok(GroupKey::new(thirty_two(key, "a group key")?)));
    KeyRing::new(keys.collect::<PyResult<_>>()?)
        .map_err(|wrong| PyValueError::new_err(format!("these keys cannot be live together: {wrong:?}")))
}

fn thirty_two(bytes: &[u8], what: &str) -> PyResult<[u8; KEY]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{what} has {KEY} bytes, not {}", bytes.len())))
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn counters_of(py: Python<'_>, rows: Vec<(String, u64)>) -> PyResult<Bound<'_, PyDict>> {
    let counters = PyDict::new(py);
    for (name, count) in rows {
        counters.set_item(name, count)?;
    }
    Ok(counters)
}

fn stream_row<'py>(py: Python<'py>, row: &StreamRow) -> PyResult<Bound<'py, PyDict>> {
    let shown = PyDict::new(py);
    shown.set_item("sender", super::convert::text(py, &row.sender))?;
    shown.set_item("stream", hex(&row.stream))?;
    shown.set_item("address", row.address.map(|address| address.to_string()))?;
    shown.set_item("admitted", row.admitted.word())?;
    for (name, count) in [
        ("first", row.first),
        ("next", row.next),
        ("delivered", row.delivered),
        ("gaps", row.gaps),
        ("signatures", row.signatures),
        ("rejected", row.rejected),
        ("held", row.held),
        ("waiting", row.waiting),
        ("duplicates", row.duplicates),
        ("requests", row.requests),
        ("repaired", row.repaired),
        ("spurious", row.spurious),
    ] {
        shown.set_item(name, count)?;
    }
    shown.set_item("silent", row.silent)?;
    shown.set_item("ended", row.ended)?;
    Ok(shown)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
