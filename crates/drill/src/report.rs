// SPDX-License-Identifier: Apache-2.0
//! What a run did, ready to be written as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::histogram::Histogram;

/// Time from sending a request to its first final answer, in microseconds, by the sender's clock.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Answers measured.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl From<&Histogram> for Latency {
    #[allow(clippy::cast_precision_loss)]
    fn from(histogram: &Histogram) -> Self {
        let us = |ns: u64| ns as f64 / 1000.0;
        Self {
            count: histogram.count(),
            p50: us(histogram.quantile(0.5)),
            p90: us(histogram.quantile(0.9)),
            p99: us(histogram.quantile(0.99)),
            p999: us(histogram.quantile(0.999)),
            max: us(histogram.max()),
        }
    }
}

/// Exact counts of one source address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SourceCount {
    /// Datagrams sent from it, retransmissions included.
    pub sent: u64,
    /// Its requests that got a final answer.
    pub answered: u64,
}

/// What [`crate::flood::flood`] did.
///
/// Shape: `sent = requests + retransmitted + noise`; `requests = answered + lost`; the two rates and the latency cover only the
/// `measured_s` between the warm-up and the last request, everything else the whole run.
#[derive(Debug, Clone, Serialize)]
pub struct FloodReport {
    /// Where it was aimed.
    pub target: String,
    /// Seed that repeats the run.
    pub seed: u64,
    /// Seconds from the first datagram to the last.
    pub seconds: f64,
    /// Seconds that the rates and the latency cover.
    pub measured_s: f64,
    /// Datagrams sent.
    pub sent: u64,
    /// Different SIP requests sent.
    pub requests: u64,
    /// Repetitions of requests.
    pub retransmitted: u64,
    /// Datagrams of random bytes.
    pub noise: u64,
    /// Requests by method.
    pub by_method: BTreeMap<&'static str, u64>,
    /// Datagrams sent per second.
    pub sent_per_s: f64,
    /// Requests that got a final answer.
    pub answered: u64,
    /// First final answers per second.
    pub answered_per_s: f64,
    /// Final answers beyond the first to a request.
    pub duplicates: u64,
    /// All answers by status code, provisional and duplicate ones too.
    pub by_status: BTreeMap<u16, u64>,
    /// Datagrams received that answer no request of this run.
    pub unmatched: u64,
    /// Requests without a final answer when the run ended.
    pub lost: u64,
    /// `lost` of `requests`.
    pub loss_percent: f64,
    /// Datagrams that the paced loop gave up, because the sender was late by more than 20 ms.
    pub skipped: u64,
    /// Answers that the kernel dropped at the sender's own sockets (they are among `lost`).
    pub dropped_here: u64,
    /// Mean length of the requests.
    pub average_bytes: f64,
    /// Processor time of the sending thread.
    pub cpu_s: f64,
    /// Latency in microseconds.
    pub latency_us: Latency,
    /// Counts by source address, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_source: Option<BTreeMap<String, SourceCount>>,
}
