// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a session description; what passes is read to its last attribute.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::sdp::Session;

fuzz_target!(|bytes: &[u8]| match Session::parse(bytes) {
    Ok(session) => {
        let _ = session.origin.address.ip();
        let lines = bytes.split(|&byte| byte == b'\n');
        assert_eq!(session.media().count(), lines.filter(|line| line.starts_with(b"m=")).count());
        for media in session.media() {
            assert!(media.formats().all(|format| !format.is_empty()));
            let _ = (media.attributes().count(), media.connection.and_then(|connection| connection.ip()));
        }
        let _ = session.attributes().count();
    }
    Err(fault) => assert!(fault.offset <= bytes.len()),
});
