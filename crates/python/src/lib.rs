//! `ringfence._core`: the one crate that knows Python.
//!
//! Each submodule binds one crate; conversion of errors is in `error.rs` alone.

mod drill;
mod edge;
mod error;
mod journal;
mod message;
mod text;
mod trace;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    drill::register(module)?;
    edge::register(module)?;
    journal::register(module)?;
    message::register(module)?;
    Ok(())
}
