// SPDX-License-Identifier: Apache-2.0
//! The client side of every request but INVITE and ACK (RFC 3261 §17.1.2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::machine::{Effects, Event, Hop, Input, Reason, State, Transport};
use crate::outgoing::OutgoingRequest;
use crate::timers::{Due, Running, SipTimers, Timer, doubled};

/// One request other than INVITE that we sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonInviteClient<D> {
    hop: Hop<D>,
    timers: SipTimers,
    running: Running,
    state: State,
    request: Arc<[u8]>,
}

impl<D: Copy> NonInviteClient<D> {
    /// Sends the request. `timeout` is timer F; None = 64*T1.
    pub fn start(
        now: Instant,
        hop: Hop<D>,
        timers: SipTimers,
        timeout: Option<Duration>,
        request: &OutgoingRequest,
        out: &mut Effects<D>,
    ) -> Self {
        let mut running = Running::default();
        running.end(Timer::F, now, timeout.unwrap_or(timers.t1_64()));
        if hop.transport == Transport::Unreliable {
            running.again(Timer::E, now, timers.t1());
        }
        hop.send(request.bytes(), out);
        Self { hop, timers, running, state: State::Trying, request: Arc::clone(request.bytes()) }
    }

    /// Takes one input. An error changes nothing.
    #[expect(clippy::needless_pass_by_value, reason = "the four machines have one interface")]
    pub fn handle(&mut self, now: Instant, input: Input<'_, D>, out: &mut Effects<D>) -> Result<(), Error> {
        match input {
            Input::Response(response) => self.response(now, response.status, response.bytes, out),
            Input::Timer => {
                while let Some(due) = self.running.take_due(now) {
                    self.fire(now, due, out);
                }
            }
            Input::TransportError if self.state != State::Terminated => self.terminate(Reason::TransportError, out),
            Input::TransportError => {}
            Input::Request
            | Input::Ack { .. }
            | Input::Cancel { .. }
            | Input::SendResponse { .. }
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

    fn response(&mut self, now: Instant, status: u16, bytes: &Arc<[u8]>, out: &mut Effects<D>) {
        if !matches!(self.state, State::Trying | State::Proceeding) {
            // §17.1.2.2: timer K is there to absorb these.
            return;
        }
        self.hop.tell(Event::Response { status, bytes: Arc::clone(bytes) }, out);
        if status < 200 {
            self.state = State::Proceeding;
            return;
        }
        self.state = State::Completed;
        self.running.stop();
        match self.hop.transport {
            Transport::Unreliable => self.running.end(Timer::K, now, self.timers.t4()),
            Transport::Reliable => self.terminate(Reason::Done, out),
        }
    }

    fn fire(&mut self, now: Instant, due: Due, out: &mut Effects<D>) {
        match due {
            Due::Again(timer, interval) => {
                self.hop.send(&self.request, out);
                // §17.1.2.2: doubles up to T2, and once a provisional response came it is T2 at once.
                let next = match self.state {
                    State::Proceeding => self.timers.t2(),
                    _ => doubled(interval, self.timers.t2()),
                };
                self.running.again(timer, now, next);
            }
            Due::End(Timer::F) => self.terminate(Reason::NoResponse, out),
            Due::End(_) => self.terminate(Reason::Done, out),
        }
    }

    fn terminate(&mut self, reason: Reason, out: &mut Effects<D>) {
        self.state = State::Terminated;
        self.running.stop();
        self.hop.terminated(reason, out);
    }
}

#[cfg(test)]
#[path = "non_invite_client_tests.rs"]
mod tests;
