// SPDX-License-Identifier: Apache-2.0
//! The yardstick: a 403 to every request, made of the five headers that RFC 3261 §8.2.6.2 wants copied. It finds lines and
//! compares their names, nothing more: no syntax is judged, nothing is recorded. What a refusing and recording server
//! reaches of this one's rate is what its work costs.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memchr::memchr;
use serde::Serialize;

use crate::error::in_range;
use crate::{DrillError, Target, sys};

/// How the answerer runs.
#[derive(Debug, Clone)]
pub struct Bare {
    /// Where it listens.
    pub listen: Target,
    /// It stops by itself after this long.
    pub run_for: Duration,
    /// Datagrams received at most by one system call.
    pub batch: usize,
    /// Core to stay on.
    pub core: Option<usize>,
    /// Receive buffer of the socket.
    pub receive_bytes: i32,
}

impl Bare {
    /// The defaults: an hour at most, batches of 64, 32 MiB of buffer, any core.
    pub fn new(listen: Target) -> Self {
        Self { listen, run_for: Duration::from_hours(1), batch: 64, core: None, receive_bytes: 32 << 20 }
    }
}

/// What the answerer did.
#[derive(Debug, Clone, Serialize)]
pub struct BareReport {
    /// Datagrams read.
    pub read: u64,
    /// Answers sent.
    pub answered: u64,
    /// Datagrams without the five headers.
    pub unanswerable: u64,
    /// Datagrams that the kernel dropped for want of buffer.
    pub dropped: u64,
    /// Processor time of its thread.
    pub cpu_s: f64,
    /// Wall-clock time.
    pub seconds: f64,
    /// Datagrams per system call that returned any.
    pub average_batch: f64,
}

/// Answers until `stop` is set or the time is over. `ready` hears the bound address first.
pub fn answer(options: &Bare, stop: &AtomicBool, ready: impl FnOnce(SocketAddr)) -> Result<BareReport, DrillError> {
    in_range("seconds", "above 0 and at most 3600", &options.run_for.as_secs_f64(), &0.001, &3600.0)?;
    in_range("batch", "1 to 1024", &options.batch, &1, &1024)?;
    if let Some(core) = options.core {
        sys::pin_to_core(core).map_err(DrillError::io("pin to a core"))?;
    }
    let socket =
        sys::udp_socket(options.listen.address(), options.receive_bytes, 8 << 20).map_err(DrillError::io("listen"))?;
    socket.set_read_timeout(Some(Duration::from_millis(50))).map_err(DrillError::io("set a time-out"))?;
    ready(socket.local_addr().map_err(DrillError::io("ask for the bound address"))?);
    serve(&socket, options, stop)
}

fn serve(socket: &UdpSocket, options: &Bare, stop: &AtomicBool) -> Result<BareReport, DrillError> {
    const DATAGRAM_BYTES: usize = 2048;
    let mut requests = sys::Received::new(options.batch, DATAGRAM_BYTES);
    let mut answers = sys::Outgoing::new(options.batch, DATAGRAM_BYTES);
    let (mut read, mut answered, mut unanswerable, mut batches) = (0u64, 0u64, 0u64, 0u64);
    let began = Instant::now();
    let cpu = sys::thread_cpu_time();
    while !stop.load(Ordering::Relaxed) && began.elapsed() < options.run_for {
        let got = requests.receive(socket, true, true).map_err(DrillError::io("receive"))?;
        if got == 0 {
            continue;
        }
        batches += 1;
        read += got as u64;
        let mut ready = 0;
        for i in 0..got {
            if let Some(length) = refuse(requests.datagram(i), answers.buffer(ready)) {
                answers.address(ready, length, requests.name(i));
                ready += 1;
            } else {
                unanswerable += 1;
            }
        }
        let mut done = 0;
        while done < ready && !stop.load(Ordering::Relaxed) {
            done += answers.send(socket, done, ready).map_err(DrillError::io("send"))?;
        }
        answered += done as u64;
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(BareReport {
        read,
        answered,
        unanswerable,
        dropped: sys::dropped(socket).unwrap_or(0),
        cpu_s: sys::thread_cpu_time().saturating_sub(cpu).as_secs_f64(),
        seconds: began.elapsed().as_secs_f64(),
        average_batch: if batches == 0 { 0.0 } else { read as f64 / batches as f64 },
    })
}

const STATUS_LINE: &[u8] = b"SIP/2.0 403 Forbidden\r\n";
const TAG: &[u8] = b";tag=bare403\r\n";
const END: &[u8] = b"Content-Length: 0\r\n\r\n";

const VIA: u8 = 1;
const FROM: u8 = 2;
const TO: u8 = 4;
const CALL_ID: u8 = 8;
const CSEQ: u8 = 16;

/// Which of the five a header line is, long or compact, 0 for any other.
#[inline]
fn kind(line: &[u8]) -> u8 {
    let named = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    match line.first().map_or(0, |c| c | 0x20) {
        b'v' if named(b"via:") || named(b"v:") => VIA,
        b'f' if named(b"from:") || named(b"f:") => FROM,
        b't' if named(b"to:") || named(b"t:") => TO,
        b'c' if named(b"call-id:") => CALL_ID,
        b'c' if named(b"cseq:") => CSEQ,
        b'i' if named(b"i:") => CALL_ID,
        _ => 0,
    }
}

/// Writes the 403 to `request` into `out`; `None` if one of the five headers is missing or there is no room.
#[inline]
fn refuse(request: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    let mut put = |bytes: &[u8]| -> Option<()> {
        out.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(())
    };
    put(STATUS_LINE)?;
    let mut rest = &request[memchr(b'\n', request)? + 1..];
    let mut found = 0;
    while rest.first().is_some_and(|&c| c != b'\r') {
        let end = memchr(b'\n', rest)?;
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let kind = kind(line);
        if kind == TO {
            put(line.strip_suffix(b"\r\n")?)?;
            put(TAG)?;
        } else if kind != 0 {
            put(line)?;
        }
        found |= kind;
    }
    (found == VIA | FROM | TO | CALL_ID | CSEQ).then_some(())?;
    put(END)?;
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(request: &str) -> Option<String> {
        let mut out = [0u8; 2048];
        refuse(request.as_bytes(), &mut out).map(|length| String::from_utf8(out[..length].to_vec()).unwrap())
    }

    #[test]
    fn the_five_headers_are_copied_and_to_gets_a_tag() {
        let answer = answer_to(
            "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nVia: SIP/2.0/UDP b\r\nfrom: <sip:a@b>;tag=1\r\nT: <sip:1@h>\r\ni: x\r\nCSEQ: 1 INVITE\r\n\r\nTo: body",
        );
        assert_eq!(
            answer.unwrap(),
            "SIP/2.0 403 Forbidden\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b\r\nfrom: <sip:a@b>;tag=1\r\nT: <sip:1@h>;tag=bare403\r\ni: x\r\nCSEQ: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn what_lacks_a_header_is_not_answered() {
        for request in
            ["", "x", "\r\n", "INVITE\r\n\r\n", "a\nVia: b\r\nFrom: c\r\nTo: d\r\nCall-ID: e\r\n\r\n", "a\nTo:\n"]
        {
            assert_eq!(answer_to(request), None, "{request:?}");
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_not_sent() {
        let request = format!("I\r\nVia: {}\r\nFrom: c\r\nTo: d\r\nCall-ID: e\r\nCSeq: 1 I\r\n\r\n", "v".repeat(2040));
        assert_eq!(answer_to(&request), None);
    }
}
