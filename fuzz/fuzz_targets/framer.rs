// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a stream: split as the first bytes say, pushed whole, and byte by byte, they give the same frames in bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::Why;
use sip::framer::{Frame, Framer, Limits};

const LIMITS: Limits = Limits { max_head_bytes: 300, max_body_bytes: 200 };

fn frames(bytes: &[u8], sizes: &[u8]) -> (Vec<Vec<u8>>, Option<Why>) {
    let mut framer = Framer::new(LIMITS);
    let (mut seen, mut rest, mut sizes) = (Vec::new(), bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |&size| usize::from(size)).clamp(1, rest.len());
        let taken = framer.push(&rest[..size]);
        rest = &rest[taken..];
        loop {
            match framer.pull() {
                Ok(Some(Frame::Message { bytes, has_length })) => {
                    assert!(bytes.len() <= 500);
                    seen.push([&[u8::from(has_length)], bytes].concat());
                }
                Ok(Some(Frame::KeepAlivePing)) => seen.push(b"ping".to_vec()),
                Ok(Some(Frame::KeepAlivePong)) => seen.push(b"pong".to_vec()),
                Ok(None) => break,
                Err(why) => return (seen, Some(why)),
            }
        }
        assert!(framer.unframed().len() <= 500);
    }
    (seen, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((sizes, stream)) = bytes.split_at_checked(4) else { return };
    let whole = frames(stream, &[u8::MAX]);
    assert_eq!(frames(stream, sizes), whole);
    assert_eq!(frames(stream, &[1]), whole);
});
