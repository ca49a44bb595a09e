// SPDX-License-Identifier: Apache-2.0
//! The edge: sockets and threads around the guard and the journal.
//!
//! Four threads: *receive* owns the guard and never waits for a disk; *write* appends the edge journal and then sends the
//! answers; *stream* serves TCP; *calls* appends the calls journal and answers admitted requests. Two more make the journals
//! durable, one each.

mod calls;
mod config;
mod durable;
mod error;
mod receive;
mod shared;
pub mod steer;
mod stream;
mod sys;
mod write;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use guard::{COUNTERS, Flow, FlowKey, Guard, Snapshot, Tally};
use journal::{Kind, Options, Record, Recovery, SegmentWriter, Stream, StreamReader, Syncer};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::sync::watch;

pub use calls::{Binding, HeaderLine};
pub use config::{Config, Listen, StreamLimits};
pub use error::EdgeError;
pub use shared::Event;

use calls::{Calling, Order};
use durable::Durable;
use receive::{BATCHES, Command, QUEUE, Receiving};
use shared::{Shared, UdpListener};
use stream::Streams;
use write::{Desk, Writing};

/// The receive thread answers a command between two batches.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages from streams that may wait for the receive thread.
const ARRIVALS: usize = 1024;
/// Orders of the call layer that may wait for the calls thread.
const ORDERS: usize = 65_536;
/// Descriptors beside the connections: listeners, journal, settings, control clients.
const OTHER_DESCRIPTORS: u64 = 128;

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
    events: Receiver<Event>,
    commands: Sender<Command>,
    orders: Option<Sender<Order>>,
    stop_streams: watch::Sender<bool>,
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    threads: Vec<JoinHandle<()>>,
    stop_sync: Option<Sender<()>>,
    sync: Option<JoinHandle<()>>,
}

impl Edge {
    /// Open the journals, put the flows back, bind every address, start the threads.
    pub fn start(config: &Config, snapshot: Snapshot) -> Result<(Self, Started), EdgeError> {
        let listen = config.listeners()?;
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
        let mut guard = Guard::new(Arc::clone(&snapshot), edge_opened.next_seq, edge_writer.journal_crc(), now);
        restore_flows(&mut guard, &calls_directory, now.utc_us)?;
        let flows = guard.flows.len();

        let (mut udp, mut tcp, mut bound) = (Vec::new(), Vec::new(), Vec::new());
        for listener in listen {
            match listener {
                Listen::Udp(address) => {
                    let listener = bind_udp(address, config.receive_buffer_bytes)?;
                    let given = sys::receive_buffer_bytes(&listener.strangers).unwrap_or(0);
                    if given < config.receive_buffer_bytes {
                        notes.push(format!(
                            "udp:{address}: the kernel holds {given} bytes for each socket, {} were asked for: raise net.core.rmem_max",
                            config.receive_buffer_bytes
                        ));
                    }
                    bound.push(Listen::Udp(listener.address));
                    udp.push(listener);
                }
                Listen::Tcp(address) => {
                    let (listener, address) = bind_tcp(address)?;
                    bound.push(Listen::Tcp(address));
                    tcp.push(listener);
                }
            }
        }
        let system = |doing| move |source| EdgeError::System { doing, source };
        let (events_in, events) = bounded(QUEUE);
        let shared = Arc::new(Shared {
            udp,
            books: Mutex::new(Tally::default()),
            pending: Mutex::new(HashMap::new()),
            ended: Mutex::new(VecDeque::new()),
            connections: Mutex::new(HashMap::new()),
            registered: Mutex::new(HashMap::new()),
            buffered: AtomicUsize::new(0),
            events: events_in,
            events_wake: sys::Wake::new().map_err(system("make an event descriptor"))?,
            receive_wake: sys::Wake::new().map_err(system("make an event descriptor"))?,
            is_starving: AtomicBool::new(false),
            full_from: AtomicU64::new(0),
        });
        receive::steer_sources(&shared, &snapshot);

        let (commands, commands_out) = unbounded();
        let (arrivals_in, arrivals) = bounded(ARRIVALS);
        let (work, work_out) = bounded(BATCHES + 2);
        let (returned_in, returned) = unbounded();
        let (orders, orders_out) = bounded(ORDERS);
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
        };
        let writing = Writing { shared: Arc::clone(&shared), desk, work: work_out, returned: returned_in };
        let syncer = calls_writer.syncer();
        let (durable, calls_sync) =
            Durable::start("edge-calls-sync", Box::new(move || syncer.sync().map(|_through| ())))?;
        let calling = Calling {
            shared: Arc::clone(&shared),
            writer: calls_writer,
            durable,
            orders: orders_out,
            commands: commands.clone(),
        };
        let mut threads = vec![
            spawn("edge-write", move || writing.serve())?,
            spawn("edge-calls", move || calling.serve())?,
            spawn("edge-receive", move || receiving.serve())?,
            calls_sync,
        ];
        if !tcp.is_empty() {
            let known = Arc::clone(&current);
            let streams = Streams {
                shared: Arc::clone(&shared),
                arrivals: arrivals_in,
                limits: config.stream,
                is_known: Arc::new(move |source: SocketAddr| known.lock().gateway(source).is_some()),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(system("start the stream runtime"))?;
            threads.push(spawn("edge-stream", move || {
                runtime.block_on(async {
                    // Registering with the runtime fails only where it has no room for the descriptor.
                    let listeners = tcp.into_iter().filter_map(|tcp| tokio::net::TcpListener::from_std(tcp).ok());
                    stream::serve(streams, listeners.collect(), stopped).await;
                });
            })?);
        }
        let edge = Self {
            shared,
            events,
            commands,
            orders: Some(orders),
            stop_streams,
            snapshot: current,
            threads,
            stop_sync: Some(stop_sync),
            sync: Some(sync),
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

    /// Put a configuration in force; returns its version once every packet from now on is judged by it.
    pub fn configure(&self, snapshot: Snapshot) -> Result<u64, EdgeError> {
        let snapshot = Arc::new(snapshot);
        *self.snapshot.lock() = Arc::clone(&snapshot);
        let (done, wait) = bounded(1);
        self.command(Command::Configure { snapshot, done })?;
        wait.recv_timeout(COMMAND_TIMEOUT).map_err(|_| EdgeError::Stopped)
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

    /// Answer an admitted request. The frame, if any, is written first; `is_durable` waits for the disk too.
    pub fn answer(
        &self,
        request_id: u64,
        status: u16,
        headers: Vec<HeaderLine>,
        frame: Option<(Kind, Vec<u8>)>,
        is_durable: bool,
    ) -> Result<(), EdgeError> {
        self.order(Order { request_id: Some(request_id), status, headers, frame, binding: None, is_durable })
    }

    /// Accept a REGISTER: frame, flow table, answer, in this order.
    pub fn register(&self, request_id: u64, binding: Binding, headers: Vec<HeaderLine>) -> Result<(), EdgeError> {
        let binding = Some(binding);
        self.order(Order {
            request_id: Some(request_id),
            status: 200,
            headers,
            frame: None,
            binding,
            is_durable: false,
        })
    }

    /// Write a frame that answers nobody.
    pub fn append(&self, kind: Kind, payload: Vec<u8>) -> Result<(), EdgeError> {
        let frame = Some((kind, payload));
        self.order(Order { request_id: None, status: 0, headers: Vec::new(), frame, binding: None, is_durable: false })
    }

    fn order(&self, order: Order) -> Result<(), EdgeError> {
        for (name, value) in &order.headers {
            if sip::answer::ExtraHeader::new(name, value).is_err() {
                return Err(EdgeError::Header(format!("{name}: {}", String::from_utf8_lossy(value))));
            }
        }
        if let Some(id) = order.request_id
            && self.shared.pending.lock().get(&id).is_none_or(|pending| pending.answer.is_some())
        {
            return Err(EdgeError::NoSuchRequest(id));
        }
        let orders = self.orders.as_ref().ok_or(EdgeError::Stopped)?;
        orders.try_send(order).map_err(|_| EdgeError::Stopped)
    }

    /// Stop reading, write what was judged, answer what was ordered, and end the threads.
    pub fn stop(&mut self) {
        let _ = self.stop_streams.send(true);
        let _ = self.command(Command::Stop);
        self.orders = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.stop_sync = None;
        if let Some(sync) = self.sync.take() {
            let _ = sync.join();
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

/// fdatasync(2) of the edge stream every so often, off the packet path.
fn keep_durable(syncer: &Syncer, shared: &Shared, snapshot: &Mutex<Arc<Snapshot>>, stop: &Receiver<()>) {
    let mut has_failed = false;
    loop {
        let every = Duration::from_millis(snapshot.lock().parameters.rf_journal_sync_ms.max(1));
        if stop.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
            return;
        }
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

fn listen_error(scheme: &str, address: SocketAddr, source: std::io::Error) -> EdgeError {
    let hint = match source.kind() {
        std::io::ErrorKind::AddrInUse => "Another program has this port: stop it, or choose another with --sip",
        std::io::ErrorKind::AddrNotAvailable => "This machine has no such address: choose one of its own with --sip",
        std::io::ErrorKind::PermissionDenied => "Ports below 1024 need privileges (CAP_NET_BIND_SERVICE)",
        _ => "Check the address given with --sip",
    };
    EdgeError::Listen { address: format!("{scheme}:{address}"), hint, source }
}

/// Two sockets on one address: strangers' first, so that it has number 0 in the group.
fn bind_udp(address: SocketAddr, receive_buffer_bytes: usize) -> Result<UdpListener, EdgeError> {
    let failed = |source| listen_error("udp", address, source);
    // A group may be joined by any process of the same user; only an exclusive bind tells that the port is free.
    let probe = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    probe.bind(&SockAddr::from(address)).map_err(failed)?;
    drop(probe);
    let strangers = sys::udp_socket(address, receive_buffer_bytes).map_err(failed)?;
    let bound = strangers.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    if address.is_ipv4() {
        // Answers that might need fragments leave by the other socket of the pair.
        sys::forbid_fragments(&strangers).map_err(failed)?;
    }
    let known = sys::udp_socket(bound, receive_buffer_bytes).map_err(failed)?;
    Ok(UdpListener { strangers, known, address: bound })
}

fn bind_tcp(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), EdgeError> {
    let failed = |source| listen_error("tcp", address, source);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(failed)?;
    }
    socket.set_reuse_address(true).map_err(failed)?;
    socket.bind(&SockAddr::from(address)).map_err(failed)?;
    socket.listen(1024).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let listener = std::net::TcpListener::from(socket);
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
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
