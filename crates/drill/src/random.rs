// SPDX-License-Identifier: Apache-2.0
//! Fast repeatable random numbers (`SplitMix64`). Not for secrets: nothing here guards anything.

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A generator whose whole state is one word, so that request `n` of a run can be written again at any time.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of request `index` in a run: the same every time it is asked for.
    pub(crate) fn of_request(seed: u64, index: u64) -> Self {
        let mut outer = Self(seed ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self(outer.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound` (to within 2^-32, for bounds below 2^32).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A one-to-one map of request numbers to random-looking 64-bit tokens and back, keyed by the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    key: u64,
}

const ODD: u64 = 0xA24B_AED4_963E_E407;
const INVERSE: u64 = inverse(ODD);

/// The inverse of an odd number modulo 2^64 by Newton's iteration: each round doubles the correct low bits.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

impl Token {
    pub(crate) fn new(key: u64) -> Self {
        Self { key }
    }

    pub(crate) fn of(self, index: u64) -> u64 {
        let z = (index ^ self.key).wrapping_mul(ODD);
        (z ^ (z >> 32)).wrapping_mul(ODD)
    }

    pub(crate) fn index(self, token: u64) -> u64 {
        let z = token.wrapping_mul(INVERSE);
        (z ^ (z >> 32)).wrapping_mul(INVERSE) ^ self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_request() {
        let token = Token::new(0x0123_4567_89ab_cdef);
        for index in (0..100_000).chain([u64::MAX, u64::MAX - 7, 1 << 40]) {
            assert_eq!(token.index(token.of(index)), index);
        }
    }

    #[test]
    fn a_request_can_be_written_again() {
        let mut first = Random::of_request(7, 42);
        let mut again = Random::of_request(7, 42);
        let mut other = Random::of_request(7, 43);
        let drawn = first.next();
        assert_eq!(drawn, again.next());
        assert_ne!(drawn, other.next());
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 800 && n < 1200), "{seen:?}");
    }
}
