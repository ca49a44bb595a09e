// SPDX-License-Identifier: Apache-2.0
//! Phones: challenges, credentials, replays, lock-out, rebinding.

mod kit;

use std::net::SocketAddr;

use guard::{ContactId, Counter, Flow, FlowKey, Standing};
use journal::Transport;
use kit::{Ask, Bench, Outcome, PHONE, STRANGER, ask, parameter, snapshot};

fn register(bench: &mut Bench, from: &str, password: &str) -> Outcome {
    let request = ask("REGISTER");
    let challenge = bench.throw(from, &request.bytes());
    assert_eq!(challenge.status(), Some(401));
    bench.throw(from, &request.answering(&challenge, "1001", password, 1).bytes())
}

fn bind(bench: &mut Bench, from: &str) {
    let source: SocketAddr = from.parse().unwrap();
    let flow = Flow {
        number: b"1001".to_vec(),
        local: kit::LOCAL.parse().unwrap(),
        id: ContactId { contact: b"sip:1001@10.0.0.5:5060".to_vec(), ..ContactId::default() },
        q: 1000,
        path: Vec::new(),
        call_id: b"a84b4c76e66710".to_vec(),
        cseq: 2,
        user_agent: Vec::new(),
        since_us: bench.now.utc_us,
        expires_at_us: bench.now.utc_us + 60_000_000,
    };
    let now_us = bench.now.utc_us;
    bench.guard.flows.bind(FlowKey { source, transport: Transport::Udp }, flow, now_us);
}

#[test]
fn the_right_password_admits_and_settles_its_challenge() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let outcome = register(&mut bench, PHONE, "right");
    let standing = &outcome.admitted[0];
    assert_eq!(*standing, Standing::Phone { number: b"1001".to_vec(), settles: 1, gateway: None });
    assert_eq!(bench.journal(), ["1 challenge 401"]);
    assert_eq!(outcome.tally.get(Counter::Proven), 1);
}

/// RFC 8760 §2.4: the preferred one is the topmost.
#[test]
fn sha256_is_offered_before_md5_and_alone_md5_where_it_is_switched_off() {
    for (offers_sha256, algorithms) in [(1, vec!["SHA-256", "MD5"]), (0, vec!["MD5"])] {
        let mut bench = Bench::new(snapshot(parameter("RF_DIGEST_SHA256", offers_sha256)));
        let outcome = bench.throw(PHONE, &ask("REGISTER").bytes());
        let offered: Vec<_> = outcome.answers[0].lines().filter_map(|line| line.split("algorithm=").nth(1)).collect();
        let offered: Vec<_> = offered.iter().filter_map(|rest| rest.split(',').next()).collect();
        assert_eq!(offered, algorithms);
        assert_eq!(register(&mut bench, PHONE, "right").admitted.len(), 1);
    }
}

#[test]
fn a_wrong_password_is_recorded_settles_its_challenge_and_hears_another_one() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let outcome = register(&mut bench, STRANGER, "wrong");
    assert_eq!((outcome.status(), outcome.admitted.len()), (Some(401), 0));
    assert_eq!(bench.journal(), ["1 challenge 401", "2 refusal bad_credentials 1001 401 settles 1"]);
}

#[test]
fn an_existing_number_and_a_missing_one_hear_the_same_at_every_step() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let mut heard = Vec::new();
    for number in ["1001", "4711"] {
        let mut statuses = Vec::new();
        for attempt in 0..8 {
            let request = ask("REGISTER").with(|ask| {
                ask.caller = number.into();
                ask.call_id = format!("{number}-{attempt}");
            });
            let challenge = bench.throw(STRANGER, &request.bytes());
            let wrong = bench.throw(STRANGER, &request.answering(&challenge, number, "guess", 1).bytes());
            let shape = |outcome: &Outcome| {
                outcome.answers[0].lines().map(|line| line[..line.len().min(8)].to_owned()).collect::<Vec<_>>()
            };
            statuses.push((challenge.status(), shape(&challenge), wrong.status(), shape(&wrong)));
        }
        heard.push(statuses);
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0][7].2, Some(403));
    assert_eq!(bench.journal().iter().filter(|line| line.contains("locked_out")).count(), 4);
}

#[test]
fn a_lock_out_ends_by_itself_and_never_touches_a_live_flow() {
    let mut bench = Bench::new(snapshot(|_| {}));
    for _ in 0..6 {
        register(&mut bench, PHONE, "wrong");
        bench.wait_ms(10);
    }
    assert_eq!(register(&mut bench, PHONE, "right").status(), Some(403));
    bind(&mut bench, PHONE);
    assert_eq!(register(&mut bench, PHONE, "right").admitted.len(), 1);
    bench.wait_ms(180_000);
    assert_eq!(register(&mut bench, "198.51.100.20:5999", "right").admitted.len(), 1);
}

#[test]
fn a_replayed_register_is_not_admitted() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(PHONE, &request.bytes());
    let answer = request.answering(&challenge, "1001", "right", 1);
    assert_eq!(bench.throw(PHONE, &answer.bytes()).admitted.len(), 1);
    // The very same bytes from the same place are a retransmission: no second admission, the answer again.
    let again = bench.throw(PHONE, &answer.bytes());
    assert_eq!((again.admitted.len(), again.repeats, again.tally.get(Counter::Absorbed)), (0, 1, 1));
    // From another port of the same address: a replay, challenged afresh.
    let elsewhere = bench.throw("198.51.100.20:41000", &answer.bytes());
    assert_eq!((elsewhere.admitted.len(), elsewhere.status()), (0, Some(401)));
    assert!(elsewhere.answers[0].contains("stale=true"));
    // From another address the nonce proves nothing.
    let stolen = bench.throw(STRANGER, &answer.bytes());
    assert_eq!((stolen.admitted.len(), stolen.status()), (0, Some(401)));
    assert!(bench.journal().last().unwrap().contains("forged_nonce"));
}

#[test]
fn a_nonce_serves_again_with_a_rising_count_and_settles_once() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(PHONE, &request.bytes());
    for (nc, settles, waited_ms) in [(1, 1, 9_000), (2, 0, 20_000), (7, 0, 20_000)] {
        bench.wait_ms(waited_ms);
        let outcome = bench.throw(PHONE, &request.answering(&challenge, "1001", "right", nc).bytes());
        assert_eq!(outcome.admitted[0], Standing::Phone { number: b"1001".to_vec(), settles, gateway: None });
    }
    bench.wait_ms(1000);
    let lower = request.answering(&challenge, "1001", "right", 3).with(|ask| ask.branch = "z9hG4bKlower".into());
    assert_eq!(bench.throw(PHONE, &lower.bytes()).status(), Some(401));
}

#[test]
fn an_old_nonce_or_one_of_a_retired_key_is_stale_and_no_offence() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(PHONE, &request.bytes());
    bench.wait_ms(33_000);
    let late = bench.throw(PHONE, &request.answering(&challenge, "1001", "right", 1).bytes());
    assert!(late.answers[0].contains("stale=true"));
    let challenge = bench.throw(PHONE, &request.with(|ask| ask.cseq = 40).bytes());
    bench.guard.configure(std::sync::Arc::new(snapshot(|document| {
        document["nonce_keys"] = serde_json::json!([{"id": 3, "key": "44".repeat(32)}]);
    })));
    let request = ask("REGISTER").with(|ask| ask.cseq = 60);
    let retired = bench.throw(PHONE, &request.answering(&challenge, "1001", "right", 1).bytes());
    assert!(retired.answers[0].contains("stale=true"));
    assert_eq!(bench.total.get(Counter::BadCredentials), 0);
    assert!(bench.journal().iter().all(|line| line.contains("challenge")), "{:?}", bench.journal());
}

#[test]
fn a_phone_registers_no_number_but_its_own() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER").with(|ask| ask.caller = "2002".into());
    let challenge = bench.throw(PHONE, &request.bytes());
    let outcome = bench.throw(PHONE, &request.answering(&challenge, "1001", "right", 1).bytes());
    assert_eq!((outcome.status(), outcome.admitted.len()), (Some(403), 0));
}

#[test]
fn a_registered_phone_that_comes_from_a_new_port_is_challenged_and_admitted() {
    let mut bench = Bench::new(snapshot(|_| {}));
    bind(&mut bench, PHONE);
    for from in [PHONE, "198.51.100.20:49999"] {
        let request = ask("INVITE").with(|ask| ask.call_id = from.into());
        let challenge = bench.throw(from, &request.bytes());
        assert_eq!(challenge.status(), Some(407));
        let outcome = bench.throw(from, &request.answering(&challenge, "1001", "right", 1).bytes());
        assert_eq!(outcome.admitted.len(), 1, "{from}");
    }
    assert!(bench.journal().iter().all(|line| line.contains("challenge")));
    bench.wait_ms(31 * 86_400_000);
    assert_eq!(bench.throw(PHONE, &ask("INVITE").with(|ask| ask.cseq = 9).bytes()).status(), Some(403));
}

#[test]
fn an_address_from_which_a_phone_has_registered_is_not_muted() {
    let mut bench = Bench::new(snapshot(kit::parameter("RF_MUTE_ATTEMPTS_PER_S", 3)));
    bind(&mut bench, PHONE);
    bench.wait_ms(3_600_000);
    let mut heard = |from: &str| {
        let calls = (1..=10).map(|cseq| ask("INVITE").with(|ask| ask.cseq = cseq).bytes());
        calls.filter(|call| bench.throw(from, call).status().is_some()).count()
    };
    assert_eq!(heard("198.51.100.20:50000"), 10, "another port behind the phone's address");
    assert_eq!(heard("198.51.100.21:50000"), 3);
}

#[test]
fn guesses_that_keep_branch_and_number_are_recorded_as_guesses() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(STRANGER, &request.bytes());
    for user in ["1001", "1002", "1003"] {
        let guess = request.answering(&challenge, user, "wrong", 1);
        let guess = guess.with(|ask| (ask.branch, ask.cseq) = (request.branch.clone(), request.cseq));
        assert_eq!(bench.throw(STRANGER, &guess.bytes()).status(), Some(401));
    }
    let journal = bench.journal();
    // The nonce is spent after the first; whoever names another number is challenged anew.
    assert!(journal[1].contains("bad_credentials"), "{journal:?}");
    assert_eq!(journal.iter().filter(|line| line.contains("challenge")).count(), 3, "{journal:?}");
    assert_eq!(journal.len(), 4, "{journal:?}");
    assert_eq!(bench.total.imbalance(), 0);
}

#[test]
fn a_nonce_that_one_number_has_earned_serves_no_guess_at_another() {
    let mut bench = Bench::new(snapshot(|document| {
        document["phones"].as_array_mut().unwrap().push(serde_json::json!({
            "number": "2000", "md5": kit::md5_hex("2000:ringfence:own"), "sha256": "0".repeat(64)
        }));
    }));
    let request = ask("REGISTER").with(|ask| ask.caller = "2000".into());
    let challenge = bench.throw(STRANGER, &request.bytes());
    assert_eq!(bench.throw(STRANGER, &request.answering(&challenge, "2000", "own", 1).bytes()).admitted.len(), 1);
    for nc in 2..20 {
        let guess = request.answering(&challenge, "1001", if nc == 19 { "right" } else { "wrong" }, nc);
        let heard = bench.throw(STRANGER, &guess.bytes());
        assert_eq!((heard.admitted.len(), heard.status()), (0, Some(401)));
        assert!(heard.answers[0].contains("stale=true"));
    }
}

#[test]
fn a_wrong_answer_is_counted_once_and_its_nonce_is_no_good_any_more() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(PHONE, &request.bytes());
    for nc in 1..20 {
        let password = if nc > 10 { "right" } else { "wrong" };
        let heard = bench.throw(PHONE, &request.answering(&challenge, "1001", password, nc).bytes());
        // Right and wrong hear the same, so that nothing is learnt; only the first counts towards a lock-out.
        assert_eq!((heard.admitted.len(), heard.status()), (0, Some(401)));
        assert!(!heard.answers[0].contains("stale=true"));
    }
    assert_eq!(register(&mut bench, PHONE, "right").admitted.len(), 1);
}

#[test]
fn a_request_that_comes_again_after_the_transaction_is_over_is_admitted_anew() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let call = ask("OPTIONS").bytes();
    assert_eq!(bench.throw(kit::GATEWAY, &call).admitted.len(), 1);
    bench.wait_ms(31_000);
    assert_eq!(bench.throw(kit::GATEWAY, &call).repeats, 1);
    bench.wait_ms(1_000);
    assert_eq!(bench.throw(kit::GATEWAY, &call).admitted.len(), 1);
}

#[test]
fn a_phone_that_moved_within_its_network_is_asked_again_and_is_no_forger() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let other = "198.51.100.21:40000";
    bind(&mut bench, PHONE);
    bind(&mut bench, other);
    let request = ask("REGISTER");
    let challenge = bench.throw(PHONE, &request.bytes());
    let moved = bench.throw(other, &request.answering(&challenge, "1001", "right", 1).bytes());
    assert!(moved.answers[0].contains("stale=true"));
    assert!(bench.journal().iter().all(|line| !line.contains("forged")), "{:?}", bench.journal());
}

#[test]
fn registrations_wait_while_the_call_layer_has_too_much_to_do() {
    let mut bench = Bench::new(snapshot(|_| {}));
    bench.guard.set_overloaded(true);
    let refused = register(&mut bench, PHONE, "right");
    assert_eq!((refused.admitted.len(), refused.status()), (0, Some(503)));
    assert!(bench.journal().last().unwrap().contains("rate_exceeded"));
    bench.guard.set_overloaded(false);
    bench.wait_ms(1000);
    assert_eq!(register(&mut bench, PHONE, "right").admitted.len(), 1);
}

/// `SS_SIP_AUTHENTICATION_TIMEOUT`
#[test]
fn a_right_answer_that_is_late_is_asked_for_once_more_and_leaves_no_challenge_open() {
    for (patience_s, waited_ms, is_late) in [(10, 10_000, false), (10, 11_000, true), (20, 11_000, false)] {
        let mut bench = Bench::new(snapshot(parameter("SS_SIP_AUTHENTICATION_TIMEOUT", patience_s)));
        let request = ask("REGISTER");
        let challenge = bench.throw(PHONE, &request.bytes());
        bench.wait_ms(waited_ms);
        let heard = bench.throw(PHONE, &request.answering(&challenge, "1001", "right", 1).bytes());
        assert_eq!(heard.admitted.is_empty(), is_late, "{patience_s} s, {waited_ms} ms");
        if is_late {
            assert!(heard.answers[0].contains("stale=true"));
            assert_eq!(bench.journal(), ["1 challenge 401", "2 challenge 401 settles 1"]);
            let again = ask("REGISTER").with(|ask| (ask.branch, ask.cseq) = ("z9hG4bKagain".into(), 5));
            let again = again.answering(&heard, "1001", "right", 1);
            let settles = Standing::Phone { number: b"1001".to_vec(), settles: 2, gateway: None };
            assert_eq!(bench.throw(PHONE, &again.bytes()).admitted, [settles]);
        }
    }
}

#[test]
fn a_wrong_answer_that_is_late_leaves_its_challenge_open() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(STRANGER, &request.bytes());
    bench.wait_ms(11_000);
    bench.throw(STRANGER, &request.answering(&challenge, "1001", "wrong", 1).bytes());
    assert_eq!(bench.journal(), ["1 challenge 401", "2 challenge 401"]);
}

/// What a phone hears that answers each challenge wrongly, one after the other, in one attempt.
fn insist(bench: &mut Bench, request: &Ask, times: usize) -> Vec<Option<u16>> {
    let mut challenge = bench.throw(PHONE, &request.bytes());
    let mut heard = Vec::new();
    for turn in 1..=times {
        bench.wait_ms(100);
        let again = Ask {
            branch: format!("{}t{turn}", request.branch),
            cseq: request.cseq + turn as u32,
            ..request.answering(&challenge, "1001", "wrong", 1)
        };
        challenge = bench.throw(PHONE, &again.bytes());
        heard.push(challenge.status());
    }
    heard
}

/// `SS_SIP_AUTHENTICATION_RETRY`
#[test]
fn so_many_wrong_answers_of_one_attempt_are_asked_again_and_the_next_is_refused() {
    for (retries, heard) in [(0, vec![Some(403)]), (2, vec![Some(401), Some(401), Some(403)])] {
        let mut bench = Bench::new(snapshot(parameter("SS_SIP_AUTHENTICATION_RETRY", retries)));
        assert_eq!(insist(&mut bench, &ask("REGISTER"), heard.len()), heard);
        let journal = bench.journal();
        let last = journal.last().unwrap();
        assert!(last.contains("bad_credentials 1001 403"), "{last}");
        // Another attempt begins anew, and so does this one for whoever has the password.
        let other = ask("REGISTER").with(|ask| ask.call_id = "another".into());
        assert_eq!(insist(&mut bench, &other, 1), heard[..1]);
        assert_eq!(register(&mut bench, PHONE, "right").admitted.len(), 1);
    }
}

/// `SS_SIP_AUTHENTICATION_CODE`
#[test]
fn a_call_is_asked_with_the_operators_code_and_answers_to_the_other_one_still_count() {
    for (code, header) in [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")] {
        let mut bench = Bench::new(snapshot(parameter("SS_SIP_AUTHENTICATION_CODE", code)));
        bind(&mut bench, PHONE);
        let call = ask("INVITE");
        let challenge = bench.throw(PHONE, &call.bytes());
        assert_eq!(challenge.status(), Some(u16::try_from(code).unwrap()));
        assert!(challenge.answers[0].contains(&format!("\r\n{header}: Digest ")));
        // Its answer is in Proxy-Authorization.
        assert_eq!(bench.throw(PHONE, &call.answering(&challenge, "1001", "right", 1).bytes()).admitted.len(), 1);
        let asked = bench.throw(PHONE, &ask("REGISTER").with(|ask| ask.call_id = "register".into()).bytes());
        assert_eq!(asked.status(), Some(401));
    }
}

/// RFC 3428 §3: a text message of a phone proves itself as a call does.
#[test]
fn a_text_message_is_challenged_where_a_call_is_and_refused_where_a_call_is() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let text = ask("MESSAGE");
    assert_eq!(bench.throw(STRANGER, &text.bytes()).status(), Some(403));
    bind(&mut bench, PHONE);
    let challenge = bench.throw(PHONE, &text.bytes());
    assert_eq!(challenge.status(), Some(407));
    let again = text.answering(&challenge, "1001", "right", 1);
    let admitted = bench.throw(PHONE, &again.bytes()).admitted;
    assert_eq!(admitted, [Standing::Phone { number: b"1001".to_vec(), settles: 2, gateway: None }]);
    assert_eq!(bench.throw(PHONE, &again.bytes()).repeats, 1);
    assert_eq!(bench.total.get(Counter::IllegalCalls), 0);
    assert_eq!(bench.total.imbalance(), 0);
}

/// RFC 3261 §11: many phones look now and then whether their registrar is there.
#[test]
fn an_options_over_a_live_flow_is_let_in_and_any_other_is_a_strangers() {
    let mut bench = Bench::new(snapshot(|_| {}));
    bind(&mut bench, PHONE);
    let ping = |turn: u32| ask("OPTIONS").with(|ask| (ask.cseq, ask.branch) = (turn, format!("z9hG4bKping{turn}")));
    let admitted = bench.throw(PHONE, &ping(1).bytes()).admitted;
    assert_eq!(admitted, [Standing::Phone { number: b"1001".to_vec(), settles: 0, gateway: None }]);
    assert_eq!(bench.throw(PHONE, &ping(1).bytes()).repeats, 1);
    assert!(bench.journal().is_empty());
    assert_eq!(bench.throw(STRANGER, &ping(2).bytes()).status(), Some(403));
    let heard: Vec<_> = (3..14).map(|turn| bench.throw(PHONE, &ping(turn).bytes()).status()).collect();
    assert_eq!((heard[8], heard[9]), (None, Some(503)));
    bench.wait_ms(61_000);
    assert_eq!(bench.throw(PHONE, &ping(20).bytes()).status(), Some(403));
    assert_eq!((bench.total.get(Counter::IllegalCalls), bench.total.imbalance()), (0, 0));
}

/// A proxy on the way may have credentials of its own in the message.
#[test]
fn credentials_for_somebody_elses_realm_are_no_answer() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let theirs =
        "Proxy-Authorization: Digest username=\"1001\",realm=\"elsewhere\",nonce=\"x\",uri=\"sip:a\",response=\"y\"";
    let request = ask("REGISTER").with(|ask| ask.extra.push(theirs.into()));
    assert_eq!(bench.throw(PHONE, &request.bytes()).status(), Some(401));
    assert_eq!(bench.journal(), ["1 challenge 401"]);
}

/// Number 1001 is the name that gateway 9 registers as.
fn registering_gateway(document: &mut serde_json::Value) {
    document["phones"][0]["gateway"] = 9.into();
    document["gateways"][0]["addresses"] = serde_json::json!([]);
    document["gateways"][0]["calls_per_second"] = 20.into();
    document["gateways"][0]["burst"] = 30.into();
}

/// A call with credentials: answer to its own challenge.
fn call(bench: &mut Bench, call_id: usize) -> Outcome {
    let invite = ask("INVITE").with(|ask| {
        ask.call_id = format!("call-{call_id}");
        ask.branch = format!("z9hG4bK{call_id}");
    });
    let challenge = bench.throw(PHONE, &invite.bytes());
    assert_eq!(challenge.status(), Some(407));
    bench.throw(PHONE, &invite.answering(&challenge, "1001", "right", 1).bytes())
}

#[test]
fn a_gateway_that_registers_has_its_own_rate_and_burst_and_not_a_phones() {
    for (change, burst, rate) in [(registering_gateway as fn(&mut serde_json::Value), 30, 20), (|_| {}, 10, 5)] {
        let mut bench = Bench::new(snapshot(change));
        bind(&mut bench, PHONE);
        for (first, passes) in [(0, burst), (100, rate)] {
            let outcomes: Vec<Outcome> = (first..first + 40).map(|id| call(&mut bench, id)).collect();
            assert_eq!(outcomes.iter().filter(|outcome| !outcome.admitted.is_empty()).count(), passes);
            assert_eq!(outcomes.last().unwrap().status(), Some(503));
            for passed in outcomes.iter().flat_map(|outcome| &outcome.admitted) {
                passed.in_flight_at().into_iter().for_each(|id| bench.guard.taken_up(id));
            }
            bench.wait_ms(1000);
        }
    }
}

#[test]
fn a_gateway_that_registers_has_its_own_cap_in_flight_and_is_no_stranger_beyond_it() {
    let mut bench = Bench::new(snapshot(|document| {
        registering_gateway(document);
        document["gateways"][0]["in_flight"] = 2.into();
    }));
    bind(&mut bench, PHONE);
    assert_eq!(call(&mut bench, 1).admitted[0].in_flight_at(), Some(9));
    assert_eq!(call(&mut bench, 2).admitted.len(), 1);
    let beyond = call(&mut bench, 3);
    assert_eq!((beyond.status(), beyond.tally.get(Counter::IllegalCalls)), (Some(503), 0));
    bench.guard.taken_up(9);
    assert_eq!(call(&mut bench, 4).admitted.len(), 1);
    // What could not be passed on is not in flight either.
    let passed = call(&mut bench, 5);
    assert_eq!(passed.status(), Some(503));
    bench.guard.taken_up(9);
    let passed = call(&mut bench, 6);
    bench.guard.undo(&passed.passed[0]);
    assert_eq!(call(&mut bench, 7).admitted.len(), 1);
}

#[test]
fn a_name_of_no_gateway_makes_no_snapshot() {
    let mut document = serde_json::json!(null);
    snapshot(|whole| document = whole.clone());
    document["phones"][0]["gateway"] = 8.into();
    let error = guard::Snapshot::from_json(document.to_string().as_bytes()).err().unwrap();
    assert_eq!(error.to_string(), "phone gateway: \"8\" is not usable");
}

#[test]
fn nonces_of_before_the_clock_was_set_back_are_stale_and_no_offence() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let request = ask("REGISTER");
    let challenge = bench.throw(PHONE, &request.bytes());
    bench.now.utc_us -= 3_600_000_000;
    let answer = bench.throw(PHONE, &request.answering(&challenge, "1001", "right", 1).bytes());
    assert_eq!((answer.admitted.len(), answer.status()), (0, Some(401)));
    assert!(answer.answers[0].contains("stale=true"));
    assert_eq!(answer.tally.get(Counter::BadCredentials), 0);
    // The next one is of the new time.
    let again = request.with(|ask| ask.cseq = 10).answering(&answer, "1001", "right", 1);
    assert_eq!(bench.throw(PHONE, &again.with(|ask| ask.branch = "z9hG4bKagain".into()).bytes()).admitted.len(), 1);
}

/// How many illegal calls the guard has counted by now.
fn illegal_calls(bench: &mut Bench) -> u64 {
    bench.guard.give_up_waiting(bench.now, &mut bench.total);
    bench.total.get(Counter::IllegalCalls)
}

#[test]
fn a_phone_that_is_challenged_before_its_call_is_never_an_illegal_call() {
    let mut bench = Bench::new(snapshot(parameter("RF_ROAMING", 1)));
    let call = ask("INVITE");
    bench.throw(PHONE, &call.bytes());
    bench.wait_ms(500);
    // The challenge was lost: the same call again.
    let challenge = bench.throw(PHONE, &call.bytes());
    assert_eq!(bench.throw(PHONE, &call.answering(&challenge, "1001", "right", 1).bytes()).admitted.len(), 1);
    bench.wait_ms(60_000);
    assert_eq!(illegal_calls(&mut bench), 0);
}

#[test]
fn a_challenged_call_is_illegal_once_it_can_be_answered_no_more() {
    let mut bench = Bench::new(snapshot(parameter("RF_ROAMING", 1)));
    for call_id in ["a", "b"] {
        bench.throw(STRANGER, &ask("INVITE").with(|ask| ask.call_id = call_id.into()).bytes());
    }
    // Not even those whose answers somebody else gives: to a challenge of a REGISTER.
    register(&mut bench, PHONE, "right");
    bench.wait_ms(34_000);
    assert_eq!(illegal_calls(&mut bench), 0);
    bench.wait_ms(2_000);
    assert_eq!(illegal_calls(&mut bench), 2);
    bench.wait_ms(60_000);
    assert_eq!(illegal_calls(&mut bench), 2);
}

#[test]
fn a_wrong_password_is_one_illegal_call_and_not_another_one_when_its_challenge_is_over() {
    let mut bench = Bench::new(snapshot(parameter("RF_ROAMING", 1)));
    let call = ask("INVITE");
    let challenge = bench.throw(STRANGER, &call.bytes());
    bench.throw(STRANGER, &call.answering(&challenge, "1001", "wrong", 1).bytes());
    assert_eq!(illegal_calls(&mut bench), 1);
    bench.wait_ms(60_000);
    assert_eq!(illegal_calls(&mut bench), 1);
}

#[test]
fn what_a_phone_with_the_right_password_is_refused_is_no_illegal_call() {
    let mut bench = Bench::new(snapshot(|document| {
        document["parameters"]["RF_ROAMING"] = 1.into();
        document["lists"] =
            serde_json::json!([{"list": "callee", "color": "black", "value": "2001", "expires_at_us": 0}]);
    }));
    let call = ask("INVITE").with(|ask| ask.callee = "2001".into());
    let challenge = bench.throw(PHONE, &call.bytes());
    let refused = bench.throw(PHONE, &call.answering(&challenge, "1001", "right", 1).bytes());
    assert_eq!(refused.status(), Some(403));
    let mut refusals = Vec::new();
    bench.frames(|_, record| {
        if let journal::Record::Refusal(attempt) = record {
            let is_authorised = attempt.flags & journal::flags::IS_AUTHORISED != 0;
            refusals.push((attempt.reason.as_str(), attempt.auth_user.to_vec(), is_authorised));
        }
    });
    assert_eq!(refusals, [("blacklisted", b"1001".to_vec(), true)]);
    bench.wait_ms(60_000);
    assert_eq!(illegal_calls(&mut bench), 0);
}

#[test]
fn a_registered_phone_that_speaks_of_a_call_that_is_over_makes_no_illegal_call_and_no_reflector() {
    let mut bench = Bench::new(snapshot(|_| {}));
    bind(&mut bench, PHONE);
    let inside = ask("INVITE").with(|ask| ask.to_tag = Some("of-a-call-before-the-restart".into()));
    let length = inside.bytes().len();
    let outcome = bench.throw(PHONE, &inside.bytes());
    assert_eq!((outcome.status(), illegal_calls(&mut bench)), (Some(481), 0));
    assert!(outcome.answers[0].len() <= length);
    bench.throw(STRANGER, &inside.bytes());
    assert_eq!(illegal_calls(&mut bench), 1);
}
