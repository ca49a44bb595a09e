// SPDX-License-Identifier: Apache-2.0
//! The client side of an INVITE (RFC 3261 §17.1.1 as RFC 6026 §7.2 changes it).

use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::answer::ExtraHeader;

use crate::error::Error;
use crate::machine::{Effects, Event, Hop, IncomingResponse, Input, Reason, State, Transport};
use crate::outgoing::{OutgoingRequest, ack_for_failure, cancel_for, lines_of};
use crate::timers::{D, Due, Running, SipTimers, Timer, doubled};

/// Most dialogs (To tags of 2xx) that one INVITE may make. What comes beyond is not passed on, and ends at the far side for want of an ACK.
pub const MAX_FORKS: usize = 16;

/// One INVITE that we sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteClient<D> {
    hop: Hop<D>,
    timers: SipTimers,
    running: Running,
    state: State,
    cancelling: Cancelling,
    /// Lines that the CANCEL gets beside those of the INVITE.
    cancel_lines: Box<[u8]>,
    /// The INVITE until its final response, then the ACK for it where we made one.
    sent: Option<Arc<[u8]>>,
    forks: Vec<Fork<D>>,
    /// 2xx that [`MAX_FORKS`] left no room for, since the last `take_refused_forks`.
    refused_forks: u32,
}

/// How far a CANCEL is (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelling {
    No,
    /// Waits for the first provisional response.
    Wanted,
    /// To be taken with `take_cancel`.
    Due,
    Sent,
}

/// A dialog that a 2xx made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fork<D> {
    to_tag: Box<[u8]>,
    ack: Option<(Arc<[u8]>, D)>,
}

impl<D: Copy> InviteClient<D> {
    /// Sends the INVITE. `timeout` is timer B; None = 64*T1.
    pub fn start(
        now: Instant,
        hop: Hop<D>,
        timers: SipTimers,
        timeout: Option<Duration>,
        invite: &OutgoingRequest,
        out: &mut Effects<D>,
    ) -> Self {
        let mut running = Running::default();
        running.end(Timer::B, now, timeout.unwrap_or(timers.t1_64()));
        if hop.transport == Transport::Unreliable {
            running.again(Timer::A, now, timers.t1());
        }
        hop.send(invite.bytes(), out);
        let sent = Some(Arc::clone(invite.bytes()));
        Self {
            hop,
            timers,
            running,
            state: State::Calling,
            cancelling: Cancelling::No,
            cancel_lines: Box::default(),
            sent,
            forks: Vec::new(),
            refused_forks: 0,
        }
    }

    /// Takes one input. An error changes nothing.
    #[expect(clippy::needless_pass_by_value, reason = "the four machines have one interface")]
    pub fn handle(&mut self, now: Instant, input: Input<'_, D>, out: &mut Effects<D>) -> Result<(), Error> {
        match input {
            Input::Response(response) => match (self.state, response.status) {
                (State::Calling | State::Proceeding, ..200) => self.provisional(now, response, out),
                (State::Calling | State::Proceeding | State::Accepted, 200..300) => self.success(now, response, out),
                (State::Calling | State::Proceeding, _) => self.failure(now, response, out),
                // §17.1.1.2: the final response came again, so the ACK was lost.
                (State::Completed, 300..) => self.send_again(out),
                _ => {}
            },
            Input::Timer => {
                while let Some(due) = self.running.take_due(now) {
                    self.fire(now, due, out);
                }
            }
            Input::TransportError => self.transport_error(out),
            Input::SendCancel { headers } => return self.cancel(now, headers),
            Input::SendAck { ack, destination } => return self.acknowledge(ack, destination, out),
            Input::Request | Input::Ack { .. } | Input::Cancel { .. } | Input::SendResponse { .. } => {
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

    /// Which transaction this is and where it sends.
    pub(crate) fn hop(&self) -> Hop<D> {
        self.hop
    }

    /// The CANCEL that is to be sent now by a transaction of its own. Given once.
    pub fn take_cancel(&mut self) -> Option<OutgoingRequest> {
        if self.cancelling != Cancelling::Due {
            return None;
        }
        self.cancelling = Cancelling::Sent;
        let lines = std::mem::take(&mut self.cancel_lines);
        self.sent.as_deref().and_then(|invite| cancel_for(invite, &lines))
    }

    /// How many 2xx were not passed on because of [`MAX_FORKS`], since this was asked last.
    pub fn take_refused_forks(&mut self) -> u32 {
        std::mem::take(&mut self.refused_forks)
    }

    /// §17.1.1.2: from the first one on only the user's timer C ends the wait.
    fn provisional(&mut self, now: Instant, response: IncomingResponse<'_>, out: &mut Effects<D>) {
        if self.state == State::Calling {
            self.state = State::Proceeding;
            self.running.stop();
            if self.cancelling == Cancelling::Wanted {
                self.cancel_is_due(now);
            }
        }
        self.tell(response, out);
    }

    /// §17.1.1.3: the ACK of such a response is the transaction's own.
    fn failure(&mut self, now: Instant, response: IncomingResponse<'_>, out: &mut Effects<D>) {
        self.sent = self.sent.as_deref().and_then(|invite| ack_for_failure(invite, response.to_line));
        self.send_again(out);
        self.state = State::Completed;
        self.tell(response, out);
        self.running.stop();
        match self.hop.transport {
            Transport::Unreliable => self.running.end(Timer::D, now, D),
            Transport::Reliable => self.terminate(Reason::Done, out),
        }
    }

    /// A 2xx. RFC 6026 §7.2: the first one and those of other forks reach the user; one that comes again means that the user's ACK was
    /// lost (or is still to come), and the ACK goes out again without the user.
    fn success(&mut self, now: Instant, response: IncomingResponse<'_>, out: &mut Effects<D>) {
        if self.state != State::Accepted {
            self.state = State::Accepted;
            self.sent = None;
            self.running.stop();
            self.running.end(Timer::M, now, self.timers.t1_64());
        }
        match self.forks.iter().find(|fork| fork.to_tag.eq_ignore_ascii_case(response.to_tag)) {
            Some(Fork { ack: Some((ack, destination)), .. }) => self.hop.send_to(*destination, ack, out),
            None if self.forks.len() < MAX_FORKS => {
                self.forks.push(Fork { to_tag: response.to_tag.into(), ack: None });
                self.tell(response, out);
            }
            None => self.refused_forks = self.refused_forks.saturating_add(1),
            // The user has it and will acknowledge it.
            Some(_) => {}
        }
    }

    fn fire(&mut self, now: Instant, due: Due, out: &mut Effects<D>) {
        match due {
            Due::Again(timer, interval) => {
                self.send_again(out);
                // §17.1.1.2: doubles without a cap; timer B ends it.
                self.running.again(timer, now, doubled(interval, Duration::MAX));
            }
            Due::End(Timer::B) => self.terminate(Reason::NoResponse, out),
            Due::End(Timer::Cancel) => self.terminate(Reason::CancelUnanswered, out),
            Due::End(_) => self.terminate(Reason::Done, out),
        }
    }

    /// RFC 3261 §17.1.4. An accepted INVITE goes on: it was the ACK of one fork that could not be sent.
    fn transport_error(&mut self, out: &mut Effects<D>) {
        match self.state {
            State::Accepted => self.hop.tell(Event::TransportError, out),
            State::Terminated => {}
            _ => self.terminate(Reason::TransportError, out),
        }
    }

    /// RFC 3261 §9.1: no CANCEL before a provisional response, and none after a final one.
    fn cancel(&mut self, now: Instant, headers: &[ExtraHeader<'_>]) -> Result<(), Error> {
        match (self.state, self.cancelling) {
            (State::Calling | State::Proceeding, Cancelling::No) => self.cancel_lines = lines_of(headers),
            (State::Calling | State::Proceeding, _) => return Ok(()),
            _ => return Err(Error::Illegal(self.state)),
        }
        if self.state == State::Calling {
            self.cancelling = Cancelling::Wanted;
        } else {
            self.cancel_is_due(now);
        }
        Ok(())
    }

    fn cancel_is_due(&mut self, now: Instant) {
        self.cancelling = Cancelling::Due;
        self.running.end(Timer::Cancel, now, self.timers.t1_64());
    }

    fn acknowledge(&mut self, ack: &OutgoingRequest, destination: D, out: &mut Effects<D>) -> Result<(), Error> {
        if self.state != State::Accepted {
            return Err(Error::Illegal(self.state));
        }
        let fork = self.forks.iter_mut().find(|fork| fork.to_tag.eq_ignore_ascii_case(ack.to_tag()));
        fork.ok_or(Error::NoSuchSuccess)?.ack = Some((Arc::clone(ack.bytes()), destination));
        self.hop.send_to(destination, ack.bytes(), out);
        Ok(())
    }

    fn send_again(&self, out: &mut Effects<D>) {
        if let Some(sent) = &self.sent {
            self.hop.send(sent, out);
        }
    }

    fn tell(&self, response: IncomingResponse<'_>, out: &mut Effects<D>) {
        self.hop.tell(Event::Response { status: response.status, bytes: Arc::clone(response.bytes) }, out);
    }

    fn terminate(&mut self, reason: Reason, out: &mut Effects<D>) {
        self.state = State::Terminated;
        self.running.stop();
        self.hop.terminated(reason, out);
    }
}

#[cfg(test)]
#[path = "invite_client_tests.rs"]
mod tests;
