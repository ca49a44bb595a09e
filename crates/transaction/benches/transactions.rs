// SPDX-License-Identifier: Apache-2.0
//! Calls through a back-to-back user agent on a virtual clock, and the queue of deadlines by itself: `cargo bench -p transaction`.
//!
//! A call is four transactions: INVITE from A, INVITE to B, BYE from A, BYE to B, over UDP, so that each stays for up to 32 s. 4,000 calls a second make
//! 16,000 transactions a second and half a million that are live. Everything is measured that the table does, with what it needs: reading
//! what comes in, writing what goes out.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::answer::{Answer, ExtraHeader, Token};
use sip::request::{Request, SentBy, Target};
use sip::{Message, Parsed, parse_into};
use transaction::{
    Arrival, Effect, Effects, Limits, Outgoing, OutgoingRequest, SipTimers, Taken, TransactionId, Transactions,
    Transport, Wheel,
};

const CALLS_PER_MS: u64 = 4;
/// Longer than the longest that a transaction stays.
const FILL_MS: u64 = 34_000;
const MEASURED_MS: u64 = 10_000;
const SDP: &str = "v=0\r\no=- 0 2 IN IP4 198.51.100.23\r\ns=-\r\nc=IN IP4 198.51.100.23\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n";

/// A message with sixteen digits in it that change.
struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    fn new(text: &str) -> Self {
        let places = text.match_indices("################").map(|(at, _)| at).collect();
        Self { bytes: text.as_bytes().to_vec(), places }
    }

    fn with(&mut self, number: u64) -> Arc<[u8]> {
        for place in &self.places {
            for (digit, byte) in self.bytes[*place..place + 16].iter_mut().enumerate() {
                *byte = b"0123456789abcdef"[(number >> (60 - 4 * digit)) as usize & 15];
            }
        }
        self.bytes.as_slice().into()
    }
}

fn from_a(method: &str, branch: &str, to_tag: &str, body: &str) -> Template {
    Template::new(&format!(
        "{method} sip:900442071234567@203.0.113.10 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.23:5062;branch=z9hG4bK{branch}################;rport\r\nMax-Forwards: 70\r\n\
         Contact: <sip:1001@198.51.100.23:5062;transport=UDP>\r\nTo: <sip:900442071234567@203.0.113.10>{to_tag}\r\n\
         From: \"1001\" <sip:1001@203.0.113.10>;tag=################\r\nCall-ID: ################@198.51.100.23\r\n\
         CSeq: 1 {method}\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nUser-Agent: gateway 1.2\r\nSupported: timer\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn from_b(status: &str, method: &str, branch: &str, body: &str) -> Template {
    Template::new(&format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 203.0.113.10:5060;rport=5060;branch=z9hG4bK{branch}################\r\n\
         From: <sip:1001@203.0.113.10>;tag=################\r\nTo: <sip:442071234567@192.0.2.50>;tag=################\r\n\
         Call-ID: ################\r\nCSeq: 1 {method}\r\nContact: <sip:442071234567@192.0.2.50:5060>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn to_b(method: &[u8], branch: &str, to_tag: &str, number: u64, body: &str) -> OutgoingRequest {
    let digits = format!("{number:016x}");
    let (from, cseq) = (format!("<sip:1001@203.0.113.10>;tag={digits}"), format!("1 {}", method.escape_ascii()));
    let to = format!("<sip:442071234567@192.0.2.50>{to_tag}");
    let headers = [
        ("Max-Forwards", "69"),
        ("From", &from),
        ("To", &to),
        ("Call-ID", &digits),
        ("CSeq", &cseq),
        ("Contact", "<sip:203.0.113.10:5060>"),
        ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS"),
        ("Content-Type", "application/sdp"),
    ]
    .map(|(name, value)| ExtraHeader::new(name, value.as_bytes()).unwrap());
    OutgoingRequest::new(&Request {
        method: Token::new(method).unwrap(),
        uri: Target::new(b"sip:442071234567@192.0.2.50").unwrap(),
        sent_by: SentBy::new(b"UDP", b"203.0.113.10:5060").unwrap(),
        branch: Token::new(format!("{branch}{digits}").as_bytes()).unwrap(),
        headers: &headers,
        body: body.as_bytes(),
    })
    .unwrap()
}

/// The user agent, and both its neighbours.
struct Load {
    table: Transactions<SocketAddr>,
    out: Effects<SocketAddr>,
    neighbour: SocketAddr,
    sent: u64,
    invite: Template,
    ack: Template,
    bye: Template,
    trying: Template,
    ringing: Template,
    ok: Template,
    bye_ok: Template,
}

fn read<T>(bytes: &[u8], then: impl FnOnce(&Message<'_>) -> T) -> T {
    let mut parsed = Parsed::Drop(sip::Why::NotSip);
    parse_into(bytes, &mut parsed);
    let Parsed::Message(message) = &parsed else { panic!("{}", bytes.escape_ascii()) };
    then(message)
}

impl Load {
    fn new(now: Instant) -> Self {
        Self {
            table: Transactions::new(now, SipTimers::default(), Limits::default()),
            out: Effects::new(),
            neighbour: "198.51.100.23:5062".parse().unwrap(),
            sent: 0,
            invite: from_a("INVITE", "a", "", SDP),
            ack: from_a("ACK", "b", ";tag=ours", ""),
            bye: from_a("BYE", "c", ";tag=ours", ""),
            trying: from_b("100 Trying", "INVITE", "d", ""),
            ringing: from_b("180 Ringing", "INVITE", "d", ""),
            ok: from_b("200 OK", "INVITE", "d", SDP),
            bye_ok: from_b("200 OK", "BYE", "e", ""),
        }
    }

    /// What a driver does with effects: it looks at each. Sending is not measured.
    fn drain(&mut self) {
        self.sent += self.out.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count() as u64;
        self.out.clear();
    }

    fn receive(&mut self, now: Instant, bytes: &Arc<[u8]>) -> Taken {
        let tag = Token::new(b"ours").unwrap();
        let (source, reply_to, transport) = (self.neighbour, self.neighbour, Transport::Unreliable);
        let arrival = Arrival { bytes, source, reply_to, transport, tag, has_trying: true };
        let taken = read(bytes, |message| self.table.receive_request(now, message, &arrival, &mut self.out));
        self.drain();
        taken
    }

    fn hear(&mut self, now: Instant, bytes: &Arc<[u8]>) {
        assert!(read(bytes, |message| self.table.receive_response(now, message, bytes, &mut self.out)));
        self.drain();
    }

    fn respond(&mut self, now: Instant, id: TransactionId, request: &[u8], status: u16, body: &str) {
        let contact = ExtraHeader::new("Contact", b"<sip:203.0.113.10:5060>").unwrap();
        let extra = [contact];
        let mut answer = Answer::new(status, self.neighbour).with_tag(Token::new(b"ours").unwrap()).with_extra(&extra);
        answer.body = body.as_bytes();
        read(request, |request| self.table.respond(now, id, &answer, request, &mut self.out)).unwrap();
        self.drain();
    }

    fn start(&mut self, now: Instant, request: &OutgoingRequest) -> TransactionId {
        let (destination, transport) = (self.neighbour, Transport::Unreliable);
        let id = self.table.start(now, &Outgoing { request, destination, transport, timeout: None }, &mut self.out);
        self.drain();
        id.unwrap()
    }

    fn call(&mut self, now: Instant, number: u64) {
        let invite = self.invite.with(number);
        let Taken::New(a) = self.receive(now, &invite) else { panic!() };
        let b = self.start(now, &to_b(b"INVITE", "d", "", number, SDP));
        let trying = self.trying.with(number);
        self.hear(now, &trying);
        let ringing = self.ringing.with(number);
        self.hear(now, &ringing);
        self.respond(now, a, &invite, 180, "");
        let ok = self.ok.with(number);
        self.hear(now, &ok);
        self.respond(now, a, &invite, 200, SDP);
        let ack = self.ack.with(number);
        assert_eq!(self.receive(now, &ack), Taken::Ack);
        let to_tag = format!(";tag={number:016x}");
        let ack = to_b(b"ACK", "f", &to_tag, number, "");
        self.table.acknowledge(now, b, &ack, self.neighbour, &mut self.out).unwrap();
        self.drain();
        let bye = self.bye.with(number);
        let Taken::New(a) = self.receive(now, &bye) else { panic!() };
        self.start(now, &to_b(b"BYE", "e", &to_tag, number, ""));
        let ok = self.bye_ok.with(number);
        self.hear(now, &ok);
        self.respond(now, a, &bye, 200, "");
    }

    /// Time of the same messages without the table: made, read and written, seven in and eight out.
    fn without_table(&mut self, number: u64) {
        for bytes in [self.invite.with(number), self.ack.with(number), self.bye.with(number)] {
            read(&bytes, |message| black_box(message.is_request()));
        }
        for template in [&mut self.trying, &mut self.ringing, &mut self.ok, &mut self.bye_ok] {
            let bytes = template.with(number);
            read(&bytes, |message| black_box(message.is_request()));
        }
        for (method, branch, body) in [(&b"INVITE"[..], "d", SDP), (b"ACK", "f", ""), (b"BYE", "e", "")] {
            black_box(to_b(method, branch, ";tag=0123456789abcdef", number, body));
        }
        let request = self.invite.with(number);
        let tag = Token::new(b"ours").unwrap();
        for (status, body) in [(180, ""), (200, SDP), (200, "")] {
            let mut answer = Answer::new(status, self.neighbour).with_tag(tag);
            answer.body = body.as_bytes();
            let mut out = Vec::with_capacity(1024);
            read(&request, |request| answer.write(request, &mut out));
            black_box(Arc::<[u8]>::from(out));
        }
    }
}

/// Processor time of this thread: other programs on the machine do not count.
fn processor_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedule.split(' ').next().unwrap().parse().unwrap())
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn calls() {
    let origin = Instant::now();
    let mut load = Load::new(origin);
    let before = resident_bytes();
    let (mut number, mut at_ms) = (0, 0);
    let mut run = |load: &mut Load, until_ms: u64| {
        let start = processor_time();
        while at_ms < until_ms {
            at_ms += 1;
            let now = origin + Duration::from_millis(at_ms);
            load.table.fire(now, &mut load.out);
            load.drain();
            for _ in 0..CALLS_PER_MS {
                number += 1;
                load.call(now, number);
            }
        }
        processor_time().saturating_sub(start)
    };
    run(&mut load, FILL_MS);
    let live = load.table.server_count() + load.table.client_count();
    let bytes = (resident_bytes() - before) / live as u64;
    let took = run(&mut load, FILL_MS + MEASURED_MS);
    let calls = CALLS_PER_MS * MEASURED_MS;
    let start = processor_time();
    for number in 0..calls {
        load.without_table(number);
    }
    let plain = processor_time().saturating_sub(start);
    let each = |time: Duration| time.as_nanos() as u64 / (calls * 4);
    println!(
        "{live} live transactions, {bytes} bytes each; {} transactions/s on one core: {} ns each, of which {} ns for \
         messages (made, read, written)",
        1_000_000_000 / each(took),
        each(took),
        each(plain),
    );
}

/// The queue of deadlines by itself, with the work of the calls: a deadline at 500 ms, moved to 32 s before it comes, given out then.
fn queues() {
    const LIVE: u32 = 1 << 19;
    const ROUNDS: u32 = 4;
    let origin = Instant::now();
    let at = |step: u32| origin + Duration::from_micros(u64::from(step) * 61);
    let mut wheel = Wheel::new(origin, LIVE as usize);
    let (mut heap, mut current) = (BinaryHeap::new(), vec![origin; LIVE as usize]);
    let steps = LIVE * ROUNDS;
    let start = processor_time();
    let mut fired = 0_u64;
    for step in 0..steps {
        let (now, entry) = (at(step), step % LIVE);
        wheel.set(entry, Some(now + Duration::from_millis(500)));
        wheel.set(entry, Some(now + Duration::from_secs(31)));
        while wheel.take_due(now).is_some() {
            fired += 1;
        }
        black_box(wheel.next());
    }
    let of_wheel = processor_time().saturating_sub(start);
    let start = processor_time();
    let mut fired_of_heap = 0_u64;
    for step in 0..steps {
        let (now, entry) = (at(step), step % LIVE);
        for after in [Duration::from_millis(500), Duration::from_secs(31)] {
            current[entry as usize] = now + after;
            heap.push(Reverse((now + after, entry)));
        }
        while let Some(&Reverse((deadline, entry))) = heap.peek().filter(|top| top.0.0 <= now) {
            heap.pop();
            fired_of_heap += u64::from(current[entry as usize] == deadline);
        }
        black_box(heap.peek());
    }
    let of_heap = processor_time().saturating_sub(start);
    let each = |time: Duration| time.as_nanos() as u64 / u64::from(steps);
    println!(
        "queue of {LIVE} deadlines, set, moved and given out: wheel {} ns ({fired}), heap with lazy deletion {} ns ({fired_of_heap})",
        each(of_wheel),
        each(of_heap)
    );
}

fn main() {
    queues();
    calls();
}
