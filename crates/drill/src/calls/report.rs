// SPDX-License-Identifier: Apache-2.0
//! What a run of calls did.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use serde::Serialize;

use super::Run;
use super::caller::{Call, Outcome};
use super::fate::{self, Fate};
use crate::report::Latency;
use crate::{DrillError, sys};

/// What [`super::run`] did.
///
/// Shape: `started = as_fated + failed`; a call is as fated if it ended as its number said.
#[derive(Debug, Clone, Serialize)]
pub struct CallsReport {
    /// The switch.
    pub target: String,
    /// Where the customer called from.
    pub customer: String,
    /// Where the vendor answered.
    pub vendor: String,
    /// Seed that repeats the run.
    pub seed: u64,
    /// Seconds from the first new call to the last.
    pub seconds: f64,
    /// Calls begun.
    pub started: u64,
    /// Calls begun per second.
    pub started_per_s: f64,
    /// Calls with an answer (200).
    pub answered: u64,
    /// Calls that ended as they should.
    pub as_fated: u64,
    /// Calls that did not.
    pub failed: u64,
    /// `failed` of `started`.
    pub failed_percent: f64,
    /// Ends, by fate and outcome: `busy: refused 486` and so on.
    pub outcomes: BTreeMap<String, u64>,
    /// Calls that had not ended when the run did (among `failed`).
    pub open: u64,
    /// INVITEs that reached the vendor, each attempt once.
    pub legs: u64,
    /// Final answers and BYEs of the vendor that nobody acknowledged.
    pub unacknowledged: u64,
    /// Messages that neither side could place.
    pub unexpected: u64,
    /// Messages that were sent again.
    pub retransmissions: u64,
    /// New calls that were given up, because the thread was late by more than 200 ms.
    pub skipped: u64,
    /// Datagrams that the kernel dropped here.
    pub dropped_here: u64,
    /// Time from the first INVITE to the 200, after the warm-up.
    pub set_up_us: Latency,
    /// Processor time of the thread.
    pub cpu_s: f64,
}

fn name(outcome: Option<Outcome>) -> String {
    match outcome {
        None => "open".to_owned(),
        Some(Outcome::Refused(status)) => format!("refused {status}"),
        Some(Outcome::Completed) => "completed".to_owned(),
        Some(Outcome::HungUp) => "hung up".to_owned(),
        Some(Outcome::Crossed) => "crossed".to_owned(),
        Some(Outcome::Unanswered) => "unanswered".to_owned(),
        Some(Outcome::ByeUnanswered) => "bye unanswered".to_owned(),
        Some(Outcome::NeverHungUp) => "never hung up".to_owned(),
    }
}

fn is_as_fated(call: &Call) -> bool {
    call.outcome.is_some_and(|outcome| outcome.fits(call.fate))
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn of(run: &Run<'_>) -> CallsReport {
    let calls = &run.callers.calls;
    let started = calls.len() as u64;
    let as_fated = calls.iter().filter(|call| is_as_fated(call)).count() as u64;
    let mut outcomes = BTreeMap::new();
    for call in calls {
        *outcomes.entry(format!("{}: {}", call.fate.name(), name(call.outcome))).or_insert(0) += 1;
    }
    let seconds = run.begun_for_ns as f64 / 1e9;
    let share = |part: u64| if started == 0 { 0.0 } else { part as f64 / started as f64 };
    CallsReport {
        target: run.options.target.address().to_string(),
        customer: run.callers.wire.address().to_string(),
        vendor: run.vendors.wire.address().to_string(),
        seed: run.options.seed,
        seconds,
        started,
        started_per_s: if seconds > 0.0 { started as f64 / seconds } else { 0.0 },
        answered: calls.iter().filter(|call| call.answered_ns > 0).count() as u64,
        as_fated,
        failed: started - as_fated,
        failed_percent: 100.0 * share(started - as_fated),
        outcomes,
        open: run.callers.open as u64,
        legs: run.counts.legs,
        unacknowledged: run.counts.unacknowledged,
        unexpected: run.counts.unexpected,
        retransmissions: run.counts.retransmissions,
        skipped: run.counts.skipped,
        dropped_here: run.callers.wire.dropped() + run.vendors.wire.dropped(),
        set_up_us: Latency::from(&run.set_up),
        cpu_s: sys::thread_cpu_time().saturating_sub(run.cpu).as_secs_f64(),
    }
}

/// A line for each call: times in UTC microseconds, 0 where there was none; `talked_us` is how long the switch knew
/// the call to be answered, whatever was lost on either side of it.
pub(super) fn write_calls(run: &Run<'_>) -> Result<(), DrillError> {
    let Some(path) = &run.options.calls_file else { return Ok(()) };
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "call_id,callee,fate,outcome,as_fated,started_us,answered_us,ended_us,talked_us")?;
        let utc_us = |ns: u64| if ns == 0 { 0 } else { run.began_us + ns / 1000 };
        for (number, call) in run.callers.calls.iter().enumerate() {
            let number = number as u32;
            writeln!(
                file,
                "{},{},{},{},{},{},{},{},{}",
                run.callers.call_id(number),
                fate::callee(&run.options.callee_prefix, call.fate, number),
                Fate::name(call.fate),
                name(call.outcome),
                u8::from(is_as_fated(call)),
                utc_us(call.started_ns),
                utc_us(call.answered_ns),
                utc_us(call.ended_ns),
                run.talked_ns(number) / 1000,
            )?;
        }
        file.flush()
    };
    write().map_err(DrillError::io("write the file of calls"))
}
