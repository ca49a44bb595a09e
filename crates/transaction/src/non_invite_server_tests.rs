// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::kit::{Clock, PEER, a_response, an_ack, an_answer, ended, hop, parsed, request, send, tell};
use crate::machine::IncomingResponse;
use crate::outgoing::OutgoingRequest;

/// One machine on a virtual clock.
struct Case {
    clock: Clock,
    server: NonInviteServer<u8>,
    request: OutgoingRequest,
    out: Effects<u8>,
}

impl Case {
    fn new(transport: Transport) -> Self {
        let (clock, request, mut out) = (Clock::new(), request("BYE", "x", &[]), Effects::new());
        let timers = SipTimers::default();
        let server = NonInviteServer::start(clock.at(0), hop(transport), timers, request.bytes(), &mut out);
        assert_eq!(std::mem::take(&mut out), [tell(Event::Request { bytes: Arc::clone(request.bytes()) })]);
        Self { clock, server, request, out }
    }

    fn give(&mut self, at_ms: u64, input: Input<'_, u8>) -> Effects<u8> {
        self.server.handle(self.clock.at(at_ms), input, &mut self.out).unwrap();
        std::mem::take(&mut self.out)
    }

    fn answer(&mut self, at_ms: u64, status: u16) -> Arc<[u8]> {
        let answer = an_answer(&self.request, status, "t");
        let bytes = Arc::clone(answer.bytes());
        assert_eq!(self.give(at_ms, Input::SendResponse(answer)), [send(&bytes)]);
        bytes
    }

    fn deadline(&self) -> Option<u64> {
        self.clock.ms(self.server.deadline())
    }
}

/// RFC 3261 §17.2.2.
#[test]
fn a_repeated_request_is_discarded_while_trying() {
    let mut case = Case::new(Transport::Unreliable);
    assert_eq!(case.give(500, Input::Request), []);
    assert_eq!((case.server.state(), case.deadline()), (State::Trying, Some(32_000)));
}

/// RFC 3261 §17.2.2.
#[test]
fn a_repeated_request_gets_the_last_provisional_response() {
    let mut case = Case::new(Transport::Unreliable);
    case.answer(100, 100);
    let progress = case.answer(200, 183);
    assert_eq!(case.give(500, Input::Request), [send(&progress)]);
    assert_eq!((case.server.state(), case.deadline()), (State::Proceeding, Some(32_000)));
}

/// RFC 3261 §17.2.2: timer J is 64*T1 on unreliable transports.
#[test]
fn timer_j_keeps_the_final_response_for_64_t1() {
    for is_after_provisional in [false, true] {
        let mut case = Case::new(Transport::Unreliable);
        if is_after_provisional {
            case.answer(50, 100);
        }
        let ok = case.answer(100, 200);
        assert_eq!((case.server.state(), case.deadline()), (State::Completed, Some(32_100)));
        assert_eq!(case.give(600, Input::Request), [send(&ok)]);
        assert_eq!(case.give(32_099, Input::Timer), []);
        assert_eq!(case.give(32_100, Input::Timer), [ended(Reason::Done)]);
        assert_eq!((case.server.state(), case.deadline()), (State::Terminated, None));
    }
}

/// RFC 3261 §17.2.2: timer J is zero on reliable transports.
#[test]
fn timer_j_is_zero_on_a_reliable_transport() {
    let mut case = Case::new(Transport::Reliable);
    let answer = an_answer(&case.request, 404, "t");
    let bytes = Arc::clone(answer.bytes());
    assert_eq!(case.give(100, Input::SendResponse(answer)), [send(&bytes), ended(Reason::Done)]);
    assert_eq!((case.server.state(), case.deadline()), (State::Terminated, None));
}

/// RFC 4320 §4: after 64*T1 nobody waits for an answer; the user is told that it left one out.
#[test]
fn a_request_that_the_user_leaves_unanswered_ends_after_64_t1() {
    for is_proceeding in [false, true] {
        let mut case = Case::new(Transport::Reliable);
        if is_proceeding {
            case.answer(20_000, 100);
        }
        assert_eq!(case.give(31_999, Input::Timer), []);
        assert_eq!(case.give(32_000, Input::Timer), [ended(Reason::Unanswered)]);
        assert_eq!(case.server.state(), State::Terminated);
    }
}

/// RFC 3261 §17.2.2, §17.2.4.
#[test]
fn a_transport_error_ends_the_transaction_and_tells_the_user() {
    for statuses in [&[][..], &[100], &[200]] {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            case.answer(100, *status);
        }
        assert_eq!(case.give(200, Input::TransportError), [ended(Reason::TransportError)]);
        assert_eq!((case.server.state(), case.deadline()), (State::Terminated, None));
        assert_eq!(case.give(201, Input::TransportError), []);
    }
}

/// RFC 3261 §17.2.2: what the user sends after its final response is discarded.
#[test]
fn illegal_input_changes_nothing_in_any_state() {
    for (statuses, state) in [(&[][..], State::Trying), (&[100], State::Proceeding), (&[200], State::Completed)] {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            case.answer(100, *status);
        }
        let bytes = a_response(&case.request, 200, "t");
        let mut inputs = vec![
            Input::Ack { bytes: &bytes },
            Input::Cancel { bytes: &bytes },
            Input::Response(IncomingResponse::new(&parsed(&bytes), &bytes).unwrap()),
            Input::SendCancel { headers: &[] },
        ];
        let ack = an_ack("t");
        inputs.push(Input::SendAck { ack: &ack, destination: PEER });
        if state == State::Completed {
            inputs.extend([100, 200, 500].map(|status| Input::SendResponse(an_answer(&case.request, status, "t"))));
        }
        for input in inputs {
            let before = case.server.clone();
            let error = case.server.handle(case.clock.at(200), input, &mut case.out).unwrap_err();
            assert_eq!((error, &case.server, case.out.len()), (Error::Illegal(state), &before, 0));
        }
    }
}
