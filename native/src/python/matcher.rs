//! `switchcast.Matcher`.

use super::event::PyEvent;
use crate::loops::never_resent;
use crate::matching::{Bindings, Condition, Matcher};
use pyo3::prelude::*;
use std::sync::Arc;

pyo3::import_exception!(switchcast.errors, BindingError);
pyo3::import_exception!(switchcast.errors, ConditionError);

#[pyclass(frozen, name = "Matcher", module = "switchcast._native")]
pub struct PyMatcher(pub Arc<Matcher>);

#[pymethods]
impl PyMatcher {
    #[new]
    #[pyo3(signature = (bindings="all", r#where=None, *, node=""))]
    fn new(bindings: &str, r#where: Option<&str>, node: &str) -> PyResult<Self> {
        let bindings = Bindings::parse(bindings).map_err(|error| BindingError::new_err(error.to_string()))?;
        let condition = r#where
            .map(|text| Condition::compile(text, node))
            .transpose()
            .map_err(|error| ConditionError::new_err((error.to_string(), error.column)))?;
        Ok(PyMatcher(Arc::new(Matcher::new(bindings, condition))))
    }

    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.0.bindings().warnings().to_vec()
    }

    #[getter]
    fn bindings(&self) -> String {
        self.0.bindings().to_string()
    }

    #[getter]
    fn r#where(&self) -> Option<&str> {
        self.0.condition().map(Condition::text)
    }

    #[getter]
    fn errors(&self) -> u64 {
        self.0.errors()
    }

    #[pyo3(signature = (event, /))]
    fn matches(&self, event: &Bound<'_, PyEvent>) -> bool {
        self.0.matches(&event.get().0)
    }

    #[pyo3(signature = (events, /))]
    fn select<'py>(&self, events: Vec<Bound<'py, PyEvent>>) -> Vec<Bound<'py, PyEvent>> {
        events.into_iter().filter(|event| self.0.matches(&event.get().0)).collect()
    }

    fn __repr__(&self) -> String {
        let condition = self.0.condition().map(|condition| format!(" where {}", condition.text())).unwrap_or_default();
        format!("<Matcher {}{condition}>", self.0.bindings())
    }
}

#[pyfunction]
#[pyo3(signature = (events, subclasses, /))]
pub fn resendable<'py>(events: Vec<Bound<'py, PyEvent>>, subclasses: Vec<String>) -> Vec<Bound<'py, PyEvent>> {
    let subclasses: Vec<Vec<u8>> = subclasses.into_iter().map(String::into_bytes).collect();
    events.into_iter().filter(|event| !never_resent(&event.get().0, &subclasses)).collect()
}
