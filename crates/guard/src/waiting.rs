// SPDX-License-Identifier: Apache-2.0
//! Challenged calls that wait for their answer: whether one is illegal is known once it can come no more.
//!
//! A phone without a nonce is challenged before it calls, and that alone makes no criminal of it.

use std::collections::VecDeque;

use crate::effects::Now;

/// Seconds after which a challenged call is illegal. The ledger then has a record of it: its window of 34 s, and the rest of a second.
const ILLEGAL_AFTER_S: u64 = 35;

/// How many calls wait, by the second in which they were challenged.
#[derive(Default)]
pub(crate) struct Waiting {
    /// (UTC second, the monotonic one when it began, calls), oldest first: a second that is over takes no more.
    seconds: VecDeque<(u32, u64, u64)>,
}

impl Waiting {
    /// A call was challenged.
    pub(crate) fn challenged(&mut self, now: Now) {
        match self.seconds.back_mut() {
            Some((made_at_s, _, calls)) if *made_at_s == now.utc_s() => *calls = calls.saturating_add(1),
            _ => self.seconds.push_back((now.utc_s(), now.ms / 1000, 1)),
        }
    }

    /// One that was challenged in this UTC second answered, rightly or not.
    pub(crate) fn answered(&mut self, made_at_s: u32) {
        let waiting = self.seconds.iter_mut().rev().find(|(second, _, calls)| *second == made_at_s && *calls > 0);
        if let Some((_, _, calls)) = waiting {
            *calls = calls.saturating_sub(1);
        }
    }

    /// How many will not answer any more.
    pub(crate) fn illegal(&mut self, now: Now) -> u64 {
        let mut illegal = 0_u64;
        while let Some((_, since_s, calls)) = self.seconds.front()
            && since_s.saturating_add(ILLEGAL_AFTER_S) <= now.ms / 1000
        {
            illegal = illegal.saturating_add(*calls);
            self.seconds.pop_front();
        }
        illegal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { ms, utc_us: 1_800_000_000_000_000 + ms * 1000 }
    }

    #[test]
    fn calls_are_illegal_35_seconds_after_their_challenge_unless_they_answered() {
        let mut waiting = Waiting::default();
        for ms in [0, 10, 20, 1000] {
            waiting.challenged(at(ms));
        }
        waiting.answered(at(0).utc_s());
        assert_eq!([34_999, 35_000, 35_999, 36_000].map(|ms| waiting.illegal(at(ms))), [0, 2, 0, 1]);
    }

    #[test]
    fn an_answer_takes_none_of_another_second_and_none_twice() {
        let mut waiting = Waiting::default();
        waiting.challenged(at(0));
        waiting.answered(at(5000).utc_s());
        waiting.answered(at(0).utc_s());
        waiting.answered(at(0).utc_s());
        waiting.challenged(at(500));
        assert_eq!(waiting.illegal(at(60_000)), 1);
    }

    #[test]
    fn it_does_not_grow_with_calls_nor_with_jumps_of_the_clock() {
        let mut waiting = Waiting::default();
        for ms in 0..200_000 {
            waiting.challenged(at(ms));
            waiting.illegal(at(ms));
            assert!(waiting.seconds.len() <= 36);
        }
    }
}
