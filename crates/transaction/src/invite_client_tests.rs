// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::kit::{
    Clock, PEER, a_response, an_ack, an_answer, an_invite, ended, hop, ms, parsed, request_to, send, send_to, tell,
    tell_response, to_line,
};
use sip::Method;

/// One machine on a virtual clock.
struct Case {
    clock: Clock,
    client: InviteClient<u8>,
    invite: OutgoingRequest,
    out: Effects<u8>,
}

impl Case {
    fn new(transport: Transport) -> Self {
        Self::with_timeout(transport, None)
    }

    fn with_timeout(transport: Transport, timeout: Option<Duration>) -> Self {
        let (clock, invite, mut out) = (Clock::new(), an_invite(), Effects::new());
        let client = InviteClient::start(clock.at(0), hop(transport), SipTimers::default(), timeout, &invite, &mut out);
        assert_eq!(std::mem::take(&mut out), [send(invite.bytes())]);
        Self { clock, client, invite, out }
    }

    fn give(&mut self, at_ms: u64, input: Input<'_, u8>) -> Effects<u8> {
        self.client.handle(self.clock.at(at_ms), input, &mut self.out).unwrap();
        std::mem::take(&mut self.out)
    }

    fn refuse(&mut self, at_ms: u64, input: Input<'_, u8>) -> Error {
        let before = self.client.clone();
        let error = self.client.handle(self.clock.at(at_ms), input, &mut self.out).unwrap_err();
        assert_eq!((&self.client, self.out.len()), (&before, 0));
        error
    }

    /// A response arrives; it is given back with what came of it.
    fn hear(&mut self, at_ms: u64, status: u16, to_tag: &str) -> (Arc<[u8]>, Effects<u8>) {
        let bytes = a_response(&self.invite, status, to_tag);
        let effects = self.give(at_ms, Input::Response(IncomingResponse::new(&parsed(&bytes), &bytes).unwrap()));
        (bytes, effects)
    }

    fn deadline(&self) -> Option<u64> {
        self.clock.ms(self.client.deadline())
    }

    /// The times at which timers fire until the machine is silent, with what comes of each.
    fn run(&mut self) -> Vec<(u64, Effects<u8>)> {
        let mut fired = Vec::new();
        while let Some(at) = self.deadline() {
            assert!(fired.len() < 100, "timers without end");
            let effects = self.give(at, Input::Timer);
            fired.push((at, effects));
        }
        fired
    }
}

/// RFC 3261 §17.1.1.2: 500, 1000, 2000 ... without a cap, and B after 64*T1.
#[test]
fn timer_a_doubles_without_cap_until_timer_b() {
    let mut case = Case::new(Transport::Unreliable);
    assert_eq!(case.deadline(), Some(500));
    let sent = [send(case.invite.bytes())];
    let fired = case.run();
    for ((at, effects), expected) in fired.iter().zip([500, 1_500, 3_500, 7_500, 15_500, 31_500]) {
        assert_eq!((*at, &effects[..]), (expected, &sent[..]));
    }
    assert_eq!(fired[6..], [(32_000, vec![ended(Reason::NoResponse)])]);
    assert_eq!((case.client.state(), case.deadline()), (State::Terminated, None));
}

/// RFC 3261 §17.1.1.2: no timer A on reliable transports, timer B on all.
#[test]
fn on_a_reliable_transport_only_timer_b_runs() {
    let mut case = Case::new(Transport::Reliable);
    assert_eq!(case.run(), [(32_000, vec![ended(Reason::NoResponse)])]);
}

/// RFC 3261 §17.1.1.2 lets timer B be chosen; gateways have a time of their own.
#[test]
fn timer_b_may_be_shorter_or_longer_for_one_transaction() {
    let mut case = Case::with_timeout(Transport::Unreliable, Some(ms(3_000)));
    let times: Vec<_> = case.run().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [500, 1_500, 3_000]);
    let mut case = Case::with_timeout(Transport::Unreliable, Some(ms(90_000)));
    let times: Vec<_> = case.run().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500, 63_500, 90_000]);
}

/// RFC 3261 §17.1.1.2.
#[test]
fn two_engines_with_different_t1_keep_their_own() {
    let timers = SipTimers::new(ms(100), ms(400), ms(500)).unwrap();
    let (clock, mut out) = (Clock::new(), Effects::new());
    let quick = InviteClient::start(clock.at(0), hop(Transport::Unreliable), timers, None, &an_invite(), &mut out);
    let slow = Case::new(Transport::Unreliable);
    assert_eq!((clock.ms(quick.deadline()), slow.deadline()), (Some(100), Some(500)));
}

/// A clock that was stopped does not bring a burst: what ends the transaction goes first.
#[test]
fn a_late_clock_ends_the_transaction_without_repeating() {
    let mut case = Case::new(Transport::Unreliable);
    assert_eq!(case.give(60_000, Input::Timer), [ended(Reason::NoResponse)]);
}

/// RFC 3261 §17.1.1.2: a provisional response ends all repetition, and every one reaches the user.
#[test]
fn provisional_responses_stop_the_timers_and_reach_the_user() {
    let mut case = Case::new(Transport::Unreliable);
    let (trying, effects) = case.hear(100, 100, "");
    assert_eq!(effects, [tell_response(100, &trying)]);
    assert_eq!((case.client.state(), case.deadline()), (State::Proceeding, None));
    let (ringing, effects) = case.hear(200, 180, "t1");
    assert_eq!(effects, [tell_response(180, &ringing)]);
    assert_eq!((case.client.state(), case.deadline()), (State::Proceeding, None));
    assert_eq!(case.give(300, Input::Timer), []);
}

/// RFC 3261 §17.1.1.2, §17.1.1.3: ACK by the machine, user told, 32 s in which a repeated response gets the same ACK.
#[test]
fn a_failure_is_acknowledged_and_timer_d_is_32_s() {
    for from_calling in [true, false] {
        let mut case = Case::new(Transport::Unreliable);
        if !from_calling {
            case.hear(10, 180, "t1");
        }
        let (busy, effects) = case.hear(100, 486, "t1");
        let ack = ack_for_failure(case.invite.bytes(), to_line(&busy)).unwrap();
        assert_eq!(effects, [send(&ack), tell_response(486, &busy)]);
        assert_eq!((case.client.state(), case.deadline()), (State::Completed, Some(32_100)));
        assert_eq!(case.hear(600, 486, "t1").1, [send(&ack)]);
        assert_eq!(case.hear(700, 603, "t1").1, [send(&ack)]);
        assert_eq!(case.hear(800, 200, "t1").1, []);
        assert_eq!(case.hear(900, 183, "t1").1, []);
        assert_eq!(case.deadline(), Some(32_100));
        assert_eq!(case.run(), [(32_100, vec![ended(Reason::Done)])]);
    }
}

/// RFC 3261 §17.1.1.2: timer D is zero on reliable transports.
#[test]
fn timer_d_is_zero_on_a_reliable_transport() {
    let mut case = Case::new(Transport::Reliable);
    let (busy, effects) = case.hear(100, 486, "t1");
    let ack = ack_for_failure(case.invite.bytes(), to_line(&busy)).unwrap();
    assert_eq!(effects, [send(&ack), tell_response(486, &busy), ended(Reason::Done)]);
    assert_eq!((case.client.state(), case.deadline()), (State::Terminated, None));
}

/// RFC 6026 §7.2, §8.4: timer M is 64*T1 on any transport, from the first 2xx.
#[test]
fn timer_m_keeps_an_accepted_invite_for_64_t1() {
    for transport in [Transport::Unreliable, Transport::Reliable] {
        let mut case = Case::new(transport);
        let (ok, effects) = case.hear(100, 200, "t1");
        assert_eq!(effects, [tell_response(200, &ok)]);
        assert_eq!((case.client.state(), case.deadline()), (State::Accepted, Some(32_100)));
        case.hear(5_000, 200, "t2");
        assert_eq!(case.run(), [(32_100, vec![ended(Reason::Done)])]);
    }
}

/// RFC 6026 §7.2: forked 2xx, and 2xx that come late, reach the user; each dialog once.
#[test]
fn forked_and_late_2xx_reach_the_user_once_each() {
    let mut case = Case::new(Transport::Unreliable);
    case.hear(50, 180, "t1");
    case.hear(100, 200, "t1");
    let (second, effects) = case.hear(31_999, 200, "t2");
    assert_eq!(effects, [tell_response(200, &second)]);
    assert_eq!(case.hear(32_000, 200, "t2").1, []);
    // Tags are tokens: compared without case (RFC 3261 §7.3.1).
    assert_eq!(case.hear(32_001, 200, "T1").1, []);
    assert_eq!(case.hear(32_002, 486, "t3").1, []);
    assert_eq!(case.hear(32_003, 180, "t3").1, []);
    assert_eq!(case.client.state(), State::Accepted);
}

#[test]
fn an_invite_makes_no_more_than_16_dialogs() {
    let mut case = Case::new(Transport::Unreliable);
    let told = (0..100).filter(|fork| !case.hear(100, 200, &format!("t{fork}")).1.is_empty()).count();
    assert_eq!((told, case.client.take_refused_forks()), (MAX_FORKS, 84));
    assert_eq!(case.client.take_refused_forks(), 0);
}

/// RFC 3261 §13.2.2.4: the ACK is the user's; it is sent again for each 2xx that comes again, to where the user sent it.
#[test]
fn a_repeated_2xx_gets_the_users_ack_again() {
    let mut case = Case::new(Transport::Unreliable);
    case.hear(100, 200, "t1");
    assert_eq!(case.hear(600, 200, "t1").1, []);
    let ack = an_ack("t1");
    assert_eq!(case.give(700, Input::SendAck { ack: &ack, destination: 8 }), [send_to(8, ack.bytes())]);
    assert_eq!(case.hear(1_600, 200, "t1").1, [send_to(8, ack.bytes())]);
    case.hear(1_700, 200, "t2");
    let other = an_ack("t2");
    assert_eq!(case.give(1_800, Input::SendAck { ack: &other, destination: 9 }), [send_to(9, other.bytes())]);
    assert_eq!(case.hear(1_900, 200, "t2").1, [send_to(9, other.bytes())]);
    assert_eq!(case.hear(2_000, 200, "t1").1, [send_to(8, ack.bytes())]);
}

/// RFC 3261 §13.2.2.4.
#[test]
fn an_ack_without_its_2xx_is_refused() {
    let mut case = Case::new(Transport::Unreliable);
    let ack = an_ack("t1");
    assert_eq!(case.refuse(1, Input::SendAck { ack: &ack, destination: PEER }), Error::Illegal(State::Calling));
    case.hear(100, 200, "t2");
    assert_eq!(case.refuse(101, Input::SendAck { ack: &ack, destination: PEER }), Error::NoSuchSuccess);
}

/// RFC 3261 §9.1.
#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut case = Case::new(Transport::Unreliable);
    assert_eq!(case.give(100, Input::SendCancel { headers: &[] }), []);
    assert_eq!((case.client.take_cancel(), case.deadline()), (None, Some(500)));
    let (trying, effects) = case.hear(200, 100, "");
    assert_eq!(effects, [tell_response(100, &trying)]);
    let cancel = case.client.take_cancel().unwrap();
    assert_eq!(parsed(cancel.bytes()).method(), Some(Method::Cancel));
    assert_eq!(case.client.take_cancel(), None);
    assert_eq!(case.deadline(), Some(32_200));
}

/// RFC 3261 §9.1: an INVITE without a final response 64*T1 after its CANCEL counts as cancelled.
#[test]
fn a_cancel_without_effect_ends_the_invite_after_64_t1() {
    for transport in [Transport::Unreliable, Transport::Reliable] {
        let mut case = Case::new(transport);
        case.hear(100, 180, "t1");
        assert_eq!(case.give(1_000, Input::SendCancel { headers: &[] }), []);
        assert!(case.client.take_cancel().is_some());
        assert_eq!(case.give(1_500, Input::SendCancel { headers: &[] }), []);
        assert_eq!(case.client.take_cancel(), None);
        case.hear(2_000, 180, "t1");
        assert_eq!(case.run(), [(33_000, vec![ended(Reason::CancelUnanswered)])]);
    }
}

/// RFC 3261 §9.1: the final response decides, whatever was cancelled.
#[test]
fn after_a_cancel_the_final_response_still_counts() {
    let mut case = Case::new(Transport::Unreliable);
    case.hear(100, 180, "t1");
    case.give(1_000, Input::SendCancel { headers: &[] });
    case.client.take_cancel().unwrap();
    let (terminated, effects) = case.hear(1_100, 487, "t1");
    assert_eq!(effects[1..], [tell_response(487, &terminated)]);
    assert_eq!(case.deadline(), Some(33_100));

    let mut case = Case::new(Transport::Unreliable);
    case.hear(100, 180, "t1");
    case.give(1_000, Input::SendCancel { headers: &[] });
    case.client.take_cancel().unwrap();
    let (ok, effects) = case.hear(1_100, 200, "t1");
    assert_eq!((effects, case.client.state()), (vec![tell_response(200, &ok)], State::Accepted));
    assert_eq!(case.run(), [(33_100, vec![ended(Reason::Done)])]);
}

/// RFC 3261 §9.1: no CANCEL where the final response is there, even where one was wanted.
#[test]
fn no_cancel_after_a_final_response() {
    for status in [200, 486] {
        let mut case = Case::new(Transport::Unreliable);
        case.give(50, Input::SendCancel { headers: &[] });
        case.hear(100, status, "t1");
        assert_eq!(case.client.take_cancel(), None);
        let state = case.client.state();
        assert_eq!(case.refuse(200, Input::SendCancel { headers: &[] }), Error::Illegal(state));
    }
}

/// RFC 3261 §17.1.4.
#[test]
fn a_transport_error_ends_the_transaction_and_tells_the_user() {
    for statuses in [&[][..], &[180], &[486]] {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            case.hear(100, *status, "t1");
        }
        assert_eq!(case.give(200, Input::TransportError), [ended(Reason::TransportError)]);
        assert_eq!((case.client.state(), case.deadline()), (State::Terminated, None));
        assert_eq!(case.give(201, Input::TransportError), []);
    }
}

/// What failed then is the ACK of one fork; others may still come (RFC 6026 §7.2).
#[test]
fn a_transport_error_leaves_an_accepted_invite_and_tells_the_user() {
    let mut case = Case::new(Transport::Unreliable);
    case.hear(100, 200, "t1");
    assert_eq!(case.give(200, Input::TransportError), [tell(Event::TransportError)]);
    assert_eq!((case.client.state(), case.deadline()), (State::Accepted, Some(32_100)));
}

#[test]
fn illegal_input_changes_nothing_in_any_state() {
    for (statuses, state) in
        [(&[][..], State::Calling), (&[180], State::Proceeding), (&[486], State::Completed), (&[200], State::Accepted)]
    {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            case.hear(100, *status, "t1");
        }
        let bytes = Arc::clone(case.invite.bytes());
        let answer = an_answer(&case.invite, 200, "t1");
        for input in
            [Input::Request, Input::Ack { bytes: &bytes }, Input::Cancel { bytes: &bytes }, Input::SendResponse(answer)]
        {
            assert_eq!(case.refuse(200, input), Error::Illegal(state));
        }
    }
}

#[test]
fn nothing_comes_out_of_a_terminated_machine() {
    let mut case = Case::new(Transport::Reliable);
    case.hear(100, 486, "t1");
    for status in [100, 200, 486] {
        assert_eq!(case.hear(200, status, "t1").1, []);
    }
    assert_eq!(case.give(99_999, Input::Timer), []);
    assert_eq!(case.refuse(200, Input::SendCancel { headers: &[] }), Error::Illegal(State::Terminated));
}

/// RFC 3261 §13.2.2.4: an RFC 2543 element may leave the tag away; that is one dialog too.
#[test]
fn a_2xx_without_a_to_tag_is_one_dialog() {
    let mut case = Case::new(Transport::Unreliable);
    let (ok, effects) = case.hear(100, 200, "");
    assert_eq!(effects, [tell_response(200, &ok)]);
    assert_eq!(case.hear(600, 200, "").1, []);
    let ack = request_to("ACK", "ack", "<sip:b@192.0.2.2>", &[]);
    assert_eq!(case.give(700, Input::SendAck { ack: &ack, destination: PEER }), [send(ack.bytes())]);
}
