// SPDX-License-Identifier: Apache-2.0
//! The journal for Python: tailing, archiving, verifying, and a writer for fixtures and tools.
#![allow(clippy::doc_markdown, reason = "docstrings name columns and arguments as Python does")]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::journal::{
    Attempt, Batch, Column, Columns, Flow, FlowOp, IncrementWhy, JournalError, Kind, METHODS, Opaque, Options, Reason,
    Record, Scope, SegmentWriter, Stream, StreamReader, Transport, VerifyReport, WriteUnit, flags,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::error::from_journal;

/// Adds everything of the journal to `ringfence._core`.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<JournalTail>()?;
    module.add_class::<FrameBatch>()?;
    module.add_class::<JournalWriter>()?;
    module.add_class::<JournalReport>()?;
    module.add_function(wrap_pyfunction!(archive_sealed, module)?)?;
    module.add_function(wrap_pyfunction!(verify_journal, module)?)?;
    module.add_function(wrap_pyfunction!(segments, module)?)?;
    module.add("ARCHIVE_LEVEL", ::journal::ARCHIVE_LEVEL)?;
    module.add("KINDS", names(module.py(), Kind::ALL.iter().map(|v| (v.code(), v.as_str())))?)?;
    module.add("REASONS", names(module.py(), Reason::ALL.iter().map(|v| (v.code(), v.as_str())))?)?;
    module.add("METHODS", names(module.py(), (0..).zip(METHODS).skip(1))?)?;
    module.add("SCOPES", names(module.py(), Scope::ALL.iter().map(|v| (v.code(), v.as_str())))?)?;
    module.add("TRANSPORTS", names(module.py(), Transport::ALL.iter().map(|v| (v.code(), v.as_str())))?)?;
    module.add("INCREMENT_WHYS", names(module.py(), IncrementWhy::ALL.iter().map(|v| (v.code(), v.as_str())))?)?;
    module.add("FLOW_OPS", names(module.py(), FlowOp::ALL.iter().map(|v| (v.code(), v.as_str())))?)?;
    module.add("FLAG_SOURCE_V6", flags::IS_SOURCE_V6)?;
    module.add("FLAG_LOCAL_V6", flags::IS_LOCAL_V6)?;
    module.add("FLAG_PROVEN", flags::IS_PROVEN)?;
    module.add("FLAG_AUTHORISED", flags::IS_AUTHORISED)?;
    module.add("FLAG_RAW", flags::HAS_RAW)?;
    module.add("FLAG_EMPTY_CONNECTION", flags::IS_EMPTY_CONNECTION)
}

fn names(py: Python<'_>, codes: impl Iterator<Item = (u8, &'static str)>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (code, name) in codes {
        dict.set_item(code, name)?;
    }
    Ok(dict)
}

/// Locks what only one thread at a time may use; a panic of another thread is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what may wait without the interpreter lock.
fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, JournalError> + Send) -> PyResult<T> {
    py.detach(work).map_err(|error| from_journal(py, &error))
}

/// Reads the frames of one stream after a sequence number, and then whatever is appended.
///
/// `directory` need not exist yet. `after_seq` 0 starts with the oldest frame there is. With `skip_unreadable` it passes over
/// segments that are damaged or missing and counts their sequence numbers in `missing`; without, it raises `StoreError`
/// (codes `journal_damaged`, `journal_missing`), again at each call.
#[pyclass(frozen, module = "ringfence._core")]
struct JournalTail {
    reader: Mutex<StreamReader>,
}

#[pymethods]
impl JournalTail {
    #[new]
    #[pyo3(signature = (directory, after_seq = 0, skip_unreadable = false))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn new(directory: PathBuf, after_seq: u64, skip_unreadable: bool) -> Self {
        Self { reader: Mutex::new(StreamReader::open(&directory, after_seq, skip_unreadable)) }
    }

    /// The next frames, in order: whole writes until at least `max_frames` frames are together or a segment ends. None if there
    /// is nothing new now. What is returned is durable: no power failure takes it back.
    fn read(&self, py: Python<'_>, max_frames: usize) -> PyResult<Option<FrameBatch>> {
        let batch = detached(py, || lock(&self.reader).read(max_frames))?;
        Ok(batch.map(|batch| FrameBatch { batch }))
    }

    /// Sequence number of the next frame that will be read.
    #[getter]
    fn next_seq(&self, py: Python<'_>) -> u64 {
        py.detach(|| lock(&self.reader).next_seq())
    }

    /// Sequence numbers passed over because they were unreadable or missing.
    #[getter]
    fn missing(&self, py: Python<'_>) -> u64 {
        py.detach(|| lock(&self.reader).missing())
    }

    /// The 16 bytes that name the journal; empty before any segment exists.
    #[getter]
    fn journal_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let id = detached(py, || lock(&self.reader).journal_id())?;
        Ok(PyBytes::new(py, id.as_ref().map_or(&[], |id| &id.0)))
    }
}

/// Frames in the order they were written, all of one segment. Each method decodes the frames of its kinds, in their order,
/// into columns of the same length.
#[pyclass(frozen, module = "ringfence._core")]
struct FrameBatch {
    batch: Batch,
}

#[pymethods]
impl FrameBatch {
    /// Sequence number of the first frame.
    #[getter]
    fn first_seq(&self) -> u64 {
        self.batch.first_seq()
    }

    /// Sequence number of the last frame; what `JournalTail` is given to go on after this batch.
    #[getter]
    fn last_seq(&self) -> u64 {
        self.batch.last_seq()
    }

    /// How many frames, at least one.
    #[getter]
    fn frames(&self) -> usize {
        self.batch.frame_count()
    }

    /// The 16 bytes that name the journal.
    #[getter]
    fn journal_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.batch.journal_id().0)
    }

    /// Refusals and challenges (`kind` tells them apart): seq time_us kind reason method transport scope status detail source
    /// source_port local local_port flags gateway_id traits fingerprint settles caller callee user_agent call_id method_text
    /// auth_user raw. Addresses are text, IPv4-mapped ones as IPv4; `raw` is null where the message was not kept. Strings are
    /// untrusted: bytes that are not UTF-8 are written `\xNN`, control characters stay as they are.
    fn attempts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        table(py, &detached(py, || self.batch.attempts())?)
    }

    /// What was counted into earlier attempts: seq time_us base_seq count why.
    fn increments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        table(py, &detached(py, || self.batch.increments())?)
    }

    /// Attempts that leave no row: seq time_us reason method count.
    fn summaries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        table(py, &detached(py, || self.batch.summaries())?)
    }

    /// Changes of registered flows: seq time_us op transport flags source source_port local local_port expires_s cseq settles
    /// number contact call_id user_agent. Strings as in `attempts`.
    fn flows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        table(py, &detached(py, || self.batch.flows())?)
    }

    /// Frames whose payload is made by Python: (kind, seq, time_us, payload).
    fn opaque<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let frames = self.batch.opaque();
        let list = PyList::empty(py);
        for frame in frames {
            list.append((frame.kind, frame.seq, frame.time_us, PyBytes::new(py, frame.payload)))?;
        }
        Ok(list)
    }

    /// Counters of runs: (seq, time_us, run, counters in the order of the guard's).
    fn books(&self, py: Python<'_>) -> PyResult<Vec<BooksRow>> {
        let books = detached(py, || self.batch.books())?;
        Ok(books.into_iter().map(|books| (books.seq, books.time_us, books.run, books.counters)).collect())
    }
}

/// Columns as a dict of (type, rows, Arrow buffers).
fn table<'py>(py: Python<'py>, columns: &Columns) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, column) in columns {
        dict.set_item(*name, arrow_buffers(py, column)?)?;
    }
    Ok(dict)
}

fn arrow_buffers<'py>(py: Python<'py>, column: &Column) -> PyResult<Bound<'py, PyTuple>> {
    let bytes = |buffer: &[u8]| PyBytes::new(py, buffer);
    let buffers = PyList::empty(py);
    buffers.append(column.validity.as_deref().map(bytes))?;
    if let Some(offsets) = &column.offsets {
        buffers.append(bytes(offsets))?;
    }
    buffers.append(bytes(&column.data))?;
    (column.column_type.as_str(), column.len, buffers).into_pyobject(py)
}

/// Compresses every sealed plain segment (zstd, `level` 1 to 19) and returns the archives made, oldest first. A plain file goes
/// only when its archive is durable and has been read back; readers that hold it go on.
#[pyfunction]
#[pyo3(signature = (directory, level = ::journal::ARCHIVE_LEVEL))]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
fn archive_sealed(py: Python<'_>, directory: PathBuf, level: i32) -> PyResult<Vec<PathBuf>> {
    detached(py, || ::journal::archive_sealed(&directory, level))
}

/// What `verify_journal` found. The counts cover everything before `fault`, if there is one.
#[pyclass(frozen, module = "ringfence._core")]
struct JournalReport {
    report: VerifyReport,
}

#[pymethods]
impl JournalReport {
    /// The 16 bytes that name the journal; empty if there is no segment.
    #[getter]
    fn journal_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.report.journal_id.as_ref().map_or(&[], |id| &id.0))
    }

    /// Segments read to their end.
    #[getter]
    fn segments(&self) -> usize {
        self.report.segments
    }

    /// How many of them are archived.
    #[getter]
    fn archived(&self) -> usize {
        self.report.archived
    }

    /// Whole writes.
    #[getter]
    fn writes(&self) -> u64 {
        self.report.writes
    }

    /// Frames, without chain frames.
    #[getter]
    fn frames(&self) -> u64 {
        self.report.frames
    }

    /// Bytes of the segment files.
    #[getter]
    fn disk_bytes(&self) -> u64 {
        self.report.disk_bytes
    }

    /// First sequence number, 0 if there is no frame.
    #[getter]
    fn first_seq(&self) -> u64 {
        self.report.first_seq
    }

    /// Last sequence number, 0 if there is no frame.
    #[getter]
    fn last_seq(&self) -> u64 {
        self.report.last_seq
    }

    /// Sequence numbers before the oldest segment, let go by retention; the chain is proved from there on only.
    #[getter]
    fn let_go(&self) -> u64 {
        self.report.let_go
    }

    /// Bytes behind the last whole write of the live segment: a write under way, or one that the next run cuts.
    #[getter]
    fn tail_bytes(&self) -> u64 {
        self.report.tail_bytes
    }

    /// The first place that is not what was written: (path, byte offset in the uncompressed segment, what), or None.
    #[getter]
    fn fault(&self) -> Option<(String, u64, String)> {
        let fault = self.report.fault.as_ref()?;
        Some((fault.path.display().to_string(), fault.offset, fault.what.clone()))
    }
}

/// Walks every segment of a stream: headers, checksums, sequence, hash chain. `progress` is called with segments done and in all.
#[pyfunction]
#[pyo3(signature = (directory, progress = None))]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
fn verify_journal(py: Python<'_>, directory: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<JournalReport> {
    let mut raised = None;
    let report = detached(py, || {
        ::journal::verify(&directory, |done, all| {
            let Some(progress) = &progress else { return };
            if raised.is_none() {
                raised = Python::attach(|py| progress.call1(py, (done, all))).err();
            }
        })
    })?;
    raised.map_or(Ok(JournalReport { report }), Err)
}

/// (sequence, time, run, counters)
type BooksRow = (u64, u64, u32, Vec<u64>);
/// (path, first sequence, last sequence, bytes, is sealed, first time, last time)
type SegmentRow = (String, u64, Option<u64>, u64, bool, u64, Option<u64>);

/// The segments, oldest first: (path, first_seq, last_seq, disk_bytes, is_sealed, first_time_us, last_time_us).
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
fn segments(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<SegmentRow>> {
    let summaries = detached(py, || ::journal::summarise(&directory))?;
    let row = |summary: ::journal::SegmentSummary| {
        let is_sealed = summary.is_sealed();
        (
            summary.path.display().to_string(),
            summary.first_seq,
            summary.last_seq,
            summary.disk_bytes,
            is_sealed,
            summary.first_time_us,
            summary.last_time_us,
        )
    };
    Ok(summaries.into_iter().map(row).collect())
}

/// Appends to a stream as the switch does, for fixtures and tools. Each record method adds one frame to the write that is being
/// put together and returns its sequence number; `commit` appends that write.
#[pyclass(frozen, module = "ringfence._core")]
struct JournalWriter {
    inner: Mutex<Pending>,
}

/// A writer and the write that is being put together.
struct Pending {
    writer: SegmentWriter,
    unit: WriteUnit,
}

impl Pending {
    fn push(&mut self, time_us: u64, record: &Record<'_>) -> u64 {
        let seq = self.writer.next_seq() + self.unit.frames() as u64;
        self.unit.push(seq, time_us, self.writer.journal_crc(), record);
        seq
    }
}

fn unknown(what: &str, name: &str) -> PyErr {
    PyValueError::new_err(format!("unknown {what} {name:?}"))
}

/// The value with this name.
fn named<T: Copy>(all: &[T], as_str: impl Fn(T) -> &'static str, what: &str, name: &str) -> PyResult<T> {
    all.iter().copied().find(|&value| as_str(value) == name).ok_or_else(|| unknown(what, name))
}

/// Code and text of a method: code 0 for one that has none.
fn method_code(name: &str) -> (u8, &[u8]) {
    match (0..).zip(METHODS).skip(1).find(|(_, known)| *known == name) {
        Some((code, _)) => (code, b""),
        None => (0, name.as_bytes()),
    }
}

#[pymethods]
impl JournalWriter {
    #[new]
    #[pyo3(signature = (directory, *, now_us, stream = "edge", segment_bytes = None))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        now_us: u64,
        stream: &str,
        segment_bytes: Option<u64>,
    ) -> PyResult<Self> {
        let stream = named(&[Stream::Edge, Stream::Calls], Stream::as_str, "stream", stream)?;
        let defaults = Options::of(stream);
        let options = Options { segment_bytes: segment_bytes.unwrap_or(defaults.segment_bytes), ..defaults };
        let (writer, _) = detached(py, || SegmentWriter::open(&directory, stream, &options, now_us))?;
        Ok(Self { inner: Mutex::new(Pending { writer, unit: WriteUnit::new(0) }) })
    }

    /// Sequence number of the next frame.
    #[getter]
    fn next_seq(&self) -> u64 {
        let inner = lock(&self.inner);
        inner.writer.next_seq() + inner.unit.frames() as u64
    }

    /// The 16 bytes that name the journal.
    #[getter]
    fn journal_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &lock(&self.inner).writer.journal_id().0)
    }

    /// Number of this run, from 1.
    #[getter]
    fn run(&self) -> u32 {
        lock(&self.inner).writer.run()
    }

    /// A refusal, or a challenge; every field has a default, `reason` follows from `is_challenge`.
    #[pyo3(signature = (
        *, time_us, reason = None, is_challenge = false, method = "INVITE", transport = "UDP",
        scope = "own", status = 403, detail = 0, source = None, source_port = 5060, local = None, local_port = 5060,
        flags = 0, gateway_id = 0, traits = 0, fingerprint = 0, settles = 0, caller = NOTHING, callee = NOTHING,
        user_agent = NOTHING, call_id = NOTHING, auth_user = NOTHING, raw = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments, one per field of the record")]
    fn attempt(
        &self,
        time_us: u64,
        reason: Option<&str>,
        is_challenge: bool,
        method: &str,
        transport: &str,
        scope: &str,
        status: u16,
        detail: u16,
        source: Option<IpAddr>,
        source_port: u16,
        local: Option<IpAddr>,
        local_port: u16,
        flags: u16,
        gateway_id: u32,
        traits: u32,
        fingerprint: u64,
        settles: u64,
        caller: &[u8],
        callee: &[u8],
        user_agent: &[u8],
        call_id: &[u8],
        auth_user: &[u8],
        raw: Option<&[u8]>,
    ) -> PyResult<u64> {
        let (method, method_text) = method_code(method);
        let default = if is_challenge { Reason::UnansweredChallenge } else { Reason::UnknownSource };
        let attempt = Attempt {
            reason: reason.map_or(Ok(default), |name| named(Reason::ALL, Reason::as_str, "reason", name))?,
            method,
            transport: named(Transport::ALL, Transport::as_str, "transport", transport)?,
            scope: named(Scope::ALL, Scope::as_str, "scope", scope)?,
            status,
            detail,
            source: SocketAddr::new(source.unwrap_or(A_STRANGER), source_port),
            local: SocketAddr::new(local.unwrap_or(OURSELVES), local_port),
            flags,
            gateway_id,
            traits,
            fingerprint,
            settles,
            caller,
            callee,
            user_agent,
            call_id,
            method_text,
            auth_user,
            raw,
        };
        let record = if is_challenge { Record::Challenge(attempt) } else { Record::Refusal(attempt) };
        Ok(lock(&self.inner).push(time_us, &record))
    }

    /// `why`: retransmission or widened.
    #[pyo3(signature = (*, time_us, base_seq, count = 1, why = "retransmission"))]
    fn increment(&self, time_us: u64, base_seq: u64, count: u32, why: &str) -> PyResult<u64> {
        let why = named(IncrementWhy::ALL, IncrementWhy::as_str, "cause of an increment", why)?;
        Ok(lock(&self.inner).push(time_us, &Record::Increment { base_seq, count, why }))
    }

    /// Attempts that leave no row.
    #[pyo3(signature = (*, time_us, reason = "unknown_source", method = "INVITE", count = 1))]
    fn summary(&self, time_us: u64, reason: &str, method: &str, count: u32) -> PyResult<u64> {
        let reason = named(Reason::ALL, Reason::as_str, "reason", reason)?;
        let (method, _) = method_code(method);
        Ok(lock(&self.inner).push(time_us, &Record::RefusalSummary { reason, method, count }))
    }

    /// A change of a registered flow; `op`: bound, refreshed, removed or expired.
    #[pyo3(signature = (
        *, time_us, op = "bound", transport = "UDP", flags = 0, source = None, source_port = 5060, local = None,
        local_port = 5060, expires_s = 3600, cseq = 1, settles = 0, number = NOTHING, contact = NOTHING, call_id = NOTHING,
        user_agent = NOTHING,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments, one per field of the record")]
    fn flow(
        &self,
        time_us: u64,
        op: &str,
        transport: &str,
        flags: u16,
        source: Option<IpAddr>,
        source_port: u16,
        local: Option<IpAddr>,
        local_port: u16,
        expires_s: u32,
        cseq: u32,
        settles: u64,
        number: &[u8],
        contact: &[u8],
        call_id: &[u8],
        user_agent: &[u8],
    ) -> PyResult<u64> {
        let flow = Flow {
            op: named(FlowOp::ALL, FlowOp::as_str, "operation on a flow", op)?,
            transport: named(Transport::ALL, Transport::as_str, "transport", transport)?,
            flags,
            source: SocketAddr::new(source.unwrap_or(A_STRANGER), source_port),
            local: SocketAddr::new(local.unwrap_or(OURSELVES), local_port),
            expires_s,
            cseq,
            settles,
            number,
            contact,
            call_id,
            user_agent,
            binding: None,
        };
        Ok(lock(&self.inner).push(time_us, &Record::Flow(flow)))
    }

    /// A payload made by Python; `kind`: call_started, call_answered, call_ended, calls_alive, retention or admin.
    #[pyo3(signature = (*, time_us, kind, payload))]
    fn opaque(&self, py: Python<'_>, time_us: u64, kind: &str, payload: &[u8]) -> PyResult<u64> {
        let kind = named(Kind::ALL, Kind::as_str, "kind", kind)?;
        let opaque = Opaque::new(kind, payload).map_err(|error| from_journal(py, &error))?;
        Ok(lock(&self.inner).push(time_us, &Record::Opaque(opaque)))
    }

    /// Counters of this run, at most 255.
    #[pyo3(signature = (*, time_us, counters))]
    fn books(&self, time_us: u64, counters: Vec<u64>) -> PyResult<u64> {
        if counters.len() > usize::from(u8::MAX) {
            return Err(PyValueError::new_err("a books frame holds at most 255 counters"));
        }
        let mut inner = lock(&self.inner);
        let run = inner.writer.run();
        Ok(inner.push(time_us, &Record::Books { run, counters: counters.into() }))
    }

    /// Appends the frames added since the last commit as one write. If it raises, they are dropped and their numbers are free.
    fn commit(&self, py: Python<'_>, now_us: u64) -> PyResult<()> {
        detached(py, || {
            let Pending { writer, unit } = &mut *lock(&self.inner);
            let appended = writer.append(unit, now_us);
            unit.clear();
            appended
        })
    }

    /// Seals the live segment and starts the next one, if it has frames.
    fn rotate(&self, py: Python<'_>, now_us: u64) -> PyResult<()> {
        detached(py, || lock(&self.inner).writer.rotate(now_us))
    }

    /// Makes what was committed survive the end of the machine.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || lock(&self.inner).writer.sync())
    }
}

/// What a record says where nothing is said.
const NOTHING: &[u8] = b"";
/// Addresses of RFC 5737, for records that do not name others.
const A_STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const OURSELVES: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
