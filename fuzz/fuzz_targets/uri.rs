// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a URI, and as text with escapes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::uri::{Uri, ipv6, parse_uri, unescape};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(uri) = parse_uri(bytes) {
        let _ = (uri.is_strict(), uri.scheme(), uri.user());
        if let Uri::Sip(sip) = uri {
            assert!(!sip.host.is_empty() && sip.user.is_none_or(|user| !user.is_empty()));
            assert!(sip.params().count() <= bytes.len());
        }
    }
    let _ = ipv6(bytes);
    let mut buffer = vec![0; bytes.len()];
    assert!(unescape(bytes, &mut buffer).is_some());
});
