// SPDX-License-Identifier: Apache-2.0
//! TCP: accepts, frames, and hands whole messages to the receive thread; one small runtime on a thread of its own.
//!
//! Strangers may open connections and say nothing, or a byte a minute, by the thousand. Each connection has a limit for its
//! first byte, for each message and for silence; each source has a number of connections; all together have a budget of
//! buffered bytes; and some connections are kept for known sources.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use guard::{Counter, Peer, SourceKey, Tally};
use journal::Transport;
use parking_lot::Mutex;
use sip::framer::{Frame, Framer, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::StreamLimits;
use crate::connections::{Connect, Connection, OUTGOING};
use crate::shared::Shared;

/// Bytes read at a time.
const CHUNK: usize = 4096;
/// A far end that does not take our connection for this long is out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which the kernel asks whether a far end that may be silent is still there.
const PROBE_AFTER: Duration = Duration::from_mins(1);
/// A far end that takes no answer for this long is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the answer to a broken message to leave before the connection is closed.
const LAST_ANSWER: Duration = Duration::from_millis(200);
/// Time for all connections to say what they have left when the edge stops.
const CLOSING: Duration = Duration::from_millis(500);
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
    /// Connections that the engine wants.
    pub(crate) connects: mpsc::UnboundedReceiver<Connect>,
}

struct Server {
    shared: Arc<Shared>,
    arrivals: Sender<Arrival>,
    limits: StreamLimits,
    is_known: IsKnown,
    /// Connections per source that is not known.
    per_source: Mutex<HashMap<SourceKey, usize>>,
}

/// Serve until `stop` changes. Listeners are bound already.
pub(crate) async fn serve(streams: Streams, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
    let Streams { shared, arrivals, limits, is_known, connects } = streams;
    let server = Arc::new(Server { shared, arrivals, limits, is_known, per_source: Mutex::default() });
    let opening = tokio::spawn(open_all(Arc::clone(&server), connects, stop.clone()));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(Arc::clone(&server), listener, stop.clone())))
        .chain([opening])
        .collect();
    for task in accepting {
        // A panic in one listener is ours, and ends only that one.
        let _ = task.await;
    }
    // Connections that still have something to say.
    let closing = async {
        while server.shared.connections.lock().len() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(CLOSING, closing).await;
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
                    tokio::spawn(serve_accepted(Arc::clone(&server), stream, source, place, stop));
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
        let limits = &server.limits;
        let is_known = (server.is_known)(source);
        let key = SourceKey::of(source.ip());
        let mut tally = Tally::default();
        let open = server.shared.connections.lock().len();
        let room = if is_known { limits.max_connections } else { limits.max_connections - limits.reserved_connections };
        let mut per_source = server.per_source.lock();
        let mine = per_source.get(&key).copied().unwrap_or(0);
        if open >= room || (!is_known && mine >= limits.max_per_source) {
            tally.add(Counter::ConnectionsRefused, 1);
            server.shared.commit(&tally);
            return None;
        }
        if !is_known {
            per_source.insert(key, mine + 1);
        }
        tally.add(Counter::Connections, 1);
        server.shared.commit(&tally);
        let id = server.shared.next_connection.fetch_add(1, Ordering::Relaxed);
        Some(Self { server: Arc::clone(server), id, source: key, is_known, buffered: 0 })
    }

    /// Account for `bytes` of unfinished message; false if all connections together hold too much.
    fn buffer(&mut self, bytes: usize) -> bool {
        let total = &self.server.shared.buffered;
        let before = total.fetch_add(bytes, Ordering::Relaxed);
        total.fetch_sub(self.buffered, Ordering::Relaxed);
        let others = before.saturating_sub(self.buffered);
        self.buffered = bytes;
        // What fits into one chunk is always let in, so that ordinary messages pass beside hoarders.
        self.is_known || bytes <= CHUNK || others + bytes <= self.server.limits.buffered_bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.shared.buffered.fetch_sub(self.buffered, Ordering::Relaxed);
        if self.server.shared.connections.lock().remove(self.id) {
            // The engine ends with the edge, and so does its interest.
            let _ = self.server.shared.closed.send(self.id);
        }
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

/// Open what the engine asks for.
async fn open_all(
    server: Arc<Server>,
    mut connects: mpsc::UnboundedReceiver<Connect>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let connect = tokio::select! {
            connect = connects.recv() => connect,
            _ = stop.changed() => return,
        };
        let Some(connect) = connect else { return };
        tokio::spawn(serve_opened(Arc::clone(&server), connect, stop.clone()));
    }
}

/// Open a connection and serve it; without success its end is told like that of any other.
async fn serve_opened(server: Arc<Server>, connect: Connect, stop: watch::Receiver<bool>) {
    let Connect { id, remote, local, outgoing, queue } = connect;
    let source = SourceKey::of(remote.ip());
    let place = Place { server: Arc::clone(&server), id, source, is_known: true, buffered: 0 };
    let opening = async {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if local.is_ipv4() == remote.is_ipv4() && !local.ip().is_unspecified() {
            // The far end may know us by our address.
            socket.bind(SocketAddr::new(local.ip(), 0))?;
        }
        socket.connect(remote).await
    };
    let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, opening).await else { return };
    let peer = Peer { source: remote, local, transport: Transport::Tcp, channel: id };
    let line = Line { stream, peer, outgoing, queue, has_spoken: true };
    serve_connection(server, line, place, stop).await;
}

async fn serve_accepted(
    server: Arc<Server>,
    stream: TcpStream,
    source: SocketAddr,
    place: Place,
    stop: watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let (outgoing, queue) = mpsc::channel(OUTGOING);
    server.shared.connections.lock().insert(place.id, Connection::new(source, local, outgoing.clone()));
    let peer = Peer { source, local, transport: Transport::Tcp, channel: place.id };
    let line = Line { stream, peer, outgoing, queue, has_spoken: false };
    serve_connection(server, line, place, stop).await;
}

/// A connection that is up.
struct Line {
    stream: TcpStream,
    peer: Peer,
    outgoing: mpsc::Sender<Arc<[u8]>>,
    queue: mpsc::Receiver<Arc<[u8]>>,
    /// Nothing has to come first.
    has_spoken: bool,
}

async fn serve_connection(server: Arc<Server>, line: Line, mut place: Place, mut stop: watch::Receiver<bool>) {
    let Line { stream, peer, outgoing, queue, has_spoken } = line;
    let _ = stream.set_nodelay(true);
    let probes = socket2::TcpKeepalive::new().with_time(PROBE_AFTER);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&probes);
    let (reader, writer) = stream.into_split();
    let mut writing = tokio::spawn(write(writer, queue));
    let has_written = tokio::select! {
        () = read(&server, reader, peer, &mut place, &outgoing, has_spoken) => false,
        _ = &mut writing => true,
        _ = stop.changed() => false,
    };
    if !has_written {
        // The answer to the last message is still on its way through the journal.
        tokio::time::sleep(LAST_ANSWER).await;
        server.shared.connections.lock().end(place.id);
        drop(outgoing);
        if timeout(WRITE_TIMEOUT, &mut writing).await.is_err() {
            writing.abort();
        }
    }
    // A far end that does not read keeps its place until it is cut off.
    drop(place);
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Arc<[u8]>>) {
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
    outgoing: &mpsc::Sender<Arc<[u8]>>,
    mut has_spoken: bool,
) {
    let limits = server.limits;
    let (first_byte, message, idle) = (
        Duration::from_secs(limits.first_byte_s),
        Duration::from_secs(limits.message_s),
        Duration::from_secs(limits.idle_s),
    );
    let mut framer = Framer::new(Limits::default());
    let mut chunk = vec![0; CHUNK];
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
            Err(_) if has_spoken && started.is_none() && may_be_silent(server, place, &peer) => continue,
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
                        let _ = outgoing.try_send(b"\r\n"[..].into());
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

/// Connections with known sources and those that we opened stay, as do those of calls that live; and the connection is the way to a phone for
/// as long as it is registered (RFC 5626).
fn may_be_silent(server: &Server, place: &Place, peer: &Peer) -> bool {
    place.is_known || server.shared.is_registered(peer) || server.shared.connections.lock().is_engaged(place.id)
}

/// Hand over to the receive thread; while it has no room this connection is not read either.
async fn arrive(server: &Server, peer: Peer, bytes: Vec<u8>) {
    let mut arrival = Arrival { peer, bytes };
    loop {
        match server.arrivals.try_send(arrival) {
            Ok(()) => return server.shared.receive_wake.wake(),
            Err(TrySendError::Disconnected(_)) => return,
            Err(TrySendError::Full(back)) => {
                arrival = back;
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}
