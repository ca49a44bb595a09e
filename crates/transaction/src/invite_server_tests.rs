// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::kit::{Clock, PEER, a_response, an_ack, an_answer, an_invite, ended, hop, parsed, send, tell};
use crate::machine::IncomingResponse;
use crate::outgoing::OutgoingRequest;

/// One machine on a virtual clock.
struct Case {
    clock: Clock,
    server: InviteServer<u8>,
    invite: OutgoingRequest,
    out: Effects<u8>,
}

impl Case {
    fn new(transport: Transport) -> Self {
        Self::with_trying(transport, false)
    }

    fn with_trying(transport: Transport, has_trying: bool) -> Self {
        let (clock, invite, mut out) = (Clock::new(), an_invite(), Effects::new());
        let trying = has_trying.then(|| an_answer(&invite, 100, ""));
        let timers = SipTimers::default();
        let server = InviteServer::start(clock.at(0), hop(transport), timers, trying, invite.bytes(), &mut out);
        assert_eq!(std::mem::take(&mut out), [tell(Event::Request { bytes: Arc::clone(invite.bytes()) })]);
        assert_eq!(server.state(), State::Proceeding);
        Self { clock, server, invite, out }
    }

    fn give(&mut self, at_ms: u64, input: Input<'_, u8>) -> Effects<u8> {
        self.server.handle(self.clock.at(at_ms), input, &mut self.out).unwrap();
        std::mem::take(&mut self.out)
    }

    fn refuse(&mut self, at_ms: u64, input: Input<'_, u8>) -> Error {
        let before = self.server.clone();
        let error = self.server.handle(self.clock.at(at_ms), input, &mut self.out).unwrap_err();
        assert_eq!((&self.server, self.out.len()), (&before, 0));
        error
    }

    /// The user answers; given back is what was sent.
    fn answer(&mut self, at_ms: u64, status: u16) -> Arc<[u8]> {
        let answer = an_answer(&self.invite, status, "t");
        let bytes = Arc::clone(answer.bytes());
        assert_eq!(self.give(at_ms, Input::SendResponse(answer)), [send(&bytes)]);
        bytes
    }

    fn ack(&mut self, at_ms: u64) -> Effects<u8> {
        let ack = an_ack("t");
        self.give(at_ms, Input::Ack { bytes: ack.bytes() })
    }

    fn deadline(&self) -> Option<u64> {
        self.clock.ms(self.server.deadline())
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

fn tell_ack() -> crate::machine::Effect<u8> {
    tell(Event::Ack { bytes: Arc::clone(an_ack("t").bytes()) })
}

/// RFC 3261 §17.2.1: within 200 ms something is sent.
#[test]
fn an_invite_that_nobody_answers_gets_a_100_after_200_ms() {
    let mut case = Case::with_trying(Transport::Unreliable, true);
    let trying = a_response(&case.invite, 100, "");
    assert_eq!((case.deadline(), case.give(199, Input::Timer)), (Some(200), vec![]));
    assert_eq!(case.give(150, Input::Request), []);
    assert_eq!(case.run(), [(200, vec![send(&trying)])]);
    assert_eq!(case.give(500, Input::Request), [send(&trying)]);
    assert_eq!((case.server.state(), case.deadline()), (State::Proceeding, None));
}

/// RFC 3261 §17.2.1: the 100 may be left out where the user answers in time or said that it will.
#[test]
fn no_100_where_the_user_answered_or_sees_to_it() {
    let mut case = Case::with_trying(Transport::Unreliable, true);
    let ringing = case.answer(100, 180);
    assert_eq!((case.deadline(), case.give(200, Input::Timer)), (None, vec![]));
    assert_eq!(case.give(500, Input::Request), [send(&ringing)]);
    for status in [200, 486] {
        let mut case = Case::with_trying(Transport::Reliable, true);
        let last = case.answer(100, status);
        assert!(case.run().iter().flat_map(|(_, effects)| effects).all(|effect| match effect {
            crate::machine::Effect::Send { bytes, .. } => *bytes == last,
            _ => true,
        }));
    }
    assert_eq!(Case::new(Transport::Unreliable).deadline(), None);
}

/// RFC 3261 §17.2.1: the most recent provisional response goes out again when the INVITE comes again.
#[test]
fn a_repeated_invite_gets_the_last_provisional_response() {
    let mut case = Case::new(Transport::Unreliable);
    assert_eq!(case.give(100, Input::Request), []);
    let ringing = case.answer(200, 180);
    assert_eq!(case.give(300, Input::Request), [send(&ringing)]);
    let progress = case.answer(400, 183);
    assert_eq!(case.give(500, Input::Request), [send(&progress)]);
    assert_eq!((case.server.state(), case.deadline()), (State::Proceeding, None));
}

/// RFC 3261 §17.2.1: 500, 1000, 2000, then every 4000 ms; H after 64*T1.
#[test]
fn timer_g_doubles_to_t2() {
    let mut case = Case::new(Transport::Unreliable);
    let busy = case.answer(0, 486);
    assert_eq!((case.server.state(), case.deadline()), (State::Completed, Some(500)));
    let mut expected: Vec<_> = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
        .map(|at| (at, vec![send(&busy)]))
        .into();
    expected.push((32_000, vec![ended(Reason::NoAck)]));
    assert_eq!(case.run(), expected);
    assert_eq!(case.server.state(), State::Terminated);
}

/// RFC 3261 §17.2.1: start timer G only on unreliable transports, H on all.
#[test]
fn on_a_reliable_transport_only_timer_h_runs() {
    let mut case = Case::new(Transport::Reliable);
    case.answer(100, 486);
    assert_eq!(case.run(), [(32_100, vec![ended(Reason::NoAck)])]);
}

/// RFC 3261 §17.2.1.
#[test]
fn a_repeated_invite_gets_the_final_response_again() {
    let mut case = Case::new(Transport::Unreliable);
    let busy = case.answer(100, 486);
    assert_eq!(case.give(300, Input::Request), [send(&busy)]);
    assert_eq!((case.server.state(), case.deadline()), (State::Completed, Some(600)));
}

/// RFC 3261 §17.2.1: timer I is T4 on unreliable transports and absorbs ACKs.
#[test]
fn an_ack_confirms_and_timer_i_is_t4() {
    let mut case = Case::new(Transport::Unreliable);
    case.answer(100, 486);
    assert_eq!(case.ack(1_000), []);
    assert_eq!((case.server.state(), case.deadline()), (State::Confirmed, Some(6_000)));
    assert_eq!(case.ack(1_100), []);
    assert_eq!(case.give(1_200, Input::Request), []);
    assert_eq!((case.server.state(), case.deadline()), (State::Confirmed, Some(6_000)));
    assert_eq!(case.run(), [(6_000, vec![ended(Reason::Done)])]);
}

/// RFC 3261 §17.2.1: timer I is zero on reliable transports.
#[test]
fn timer_i_is_zero_on_a_reliable_transport() {
    let mut case = Case::new(Transport::Reliable);
    case.answer(100, 486);
    assert_eq!(case.ack(1_000), [ended(Reason::Done)]);
    assert_eq!((case.server.state(), case.deadline()), (State::Terminated, None));
}

/// RFC 3261 §13.3.1.4: T1, doubling to T2, on any transport; RFC 6026 §7.1: timer L.
#[test]
fn a_2xx_is_repeated_until_64_t1_and_then_the_user_is_told() {
    for transport in [Transport::Unreliable, Transport::Reliable] {
        let mut case = Case::new(transport);
        let ok = case.answer(0, 200);
        assert_eq!(case.server.state(), State::Accepted);
        let mut expected: Vec<_> = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
            .map(|at| (at, vec![send(&ok)]))
            .into();
        expected.push((32_000, vec![ended(Reason::SuccessNotAcknowledged)]));
        assert_eq!(case.run(), expected);
    }
}

/// RFC 3261 §13.3.1.4, RFC 6026 §7.1: the ACK reaches the user and stops the repetition; timer L runs on.
#[test]
fn the_ack_of_a_2xx_reaches_the_user_once_and_stops_the_repetition() {
    let mut case = Case::new(Transport::Unreliable);
    case.answer(0, 200);
    assert_eq!(case.give(500, Input::Timer).len(), 1);
    assert_eq!(case.ack(700), [tell_ack()]);
    assert_eq!((case.server.state(), case.deadline()), (State::Accepted, Some(32_000)));
    assert_eq!(case.ack(800), []);
    assert_eq!(case.run(), [(32_000, vec![ended(Reason::Done)])]);
}

/// RFC 6026 §7.1: an INVITE that comes again after the 2xx is no new call.
#[test]
fn a_repeated_invite_is_absorbed_once_accepted() {
    let mut case = Case::new(Transport::Unreliable);
    case.answer(0, 200);
    assert_eq!(case.give(100, Input::Request), []);
    case.ack(200);
    assert_eq!(case.give(300, Input::Request), []);
    assert_eq!(case.server.state(), State::Accepted);
}

/// RFC 6026 §7.1: 2xx of the user pass through.
#[test]
fn an_accepted_transaction_passes_on_further_2xx_of_the_user() {
    let mut case = Case::new(Transport::Unreliable);
    case.answer(0, 200);
    case.answer(100, 200);
    assert_eq!(case.deadline(), Some(500));
}

/// RFC 3261 §9.2: the user hears of a CANCEL once, and not after its final response.
#[test]
fn a_cancel_reaches_the_user_before_the_final_response_only() {
    let mut case = Case::new(Transport::Unreliable);
    let cancel = crate::kit::request("CANCEL", "x", &[]);
    let told = tell(Event::Cancel { bytes: Arc::clone(cancel.bytes()) });
    assert_eq!(case.give(100, Input::Cancel { bytes: cancel.bytes() }), [told]);
    assert_eq!(case.give(200, Input::Cancel { bytes: cancel.bytes() }), []);
    assert_eq!(case.server.state(), State::Proceeding);
    case.answer(300, 487);
    for status in [200, 486] {
        let mut case = Case::new(Transport::Unreliable);
        case.answer(100, status);
        assert_eq!(case.give(200, Input::Cancel { bytes: cancel.bytes() }), []);
    }
}

/// RFC 6026 §8.8: the user is told and the state stays, so that the INVITE repeated is no new call. Its timers still end it.
#[test]
fn a_transport_error_tells_the_user_and_the_state_stays() {
    for (status, state, reason) in
        [(486, State::Completed, Reason::NoAck), (200, State::Accepted, Reason::SuccessNotAcknowledged)]
    {
        let mut case = Case::new(Transport::Unreliable);
        assert_eq!(case.give(50, Input::TransportError), [tell(Event::TransportError)]);
        assert_eq!(case.server.state(), State::Proceeding);
        case.answer(100, status);
        assert_eq!(case.give(200, Input::TransportError), [tell(Event::TransportError)]);
        assert_eq!(case.server.state(), state);
        assert_eq!(case.run().last().unwrap(), &(32_100, vec![ended(reason)]));
        assert_eq!(case.give(40_000, Input::TransportError), []);
    }
}

/// RFC 3261 §17.2.1: one final response.
#[test]
fn a_response_after_the_final_one_is_refused() {
    for (first, state) in [(486, State::Completed), (200, State::Accepted)] {
        let mut case = Case::new(Transport::Unreliable);
        case.answer(100, first);
        for status in [100, 183, 200, 302, 486, 603] {
            if first == 200 && status == 200 {
                continue;
            }
            let answer = an_answer(&case.invite, status, "t");
            assert_eq!(case.refuse(200, Input::SendResponse(answer)), Error::Illegal(state));
        }
    }
    let mut case = Case::new(Transport::Unreliable);
    case.answer(100, 486);
    case.ack(200);
    let answer = an_answer(&case.invite, 200, "t");
    assert_eq!(case.refuse(300, Input::SendResponse(answer)), Error::Illegal(State::Confirmed));
}

/// An ACK before anything final is nobody's.
#[test]
fn an_ack_while_proceeding_is_absorbed() {
    let mut case = Case::new(Transport::Unreliable);
    assert_eq!(case.ack(100), []);
    assert_eq!(case.server.state(), State::Proceeding);
}

#[test]
fn illegal_input_changes_nothing_in_any_state() {
    for (status, state) in [(180, State::Proceeding), (486, State::Completed), (200, State::Accepted)] {
        let mut case = Case::new(Transport::Unreliable);
        case.answer(100, status);
        let bytes = a_response(&case.invite, 200, "t");
        let ack = an_ack("t");
        for input in [
            Input::Response(IncomingResponse::new(&parsed(&bytes), &bytes).unwrap()),
            Input::SendCancel { headers: &[] },
            Input::SendAck { ack: &ack, destination: PEER },
        ] {
            assert_eq!(case.refuse(200, input), Error::Illegal(state));
        }
    }
}
