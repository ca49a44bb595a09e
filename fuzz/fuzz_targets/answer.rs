// SPDX-License-Identifier: Apache-2.0
//! Answers to any bytes that may be answered: no CR or LF stands alone, and an answer to a right request is a right response.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::answer::{Answer, ExtraHeader, Token};
use sip::{Parsed, Refuse, parse};

fuzz_target!(|bytes: &[u8]| {
    let Some((value, bytes)) = bytes.split_at_checked(8) else { return };
    let (message, is_right) = match parse(bytes) {
        Parsed::Message(message) => (message, true),
        Parsed::Refuse(Refuse { message, .. }) => (message, false),
        Parsed::Drop(_) => return,
    };
    let extra: Vec<_> = ExtraHeader::new("X", value).into_iter().collect();
    let source = "[2001:db8::7]:5062".parse().expect("an address");
    let answer = Answer::new(480, source).with_tag(Token::new(b"tag").expect("a token")).with_extra(&extra);
    let mut out = Vec::new();
    answer.write(&message, &mut out);
    let crlf = out.windows(2).filter(|pair| pair == b"\r\n").count();
    assert_eq!(out.iter().filter(|&&byte| byte == b'\r').count(), crlf);
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), crlf);
    if is_right && message.is_request() {
        let Parsed::Message(found) = parse(&out) else { panic!("{}", out.escape_ascii()) };
        assert_eq!(found.call_id(), message.call_id());
        assert_eq!(found.cseq(), message.cseq());
        assert!(found.to().is_ok_and(|to| to.tag().is_some()));
    }
});
