// SPDX-License-Identifier: Apache-2.0
//! What the edge's threads share. Each lock is held for a copy, never across a system call.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use guard::{Answer, FlowKey, Passed, Peer, Tally};
use ipnet::IpNet;
use journal::Transport;
use parking_lot::Mutex;
use socket2::Socket;
use tokio::sync::mpsc;

use crate::connections::{Connect, Connection, Connections, FarEnd, OUTGOING};
use crate::hep::HepCounters;
use crate::line;
use crate::sys::{self, BATCH, Outgoing, Wake};
use crate::trace::Trace;

/// What happened, for the call layer. Transactions are known by numbers that are never used again in a run.
#[derive(Debug)]
pub enum Event {
    /// A request waits for its answer.
    Request {
        /// A server transaction.
        transaction: u64,
        /// What came, and from whom.
        passed: Arc<Passed>,
    },
    /// A response to one of our requests.
    Response {
        /// A client transaction.
        transaction: u64,
        /// The whole message.
        bytes: Arc<[u8]>,
        /// Where it came from.
        came: Peer,
        /// The request went over a flow.
        is_flow: bool,
    },
    /// The ACK for a 2xx of ours.
    Ack {
        /// The INVITE's.
        transaction: u64,
        /// The whole message.
        bytes: Arc<[u8]>,
    },
    /// The caller gives its INVITE up; the CANCEL is answered.
    Cancel {
        /// The INVITE's.
        transaction: u64,
        /// The whole message.
        bytes: Arc<[u8]>,
    },
    /// A transaction is over without what it was owed.
    Ended {
        /// Which.
        transaction: u64,
        /// Why.
        why: Ended,
    },
    /// Something an operator must know, once per change: a sentence.
    Trouble(String),
}

/// Why a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// An INVITE of ours that had a 2xx: no other fork can answer any more.
    Over,
    /// Nobody answered.
    NoResponse,
    /// Nobody acknowledged our 2xx.
    NoAck,
    /// The request could not be sent, or its connection is gone.
    Transport,
    /// A CANCEL was sent and the INVITE was not answered.
    CancelUnanswered,
    /// The frame that goes with it could not be written: it was not sent, or answered 503.
    NotRecorded,
    /// As many transactions as there may be.
    NoRoom,
}

impl Ended {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::NoResponse => "no_response",
            Self::NoAck => "no_ack",
            Self::Transport => "transport",
            Self::CancelUnanswered => "cancel_unanswered",
            Self::NotRecorded => "not_recorded",
            Self::NoRoom => "no_room",
        }
    }
}

/// A UDP address with its three sockets.
pub(crate) struct UdpListener {
    pub(crate) strangers: Socket,
    /// Of gateways, and of those that calls go to.
    pub(crate) known: Socket,
    /// Of addresses where phones are registered: strangers may share them, so they have no part in gateways' queue.
    pub(crate) phones: Socket,
    pub(crate) address: SocketAddr,
}

impl UdpListener {
    /// All of them, in the order in which they are read.
    pub(crate) fn sockets(&self) -> [&Socket; 3] {
        [&self.known, &self.phones, &self.strangers]
    }

    /// Whether packets must be asked for their destination, and answers given their source.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

pub(crate) struct Shared {
    pub(crate) udp: Vec<UdpListener>,
    pub(crate) books: Mutex<Tally>,
    pub(crate) connections: Mutex<Connections>,
    /// Most connections that there may be.
    pub(crate) max_connections: usize,
    pub(crate) next_connection: AtomicU64,
    /// Connections to be opened; None without a thread that serves streams.
    pub(crate) connects: Option<mpsc::UnboundedSender<Connect>>,
    /// Connections that transactions used and that are gone, for the engine.
    pub(crate) closed: line::Sender<u64>,
    /// The number of the next transaction.
    pub(crate) next_transaction: AtomicU64,
    /// Flows of registered phones over streams, and when each ends, UTC microseconds: their connections may be idle.
    pub(crate) registered: Mutex<HashMap<FlowKey, u64>>,
    /// Bytes of unfinished messages that connections hold.
    pub(crate) buffered: AtomicUsize,
    pub(crate) events: crossbeam_channel::Sender<Event>,
    /// Readable while events wait.
    pub(crate) events_wake: Wake,
    /// Ends the receive thread's wait.
    pub(crate) receive_wake: Wake,
    /// The receive thread waits for a batch to come back.
    pub(crate) is_starving: AtomicBool,
    /// First sequence that a full disk refused; 0 while all is well.
    pub(crate) full_from: AtomicU64,
    /// Until then calls are being set up or ended: what is done for strangers gives way.
    pub(crate) calls_until_ms: AtomicU64,
    pub(crate) trace: Arc<Trace>,
    pub(crate) hep: Arc<HepCounters>,
    /// Where calls go to: answers from there are steered as what gateways send.
    pub(crate) answering: Mutex<Vec<IpNet>>,
    /// Addresses where phones are registered over UDP.
    pub(crate) phones: Mutex<Vec<IpAddr>>,
}

impl Shared {
    /// Let the threads of calls have the core, if there may be something for them to do; to be called between two batches of strangers.
    ///
    /// A call passes from thread to thread a dozen times while it is set up, and each of them has used its share of the core by then: the
    /// scheduler would have it wait until whoever works for strangers has had a whole slice.
    pub(crate) fn give_way(&self, now_ms: u64) {
        if now_ms < self.calls_until_ms.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }

    /// Whether a phone is registered over this connection.
    pub(crate) fn is_registered(&self, peer: &Peer) -> bool {
        let key = FlowKey { source: peer.source, transport: peer.transport };
        self.registered.lock().get(&key).is_some_and(|until_us| *until_us > sys::now().utc_us)
    }

    /// The connection to that far end; a new one if there is none and `is_flow` does not forbid it. None: there can be none.
    pub(crate) fn connection_to(&self, far: FarEnd, local: SocketAddr, is_flow: bool) -> Option<u64> {
        let mut connections = self.connections.lock();
        if let Some(id) = connections.to(&far) {
            return Some(id);
        }
        let may_open = !is_flow && far.may_be_opened() && connections.len() < self.max_connections;
        let connects = self.connects.as_ref().filter(|_| may_open)?;
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        connections.insert(id, Connection::new(far.clone(), local, outgoing.clone()));
        drop(connections);
        connects.send(Connect { id, far, local, outgoing, queue }).ok()?;
        Some(id)
    }

    pub(crate) fn commit(&self, tally: &Tally) {
        self.books.lock().merge(tally);
    }

    pub(crate) fn tell(&self, event: Event) {
        // Only a stopped edge has no reader.
        let _ = self.events.send(event);
        self.events_wake.wake();
    }
}

/// Sends answers over whichever way their request came. One per thread that sends.
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    send: sys::Send,
}

impl Outlet {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, send: sys::Send::new() }
    }

    /// Send all answers of a batch; returns how many could not be handed to the kernel or their connection.
    pub(crate) fn send(&mut self, answers: &[Answer], bytes: &[u8]) -> u64 {
        let mut failed = 0;
        let part = |answer: &Answer| bytes.get(answer.span.clone()).unwrap_or_default();
        for run in answers.chunk_by(is_same_way) {
            let Some(first) = run.first() else { continue };
            if first.peer.transport != Transport::Udp {
                failed += run.iter().filter(|answer| !self.send_on_stream(&answer.peer, part(answer))).count() as u64;
                continue;
            }
            let Some(listener) = self.shared.udp.get(first.peer.channel as usize) else {
                continue;
            };
            let is_wildcard = listener.is_wildcard();
            let socket = if is_long(first) { &listener.known } else { &listener.strangers };
            for chunk in run.chunks(BATCH) {
                let datagrams = chunk.iter().map(|answer| Outgoing {
                    bytes: part(answer),
                    to: answer.peer.source,
                    from: is_wildcard.then(|| answer.peer.local.ip()),
                });
                failed += self.send.send(socket, datagrams);
            }
        }
        failed
    }

    fn send_on_stream(&self, peer: &Peer, bytes: &[u8]) -> bool {
        let outgoing = self.shared.connections.lock().outgoing(peer.channel);
        // A full queue is a far end that does not read; its connection will end by its own limits.
        outgoing.is_some_and(|outgoing| outgoing.try_send(bytes.into()).is_ok())
    }
}

/// What fits every path without fragments (IPv6's least MTU of 1,280 bytes, less the headers); strangers' socket sends no more.
const UNFRAGMENTED: usize = 1200;

fn is_long(answer: &Answer) -> bool {
    answer.span.len() > UNFRAGMENTED
}

fn is_same_way(a: &Answer, b: &Answer) -> bool {
    let is_udp = a.peer.transport == Transport::Udp && b.peer.transport == Transport::Udp;
    is_udp && a.peer.channel == b.peer.channel && is_long(a) == is_long(b)
}

#[cfg(test)]
impl Shared {
    /// With one UDP address on loopback, of whose events nobody reads.
    pub(crate) fn on_loopback(receive_buffer_bytes: usize) -> Self {
        let (events, _) = crossbeam_channel::unbounded();
        Self {
            udp: vec![crate::listen::bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), receive_buffer_bytes).unwrap()],
            books: Mutex::new(Tally::default()),
            connections: Mutex::default(),
            max_connections: 10,
            next_connection: AtomicU64::new(1),
            connects: None,
            closed: line::line(None, &Arc::default()).0,
            next_transaction: AtomicU64::new(1),
            registered: Mutex::new(HashMap::new()),
            buffered: AtomicUsize::new(0),
            events,
            events_wake: Wake::new().unwrap(),
            receive_wake: Wake::new().unwrap(),
            is_starving: AtomicBool::new(false),
            full_from: AtomicU64::new(0),
            calls_until_ms: AtomicU64::new(0),
            trace: Arc::new(Trace::new(0)),
            answering: Mutex::default(),
            phones: Mutex::default(),
            hep: Arc::default(),
        }
    }
}
