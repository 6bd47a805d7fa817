//! `Policy`.

use super::event::PyEvent;
use crate::event::Event;
use crate::matching::EVENT_NAMES;
use crate::policy::{Action, HashKey, Kinds, Outcome, Pattern, Policy, Rule, Treatment};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::Arc;

/// From so many bytes of events on, other Python threads may run meanwhile; a smaller batch is done before one of them
/// would have begun, and to get the interpreter back from it can take milliseconds.
const DETACHED_BYTES: usize = 65_536;

/// Pairs of an event's name and, for CUSTOM events, a subclass.
type KindTexts = Vec<(String, Option<String>)>;
/// A pattern, the action's name, and its two numbers.
type ActionTexts = Vec<(String, String, usize, usize)>;
/// Which events, headers that pass, headers that do not, actions, and whether the body passes.
type RuleTexts = (KindTexts, Vec<String>, Vec<String>, ActionTexts, bool);

#[pyclass(frozen, name = "Policy", module = "switchcast._native")]
pub struct PyPolicy(Policy);

#[pymethods]
impl PyPolicy {
    #[new]
    #[pyo3(signature = (rules, denied, key=None))]
    fn new(rules: Vec<RuleTexts>, denied: KindTexts, key: Option<&[u8]>) -> PyResult<Self> {
        let key = key.map(|key| Arc::new(HashKey::new(key)));
        let rules = rules.into_iter().map(|rule| rule_from(rule, key.as_ref())).collect::<PyResult<_>>()?;
        Ok(PyPolicy(Policy::new(rules, Kinds::new(&denied))))
    }

    #[pyo3(signature = (events, /))]
    fn apply<'py>(&self, py: Python<'py>, events: Vec<Bound<'py, PyEvent>>) -> PyResult<Bound<'py, PyList>> {
        let subjects: Vec<&Event> = events.iter().map(|event| &event.get().0).collect();
        let bytes: usize = subjects.iter().map(|event| event.text().len()).sum();
        let outcomes =
            if bytes < DETACHED_BYTES { self.0.apply(&subjects) } else { py.detach(|| self.0.apply(&subjects)) };
        let passed = PyList::empty(py);
        for (event, outcome) in events.iter().zip(outcomes) {
            match outcome {
                Outcome::Withheld => {}
                Outcome::Unchanged => passed.append(event)?,
                Outcome::Rewritten(event) => passed.append(PyEvent(event))?,
            }
        }
        Ok(passed)
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.0.counts();
        let (passed, withheld) = (PyDict::new(py), PyDict::new(py));
        let names = EVENT_NAMES.into_iter().chain(["other"]);
        for (name, [passes, stays]) in names.zip(counts.events) {
            for (by_name, count) in [(&passed, passes), (&withheld, stays)] {
                if count > 0 {
                    by_name.set_item(name, count)?;
                }
            }
        }
        let counters = PyDict::new(py);
        counters.set_item("passed", passed)?;
        counters.set_item("withheld", withheld)?;
        counters.set_item("rewritten", counts.rewritten)?;
        counters.set_item("headers_removed", counts.headers_removed)?;
        counters.set_item("bodies_removed", counts.bodies_removed)?;
        counters.set_item("values_masked", counts.values_masked)?;
        counters.set_item("values_hashed", counts.values_hashed)?;
        counters.set_item("values_truncated", counts.values_truncated)?;
        Ok(counters)
    }
}

fn rule_from((kinds, allowed, denied, actions, body): RuleTexts, key: Option<&Arc<HashKey>>) -> PyResult<Rule> {
    let patterns = |texts: Vec<String>| texts.iter().map(|text| Pattern::new(text)).collect();
    let action = |(pattern, name, first, second): (String, String, usize, usize)| {
        let treatment = match (name.as_str(), key) {
            ("pass", _) => return Ok((Pattern::new(&pattern), Action::Pass)),
            ("drop", _) => return Ok((Pattern::new(&pattern), Action::Drop)),
            ("mask", _) => Treatment::Mask { first, last: second },
            ("truncate", _) => Treatment::Truncate { characters: first },
            ("hash", Some(key)) => Treatment::Hash { key: Arc::clone(key), characters: first },
            ("hash", None) => return Err(PyValueError::new_err("hash needs a key")),
            _ => return Err(PyValueError::new_err(format!("there is no action {name:?}"))),
        };
        Ok((Pattern::new(&pattern), Action::Treat(Arc::new(treatment))))
    };
    Ok(Rule {
        kinds: Kinds::new(&kinds),
        allowed: patterns(allowed),
        denied: patterns(denied),
        actions: actions.into_iter().map(action).collect::<PyResult<_>>()?,
        body,
    })
}
