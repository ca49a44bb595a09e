// SPDX-License-Identifier: Apache-2.0
//! The 12 messages of RFC 5118.

mod torture;

use std::net::IpAddr;

const RFC: &str = "rfc5118";

#[test]
fn all_12_messages_do_what_the_table_says() {
    let cases = torture::cases(RFC);
    for case in &cases {
        torture::run(RFC, case);
    }
    assert_eq!(cases.len(), 12);
}

#[test]
fn only_the_address_without_brackets_is_refused() {
    for case in torture::cases(RFC) {
        assert_eq!(case.check.as_deref() == Some("ok"), case.class == "valid", "{}", case.tag);
        assert_eq!(case.class == "invalid", case.tag == "ipv6-bad");
        assert!(case.section.starts_with("4."));
    }
}

/// Sections 4.6, 4.8, 4.9.
#[test]
fn bodies_give_the_address_of_each_stream() {
    let two = |address: &str| vec![address.parse::<IpAddr>().ok(); 2];
    for (tag, expected) in [
        ("ipv6-in-sdp", two("2001:db8::20")),
        ("mult-ip-in-sdp", vec!["192.0.2.1".parse().ok(), "2001:db8::1".parse().ok()]),
        ("ipv4-mapped-ipv6", two("::ffff:192.0.2.2")),
    ] {
        let bytes = torture::bytes(RFC, tag);
        let sip::Parsed::Message(message) = sip::parse(&bytes) else { panic!("{tag}") };
        let session = sip::sdp::Session::parse(message.body()).expect("a description");
        let found: Vec<_> =
            session.media().map(|media| media.connection.and_then(|connection| connection.ip())).collect();
        assert_eq!(found, expected, "{tag}");
    }
}
