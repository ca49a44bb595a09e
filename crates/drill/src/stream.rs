// SPDX-License-Identifier: Apache-2.0
//! Many TCP connections to one target, most of them ill-behaved: silent, half-finished, one byte at a time, or full of
//! noise. What the target closes is opened again until the run ends.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memchr::memmem;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::in_range;
use crate::flood::{MAX_SOURCES, source_address};
use crate::message::{self, MAX_MESSAGE_BYTES, Template, Wanted, Writer};
use crate::random::Random;
use crate::{DrillError, Target, sys};

/// How the connections behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Whole requests, the next one when the answer to the last has come.
    Requests,
    /// A request, one byte at a time.
    Slow,
    /// The first half of a request, then nothing.
    Half,
    /// Nothing at all.
    Silent,
    /// Random bytes as fast as they are taken.
    Noise,
}

impl FromStr for Behaviour {
    type Err = DrillError;

    fn from_str(text: &str) -> Result<Self, DrillError> {
        Ok(match text {
            "requests" => Self::Requests,
            "slow" => Self::Slow,
            "half" => Self::Half,
            "silent" => Self::Silent,
            "noise" => Self::Noise,
            _ => {
                return Err(DrillError::Usage(format!("{text:?} is none of requests, slow, half, silent, noise")));
            }
        })
    }
}

/// A run of TCP connections.
#[derive(Debug, Clone)]
pub struct Streams {
    /// Where they go.
    pub target: Target,
    /// How many are open at a time.
    pub connections: usize,
    /// How they behave.
    pub behaviour: Behaviour,
    /// Source addresses, used in turn.
    pub sources: u32,
    /// The run ends after this long.
    pub run_for: Duration,
    /// Time between two bytes of a slow sender.
    pub byte_every: Duration,
    /// What makes the run repeatable.
    pub seed: u64,
}

impl Streams {
    /// A hundred connections that send requests for 5 s.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            connections: 100,
            behaviour: Behaviour::Requests,
            sources: 64,
            run_for: Duration::from_secs(5),
            byte_every: Duration::from_millis(200),
            seed: 1,
        }
    }
}

/// What the connections saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// Connections opened.
    pub connected: u64,
    /// Connections that could not be opened.
    pub refused: u64,
    /// Connections that the target closed.
    pub closed_by_target: u64,
    /// The most that were open at once.
    pub most_open: u64,
    /// Whole requests sent.
    pub requests: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Answers by status code.
    pub by_status: BTreeMap<u16, u64>,
}

/// After a refused connection, so that a dead target is not asked in a tight loop.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);
/// How often the stop flag is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the connections until the time is over or `stop` is set.
pub fn run(options: &Streams, stop: &AtomicBool) -> Result<StreamReport, DrillError> {
    in_range("seconds", "above 0 and at most 3600", &options.run_for.as_secs_f64(), &0.001, &3600.0)?;
    in_range("connections", "1 to 20,000", &options.connections, &1, &20_000)?;
    in_range("sources", "1 to 16,646,144", &options.sources, &1, &MAX_SOURCES)?;
    let files = sys::raise_open_files().map_err(DrillError::io("raise the limit of open files"))?;
    if files < options.connections as u64 + 32 {
        let range = "at least 32 below the limit of open files";
        return Err(DrillError::OutOfRange { name: "connections", range, value: options.connections.to_string() });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DrillError::io("start the runtime"))?;
    runtime.block_on(async {
        let tasks = tokio::task::LocalSet::new();
        tasks.run_until(all(options, stop)).await
    })
}

async fn all(options: &Streams, stop: &AtomicBool) -> Result<StreamReport, DrillError> {
    let shared = Rc::new(Shared {
        options: options.clone(),
        template: message::template("pbx/asterisk")?,
        count: std::cell::RefCell::default(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for place in 0..options.connections {
        let shared = Rc::clone(&shared);
        tasks.spawn_local(async move { keep_open(&shared, place).await });
    }
    let end = Instant::now() + options.run_for;
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        sleep_until(end.min(Instant::now() + LOOK_EVERY)).await;
    }
    tasks.shutdown().await;
    Ok(shared.count.borrow().report.clone())
}

struct Shared {
    options: Streams,
    template: Template,
    count: std::cell::RefCell<Count>,
}

#[derive(Default)]
struct Count {
    report: StreamReport,
    open: u64,
}

impl Count {
    fn opened(&mut self) {
        self.report.connected += 1;
        self.open += 1;
        self.report.most_open = self.report.most_open.max(self.open);
    }

    fn closed(&mut self) {
        self.report.closed_by_target += 1;
        self.open -= 1;
    }
}

/// Opens connection number `place` again and again; ends only by being dropped.
async fn keep_open(shared: &Shared, place: usize) {
    let mut round = 0;
    loop {
        if let Ok(mut stream) = connect(shared, place).await {
            shared.count.borrow_mut().opened();
            // Only the target ends a connection; which error it did that with says nothing more.
            let _ = behave(shared, &mut stream, (place as u64) << 40 | round << 20).await;
            shared.count.borrow_mut().closed();
        } else {
            shared.count.borrow_mut().report.refused += 1;
            sleep(AFTER_REFUSAL).await;
        }
        round += 1;
    }
}

async fn connect(shared: &Shared, place: usize) -> std::io::Result<TcpStream> {
    let target = shared.options.target.address();
    let socket = match target.ip() {
        IpAddr::V4(_) => {
            let socket = TcpSocket::new_v4()?;
            let source = source_address((place % shared.options.sources as usize) as u32);
            socket.bind(SocketAddr::from((source, 0)))?;
            socket
        }
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.connect(target).await
}

/// Returns when the target has closed the connection.
async fn behave(shared: &Shared, stream: &mut TcpStream, number: u64) -> std::io::Result<()> {
    let options = &shared.options;
    let source = stream.local_addr()?;
    let mut writer = Writer::new(options.seed, options.target.address());
    let mut request = |number| {
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        let length = writer.write(&mut bytes, &shared.template, number, source, &Wanted::default());
        bytes.truncate(length);
        over_tcp(bytes)
    };
    match options.behaviour {
        Behaviour::Requests => {
            for number in number.. {
                send(shared, stream, &request(number)).await?;
                shared.count.borrow_mut().report.requests += 1;
                read_answer(shared, stream).await?;
            }
            Ok(())
        }
        Behaviour::Slow => {
            for byte in &request(number) {
                send(shared, stream, std::slice::from_ref(byte)).await?;
                tokio::select! {
                    closed = drain(shared, stream) => return closed,
                    () = sleep(options.byte_every) => {}
                }
            }
            shared.count.borrow_mut().report.requests += 1;
            drain(shared, stream).await
        }
        Behaviour::Half => {
            let request = request(number);
            send(shared, stream, &request[..request.len() / 2]).await?;
            drain(shared, stream).await
        }
        Behaviour::Silent => drain(shared, stream).await,
        Behaviour::Noise => {
            let mut random = Random::of_request(options.seed, number);
            let mut bytes = vec![0; 4096];
            loop {
                random.fill(&mut bytes);
                send(shared, stream, &bytes).await?;
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn send(shared: &Shared, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    shared.count.borrow_mut().report.bytes += bytes.len() as u64;
    Ok(())
}

/// Reads until the target closes.
async fn drain(shared: &Shared, stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        read_answer(shared, stream).await?;
    }
}

/// Reads one head; an answer to a stranger has no body.
async fn read_answer(shared: &Shared, stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if memmem::find(&head, b"\r\n\r\n").is_some() {
            break;
        }
        if head.len() > 64 * 1024 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    let status = head.get(8..11).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()).unwrap_or(0);
    *shared.count.borrow_mut().report.by_status.entry(status).or_default() += 1;
    Ok(())
}

/// The templates say UDP, as the tools do that send by UDP.
fn over_tcp(mut request: Vec<u8>) -> Vec<u8> {
    const UDP: &[u8] = b"SIP/2.0/UDP";
    if let Some(at) = memmem::find(&request, UDP) {
        request[at..at + UDP.len()].copy_from_slice(b"SIP/2.0/TCP");
    }
    request
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn a_run(listener: &TcpListener, behaviour: Behaviour) -> Streams {
        Streams {
            behaviour,
            connections: 4,
            run_for: Duration::from_millis(150),
            byte_every: Duration::from_millis(1),
            ..Streams::new(Target::new(listener.local_addr().unwrap()).unwrap())
        }
    }

    #[test]
    fn requests_are_whole_and_answered_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Streams { connections: 1, ..a_run(&listener, Behaviour::Requests) };
        let served = std::thread::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            let mut seen = vec![0; 4096];
            let length = stream.read(&mut seen).unwrap();
            stream.write_all(b"SIP/2.0 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
            (String::from_utf8(seen[..length].to_vec()).unwrap(), from)
        });
        let report = run(&options, &GO_ON).unwrap();
        let (request, from) = served.join().unwrap();
        assert!(request.starts_with("INVITE sip:") && request.contains("Via: SIP/2.0/TCP 127.1.0.0:"), "{request}");
        assert_eq!(from.ip().to_string(), "127.1.0.0");
        assert_eq!(report.by_status[&403], 1);
    }

    #[test]
    fn what_the_target_closes_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Streams { run_for: Duration::from_secs(5), ..a_run(&listener, Behaviour::Silent) };
        let stop = AtomicBool::new(false);
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    drop(listener.accept().unwrap());
                }
                stop.store(true, Ordering::Relaxed);
            });
            run(&options, &stop).unwrap()
        });
        assert!(report.connected >= 10 && report.closed_by_target >= 6, "{report:?}");
        assert_eq!((report.bytes, report.requests), (0, 0));
    }

    #[test]
    fn slow_and_half_connections_send_what_they_should() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let half = run(&a_run(&listener, Behaviour::Half), &GO_ON).unwrap();
        assert_eq!((half.connected, half.requests, half.most_open), (4, 0, 4));
        assert!(half.bytes > 4 * 300 && half.bytes < 4 * 600, "{half:?}");
        let slow = run(&a_run(&listener, Behaviour::Slow), &GO_ON).unwrap();
        assert!(slow.bytes > 0 && slow.bytes < half.bytes, "{slow:?}");
    }

    #[test]
    fn a_closed_port_is_counted_as_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = a_run(&listener, Behaviour::Noise);
        drop(listener);
        let report = run(&options, &GO_ON).unwrap();
        assert!(report.connected == 0 && report.refused >= 4, "{report:?}");
    }
}
