// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a datagram: one of three results, every view returns, and what is written again reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Method, NameAddr, Parsed, Refuse, Via, Why, check, parse};

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Parsed::Message(message) => {
            let _ = check(&message);
            assert!(message.via_top().is_ok() && message.from().is_ok() && message.to().is_ok() && message.cseq().is_ok());
            for header in message.headers() {
                let _ = NameAddr::parse_first(header.value, Why::Contact);
                let _ = Via::parse(header.value);
            }
            let mut written = Vec::new();
            message.write(&mut written);
            let Parsed::Message(again) = parse(&written) else { panic!("written again it is another message") };
            assert_eq!(again.start(), message.start());
            assert_eq!(again.headers(), message.headers());
            assert_eq!(again.body(), message.body());
        }
        Parsed::Refuse(Refuse { status, message, .. }) => {
            assert!(matches!(status, 400 | 505) && message.is_request() && message.method() != Some(Method::Ack));
        }
        Parsed::Drop(_) => {}
    }
});
