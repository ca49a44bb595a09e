// SPDX-License-Identifier: Apache-2.0
//! Binding of the edge: start, events, commands.

use std::sync::Arc;

use edge::{Binding, Config, Event, Listen};
use guard::{Admitted, Counter, Snapshot, Standing};
use journal::Kind;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use sip::{HeaderName, Message, NameAddr, Parsed, Why};

use crate::error::from_edge;
use crate::text::text;

fn user(uri: &[u8]) -> String {
    text(guard::user_of(uri))
}

/// A request that the guard let through, waiting for an answer.
#[pyclass(frozen, module = "ringfence._core")]
pub(crate) struct Request(Arc<Admitted>);

impl Request {
    fn with<T>(&self, read: impl FnOnce(&Message<'_>) -> T) -> Option<T> {
        match sip::parse(&self.0.bytes) {
            Parsed::Message(message) => Some(read(&message)),
            _ => None,
        }
    }

    fn header(&self, name: HeaderName) -> String {
        self.with(|message| message.first(name).map(text)).flatten().unwrap_or_default()
    }
}

#[pymethods]
impl Request {
    #[getter]
    fn id(&self) -> u64 {
        self.0.id
    }

    #[getter]
    fn method(&self) -> String {
        self.with(|message| message.method().map(|method| text(method.as_bytes()))).flatten().unwrap_or_default()
    }

    #[getter]
    fn gateway_id(&self) -> Option<u32> {
        match self.0.standing {
            Standing::Gateway { id } => Some(id),
            Standing::Phone { .. } => None,
        }
    }

    #[getter]
    fn number(&self) -> Option<String> {
        match &self.0.standing {
            Standing::Phone { number, .. } => Some(text(number)),
            Standing::Gateway { .. } => None,
        }
    }

    #[getter]
    fn settles(&self) -> u64 {
        match self.0.standing {
            Standing::Phone { settles, .. } => settles,
            Standing::Gateway { .. } => 0,
        }
    }

    #[getter]
    fn source(&self) -> (String, u16) {
        (self.0.peer.source.ip().to_canonical().to_string(), self.0.peer.source.port())
    }

    #[getter]
    fn local(&self) -> (String, u16) {
        (self.0.peer.local.ip().to_canonical().to_string(), self.0.peer.local.port())
    }

    #[getter]
    fn transport(&self) -> &'static str {
        self.0.peer.transport.as_str()
    }

    #[getter]
    fn at_us(&self) -> u64 {
        self.0.at_us
    }

    #[getter]
    fn caller(&self) -> String {
        self.with(|message| message.from().map(|from| user(from.uri)).unwrap_or_default()).unwrap_or_default()
    }

    #[getter]
    fn callee(&self) -> String {
        self.with(|message| message.request_uri().map(user).unwrap_or_default()).unwrap_or_default()
    }

    #[getter]
    fn call_id(&self) -> String {
        self.header(HeaderName::CallId)
    }

    #[getter]
    fn user_agent(&self) -> String {
        self.header(HeaderName::UserAgent)
    }

    /// Value of the Expires header field, None where it is absent or no number (RFC 3261 §20.19).
    #[getter]
    fn expires_s(&self) -> Option<u32> {
        self.with(|message| message.first(HeaderName::Expires).and_then(seconds)).flatten()
    }

    /// `(uri, expires)` of each Contact in order; `("*", None)` for the wildcard (RFC 3261 §10.2.2).
    #[getter]
    fn contacts(&self) -> Vec<(Vec<u8>, Option<u32>)> {
        self.with(|message| message.all(HeaderName::Contact).flat_map(contacts).collect()).unwrap_or_default()
    }
}

/// The addresses of one Contact line; what follows a fault was refused by the guard's strict check.
fn contacts(line: &[u8]) -> Vec<(Vec<u8>, Option<u32>)> {
    if line == b"*" {
        return vec![(line.to_vec(), None)];
    }
    let mut found = Vec::new();
    let mut rest = Some(line);
    while let Some(contact) = rest.and_then(|line| NameAddr::parse_first(line, Why::Contact).ok()) {
        let expires_s = contact.params().get(b"expires").and_then(|param| param.value).and_then(seconds);
        found.push((contact.uri.to_vec(), expires_s));
        rest = contact.rest();
    }
    found
}

/// delta-seconds (RFC 3261 §25.1); beyond 2^32-1 counts as that.
fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u32, |value, digit| value.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
}

/// Where the edge listens and what it found, as the switch tells it.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Started {
    listeners: Vec<String>,
    run: u32,
    flows: usize,
    notes: Vec<String>,
}

/// A registration in force; times in UTC microseconds.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct FlowInForce {
    number: String,
    transport: &'static str,
    source: String,
    local: String,
    contact: String,
    user_agent: String,
    since_us: u64,
    expires_at_us: u64,
}

/// The running edge.
#[pyclass(frozen, module = "ringfence._core")]
pub(crate) struct Edge {
    inner: Mutex<Option<edge::Edge>>,
}

impl Edge {
    fn with<T>(&self, act: impl FnOnce(&edge::Edge) -> Result<T, edge::EdgeError>) -> PyResult<T> {
        let inner = self.inner.lock();
        match inner.as_ref() {
            Some(edge) => act(edge).map_err(from_edge),
            None => Err(from_edge(edge::EdgeError::Stopped)),
        }
    }
}

fn kind(code: u8) -> PyResult<Kind> {
    Kind::from_code(code).ok_or_else(|| pyo3::exceptions::PyValueError::new_err(format!("{code} is no kind of frame")))
}

#[pymethods]
impl Edge {
    #[staticmethod]
    fn start(py: Python<'_>, config: &[u8], snapshot: &[u8]) -> PyResult<(Self, Started)> {
        let started = py.detach(|| {
            let config = Config::from_json(config)?;
            edge::Edge::start(&config, Snapshot::from_json(snapshot)?)
        });
        let (edge, started) = started.map_err(from_edge)?;
        let listeners = started.listeners.iter().map(|listener| match listener {
            Listen::Udp(address) => format!("udp:{address}"),
            Listen::Tcp(address) => format!("tcp:{address}"),
        });
        let started =
            Started { listeners: listeners.collect(), run: started.run, flows: started.flows, notes: started.notes };
        Ok((Self { inner: Mutex::new(Some(edge)) }, started))
    }

    fn events_fd(&self) -> PyResult<i32> {
        self.with(|edge| Ok(edge.events_fd()))
    }

    /// At most `limit` events: a `Request`, or a sentence of trouble.
    fn events<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let events = self.with(|edge| Ok(edge.events(limit)))?;
        let to_object = |event| match event {
            Event::Request(admitted) => Ok(Bound::new(py, Request(admitted))?.into_any()),
            Event::Trouble(sentence) => Ok(sentence.into_pyobject(py)?.into_any()),
        };
        events.into_iter().map(to_object).collect()
    }

    /// The counters of this run by name, in the order of a `books` frame.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = self.with(|edge| Ok(edge.counters()))?;
        let counters = PyDict::new(py);
        for (counter, value) in Counter::ALL.iter().zip(values) {
            counters.set_item(counter.as_str(), value)?;
        }
        Ok(counters)
    }

    fn connections(&self) -> PyResult<usize> {
        self.with(|edge| Ok(edge.connections()))
    }

    fn configure(&self, py: Python<'_>, snapshot: &[u8]) -> PyResult<u64> {
        py.detach(|| self.with(|edge| edge.configure(Snapshot::from_json(snapshot)?)))
    }

    fn flows(&self, py: Python<'_>) -> PyResult<Vec<FlowInForce>> {
        let flows = py.detach(|| self.with(edge::Edge::flows))?;
        let row = |(key, flow): (guard::FlowKey, guard::Flow)| FlowInForce {
            number: text(&flow.number),
            transport: key.transport.as_str(),
            source: key.source.to_string(),
            local: flow.local.to_string(),
            contact: text(&flow.contact),
            user_agent: text(&flow.user_agent),
            since_us: flow.since_us,
            expires_at_us: flow.expires_at_us,
        };
        Ok(flows.into_iter().map(row).collect())
    }

    #[pyo3(signature = (request_id, status, headers, frame=None, is_durable=false))]
    fn answer(
        &self,
        request_id: u64,
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
        frame: Option<(u8, Vec<u8>)>,
        is_durable: bool,
    ) -> PyResult<()> {
        let frame = frame.map(|(code, payload)| Ok::<_, PyErr>((kind(code)?, payload))).transpose()?;
        self.with(|edge| edge.answer(request_id, status, headers, frame, is_durable))
    }

    /// Accept a REGISTER with 200: put `contact` in force for `expires_s` seconds.
    fn bind(&self, request_id: u64, contact: &[u8], expires_s: u32, headers: Vec<(String, Vec<u8>)>) -> PyResult<()> {
        let binding = Binding::Bind { contact: contact.to_vec(), expires_s };
        self.with(|edge| edge.register(request_id, binding, headers))
    }

    /// Accept a REGISTER with 200: end `contact`, or every contact of the number for None.
    fn unbind(&self, request_id: u64, contact: Option<&[u8]>, headers: Vec<(String, Vec<u8>)>) -> PyResult<()> {
        let binding = Binding::Remove { contact: contact.map(<[u8]>::to_vec) };
        self.with(|edge| edge.register(request_id, binding, headers))
    }

    /// Write a frame of the calls journal that answers nobody.
    fn append(&self, code: u8, payload: &Bound<'_, PyBytes>) -> PyResult<()> {
        let payload = payload.as_bytes().to_vec();
        let kind = kind(code)?;
        self.with(|edge| edge.append(kind, payload))
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| drop(self.inner.lock().take()));
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("COUNTERS", Counter::ALL.iter().map(|counter| counter.as_str()).collect::<Vec<_>>())?;
    module.add_class::<Edge>()?;
    module.add_class::<FlowInForce>()?;
    module.add_class::<Request>()?;
    module.add_class::<Started>()
}
