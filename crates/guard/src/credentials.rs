// SPDX-License-Identifier: Apache-2.0
//! Digest credentials against the phones' HA1 (RFC 3261 §22, RFC 7616, RFC 8760): MD5 and SHA-256, `qop=auth` or none.
//!
//! A number that does not exist is computed with a secret of its own, so that neither the answer nor its time tells.

use md5::Md5;
use sha2::{Digest, Sha256};
use sip::digest::{Credentials, Quoted, Scheme};
use sip::{HeaderName, Message};
use subtle::ConstantTimeEq;

use crate::snapshot::PhoneSecret;

/// The digest credentials of a request, if `header` carries any; of several the first counts.
pub(crate) fn credentials_of<'a>(message: &Message<'a>, header: HeaderName) -> Option<Credentials<'a>> {
    message.all(header).find_map(|value| match Credentials::parse(value) {
        Ok(Scheme::Digest(credentials)) => Some(credentials),
        Ok(Scheme::Other(_)) | Err(_) => None,
    })
}

/// A field without its quotes, empty where it is absent. Backslashes stay: that is what both ends hash (RFC 7616 §3.4.1, `unq`).
pub(crate) fn bare(field: Option<Quoted<'_>>) -> &[u8] {
    field.map_or(b"", |field| field.raw())
}

/// Whether the response in `credentials` is the one that the secret gives for `method`.
///
/// Shape: `secret` None means that the number does not exist: the same work is done and the answer is false.
pub(crate) fn is_right(credentials: &Credentials<'_>, secret: Option<&PhoneSecret>, method: &[u8]) -> bool {
    let nobody = PhoneSecret { md5: [b'0'; 32], sha256: [b'0'; 64] };
    let known = secret.unwrap_or(&nobody);
    let algorithm = bare(credentials.algorithm);
    let right = if algorithm.eq_ignore_ascii_case(b"SHA-256") {
        response::<Sha256>(&known.sha256, credentials, method)
    } else if algorithm.is_empty() || algorithm.eq_ignore_ascii_case(b"MD5") {
        response::<Md5>(&known.md5, credentials, method)
    } else {
        return false;
    };
    let given = bare(credentials.response).to_ascii_lowercase();
    bool::from(right.as_slice().ct_eq(given.as_slice())) && secret.is_some()
}

/// RFC 7616 §3.4.1: H(HA1 : nonce : nc : cnonce : qop : H(method : uri)), or without the middle three (RFC 2617 §3.2.2.1).
fn response<D: Digest>(ha1: &[u8], credentials: &Credentials<'_>, method: &[u8]) -> Vec<u8> {
    let mut ha2 = D::new();
    ha2.update(method);
    ha2.update(b":");
    ha2.update(bare(credentials.uri));
    let ha2 = hex(&ha2.finalize());
    let mut hash = D::new();
    hash.update(ha1);
    hash.update(b":");
    hash.update(bare(credentials.nonce));
    hash.update(b":");
    if credentials.qop.is_some() {
        hash.update(credentials.nc_text.unwrap_or(b""));
        hash.update(b":");
        hash.update(bare(credentials.cnonce));
        hash.update(b":");
        hash.update(bare(credentials.qop));
        hash.update(b":");
    }
    hash.update(&ha2);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .map(|digit| digit as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in for the secret of a number that is missing is published: it must let nobody in.
    #[test]
    fn a_number_that_is_missing_has_no_secret_that_would_be_right() {
        let of = |response: &str| {
            format!(
                "Digest username=\"4711\",realm=\"r\",nonce=\"n\",uri=\"sip:x\",algorithm=MD5,response=\"{response}\""
            )
        };
        let parsed = |text: &str, check: &mut dyn FnMut(&Credentials<'_>)| match Credentials::parse(text.as_bytes()) {
            Ok(Scheme::Digest(credentials)) => check(&credentials),
            other => panic!("{other:?}"),
        };
        let mut right = String::new();
        parsed(&of(""), &mut |credentials| {
            right = String::from_utf8(response::<Md5>(&[b'0'; 32], credentials, b"REGISTER")).expect("hex");
        });
        let known = PhoneSecret { md5: [b'0'; 32], sha256: [b'0'; 64] };
        parsed(&of(&right), &mut |credentials| {
            assert!(is_right(credentials, Some(&known), b"REGISTER"));
            assert!(!is_right(credentials, None, b"REGISTER"));
        });
    }
}
