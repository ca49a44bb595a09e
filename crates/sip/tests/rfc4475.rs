// SPDX-License-Identifier: Apache-2.0
//! The 49 messages of RFC 4475.

mod torture;

const RFC: &str = "rfc4475";

#[test]
fn all_49_messages_do_what_the_table_says() {
    let cases = torture::cases(RFC);
    for case in &cases {
        torture::run(RFC, case);
    }
    assert_eq!(cases.len(), 49);
}

#[test]
fn the_classes_have_the_sizes_that_the_rfc_gives_them() {
    let cases = torture::cases(RFC);
    let count = |class: &str, section: &str| {
        cases.iter().filter(|case| case.class == class && case.section.starts_with(section)).count()
    };
    assert_eq!(count("valid", "3.1.1."), 13);
    assert_eq!(count("invalid", "3.1.2."), 19);
    assert_eq!(count("transaction", "3.2."), 1);
    assert_eq!(count("application", "3.3."), 15);
    assert_eq!(count("backward", "3.4."), 1);
}

#[test]
fn every_invalid_message_is_refused_or_dropped_and_every_valid_one_passes() {
    for case in torture::cases(RFC) {
        let passes = case.check.as_deref() == Some("ok");
        assert!(case.class != "valid" || passes, "{}", case.tag);
        assert!(case.class != "invalid" || !passes, "{}", case.tag);
    }
}

#[test]
fn the_two_bodies_that_are_sdp_read_as_such() {
    for (tag, media) in [("wsinv", 2), ("inv2543", 1)] {
        let bytes = torture::bytes(RFC, tag);
        let sip::Parsed::Message(message) = sip::parse(&bytes) else { panic!("{tag}") };
        let session = sip::sdp::Session::parse(message.body()).expect("a description");
        assert_eq!(session.media().count(), media, "{tag}");
    }
}
