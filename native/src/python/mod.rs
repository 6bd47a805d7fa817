//! What Python sees: the only folder that knows it. `src/switchcast/_native.pyi` is its documentation.

mod capture;
mod convert;
mod event;
mod frames;
mod inventory;
mod keys;
mod layouts;
mod matcher;
mod names;
mod policy;
mod reliable;
mod sealed;
mod sockets;
mod traced;
mod trust;

use crate::{frame, limits, matching, policy as policies, reject::Reject, sealed::packing};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMappingProxy, PyTuple};

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("REJECT_REASONS", PyTuple::new(py, Reject::ALL.map(Reject::name))?)?;
    module.add("EVENT_NAMES", PyTuple::new(py, matching::EVENT_NAMES)?)?;
    module.add("ESSENTIAL_HEADERS", PyTuple::new(py, policies::ESSENTIAL)?)?;
    let bounds = PyDict::new(py);
    for (name, bound) in limits::ALL {
        bounds.set_item(name, bound)?;
    }
    module.add("LIMITS", PyMappingProxy::new(py, bounds.as_mapping()))?;
    module.add("TRAILER", PyBytes::new(py, &frame::TRAILER))?;
    module.add("SEALED_DICTIONARY", PyBytes::new(py, packing::DICTIONARY_BYTES))?;
    module.add("MAX_DATAGRAM_IPV4", limits::DATAGRAM_IPV4_BYTES)?;
    module.add("MAX_DATAGRAM_IPV6", limits::DATAGRAM_IPV6_BYTES)?;
    module.add_class::<event::PyEvent>()?;
    module.add_class::<frames::StockFrames>()?;
    module.add_class::<sealed::SealedFrames>()?;
    module.add_class::<traced::TracedFrames>()?;
    module.add_class::<matcher::PyMatcher>()?;
    module.add_class::<trust::PyTrustCheck>()?;
    module.add_class::<policy::PyPolicy>()?;
    module.add_class::<inventory::PyInventory>()?;
    module.add_class::<sockets::PyReceiver>()?;
    module.add_class::<sockets::PySender>()?;
    module.add_class::<reliable::PyReliableReceiver>()?;
    module.add_class::<reliable::PyReliableSender>()?;
    module.add_class::<capture::PyCaptureReader>()?;
    module.add_class::<capture::PyCaptureWriter>()?;
    module.add_function(wrap_pyfunction!(frames::stock_misreads, module)?)?;
    module.add_function(wrap_pyfunction!(keys::key_id, module)?)?;
    module.add_function(wrap_pyfunction!(keys::public_key, module)?)?;
    module.add_function(wrap_pyfunction!(matcher::resendable, module)?)?;
    Ok(())
}
