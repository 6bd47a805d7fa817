//! `Inventory`.

use super::event::PyEvent;
use crate::event::Event;
use crate::inventory::{Bounds, Header, Inventory, Kind, Specimen};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// From so many bytes of events on, other Python threads may run meanwhile.
const DETACHED_BYTES: usize = 65_536;

/// A header's name, events and bytes of values.
type HeaderCounts = (String, u64, u64);
/// A kind's name, events, bytes, smallest and largest event, events by sender, headers, and bodies with their bytes.
type KindCounts<'py> = (String, u64, u64, u64, u64, Bound<'py, PyDict>, Vec<HeaderCounts>, (u64, u64));

#[pyclass(frozen, name = "Inventory", module = "switchcast._native")]
pub struct PyInventory(Mutex<Inventory>);

#[pymethods]
impl PyInventory {
    #[new]
    #[pyo3(signature = (*, most_kinds=None, most_headers=None, most_headers_of_kind=None, most_senders=None))]
    fn new(
        most_kinds: Option<usize>,
        most_headers: Option<usize>,
        most_headers_of_kind: Option<usize>,
        most_senders: Option<usize>,
    ) -> Self {
        let most = Bounds::default();
        PyInventory(Mutex::new(Inventory::new(Bounds {
            kinds: most_kinds.map_or(most.kinds, |kinds| kinds.min(most.kinds)),
            headers: most_headers.map_or(most.headers, |headers| headers.min(most.headers)),
            headers_of_kind: most_headers_of_kind
                .map_or(most.headers_of_kind, |headers| headers.min(most.headers_of_kind)),
            senders: most_senders.map_or(most.senders, |senders| senders.min(most.senders)),
        })))
    }

    #[pyo3(signature = (events, /))]
    fn add<'py>(&self, py: Python<'py>, events: Vec<Bound<'py, PyEvent>>) -> PyResult<Bound<'py, PyList>> {
        let subjects: Vec<&Event> = events.iter().map(|event| &event.get().0).collect();
        let bytes: usize = subjects.iter().map(|event| event.text().len()).sum();
        let count = || {
            let (mut inventory, mut found) = (self.lock(), Vec::new());
            subjects.iter().for_each(|event| inventory.add(event, &mut found));
            found
        };
        let found = if bytes < DETACHED_BYTES { count() } else { py.detach(count) };
        let inventory = self.lock();
        let specimens = PyList::empty(py);
        for Specimen { kind, header, value } in found {
            let kind = &inventory.kinds()[kind];
            match header {
                Some(place) => {
                    specimens.append((&*kind.name, &*kind.headers[place].name, String::from_utf8_lossy(&value)))?;
                }
                None => specimens.append((&*kind.name, None::<&str>, PyBytes::new(py, &value)))?,
            }
        }
        Ok(specimens)
    }

    #[getter]
    fn events(&self) -> u64 {
        self.lock().events()
    }

    #[getter]
    fn event_bytes(&self) -> u64 {
        self.lock().bytes()
    }

    fn coverage(&self) -> f64 {
        self.lock().coverage()
    }

    fn senders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let senders = PyDict::new(py);
        for (name, events) in self.lock().senders() {
            senders.set_item(&**name, events)?;
        }
        Ok(senders)
    }

    fn trust(&self) -> BTreeMap<&'static str, u64> {
        self.lock().trust().clone()
    }

    fn kinds<'py>(&self, py: Python<'py>) -> PyResult<Vec<KindCounts<'py>>> {
        let inventory = self.lock();
        inventory.kinds().iter().map(|kind| kind_counts(py, &inventory, kind)).collect()
    }

    fn uncounted<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.lock().uncounted();
        let uncounted = PyDict::new(py);
        uncounted.set_item("kinds", counts.kinds)?;
        uncounted.set_item("headers", counts.headers)?;
        uncounted.set_item("senders", counts.senders)?;
        uncounted.set_item("shapes", counts.shapes)?;
        uncounted.set_item("cut", counts.cut)?;
        Ok(uncounted)
    }
}

impl PyInventory {
    fn lock(&self) -> MutexGuard<'_, Inventory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind_counts<'py>(py: Python<'py>, inventory: &Inventory, kind: &Kind) -> PyResult<KindCounts<'py>> {
    let senders = PyDict::new(py);
    for ((name, _), events) in inventory.senders().iter().zip(&kind.senders) {
        if *events > 0 {
            senders.set_item(&**name, events)?;
        }
    }
    let header = |header: &Header| (header.name.to_string(), header.events, header.bytes);
    let headers = kind.headers.iter().map(header).collect();
    let body = kind.body.as_ref().map_or((0, 0), |body| (body.events, body.bytes));
    Ok((kind.name.to_string(), kind.events, kind.bytes, kind.smallest, kind.largest, senders, headers, body))
}
