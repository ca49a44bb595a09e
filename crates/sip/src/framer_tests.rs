// SPDX-License-Identifier: Apache-2.0
//! Tests of the framer.

use super::*;

const OPTIONS: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nl: 3\r\n\r\nabc";

/// Everything that comes out when `bytes` are pushed in pieces of `step`.
fn frames(bytes: &[u8], step: usize) -> (Vec<String>, Option<Why>) {
    let mut framer = Framer::new(Limits { max_head_bytes: 200, max_body_bytes: 50 });
    let mut seen = Vec::new();
    for piece in bytes.chunks(step) {
        let mut piece = piece;
        loop {
            let taken = framer.push(piece);
            piece = &piece[taken..];
            loop {
                match framer.pull() {
                    Ok(Some(frame)) => seen.push(match frame {
                        Frame::Message { bytes, has_length } => {
                            format!("{has_length} {}", bytes.escape_ascii())
                        }
                        other => format!("{other:?}"),
                    }),
                    Ok(None) => break,
                    Err(why) => return (seen, Some(why)),
                }
            }
            if piece.is_empty() {
                break;
            }
        }
    }
    (seen, None)
}

#[test]
fn any_split_gives_the_same_frames() {
    let bytes =
        [OPTIONS, b"\r\n\r\n", OPTIONS, b"\r\n", OPTIONS, b"X sip:a@b SIP/2.0\r\nA: b\r\n\r\n\r\n\r\n", OPTIONS]
            .concat();
    let (whole, fault) = frames(&bytes, bytes.len());
    assert_eq!(fault, None);
    let kinds: Vec<_> = whole.iter().map(|frame| frame.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["true", "KeepAlivePing", "true", "KeepAlivePong", "true", "false", "KeepAlivePing", "true"]);
    for step in 1..bytes.len() {
        assert_eq!(frames(&bytes, step), (whole.clone(), None), "pieces of {step}");
    }
}

#[test]
fn a_message_without_content_length_has_no_body_and_says_so() {
    let (seen, _) = frames(b"OPTIONS sip:a@b SIP/2.0\r\nA: b\r\n\r\n", 7);
    assert_eq!(seen, ["false OPTIONS sip:a@b SIP/2.0\\r\\nA: b\\r\\n\\r\\n"]);
}

#[test]
fn faults_end_the_stream_whatever_the_split() {
    for (head, why) in [
        ("l: 18446744073709551616", Why::BodyTooLarge),
        ("l: 18446744073709551615", Why::BodyTooLarge),
        ("l: 51", Why::BodyTooLarge),
        ("l: -1", Why::ContentLength),
        ("l: 1 1", Why::ContentLength),
        ("l:", Why::ContentLength),
        ("l: 1\r\nContent-Length: 1", Why::ContentLengthRepeated),
        ("a: b\nl: 3", Why::BareLineEnd),
        ("a: b\rl: 3", Why::BareLineEnd),
    ] {
        let bytes = format!("OPTIONS sip:a@b SIP/2.0\r\n{head}\r\n\r\n");
        for step in 1..bytes.len() {
            assert_eq!(frames(bytes.as_bytes(), step), (vec![], Some(why)), "{}", head.escape_default());
        }
    }
    for step in [1, 10, 300] {
        assert_eq!(frames(&[b'A'; 300], step).1, Some(Why::HeadTooLarge));
        let long = [b"A sip:b SIP/2.0\r\nC: ".to_vec(), vec![b'd'; 180], b"\r\n\r\n".to_vec()].concat();
        assert_eq!(frames(&long, step).1, Some(Why::HeadTooLarge));
    }
}

#[test]
fn after_a_fault_nothing_is_kept_but_the_message_it_was_found_in() {
    let mut framer = Framer::new(Limits::default());
    let bad = b"OPTIONS sip:a@b SIP/2.0\r\nl: -1\r\n\r\n";
    assert_eq!(framer.push(bad), bad.len());
    assert_eq!(framer.pull(), Err(Why::ContentLength));
    assert_eq!(framer.push(&[b'x'; 10_000]), 10_000);
    assert_eq!(framer.pull(), Err(Why::ContentLength));
    assert_eq!(framer.unframed(), bad);
}

#[test]
fn memory_is_bounded_by_the_limits() {
    let mut framer = Framer::new(Limits { max_head_bytes: 100, max_body_bytes: 50 });
    assert_eq!(framer.push(&[b'x'; 1000]), 150);
    assert_eq!(framer.push(&[b'x'; 1000]), 0);
    assert_eq!(framer.pull(), Err(Why::HeadTooLarge));
    let mut empty = Framer::new(Limits { max_head_bytes: 0, max_body_bytes: 0 });
    assert_eq!(empty.push(b"abcdef"), 4);
    assert_eq!(empty.pull(), Err(Why::HeadTooLarge));
}

#[test]
fn a_pong_can_be_taken_without_waiting_for_what_follows() {
    let mut framer = Framer::new(Limits::default());
    framer.push(b"\r\n");
    assert_eq!(framer.pull(), Ok(None));
    assert!(framer.holds_pong());
    assert!(framer.take_pong());
    assert!(!framer.take_pong());
    framer.push(OPTIONS);
    assert!(matches!(framer.pull(), Ok(Some(Frame::Message { has_length: true, .. }))));
}
