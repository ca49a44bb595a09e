// SPDX-License-Identifier: Apache-2.0
//! What strangers send, hear, and leave in the journal.

mod kit;

use guard::Counter;
use journal::{Record, Transport, flags};
use kit::{Bench, GATEWAY, STRANGER, ask, parameter, snapshot};

#[test]
fn a_strangers_call_is_refused_and_recorded_with_its_numbers() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let outcome = bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.caller = "900".into()).bytes());
    assert_eq!(outcome.status(), Some(403));
    let mut seen = 0;
    bench.frames(|seq, record| {
        let Record::Refusal(attempt) = record else { panic!("{record:?}") };
        seen += 1;
        assert_eq!((seq, attempt.reason.as_str(), attempt.status), (1, "unknown_source", 403));
        assert_eq!((attempt.caller, attempt.callee), (&b"900"[..], &b"00972595725668"[..]));
        assert_eq!((attempt.call_id, attempt.user_agent), (&b"a84b4c76e66710"[..], &b"friendly-scanner"[..]));
        assert_eq!(attempt.source, STRANGER.parse().unwrap());
        assert!(attempt.raw.is_some_and(|raw| raw.starts_with(b"INVITE ")));
    });
    assert_eq!(seen, 1);
}

#[test]
fn the_caller_number_of_a_phone_without_a_flow_is_unregistered_and_hears_the_same() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let stranger = bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.caller = "9999".into()).bytes());
    let phone = bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.branch = "z9hG4bKother".into()).bytes());
    let reasons: Vec<_> = bench.journal().iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(reasons, ["unknown_source", "unregistered"]);
    let head = |outcome: &kit::Outcome| outcome.answers[0].lines().next().unwrap().to_owned();
    assert_eq!(head(&stranger), head(&phone));
}

#[test]
fn what_is_repeated_adds_to_its_record_and_is_answered_alike() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let first = bench.throw(STRANGER, &ask("INVITE").bytes());
    bench.wait_ms(500);
    let again = bench.throw(STRANGER, &ask("INVITE").bytes());
    assert_eq!(first.answers, again.answers);
    assert_eq!(bench.journal(), ["1 refusal unregistered 1001 403 settles 0", "2 increment 1 +1 retransmission"]);
    bench.wait_ms(40_000);
    bench.throw(STRANGER, &ask("INVITE").bytes());
    assert_eq!(bench.total.get(Counter::Recorded), 2);
}

#[test]
fn other_methods_leave_their_true_reasons() {
    let mut bench = Bench::new(snapshot(|_| {}));
    for (method, status) in
        [("OPTIONS", 403), ("SUBSCRIBE", 403), ("BYE", 481), ("CANCEL", 481), ("INVITEX", 403), ("invite", 403)]
    {
        let outcome = bench.throw(STRANGER, &ask(method).bytes());
        assert_eq!(outcome.status(), Some(status), "{method}");
    }
    let reasons: Vec<_> = bench.journal().iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    let unknown = ["unknown_source", "unknown_source", "unknown_dialog", "unknown_dialog"];
    assert_eq!(reasons[..4], unknown);
    assert_eq!(reasons[4..], ["method_not_allowed", "method_not_allowed"]);
}

#[test]
fn an_ack_with_our_tag_proves_its_source_and_no_other_does() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let outcome = bench.throw(STRANGER, &ask("INVITE").bytes());
    let tag = outcome.answers[0].split("\r\nTo: ").nth(1).unwrap().split("tag=").nth(1).unwrap()[..16].to_owned();
    let ack = |tag: &str| ask("ACK").with(|ask| ask.to_tag = Some(tag.to_owned())).bytes();
    assert_eq!(bench.throw(STRANGER, &ack("deadbeefdeadbeef")).tally.get(Counter::Proven), 0);
    assert_eq!(bench.throw("203.0.113.8:5060", &ack(&tag)).tally.get(Counter::Proven), 0);
    let proof = bench.throw(STRANGER, &ack(&tag));
    assert_eq!((proof.tally.get(Counter::Proven), proof.tally.get(Counter::Absorbed)), (1, 1));
    assert!(proof.answers.is_empty());
    bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.call_id = "next".into()).bytes());
    let mut proven = Vec::new();
    bench.frames(|_, record| {
        if let Record::Refusal(attempt) = record {
            proven.push(attempt.flags & flags::IS_PROVEN != 0);
        }
    });
    assert_eq!(proven, [false, true]);
}

#[test]
fn silence_another_code_and_a_challenge_are_the_operators_choice() {
    let mut bench = Bench::new(snapshot(parameter("SS_REPLY_UNAUTHORIZED", 0)));
    assert!(bench.throw(STRANGER, &ask("INVITE").bytes()).answers.is_empty());
    assert!(bench.throw(STRANGER, &ask("OPTIONS").bytes()).answers.is_empty());
    assert_eq!(bench.total.get(Counter::Recorded), 2);
    let mut bench = Bench::new(snapshot(parameter("RF_UNAUTHORIZED_CODE", 404)));
    assert_eq!(bench.throw(STRANGER, &ask("INVITE").bytes()).status(), Some(404));
    let mut bench = Bench::new(snapshot(parameter("RF_UNAUTHORIZED_CODE", 407)));
    assert_eq!(bench.throw(STRANGER, &ask("INVITE").bytes()).status(), Some(407));
    assert_eq!(bench.throw(STRANGER, &ask("OPTIONS").bytes()).status(), Some(403));
}

#[test]
fn with_recording_off_calls_leave_a_summary_and_events_their_records() {
    let mut bench = Bench::new(snapshot(parameter("SERVER_BILLING_RECORD_ILLEGAL_CALL", 0)));
    assert_eq!(bench.throw(STRANGER, &ask("INVITE").bytes()).status(), Some(403));
    bench.throw(STRANGER, &ask("OPTIONS").bytes());
    assert_eq!(bench.journal(), ["1 summary unregistered 1", "2 refusal unknown_source 1001 403 settles 0"]);
    assert_eq!((bench.total.imbalance(), bench.total.get(Counter::Suppressed)), (0, 1));
}

#[test]
fn a_black_listed_source_is_refused_in_silence_until_its_entry_ends_and_a_gateway_never() {
    let mut bench = Bench::new(snapshot(|document| {
        let expires_at_us = 1_800_000_010_000_000_u64;
        document["lists"] = serde_json::json!([
            {"list": "source", "color": "black", "value": "203.0.113.0/24", "expires_at_us": expires_at_us},
            {"list": "source", "color": "white", "value": "203.0.113.99", "expires_at_us": 0},
            {"list": "source", "color": "black", "value": "192.0.2.0/24", "expires_at_us": 0},
        ]);
    }));
    assert!(bench.throw(STRANGER, &ask("INVITE").bytes()).answers.is_empty());
    assert!(bench.journal()[0].contains("blacklisted"));
    assert_eq!(bench.throw("203.0.113.99:5060", &ask("INVITE").bytes()).status(), Some(403));
    assert_eq!(bench.throw(GATEWAY, &ask("INVITE").bytes()).admitted.len(), 1);
    bench.wait_ms(10_000);
    assert_eq!(bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.cseq = 2).bytes()).status(), Some(403));
}

#[test]
fn an_entry_that_is_over_hides_no_wider_one_in_force() {
    let mut bench = Bench::new(snapshot(|document| {
        document["lists"] = serde_json::json!([
            {"list": "source", "color": "black", "value": "203.0.113.0/24", "expires_at_us": 0},
            {"list": "source", "color": "white", "value": "203.0.113.7", "expires_at_us": 1_800_000_010_000_000_u64},
        ]);
    }));
    assert_eq!(bench.throw(STRANGER, &ask("INVITE").bytes()).status(), Some(403));
    bench.wait_ms(10_000);
    let after = bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.cseq = 2).bytes());
    assert!(after.answers.is_empty());
    assert!(bench.journal().last().unwrap().contains("blacklisted"));
}

#[test]
fn a_number_that_no_network_has_is_an_injection() {
    let mut bench = Bench::new(snapshot(|_| {}));
    bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.callee = "100%0D%0A%0D%0A".into()).bytes());
    bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.callee = "1'--".into()).bytes());
    assert!(bench.journal().iter().all(|line| line.contains(" injection ")), "{:?}", bench.journal());
    let outcome = bench.throw(GATEWAY, &ask("INVITE").with(|ask| ask.callee = "100%0D%0A".into()).bytes());
    assert_eq!((outcome.status(), outcome.admitted.len()), (Some(400), 0));
}

#[test]
fn malformed_messages_are_recorded_and_answered_only_where_that_can_be_done() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let noise = bench.throw(STRANGER, b"\x16\x03\x01 no SIP at all");
    assert!(noise.answers.is_empty());
    let text = String::from_utf8(ask("INVITE").bytes()).unwrap();
    let cut = bench.throw(STRANGER, text.replace("Content-Length: 0", "Content-Length: 999").as_bytes());
    assert_eq!(cut.status(), Some(400));
    assert!(bench.journal().iter().all(|line| line.contains("refusal malformed")), "{:?}", bench.journal());
    for quiet in [&b"\r\n\r\n"[..], b"\0\0\0\0", b"SIP/2.0 200 OK\r\n\r\n"] {
        assert!(bench.throw(STRANGER, quiet).answers.is_empty());
    }
    assert_eq!(bench.total.imbalance(), 0);
}

#[test]
fn a_source_beyond_its_limit_is_recorded_and_hears_nothing_for_a_while() {
    let mut bench = Bench::new(snapshot(|document| {
        document["parameters"]["RF_MUTE_ATTEMPTS_PER_S"] = 3.into();
        document["parameters"]["RF_MUTE_S"] = 5.into();
    }));
    let throw = |bench: &mut Bench, cseq| bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.cseq = cseq).bytes());
    let answered = (1..=6).filter(|cseq| throw(&mut bench, *cseq).status().is_some()).count();
    assert_eq!(answered, 3);
    assert_eq!(bench.total.get(Counter::Recorded), 6);
    bench.wait_ms(4000);
    assert_eq!(throw(&mut bench, 7).status(), None);
    bench.wait_ms(1000);
    assert_eq!(throw(&mut bench, 8).status(), Some(403));
    assert_eq!(bench.throw("203.0.113.8:5060", &ask("INVITE").bytes()).status(), Some(403));
}

#[test]
fn folding_widens_with_the_budget_and_no_attempt_is_lost() {
    let mut bench = Bench::new(snapshot(|document| {
        document["parameters"]["RF_JOURNAL_BYTES_PER_S"] = 100_000.into();
        document["parameters"]["RF_JOURNAL_BURST_BYTES"] = 400_000.into();
        document["parameters"]["RF_RAW_SAMPLE_S"] = 0.into();
    }));
    let count = 20_000_u32;
    for i in 0..count {
        let from = format!("203.{}.{}.{}:5060", i % 7, i % 251, i % 241);
        bench.throw(&from, &ask("INVITE").with(|ask| ask.call_id = format!("call{i}")).bytes());
    }
    let (mut attempts, mut scopes) = (0, std::collections::BTreeMap::new());
    bench.frames(|_, record| match record {
        Record::Refusal(attempt) => {
            attempts += 1;
            *scopes.entry(attempt.scope as u8).or_insert(0) += 1;
        }
        Record::Increment { count, .. } => attempts += count,
        other => panic!("{other:?}"),
    });
    assert_eq!(attempts, count);
    assert_eq!(scopes.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(
        (bench.total.imbalance(), bench.total.get(Counter::Folded)),
        (0, u64::from(count) - scopes.values().sum::<u64>())
    );
}

#[test]
fn a_connection_without_a_message_is_an_event() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let mut effects = guard::Effects::new();
    let peer = guard::Peer {
        source: STRANGER.parse().unwrap(),
        local: kit::LOCAL.parse().unwrap(),
        transport: Transport::Tcp,
        channel: 1,
    };
    bench.guard.judge_empty_connection(bench.now, &guard::Packet { bytes: b"", peer }, &mut effects);
    assert_eq!((effects.tally.imbalance(), effects.tally.get(Counter::Recorded), effects.answers.len()), (0, 1, 0));
}

/// An unproven sender over UDP may have written somebody else's address: it gets no more bytes than it sent.
#[test]
fn an_answer_larger_than_its_request_is_recorded_and_not_sent_over_udp() {
    let terse = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\nMax-Forwards: 1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let mut bench = Bench::new(snapshot(|_| {}));
    let outcome = bench.throw(STRANGER, terse);
    assert_eq!((outcome.status(), outcome.tally.get(Counter::Withheld)), (None, 1));
    assert_eq!(bench.journal(), ["1 refusal unknown_source a 0 settles 0"]);
    let mut bench = Bench::new(snapshot(|_| {}));
    assert_eq!(bench.throw_over(Transport::Tcp, STRANGER, terse).status(), Some(403), "a handshake proves the source");
}

#[test]
fn a_challenge_exceeds_its_request_by_256_bytes_at_most() {
    for (realm, heard) in [(9, Some(401)), (150, None)] {
        let mut bench = Bench::new(snapshot(|document| document["realm"] = "r".repeat(realm).into()));
        let request = ask("REGISTER").bytes();
        let outcome = bench.throw(STRANGER, &request);
        assert_eq!(outcome.status(), heard, "a realm of {realm} characters");
        assert!(outcome.answers.iter().all(|answer| answer.len() <= request.len() + 256));
    }
}
