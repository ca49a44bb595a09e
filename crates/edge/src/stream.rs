// SPDX-License-Identifier: Apache-2.0
//! TCP: accepts, frames, and hands whole messages to the receive thread; one small runtime on a thread of its own.
//!
//! Strangers may open connections and say nothing, or a byte a minute, by the thousand. Each connection has a limit for its
//! first byte, for each message and for silence; each source has a number of connections; all together have a budget of
//! buffered bytes; and some connections are kept for known sources.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use guard::{Counter, Peer, SourceKey, Tally};
use journal::Transport;
use parking_lot::Mutex;
use sip::framer::{Frame, Framer, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::StreamLimits;
use crate::shared::{Connection, Shared};

/// Answers that may wait for one connection.
const OUTGOING: usize = 64;
/// Bytes read at a time.
const CHUNK: usize = 4096;
/// A far end that takes no answer for this long is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the answer to a broken message to leave before the connection is closed.
const LAST_ANSWER: Duration = Duration::from_millis(200);
/// Pause while the receive thread has no room.
const BACK_OFF: Duration = Duration::from_millis(2);

/// A message from a stream, or the empty bytes of a connection that ended without one.
pub(crate) struct Arrival {
    pub(crate) peer: Peer,
    pub(crate) bytes: Vec<u8>,
}

/// Whether a source is known: asked at accept, answered from the snapshot in force.
pub(crate) type IsKnown = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

pub(crate) struct Streams {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arrivals: Sender<Arrival>,
    pub(crate) limits: StreamLimits,
    pub(crate) is_known: IsKnown,
}

struct Server {
    given: Streams,
    next_id: AtomicU64,
    /// Connections per source that is not known.
    per_source: Mutex<HashMap<SourceKey, usize>>,
}

/// Serve until `stop` changes. Listeners are bound already.
pub(crate) async fn serve(streams: Streams, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
    let server = Arc::new(Server { given: streams, next_id: AtomicU64::new(1), per_source: Mutex::default() });
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(Arc::clone(&server), listener, stop.clone())))
        .collect();
    for task in accepting {
        // A panic in one listener is ours, and ends only that one.
        let _ = task.await;
    }
}

async fn accept(server: Arc<Server>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, source)) => {
                if let Some(place) = Place::take(&server, source) {
                    let stop = stop.clone();
                    tokio::spawn(serve_connection(Arc::clone(&server), stream, source, place, stop));
                }
            }
            // Out of descriptors: what waits in the backlog is served when some are free again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A connection's place under the limits; given back when dropped.
struct Place {
    server: Arc<Server>,
    id: u64,
    source: SourceKey,
    is_known: bool,
    buffered: usize,
}

impl Place {
    fn take(server: &Arc<Server>, source: SocketAddr) -> Option<Self> {
        let limits = &server.given.limits;
        let is_known = (server.given.is_known)(source);
        let key = SourceKey::of(source.ip());
        let mut tally = Tally::default();
        let open = server.given.shared.connections.lock().len();
        let room = if is_known { limits.max_connections } else { limits.max_connections - limits.reserved_connections };
        let mut per_source = server.per_source.lock();
        let mine = per_source.get(&key).copied().unwrap_or(0);
        if open >= room || (!is_known && mine >= limits.max_per_source) {
            tally.add(Counter::ConnectionsRefused, 1);
            server.given.shared.commit(&tally);
            return None;
        }
        if !is_known {
            per_source.insert(key, mine + 1);
        }
        tally.add(Counter::Connections, 1);
        server.given.shared.commit(&tally);
        let id = server.next_id.fetch_add(1, Ordering::Relaxed);
        Some(Self { server: Arc::clone(server), id, source: key, is_known, buffered: 0 })
    }

    /// Account for `bytes` of unfinished message; false if all connections together hold too much.
    fn buffer(&mut self, bytes: usize) -> bool {
        let total = &self.server.given.shared.buffered;
        let before = total.fetch_add(bytes, Ordering::Relaxed);
        total.fetch_sub(self.buffered, Ordering::Relaxed);
        let others = before.saturating_sub(self.buffered);
        self.buffered = bytes;
        // What fits into one chunk is always let in, so that ordinary messages pass beside hoarders.
        self.is_known || bytes <= CHUNK || others + bytes <= self.server.given.limits.buffered_bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.given.shared.buffered.fetch_sub(self.buffered, Ordering::Relaxed);
        self.server.given.shared.connections.lock().remove(&self.id);
        if !self.is_known {
            let mut per_source = self.server.per_source.lock();
            if let Some(count) = per_source.get_mut(&self.source) {
                *count -= 1;
                if *count == 0 {
                    per_source.remove(&self.source);
                }
            }
        }
    }
}

async fn serve_connection(
    server: Arc<Server>,
    stream: TcpStream,
    source: SocketAddr,
    mut place: Place,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (outgoing, queue) = mpsc::channel(OUTGOING);
    let connection = Connection { outgoing: Some(outgoing.clone()) };
    server.given.shared.connections.lock().insert(place.id, connection);
    let mut writing = tokio::spawn(write(writer, queue));
    let peer = Peer { source, local, transport: Transport::Tcp, channel: place.id };
    tokio::select! {
        () = read(&server, reader, peer, &mut place, &outgoing) => {}
        _ = stop.changed() => {}
    }
    // The answer to the last message is still on its way through the journal.
    tokio::time::sleep(LAST_ANSWER).await;
    if let Some(connection) = server.given.shared.connections.lock().get_mut(&place.id) {
        connection.outgoing = None;
    }
    drop(outgoing);
    if timeout(WRITE_TIMEOUT, &mut writing).await.is_err() {
        writing.abort();
    }
    // A far end that does not read keeps its place until it is cut off.
    drop(place);
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        match timeout(WRITE_TIMEOUT, writer.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

async fn read(
    server: &Server,
    mut reader: OwnedReadHalf,
    peer: Peer,
    place: &mut Place,
    outgoing: &mpsc::Sender<Vec<u8>>,
) {
    let limits = server.given.limits;
    let (first_byte, message, idle) = (
        Duration::from_secs(limits.first_byte_s),
        Duration::from_secs(limits.message_s),
        Duration::from_secs(limits.idle_s),
    );
    let mut framer = Framer::new(Limits::default());
    let mut chunk = vec![0; CHUNK];
    let mut has_spoken = false;
    let mut started: Option<tokio::time::Instant> = None;
    loop {
        let patience = match started {
            // The whole message has `message_s`, however its bytes drip in.
            Some(at) => message.saturating_sub(at.elapsed()),
            None if has_spoken => idle,
            None => first_byte,
        };
        let count = match timeout(patience, reader.read(&mut chunk)).await {
            Ok(Ok(count)) if count > 0 => count,
            // RFC 5626: the connection is the way to the phone for as long as it is registered.
            Err(_) if has_spoken && started.is_none() && server.given.shared.is_registered(&peer) => continue,
            _ => break,
        };
        let mut rest = chunk.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let taken = framer.push(rest);
            rest = rest.get(taken..).unwrap_or_default();
            loop {
                match framer.pull() {
                    Ok(Some(Frame::Message { bytes, .. })) => {
                        has_spoken = true;
                        started = None;
                        arrive(server, peer, bytes.to_vec()).await;
                    }
                    Ok(Some(Frame::KeepAlivePing)) => {
                        has_spoken = true;
                        // RFC 5626 §4.4.1: one CRLF back. Counted as a message that asks for nothing.
                        arrive(server, peer, b"\r\n\r\n".to_vec()).await;
                        let _ = outgoing.try_send(b"\r\n".to_vec());
                    }
                    Ok(Some(Frame::KeepAlivePong)) => {
                        has_spoken = true;
                        arrive(server, peer, b"\r\n".to_vec()).await;
                    }
                    Ok(None) => break,
                    Err(_) => {
                        // The parser names the fault; where the next message starts is unknown, so the stream is over.
                        return arrive(server, peer, framer.unframed().to_vec()).await;
                    }
                }
            }
        }
        let unfinished = framer.unframed().len();
        if unfinished > 0 && started.is_none() {
            started = Some(tokio::time::Instant::now());
        } else if unfinished == 0 {
            started = None;
        }
        if !place.buffer(unfinished) {
            break;
        }
    }
    let unfinished = framer.unframed().to_vec();
    if !has_spoken || !unfinished.is_empty() {
        arrive(server, peer, unfinished).await;
    }
}

/// Hand over to the receive thread; while it has no room this connection is not read either.
async fn arrive(server: &Server, peer: Peer, bytes: Vec<u8>) {
    let mut arrival = Arrival { peer, bytes };
    loop {
        match server.given.arrivals.try_send(arrival) {
            Ok(()) => return server.given.shared.receive_wake.wake(),
            Err(TrySendError::Disconnected(_)) => return,
            Err(TrySendError::Full(back)) => {
                arrival = back;
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}
