// SPDX-License-Identifier: Apache-2.0
//! Binding of the edge: start, events, commands.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use edge::{BoundContact, Config, Event, Frame, HeaderLine, NewRequest, Registration, Respond, Target};
use guard::{ContactId, Counter, Passed, Peer, Snapshot, Standing, What};
use journal::{Kind, Transport};
use parking_lot::RwLock;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sip::{HeaderName, NameAddr, Why};

use crate::error::from_edge;
use crate::message::Message;
use crate::text::text;
use crate::trace;

/// The way that a message came: the far end, and the address of ours that it came to.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Came {
    transport: &'static str,
    remote: (String, u16),
    local: (String, u16),
    /// Requests go back on the same connection or mapping only.
    is_flow: bool,
}

impl Came {
    fn new(peer: &Peer, is_flow: bool) -> Self {
        let pair = |address: SocketAddr| (address.ip().to_canonical().to_string(), address.port());
        Self { transport: peer.transport.as_str(), remote: pair(peer.source), local: pair(peer.local), is_flow }
    }
}

/// A request that waits for its answer.
#[pyclass(frozen, module = "ringfence._core")]
pub(crate) struct Request {
    #[pyo3(get)]
    transaction: u64,
    #[pyo3(get)]
    message: Py<Message>,
    passed: Arc<Passed>,
}

impl Request {
    fn standing(&self) -> Option<&Standing> {
        match &self.passed.what {
            What::Request(standing) => Some(standing),
            _ => None,
        }
    }
}

#[pymethods]
impl Request {
    #[getter]
    fn gateway_id(&self) -> Option<u32> {
        match self.standing()? {
            Standing::Gateway { id } => Some(*id),
            Standing::Phone { .. } | Standing::Inside { .. } => None,
        }
    }

    #[getter]
    fn number(&self) -> Option<String> {
        match self.standing()? {
            Standing::Phone { number, .. } => Some(text(number)),
            Standing::Gateway { .. } | Standing::Inside { .. } => None,
        }
    }

    #[getter]
    fn settles(&self) -> u64 {
        match self.standing() {
            Some(Standing::Phone { settles, .. }) => *settles,
            _ => 0,
        }
    }

    #[getter]
    fn came(&self) -> Came {
        let is_stream = self.passed.peer.transport != Transport::Udp;
        let is_flow = match self.standing() {
            Some(Standing::Phone { .. }) => true,
            Some(Standing::Inside { gateway }) => is_stream && gateway.is_none(),
            _ => false,
        };
        Came::new(&self.passed.peer, is_flow)
    }

    #[getter]
    fn at_us(&self) -> u64 {
        self.passed.at_us
    }

    /// The tag for To that the edge's own answers have; one MAC for each call of each source.
    #[getter]
    fn tag(&self) -> String {
        text(&self.passed.local_tag)
    }

    /// Value of the Expires header field, None where it is absent or no number (RFC 3261 §20.19).
    #[getter]
    fn expires_s(&self) -> Option<u32> {
        self.message.get().first(HeaderName::Expires).and_then(seconds)
    }

    /// `(uri, expires)` of each Contact in order; `("*", None)` for the wildcard (RFC 3261 §10.2.2).
    #[getter]
    fn contacts(&self) -> Vec<(Vec<u8>, Option<u32>)> {
        self.message.get().all(HeaderName::Contact).flat_map(contacts).collect()
    }
}

/// A response to a request of ours.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Response {
    transaction: u64,
    message: Py<Message>,
    came: Py<Came>,
}

/// The ACK for a 2xx of ours.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Ack {
    transaction: u64,
    message: Py<Message>,
}

/// A CANCEL for an INVITE that waits for its answer.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Cancel {
    transaction: u64,
    message: Py<Message>,
}

/// A transaction that ended without what it was owed.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Ended {
    transaction: u64,
    why: &'static str,
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

/// One event as its object. What the transactions took can be read, so nothing is left out.
fn to_object(py: Python<'_>, event: Event) -> PyResult<Option<Bound<'_, PyAny>>> {
    let message = |bytes: Arc<[u8]>| Message::new(bytes).ok().map(|message| Py::new(py, message)).transpose();
    Ok(Some(match event {
        Event::Request { transaction, passed } => {
            let Some(message) = message(Arc::clone(&passed.bytes))? else { return Ok(None) };
            Bound::new(py, Request { transaction, message, passed })?.into_any()
        }
        Event::Response { transaction, bytes, came, is_flow } => {
            let Some(message) = message(bytes)? else { return Ok(None) };
            let came = Py::new(py, Came::new(&came, is_flow))?;
            Bound::new(py, Response { transaction, message, came })?.into_any()
        }
        Event::Ack { transaction, bytes } => {
            let Some(message) = message(bytes)? else { return Ok(None) };
            Bound::new(py, Ack { transaction, message })?.into_any()
        }
        Event::Cancel { transaction, bytes } => {
            let Some(message) = message(bytes)? else { return Ok(None) };
            Bound::new(py, Cancel { transaction, message })?.into_any()
        }
        Event::Ended { transaction, why } => Bound::new(py, Ended { transaction, why: why.as_str() })?.into_any(),
        Event::Trouble(sentence) => sentence.into_pyobject(py)?.into_any(),
    }))
}

/// The default of bodies.
const NO_BODY: &[u8] = b"";

/// Transport, remote, local, shown, whether it is a flow, the name of the far end's certificate.
type TargetParts = (String, (String, Option<u16>), (String, u16), (String, u16), bool, String);

fn target((transport, remote, local, shown, is_flow, domain): TargetParts) -> Target {
    Target { transport, remote, local, shown, is_flow, domain }
}

/// Kind, payload, whether it has to be durable.
type FrameParts = (u8, Vec<u8>, bool);

fn frame((code, payload, is_durable): FrameParts) -> PyResult<Frame> {
    let kind = Kind::from_code(code).ok_or_else(|| PyValueError::new_err(format!("{code} is no kind of frame")))?;
    Ok(Frame { kind, payload, is_durable })
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
    q: u16,
    path: String,
    instance: String,
    reg_id: u32,
    call_id: String,
    cseq: u32,
    user_agent: String,
    since_us: u64,
    expires_at_us: u64,
}

/// Which contact of a number: URI, instance or empty, reg-id or 0.
type ContactParts = (Vec<u8>, Vec<u8>, u32);

fn contact_id((contact, instance, reg_id): ContactParts) -> ContactId {
    ContactId { contact, instance, reg_id }
}

/// A contact that comes into force: which, q in thousandths, values of Path with line feeds between them, seconds.
type BoundParts = (ContactParts, u16, Vec<u8>, u32);

/// The running edge.
#[pyclass(frozen, module = "ringfence._core")]
pub(crate) struct Edge {
    /// Orders and a configuration that is being brought in do not wait for each other; only the end waits for both.
    inner: RwLock<Option<edge::Edge>>,
}

impl Edge {
    fn with<T>(&self, act: impl FnOnce(&edge::Edge) -> Result<T, edge::EdgeError>) -> PyResult<T> {
        let inner = self.inner.read();
        match inner.as_ref() {
            Some(edge) => act(edge).map_err(from_edge),
            None => Err(from_edge(edge::EdgeError::Stopped)),
        }
    }
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
        let listeners = started.listeners.iter().map(ToString::to_string).collect();
        let started = Started { listeners, run: started.run, flows: started.flows, notes: started.notes };
        Ok((Self { inner: RwLock::new(Some(edge)) }, started))
    }

    fn events_fd(&self) -> PyResult<i32> {
        self.with(|edge| Ok(edge.events_fd()))
    }

    /// At most `limit` events, in the order they happened; a `str` is a sentence of trouble.
    fn events<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let events = self.with(|edge| Ok(edge.events(limit)))?;
        events.into_iter().filter_map(|event| to_object(py, event).transpose()).collect()
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

    /// Calls in the trace: those with one of `call_ids`, or those that fit every other condition.
    #[pyo3(signature = (*, call_ids=Vec::new(), number=None, source=None, since_us=None, until_us=None, calls=50, limit=5000))]
    #[expect(clippy::too_many_arguments, reason = "the conditions of one question, all by name")]
    fn trace(
        &self,
        py: Python<'_>,
        call_ids: Vec<String>,
        number: Option<String>,
        source: Option<&str>,
        since_us: Option<u64>,
        until_us: Option<u64>,
        calls: usize,
        limit: usize,
    ) -> PyResult<trace::Found> {
        // The ring is read without this object's lock: answers do not wait for it.
        let ring = self.with(|edge| Ok(edge.trace()))?;
        trace::find(py, &ring, call_ids, number, source, since_us, until_us, calls, limit)
    }

    /// Keep what was decided about a call beside its messages.
    fn trace_note(&self, at_us: u64, call_id: &str, text: &[u8]) -> PyResult<()> {
        self.with(|edge| {
            edge.trace().note(at_us, call_id.as_bytes(), text);
            Ok(())
        })
    }

    /// Keep that two Call-IDs belong to one call.
    fn trace_link(&self, at_us: u64, call_id: &str, other: &str) -> PyResult<()> {
        self.with(|edge| {
            edge.trace().link(at_us, call_id.as_bytes(), other.as_bytes());
            Ok(())
        })
    }

    /// What the trace counts, by name.
    fn trace_counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (trace, sent, lost) = self.with(|edge| Ok(edge.trace_counters()))?;
        let counters = PyDict::new(py);
        counters.set_item("trace_entries", trace.taken)?;
        counters.set_item("trace_overwritten", trace.overwritten)?;
        counters.set_item("trace_bytes", trace.bytes)?;
        counters.set_item("hep_sent", sent)?;
        counters.set_item("hep_lost", lost)?;
        Ok(counters)
    }

    fn configure(&self, py: Python<'_>, snapshot: &[u8]) -> PyResult<u64> {
        py.detach(|| self.with(|edge| edge.configure(Snapshot::from_json(snapshot)?)))
    }

    fn steer(&self, py: Python<'_>, answering: Vec<IpAddr>) -> PyResult<()> {
        py.detach(|| {
            self.with(|edge| {
                edge.steer(answering);
                Ok(())
            })
        })
    }

    fn gather(&self) {
        // Of an edge that has stopped there is nothing to carry out.
        if let Some(edge) = self.inner.read().as_ref() {
            edge.gather();
        }
    }

    fn hand_over(&self) {
        if let Some(edge) = self.inner.read().as_ref() {
            edge.hand_over();
        }
    }

    fn reload_tls(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.with(edge::Edge::reload_tls))
    }

    fn flows(&self, py: Python<'_>) -> PyResult<Vec<FlowInForce>> {
        let flows = py.detach(|| self.with(edge::Edge::flows))?;
        let row = |(key, flow): (guard::FlowKey, guard::Flow)| FlowInForce {
            number: text(&flow.number),
            transport: key.transport.as_str(),
            source: key.source.to_string(),
            local: flow.local.to_string(),
            contact: text(&flow.id.contact),
            q: flow.q,
            path: text(&flow.path),
            instance: text(&flow.id.instance),
            reg_id: flow.id.reg_id,
            call_id: text(&flow.call_id),
            cseq: flow.cseq,
            user_agent: text(&flow.user_agent),
            since_us: flow.since_us,
            expires_at_us: flow.expires_at_us,
        };
        Ok(flows.into_iter().map(row).collect())
    }

    /// Answer a request. Raises `ValueError` for what cannot be written.
    #[pyo3(signature = (transaction, status, headers, body=NO_BODY, *, tag="", frame=None))]
    fn respond(
        &self,
        transaction: u64,
        status: u16,
        headers: Vec<HeaderLine>,
        body: &[u8],
        tag: &str,
        frame: Option<FrameParts>,
    ) -> PyResult<()> {
        let frame = frame.map(self::frame).transpose()?;
        let (body, tag) = (body.to_vec(), tag.as_bytes().to_vec());
        let respond = Respond { transaction, status, headers, body, tag, frame, registration: None };
        self.with(|edge| edge.respond(respond))
    }

    /// Accept a REGISTER with 200: end some contacts of its number, then put others in force on the flow that it came on.
    fn register(
        &self,
        transaction: u64,
        ended: Vec<ContactParts>,
        bound: Vec<BoundParts>,
        headers: Vec<HeaderLine>,
    ) -> PyResult<()> {
        let bound =
            bound.into_iter().map(|(id, q, path, expires_s)| BoundContact { id: contact_id(id), q, path, expires_s });
        let ended = ended.into_iter().map(contact_id).collect();
        let registration = Some(Registration { ended, bound: bound.collect() });
        let respond = Respond { transaction, status: 200, headers, registration, ..Respond::default() };
        self.with(|edge| edge.respond(respond))
    }

    /// Send a request; the number of its transaction. Raises `ValueError` for what cannot be written.
    #[pyo3(signature = (to, method, uri, headers, body=NO_BODY, *, max_forwards=70, frame=None))]
    #[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
    #[expect(clippy::needless_pass_by_value, reason = "a list of Python becomes a vector")]
    fn send(
        &self,
        to: TargetParts,
        method: &str,
        uri: &str,
        headers: Vec<HeaderLine>,
        body: &[u8],
        max_forwards: u8,
        frame: Option<FrameParts>,
    ) -> PyResult<u64> {
        let frame = frame.map(self::frame).transpose()?;
        let request = NewRequest { method, uri, headers: &headers, body, max_forwards };
        self.with(|edge| edge.send(&target(to), &request, frame))
    }

    /// Send the ACK for a 2xx to that INVITE of ours.
    #[pyo3(signature = (transaction, to, uri, headers, body=NO_BODY))]
    #[expect(clippy::needless_pass_by_value, reason = "a list of Python becomes a vector")]
    fn acknowledge(
        &self,
        transaction: u64,
        to: TargetParts,
        uri: &str,
        headers: Vec<HeaderLine>,
        body: &[u8],
    ) -> PyResult<()> {
        let ack = NewRequest { method: "ACK", uri, headers: &headers, body, max_forwards: 70 };
        self.with(|edge| edge.acknowledge(transaction, &target(to), &ack))
    }

    /// Give an INVITE of ours up; `headers` go into the CANCEL.
    fn cancel(&self, transaction: u64, headers: Vec<HeaderLine>) -> PyResult<()> {
        self.with(|edge| edge.cancel(transaction, headers))
    }

    /// Admit requests inside dialogs with this tag of ours and this Call-ID.
    fn open(&self, tag: &str, call_id: &str) -> PyResult<()> {
        self.with(|edge| edge.open(tag.as_bytes().to_vec(), call_id.as_bytes().to_vec()))
    }

    /// Admit none any more.
    fn close(&self, tag: &str) -> PyResult<()> {
        self.with(|edge| edge.close(tag.as_bytes().to_vec()))
    }

    /// Write a frame of the calls journal that goes with no message.
    fn append(&self, frame: FrameParts) -> PyResult<()> {
        let frame = self::frame(frame)?;
        self.with(|edge| edge.append(frame))
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| drop(self.inner.write().take()));
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("COUNTERS", Counter::ALL.iter().map(|counter| counter.as_str()).collect::<Vec<_>>())?;
    module.add_class::<Ack>()?;
    module.add_class::<Came>()?;
    module.add_class::<Cancel>()?;
    module.add_class::<Edge>()?;
    module.add_class::<Ended>()?;
    module.add_class::<FlowInForce>()?;
    module.add_class::<Request>()?;
    module.add_class::<Response>()?;
    module.add_class::<Started>()?;
    module.add_class::<trace::Traced>()
}
