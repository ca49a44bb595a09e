// SPDX-License-Identifier: Apache-2.0
//! Binding of the edge's trace.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use edge::trace::{Query, Trace};
use ipnet::IpNet;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::text::text;

/// A message of a call as it went over the wire, credentials masked; or a remark of the switch.
#[pyclass(frozen, module = "ringfence._core")]
pub(crate) struct Traced(edge::trace::Traced);

fn host_port(address: SocketAddr) -> (String, u16) {
    (address.ip().to_canonical().to_string(), address.port())
}

#[pymethods]
impl Traced {
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq
    }

    #[getter]
    fn at_us(&self) -> u64 {
        self.0.at_us
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.as_str()
    }

    #[getter]
    fn transport(&self) -> &'static str {
        self.0.transport.as_str()
    }

    #[getter]
    fn local(&self) -> (String, u16) {
        host_port(self.0.local)
    }

    #[getter]
    fn remote(&self) -> (String, u16) {
        host_port(self.0.remote)
    }

    #[getter]
    fn length(&self) -> u32 {
        self.0.length
    }

    #[getter]
    fn call_id(&self) -> String {
        text(&self.0.call_id)
    }

    #[getter]
    fn start_line(&self) -> String {
        text(&self.0.start_line)
    }

    #[getter]
    fn status(&self) -> u16 {
        self.0.status
    }

    #[getter]
    fn method(&self) -> String {
        text(&self.0.method)
    }

    #[getter]
    fn cseq(&self) -> u32 {
        self.0.cseq
    }

    /// The users of From, To and Request-URI.
    #[getter]
    fn users(&self) -> Vec<String> {
        self.0.users.iter().map(|user| text(user)).collect()
    }

    #[getter]
    fn has_sdp(&self) -> bool {
        self.0.has_sdp
    }

    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.content)
    }
}

/// What was found: entries in their order, since when the ring reaches (UTC microseconds), whether there is more.
pub(crate) type Found = (Vec<Traced>, Option<u64>, bool);

/// Look through the ring without the interpreter's lock.
#[expect(clippy::too_many_arguments, reason = "the conditions of one question, all by name")]
pub(crate) fn find(
    py: Python<'_>,
    trace: &Arc<Trace>,
    call_ids: Vec<String>,
    number: Option<String>,
    source: Option<&str>,
    since_us: Option<u64>,
    until_us: Option<u64>,
    calls: usize,
    entries: usize,
) -> PyResult<Found> {
    let source = source.map(network).transpose()?;
    let call_ids = call_ids.into_iter().map(String::into_bytes).collect();
    let number = number.map(String::into_bytes);
    let query = Query { call_ids, number, source, since_us, until_us, calls, entries };
    let found = py.detach(|| trace.find(&query));
    Ok((found.entries.into_iter().map(Traced).collect(), found.oldest_us, found.is_cut))
}

fn network(source: &str) -> PyResult<IpNet> {
    let network = source.parse::<IpNet>().or_else(|_| source.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| PyValueError::new_err(format!("{source} is no address and no network")))
}
