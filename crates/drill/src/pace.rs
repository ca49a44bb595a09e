// SPDX-License-Identifier: Apache-2.0
//! When requests leave, and when they are repeated.

use std::time::Duration;

use crate::flood::{Counts, Flood, Pace};

/// A window without any answer for this long counts as lost.
const WINDOW_STALL: Duration = Duration::from_millis(500);
/// A paced run never catches up by a burst of more than this.
const LATE: Duration = Duration::from_millis(20);

/// Says how many requests may leave now.
pub(crate) struct Pacer {
    pace: Pace,
    since_ns: u64,
    sent_since: u64,
    stalled_answers: u64,
    stalled_since_ns: u64,
}

impl Pacer {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, since_ns: 0, sent_since: 0, stalled_answers: 0, stalled_since_ns: 0 }
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
    pub(crate) fn allowed(&mut self, now: u64, counts: &mut Counts, batch: u64) -> u64 {
        match self.pace {
            Pace::Unpaced => batch,
            Pace::Rate(rate) => {
                let due = (now - self.since_ns) as f64 * rate / 1e9 - self.sent_since as f64;
                if due > rate * LATE.as_secs_f64() + batch as f64 {
                    counts.skipped += due as u64;
                    (self.since_ns, self.sent_since) = (now, 0);
                    return 0;
                }
                due.max(0.0) as u64
            }
            Pace::Window(window) => {
                let open = counts.requests - (counts.answered + counts.given_up).min(counts.requests);
                if counts.answered != self.stalled_answers || open < u64::from(window) {
                    (self.stalled_answers, self.stalled_since_ns) = (counts.answered, now);
                } else if now - self.stalled_since_ns > WINDOW_STALL.as_nanos() as u64 {
                    counts.given_up += open;
                    self.stalled_since_ns = now;
                }
                u64::from(window).saturating_sub(open)
            }
        }
    }

    pub(crate) fn sent(&mut self, some: u64) {
        self.sent_since += some;
    }

    /// How long an unpinned sender may sleep.
    pub(crate) fn idle_for(&self) -> Duration {
        match self.pace {
            Pace::Rate(rate) => Duration::from_secs_f64((1.0 / rate).clamp(0.000_05, 0.02)),
            Pace::Unpaced | Pace::Window(_) => Duration::from_millis(1),
        }
    }
}

/// How far each round of retransmission has got.
pub(crate) struct Repeater {
    pub(crate) reached: Vec<u64>,
    pub(crate) after_ns: u64,
}

impl Repeater {
    pub(crate) fn new(options: &Flood) -> Self {
        Self { reached: vec![0; options.retransmit.into()], after_ns: options.retransmit_after.as_nanos() as u64 }
    }

    pub(crate) fn is_done(&self, next: u64) -> bool {
        self.reached.iter().all(|&reached| reached >= next)
    }
}
