// SPDX-License-Identifier: Apache-2.0
//! Wrong answers within one attempt to register or to call (`SS_SIP_AUTHENTICATION_RETRY`).
//!
//! An attempt is a source, a number and a Call-ID, whether or not the number exists. It is over once nobody has answered for as long as a
//! challenge wants its answer: what comes later begins anew.

use crate::table::BoundedMap;

const ATTEMPTS: usize = 1 << 15;

#[derive(Default)]
struct Wrong {
    answers: u32,
    last_ms: u64,
}

/// Wrong answers of attempts under way.
pub(crate) struct Retries {
    attempts: BoundedMap<u64, Wrong>,
}

impl Retries {
    pub(crate) fn new() -> Self {
        Self { attempts: BoundedMap::new(ATTEMPTS) }
    }

    /// One more wrong answer; how many there are with it. `patience_ms` is how long a challenge waits for its answer.
    pub(crate) fn wrong(&mut self, attempt: u64, patience_ms: u64, now_ms: u64) -> u32 {
        let wrong = self.attempts.get_or_insert_with(attempt, Wrong::default);
        if now_ms.saturating_sub(wrong.last_ms) > patience_ms {
            wrong.answers = 0;
        }
        wrong.answers = wrong.answers.saturating_add(1);
        wrong.last_ms = now_ms;
        wrong.answers
    }

    /// It ended well.
    pub(crate) fn right(&mut self, attempt: u64) {
        self.attempts.remove(&attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_within_one_attempt_until_it_ends_or_nobody_goes_on_with_it() {
        let mut retries = Retries::new();
        assert_eq!([0, 10, 20].map(|now_ms| retries.wrong(1, 10, now_ms)), [1, 2, 3]);
        assert_eq!(retries.wrong(2, 10, 20), 1);
        assert_eq!(retries.wrong(1, 10, 31), 1);
        retries.right(2);
        assert_eq!(retries.wrong(2, 10, 21), 1);
    }
}
