// SPDX-License-Identifier: Apache-2.0
//! Stateless nonces and tags: what we gave out is proved by a MAC, not remembered.
//!
//! A nonce says when it was made, with which key, and which journal frame accounts for its challenge; the MAC binds it to the
//! source's address and the realm, so a nonce shown from elsewhere proves nothing. Shared keys make it good on every node.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

use crate::snapshot::NonceKey;
use crate::source::SourceKey;

/// Seconds for which a nonce that has authenticated once may be used again with a rising `nc`.
pub(crate) const REUSE_S: u32 = 3600;

const BODY: usize = 14;
const TAG: usize = 12;
/// Characters of a nonce.
pub(crate) const NONCE_LEN: usize = 52;

/// What a nonce of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// UTC seconds when it was made.
    pub(crate) made_at_s: u32,
    /// Which key made it.
    pub(crate) key_id: u8,
    /// Sequence of the edge frame that accounts for the challenge, 0 for a challenge inside a refusal of its own.
    pub(crate) settles: u64,
    /// Tells apart nonces of the same second and frame.
    pub(crate) counter: u32,
}

/// What can be said of a nonce that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// Ours, for this source.
    Good(Nonce),
    /// It names a key that is not in force (any more): challenge again as stale, never an offence.
    UnknownKey,
    /// Not ours, or made for another source.
    Forged,
}

fn mac(key: &NonceKey, body: &[u8], source: SourceKey, realm: &str) -> [u8; TAG] {
    let mut out = [0_u8; TAG];
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.key) {
        mac.update(body);
        mac.update(&source.to_bytes());
        mac.update(realm.as_bytes());
        for (to, from) in out.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
    }
    out
}

impl Nonce {
    fn body(&self) -> [u8; BODY] {
        let mut body = [0_u8; BODY];
        let time = self.made_at_s.to_be_bytes();
        let settles = self.settles.to_be_bytes();
        let counter = self.counter.to_be_bytes();
        // Six bytes of sequence are 2.8e14 frames: 44 years at 200,000 a second. Three of counter tell apart what one frame folds in a second.
        let source = time
            .iter()
            .chain(std::iter::once(&self.key_id))
            .chain(settles.iter().skip(2))
            .chain(counter.iter().skip(1));
        for (to, from) in body.iter_mut().zip(source) {
            *to = *from;
        }
        body
    }

    /// Write the nonce, as lower-case hex, for `source` in `realm`.
    pub(crate) fn write(&self, key: &NonceKey, source: SourceKey, realm: &str, out: &mut Vec<u8>) {
        let body = self.body();
        let tag = mac(key, &body, source, realm);
        for byte in body.iter().chain(&tag) {
            out.extend_from_slice(&hex_pair(*byte));
        }
    }

    /// Read a nonce that came back from `source`.
    pub(crate) fn check(text: &[u8], keys: &[NonceKey], source: SourceKey, realm: &str) -> Checked {
        let Some(bytes) = unhex(text) else {
            return Checked::Forged;
        };
        let (body, tag) = bytes.split_at(BODY);
        let mut fields = body.iter().copied();
        let mut number =
            |bytes: u8| (0..bytes).fold(0_u64, |value, _| (value << 8) | u64::from(fields.next().unwrap_or(0)));
        let nonce = Self {
            made_at_s: number(4) as u32,
            key_id: number(1) as u8,
            settles: number(6),
            counter: number(3) as u32,
        };
        let Some(key) = keys.iter().find(|key| key.id == nonce.key_id) else {
            return Checked::UnknownKey;
        };
        let expected = mac(key, body, source, realm);
        if bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_slice(), tag)) {
            Checked::Good(nonce)
        } else {
            Checked::Forged
        }
    }
}

pub(crate) fn hex_pair(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| {
        if nibble < 10 { nibble.wrapping_add(b'0') } else { nibble.wrapping_add(b'a' - 10) }
    };
    [digit(byte >> 4), digit(byte & 15)]
}

fn unhex(text: &[u8]) -> Option<[u8; BODY + TAG]> {
    let mut bytes = [0_u8; BODY + TAG];
    if text.len() != NONCE_LEN {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = ((digit(*high)? << 4) | digit(*low)?) as u8;
    }
    Some(bytes)
}

/// Our To tag for a request: a MAC over Call-ID, From tag and source, so that an ACK which carries it proves
/// that its sender received our answer. Sixteen hex digits.
pub(crate) fn local_tag(key: &[u8; 16], source: SourceKey, call_id: &[u8], from_tag: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&source.to_bytes());
    hasher.write_usize(call_id.len());
    hasher.write(call_id);
    hasher.write(from_tag);
    let mut tag = [0_u8; 16];
    for (pair, byte) in tag.chunks_exact_mut(2).zip(hasher.finish().to_be_bytes()) {
        pair.copy_from_slice(&hex_pair(byte));
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(text: &str) -> SourceKey {
        SourceKey::of(text.parse().expect("an address"))
    }

    fn key(id: u8) -> NonceKey {
        NonceKey { id, key: [id; 32] }
    }

    fn made(nonce: &Nonce, key: &NonceKey, from: SourceKey) -> Vec<u8> {
        let mut text = Vec::new();
        nonce.write(key, from, "ringfence", &mut text);
        text
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(made_at_s: u32, settles in 0..(1_u64 << 48), counter in 0..(1_u32 << 24)) {
            let nonce = Nonce { made_at_s, key_id: 7, settles, counter };
            let text = made(&nonce, &key(7), source("192.0.2.1"));
            prop_assert_eq!(text.len(), NONCE_LEN);
            prop_assert_eq!(Nonce::check(&text, &[key(8), key(7)], source("192.0.2.1"), "ringfence"), Checked::Good(nonce));
        }

        #[test]
        fn any_changed_character_is_refused(at in 0..NONCE_LEN, with in "[0-9a-f]") {
            let nonce = Nonce { made_at_s: 1, key_id: 7, settles: 2, counter: 3 };
            let mut text = made(&nonce, &key(7), source("192.0.2.1"));
            let with = with.as_bytes()[0];
            prop_assume!(text[at] != with);
            text[at] = with;
            prop_assert!(!matches!(Nonce::check(&text, &[key(7)], source("192.0.2.1"), "ringfence"), Checked::Good(_)));
        }
    }

    #[test]
    fn a_nonce_is_good_for_one_source_realm_and_key_only() {
        let nonce = Nonce { made_at_s: 1, key_id: 7, settles: 2, counter: 3 };
        let text = made(&nonce, &key(7), source("192.0.2.1"));
        assert_eq!(Nonce::check(&text, &[key(7)], source("192.0.2.2"), "ringfence"), Checked::Forged);
        assert_eq!(Nonce::check(&text, &[key(7)], source("192.0.2.1"), "other"), Checked::Forged);
        assert_eq!(Nonce::check(&text, &[key(6)], source("192.0.2.1"), "ringfence"), Checked::UnknownKey);
        assert_eq!(Nonce::check(b"nonsense", &[key(7)], source("192.0.2.1"), "ringfence"), Checked::Forged);
    }

    #[test]
    fn a_tag_depends_on_each_thing_it_is_made_of() {
        let base = local_tag(&[1; 16], source("192.0.2.1"), b"call", b"tag");
        assert_eq!(base, local_tag(&[1; 16], source("::ffff:192.0.2.1"), b"call", b"tag"));
        assert_ne!(base, local_tag(&[2; 16], source("192.0.2.1"), b"call", b"tag"));
        assert_ne!(base, local_tag(&[1; 16], source("192.0.2.2"), b"call", b"tag"));
        assert_ne!(base, local_tag(&[1; 16], source("192.0.2.1"), b"callt", b"ag"));
    }
}
