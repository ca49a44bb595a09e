// SPDX-License-Identifier: Apache-2.0
//! The server side of every request but INVITE and ACK (RFC 3261 §17.2.2, RFC 4320 §4).

use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::machine::{Effects, Event, Hop, Input, Reason, State, Transport};
use crate::outgoing::OutgoingResponse;
use crate::timers::{Due, Running, SipTimers, Timer};

/// One request other than INVITE that we got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonInviteServer<D> {
    hop: Hop<D>,
    timers: SipTimers,
    running: Running,
    state: State,
    last: Option<Arc<[u8]>>,
}

impl<D: Copy> NonInviteServer<D> {
    /// Passes the request on.
    pub fn start(now: Instant, hop: Hop<D>, timers: SipTimers, request: &Arc<[u8]>, out: &mut Effects<D>) -> Self {
        let mut running = Running::default();
        // RFC 4320 §4: the sender's timer F has run by then, and an answer to it would be nobody's.
        running.end(Timer::Unanswered, now, timers.t1_64());
        hop.tell(Event::Request { bytes: Arc::clone(request) }, out);
        Self { hop, timers, running, state: State::Trying, last: None }
    }

    /// Takes one input. An error changes nothing.
    pub fn handle(&mut self, now: Instant, input: Input<'_, D>, out: &mut Effects<D>) -> Result<(), Error> {
        match input {
            Input::Request => {
                if let Some(last) = &self.last {
                    self.hop.send(last, out);
                }
            }
            Input::Timer => {
                while let Some(due) = self.running.take_due(now) {
                    match due {
                        Due::End(Timer::Unanswered) => self.terminate(Reason::Unanswered, out),
                        Due::End(_) | Due::Again(..) => self.terminate(Reason::Done, out),
                    }
                }
            }
            Input::TransportError if self.state != State::Terminated => self.terminate(Reason::TransportError, out),
            Input::TransportError => {}
            Input::SendResponse(response) => return self.send_response(now, response, out),
            Input::Ack { .. }
            | Input::Cancel { .. }
            | Input::Response(_)
            | Input::SendCancel { .. }
            | Input::SendAck { .. } => return Err(Error::Illegal(self.state)),
        }
        Ok(())
    }

    /// When [`Input::Timer`] is to be given.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.next()
    }

    /// State.
    pub fn state(&self) -> State {
        self.state
    }

    fn send_response(&mut self, now: Instant, response: OutgoingResponse, out: &mut Effects<D>) -> Result<(), Error> {
        if !matches!(self.state, State::Trying | State::Proceeding) {
            // §17.2.2: a second final response is the user's fault and is not sent.
            return Err(Error::Illegal(self.state));
        }
        self.hop.send(response.bytes(), out);
        if response.status() < 200 {
            self.state = State::Proceeding;
            self.last = Some(response.into_bytes());
            return Ok(());
        }
        self.state = State::Completed;
        self.running.stop();
        match self.hop.transport {
            Transport::Unreliable => {
                self.last = Some(response.into_bytes());
                self.running.end(Timer::J, now, self.timers.t1_64());
            }
            Transport::Reliable => self.terminate(Reason::Done, out),
        }
        Ok(())
    }

    fn terminate(&mut self, reason: Reason, out: &mut Effects<D>) {
        self.state = State::Terminated;
        self.running.stop();
        self.hop.terminated(reason, out);
    }
}

#[cfg(test)]
#[path = "non_invite_server_tests.rs"]
mod tests;
