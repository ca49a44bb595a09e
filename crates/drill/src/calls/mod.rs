// SPDX-License-Identifier: Apache-2.0
//! Calls through a switch: a customer and a vendor in one thread, as an open loop.
//!
//! Each call follows from the run's seed and its own number: what becomes of it ([`Fate`]) and how long it lasts. The vendor learns
//! both from the number called. Both sides repeat what RFC 3261 wants repeated, follow Record-Route, and can lose datagrams or send
//! them twice ([`Weather`]), so that one run does what a lossy network would.

mod alarms;
mod caller;
mod fate;
mod fields;
mod message;
mod report;
mod vendor;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use caller::Outcome;
pub use fate::{Fate, Fates};
pub use report::CallsReport;
pub use wire::Weather;

use alarms::{Alarms, Who};
use caller::Callers;
use vendor::Vendors;
use wire::{Batch, Wire};

use crate::error::in_range;
use crate::histogram::Histogram;
use crate::random::Random;
use crate::{DrillError, Target, sys};

const SECOND: u64 = 1_000_000_000;
/// RFC 3261 §17.1.1.1.
const T1: u64 = SECOND / 2;
const T2: u64 = 4 * SECOND;
/// 64 x T1.
const TIMER_B: u64 = 32 * SECOND;
/// A paced run never catches up by a burst of more than this.
const LATE: u64 = SECOND / 5;

/// A run of calls.
#[derive(Debug, Clone)]
pub struct Options {
    /// The switch.
    pub target: Target,
    /// Where the customer calls from.
    pub customer: Target,
    /// Where the vendor answers.
    pub vendor: Target,
    /// New calls per second.
    pub rate: f64,
    /// New calls are begun for so long (at most three hours) ...
    pub run_for: Duration,
    /// ... or until there were so many.
    pub count: Option<u32>,
    /// Answered calls last from this ...
    pub hold: Duration,
    /// ... to this, evenly.
    pub hold_at_most: Duration,
    /// Time from INVITE to answer at the vendor.
    pub ring: Duration,
    /// What becomes of calls.
    pub fates: Fates,
    /// What the network does to datagrams.
    pub weather: Weather,
    /// User part of the caller.
    pub caller: String,
    /// Digits before fate and number of the call.
    pub callee_prefix: String,
    /// Core to stay on; the thread then spins and does not sleep.
    pub core: Option<usize>,
    /// What makes the run repeatable.
    pub seed: u64,
    /// How long calls may take to end after the last one began.
    pub linger: Duration,
    /// Set-up times of calls begun before this are left out.
    pub warm_up: Duration,
    /// File that gets a line of CSV for each call.
    pub calls_file: Option<PathBuf>,
}

impl Options {
    /// Ten calls a second for 5 s, each answered at once and hung up at once by the caller.
    pub fn new(target: Target, customer: Target, vendor: Target) -> Self {
        Self {
            target,
            customer,
            vendor,
            rate: 10.0,
            run_for: Duration::from_secs(5),
            count: None,
            hold: Duration::ZERO,
            hold_at_most: Duration::ZERO,
            ring: Duration::ZERO,
            fates: Fates::ANSWERED,
            weather: Weather::default(),
            caller: "1001".to_owned(),
            callee_prefix: "44".to_owned(),
            core: None,
            seed: 1,
            linger: Duration::from_secs(40),
            warm_up: Duration::ZERO,
            calls_file: None,
        }
    }

    fn check(&self) -> Result<(), DrillError> {
        in_range("rate", "0.1 to 100,000 per second", &self.rate, &0.1, &100_000.0)?;
        in_range("seconds", "above 0 and at most 10800", &self.run_for.as_secs_f64(), &0.001, &10_800.0)?;
        in_range("count", "1 to 10,000,000", &self.count.unwrap_or(1), &1, &10_000_000)?;
        in_range("hold", "0 to 3600 s", &self.hold_at_most.as_secs_f64(), &0.0, &3600.0)?;
        in_range("ring", "0 to 300 s", &self.ring.as_secs_f64(), &0.0, &300.0)?;
        in_range("linger", "0 to 600 s", &self.linger.as_secs_f64(), &0.0, &600.0)?;
        in_range("loss", "0 to 0.9", &self.weather.loss, &0.0, &0.9)?;
        in_range("duplication", "0 to 0.9", &self.weather.duplication, &0.0, &0.9)?;
        let is_number = |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|c| c.is_ascii_digit());
        if !is_number(&self.caller) || !(self.callee_prefix.is_empty() || is_number(&self.callee_prefix)) {
            return Err(DrillError::Usage("caller and callee prefix are digits, at most 20".to_owned()));
        }
        Ok(())
    }

    /// How long call `number` lasts.
    fn hold_ns(&self, number: u32) -> u64 {
        let (least, most) = (self.hold.as_nanos() as u64, self.hold_at_most.as_nanos() as u64);
        let drawn = Random::of_request(self.seed ^ HOLD_STREAM, number.into()).below(1 << 30);
        least + ((u128::from(most.saturating_sub(least)) * u128::from(drawn)) >> 30) as u64
    }

    fn ring_ns(&self) -> u64 {
        self.ring.as_nanos() as u64
    }
}

const HOLD_STREAM: u64 = 0x484f_4c44_484f_4c44;

/// What both sides count.
#[derive(Debug, Default)]
struct Counts {
    legs: u64,
    retransmissions: u64,
    unexpected: u64,
    unacknowledged: u64,
    skipped: u64,
}

/// Runs the calls until the last has ended, the time is over, or `stop` is set.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<CallsReport, DrillError> {
    options.check()?;
    if let Some(core) = options.core {
        sys::pin_to_core(core).map_err(DrillError::io("pin to a core"))?;
    }
    let customer = Wire::open(options.customer.address(), options.weather, options.seed)?;
    let vendor = Wire::open(options.vendor.address(), options.weather, !options.seed)?;
    Run {
        callers: Callers::new(options, customer),
        vendors: Vendors::new(options, vendor),
        options,
        alarms: Alarms::default(),
        counts: Counts::default(),
        set_up: Histogram::default(),
        batch: Batch::new(),
        began: Instant::now(),
        began_us: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64),
        begun_for_ns: 0,
        cpu: sys::thread_cpu_time(),
    }
    .run(stop)
}

struct Run<'a> {
    options: &'a Options,
    callers: Callers<'a>,
    vendors: Vendors<'a>,
    alarms: Alarms,
    counts: Counts,
    set_up: Histogram,
    batch: Batch,
    began: Instant,
    began_us: u64,
    /// From the beginning to the last new call.
    begun_for_ns: u64,
    cpu: Duration,
}

impl Run<'_> {
    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn run(mut self, stop: &AtomicBool) -> Result<CallsReport, DrillError> {
        let last_ns = self.options.run_for.as_nanos() as u64;
        let count = self.options.count.unwrap_or(u32::MAX) as usize;
        let mut is_warm = self.options.warm_up.is_zero();
        let mut ended_at = None;
        while !stop.load(Ordering::Relaxed) {
            let now = self.now_ns();
            if !is_warm && now >= self.options.warm_up.as_nanos() as u64 {
                (is_warm, self.set_up) = (true, Histogram::default());
            }
            let is_over = ended_at.is_some() || now >= last_ns || self.callers.calls.len() >= count;
            if is_over {
                let since = *ended_at.get_or_insert(now);
                let is_quiet = self.callers.open == 0 && self.vendors.open == 0;
                if is_quiet || now - since >= self.options.linger.as_nanos() as u64 {
                    break;
                }
            } else {
                self.begin(now, count)?;
            }
            let read = self.read(now)?;
            self.wake(self.now_ns())?;
            self.callers.wire.flush()?;
            self.vendors.wire.flush()?;
            if read == 0 && self.options.core.is_none() {
                self.wait(is_over);
            }
        }
        self.finish()
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
    fn begin(&mut self, now: u64, count: usize) -> Result<(), DrillError> {
        let due = (now as f64 * self.options.rate / 1e9) as u64;
        let behind = due.saturating_sub(self.callers.calls.len() as u64 + self.counts.skipped);
        let most = (LATE as f64 * self.options.rate / 1e9) as u64 + 1;
        if behind > most {
            self.counts.skipped += behind - most;
        }
        // A few at a time, so that answers are read in between.
        for _ in 0..behind.min(most).min(16) {
            if self.callers.calls.len() < count {
                self.callers.begin(now, &mut self.alarms)?;
                self.begun_for_ns = now;
            }
        }
        Ok(())
    }

    fn read(&mut self, now: u64) -> Result<usize, DrillError> {
        let Self { callers, vendors, alarms, counts, set_up, batch, .. } = self;
        let answers = callers.wire.receive(batch)?;
        for (message, from) in batch.iter() {
            callers.take(message, from, now, alarms, counts, set_up)?;
        }
        let requests = vendors.wire.receive(batch)?;
        for (message, from) in batch.iter() {
            vendors.take(message, from, now, alarms, counts)?;
        }
        Ok(answers + requests)
    }

    fn wake(&mut self, now: u64) -> Result<(), DrillError> {
        while let Some((due_ns, who)) = self.alarms.due(now) {
            match who {
                Who::Caller(number) => self.callers.wake(number, due_ns, now, &mut self.alarms, &mut self.counts)?,
                Who::Vendor(place) => self.vendors.wake(place, due_ns, now, &mut self.alarms, &mut self.counts)?,
            }
        }
        Ok(())
    }

    /// Sleep until something comes or is due.
    fn wait(&self, is_over: bool) {
        let between = if is_over { 0.02 } else { (1.0 / self.options.rate).clamp(0.000_05, 0.02) };
        let until = self.alarms.next().map_or(u64::MAX, |due| due.saturating_sub(self.now_ns()));
        let limit = Duration::from_secs_f64(between).min(Duration::from_nanos(until));
        sys::wait_readable([self.callers.wire.socket(), self.vendors.wire.socket()], limit);
    }

    /// From the first 200 to the first BYE that reached the switch; 0 = one of them never did.
    fn talked_ns(&self, number: u32) -> u64 {
        let vendors = &self.vendors;
        let byes = [
            self.callers.calls[number as usize].bye_arrived_ns,
            vendors.byes_arrived_ns.get(&number).copied().unwrap_or(0),
        ];
        let answered_ns = vendors.answers_arrived_ns.get(&number).copied();
        let hung_up_ns = byes.into_iter().filter(|&at| at > 0).min();
        answered_ns.zip(hung_up_ns).map_or(0, |(answered, hung_up)| hung_up.saturating_sub(answered))
    }

    fn finish(self) -> Result<CallsReport, DrillError> {
        report::write_calls(&self)?;
        Ok(report::of(&self))
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// The customer calls the vendor with nothing in between.
    fn run_directly(fates: &str, weather: Weather) -> CallsReport {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let vendor = Target::new(free).unwrap();
        let options = Options {
            rate: 2_000.0,
            count: Some(400),
            hold: Duration::from_millis(1),
            hold_at_most: Duration::from_millis(20),
            ring: Duration::from_millis(2),
            fates: Fates::parse(fates).unwrap(),
            weather,
            ..Options::new(vendor, "127.0.0.1:0".parse().unwrap(), vendor)
        };
        run(&options, &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn calls_end_as_their_numbers_say() {
        let fates = "caller_hangs_up=4,callee_hangs_up=4,busy=1,declined=1,cancelled_ringing=1,cancelled_trying=1";
        let report = run_directly(fates, Weather::default());
        assert_eq!((report.started, report.failed, report.open), (400, 0, 0), "{report:?}");
        assert_eq!((report.unexpected, report.unacknowledged, report.legs), (0, 0, 400), "{report:?}");
        assert_eq!(report.outcomes.len(), 6, "{report:?}");
    }

    #[test]
    fn a_call_lasts_as_long_as_its_number_says() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let vendor = Target::new(free).unwrap();
        let hold = Duration::from_millis(700);
        let options = Options {
            count: Some(2),
            hold,
            hold_at_most: hold,
            ..Options::new(vendor, "127.0.0.1:0".parse().unwrap(), vendor)
        };
        let began = Instant::now();
        let report = run(&options, &AtomicBool::new(false)).unwrap();
        assert_eq!(report.outcomes, [("caller_hangs_up: completed".to_owned(), 2)].into(), "{report:?}");
        assert!(began.elapsed() >= hold);
    }

    #[test]
    fn lost_and_doubled_messages_change_no_end() {
        let report = run_directly("caller_hangs_up=1,busy=1", Weather { loss: 0.02, duplication: 0.1 });
        assert_eq!((report.started, report.failed, report.open), (400, 0, 0), "{report:?}");
        assert!(report.retransmissions > 0, "{report:?}");
    }
}
