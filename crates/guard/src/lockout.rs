// SPDX-License-Identifier: Apache-2.0
//! Lock-out after wrong passwords (`SS_AUTHENTICATION_MAX_RETRY`, `SS_AUTHENTICATION_FAILED_SUSPEND`).
//!
//! Kept per (source, number), whether or not the number exists, so that a lock-out neither tells an existing number from a missing one
//! nor lets a stranger lock a customer out from elsewhere.

use crate::table::BoundedMap;

const PAIRS: usize = 1 << 15;

#[derive(Default)]
struct Failures {
    wrong: u32,
    last_ms: u64,
    locked_until_ms: u64,
}

/// Wrong answers per source and number.
pub(crate) struct Lockouts {
    /// By a seeded hash of source and number: a number is as long as its sender likes, a hash is not.
    pairs: BoundedMap<u64, Failures>,
}

/// `max_retry` wrong answers (0 = never) lead to `suspend_ms` of refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockoutRule {
    /// Wrong answers before suspension.
    pub(crate) max_retry: u32,
    /// How long it lasts, and how long a wrong answer is remembered.
    pub(crate) suspend_ms: u64,
}

impl Lockouts {
    /// Nobody locked out.
    pub(crate) fn new() -> Self {
        Self { pairs: BoundedMap::new(PAIRS) }
    }

    /// Whether a number is suspended for a source; `who` stands for both.
    pub(crate) fn is_locked(&mut self, who: u64, now_ms: u64) -> bool {
        self.pairs.get_mut(&who).is_some_and(|failures| failures.locked_until_ms > now_ms)
    }

    /// Count a wrong answer to a fresh nonce.
    pub(crate) fn wrong(&mut self, who: u64, rule: LockoutRule, now_ms: u64) {
        let failures = self.pairs.get_or_insert_with(who, Failures::default);
        if now_ms.saturating_sub(failures.last_ms) >= rule.suspend_ms {
            failures.wrong = 0;
        }
        failures.wrong = failures.wrong.saturating_add(1);
        failures.last_ms = now_ms;
        if rule.max_retry > 0 && failures.wrong >= rule.max_retry {
            failures.locked_until_ms = now_ms.saturating_add(rule.suspend_ms);
            failures.wrong = 0;
        }
    }

    /// A right answer clears what was wrong before.
    pub(crate) fn right(&mut self, who: u64) {
        self.pairs.remove(&who);
    }
}

impl Default for Lockouts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LockoutRule = LockoutRule { max_retry: 3, suspend_ms: 180_000 };

    #[test]
    fn the_third_wrong_answer_suspends_this_source_and_number_only() {
        let mut lockouts = Lockouts::new();
        for now_ms in 0..3 {
            assert!(!lockouts.is_locked(1, now_ms));
            lockouts.wrong(1, RULE, now_ms);
        }
        assert!(lockouts.is_locked(1, 3));
        assert!(!lockouts.is_locked(2, 3));
        assert!(!lockouts.is_locked(1, 180_002));
    }

    #[test]
    fn a_right_answer_starts_the_count_anew_and_zero_never_locks() {
        let mut lockouts = Lockouts::new();
        lockouts.wrong(1, RULE, 0);
        lockouts.wrong(1, RULE, 0);
        lockouts.right(1);
        lockouts.wrong(1, RULE, 0);
        assert!(!lockouts.is_locked(1, 1));
        let never = LockoutRule { max_retry: 0, ..RULE };
        for _ in 0..2000 {
            lockouts.wrong(2, never, 0);
        }
        assert!(!lockouts.is_locked(2, 1));
    }
}
