//! `key_id` and `public_key`.

use crate::keys::{self, GroupKey, KEY};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A group key's name on the wire, in hexadecimal.
#[pyfunction]
#[pyo3(signature = (secret, /))]
pub fn key_id(secret: &[u8]) -> PyResult<String> {
    let id = GroupKey::new(exactly(secret)?).id();
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The public key of an Ed25519 seed.
#[pyfunction]
#[pyo3(signature = (seed, /))]
pub fn public_key<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &keys::public_key(&exactly(seed)?)))
}

/// The 32 bytes of a key; `ValueError` without them in it when they are more or fewer.
pub fn exactly(secret: &[u8]) -> PyResult<[u8; KEY]> {
    secret.try_into().map_err(|_| PyValueError::new_err(format!("a key has {KEY} bytes, not {}", secret.len())))
}
