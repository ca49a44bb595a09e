// SPDX-License-Identifier: Apache-2.0
//! Token buckets: a rate with savings.

/// A bucket that fills at a rate and holds at most `burst`; time comes in, in milliseconds that never go back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    /// Tokens times 1000, so that a millisecond of a small rate is not lost to rounding.
    milli_tokens: u64,
    filled_at_ms: u64,
}

impl TokenBucket {
    /// A bucket that is full at `now_ms`.
    pub(crate) fn full(burst: u64, now_ms: u64) -> Self {
        Self { milli_tokens: burst.saturating_mul(1000), filled_at_ms: now_ms }
    }

    fn fill(&mut self, rate_per_s: u64, burst: u64, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.filled_at_ms);
        self.filled_at_ms = now_ms.max(self.filled_at_ms);
        self.milli_tokens =
            self.milli_tokens.saturating_add(rate_per_s.saturating_mul(elapsed_ms)).min(burst.saturating_mul(1000));
    }

    /// Take `tokens` if they are there.
    pub(crate) fn take(&mut self, tokens: u64, rate_per_s: u64, burst: u64, now_ms: u64) -> bool {
        self.fill(rate_per_s, burst, now_ms);
        match self.milli_tokens.checked_sub(tokens.saturating_mul(1000)) {
            Some(left) => {
                self.milli_tokens = left;
                true
            }
            None => false,
        }
    }

    /// Spend `tokens` that cannot be refused; the bucket stops at empty.
    pub(crate) fn spend(&mut self, tokens: u64) {
        self.milli_tokens = self.milli_tokens.saturating_sub(tokens.saturating_mul(1000));
    }

    /// Tokens left after filling up to now.
    pub(crate) fn left(&mut self, rate_per_s: u64, burst: u64, now_ms: u64) -> u64 {
        self.fill(rate_per_s, burst, now_ms);
        self.milli_tokens / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_at_its_rate_up_to_its_burst() {
        let mut bucket = TokenBucket::full(10, 0);
        assert!(bucket.take(10, 5, 10, 0));
        assert!(!bucket.take(1, 5, 10, 199));
        assert!(bucket.take(1, 5, 10, 200));
        assert_eq!(bucket.left(5, 10, 60_000), 10);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing() {
        let mut bucket = TokenBucket::full(1, 1000);
        assert!(bucket.take(1, 1, 1, 1000));
        assert!(!bucket.take(1, 1, 1, 0));
        assert!(!bucket.take(1, 1, 1, 1999));
        assert!(bucket.take(1, 1, 1, 2000));
    }
}
