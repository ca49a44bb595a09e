// SPDX-License-Identifier: Apache-2.0

use super::*;
use journal::Transport;

fn peer(remote: &str) -> Peer {
    Peer {
        source: remote.parse().unwrap(),
        local: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
        channel: 0,
    }
}

fn request(method: &str, call_id: &str, caller: &str, callee: &str) -> Vec<u8> {
    format!(
        "{method} sip:{callee}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:{caller}@a>;tag=1\r\nTo: <sip:{callee}@b>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn keep(trace: &Trace, at_us: u64, remote: &str, bytes: &[u8]) {
    trace.take(Kind::Received, at_us, &peer(remote), call_id_of(bytes), bytes);
}

fn query() -> Query {
    Query { calls: 50, entries: 1000, ..Query::default() }
}

fn ids(found: &Found) -> Vec<&str> {
    found.entries.iter().map(|entry| std::str::from_utf8(&entry.call_id).unwrap()).collect()
}

fn three_calls() -> Trace {
    let trace = Trace::new(1 << 20);
    keep(&trace, 1, "198.51.100.7:5060", &request("INVITE", "a@x", "1001", "0049301"));
    keep(&trace, 2, "198.51.100.8:5060", &request("INVITE", "b@x", "1002", "0049302"));
    keep(&trace, 3, "203.0.113.5:5060", &request("INVITE", "c@x", "1003", "0033101"));
    keep(&trace, 4, "198.51.100.7:5060", &request("BYE", "a@x", "1001", "0049301"));
    trace
}

#[test]
fn a_call_is_found_by_its_call_id_with_the_legs_that_are_linked_to_it() {
    let trace = three_calls();
    trace.link(5, b"a@x", b"leg-b@us");
    keep(&trace, 6, "203.0.113.9:5060", &request("INVITE", "leg-b@us", "1001", "49301"));
    trace.note(7, b"a@x", b"{}");
    let found = trace.find(&Query { call_ids: vec![b"leg-b@us".to_vec()], ..query() });
    assert_eq!(ids(&found), ["a@x", "a@x", "a@x", "leg-b@us", "leg-b@us", "a@x"]);
    let kinds: Vec<&str> = found.entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["received", "received", "link", "link", "received", "note"]);
    assert!(!found.is_cut);
    assert_eq!(found.oldest_us, Some(1));
}

#[test]
fn calls_are_found_by_number_its_beginning_network_and_time() {
    let trace = three_calls();
    let by = |query: Query| ids(&trace.find(&query)).join(" ");
    assert_eq!(by(Query { number: Some(b"1002".to_vec()), ..query() }), "b@x");
    assert_eq!(by(Query { number: Some(b"0049*".to_vec()), ..query() }), "a@x b@x a@x");
    assert_eq!(by(Query { number: Some(b"0049".to_vec()), ..query() }), "");
    assert_eq!(by(Query { source: Some("198.51.100.0/24".parse().unwrap()), ..query() }), "a@x b@x a@x");
    // A call that has one message in the range is shown whole.
    assert_eq!(by(Query { since_us: Some(4), ..query() }), "a@x a@x");
    assert_eq!(by(Query { until_us: Some(2), ..query() }), "a@x a@x");
    assert_eq!(by(query()), "a@x b@x c@x a@x");
}

#[test]
fn who_asks_for_calls_sees_no_questions_of_vendors_and_no_registrations() {
    let trace = three_calls();
    for (at_us, method) in [(5, "OPTIONS"), (6, "REGISTER")] {
        keep(&trace, at_us, "203.0.113.9:5060", &request(method, method, "1001", "1001"));
    }
    // Inside a call it is shown with the call.
    keep(&trace, 7, "198.51.100.8:5060", &request("OPTIONS", "b@x", "1002", "0049302"));
    let by = |query: Query| ids(&trace.find(&query)).join(" ");
    assert_eq!(by(query()), "a@x b@x c@x a@x b@x");
    assert_eq!(by(Query { since_us: Some(5), ..query() }), "");
    assert_eq!(by(Query { source: Some("203.0.113.9/32".parse().unwrap()), ..query() }), "OPTIONS REGISTER");
    assert_eq!(by(Query { number: Some(b"1001".to_vec()), ..query() }), "a@x a@x OPTIONS REGISTER");
    assert_eq!(by(Query { call_ids: vec![b"REGISTER".to_vec()], ..query() }), "REGISTER");
}

#[test]
fn the_newest_calls_are_kept_where_there_are_more_than_asked_for() {
    let trace = three_calls();
    let found = trace.find(&Query { calls: 1, ..query() });
    assert_eq!((ids(&found), found.is_cut), (vec!["a@x", "a@x"], true));
    let found = trace.find(&Query { entries: 1, ..query() });
    assert_eq!((found.entries[0].at_us, found.entries.len(), found.is_cut), (4, 1, true));
}

#[test]
fn a_message_is_kept_without_its_credentials_and_cut_where_it_is_long() {
    let trace = Trace::new(1 << 20);
    let mut bytes = request("INVITE", "a@x", "1001", "1002");
    let at = bytes.len() - 2;
    let secret = b"Authorization: Digest username=\"1001\",response=\"0123\"\r\nContent-Type: application/sdp\r\n";
    bytes.splice(at..at, secret.iter().copied());
    bytes.extend(vec![b'x'; 20_000]);
    keep(&trace, 1, "198.51.100.7:5060", &bytes);
    let found = trace.find(&query());
    let entry = &found.entries[0];
    assert_eq!((entry.length as usize, entry.content.len()), (bytes.len(), MAX_KEPT));
    assert!(entry.has_sdp);
    assert!(!entry.content.windows(4).any(|window| window == b"0123"));
    assert_eq!(entry.start_line, b"INVITE sip:1002@192.0.2.1 SIP/2.0");
    assert_eq!((entry.method.as_slice(), entry.cseq, entry.status), (&b"INVITE"[..], 1, 0));
}

#[test]
fn what_is_no_sip_is_kept_and_read_without_harm() {
    let trace = Trace::new(1 << 20);
    for bytes in [&b""[..], b"\r\n\r\n", b"\xff\xfe\n\x00", b"SIP/2.0 200 OK\r\n"] {
        keep(&trace, 1, "[2001:db8::1]:5060", bytes);
    }
    let found = trace.find(&Query { source: Some("2001:db8::/32".parse().unwrap()), ..query() });
    assert_eq!(found.entries.len(), 4);
    assert_eq!(found.entries[3].start_line, b"SIP/2.0 200 OK");
}

#[test]
fn nothing_is_kept_while_it_is_off_and_another_size_lets_go_of_what_was() {
    let trace = Trace::new(0);
    keep(&trace, 1, "198.51.100.7:5060", &request("INVITE", "a@x", "1", "2"));
    assert_eq!(trace.counters(), TraceCounters::default());
    trace.resize(1 << 20);
    keep(&trace, 1, "198.51.100.7:5060", &request("INVITE", "a@x", "1", "2"));
    trace.resize(1 << 20);
    assert_eq!(trace.find(&query()).entries.len(), 1);
    trace.resize(1 << 21);
    assert_eq!(trace.find(&query()).entries.len(), 0);
    assert_eq!((trace.counters().taken, trace.counters().overwritten), (1, 1));
}

#[test]
fn an_endless_call_costs_no_more_than_was_asked_for() {
    let trace = Trace::new(1 << 20);
    for at_us in 0..3000 {
        keep(&trace, at_us, "198.51.100.7:5060", &request("INFO", "same@x", "1", "2"));
    }
    let found = trace.find(&Query { entries: 100, ..query() });
    assert_eq!((found.entries.len(), found.is_cut), (100, true));
    assert_eq!((found.entries[0].at_us, found.entries[99].at_us), (2900, 2999));
}
