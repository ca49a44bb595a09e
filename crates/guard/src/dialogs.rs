// SPDX-License-Identifier: Apache-2.0
//! Dialogs that live. Whoever names our tag and the Call-ID of one is a party to it, wherever the request comes from.
//!
//! Only the call layer opens and closes them, so the table is bounded by its calls.

use std::collections::HashMap;

use crate::bucket::TokenBucket;

/// Requests a second inside one dialog, and at once: more than any call needs.
const REQUESTS: (u64, u64) = (20, 60);

struct Live {
    call_id: Box<[u8]>,
    requests: TokenBucket,
}

/// Whether a request belongs to a live dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    Yes,
    /// It does, and its party has sent too many.
    TooMany,
    No,
}

/// All dialogs that live, by our tag.
#[derive(Default)]
pub struct Dialogs(HashMap<Box<[u8]>, Live>);

impl Dialogs {
    /// Let requests with this tag of ours and this Call-ID in.
    pub fn open(&mut self, tag: &[u8], call_id: &[u8], now_ms: u64) {
        let requests = TokenBucket::full(REQUESTS.1, now_ms);
        self.0.insert(tag.into(), Live { call_id: call_id.into(), requests });
    }

    /// Let none in any more.
    pub fn close(&mut self, tag: &[u8]) {
        self.0.remove(tag);
    }

    /// How many live.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one with this tag and Call-ID.
    pub(crate) fn holds(&self, tag: &[u8], call_id: &[u8]) -> bool {
        self.0.get(tag).is_some_and(|live| *live.call_id == *call_id)
    }

    /// Takes one request from the allowance of its dialog.
    pub(crate) fn take(&mut self, tag: &[u8], call_id: &[u8], now_ms: u64) -> Inside {
        let (rate, burst) = REQUESTS;
        let Some(live) = self.0.get_mut(tag).filter(|live| *live.call_id == *call_id) else { return Inside::No };
        if live.requests.take(1, rate, burst, now_ms) { Inside::Yes } else { Inside::TooMany }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_and_call_id_together_are_the_key_and_only_while_open() {
        let mut dialogs = Dialogs::default();
        dialogs.open(b"t", b"c", 0);
        assert_eq!(dialogs.take(b"t", b"c", 0), Inside::Yes);
        assert_eq!((dialogs.take(b"t", b"d", 0), dialogs.take(b"u", b"c", 0)), (Inside::No, Inside::No));
        assert!(dialogs.holds(b"t", b"c") && !dialogs.holds(b"t", b"d"));
        dialogs.close(b"t");
        assert_eq!((dialogs.take(b"t", b"c", 0), dialogs.len()), (Inside::No, 0));
    }

    #[test]
    fn a_party_that_floods_its_own_dialog_meets_its_limit() {
        let mut dialogs = Dialogs::default();
        dialogs.open(b"t", b"c", 0);
        dialogs.open(b"u", b"d", 0);
        let passed = (0..1000).filter(|_| dialogs.take(b"t", b"c", 0) == Inside::Yes).count();
        assert_eq!(passed as u64, REQUESTS.1);
        assert_eq!(dialogs.take(b"t", b"c", 0), Inside::TooMany);
        assert_eq!(dialogs.take(b"u", b"d", 0), Inside::Yes);
        assert_eq!(dialogs.take(b"t", b"c", 1000), Inside::Yes);
    }
}
