// SPDX-License-Identifier: Apache-2.0
//! The load sender and the message templates of `drill`.
//!
//! A run takes place in a thread of its own without the interpreter lock; the calling thread wakes every 50 ms to let Python
//! see a Ctrl-C, which ends the run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use drill::calls::{self, Fates, Options, Weather};
use drill::flood::{Flood, Mix, Pace, flood as run_flood};
use drill::message::{self, MAX_MESSAGE_BYTES, Wanted, Writer};
use drill::stream::{self, Streams};
use drill::{DrillError, Target};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Serialize;
use serde_json::Value;

use crate::error::from_drill;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(flood, module)?)?;
    module.add_function(wrap_pyfunction!(streams, module)?)?;
    module.add_function(wrap_pyfunction!(call_load, module)?)?;
    module.add_function(wrap_pyfunction!(drill_templates, module)?)?;
    module.add_function(wrap_pyfunction!(drill_message, module)?)?;
    Ok(())
}

fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|error| from_drill(DrillError::Usage(format!("{value} s: {error}"))))
}

/// Runs `work` beside Python; its report becomes a dict.
fn beside<R: Serialize + Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&AtomicBool) -> Result<R, DrillError> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    let stop = Arc::new(AtomicBool::new(false));
    let (done, mut results) = mpsc::channel();
    let flag = Arc::clone(&stop);
    let running = thread::spawn(move || {
        // A closed channel means that the caller has gone; there is no one left to tell.
        let _ = done.send(work(&flag));
    });
    let outcome = loop {
        let results = &mut results;
        match py.detach(move || results.recv_timeout(Duration::from_millis(50))) {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupted) = py.check_signals() {
                    stop.store(true, Ordering::Relaxed);
                    let _ = py.detach(|| running.join());
                    return Err(interrupted);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the drill's thread ended without a report"));
            }
        }
    };
    let report = outcome.map_err(from_drill)?;
    let value = serde_json::to_value(report).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    to_python(py, &value)
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(is_set) => is_set.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => whole.into_pyobject(py)?.into_any(),
            None => number.as_f64().into_pyobject(py)?,
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| to_python(py, item)).collect::<PyResult<Vec<_>>>()?;
            items.into_pyobject(py)?
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, field) in fields {
                dict.set_item(name, to_python(py, field)?)?;
            }
            dict.into_any()
        }
    })
}

/// Sends a load to a loopback target and returns the sender's report.
#[pyfunction]
#[pyo3(signature = (target, *, seconds=5.0, count=None, rate=None, window=None, sources=4096, sockets=8, batch=32, train=1,
    invite=1, register=0, options=0, random=0, grammars=Vec::new(), retransmit=0, retransmit_after_s=0.5, core=None, seed=1,
    linger_s=0.5, warm_up_s=0.0, by_source=false, counts_file=None))]
#[allow(clippy::too_many_arguments)]
fn flood<'py>(
    py: Python<'py>,
    target: &str,
    seconds: f64,
    count: Option<u64>,
    rate: Option<f64>,
    window: Option<u32>,
    sources: u32,
    sockets: usize,
    batch: usize,
    train: usize,
    invite: u32,
    register: u32,
    options: u32,
    random: u32,
    grammars: Vec<String>,
    retransmit: u8,
    retransmit_after_s: f64,
    core: Option<usize>,
    seed: u64,
    linger_s: f64,
    warm_up_s: f64,
    by_source: bool,
    counts_file: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    let pace = match (rate, window) {
        (Some(_), Some(_)) => {
            {
                return Err(from_drill(DrillError::Usage("rate and window exclude each other".to_owned())));
            };
        }
        (Some(rate), None) => Pace::Rate(rate),
        (None, Some(window)) => Pace::Window(window),
        (None, None) => Pace::Unpaced,
    };
    let wanted = Flood {
        target: target.parse::<Target>().map_err(from_drill)?,
        pace,
        run_for: self::seconds(seconds)?,
        count,
        sources,
        sockets,
        batch,
        train,
        mix: Mix { invite, register, options, random },
        grammars,
        retransmit,
        retransmit_after: self::seconds(retransmit_after_s)?,
        core,
        seed,
        linger: self::seconds(linger_s)?,
        warm_up: self::seconds(warm_up_s)?,
        by_source,
        counts_file,
    };
    beside(py, move |stop| run_flood(&wanted, stop))
}

/// Opens many TCP connections to a loopback target and returns what they saw.
#[pyfunction]
#[pyo3(signature = (target, *, connections=100, behaviour="requests", sources=64, seconds=5.0, byte_every_s=0.2, seed=1))]
#[allow(clippy::too_many_arguments)]
fn streams<'py>(
    py: Python<'py>,
    target: &str,
    connections: usize,
    behaviour: &str,
    sources: u32,
    seconds: f64,
    byte_every_s: f64,
    seed: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let wanted = Streams {
        target: target.parse::<Target>().map_err(from_drill)?,
        connections,
        behaviour: behaviour.parse().map_err(from_drill)?,
        sources,
        run_for: self::seconds(seconds)?,
        byte_every: self::seconds(byte_every_s)?,
        seed,
    };
    beside(py, move |stop| stream::run(&wanted, stop))
}

/// Calls through a switch on loopback, customer and vendor in one; returns what came of them.
#[pyfunction]
#[pyo3(signature = (target, *, customer, vendor, rate=10.0, seconds=5.0, count=None, hold_s=0.0, hold_at_most_s=0.0, ring_s=0.0,
    fates="caller_hangs_up", loss=0.0, duplication=0.0, caller="1001", prefix="44", core=None, seed=1, linger_s=40.0,
    warm_up_s=0.0, calls_file=None))]
#[allow(clippy::too_many_arguments)]
fn call_load<'py>(
    py: Python<'py>,
    target: &str,
    customer: &str,
    vendor: &str,
    rate: f64,
    seconds: f64,
    count: Option<u32>,
    hold_s: f64,
    hold_at_most_s: f64,
    ring_s: f64,
    fates: &str,
    loss: f64,
    duplication: f64,
    caller: &str,
    prefix: &str,
    core: Option<usize>,
    seed: u64,
    linger_s: f64,
    warm_up_s: f64,
    calls_file: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    let unread = |part: String| from_drill(DrillError::Usage(format!("fates: {part:?} cannot be read")));
    let address = |text: &str| text.parse::<Target>().map_err(from_drill);
    let wanted = Options {
        target: address(target)?,
        customer: address(customer)?,
        vendor: address(vendor)?,
        rate,
        run_for: self::seconds(seconds)?,
        count,
        hold: self::seconds(hold_s)?,
        hold_at_most: self::seconds(hold_at_most_s.max(hold_s))?,
        ring: self::seconds(ring_s)?,
        fates: Fates::parse(fates).map_err(unread)?,
        weather: Weather { loss, duplication },
        caller: caller.to_owned(),
        callee_prefix: prefix.to_owned(),
        core,
        seed,
        linger: self::seconds(linger_s)?,
        warm_up: self::seconds(warm_up_s)?,
        calls_file,
    };
    beside(py, move |stop| calls::run(&wanted, stop))
}

/// Names and methods of the message templates.
#[pyfunction]
fn drill_templates() -> PyResult<Vec<(&'static str, &'static str)>> {
    message::names().map(|name| Ok((name, message::template(name).map_err(from_drill)?.method.name()))).collect()
}

/// One message; the same arguments give the same bytes.
#[pyfunction]
#[pyo3(signature = (template, *, target, source, seed, index, callee=None, caller=None, extension=None, authorization=None,
    password=None, cseq=None))]
#[allow(clippy::too_many_arguments)]
fn drill_message<'py>(
    py: Python<'py>,
    template: &str,
    target: &str,
    source: &str,
    seed: u64,
    index: u64,
    callee: Option<&[u8]>,
    caller: Option<&[u8]>,
    extension: Option<&[u8]>,
    authorization: Option<&[u8]>,
    password: Option<&[u8]>,
    cseq: Option<u32>,
) -> PyResult<Bound<'py, PyBytes>> {
    let target = target.parse::<Target>().map_err(from_drill)?.address();
    let source = source.parse::<Target>().map_err(from_drill)?.address();
    let template = message::template(template).map_err(from_drill)?;
    let mut out = [0; MAX_MESSAGE_BYTES];
    let wanted = Wanted { callee, caller, extension, authorization, password, cseq };
    let length = Writer::new(seed, target).write(&mut out, &template, index, source, &wanted);
    Ok(PyBytes::new(py, &out[..length]))
}
