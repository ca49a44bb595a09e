// SPDX-License-Identifier: Apache-2.0
//! TCP and TLS: accepts, frames, and hands whole messages to the receive thread; one small runtime on a thread of its own.
//!
//! Strangers may open connections and say nothing, or a byte a minute, by the thousand. Each connection has a limit for its
//! first byte, for each message and for silence; each source has a number of connections; all together have a budget of
//! buffered bytes; and some connections are kept for known sources. TLS has a limit for its handshakes as well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use guard::Peer;
use journal::Transport;
use sip::framer::{Frame, Framer, Limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::StreamLimits;
use crate::connections::{Connect, Connection, FarEnd, OUTGOING};
use crate::listen::StreamListener;
use crate::place::{CHUNK, Place, Places};
use crate::shared::Shared;
use crate::tls::Tls;

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

pub(crate) struct Streams {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arrivals: Sender<Arrival>,
    pub(crate) limits: StreamLimits,
    pub(crate) places: Arc<Places>,
    /// None = no address takes TLS in.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Connections that the engine wants.
    pub(crate) connects: mpsc::UnboundedReceiver<Connect>,
}

struct Server {
    shared: Arc<Shared>,
    arrivals: Sender<Arrival>,
    limits: StreamLimits,
    places: Arc<Places>,
    tls: Option<Arc<Tls>>,
}

/// Serve until `stop` changes. Listeners are bound already.
pub(crate) async fn serve(streams: Streams, listeners: Vec<StreamListener>, stop: watch::Receiver<bool>) {
    let Streams { shared, arrivals, limits, places, tls, connects } = streams;
    let server = Arc::new(Server { shared, arrivals, limits, places, tls });
    let opening = tokio::spawn(open_all(Arc::clone(&server), connects, stop.clone()));
    let accepting: Vec<_> = listeners
        .into_iter()
        // Registering with the runtime fails only where it has no room for the descriptor.
        .filter_map(|listener| Some((TcpListener::from_std(listener.socket).ok()?, listener.transport)))
        .map(|(listener, transport)| tokio::spawn(accept(Arc::clone(&server), listener, transport, stop.clone())))
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

async fn accept(server: Arc<Server>, listener: TcpListener, transport: Transport, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, source)) => {
                let (local, place) = (stream.local_addr(), server.places.take(source));
                if let (Ok(local), Some(place)) = (local, place) {
                    let peer = Peer { source, local, transport, channel: place.id };
                    let (outgoing, queue) = mpsc::channel(OUTGOING);
                    let far = FarEnd { transport, address: source, domain: String::new() };
                    // Here and not in its task: whoever is accepted next finds it among those that there are.
                    server.shared.connections.lock().insert(place.id, Connection::new(far, local, outgoing.clone()));
                    let line = Line { peer, outgoing, queue, has_spoken: false };
                    tokio::spawn(serve_accepted(Arc::clone(&server), stream, line, place, stop.clone()));
                }
            }
            // Out of descriptors: what waits in the backlog is served when some are free again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
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
    let Connect { id, far, local, outgoing, queue } = connect;
    let remote = far.address;
    let place = server.places.of_ours(id, remote);
    let opening = async {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if local.is_ipv4() == remote.is_ipv4() && !local.ip().is_unspecified() {
            // The far end may know us by our address.
            socket.bind(SocketAddr::new(local.ip(), 0))?;
        }
        socket.connect(remote).await
    };
    let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, opening).await else { return };
    set_options(&stream);
    let peer = Peer { source: remote, local, transport: far.transport, channel: id };
    let line = Line { peer, outgoing, queue, has_spoken: true };
    if far.transport != Transport::Tls {
        let (reader, writer) = stream.into_split();
        return serve_connection(server, reader, writer, line, place, stop).await;
    }
    let Some(tls) = server.tls.clone() else { return };
    if let Some(stream) = tls.connect(&server.shared, stream, &far).await {
        let (reader, writer) = tokio::io::split(stream);
        serve_connection(server, reader, writer, line, place, stop).await;
    }
}

async fn serve_accepted(
    server: Arc<Server>,
    stream: TcpStream,
    line: Line,
    place: Place,
    mut stop: watch::Receiver<bool>,
) {
    set_options(&stream);
    let peer = line.peer;
    if peer.transport != Transport::Tls {
        let (reader, writer) = stream.into_split();
        return serve_connection(server, reader, writer, line, place, stop).await;
    }
    let (Some(tls), Some(handshake)) = (server.tls.clone(), place.handshake()) else { return };
    let stream = tokio::select! {
        stream = tls.accept(&server.shared, stream) => stream,
        _ = stop.changed() => return,
    };
    handshake.end();
    match stream {
        Some(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            serve_connection(server, reader, writer, line, place, stop).await;
        }
        // A connection that ended without a message.
        None => arrive(&server, peer, Vec::new()).await,
    }
}

fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let probes = socket2::TcpKeepalive::new().with_time(PROBE_AFTER);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&probes);
}

/// A connection that is up.
struct Line {
    peer: Peer,
    outgoing: mpsc::Sender<Arc<[u8]>>,
    queue: mpsc::Receiver<Arc<[u8]>>,
    /// Nothing has to come first.
    has_spoken: bool,
}

async fn serve_connection(
    server: Arc<Server>,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin + Send + 'static,
    line: Line,
    mut place: Place,
    mut stop: watch::Receiver<bool>,
) {
    let Line { peer, outgoing, queue, has_spoken } = line;
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

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Arc<[u8]>>) {
    while let Some(bytes) = queue.recv().await {
        let writing = async {
            writer.write_all(&bytes).await?;
            // TLS may still hold the last record.
            writer.flush().await
        };
        match timeout(WRITE_TIMEOUT, writing).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
    // TLS says that this is the end (RFC 8446 §6.1).
    let _ = timeout(LAST_ANSWER, writer.shutdown()).await;
}

async fn read(
    server: &Server,
    mut reader: impl AsyncRead + Unpin,
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

#[cfg(test)]
mod tests {
    use guard::Counter;

    use super::*;

    #[test]
    fn of_all_that_wait_to_be_accepted_no_more_are_than_there_is_room_for() {
        let shared = Arc::new(Shared::on_loopback(1 << 16));
        let limits = StreamLimits {
            max_connections: 10,
            reserved_connections: 4,
            max_per_source: 100,
            first_byte_s: 10,
            message_s: 10,
            idle_s: 10,
            buffered_bytes: 1_000_000,
        };
        let places = Arc::new(Places::new(Arc::clone(&shared), limits, 0, Arc::new(|_| false)));
        let (arrivals, _arrived) = crossbeam_channel::bounded(1);
        let server = Arc::new(Server { shared: Arc::clone(&shared), arrivals, limits, places, tls: None });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let strangers: Vec<_> = (0..30).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let counted = || {
            let books = shared.books.lock();
            (books.get(Counter::Connections), books.get(Counter::ConnectionsRefused))
        };
        let (_stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::spawn(accept(server, listener, Transport::Tcp, stopped));
            while counted().0 + counted().1 < strangers.len() as u64 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(counted(), (6, 24));
    }
}
