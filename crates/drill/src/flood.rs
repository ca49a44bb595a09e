// SPDX-License-Identifier: Apache-2.0
//! The load sender.
//!
//! One thread sends and receives. Each request follows from the run's seed and its own number: the template, the source
//! address, the socket (so the source port) and every identifier; nothing about it need be remembered to write it again as a
//! retransmission or to count its answer for its source. The branch carries the number, permuted by the seed, so an answer
//! leads back to its request whatever the grammar; the time it was sent stands in a ring of the last million requests.
//!
//! Source addresses lie in 127.1.0.0 and up and are chosen per datagram (`IP_PKTINFO`), so no socket is bound to them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::choice::{self, Kind};
use crate::error::in_range;
use crate::histogram::Histogram;
use crate::message::{MAX_MESSAGE_BYTES, Method, Template, Wanted, Writer};
use crate::pace::{Pacer, Repeater};
use crate::random::Random;
use crate::report::{FloodReport, Latency, SourceCount};
use crate::{DrillError, Target, sys};

/// When requests leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the sender can, whatever comes back.
    Unpaced,
    /// So many per second, whatever comes back.
    Rate(f64),
    /// At most so many unanswered at a time.
    Window(u32),
}

/// Shares of what is sent; only their ratios matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// INVITE requests.
    pub invite: u32,
    /// REGISTER requests.
    pub register: u32,
    /// OPTIONS requests.
    pub options: u32,
    /// Datagrams of 1 to 1,200 random bytes, to which no answer is expected.
    pub random: u32,
}

impl Mix {
    /// Calls only.
    pub const INVITES: Self = Self { invite: 1, register: 0, options: 0, random: 0 };
}

/// The most source addresses: 127.1.0.0 to 127.254.255.255.
pub const MAX_SOURCES: u32 = 254 << 16;

/// A run of the load sender.
#[derive(Debug, Clone)]
pub struct Flood {
    /// Where it is aimed.
    pub target: Target,
    /// When requests leave.
    pub pace: Pace,
    /// The run ends after this long (at most an hour) ...
    pub run_for: Duration,
    /// ... or after this many requests.
    pub count: Option<u64>,
    /// Source addresses, from 127.1.0.0 up (IPv6 has only `::1`).
    pub sources: u32,
    /// Sockets, each with a source port of its own.
    pub sockets: usize,
    /// Datagrams per system call at most; few for latency, many for rate.
    pub batch: usize,
    /// Requests in a row that share a source and a size (padded after their end, RFC 3261 §18.3) and go to the kernel as one
    /// piece (`UDP_SEGMENT`): a sender that is several times as fast, to overrun a server. 1, 2, 4, 8, 16 or 32.
    pub train: usize,
    /// What is sent.
    pub mix: Mix,
    /// Tools whose grammar is used (`svwar`, `pbx`, ...) or whole template names; none means all sensible ones.
    pub grammars: Vec<String>,
    /// How often each request is repeated.
    pub retransmit: u8,
    /// Time between repetitions.
    pub retransmit_after: Duration,
    /// Core to stay on; the sender then spins and does not sleep.
    pub core: Option<usize>,
    /// What makes the run repeatable.
    pub seed: u64,
    /// How long to wait for answers after the last request.
    pub linger: Duration,
    /// Beginning of the run that rates and latency leave out.
    pub warm_up: Duration,
    /// Whether to count per source address.
    pub by_source: bool,
    /// File that holds the live counts `sent answered responses`, current whenever this or the other process dies.
    pub counts_file: Option<PathBuf>,
}

impl Flood {
    /// A run with the defaults: unpaced for 5 s, INVITEs from 4,096 addresses.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            pace: Pace::Unpaced,
            run_for: Duration::from_secs(5),
            count: None,
            sources: 4096,
            sockets: 8,
            batch: 32,
            train: 1,
            mix: Mix::INVITES,
            grammars: Vec::new(),
            retransmit: 0,
            retransmit_after: Duration::from_millis(500),
            core: None,
            seed: 1,
            linger: Duration::from_millis(500),
            warm_up: Duration::ZERO,
            by_source: false,
            counts_file: None,
        }
    }

    fn check(&self) -> Result<(), DrillError> {
        in_range("seconds", "above 0 and at most 3600", &self.run_for.as_secs_f64(), &0.001, &3600.0)?;
        in_range("count", "1 to 4,000,000,000", &self.count.unwrap_or(1), &1, &4_000_000_000)?;
        in_range("sources", "1 to 16,646,144", &self.sources, &1, &MAX_SOURCES)?;
        in_range("sockets", "1 to 512", &self.sockets, &1, &512)?;
        in_range("batch", "1 to 256", &self.batch, &1, &256)?;
        in_range("retransmit", "0 to 10", &self.retransmit, &0, &10)?;
        in_range("retransmit-after", "0 to 32 s", &self.retransmit_after.as_secs_f64(), &0.0, &32.0)?;
        in_range("linger", "0 to 60 s", &self.linger.as_secs_f64(), &0.0, &60.0)?;
        match self.pace {
            Pace::Unpaced => {}
            Pace::Rate(rate) => in_range("rate", "0.1 to 10,000,000 per second", &rate, &0.1, &10_000_000.0)?,
            Pace::Window(window) => {
                in_range("window", "1 to 262,144", &window, &1, &(RING as u32 / 4))?;
            }
        }
        if self.train > 1 {
            in_range("retransmit", "0 with trains", &self.retransmit, &0, &0)?;
        }
        if self.train > GROUP as usize || !self.train.is_power_of_two() {
            let value = self.train.to_string();
            return Err(DrillError::OutOfRange { name: "train", range: "1, 2, 4, 8, 16 or 32", value });
        }
        if self.by_source {
            in_range("sources", "at most 1,048,576 when they are counted one by one", &self.sources, &1, &(1 << 20))?;
        }
        Ok(())
    }
}

/// Requests whose sending time is remembered.
const RING: usize = 1 << 20;
/// Requests in a row that share a socket.
const GROUP: u64 = 32;
/// Answers read per system call.
const READ_BATCH: usize = 128;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Low half of the request's number, plus one; 0 = never used.
    mark: u32,
    final_answers: u32,
    sent_ns: u64,
}

/// What a run has done so far.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) requests: u64,
    pub(crate) retransmitted: u64,
    pub(crate) noise: u64,
    pub(crate) bytes: u64,
    pub(crate) answered: u64,
    pub(crate) responses: u64,
    pub(crate) duplicates: u64,
    pub(crate) unmatched: u64,
    pub(crate) skipped: u64,
    pub(crate) given_up: u64,
    pub(crate) by_method: [u64; 3],
}

/// Runs the flood until its end or until `stop` is set.
pub fn flood(options: &Flood, stop: &AtomicBool) -> Result<FloodReport, DrillError> {
    options.check()?;
    if let Some(core) = options.core {
        sys::pin_to_core(core).map_err(DrillError::io("pin to a core"))?;
    }
    let mut sender = Sender::new(options)?;
    sender.run(stop)?;
    Ok(sender.report())
}

struct Sender<'a> {
    options: &'a Flood,
    target: SocketAddr,
    to: sys::Name,
    sockets: Vec<UdpSocket>,
    ports: Vec<u16>,
    templates: Vec<Template>,
    kinds: Vec<Kind>,
    writer: Writer,
    ring: Vec<Slot>,
    out: sys::Outgoing,
    inbox: sys::Received,
    next_read: usize,
    counts: Counts,
    status: Vec<u64>,
    by_source: Vec<SourceCount>,
    latency: Histogram,
    began: Instant,
    measure_from_ns: u64,
    at_warm_up: Option<(u64, u64, u64)>,
    measured: (u64, u64, u64),
    last_sent_ns: u64,
    counts_file: Option<File>,
    cpu: Duration,
}

impl<'a> Sender<'a> {
    fn new(options: &'a Flood) -> Result<Self, DrillError> {
        let target = options.target.address();
        let local = sys::wildcard(target);
        let receive_bytes = if options.sockets > 16 { 4 << 20 } else { 32 << 20 };
        let sockets = (0..options.sockets)
            .map(|_| sys::udp_socket(local, receive_bytes, 8 << 20))
            .collect::<Result<Vec<_>, _>>()
            .map_err(DrillError::io("open a socket"))?;
        let ports = sockets
            .iter()
            .map(|socket| socket.local_addr().map(|address| address.port()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(DrillError::io("ask for a source port"))?;
        let (templates, kinds) = choice::choose(options)?;
        let counts_file = match &options.counts_file {
            Some(path) => Some(File::create(path).map_err(DrillError::io("create the file of counts"))?),
            None => None,
        };
        let sources = if options.by_source { options.sources as usize } else { 0 };
        Ok(Self {
            options,
            target,
            to: sys::Name::from(target),
            sockets,
            ports,
            templates,
            kinds,
            writer: Writer::new(options.seed, target),
            ring: vec![Slot::default(); RING],
            out: sys::Outgoing::new(options.batch.max(options.train), MAX_MESSAGE_BYTES),
            inbox: sys::Received::new(READ_BATCH, MAX_MESSAGE_BYTES),
            next_read: 0,
            counts: Counts::default(),
            status: vec![0; 700],
            by_source: vec![SourceCount::default(); sources],
            latency: Histogram::default(),
            began: Instant::now(),
            measure_from_ns: u64::try_from(options.warm_up.as_nanos()).unwrap_or(u64::MAX),
            at_warm_up: None,
            measured: (0, 0, 0),
            last_sent_ns: 0,
            counts_file,
            cpu: sys::thread_cpu_time(),
        })
    }

    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<(), DrillError> {
        let limit_ns = self.options.run_for.as_nanos() as u64;
        let count = self.options.count.unwrap_or(u64::MAX);
        let mut pacer = Pacer::new(self.options.pace);
        let mut repeater = Repeater::new(self.options);
        let mut next = 0u64;
        let mut quiet_rounds = 0;
        let most = self.options.batch.max(self.options.train) as u64;
        self.began = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = self.now_ns();
            if now >= limit_ns || count - next < self.options.train as u64 {
                break;
            }
            if self.at_warm_up.is_none() && now >= self.measure_from_ns {
                self.at_warm_up = Some((now, self.counts.sent, self.counts.answered));
                self.latency = Histogram::default();
            }
            let allowed = pacer.allowed(now, &mut self.counts, most).min(count - next);
            let in_group = GROUP - next % GROUP;
            let some = allowed.min(in_group).min(most);
            let some = some - some % self.options.train as u64;
            if some > 0 {
                self.send(next..next + some, true)?;
                next += some;
                pacer.sent(some);
            }
            let repeated = self.repeat(&mut repeater, next)?;
            let answers = self.read()?;
            if some > 0 || repeated || answers > 0 {
                quiet_rounds = 0;
            } else {
                quiet_rounds += 1;
                // Unpinned, the sender shares its core with others: it waits for answers or for the next request's time.
                if self.options.core.is_none() && quiet_rounds > self.sockets.len() {
                    sys::wait_readable(&self.sockets, pacer.idle_for());
                }
            }
        }
        let end = self.now_ns();
        let (from, sent, answered) = self.at_warm_up.unwrap_or((0, 0, 0));
        self.measured = (end - from, self.counts.sent - sent, self.counts.answered - answered);
        self.linger(&mut repeater, next, stop)
    }

    /// Reads what still comes: until all are answered, or nothing new is to be expected.
    fn linger(&mut self, repeater: &mut Repeater, next: u64, stop: &AtomicBool) -> Result<(), DrillError> {
        let began = Instant::now();
        let repeating = self.options.retransmit_after * u32::from(self.options.retransmit);
        let (mut quiet_rounds, limit) = (0, repeating + self.options.linger);
        while began.elapsed() < limit && !stop.load(Ordering::Relaxed) {
            let repeated = self.repeat(repeater, next)?;
            if repeater.is_done(next) && self.counts.answered >= self.counts.requests {
                break;
            }
            if self.read()? > 0 || repeated {
                quiet_rounds = 0;
                continue;
            }
            quiet_rounds += 1;
            if quiet_rounds > self.sockets.len() {
                sys::wait_readable(&self.sockets, Duration::from_millis(1));
            }
        }
        self.write_counts()
    }

    /// Sends the requests with these numbers, which share a socket.
    fn send(&mut self, numbers: std::ops::Range<u64>, first_time: bool) -> Result<(), DrillError> {
        let socket = (numbers.start / GROUP) as usize % self.sockets.len();
        let port = self.ports[socket];
        let total = (numbers.end - numbers.start) as usize;
        for (place, number) in numbers.clone().enumerate() {
            let (source, kind) = self.plan(number);
            let length = match self.kinds[kind] {
                Kind::Request(template) => {
                    let template = &self.templates[template];
                    if first_time {
                        self.counts.requests += 1;
                        self.counts.by_method[template.method as usize] += 1;
                    }
                    let from = SocketAddr::new(source, port);
                    self.writer.write(self.out.buffer(place), template, number, from, &Wanted::default())
                }
                Kind::Noise => {
                    self.counts.noise += u64::from(first_time);
                    let mut random = Random::of_request(self.options.seed, number);
                    let length = 1 + random.below(1200) as usize;
                    random.fill(&mut self.out.buffer(place)[..length]);
                    length
                }
            };
            self.out.address(place, length, self.to);
            if let IpAddr::V4(v4) = source {
                self.out.leave_from(place, v4);
            }
            if self.options.by_source {
                let counted = self.source_place(number);
                self.by_source[counted].sent += 1;
            }
        }
        let now = self.now_ns();
        if first_time {
            for number in numbers {
                self.ring[number as usize % RING] = Slot { mark: number as u32 + 1, final_answers: 0, sent_ns: now };
            }
        } else {
            self.counts.retransmitted += total as u64;
        }
        self.last_sent_ns = now;
        let socket = &self.sockets[socket];
        let mut done = 0;
        while done < total {
            done += match self.options.train {
                1 => self.out.send(socket, done, total),
                train => self.out.send_train(socket, done, done + train),
            }
            .map_err(DrillError::io("send"))?;
        }
        self.counts.bytes += self.out.bytes(total);
        self.counts.sent += total as u64;
        Ok(())
    }

    /// Source address and place in the table of kinds, of request `number`.
    fn plan(&self, number: u64) -> (IpAddr, usize) {
        let kind = Random::of_request(self.options.seed ^ KIND_STREAM, number).next() as usize % self.kinds.len();
        let source = match self.target {
            SocketAddr::V4(_) => IpAddr::V4(source_address(self.source_place(number) as u32)),
            SocketAddr::V6(v6) => IpAddr::V6(*v6.ip()),
        };
        (source, kind)
    }

    fn source_place(&self, number: u64) -> usize {
        let number = number - number % self.options.train as u64;
        Random::of_request(self.options.seed ^ SOURCE_STREAM, number).below(self.options.sources) as usize
    }

    fn repeat(&mut self, repeater: &mut Repeater, next: u64) -> Result<bool, DrillError> {
        let mut any = false;
        for round in 0..repeater.reached.len() {
            let from = repeater.reached[round];
            let due_ns = repeater.after_ns * (round as u64 + 1);
            let now = self.now_ns();
            let most = GROUP - from % GROUP;
            let mut to = from;
            while to < next && to < from + most.min(self.options.batch as u64) {
                let slot = self.ring[to as usize % RING];
                // A slot that a later request has taken is long past its time.
                if slot.mark == to as u32 + 1 && slot.sent_ns + due_ns > now {
                    break;
                }
                to += 1;
            }
            if to > from {
                self.send(from..to, false)?;
                repeater.reached[round] = to;
                any = true;
            }
        }
        Ok(any)
    }

    /// Reads one batch from the next socket; returns how many datagrams came.
    fn read(&mut self) -> Result<usize, DrillError> {
        let socket = self.next_read;
        self.next_read = (socket + 1) % self.sockets.len();
        let got = self.inbox.receive(&self.sockets[socket], false, false).map_err(DrillError::io("receive"))?;
        if got == 0 {
            return Ok(0);
        }
        let now = self.now_ns();
        for i in 0..got {
            let Some((status, number)) = understand(self.inbox.datagram(i), &self.writer) else {
                self.counts.unmatched += 1;
                continue;
            };
            self.count_answer(status, number, now);
        }
        self.write_counts()?;
        Ok(got)
    }

    fn count_answer(&mut self, status: u16, number: Option<u64>, now: u64) {
        self.status[usize::from(status)] += 1;
        let slot = number.and_then(|number| {
            let slot = &mut self.ring[number as usize % RING];
            (slot.mark == number as u32 + 1 && number >> 32 == 0).then_some((number, slot))
        });
        let Some((number, slot)) = slot else {
            self.counts.unmatched += 1;
            return;
        };
        if status < 200 {
            return;
        }
        self.counts.responses += 1;
        slot.final_answers += 1;
        if slot.final_answers > 1 {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.answered += 1;
        self.latency.add(now - slot.sent_ns);
        if self.options.by_source {
            let place = self.source_place(number);
            self.by_source[place].answered += 1;
        }
    }

    fn write_counts(&mut self) -> Result<(), DrillError> {
        if let Some(file) = &self.counts_file {
            let line = format!("{:020} {:020} {:020}\n", self.counts.sent, self.counts.answered, self.counts.responses);
            file.write_all_at(line.as_bytes(), 0).map_err(DrillError::io("write the counts"))?;
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn report(&self) -> FloodReport {
        let counts = &self.counts;
        let measured_s = self.measured.0 as f64 / 1e9;
        let per_s = |n: u64| {
            if measured_s > 0.0 { n as f64 / measured_s } else { 0.0 }
        };
        let share = |part: u64, whole: u64| {
            if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
        };
        let lost = counts.requests - counts.answered;
        let by_source = self.options.by_source.then(|| {
            let used = self.by_source.iter().enumerate().filter(|(_, count)| count.sent > 0);
            used.map(|(place, &count)| (source_address(place as u32).to_string(), count)).collect()
        });
        let methods = [Method::Invite, Method::Register, Method::Options];
        FloodReport {
            target: self.target.to_string(),
            seed: self.options.seed,
            seconds: self.last_sent_ns as f64 / 1e9,
            measured_s,
            sent: counts.sent,
            requests: counts.requests,
            retransmitted: counts.retransmitted,
            noise: counts.noise,
            by_method: methods.into_iter().map(|method| (method.name(), counts.by_method[method as usize])).collect(),
            sent_per_s: per_s(self.measured.1),
            answered: counts.answered,
            answered_per_s: per_s(self.measured.2),
            duplicates: counts.duplicates,
            by_status: self
                .status
                .iter()
                .enumerate()
                .filter(|&(_, &n)| n > 0)
                .map(|(code, &n)| (code as u16, n))
                .collect(),
            unmatched: counts.unmatched,
            lost,
            loss_percent: 100.0 * share(lost, counts.requests),
            skipped: counts.skipped,
            dropped_here: self.sockets.iter().map(|socket| sys::dropped(socket).unwrap_or(0)).sum(),
            average_bytes: share(counts.bytes, counts.sent),
            cpu_s: sys::thread_cpu_time().saturating_sub(self.cpu).as_secs_f64(),
            latency_us: Latency::from(&self.latency),
            by_source,
        }
    }
}

const KIND_STREAM: u64 = 0x4b49_4e44_4b49_4e44;
const SOURCE_STREAM: u64 = 0x534f_5552_4345_5321;

/// The source address with this number: 127.1.0.0 and up.
pub fn source_address(place: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x7f01_0000 + place.min(MAX_SOURCES - 1))
}

/// Status code and request number of an answer; the number is missing when its branch is none of ours.
fn understand(answer: &[u8], writer: &Writer) -> Option<(u16, Option<u64>)> {
    let code = answer.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    let status =
        code.iter().try_fold(0u16, |value, &c| c.is_ascii_digit().then(|| value * 10 + u16::from(c - b'0')))?;
    if !(100..700).contains(&status) {
        return None;
    }
    let at = memmem::find(&answer[..answer.len().min(1024)], b"branch=");
    Some((status, at.and_then(|at| writer.index_of_branch(&answer[at + 7..]))))
}
