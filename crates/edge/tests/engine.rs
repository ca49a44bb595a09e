// SPDX-License-Identifier: Apache-2.0
//! Transactions over real sockets: an edge on loopback, a gateway that is a socket, and a call layer that is the test.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use edge::{Config, Edge, Ended, Event, Frame, HeaderLine, Listen, NewRequest, Respond, Target};
use guard::{Counter, Snapshot};
use journal::{Kind, Record, StreamReader};

const LONG: Duration = Duration::from_secs(10);

struct Node {
    edge: Edge,
    udp: SocketAddr,
    tcp: SocketAddr,
    directory: tempfile::TempDir,
    waiting: Vec<Event>,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], "journal": directory.path(), "receive_buffer_bytes": 1 << 16,
            "stream": {"max_connections": 50, "reserved_connections": 10, "max_per_source": 10, "first_byte_s": 5,
                "message_s": 5, "idle_s": 5, "buffered_bytes": 1_000_000}
        });
        let snapshot = serde_json::json!({
            "version": 1, "node": "n1", "realm": "ringfence", "tag_key": "33".repeat(16),
            "nonce_keys": [{"id": 1, "key": "11".repeat(32)}],
            "gateways": [{"id": 9, "name": "carrier", "addresses": ["127.0.0.0/8"], "calls_per_second": 1000, "burst": 1000, "in_flight": 2}],
            "phones": [], "lists": [],
            "parameters": {
                "SERVER_BILLING_RECORD_ILLEGAL_CALL": 1, "SS_REPLY_UNAUTHORIZED": 1, "SS_AUTHENTICATION_MAX_RETRY": 6,
                "SS_AUTHENTICATION_FAILED_SUSPEND": 180, "SS_SIP_AUTHENTICATION_RETRY": 6, "SS_SIP_AUTHENTICATION_TIMEOUT": 10,
                "SS_SIP_AUTHENTICATION_CODE": 407, "RF_UNAUTHORIZED_CODE": 403, "RF_ROAMING": 0,
                "RF_REGISTRATION_MEMORY_DAYS": 30, "RF_BLOCKED_CODE": 0, "RF_MUTE_ATTEMPTS_PER_S": 0, "RF_MUTE_S": 60,
                "RF_JOURNAL_BYTES_PER_S": 16_000_000, "RF_JOURNAL_BURST_BYTES": 268_435_456,
                "RF_CHALLENGE_BYTES_PER_S": 2_000_000, "RF_CHALLENGE_NETWORK_BYTES_PER_S": 20_000, "RF_RAW_SAMPLE_S": 600,
                "RF_JOURNAL_SYNC_MS": 1000,
                "RF_TRACE_BYTES": 1_048_576,
                "RF_HEP_EXPORT": 0,
                "RF_DIGEST_SHA256": 1
            }
        });
        let config = Config::from_json(config.to_string().as_bytes()).unwrap();
        let snapshot = Snapshot::from_json(snapshot.to_string().as_bytes()).unwrap();
        let (edge, started) = Edge::start(&config, snapshot).unwrap();
        let [Listen::Udp(udp), Listen::Tcp(tcp)] = started.listeners[..] else { panic!("{:?}", started.listeners) };
        Self { edge, udp, tcp, directory, waiting: Vec::new() }
    }

    fn event(&mut self) -> Event {
        let deadline = Instant::now() + LONG;
        while self.waiting.is_empty() {
            assert!(Instant::now() < deadline, "no event");
            std::thread::yield_now();
            self.waiting.extend(self.edge.events(64));
        }
        self.waiting.remove(0)
    }

    fn request(&mut self) -> u64 {
        match self.event() {
            Event::Request { transaction, .. } => transaction,
            other => panic!("{other:?}"),
        }
    }

    fn target(&self, transport: &str, remote: SocketAddr) -> Target {
        let local = if transport == "UDP" { self.udp } else { self.tcp };
        let local = (local.ip().to_string(), local.port());
        Target {
            transport: transport.into(),
            remote: (remote.ip().to_string(), Some(remote.port())),
            shown: local.clone(),
            local,
            is_flow: false,
            domain: String::new(),
        }
    }

    fn send(&self, target: &Target, method: &str, frame: Option<Frame>) -> u64 {
        let headers = headers(method);
        let request = NewRequest { method, uri: "sip:b@127.0.0.1", headers: &headers, body: b"", max_forwards: 70 };
        self.edge.send(target, &request, frame).unwrap()
    }

    fn respond(&self, transaction: u64, status: u16, frame: Option<Frame>) {
        let respond = Respond { transaction, status, tag: b"ours".to_vec(), frame, ..Respond::default() };
        self.edge.respond(respond).unwrap();
    }

    fn counter(&self, counter: Counter) -> u64 {
        self.edge.counters()[counter as usize]
    }

    /// A batch is counted after what it let through was handed on: the count may come a little later than the event.
    fn counts(&self, counter: Counter, count: u64) {
        let deadline = Instant::now() + LONG;
        while self.counter(counter) < count {
            assert!(Instant::now() < deadline, "{counter:?} is {}, not {count}", self.counter(counter));
            std::thread::yield_now();
        }
        assert_eq!(self.counter(counter), count, "{counter:?}");
    }
}

fn headers(method: &str) -> Vec<HeaderLine> {
    let cseq = format!("1 {method}");
    [("From", "<sip:a@h>;tag=f"), ("To", "<sip:b@h>"), ("Call-ID", "out"), ("CSeq", &cseq)]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into()
}

fn durable_frame() -> Frame {
    Frame { kind: Kind::CallStarted, payload: vec![0x80], is_durable: true }
}

fn frames(directory: &Path) -> Vec<Kind> {
    let mut reader = StreamReader::open(&directory.join("calls"), 0, false);
    let mut kinds = Vec::new();
    while let Some(batch) = reader.read(100).unwrap() {
        kinds.extend(batch.frames().filter_map(|frame| match frame.record() {
            Ok(Record::Opaque(opaque)) => Some(opaque.kind()),
            _ => None,
        }));
    }
    kinds
}

fn gateway() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// The next message that is not this one again: who is slow to answer under load hears a message more than once.
fn heard_after(socket: &UdpSocket, earlier: &str) -> String {
    std::iter::repeat_with(|| heard(socket)).find(|message| message != earlier).unwrap()
}

fn ask(method: &str, call_id: &str, to_tag: &str) -> String {
    let branch = if method == "CANCEL" { "INVITE" } else { method };
    format!(
        "{method} sip:42@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK{branch}{call_id}{to_tag};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=theirs\r\nTo: <sip:42@127.0.0.1>{to_tag}\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 {}\r\nContact: <sip:a@127.0.0.1>\r\nContent-Length: 0\r\n\r\n",
        if method == "ACK" { "ACK" } else { method }
    )
}

/// An answer to what we heard, with that To tag.
fn answer(request: &str, status: u16) -> String {
    let is_copied = |line: &&str| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let lines = request.split("\r\n").filter(is_copied).fold(String::new(), |lines, line| lines + line + "\r\n");
    format!("SIP/2.0 {status} Said\r\n{lines}To: <sip:b@h>;tag=t\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn a_call_that_comes_is_answered_repeated_and_acknowledged() {
    let mut node = Node::new();
    let gateway = gateway();
    gateway.connect(node.udp).unwrap();
    gateway.send(ask("INVITE", "c", "").as_bytes()).unwrap();
    let call = node.request();
    assert!(heard(&gateway).starts_with("SIP/2.0 100"), "nobody answered for 200 ms");
    node.edge.open(b"ours".to_vec(), b"c".to_vec()).unwrap();
    node.respond(call, 200, Some(durable_frame()));
    let first = heard(&gateway);
    assert!(first.starts_with("SIP/2.0 200") && first.contains(";tag=ours\r\n"));
    assert_eq!(frames(node.directory.path()), [Kind::CallStarted]);
    assert_eq!(heard(&gateway), first, "repeated until the ACK");
    gateway.send(ask("ACK", "c", ";tag=ours").as_bytes()).unwrap();
    assert!(matches!(node.event(), Event::Ack { transaction, .. } if transaction == call));
    gateway.send(ask("BYE", "c", ";tag=ours").as_bytes()).unwrap();
    let bye = node.request();
    node.respond(bye, 200, None);
    let answer = heard_after(&gateway, &first);
    assert!(answer.starts_with("SIP/2.0 200") && answer.contains("1 BYE"), "{answer}");
    node.edge.close(b"ours".to_vec()).unwrap();
    // Orders are carried out in turn: when the second is heard, the first is in force for what comes next.
    node.send(&node.target("UDP", gateway.local_addr().unwrap()), "OPTIONS", None);
    assert!(heard(&gateway).starts_with("OPTIONS "));
    let late = ask("BYE", "c", ";tag=ours").replace("BYEc", "BYElate");
    gateway.send(late.as_bytes()).unwrap();
    let answer = std::iter::repeat_with(|| heard(&gateway)).find(|message| !message.starts_with("OPTIONS "));
    assert!(answer.unwrap().starts_with("SIP/2.0 481"));
}

#[test]
fn a_repeated_invite_is_one_event_and_its_cancel_is_answered() {
    let mut node = Node::new();
    let gateway = gateway();
    gateway.connect(node.udp).unwrap();
    for _ in 0..3 {
        gateway.send(ask("INVITE", "c", "").as_bytes()).unwrap();
    }
    let call = node.request();
    gateway.send(ask("CANCEL", "c", "").as_bytes()).unwrap();
    assert!(matches!(node.event(), Event::Cancel { transaction, .. } if transaction == call));
    // Under load the INVITE may have been left alone for 200 ms, and each repeat then hears the 100 again.
    let is_final = |message: &String| !message.starts_with("SIP/2.0 100");
    let answer = std::iter::repeat_with(|| heard(&gateway)).find(is_final).unwrap();
    assert!(answer.starts_with("SIP/2.0 200") && answer.contains("1 CANCEL"), "{answer}");
    node.respond(call, 487, None);
    assert!(heard(&gateway).starts_with("SIP/2.0 487"));
    assert!(heard(&gateway).starts_with("SIP/2.0 487"), "repeated until the ACK");
    gateway.send(ask("ACK", "c", ";tag=ours").replace("ACKc;tag=ours", "INVITEc").as_bytes()).unwrap();
    node.counts(Counter::Admitted, 2);
    assert_eq!(node.counter(Counter::Recorded), 0);
}

#[test]
fn a_call_in_flight_has_a_place_until_the_call_layer_takes_it_up() {
    let mut node = Node::new();
    let gateway = gateway();
    gateway.connect(node.udp).unwrap();
    let calls: Vec<u64> = ["a", "b"]
        .iter()
        .map(|call_id| {
            gateway.send(ask("OPTIONS", call_id, "").as_bytes()).unwrap();
            node.request()
        })
        .collect();
    gateway.send(ask("OPTIONS", "c", "").as_bytes()).unwrap();
    assert!(heard(&gateway).starts_with("SIP/2.0 503"));
    node.respond(calls[0], 180, None);
    assert!(heard(&gateway).starts_with("SIP/2.0 180"));
    gateway.send(ask("OPTIONS", "d", "").as_bytes()).unwrap();
    node.request();
}

#[test]
fn a_request_is_repeated_until_its_answer_and_a_forged_answer_is_none() {
    let mut node = Node::new();
    let gateway = gateway();
    let call = node.send(&node.target("UDP", gateway.local_addr().unwrap()), "INVITE", Some(durable_frame()));
    let invite = heard(&gateway);
    assert_eq!(frames(node.directory.path()), [Kind::CallStarted]);
    assert_eq!(heard(&gateway), invite);
    let at = invite.find("branch=z9hG4bK").unwrap() + "branch=z9hG4bK".len();
    let forged = invite.replace(&invite[at..at + 32], "00000000000000010000000000000000");
    gateway.send_to(answer(&forged, 200).as_bytes(), node.udp).unwrap();
    gateway.send_to(answer(&invite, 486).as_bytes(), node.udp).unwrap();
    let Event::Response { transaction, bytes, .. } = node.event() else { panic!("no response") };
    assert_eq!(transaction, call);
    assert!(bytes.starts_with(b"SIP/2.0 486"));
    assert!(heard_after(&gateway, &invite).starts_with("ACK "));
    node.counts(Counter::Absorbed, 2);
    assert_eq!(node.counter(Counter::Recorded), 0);
}

#[test]
fn a_cancel_waits_for_a_provisional_answer_and_says_why() {
    let mut node = Node::new();
    let gateway = gateway();
    let call = node.send(&node.target("UDP", gateway.local_addr().unwrap()), "INVITE", None);
    node.edge.cancel(call, vec![("Reason".into(), b"Q.850;cause=16".to_vec())]).unwrap();
    let invite = heard(&gateway);
    gateway.send_to(answer(&invite, 180).as_bytes(), node.udp).unwrap();
    assert!(matches!(node.event(), Event::Response { .. }));
    let cancel = heard_after(&gateway, &invite);
    assert!(cancel.starts_with("CANCEL ") && cancel.contains("\r\nReason: Q.850;cause=16\r\n"), "{cancel}");
}

#[test]
fn the_ack_of_a_2xx_is_sent_again_for_each_that_comes_again() {
    let mut node = Node::new();
    let gateway = gateway();
    let target = node.target("UDP", gateway.local_addr().unwrap());
    let call = node.send(&target, "INVITE", None);
    let invite = heard(&gateway);
    let success = answer(&invite, 200);
    gateway.send_to(success.as_bytes(), node.udp).unwrap();
    assert!(matches!(node.event(), Event::Response { .. }));
    let mut headers = headers("ACK");
    headers[1].1 = b"<sip:b@h>;tag=t".to_vec();
    let ack = NewRequest { method: "ACK", uri: "sip:b@127.0.0.1", headers: &headers, body: b"", max_forwards: 70 };
    node.edge.acknowledge(call, &target, &ack).unwrap();
    let first = heard_after(&gateway, &invite);
    assert!(first.starts_with("ACK "));
    gateway.send_to(success.as_bytes(), node.udp).unwrap();
    assert_eq!(heard(&gateway), first);
}

fn read_message(stream: &mut TcpStream) -> String {
    let mut message = Vec::new();
    let mut byte = [0];
    while !message.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        message.push(byte[0]);
    }
    String::from_utf8(message).unwrap()
}

#[test]
fn requests_over_tcp_share_one_connection_and_end_with_it() {
    let mut node = Node::new();
    let gateway = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = node.target("TCP", gateway.local_addr().unwrap());
    let first = node.send(&target, "OPTIONS", None);
    let (mut stream, _) = gateway.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let options = read_message(&mut stream);
    assert!(options.starts_with("OPTIONS ") && options.contains("SIP/2.0/TCP"));
    stream.write_all(answer(&options, 200).as_bytes()).unwrap();
    assert!(matches!(node.event(), Event::Response { transaction, .. } if transaction == first));
    let second = node.send(&target, "MESSAGE", None);
    assert!(read_message(&mut stream).starts_with("MESSAGE "));
    drop(stream);
    let Event::Ended { transaction, why } = node.event() else { panic!("not ended") };
    assert_eq!((transaction, why), (second, Ended::Transport));
}

#[test]
fn a_connection_that_is_refused_or_not_there_ends_the_request() {
    let mut node = Node::new();
    let gateway = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = node.target("TCP", gateway.local_addr().unwrap());
    drop(gateway);
    let refused = node.send(&target, "INVITE", None);
    let flow = Target { is_flow: true, ..node.target("TCP", "127.0.0.1:9".parse().unwrap()) };
    let gone = node.send(&flow, "INVITE", None);
    let mut ended = Vec::new();
    for _ in 0..2 {
        let Event::Ended { transaction, why: Ended::Transport } = node.event() else { panic!("not ended") };
        ended.push(transaction);
    }
    ended.sort_unstable();
    assert_eq!(ended, [refused, gone]);
}

/// RFC 3261 §18.4, §8.1.3.1.
#[test]
fn a_request_to_a_closed_port_ends_at_once() {
    let mut node = Node::new();
    for method in ["INVITE", "OPTIONS"] {
        let closed = gateway().local_addr().unwrap();
        let began = Instant::now();
        let sent = node.send(&node.target("UDP", closed), method, None);
        let Event::Ended { transaction, why: Ended::Transport } = node.event() else { panic!("not ended") };
        assert_eq!(transaction, sent);
        assert!(began.elapsed() < LONG, "timers B and F take 32 s");
    }
    node.counts(Counter::IcmpUnreachable, 2);
    assert_eq!(node.counter(Counter::IcmpIgnored), 0);
}

/// Who has seen a branch can have it quoted by an ICMP error about something else: an answer to himself.
#[test]
fn an_icmp_error_about_another_destination_ends_nothing() {
    let mut node = Node::new();
    let (gateway, forger) = (gateway(), gateway());
    let call = node.send(&node.target("UDP", gateway.local_addr().unwrap()), "INVITE", None);
    let invite = heard(&gateway);
    let at = invite.find("branch=").unwrap() + "branch=".len();
    let forged = ask("OPTIONS", "c", "").replace("z9hG4bKOPTIONSc", &invite[at..at + 39]);
    forger.send_to(forged.as_bytes(), node.udp).unwrap();
    let asked = node.request();
    drop(forger);
    node.respond(asked, 200, None);
    node.counts(Counter::IcmpIgnored, 1);
    gateway.send_to(answer(&invite, 180).as_bytes(), node.udp).unwrap();
    assert!(matches!(node.event(), Event::Response { transaction, .. } if transaction == call));
    assert_eq!(node.counter(Counter::IcmpUnreachable), 0);
}

#[test]
fn a_far_end_that_is_known_by_name_is_looked_up_and_the_order_is_kept() {
    let mut node = Node::new();
    let gateway = gateway();
    let named = Target {
        remote: ("localhost".into(), Some(gateway.local_addr().unwrap().port())),
        ..node.target("UDP", gateway.local_addr().unwrap())
    };
    node.send(&named, "OPTIONS", None);
    node.send(&node.target("UDP", gateway.local_addr().unwrap()), "MESSAGE", None);
    assert!(heard(&gateway).starts_with("OPTIONS "));
    assert!(heard(&gateway).starts_with("MESSAGE "), "it has the same Call-ID");
    let nobody = Target { remote: ("nobody.invalid".into(), None), ..named };
    let lost = node.send(&nobody, "INFO", None);
    let Event::Ended { transaction, why: Ended::Transport } = node.event() else { panic!("not ended") };
    assert_eq!(transaction, lost);
}

#[test]
fn a_call_over_tcp_is_answered_on_its_connection() {
    let mut node = Node::new();
    let mut stream = TcpStream::connect(node.tcp).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(ask("INVITE", "c", "").replace("/UDP", "/TCP").as_bytes()).unwrap();
    let call = node.request();
    node.respond(call, 200, None);
    let success = loop {
        let message = read_message(&mut stream);
        if !message.starts_with("SIP/2.0 100") {
            break message;
        }
    };
    assert!(success.starts_with("SIP/2.0 200"));
    assert_eq!(read_message(&mut stream), success, "repeated over TCP too");
}
