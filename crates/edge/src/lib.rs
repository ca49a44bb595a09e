// SPDX-License-Identifier: Apache-2.0
//! The edge: sockets and threads around the guard and the journal.
//!
//! Four threads: *receive* owns the guard and never waits for a disk; *write* appends the edge journal and then sends the
//! answers; *stream* serves TCP and TLS; *engine* owns the transactions and the calls journal. Two more make the journals durable, one each; two look names up.
//! One more sends copies of traced messages to a Homer server if there is one.

mod bounces;
mod calls;
mod config;
mod connections;
mod durable;
mod engine;
mod error;
mod held;
mod hep;
mod line;
mod listen;
mod names;
mod order;
mod place;
mod receive;
mod shared;
pub mod steer;
mod stream;
mod sys;
mod tls;
pub mod trace;
mod way;
mod write;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use guard::{Branches, COUNTERS, Flow, FlowKey, Guard, Snapshot, Tally};
use ipnet::IpNet;
use journal::{Options, Record, Recovery, SegmentWriter, Stream, StreamReader, Syncer};
use parking_lot::Mutex;
use tokio::sync::watch;
use transaction::SipTimers;

pub use config::{Config, Listen, StreamLimits, TlsConfig};
pub use error::EdgeError;
pub use hep::Homer;
pub use order::{BoundContact, Frame, HeaderLine, NewRequest, Registration, Respond, Target};
pub use shared::{Ended, Event};

use bounces::Bounces;
use calls::CallsJournal;
use connections::Connections;
use durable::Durable;
use engine::Given;
use hep::{HepCounters, Sending};
use line::{Bell, line};
use listen::Listeners;
use names::Names;
use order::{Order, Ready};
use place::Places;
use receive::{BATCHES, Command, QUEUE, Receiving};
use shared::Shared;
use stream::Streams;
use tls::Tls;
use trace::{Trace, TraceCounters};
use write::{Desk, Writing};

/// The receive thread answers a command between two batches.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages from streams that may wait for the receive thread.
const ARRIVALS: usize = 1024;
/// Requests that did not arrive that may wait for the engine.
const BOUNCED: usize = 1024;
/// Descriptors beside the connections: listeners, journal, settings, control clients.
const OTHER_DESCRIPTORS: u64 = 128;
/// How often what strangers caused to be written is sent on its way to the disk.
const WRITE_BACK_EVERY: Duration = Duration::from_millis(25);

/// What the run began with.
#[derive(Debug, Clone)]
pub struct Started {
    /// Addresses in the order of the configuration, ports filled in.
    pub listeners: Vec<Listen>,
    /// Number of this run of the edge journal.
    pub run: u32,
    /// Registrations that stand from before.
    pub flows: usize,
    /// Sentences about what recovery did, for the operator.
    pub notes: Vec<String>,
}

/// A running edge. Dropping it stops the threads; [`Edge::stop`] waits for them.
pub struct Edge {
    shared: Arc<Shared>,
    branches: Arc<Branches>,
    events: Receiver<Event>,
    commands: Sender<Command>,
    orders: Option<line::Sender<Order>>,
    is_gathering: AtomicBool,
    stop_streams: watch::Sender<bool>,
    tls: Option<Arc<Tls>>,
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    threads: Vec<JoinHandle<()>>,
    streams: Option<JoinHandle<()>>,
    stop_sync: Option<Sender<()>>,
    sync: Option<JoinHandle<()>>,
    stop_hep: Option<Sender<()>>,
    hep: Option<JoinHandle<()>>,
}

impl Edge {
    /// Open the journals, put the flows back, bind every address, start the threads.
    pub fn start(config: &Config, snapshot: Snapshot) -> Result<(Self, Started), EdgeError> {
        raise_descriptors(config)?;
        let now = sys::now();
        let mut notes = Vec::new();
        let mut open = |stream, name: &str| -> Result<_, EdgeError> {
            let directory = config.journal.join(name);
            let (writer, opened) = SegmentWriter::open(&directory, stream, &Options::of(stream), now.utc_us)?;
            notes.extend(opened.recovered.iter().map(describe));
            Ok((directory, writer, opened))
        };
        let (_, edge_writer, edge_opened) = open(Stream::Edge, "edge")?;
        let (calls_directory, calls_writer, _) = open(Stream::Calls, "calls")?;
        let snapshot = Arc::new(snapshot);
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| EdgeError::System {
            doing: "draw a key by chance",
            source: std::io::Error::other(error.to_string()),
        })?;
        let branches = Arc::new(Branches::new(key));
        let journal_crc = edge_writer.journal_crc();
        let mut guard =
            Guard::new(Arc::clone(&snapshot), Arc::clone(&branches), edge_opened.next_seq, journal_crc, now);
        restore_flows(&mut guard, &calls_directory, now.utc_us)?;
        let flows = guard.flows.len();

        let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
        let Listeners { udp, streams, bound, notes: noted } = Listeners::bind(config)?;
        notes.extend(noted);
        let system = |doing| move |source| EdgeError::System { doing, source };
        // Bounded by the transactions that there may be, and by the guard, which puts new calls off while it is long.
        let (events_in, events) = unbounded();
        let engine_bell = Arc::new(Bell::default());
        let (closed_in, closed) = line(None, &engine_bell);
        let (connects_in, connects) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            udp,
            books: Mutex::new(Tally::default()),
            connections: Mutex::new(Connections::default()),
            max_connections: config.stream.max_connections,
            next_connection: AtomicU64::new(1),
            connects: (!streams.is_empty()).then_some(connects_in),
            closed: closed_in,
            next_transaction: AtomicU64::new(1),
            registered: Mutex::new(HashMap::new()),
            buffered: AtomicUsize::new(0),
            events: events_in,
            events_wake: sys::Wake::new().map_err(system("make an event descriptor"))?,
            receive_wake: sys::Wake::new().map_err(system("make an event descriptor"))?,
            is_starving: AtomicBool::new(false),
            full_from: AtomicU64::new(0),
            calls_until_ms: AtomicU64::new(0),
            trace: Arc::new(Trace::new(snapshot.parameters.rf_trace_bytes as usize)),
            hep: Arc::new(HepCounters::default()),
            answering: Mutex::default(),
            phones: Mutex::default(),
        });
        receive::steer_sources(&shared, || snapshot.gateway_networks());

        let (commands, commands_out) = unbounded();
        let (arrivals_in, arrivals) = bounded(ARRIVALS);
        let write_bell = Arc::new(Bell::default());
        let (work, work_out) = line(Some(BATCHES + 2), &write_bell);
        let (returned_in, returned) = unbounded();
        // Bounded by the events that they answer.
        let (orders, orders_out) = line(None, &engine_bell);
        let (passed, passed_out) = line(Some(QUEUE), &engine_bell);
        let (bounced_in, bounced) = line(Some(BOUNCED), &engine_bell);
        let (stop_streams, stopped) = watch::channel(false);
        let current = Arc::new(Mutex::new(snapshot));

        let (stop_sync, stop_sync_out) = bounded(0);
        let sync = spawn("edge-sync", {
            let (syncer, shared) = (edge_writer.syncer(), Arc::clone(&shared));
            let current = Arc::clone(&current);
            move || keep_durable(&syncer, &shared, &current, &stop_sync_out)
        })?;
        let run = edge_opened.run;
        let desk = Arc::new(Mutex::new(Desk::new(Arc::clone(&shared), edge_writer)));
        let receiving = Receiving {
            shared: Arc::clone(&shared),
            guard,
            run,
            commands: commands_out,
            arrivals,
            desk: Arc::clone(&desk),
            returned,
            work,
            passed,
            bounces: Bounces::new(Arc::clone(&branches), bounced_in),
        };
        let writing =
            Writing { shared: Arc::clone(&shared), desk, bell: write_bell, work: work_out, returned: returned_in };
        let syncer = calls_writer.syncer();
        let (durable, calls_sync) =
            Durable::start("edge-calls-sync", &engine_bell, Box::new(move || syncer.sync().map(|_through| ())))?;
        let given = Given {
            journal: CallsJournal::new(Arc::clone(&shared), calls_writer, durable),
            shared: Arc::clone(&shared),
            bell: Arc::clone(&engine_bell),
            orders: orders_out,
            passed: passed_out,
            bounced,
            closed,
            commands: commands.clone(),
            timers: SipTimers::default(),
            names: Names::start(&engine_bell, &(Arc::new(names::by_system) as names::LookUp))?,
        };
        let threads = vec![
            spawn("edge-write", move || writing.serve())?,
            spawn("edge-engine", move || engine::serve(given))?,
            spawn("edge-receive", move || receiving.serve())?,
            calls_sync,
        ];
        let mut streams_thread = None;
        if !streams.is_empty() {
            let known = Arc::clone(&current);
            let is_known = Arc::new(move |source: SocketAddr| known.lock().gateway(source).is_some());
            let most_handshakes = tls.as_ref().map_or(0, |tls| tls.max_handshakes_per_source());
            let places = Places::new(Arc::clone(&shared), config.stream, most_handshakes, is_known);
            let serving = Streams {
                shared: Arc::clone(&shared),
                arrivals: arrivals_in,
                limits: config.stream,
                places: Arc::new(places),
                tls: tls.clone(),
                connects,
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(system("start the stream runtime"))?;
            streams_thread =
                Some(spawn("edge-stream", move || runtime.block_on(stream::serve(serving, streams, stopped)))?);
        }
        let (stop_hep, hep) = match &config.homer {
            Some(homer) => {
                let socket = connect_to(homer).map_err(system("open a socket to the Homer server"))?;
                let (stop_hep, stop) = bounded(0);
                let sending = Sending {
                    trace: Arc::clone(&shared.trace),
                    counters: Arc::clone(&shared.hep),
                    snapshot: Arc::clone(&current),
                    homer: homer.clone(),
                    stop,
                };
                (Some(stop_hep), Some(spawn("edge-hep", move || sending.serve(&socket))?))
            }
            None => (None, None),
        };
        let edge = Self {
            shared,
            branches,
            events,
            commands,
            orders: Some(orders),
            is_gathering: AtomicBool::new(false),
            stop_streams,
            tls,
            snapshot: current,
            threads,
            streams: streams_thread,
            stop_sync: Some(stop_sync),
            sync: Some(sync),
            stop_hep,
            hep,
        };
        Ok((edge, Started { listeners: bound, run, flows, notes }))
    }

    /// Readable while events wait.
    pub fn events_fd(&self) -> RawFd {
        self.shared.events_wake.as_raw_fd()
    }

    /// The next events, at most `max`.
    pub fn events(&self, max: usize) -> Vec<Event> {
        self.shared.events_wake.clear();
        let events: Vec<Event> = self.events.try_iter().take(max).collect();
        if !self.events.is_empty() {
            self.shared.events_wake.wake();
        }
        events
    }

    /// The counters of this run, in the order of `guard::Counter`.
    pub fn counters(&self) -> [u64; COUNTERS] {
        let books = self.shared.books.lock();
        let mut values = [0; COUNTERS];
        for (to, from) in values.iter_mut().zip(books.values()) {
            *to = *from;
        }
        values
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().len()
    }

    /// The messages of calls that are still in memory; usable from any thread.
    pub fn trace(&self) -> Arc<Trace> {
        Arc::clone(&self.shared.trace)
    }

    /// What the trace counts, and how many copies were sent to the Homer server and lost on the way to it.
    pub fn trace_counters(&self) -> (TraceCounters, u64, u64) {
        let hep = &self.shared.hep;
        (self.shared.trace.counters(), hep.sent.load(Ordering::Relaxed), hep.lost.load(Ordering::Relaxed))
    }

    /// Put a configuration in force; returns its version once every packet from now on is judged by it.
    pub fn configure(&self, snapshot: Snapshot) -> Result<u64, EdgeError> {
        let snapshot = Arc::new(snapshot);
        self.shared.trace.resize(snapshot.parameters.rf_trace_bytes as usize);
        *self.snapshot.lock() = Arc::clone(&snapshot);
        let (done, wait) = bounded(1);
        self.command(Command::Configure { snapshot, done })?;
        wait.recv_timeout(COMMAND_TIMEOUT).map_err(|_| EdgeError::Stopped)
    }

    /// Let what these addresses send pass strangers' queue too, instead of those of the last time: the far ends that calls go to and that
    /// only answer. It authorises nothing.
    pub fn steer(&self, answering: impl IntoIterator<Item = IpAddr>) {
        *self.shared.answering.lock() = answering.into_iter().map(IpNet::from).collect();
        receive::steer_sources(&self.shared, || self.snapshot.lock().gateway_networks());
    }

    /// Read certificate, key and authorities again, for new connections; those in force stay if they cannot be used.
    pub fn reload_tls(&self) -> Result<(), EdgeError> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Every registered flow.
    pub fn flows(&self) -> Result<Vec<(FlowKey, Flow)>, EdgeError> {
        let (done, wait) = bounded(1);
        self.command(Command::Flows { done })?;
        wait.recv_timeout(COMMAND_TIMEOUT).map_err(|_| EdgeError::Stopped)
    }

    fn command(&self, command: Command) -> Result<(), EdgeError> {
        self.commands.send(command).map_err(|_| EdgeError::Stopped)?;
        self.shared.receive_wake.wake();
        Ok(())
    }

    /// Answer a request. Frame or flow change are written first; a durable frame is on disk before the answer leaves. What is over
    /// hears nothing.
    pub fn respond(&self, respond: Respond) -> Result<(), EdgeError> {
        respond.check()?;
        self.order(Order::Respond(respond))
    }

    /// Send a request; the number of its transaction.
    pub fn send(&self, target: &Target, request: &NewRequest<'_>, frame: Option<Frame>) -> Result<u64, EdgeError> {
        let ready = Box::new(Ready::write(&self.branches, target, request)?);
        let transaction = self.shared.next_transaction.fetch_add(1, Ordering::Relaxed);
        self.order(Order::Send { transaction, ready, frame })?;
        Ok(transaction)
    }

    /// Send the ACK for a 2xx to that INVITE of ours.
    pub fn acknowledge(&self, transaction: u64, target: &Target, ack: &NewRequest<'_>) -> Result<(), EdgeError> {
        let ready = Box::new(Ready::write(&self.branches, target, ack)?);
        self.order(Order::Acknowledge { transaction, ready })
    }

    /// Give an INVITE of ours up.
    pub fn cancel(&self, transaction: u64, headers: Vec<HeaderLine>) -> Result<(), EdgeError> {
        order::check_headers(&headers)?;
        self.order(Order::Cancel { transaction, headers })
    }

    /// Let requests inside dialogs with this tag of ours and this Call-ID in.
    pub fn open(&self, tag: Vec<u8>, call_id: Vec<u8>) -> Result<(), EdgeError> {
        self.order(Order::Open { tag, call_id })
    }

    /// Let none in any more.
    pub fn close(&self, tag: Vec<u8>) -> Result<(), EdgeError> {
        self.order(Order::Close { tag })
    }

    /// Write a frame that goes with no message.
    pub fn append(&self, frame: Frame) -> Result<(), EdgeError> {
        self.order(Order::Append(frame))
    }

    fn order(&self, order: Order) -> Result<(), EdgeError> {
        let orders = self.orders.as_ref().ok_or(EdgeError::Stopped)?;
        orders.put(order).map_err(|_| EdgeError::Stopped)?;
        if !self.is_gathering.load(Ordering::Relaxed) {
            orders.ring();
        }
        Ok(())
    }

    /// From now on orders are carried out together, at [`Self::hand_over`] or a tenth of a second later: one wake for what comes of many
    /// events.
    pub fn gather(&self) {
        self.is_gathering.store(true, Ordering::Relaxed);
    }

    /// Have gathered orders carried out, and each from now on at once.
    pub fn hand_over(&self) {
        self.is_gathering.store(false, Ordering::Relaxed);
        if let Some(orders) = &self.orders {
            orders.ring();
        }
    }

    /// Stop reading, write what was judged, answer what was ordered, and end the threads.
    pub fn stop(&mut self) {
        let _ = self.command(Command::Stop);
        self.orders = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // Last, so that what was ordered leaves over streams too.
        let _ = self.stop_streams.send(true);
        if let Some(streams) = self.streams.take() {
            let _ = streams.join();
        }
        self.stop_sync = None;
        self.stop_hep = None;
        for thread in [self.sync.take(), self.hep.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop();
    }
}

fn describe(recovery: &Recovery) -> String {
    let path = recovery.path.display();
    match (&recovery.set_aside, recovery.damaged_at) {
        (Some(aside), _) => format!("{path}: no write in it can be read; set aside as {}", aside.display()),
        (None, Some(offset)) => format!("{path}: damaged at byte {offset}; what follows is kept"),
        (None, None) => {
            format!("{path}: cut {} bytes of a write that was begun and never answered for", recovery.cut_bytes)
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EdgeError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(body);
    started.map_err(|source| EdgeError::System { doing: "start a thread", source })
}

/// A socket that never waits: a copy that has no room is lost, and counted.
fn connect_to(homer: &Homer) -> std::io::Result<std::net::UdpSocket> {
    let any: SocketAddr = if homer.address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(homer.address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// fdatasync(2) of the edge stream every so often, off the packet path.
fn keep_durable(syncer: &Syncer, shared: &Shared, snapshot: &Mutex<Arc<Snapshot>>, stop: &Receiver<()>) {
    let mut has_failed = false;
    let mut synced = Instant::now();
    loop {
        let every = Duration::from_millis(snapshot.lock().parameters.rf_journal_sync_ms.max(1));
        if stop.recv_timeout(every.min(WRITE_BACK_EVERY)) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        if synced.elapsed() < every {
            // A flood's records of a second at once would hold up the disk, and with it each call that is set up then.
            syncer.begin();
            continue;
        }
        synced = Instant::now();
        let result = syncer.sync();
        if let (Err(error), false) = (&result, has_failed) {
            shared.tell(Event::Trouble(format!("records of strangers may not survive a power cut: {error}")));
        }
        has_failed = result.is_err();
    }
}

fn restore_flows(guard: &mut Guard, directory: &std::path::Path, now_us: u64) -> Result<(), EdgeError> {
    let mut reader = StreamReader::open(directory, 0, true);
    while let Some(batch) = reader.read(4096)? {
        for frame in batch.frames() {
            if let Ok(Record::Flow(flow)) = frame.record() {
                calls::replay(&mut guard.flows, frame.time_us, &flow);
            }
        }
    }
    let memory_us = guard.snapshot().parameters.rf_registration_memory_days * 86_400_000_000;
    guard.flows.expire(now_us, memory_us);
    Ok(())
}

/// Raise the soft limit to the hard one, and refuse to start where that is not enough.
fn raise_descriptors(config: &Config) -> Result<(), EdgeError> {
    let limit =
        sys::raise_descriptor_limit().map_err(|source| EdgeError::System { doing: "read RLIMIT_NOFILE", source })?;
    let needed = config.stream.max_connections as u64 + OTHER_DESCRIPTORS;
    if limit < needed {
        return Err(EdgeError::Descriptors { limit, needed, connections: config.stream.max_connections });
    }
    Ok(())
}
