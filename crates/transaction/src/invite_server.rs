// SPDX-License-Identifier: Apache-2.0
//! The server side of an INVITE (RFC 3261 §17.2.1 as RFC 6026 §7.1 changes it), and the repetition of its 2xx (RFC 3261 §13.3.1.4).

use std::sync::Arc;
use std::time::Instant;

use sip::{Parsed, parse};

use crate::error::Error;
use crate::machine::{Effects, Event, Hop, Input, Reason, State, Transport};
use crate::outgoing::OutgoingResponse;
use crate::timers::{Due, Running, SipTimers, TRYING, Timer, doubled};

/// One INVITE that we got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteServer<D> {
    hop: Hop<D>,
    timers: SipTimers,
    running: Running,
    state: State,
    is_cancelled: bool,
    is_acknowledged: bool,
    /// What was sent last, while it may be sent again.
    last: Option<Arc<[u8]>>,
    /// The 100 that is sent if the user sends nothing.
    trying: Option<Arc<[u8]>>,
}

impl<D: Copy> InviteServer<D> {
    /// Passes the INVITE on. `trying` is the 100 that goes out after 200 ms without an answer; None: the user sees to it.
    pub fn start(
        now: Instant,
        hop: Hop<D>,
        timers: SipTimers,
        trying: Option<OutgoingResponse>,
        invite: &Arc<[u8]>,
        out: &mut Effects<D>,
    ) -> Self {
        let mut running = Running::default();
        if trying.is_some() {
            running.again(Timer::Trying, now, TRYING);
        }
        hop.tell(Event::Request { bytes: Arc::clone(invite) }, out);
        Self {
            hop,
            timers,
            running,
            state: State::Proceeding,
            is_cancelled: false,
            is_acknowledged: false,
            last: None,
            trying: trying.map(OutgoingResponse::into_bytes),
        }
    }

    /// Takes one input. An error changes nothing.
    pub fn handle(&mut self, now: Instant, input: Input<'_, D>, out: &mut Effects<D>) -> Result<(), Error> {
        match input {
            Input::Request => {
                // §17.2.1. An accepted INVITE is absorbed (RFC 6026 §7.1): its 2xx is repeated by time.
                if matches!(self.state, State::Proceeding | State::Completed) {
                    self.send_last(out);
                }
            }
            Input::Ack { bytes } => self.ack(now, bytes, out),
            Input::Cancel { bytes } => {
                // §9.2: without effect once a final response was sent.
                if self.state == State::Proceeding && !self.is_cancelled {
                    self.is_cancelled = true;
                    self.hop.tell(Event::Cancel { bytes: Arc::clone(bytes) }, out);
                }
            }
            Input::Timer => {
                while let Some(due) = self.running.take_due(now) {
                    self.fire(now, due, out);
                }
            }
            // RFC 6026 §8.8: the user hears of it, the state stays.
            Input::TransportError if self.state != State::Terminated => self.hop.tell(Event::TransportError, out),
            Input::TransportError => {}
            Input::SendResponse(response) => return self.send_response(now, response, out),
            Input::Response(_) | Input::SendCancel { .. } | Input::SendAck { .. } => {
                return Err(Error::Illegal(self.state));
            }
        }
        Ok(())
    }

    /// When [`Input::Timer`] is to be given; None: never, as things are.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.next()
    }

    /// State.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether what was sent last has this To tag. For ACKs of RFC 2543 elements only, so it is read when it is asked for.
    pub(crate) fn has_answered_with(&self, to_tag: &[u8]) -> bool {
        let Some(Parsed::Message(response)) = self.last.as_deref().map(parse) else { return false };
        response.to().is_ok_and(|to| to.tag().unwrap_or_default().eq_ignore_ascii_case(to_tag))
    }

    fn send_response(&mut self, now: Instant, response: OutgoingResponse, out: &mut Effects<D>) -> Result<(), Error> {
        match (self.state, response.status()) {
            (State::Proceeding, ..200) => {
                self.running.stop();
                self.keep_and_send(response, out);
            }
            (State::Proceeding, 200..300) => {
                self.state = State::Accepted;
                // RFC 6026 §7.1, and RFC 3261 §13.3.1.4: repeated whatever the transport, since only the far end acknowledges it.
                self.running.end(Timer::L, now, self.timers.t1_64());
                self.running.again(Timer::Success, now, self.timers.t1());
                self.keep_and_send(response, out);
            }
            (State::Proceeding, _) => {
                self.state = State::Completed;
                self.running.stop();
                self.running.end(Timer::H, now, self.timers.t1_64());
                if self.hop.transport == Transport::Unreliable {
                    self.running.again(Timer::G, now, self.timers.t1());
                }
                self.keep_and_send(response, out);
            }
            // RFC 6026 §7.1: a user that repeats its 2xx itself may.
            (State::Accepted, 200..300) => self.hop.send(response.bytes(), out),
            _ => return Err(Error::Illegal(self.state)),
        }
        Ok(())
    }

    fn keep_and_send(&mut self, response: OutgoingResponse, out: &mut Effects<D>) {
        self.trying = None;
        self.last = Some(response.into_bytes());
        self.send_last(out);
    }

    fn ack(&mut self, now: Instant, bytes: &Arc<[u8]>, out: &mut Effects<D>) {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.last = None;
                self.running.stop();
                match self.hop.transport {
                    Transport::Unreliable => self.running.end(Timer::I, now, self.timers.t4()),
                    Transport::Reliable => self.terminate(Reason::Done, out),
                }
            }
            State::Accepted if !self.is_acknowledged => {
                self.is_acknowledged = true;
                self.last = None;
                self.running.stop_again();
                self.hop.tell(Event::Ack { bytes: Arc::clone(bytes) }, out);
            }
            // An ACK of a response that was never sent, or one that comes again.
            _ => {}
        }
    }

    fn fire(&mut self, now: Instant, due: Due, out: &mut Effects<D>) {
        match due {
            Due::Again(Timer::Trying, _) => {
                self.last = self.trying.take();
                self.send_last(out);
            }
            Due::Again(timer, interval) => {
                self.send_last(out);
                self.running.again(timer, now, doubled(interval, self.timers.t2()));
            }
            Due::End(Timer::H) => self.terminate(Reason::NoAck, out),
            Due::End(Timer::L) if !self.is_acknowledged => self.terminate(Reason::SuccessNotAcknowledged, out),
            Due::End(_) => self.terminate(Reason::Done, out),
        }
    }

    fn send_last(&self, out: &mut Effects<D>) {
        if let Some(last) = &self.last {
            self.hop.send(last, out);
        }
    }

    fn terminate(&mut self, reason: Reason, out: &mut Effects<D>) {
        self.state = State::Terminated;
        self.running.stop();
        self.hop.terminated(reason, out);
    }
}

#[cfg(test)]
#[path = "invite_server_tests.rs"]
mod tests;
