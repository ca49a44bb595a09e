// SPDX-License-Identifier: Apache-2.0
//! Gateways: admitted by address, limited by their own bucket, refused with true reasons.

mod kit;

use guard::{Counter, Standing};
use journal::{Record, flags};
use kit::{Bench, GATEWAY, STRANGER, ask, snapshot};

#[test]
fn a_gateways_call_goes_to_the_call_layer_and_leaves_no_refusal() {
    let mut bench = Bench::new(snapshot(|_| {}));
    for from in [GATEWAY, "192.0.2.70:6000"] {
        let outcome = bench.throw(from, &ask("INVITE").bytes());
        assert_eq!(outcome.admitted[0], Standing::Gateway { id: 9 });
        assert!(outcome.answers.is_empty());
    }
    assert!(bench.journal().is_empty());
    assert_eq!((bench.total.imbalance(), bench.total.get(Counter::Admitted)), (0, 2));
}

#[test]
fn a_repeat_of_an_admitted_call_is_not_admitted_twice() {
    let mut bench = Bench::new(snapshot(|_| {}));
    bench.throw(GATEWAY, &ask("INVITE").bytes());
    let again = bench.throw(GATEWAY, &ask("INVITE").bytes());
    assert_eq!((again.admitted.len(), again.repeats), (0, 1));
}

#[test]
fn beyond_its_bucket_a_gateway_hears_503_with_retry_after_and_it_is_its_own_record() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let mut statuses = Vec::new();
    for cseq in 1..=8 {
        statuses.push(bench.throw(GATEWAY, &ask("INVITE").with(|ask| ask.cseq = cseq).bytes()).status());
    }
    assert_eq!(statuses[..5], [None; 5]);
    assert_eq!(statuses[5..], [Some(503); 3]);
    bench.frames(|_, record| {
        let Record::Refusal(attempt) = record else { panic!("{record:?}") };
        assert_eq!((attempt.reason.as_str(), attempt.gateway_id), ("rate_exceeded", 9));
        assert_ne!(attempt.flags & flags::IS_AUTHORISED, 0);
    });
    assert_eq!(bench.total.get(Counter::IllegalCalls), 0);
    assert_eq!(bench.throw("192.0.2.71:5060", &ask("INVITE").bytes()).status(), Some(503));
}

#[test]
fn black_numbers_are_refused_from_gateways_too_and_white_ones_pass() {
    let mut bench = Bench::new(snapshot(|document| {
        document["lists"] = serde_json::json!([
            {"list": "callee", "color": "black", "value": "00972", "expires_at_us": 0},
            {"list": "callee", "color": "white", "value": "0097259", "expires_at_us": 0},
            {"list": "caller", "color": "black", "value": "666", "expires_at_us": 0},
        ]);
    }));
    let mut status = |callee: &str, caller: &str| {
        let request = ask("INVITE").with(|ask| {
            ask.callee = callee.into();
            ask.caller = caller.into();
            ask.call_id = format!("{callee}{caller}");
        });
        bench.throw(GATEWAY, &request.bytes()).status()
    };
    assert_eq!(status("009721", "1"), Some(403));
    assert_eq!(status("0097259", "1"), None);
    assert_eq!(status("0044", "6661"), Some(403));
}

#[test]
fn a_gateway_named_with_a_port_is_known_on_that_port_only() {
    let mut bench = Bench::new(snapshot(|document| {
        document["gateways"] = serde_json::json!([
            {"id": 1, "name": "any", "addresses": ["198.51.100.0/24"], "calls_per_second": 5, "burst": 5, "in_flight": 5},
            {"id": 2, "name": "port", "addresses": ["198.51.100.5:5080", "[2001:db8::5]:5060"], "calls_per_second": 5, "burst": 5, "in_flight": 5},
        ]);
    }));
    let mut id = |from: &str| {
        let request = ask("INVITE").with(|ask| ask.call_id = from.into());
        bench.throw(from, &request.bytes()).admitted.first().cloned()
    };
    assert_eq!(id("198.51.100.5:5080"), Some(Standing::Gateway { id: 2 }));
    assert_eq!(id("198.51.100.5:5081"), Some(Standing::Gateway { id: 1 }));
    assert_eq!(id("[2001:db8::5]:5060"), Some(Standing::Gateway { id: 2 }));
    assert_eq!(id("[2001:db8::5]:5061"), None);
    assert_eq!(id(STRANGER), None);
}

#[test]
fn what_a_gateway_may_not_send_says_why() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let subscribe = bench.throw(GATEWAY, &ask("SUBSCRIBE").bytes());
    assert_eq!(subscribe.status(), Some(405));
    assert!(subscribe.answers[0].contains("\r\nAllow: INVITE"));
    let allowed = subscribe.answers[0].rsplit("\r\nAllow: ").next().unwrap().lines().next().unwrap();
    assert!(allowed.contains("MESSAGE") && !allowed.contains("SUBSCRIBE"));
    assert_eq!(bench.throw(GATEWAY, &ask("BYE").bytes()).status(), Some(481));
    assert_eq!(bench.throw(GATEWAY, &ask("OPTIONS").bytes()).admitted.len(), 1);
}

#[test]
fn a_text_message_of_a_gateway_goes_on_unless_its_numbers_are_blocked_or_smuggle() {
    let mut bench = Bench::new(snapshot(|document| {
        document["lists"] =
            serde_json::json!([{"list": "callee", "color": "black", "value": "0044", "expires_at_us": 0}]);
    }));
    let mut text = |callee: &str| {
        let request = ask("MESSAGE").with(|ask| {
            ask.callee = callee.into();
            ask.call_id = callee.into();
        });
        let outcome = bench.throw(GATEWAY, &request.bytes());
        (outcome.status(), outcome.admitted.len())
    };
    assert_eq!(text("1001"), (None, 1));
    assert_eq!(text("0044"), (Some(403), 0));
    assert_eq!(text("1001%0d%0a"), (Some(400), 0));
}
