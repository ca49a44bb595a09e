// SPDX-License-Identifier: Apache-2.0
//! Timer values and the timers that one transaction has running (RFC 3261 §17, table 4).

use std::time::{Duration, Instant};

use crate::error::Error;

/// Timer D on unreliable transports (RFC 3261 §17.1.1.2): as long as a server with the default T1 may repeat its final answer.
pub(crate) const D: Duration = Duration::from_secs(32);

/// Time within which an INVITE is to be answered by something (RFC 3261 §17.2.1).
pub(crate) const TRYING: Duration = Duration::from_millis(200);

/// T1, T2 and T4 (RFC 3261 §17.1.1.1, §17.1.2.2), in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "T1, T2 and T4 are the RFC's names, and ms is their unit")]
pub struct SipTimers {
    t1_ms: u32,
    t2_ms: u32,
    t4_ms: u32,
}

impl Default for SipTimers {
    /// The RFC's: 500 ms, 4 s, 5 s.
    fn default() -> Self {
        Self { t1_ms: 500, t2_ms: 4_000, t4_ms: 5_000 }
    }
}

impl SipTimers {
    /// Longest that any of them may be.
    pub const MAX: Duration = Duration::from_mins(1);

    /// Refuses what is below 1 ms or above [`Self::MAX`], and a T2 below T1: repetitions would come without end or not at all.
    pub fn new(t1: Duration, t2: Duration, t4: Duration) -> Result<Self, Error> {
        let range = Duration::from_millis(1)..=Self::MAX;
        if t2 < t1 || [t1, t2, t4].iter().any(|value| !range.contains(value)) {
            return Err(Error::Timers);
        }
        let ms = |value: Duration| value.as_millis() as u32;
        Ok(Self { t1_ms: ms(t1), t2_ms: ms(t2), t4_ms: ms(t4) })
    }

    /// Estimate of the round trip; first interval between repetitions.
    pub const fn t1(self) -> Duration {
        Duration::from_millis(self.t1_ms as u64)
    }

    /// Longest interval between repetitions of all but an INVITE.
    pub const fn t2(self) -> Duration {
        Duration::from_millis(self.t2_ms as u64)
    }

    /// Longest time that a message stays in the network.
    pub const fn t4(self) -> Duration {
        Duration::from_millis(self.t4_ms as u64)
    }

    /// 64 times T1: timers B, F, H, J, L, M.
    pub const fn t1_64(self) -> Duration {
        Duration::from_millis((self.t1_ms as u64).saturating_mul(64))
    }
}

/// Timers by the letters that the RFCs give them, and four that have none. Timer C is the call layer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Repeats an INVITE.
    A,
    /// Ends an INVITE that nobody answers.
    B,
    /// Keeps an INVITE client to acknowledge repeated final answers.
    D,
    /// Repeats another request.
    E,
    /// Ends another request that nobody answers.
    F,
    /// Repeats a final answer to an INVITE, other than a 2xx.
    G,
    /// Ends the wait for the ACK of such an answer.
    H,
    /// Absorbs repeated ACKs.
    I,
    /// Repeats the answer to another request when it comes again.
    J,
    /// Absorbs repeated answers.
    K,
    /// Keeps an INVITE server after its 2xx (RFC 6026).
    L,
    /// Keeps an INVITE client for more 2xx (RFC 6026).
    M,
    /// Sends the 100 (RFC 3261 §17.2.1).
    Trying,
    /// Repeats a 2xx until its ACK (RFC 3261 §13.3.1.4).
    Success,
    /// Ends an INVITE that has no final answer 64*T1 after its CANCEL (RFC 3261 §9.1).
    Cancel,
    /// Ends a request other than INVITE that our side leaves unanswered until nobody waits any more (RFC 4320 §4).
    Unanswered,
}

/// A timer that repeats something at growing intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    pub(crate) timer: Timer,
    pub(crate) at: Instant,
    pub(crate) interval: Duration,
}

/// What one transaction has running: never more than one timer that ends its state and one that repeats something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    end: Option<(Timer, Instant)>,
    again: Option<Again>,
}

impl Running {
    /// Starts the timer that ends the state.
    pub(crate) fn end(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.end = later(now, after).map(|at| (timer, at));
    }

    /// Starts the timer that repeats something after `interval`.
    pub(crate) fn again(&mut self, timer: Timer, now: Instant, interval: Duration) {
        self.again = later(now, interval).map(|at| Again { timer, at, interval });
    }

    /// Stops the timer that repeats.
    pub(crate) fn stop_again(&mut self) {
        self.again = None;
    }

    /// Stops both.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        match (self.end, self.again) {
            (Some((_, end)), Some(again)) => Some(end.min(again.at)),
            (Some((_, end)), None) => Some(end),
            (None, again) => again.map(|again| again.at),
        }
    }

    /// Takes one that is due. What ends the state goes before what repeats: where both are due the clock was late, and nobody needs
    /// the repetition any more.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if let Some((timer, _)) = self.end.take_if(|(_, at)| *at <= now) {
            return Some(Due::End(timer));
        }
        self.again.take_if(|again| again.at <= now).map(|again| Due::Again(again.timer, again.interval))
    }
}

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ends the state.
    End(Timer),
    /// Repeats something; the interval that has passed.
    Again(Timer, Duration),
}

/// Twice the interval, at most `cap`.
pub(crate) fn doubled(interval: Duration, cap: Duration) -> Duration {
    interval.saturating_mul(2).min(cap)
}

/// None beyond what an `Instant` can say: such a timer never fires.
fn later(now: Instant, after: Duration) -> Option<Instant> {
    now.checked_add(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §17, table 4.
    #[test]
    fn defaults_are_those_of_the_rfc() {
        let timers = SipTimers::default();
        assert_eq!((timers.t1(), timers.t2()), (Duration::from_millis(500), Duration::from_secs(4)));
        assert_eq!((timers.t4(), timers.t1_64()), (Duration::from_secs(5), Duration::from_secs(32)));
    }

    #[test]
    fn values_that_would_repeat_without_end_are_refused() {
        let ms = Duration::from_millis;
        assert!(SipTimers::new(ms(1), ms(1), ms(1)).is_ok());
        assert!(SipTimers::new(ms(500), ms(4000), ms(5000)).is_ok_and(|timers| timers == SipTimers::default()));
        for (t1, t2, t4) in
            [(0, 4000, 5000), (500, 499, 5000), (500, 4000, 0), (500, 60_001, 5000), (70_000, 70_000, 1)]
        {
            assert!(SipTimers::new(ms(t1), ms(t2), ms(t4)).is_err(), "{t1} {t2} {t4}");
        }
        assert!(SipTimers::new(Duration::from_micros(900), ms(1), ms(1)).is_err());
    }

    #[test]
    fn of_two_timers_that_are_due_the_end_comes_first() {
        let now = Instant::now();
        let mut running = Running::default();
        assert_eq!((running.next(), running.take_due(now)), (None, None));
        running.end(Timer::B, now, Duration::from_secs(32));
        running.again(Timer::A, now, Duration::from_millis(500));
        assert_eq!(running.next(), Some(now + Duration::from_millis(500)));
        assert_eq!(running.take_due(now + Duration::from_millis(499)), None);
        let late = now + Duration::from_secs(40);
        assert_eq!(running.take_due(late), Some(Due::End(Timer::B)));
        assert_eq!(running.take_due(late), Some(Due::Again(Timer::A, Duration::from_millis(500))));
        assert_eq!((running.next(), running.take_due(late)), (None, None));
    }

    #[test]
    fn a_timer_beyond_the_clock_never_fires() {
        let now = Instant::now();
        let mut running = Running::default();
        running.end(Timer::B, now, Duration::MAX);
        assert_eq!(running.next(), None);
    }
}
