// SPDX-License-Identifier: Apache-2.0
//! Errors of the crates as exceptions of `ringfence.errors`.

use journal::JournalError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A `ringfence.errors.StoreError` with message, hint and code.
pub(crate) fn from_journal(py: Python<'_>, error: &JournalError) -> PyErr {
    exception(py, "StoreError", &error.to_string(), error.hint(), error.code())
}

/// A `ringfence.errors.CoreError`, `StoreError` where the journal is at fault, or `ValueError` where the order is.
pub(crate) fn from_edge(error: edge::EdgeError) -> PyErr {
    Python::attach(|py| match error {
        edge::EdgeError::Journal(error) => from_journal(py, &error),
        error @ (edge::EdgeError::Header(_) | edge::EdgeError::Order(_)) => PyValueError::new_err(error.to_string()),
        error => exception(py, "CoreError", &error.to_string(), error.hint(), error.code()),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "goes into map_err")]
/// A `ringfence.errors.ConfigError`, or `CoreError` where the kernel refused.
pub(crate) fn from_drill(error: drill::DrillError) -> PyErr {
    let (class, code) = match error {
        drill::DrillError::Io { .. } => ("CoreError", "core"),
        _ => ("ConfigError", "config"),
    };
    Python::attach(|py| exception(py, class, &error.to_string(), error.hint(), code))
}

/// An exception `class` of `ringfence.errors`; if it cannot be made, the reason why not.
fn exception(py: Python<'_>, class: &str, message: &str, hint: &str, code: &str) -> PyErr {
    let made = || -> PyResult<Bound<'_, PyAny>> {
        let keywords = PyDict::new(py);
        keywords.set_item("hint", hint)?;
        keywords.set_item("code", code)?;
        py.import("ringfence.errors")?.getattr(class)?.call((message,), Some(&keywords))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}
