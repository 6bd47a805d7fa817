//! `TrustCheck`, and trust as Python writes it.

use super::event::PyEvent;
use crate::trust::{Signer, Trust, TrustCheck};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyclass(frozen, name = "TrustCheck", module = "switchcast._native")]
pub struct PyTrustCheck(TrustCheck);

#[pymethods]
impl PyTrustCheck {
    #[new]
    #[pyo3(signature = (*, stock=false, signed=false, signers=Vec::new()))]
    fn new(stock: bool, signed: bool, signers: Vec<String>) -> PyResult<Self> {
        let signers = signers.iter().map(|name| signer(name)).collect::<PyResult<_>>()?;
        Ok(PyTrustCheck(TrustCheck { stock, signed, signers }))
    }

    #[pyo3(signature = (event, /))]
    fn refusal(&self, event: &Bound<'_, PyEvent>) -> Option<&'static str> {
        self.0.refusal(event.get().0.trust).map(|why| why.name())
    }

    #[pyo3(signature = (events, /))]
    fn select<'py>(&self, events: Vec<Bound<'py, PyEvent>>) -> Vec<Bound<'py, PyEvent>> {
        events.into_iter().filter(|event| self.0.refusal(event.get().0.trust).is_none()).collect()
    }
}

/// The trust that this word and, for `signed`, this name mean.
pub fn trust_from(word: &str, name: Option<&str>) -> PyResult<Trust> {
    match (word, name) {
        ("signed", Some(name)) => Ok(Trust::Signed(signer(name)?)),
        ("signed", None) => Err(PyValueError::new_err("a signed event has a signer; name it")),
        (_, Some(_)) => Err(PyValueError::new_err("only a signed event has a signer")),
        ("stock", None) => Ok(Trust::Stock),
        ("local", None) => Ok(Trust::Local),
        ("member", None) => Ok(Trust::Member),
        _ => Err(PyValueError::new_err(format!("trust is stock, local, member or signed, not {word:?}"))),
    }
}

fn signer(name: &str) -> PyResult<Signer> {
    Signer::named(name).ok_or_else(|| PyValueError::new_err("there are too many signers"))
}
