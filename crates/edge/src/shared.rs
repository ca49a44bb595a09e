// SPDX-License-Identifier: Apache-2.0
//! What the edge's threads share. Each lock is held for a copy, never across a system call.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use guard::{Admitted, Answer, FlowKey, Peer, Tally};
use journal::Transport;
use parking_lot::Mutex;
use socket2::Socket;
use tokio::sync::mpsc;

use crate::sys::{self, BATCH, Outgoing, Wake};

/// What happened, for the call layer.
#[derive(Debug)]
pub enum Event {
    /// A request was let through and waits for an answer.
    Request(Arc<Admitted>),
    /// Something an operator must know, once per change: a sentence.
    Trouble(String),
}

/// A UDP address with its two sockets.
pub(crate) struct UdpListener {
    pub(crate) strangers: Socket,
    pub(crate) known: Socket,
    pub(crate) address: SocketAddr,
}

impl UdpListener {
    /// Whether packets must be asked for their destination, and answers given their source.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

/// An admitted request until some time after its answer.
pub(crate) struct Pending {
    pub(crate) admitted: Arc<Admitted>,
    pub(crate) answer: Option<Vec<u8>>,
    /// Forgotten after this.
    pub(crate) until_ms: u64,
}

/// A connection's way out.
pub(crate) struct Connection {
    /// None once the far end has had its last answer; the connection counts until it is closed.
    pub(crate) outgoing: Option<mpsc::Sender<Vec<u8>>>,
}

pub(crate) struct Shared {
    pub(crate) udp: Vec<UdpListener>,
    pub(crate) books: Mutex<Tally>,
    pub(crate) pending: Mutex<HashMap<u64, Pending>>,
    /// Answered requests in the order of the time when their answer is forgotten.
    pub(crate) ended: Mutex<VecDeque<(u64, u64)>>,
    pub(crate) connections: Mutex<HashMap<u64, Connection>>,
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
}

impl Shared {
    /// Whether a phone is registered over this connection.
    pub(crate) fn is_registered(&self, peer: &Peer) -> bool {
        let key = FlowKey { source: peer.source, transport: peer.transport };
        self.registered.lock().get(&key).is_some_and(|until_us| *until_us > sys::now().utc_us)
    }

    pub(crate) fn commit(&self, tally: &Tally) {
        self.books.lock().merge(tally);
    }

    pub(crate) fn tell(&self, event: Event) {
        // The queue is longer than what may be in flight; a full one means that nobody listens any more.
        let _ = self.events.try_send(event);
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

    /// Send one answer.
    pub(crate) fn send_one(&mut self, peer: Peer, bytes: &[u8]) -> u64 {
        self.send(&[Answer { span: 0..bytes.len(), peer }], bytes)
    }

    fn send_on_stream(&self, peer: &Peer, bytes: &[u8]) -> bool {
        let connections = self.shared.connections.lock();
        // A full queue is a far end that does not read; its connection will end by its own limits.
        let outgoing = connections.get(&peer.channel).and_then(|connection| connection.outgoing.as_ref());
        outgoing.is_some_and(|outgoing| outgoing.try_send(bytes.to_vec()).is_ok())
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
        let (events, _) = crossbeam_channel::bounded(8);
        Self {
            udp: vec![crate::bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), receive_buffer_bytes).unwrap()],
            books: Mutex::new(Tally::default()),
            pending: Mutex::new(HashMap::new()),
            ended: Mutex::new(VecDeque::new()),
            connections: Mutex::new(HashMap::new()),
            registered: Mutex::new(HashMap::new()),
            buffered: AtomicUsize::new(0),
            events,
            events_wake: Wake::new().unwrap(),
            receive_wake: Wake::new().unwrap(),
            is_starving: AtomicBool::new(false),
            full_from: AtomicU64::new(0),
        }
    }
}
