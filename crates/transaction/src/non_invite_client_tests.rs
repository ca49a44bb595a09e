// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::kit::{Clock, PEER, a_response, an_ack, an_answer, ended, hop, ms, parsed, request, send, tell_response};
use crate::machine::IncomingResponse;

/// One machine on a virtual clock.
struct Case {
    clock: Clock,
    client: NonInviteClient<u8>,
    request: OutgoingRequest,
    out: Effects<u8>,
}

impl Case {
    fn new(transport: Transport) -> Self {
        Self::with_timeout(transport, None)
    }

    fn with_timeout(transport: Transport, timeout: Option<Duration>) -> Self {
        let (clock, request, mut out) = (Clock::new(), request("BYE", "x", &[]), Effects::new());
        let timers = SipTimers::default();
        let client = NonInviteClient::start(clock.at(0), hop(transport), timers, timeout, &request, &mut out);
        assert_eq!(std::mem::take(&mut out), [send(request.bytes())]);
        Self { clock, client, request, out }
    }

    fn give(&mut self, at_ms: u64, input: Input<'_, u8>) -> Effects<u8> {
        self.client.handle(self.clock.at(at_ms), input, &mut self.out).unwrap();
        std::mem::take(&mut self.out)
    }

    fn hear(&mut self, at_ms: u64, status: u16) -> (Arc<[u8]>, Effects<u8>) {
        let bytes = a_response(&self.request, status, "t");
        let effects = self.give(at_ms, Input::Response(IncomingResponse::new(&parsed(&bytes), &bytes).unwrap()));
        (bytes, effects)
    }

    fn deadline(&self) -> Option<u64> {
        self.clock.ms(self.client.deadline())
    }

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

/// RFC 3261 §17.1.2.2: 500, 1000, 2000, then every 4000 ms; F after 64*T1.
#[test]
fn timer_e_doubles_to_t2_until_timer_f() {
    let mut case = Case::new(Transport::Unreliable);
    let sent = vec![send(case.request.bytes())];
    let mut expected: Vec<_> =
        [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500].map(|at| (at, sent.clone())).into();
    expected.push((32_000, vec![ended(Reason::NoResponse)]));
    assert_eq!(case.run(), expected);
    assert_eq!(case.client.state(), State::Terminated);
}

/// RFC 3261 §17.1.2.2.
#[test]
fn on_a_reliable_transport_only_timer_f_runs() {
    let mut case = Case::new(Transport::Reliable);
    assert_eq!(case.run(), [(32_000, vec![ended(Reason::NoResponse)])]);
}

/// RFC 3261 §17.1.2.2 lets timer F be chosen.
#[test]
fn timer_f_may_be_chosen_for_one_transaction() {
    let mut case = Case::with_timeout(Transport::Reliable, Some(ms(5_000)));
    assert_eq!(case.run(), [(5_000, vec![ended(Reason::NoResponse)])]);
}

/// RFC 3261 §17.1.2.2: the timer that runs is not moved, the next one is T2.
#[test]
fn timer_e_is_t2_once_proceeding() {
    let mut case = Case::new(Transport::Unreliable);
    let (trying, effects) = case.hear(100, 100);
    assert_eq!(effects, [tell_response(100, &trying)]);
    assert_eq!((case.client.state(), case.deadline()), (State::Proceeding, Some(500)));
    let times: Vec<_> = case.run().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500, 32_000]);
}

/// RFC 3261 §17.1.2.2: timer F runs in Proceeding too.
#[test]
fn timer_f_ends_a_request_that_is_only_ever_proceeding() {
    let mut case = Case::new(Transport::Reliable);
    case.hear(100, 100);
    case.hear(20_000, 183);
    assert_eq!(case.run(), [(32_000, vec![ended(Reason::NoResponse)])]);
}

/// RFC 3261 §17.1.2.2: timer K is T4 on unreliable transports and absorbs what comes again.
#[test]
fn timer_k_absorbs_repeated_responses_for_t4() {
    for statuses in [&[200][..], &[100, 404], &[603]] {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            let (bytes, effects) = case.hear(100, *status);
            assert_eq!(effects, [tell_response(*status, &bytes)]);
        }
        assert_eq!((case.client.state(), case.deadline()), (State::Completed, Some(5_100)));
        for status in [100, 200, 500] {
            assert_eq!(case.hear(1_000, status).1, []);
        }
        assert_eq!(case.run(), [(5_100, vec![ended(Reason::Done)])]);
    }
}

/// RFC 3261 §17.1.2.2.
#[test]
fn timer_k_is_zero_on_a_reliable_transport() {
    let mut case = Case::new(Transport::Reliable);
    let (ok, effects) = case.hear(100, 200);
    assert_eq!(effects, [tell_response(200, &ok), ended(Reason::Done)]);
    assert_eq!((case.client.state(), case.deadline()), (State::Terminated, None));
    assert_eq!(case.hear(200, 200).1, []);
}

/// RFC 3261 §17.1.4.
#[test]
fn a_transport_error_ends_the_transaction_and_tells_the_user() {
    for statuses in [&[][..], &[100], &[200]] {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            case.hear(100, *status);
        }
        assert_eq!(case.give(200, Input::TransportError), [ended(Reason::TransportError)]);
        assert_eq!((case.client.state(), case.deadline()), (State::Terminated, None));
        assert_eq!(case.give(201, Input::TransportError), []);
    }
}

#[test]
fn illegal_input_changes_nothing_in_any_state() {
    for (statuses, state) in [(&[][..], State::Trying), (&[100], State::Proceeding), (&[200], State::Completed)] {
        let mut case = Case::new(Transport::Unreliable);
        for status in statuses {
            case.hear(100, *status);
        }
        let bytes = Arc::clone(case.request.bytes());
        let ack = an_ack("t");
        for input in [
            Input::Request,
            Input::Ack { bytes: &bytes },
            Input::Cancel { bytes: &bytes },
            Input::SendResponse(an_answer(&case.request, 200, "t")),
            Input::SendCancel { headers: &[] },
            Input::SendAck { ack: &ack, destination: PEER },
        ] {
            let before = case.client.clone();
            let error = case.client.handle(case.clock.at(200), input, &mut case.out).unwrap_err();
            assert_eq!((error, &case.client, case.out.len()), (Error::Illegal(state), &before, 0));
        }
    }
}
