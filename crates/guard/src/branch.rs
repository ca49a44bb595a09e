// SPDX-License-Identifier: Apache-2.0
//! Branches of our own requests: a number of this run and its MAC, so that a response that carries one answers something that we sent.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use sip::Via;
use siphasher::sip::SipHasher24;

use crate::nonce::hex_pair;

/// Characters of a branch behind the magic cookie.
pub const BRANCH_LEN: usize = 32;

/// Makes branches and knows them again. One per run: its key is drawn by chance and told nobody.
pub struct Branches {
    key: [u8; 16],
    next: AtomicU64,
}

impl Branches {
    /// With the key of this run.
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key, next: AtomicU64::new(1) }
    }

    /// The number of a new branch and what stands in it behind the magic cookie; never given twice.
    pub fn next(&self) -> (u64, [u8; BRANCH_LEN]) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, self.branch(number))
    }

    /// Whether a branch, magic cookie and all, is one that [`Self::next`] gave.
    pub fn is_ours(&self, branch: &[u8]) -> bool {
        self.number(branch).is_some()
    }

    /// The number of a branch, magic cookie and all. None: [`Self::next`] did not give it.
    pub fn number(&self, branch: &[u8]) -> Option<u64> {
        let (cookie, rest) = branch.split_at_checked(Via::COOKIE.len())?;
        let digits = std::str::from_utf8(rest.get(..16)?).ok()?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        let ours = self.branch(number);
        // RFC 3261 §7.3.1: tokens are compared without case.
        let is_ours = cookie.eq_ignore_ascii_case(Via::COOKIE)
            && bool::from(subtle::ConstantTimeEq::ct_eq(ours.as_slice(), rest.to_ascii_lowercase().as_slice()));
        is_ours.then_some(number)
    }

    fn branch(&self, number: u64) -> [u8; BRANCH_LEN] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(number);
        let mut branch = [0_u8; BRANCH_LEN];
        let bytes = number.to_be_bytes().into_iter().chain(hasher.finish().to_be_bytes());
        for (pair, byte) in branch.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&hex_pair(byte));
        }
        branch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole((_, branch): (u64, [u8; BRANCH_LEN])) -> Vec<u8> {
        [Via::COOKIE, &branch].concat()
    }

    #[test]
    fn what_was_given_is_known_again_whatever_its_case() {
        let branches = Branches::new([7; 16]);
        let (one, two) = (whole(branches.next()), whole(branches.next()));
        assert_ne!(one, two);
        assert!(branches.is_ours(&one) && branches.is_ours(&two.to_ascii_uppercase()));
        assert_eq!((branches.number(&one), branches.number(&two)), (Some(1), Some(2)));
        assert!(!Branches::new([8; 16]).is_ours(&one), "another run's");
    }

    proptest! {
        #[test]
        fn nobody_else_can_make_one(made in ".{0,60}", at in 0_usize..39, with in "[0-9a-f]") {
            let branches = Branches::new([7; 16]);
            prop_assert!(!branches.is_ours(made.as_bytes()));
            let mut changed = whole(branches.next());
            prop_assume!(changed[at] != with.as_bytes()[0] && at >= 7);
            changed[at] = with.as_bytes()[0];
            prop_assert!(!branches.is_ours(&changed));
        }
    }
}
