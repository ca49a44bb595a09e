// SPDX-License-Identifier: Apache-2.0
//! The vendor's side of the calls: answers as the number called says.

use std::collections::{HashMap, HashSet};

use super::alarms::{Alarms, Who};
use super::fate::{self, Fate};
use super::fields::Fields;
use super::message::{Request, respond};
use super::wire::Wire;
use super::{Counts, Options, T1, T2, TIMER_B};
use crate::{DrillError, sys};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Rings; the time set is that of the answer, if there will be one.
    Ringing,
    /// Repeats a final answer until its ACK.
    Final(u16),
    Talking,
    /// Repeats BYE until it is answered.
    Ending,
    Over,
}

/// One leg to us.
struct Leg {
    fate: Fate,
    number: u32,
    state: State,
    from: sys::Name,
    /// The INVITE; None once it is over.
    invite: Option<Box<[u8]>>,
    due_ns: u64,
    interval_ns: u64,
    give_up_ns: u64,
}

pub(super) struct Vendors<'a> {
    options: &'a Options,
    pub(super) wire: Wire,
    legs: Vec<Leg>,
    by_call_id: HashMap<Box<[u8]>, u32>,
    /// When the first 200 and the first BYE that were not lost went to the switch, by the call's number; nanoseconds
    /// since the run began.
    pub(super) answers_arrived_ns: HashMap<u32, u64>,
    pub(super) byes_arrived_ns: HashMap<u32, u64>,
    /// Calls of [`Fate::FailsOver`] that were refused once.
    refused: HashSet<u32>,
    pub(super) open: usize,
    buffer: Vec<u8>,
}

impl<'a> Vendors<'a> {
    pub(super) fn new(options: &'a Options, wire: Wire) -> Self {
        Self {
            options,
            wire,
            legs: Vec::new(),
            by_call_id: HashMap::new(),
            answers_arrived_ns: HashMap::new(),
            byes_arrived_ns: HashMap::new(),
            refused: HashSet::new(),
            open: 0,
            buffer: Vec::with_capacity(2048),
        }
    }

    fn wake_at(&mut self, place: u32, due_ns: u64, alarms: &mut Alarms) {
        self.legs[place as usize].due_ns = due_ns;
        alarms.set(due_ns, Who::Vendor(place));
    }

    fn end(&mut self, place: u32) {
        let leg = &mut self.legs[place as usize];
        if leg.state != State::Over {
            leg.state = State::Over;
            leg.invite = None;
            self.open -= 1;
        }
    }

    /// Send what is in the buffer.
    fn send(&mut self, to: sys::Name) -> Result<(), DrillError> {
        self.wire.send(&self.buffer, to)?;
        Ok(())
    }

    /// Answer the INVITE of a leg.
    fn answer(&mut self, place: u32, status: u16, now: u64) -> Result<(), DrillError> {
        let leg = &self.legs[place as usize];
        let Some(fields) = leg.invite.as_deref().and_then(Fields::of) else { return Ok(()) };
        respond(&fields, status, &format!("v{place}"), self.wire.address(), status == 200, &mut self.buffer);
        if self.wire.send(&self.buffer, leg.from)? && status == 200 {
            self.answers_arrived_ns.entry(leg.number).or_insert(now);
        }
        Ok(())
    }

    /// Give a final answer, to be repeated until its ACK.
    fn conclude(&mut self, place: u32, status: u16, now: u64, alarms: &mut Alarms) -> Result<(), DrillError> {
        let leg = &mut self.legs[place as usize];
        leg.state = State::Final(status);
        (leg.interval_ns, leg.give_up_ns) = (T1, now + TIMER_B);
        self.wake_at(place, now + T1, alarms);
        self.answer(place, status, now)
    }

    /// A datagram came.
    pub(super) fn take(
        &mut self,
        message: &[u8],
        from: sys::Name,
        now: u64,
        alarms: &mut Alarms,
        counts: &mut Counts,
    ) -> Result<(), DrillError> {
        let Some(fields) = Fields::of(message) else {
            counts.unexpected += 1;
            return Ok(());
        };
        let place = self.by_call_id.get(fields.call_id).copied();
        if let Some(status) = fields.status() {
            if status >= 200
                && let Some(place) = place
                && self.legs[place as usize].state == State::Ending
            {
                self.end(place);
            }
            return Ok(());
        }
        match (fields.method(), place) {
            (b"INVITE", None) => self.begin(message, &fields, from, now, alarms, counts),
            (b"OPTIONS", _) | (_, Some(_)) => {
                if let Some(place) = place {
                    if self.has_crashed(place) {
                        return Ok(());
                    }
                    return self.take_within(place, &fields, from, now, alarms, counts);
                }
                respond(&fields, 200, "o", self.wire.address(), false, &mut self.buffer);
                self.send(from)
            }
            (b"ACK", None) => Ok(()),
            (_, None) => {
                counts.unexpected += 1;
                respond(&fields, 481, "x", self.wire.address(), false, &mut self.buffer);
                self.send(from)
            }
        }
    }

    fn has_crashed(&self, place: u32) -> bool {
        let leg = &self.legs[place as usize];
        leg.fate == Fate::Silent || (leg.fate == Fate::Crashes && matches!(leg.state, State::Talking | State::Over))
    }

    fn begin(
        &mut self,
        message: &[u8],
        fields: &Fields<'_>,
        from: sys::Name,
        now: u64,
        alarms: &mut Alarms,
        counts: &mut Counts,
    ) -> Result<(), DrillError> {
        let Some((fate, number)) = fate::of_callee(fields.callee()) else {
            counts.unexpected += 1;
            return Ok(());
        };
        counts.legs += 1;
        let place = self.legs.len() as u32;
        self.by_call_id.insert(fields.call_id.into(), place);
        self.open += 1;
        self.legs.push(Leg {
            fate,
            number,
            state: State::Ringing,
            from,
            invite: Some(message.into()),
            due_ns: 0,
            interval_ns: T1,
            give_up_ns: 0,
        });
        match fate {
            Fate::Silent => {
                self.end(place);
                Ok(())
            }
            Fate::Busy => self.conclude(place, 486, now, alarms),
            Fate::Declined => self.conclude(place, 603, now, alarms),
            Fate::FailsOver if self.refused.insert(number) => self.conclude(place, 503, now, alarms),
            Fate::CancelledTrying => self.answer(place, 100, now),
            Fate::CancelledRinging => self.answer(place, 180, now),
            Fate::CallerHangsUp | Fate::CalleeHangsUp | Fate::FailsOver | Fate::Crashes => {
                self.answer(place, 180, now)?;
                if self.options.ring_ns() == 0 {
                    return self.conclude(place, 200, now, alarms);
                }
                self.wake_at(place, now + self.options.ring_ns(), alarms);
                Ok(())
            }
        }
    }

    /// A request of a leg that is known.
    fn take_within(
        &mut self,
        place: u32,
        fields: &Fields<'_>,
        from: sys::Name,
        now: u64,
        alarms: &mut Alarms,
        counts: &mut Counts,
    ) -> Result<(), DrillError> {
        let state = self.legs[place as usize].state;
        let tag = format!("v{place}");
        match fields.method() {
            b"INVITE" if Fields::tag(fields.to).is_none() => match state {
                State::Ringing if self.legs[place as usize].fate == Fate::CancelledTrying => {
                    self.answer(place, 100, now)
                }
                State::Ringing => self.answer(place, 180, now),
                State::Final(status) => self.answer(place, status, now),
                State::Talking | State::Ending | State::Over => Ok(()),
            },
            b"ACK" => {
                match state {
                    State::Final(200) => {
                        // No more repetitions; a time that is set no more wakes nobody.
                        self.legs[place as usize].due_ns = 0;
                        self.legs[place as usize].state = State::Talking;
                        if self.legs[place as usize].fate == Fate::CalleeHangsUp {
                            let hold_ns = self.options.hold_ns(self.legs[place as usize].number);
                            self.wake_at(place, now + hold_ns, alarms);
                        }
                    }
                    State::Final(_) => self.end(place),
                    State::Ringing | State::Talking | State::Ending | State::Over => {}
                }
                Ok(())
            }
            b"CANCEL" => {
                respond(fields, 200, &tag, self.wire.address(), false, &mut self.buffer);
                self.send(from)?;
                if state == State::Ringing { self.conclude(place, 487, now, alarms) } else { Ok(()) }
            }
            method => {
                if method == b"BYE" {
                    self.end(place);
                } else if !matches!(method, b"INVITE" | b"UPDATE" | b"PRACK" | b"OPTIONS") {
                    counts.unexpected += 1;
                }
                let has_sdp = matches!(method, b"INVITE" | b"UPDATE");
                respond(fields, 200, &tag, self.wire.address(), has_sdp, &mut self.buffer);
                self.send(from)
            }
        }
    }

    fn hang_up(&mut self, place: u32, now: u64) -> Result<(), DrillError> {
        let leg = &self.legs[place as usize];
        let Some(fields) = leg.invite.as_deref().and_then(Fields::of) else { return Ok(()) };
        let routes: Vec<Box<[u8]>> = fields.record_routes.iter().map(|&route| route.into()).collect();
        let from = [fields.to, b";tag=v", place.to_string().as_bytes()].concat();
        let request = Request {
            method: "BYE",
            uri: fields.contact_uri(),
            from_address: self.wire.address(),
            branch: &format!("v{:x}-{place}", self.options.seed),
            routes: &routes,
            from: &from,
            to: fields.from,
            call_id: fields.call_id,
            cseq: 1,
            has_sdp: false,
        };
        request.write(&mut self.buffer);
        if self.wire.send(&self.buffer, leg.from)? {
            self.byes_arrived_ns.entry(leg.number).or_insert(now);
        }
        Ok(())
    }

    /// The time that a leg asked for has come.
    pub(super) fn wake(
        &mut self,
        place: u32,
        due_ns: u64,
        now: u64,
        alarms: &mut Alarms,
        counts: &mut Counts,
    ) -> Result<(), DrillError> {
        let leg = &mut self.legs[place as usize];
        if leg.due_ns != due_ns {
            return Ok(());
        }
        match leg.state {
            State::Ringing => self.conclude(place, 200, now, alarms),
            State::Talking => {
                leg.state = State::Ending;
                (leg.interval_ns, leg.give_up_ns) = (T1, now + TIMER_B);
                self.hang_up(place, now)?;
                self.wake_at(place, now + T1, alarms);
                Ok(())
            }
            State::Final(_) | State::Ending if now >= leg.give_up_ns => {
                counts.unacknowledged += 1;
                self.end(place);
                Ok(())
            }
            State::Final(status) => {
                leg.interval_ns = (leg.interval_ns * 2).min(T2);
                let next = now + leg.interval_ns;
                counts.retransmissions += 1;
                self.answer(place, status, now)?;
                self.wake_at(place, next, alarms);
                Ok(())
            }
            State::Ending => {
                leg.interval_ns = (leg.interval_ns * 2).min(T2);
                let next = now + leg.interval_ns;
                counts.retransmissions += 1;
                self.hang_up(place, now)?;
                self.wake_at(place, next, alarms);
                Ok(())
            }
            State::Over => Ok(()),
        }
    }
}
