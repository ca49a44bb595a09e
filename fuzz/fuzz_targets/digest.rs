// SPDX-License-Identifier: Apache-2.0
//! Any bytes as credentials and as a challenge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::digest::{Challenge, Credentials, Scheme};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Scheme::Digest(found)) = Credentials::parse(bytes) {
        let mut buffer = vec![0; bytes.len()];
        for value in [found.username, found.realm, found.nonce, found.uri, found.response].into_iter().flatten() {
            let text = value.unescape(&mut buffer).expect("room for all of it");
            assert!(text.len() <= value.raw().len());
        }
        assert_eq!(found.nc.is_some(), found.nc_text.is_some());
    }
    let _ = Challenge::parse(bytes);
});
