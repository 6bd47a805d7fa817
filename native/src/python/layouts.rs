//! Header names in their order, as Python strings, for the kinds of events that come again and again.

use super::convert::{collect_repeated, text, text_or_list};
use super::names::{MIX, Names, word_of};
use crate::encoding;
use crate::event::Event;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use std::sync::{Mutex, TryLockError};

/// The names of an event that came before, and its values: of the next event with the same names, only the values that
/// differ are made anew, and a dictionary of them is a copy that has its size already.
pub struct Layout {
    event: Event,
    keys: Vec<Py<PyString>>,
    values: Vec<Py<PyString>>,
    dict: Py<PyDict>,
    repeats: Vec<Vec<usize>>,
}

/// Layouts that have been seen twice.
///
/// All comes from outside, so there is room for a certain number, each of a limited size; a set of places may hold a
/// layout, and those that came last have them, the very last one first.
struct Layouts {
    places: Vec<Option<Box<Layout>>>,
    /// The marks of layouts that have been seen once, the oldest at `oldest`.
    seen: Vec<u64>,
    oldest: usize,
}

const PLACES: usize = 128;
const SET: usize = 4;
const SEEN: usize = 128;
/// No layout is kept of an event with more text than this: 128 of them are 5 MB of strings at the worst.
const KEPT_BYTES: usize = 8_192;
const KEPT_HEADERS: usize = 256;
static LAYOUTS: PyOnceLock<Mutex<Layouts>> = PyOnceLock::new();

/// What `read` makes of the layout of `event`; `None` when none is known.
pub fn known<'py, T>(py: Python<'py>, event: &Event, read: impl FnOnce(&Layout) -> PyResult<T>) -> PyResult<Option<T>> {
    if event.text().len() > KEPT_BYTES || event.len() > KEPT_HEADERS {
        return Ok(None);
    }
    // A new dictionary may run the garbage collector, and a finaliser read another event: that one finds this taken.
    let mut layouts = match LAYOUTS.get_or_init(py, || Mutex::new(Layouts::new())).try_lock() {
        Ok(layouts) => layouts,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Ok(None),
    };
    match layouts.find(py, event)? {
        Some(layout) => read(layout).map(Some),
        None => Ok(None),
    }
}

impl Layouts {
    fn new() -> Layouts {
        Layouts { places: std::iter::repeat_with(|| None).take(PLACES).collect(), seen: vec![0; SEEN], oldest: 0 }
    }

    fn find(&mut self, py: Python<'_>, event: &Event) -> PyResult<Option<&Layout>> {
        let mark = mark_of(event);
        let start = (mark >> 32) as usize % (PLACES / SET) * SET;
        let is_it = |place: &Option<Box<Layout>>| place.as_ref().is_some_and(|layout| layout.event.same_names(event));
        let set = &mut self.places[start..start + SET];
        match set.iter().position(is_it) {
            Some(place) => set[..=place].rotate_right(1),
            None if !self.seen.contains(&mark) => {
                self.seen[self.oldest] = mark;
                self.oldest = (self.oldest + 1) % SEEN;
                return Ok(None);
            }
            None => {
                set.rotate_right(1);
                set[0] = Some(Box::new(Layout::learn(py, event)?));
            }
        }
        Ok(set[0].as_deref())
    }
}

impl Layout {
    fn learn(py: Python<'_>, event: &Event) -> PyResult<Layout> {
        let dict = PyDict::new(py);
        let mut keys = Vec::with_capacity(event.len());
        let mut values = Vec::with_capacity(event.len());
        for (name, raw) in event.raw_headers() {
            let key = Names::lock(py).get(py, name);
            let value = text(py, &encoding::decode(raw));
            dict.set_item(&key, &value)?;
            keys.push(key.unbind());
            values.push(value.unbind());
        }
        Ok(Layout { event: event.clone(), keys, values, dict: dict.unbind(), repeats: event.repeats() })
    }

    /// The headers of `event` by name as `Event.to_dict` gives them.
    pub fn dict<'py>(&self, py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
        let dict = self.dict.bind(py).copy()?;
        let raws = self.event.raw_headers().zip(event.raw_headers());
        for (key, ((_, before), (_, raw))) in self.keys.iter().zip(raws) {
            // A list is made anew even of the same value: who has the dictionary may change it.
            if before != raw || encoding::is_array(raw) {
                dict.set_item(key, text_or_list(py, raw)?)?;
            }
        }
        collect_repeated(py, &dict, event, &self.repeats)?;
        Ok(dict)
    }

    /// The headers of `event`, in order.
    pub fn items<'py>(&self, py: Python<'py>, event: &Event) -> Vec<(Bound<'py, PyString>, Bound<'py, PyString>)> {
        let mut items = Vec::with_capacity(event.len());
        for (place, ((_, before), (_, raw))) in self.event.raw_headers().zip(event.raw_headers()).enumerate() {
            let value =
                if before == raw { self.values[place].bind(py).clone() } else { text(py, &encoding::decode(raw)) };
            items.push((self.keys[place].bind(py).clone(), value));
        }
        items
    }
}

/// The same for the same names in the same order, and hardly ever for others.
fn mark_of(event: &Event) -> u64 {
    event.name_tags().chunks(8).fold(1, |mark, tags| (mark.rotate_left(5) ^ word_of(tags)).wrapping_mul(MIX))
}
