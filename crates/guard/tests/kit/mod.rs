// SPDX-License-Identifier: Apache-2.0
//! A guard in memory, requests to throw at it, and a phone that answers challenges.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;

use guard::{Branches, Effects, Guard, Now, Packet, Passed, Peer, Scratch, Snapshot, Standing, Tally, What};
use journal::{Options, Record, SegmentWriter, Stream, StreamReader, Transport};
use md5::{Digest, Md5};

pub(crate) const STRANGER: &str = "203.0.113.7:5060";
pub(crate) const PHONE: &str = "198.51.100.20:40000";
pub(crate) const GATEWAY: &str = "192.0.2.10:5060";
pub(crate) const LOCAL: &str = "192.0.2.1:5060";

pub(crate) fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A snapshot with gateway 192.0.2.10 (5 calls/s, burst 5), phone 1001 with the password "right", and parameters changed by `change`.
pub(crate) fn snapshot(change: impl FnOnce(&mut serde_json::Value)) -> Snapshot {
    let mut document = serde_json::json!({
        "version": 1, "node": "n1", "realm": "ringfence",
        "nonce_keys": [{"id": 2, "key": "22".repeat(32)}, {"id": 1, "key": "11".repeat(32)}],
        "tag_key": "33".repeat(16),
        "gateways": [{"id": 9, "name": "carrier", "addresses": ["192.0.2.10", "192.0.2.64/26"], "calls_per_second": 5, "burst": 5, "in_flight": 50}],
        "phones": [{"number": "1001", "md5": md5_hex("1001:ringfence:right"), "sha256": "0".repeat(64)}],
        "lists": [],
        "parameters": {
            "SERVER_BILLING_RECORD_ILLEGAL_CALL": 1, "SS_REPLY_UNAUTHORIZED": 1, "SS_AUTHENTICATION_MAX_RETRY": 6,
            "SS_AUTHENTICATION_FAILED_SUSPEND": 180, "SS_SIP_AUTHENTICATION_RETRY": 6, "SS_SIP_AUTHENTICATION_TIMEOUT": 10,
                "SS_SIP_AUTHENTICATION_CODE": 407, "RF_UNAUTHORIZED_CODE": 403, "RF_ROAMING": 0,
            "RF_REGISTRATION_MEMORY_DAYS": 30, "RF_BLOCKED_CODE": 0, "RF_MUTE_ATTEMPTS_PER_S": 0, "RF_MUTE_S": 60,
            "RF_JOURNAL_BYTES_PER_S": 16_000_000, "RF_JOURNAL_BURST_BYTES": 268_435_456,
            "RF_CHALLENGE_BYTES_PER_S": 2_000_000, "RF_CHALLENGE_NETWORK_BYTES_PER_S": 20_000, "RF_RAW_SAMPLE_S": 600,
            "RF_JOURNAL_SYNC_MS": 1000,
            "RF_TRACE_BYTES": 0,
            "RF_HEP_EXPORT": 0,
            "RF_DIGEST_SHA256": 1
        }
    });
    change(&mut document);
    Snapshot::from_json(document.to_string().as_bytes()).expect("a snapshot")
}

pub(crate) fn parameter(name: &'static str, value: u64) -> impl FnOnce(&mut serde_json::Value) {
    move |document| document["parameters"][name] = value.into()
}

/// What one packet led to.
pub(crate) struct Outcome {
    pub tally: Tally,
    pub answers: Vec<String>,
    pub admitted: Vec<Standing>,
    pub repeats: usize,
    pub passed: Vec<Passed>,
}

impl Outcome {
    pub(crate) fn status(&self) -> Option<u16> {
        self.answers.first().map(|answer| answer[8..11].parse().expect("a status"))
    }

    /// The value of a parameter of the first challenge.
    pub(crate) fn challenge(&self, name: &str) -> String {
        let answer = self.answers.first().expect("an answer");
        let after = answer.split_once(&format!("{name}=\"")).expect("the parameter").1;
        after.split_once('"').expect("a quote").0.to_owned()
    }
}

fn standing(passed: &Passed) -> Option<Standing> {
    match &passed.what {
        What::Request(standing) => Some(standing.clone()),
        _ => None,
    }
}

pub(crate) struct Bench {
    pub guard: Guard,
    pub branches: Arc<Branches>,
    pub now: Now,
    pub total: Tally,
    directory: tempfile::TempDir,
    writer: SegmentWriter,
}

impl Bench {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let now = Now { ms: 1_000_000, utc_us: 1_800_000_000_000_000 };
        let options = Options { is_reserved: false, ..Options::of(Stream::Edge) };
        let (writer, opened) =
            SegmentWriter::open(directory.path(), Stream::Edge, &options, now.utc_us).expect("a journal");
        let branches = Arc::new(Branches::new([9; 16]));
        let guard = Guard::new(Arc::new(snapshot), Arc::clone(&branches), opened.next_seq, writer.journal_crc(), now);
        Self { guard, branches, now, total: Tally::default(), directory, writer }
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now = Now { ms: self.now.ms + ms, utc_us: self.now.utc_us + ms * 1000 };
    }

    pub(crate) fn throw(&mut self, from: &str, bytes: &[u8]) -> Outcome {
        self.throw_over(Transport::Udp, from, bytes)
    }

    pub(crate) fn throw_over(&mut self, transport: Transport, from: &str, bytes: &[u8]) -> Outcome {
        let source: SocketAddr = from.parse().expect("an address");
        let peer = Peer { source, local: LOCAL.parse().expect("an address"), transport, channel: 0 };
        let mut effects = Effects::new();
        self.guard.begin(self.now);
        self.guard.judge(self.now, &Packet { bytes, peer }, &mut Scratch::default(), &mut effects);
        self.guard.finish(self.now, &mut effects);
        self.writer.append(&effects.unit, self.now.utc_us).expect("the frames follow one another");
        self.total.merge(&effects.tally);
        let text = |answer: &guard::Answer| String::from_utf8_lossy(&effects.bytes[answer.span.clone()]).into_owned();
        Outcome {
            answers: effects.answers.iter().map(text).collect(),
            admitted: effects.passed.iter().filter_map(standing).collect(),
            repeats: effects.passed.iter().filter(|passed| passed.what == What::Repeat).count(),
            passed: std::mem::take(&mut effects.passed),
            tally: effects.tally,
        }
    }

    /// Every frame so far, given to `read` in order.
    pub(crate) fn frames(&self, mut read: impl FnMut(u64, &Record<'_>)) {
        let mut reader = StreamReader::open(self.directory.path(), 0, false);
        while let Some(batch) = reader.read(10_000).expect("the journal can be read") {
            for frame in batch.frames() {
                read(frame.seq, &frame.record().expect("a record"));
            }
        }
    }

    /// One line per frame: kind, reason, detail of what follows from it.
    pub(crate) fn journal(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.frames(|seq, record| {
            lines.push(match record {
                Record::Refusal(attempt) => format!(
                    "{seq} refusal {} {} {} settles {}",
                    attempt.reason.as_str(),
                    String::from_utf8_lossy(attempt.caller),
                    attempt.status,
                    attempt.settles
                ),
                Record::Challenge(attempt) if attempt.settles != 0 => {
                    format!("{seq} challenge {} settles {}", attempt.status, attempt.settles)
                }
                Record::Challenge(attempt) => format!("{seq} challenge {}", attempt.status),
                Record::Increment { base_seq, count, why } => {
                    format!("{seq} increment {base_seq} +{count} {}", why.as_str())
                }
                Record::RefusalSummary { reason, count, .. } => {
                    format!("{seq} summary {} {count}", reason.as_str())
                }
                other => format!("{seq} {:?}", other.kind()),
            });
        });
        lines
    }
}

/// A request with everything that the RFC wants, of about the size that scanners send.
pub(crate) struct Ask {
    pub method: &'static str,
    pub caller: String,
    pub callee: String,
    pub call_id: String,
    pub branch: String,
    pub cseq: u32,
    pub to_tag: Option<String>,
    pub extra: Vec<String>,
}

pub(crate) fn ask(method: &'static str) -> Ask {
    Ask {
        method,
        caller: "1001".into(),
        callee: "00972595725668".into(),
        call_id: "a84b4c76e66710".into(),
        branch: "z9hG4bK776asdhds".into(),
        cseq: 1,
        to_tag: None,
        extra: vec!["User-Agent: friendly-scanner".into(), "Contact: <sip:1001@10.0.0.5:5060>".into()],
    }
}

impl Ask {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { method, caller, callee, call_id, branch, cseq, .. } = self;
        let uri = if *method == "REGISTER" { "sip:192.0.2.1".to_owned() } else { format!("sip:{callee}@192.0.2.1") };
        let to = if *method == "REGISTER" { caller } else { callee };
        let tag = self.to_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        let extra = self.extra.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: \"x\" <sip:{caller}@192.0.2.1>;tag=1928301774\r\nTo: <sip:{to}@192.0.2.1>{tag}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// The same request, next `CSeq` and branch, with an MD5 answer to the challenge in `outcome`.
    pub(crate) fn answering(&self, outcome: &Outcome, number: &str, password: &str, nc: u32) -> Ask {
        let (nonce, realm) = (outcome.challenge("nonce"), outcome.challenge("realm"));
        let ha1 = md5_hex(&format!("{number}:{realm}:{password}"));
        let ha2 = md5_hex(&format!("{}:sip:192.0.2.1", self.method));
        let response = md5_hex(&format!("{ha1}:{nonce}:{nc:08x}:abc:auth:{ha2}"));
        let header = if self.method == "REGISTER" { "Authorization" } else { "Proxy-Authorization" };
        let mut extra = self.extra.clone();
        extra.push(format!(
            "{header}: Digest username=\"{number}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"sip:192.0.2.1\",\
             response=\"{response}\",algorithm=MD5,cnonce=\"abc\",qop=auth,nc={nc:08x}"
        ));
        Ask {
            method: self.method,
            caller: self.caller.clone(),
            callee: self.callee.clone(),
            call_id: self.call_id.clone(),
            branch: format!("{}n{nc}", self.branch),
            cseq: self.cseq + nc,
            to_tag: None,
            extra,
        }
    }
}
