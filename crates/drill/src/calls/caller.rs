// SPDX-License-Identifier: Apache-2.0
//! The customer's side of the calls.

use serde::Serialize;

use super::alarms::{Alarms, Who};
use super::fate::{self, Fate};
use super::fields::Fields;
use super::message::{Request, respond};
use super::wire::Wire;
use super::{Counts, Options, SECOND, T1, T2, TIMER_B};
use crate::histogram::Histogram;
use crate::{DrillError, sys};

/// Longest wait for anything that has no time-out in the protocol.
const STUCK: u64 = 240 * SECOND;
/// A caller that is to give up does so after this, even if it never heard that it rang.
const PATIENCE: u64 = 10 * SECOND;

/// How a call ended for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered, and our BYE was.
    Completed,
    /// Answered, and hung up by the other side.
    HungUp,
    /// Refused with this status.
    Refused(u16),
    /// The answer crossed our CANCEL; then hung up.
    Crossed,
    /// No final answer came.
    Unanswered,
    /// Answered, but our BYE was not.
    ByeUnanswered,
    /// The callee should have hung up, and did not.
    NeverHungUp,
}

impl Outcome {
    /// Whether this is what a call of that fate should come to.
    pub fn fits(self, fate: Fate) -> bool {
        match fate {
            Fate::CallerHangsUp | Fate::FailsOver | Fate::Crashes => self == Self::Completed,
            Fate::CalleeHangsUp => self == Self::HungUp,
            Fate::Busy => self == Self::Refused(486),
            Fate::Declined => self == Self::Refused(603),
            Fate::CancelledRinging | Fate::CancelledTrying => self == Self::Refused(487),
            Fate::Silent => matches!(self, Self::Refused(400..=699)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Cancelling,
    Talking,
    Ending,
    Over,
}

/// One call.
pub(super) struct Call {
    pub(super) fate: Fate,
    pub(super) outcome: Option<Outcome>,
    /// Nanoseconds since the run began; 0 = has not happened.
    pub(super) started_ns: u64,
    pub(super) answered_ns: u64,
    pub(super) ended_ns: u64,
    /// Of the first BYE of ours that was not lost.
    pub(super) bye_arrived_ns: u64,
    state: State,
    is_crossed: bool,
    due_ns: u64,
    interval_ns: u64,
    give_up_ns: u64,
    dialog: Option<Box<Dialog>>,
}

struct Dialog {
    to: Box<[u8]>,
    target: Box<[u8]>,
    routes: Vec<Box<[u8]>>,
}

pub(super) struct Callers<'a> {
    options: &'a Options,
    pub(super) wire: Wire,
    to: sys::Name,
    pub(super) calls: Vec<Call>,
    pub(super) open: usize,
    buffer: Vec<u8>,
}

impl<'a> Callers<'a> {
    pub(super) fn new(options: &'a Options, wire: Wire) -> Self {
        let to = sys::Name::from(options.target.address());
        Self { options, wire, to, calls: Vec::new(), open: 0, buffer: Vec::with_capacity(2048) }
    }

    /// Begin the next call.
    pub(super) fn begin(&mut self, now: u64, alarms: &mut Alarms) -> Result<(), DrillError> {
        let number = self.calls.len() as u32;
        self.calls.push(Call {
            fate: self.options.fates.of(self.options.seed, number),
            outcome: None,
            started_ns: now.max(1),
            answered_ns: 0,
            ended_ns: 0,
            bye_arrived_ns: 0,
            state: State::Calling,
            is_crossed: false,
            due_ns: 0,
            interval_ns: T1,
            give_up_ns: now + TIMER_B,
            dialog: None,
        });
        self.open += 1;
        self.send(number, "INVITE")?;
        self.wake_at(number, now + T1, alarms);
        Ok(())
    }

    fn wake_at(&mut self, number: u32, due_ns: u64, alarms: &mut Alarms) {
        self.calls[number as usize].due_ns = due_ns;
        alarms.set(due_ns, Who::Caller(number));
    }

    /// The Call-ID of call `number`.
    pub(super) fn call_id(&self, number: u32) -> String {
        format!("{:x}-{number}@drill", self.options.seed)
    }

    fn send(&mut self, number: u32, method: &str) -> Result<bool, DrillError> {
        self.send_to(number, method, None)
    }

    /// `answered_to` is the To of the failure that an ACK is for.
    fn send_to(&mut self, number: u32, method: &str, answered_to: Option<&[u8]>) -> Result<bool, DrillError> {
        let call = &self.calls[number as usize];
        let dialog = call.dialog.as_deref();
        let (target, ours, seed) = (self.options.target.address(), self.wire.address(), self.options.seed);
        let callee = fate::callee(&self.options.callee_prefix, call.fate, number);
        // CANCEL, and the ACK of a failure, belong to the INVITE's transaction; the ACK of a success and BYE do not.
        let (cseq, kind) = match (method, dialog) {
            ("BYE", _) => (2, "b"),
            ("ACK", Some(_)) => (1, "a"),
            _ => (1, "i"),
        };
        let uri = format!("sip:{callee}@{target}");
        let branch = format!("d{seed:x}-{number}{kind}");
        let from = format!("<sip:{}@{ours}>;tag=f{number}", self.options.caller);
        let to = format!("<sip:{callee}@{target}>");
        let call_id = self.call_id(number);
        let request = Request {
            method,
            uri: dialog.map_or(uri.as_bytes(), |dialog| &dialog.target),
            from_address: ours,
            branch: &branch,
            routes: dialog.map_or(&[], |dialog| &dialog.routes),
            from: from.as_bytes(),
            to: answered_to.or(dialog.map(|dialog| &*dialog.to)).unwrap_or(to.as_bytes()),
            call_id: call_id.as_bytes(),
            cseq,
            has_sdp: method == "INVITE",
        };
        request.write(&mut self.buffer);
        self.wire.send(&self.buffer, self.to)
    }

    fn end(&mut self, number: u32, outcome: Outcome, now: u64) {
        let call = &mut self.calls[number as usize];
        if call.state != State::Over {
            call.state = State::Over;
            call.outcome = Some(if call.is_crossed { Outcome::Crossed } else { outcome });
            call.ended_ns = now;
            call.dialog = None;
            self.open -= 1;
        }
    }

    /// A datagram came.
    pub(super) fn take(
        &mut self,
        message: &[u8],
        from: sys::Name,
        now: u64,
        alarms: &mut Alarms,
        counts: &mut Counts,
        set_up: &mut Histogram,
    ) -> Result<(), DrillError> {
        let Some(fields) = Fields::of(message) else {
            counts.unexpected += 1;
            return Ok(());
        };
        let number = number_of(fields.call_id, self.options.seed).filter(|&n| (n as usize) < self.calls.len());
        let Some(number) = number else {
            counts.unexpected += 1;
            return Ok(());
        };
        match fields.status() {
            Some(status) if fields.method() == b"INVITE" => {
                self.take_invite_response(number, status, &fields, now, alarms, set_up)
            }
            Some(status) => {
                if status >= 200 {
                    self.take_final(number, fields.method(), now, alarms);
                }
                Ok(())
            }
            None => self.take_request(number, &fields, from, now, counts),
        }
    }

    fn take_invite_response(
        &mut self,
        number: u32,
        status: u16,
        fields: &Fields<'_>,
        now: u64,
        alarms: &mut Alarms,
        set_up: &mut Histogram,
    ) -> Result<(), DrillError> {
        let call = &mut self.calls[number as usize];
        match status {
            ..200 => {
                if call.state == State::Calling {
                    call.state = State::Proceeding;
                    let wait = if call.fate.is_cancelled() { PATIENCE } else { STUCK };
                    call.give_up_ns = now + wait;
                    self.wake_at(number, now + wait, alarms);
                }
                let call = &mut self.calls[number as usize];
                let gives_up =
                    call.fate == Fate::CancelledTrying || (call.fate == Fate::CancelledRinging && status > 100);
                if call.state == State::Proceeding && gives_up { self.cancel(number, now, alarms) } else { Ok(()) }
            }
            200..300 => {
                let is_first = !matches!(call.state, State::Talking | State::Ending | State::Over);
                if is_first {
                    call.is_crossed = call.state == State::Cancelling;
                    call.answered_ns = now;
                    set_up.add(now - call.started_ns);
                    call.dialog = Some(Box::new(Dialog {
                        to: fields.to.into(),
                        target: fields.contact_uri().into(),
                        routes: fields.record_routes.iter().rev().map(|&route| route.into()).collect(),
                    }));
                    call.state = State::Talking;
                    let hold_ns = match (call.is_crossed, call.fate) {
                        (true, _) => 0,
                        (false, Fate::CalleeHangsUp) => self.options.hold_ns(number) + STUCK,
                        (false, _) => self.options.hold_ns(number),
                    };
                    self.send(number, "ACK")?;
                    self.wake_at(number, now + hold_ns, alarms);
                    return Ok(());
                }
                if call.dialog.is_some() {
                    self.send(number, "ACK")?;
                }
                Ok(())
            }
            _ => {
                self.send_to(number, "ACK", Some(fields.to))?;
                self.end(number, Outcome::Refused(status), now);
                Ok(())
            }
        }
    }

    fn cancel(&mut self, number: u32, now: u64, alarms: &mut Alarms) -> Result<(), DrillError> {
        let call = &mut self.calls[number as usize];
        call.state = State::Cancelling;
        (call.interval_ns, call.give_up_ns) = (T1, now + TIMER_B);
        self.send(number, "CANCEL")?;
        self.wake_at(number, now + T1, alarms);
        Ok(())
    }

    fn hang_up(&mut self, number: u32, now: u64) -> Result<(), DrillError> {
        let arrives = self.send(number, "BYE")?;
        let call = &mut self.calls[number as usize];
        if arrives && call.bye_arrived_ns == 0 {
            call.bye_arrived_ns = now;
        }
        Ok(())
    }

    /// A final answer to CANCEL or BYE.
    fn take_final(&mut self, number: u32, method: &[u8], now: u64, alarms: &mut Alarms) {
        match (self.calls[number as usize].state, method) {
            // From now on only the INVITE's own answer counts.
            (State::Cancelling, b"CANCEL") => {
                self.calls[number as usize].give_up_ns = now + TIMER_B;
                self.calls[number as usize].interval_ns = TIMER_B;
                self.wake_at(number, now + TIMER_B, alarms);
            }
            (State::Ending, b"BYE") => self.end(number, Outcome::Completed, now),
            _ => {}
        }
    }

    fn take_request(
        &mut self,
        number: u32,
        fields: &Fields<'_>,
        from: sys::Name,
        now: u64,
        counts: &mut Counts,
    ) -> Result<(), DrillError> {
        let method = fields.method();
        if method == b"ACK" {
            return Ok(());
        }
        if method == b"BYE" {
            self.end(number, Outcome::HungUp, now);
        } else if !matches!(method, b"INVITE" | b"UPDATE" | b"OPTIONS") {
            counts.unexpected += 1;
        }
        let has_sdp = matches!(method, b"INVITE" | b"UPDATE");
        respond(fields, 200, "", self.wire.address(), has_sdp, &mut self.buffer);
        self.wire.send(&self.buffer, from)?;
        Ok(())
    }

    /// The time that call `number` asked for has come.
    pub(super) fn wake(
        &mut self,
        number: u32,
        due_ns: u64,
        now: u64,
        alarms: &mut Alarms,
        counts: &mut Counts,
    ) -> Result<(), DrillError> {
        let call = &mut self.calls[number as usize];
        if call.due_ns != due_ns || call.state == State::Over {
            return Ok(());
        }
        let is_late = now >= call.give_up_ns;
        match call.state {
            State::Calling | State::Cancelling | State::Ending if !is_late => {
                call.interval_ns *= 2;
                let method = match call.state {
                    State::Calling => "INVITE",
                    State::Cancelling => "CANCEL",
                    _ => "BYE",
                };
                if method != "INVITE" {
                    call.interval_ns = call.interval_ns.min(T2);
                }
                let next = (now + call.interval_ns).min(call.give_up_ns);
                counts.retransmissions += 1;
                if method == "BYE" {
                    self.hang_up(number, now)?;
                } else {
                    self.send(number, method)?;
                }
                self.wake_at(number, next, alarms);
            }
            State::Proceeding if call.fate.is_cancelled() => self.cancel(number, now, alarms)?,
            State::Calling | State::Cancelling | State::Proceeding => self.end(number, Outcome::Unanswered, now),
            State::Talking if call.fate == Fate::CalleeHangsUp && !call.is_crossed => {
                self.end(number, Outcome::NeverHungUp, now);
            }
            State::Talking => {
                call.state = State::Ending;
                (call.interval_ns, call.give_up_ns) = (T1, now + TIMER_B);
                self.hang_up(number, now)?;
                self.wake_at(number, now + T1, alarms);
            }
            State::Ending => self.end(number, Outcome::ByeUnanswered, now),
            State::Over => {}
        }
        Ok(())
    }
}

/// The number in a Call-ID of this run.
fn number_of(call_id: &[u8], seed: u64) -> Option<u32> {
    let text = std::str::from_utf8(call_id).ok()?;
    let (run, number) = text.strip_suffix("@drill")?.split_once('-')?;
    (u64::from_str_radix(run, 16) == Ok(seed)).then(|| number.parse().ok())?
}
