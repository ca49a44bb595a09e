// SPDX-License-Identifier: Apache-2.0
//! How the engine carries orders out: frame first, then what waits for nothing, in the order given.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use guard::{Standing, What};
use journal::Transport;
use sip::Parsed;
use sip::answer::{Answer, ExtraHeader, Token};
use transaction::{Outgoing, TransactionId};

use super::{Client, Engine, Heard, Known};
use crate::calls;
use crate::names;
use crate::order::{Frame, HeaderLine, Host, Order, Ready, Respond};
use crate::receive::Command;
use crate::shared::{Ended, Event};
use crate::way::Way;

/// The part of an order that sends.
pub(super) enum Action {
    Respond { transaction: u64, status: u16, headers: Vec<HeaderLine>, body: Vec<u8>, tag: Vec<u8> },
    Send { transaction: u64, ready: Box<Ready> },
    Acknowledge { transaction: u64, ready: Box<Ready> },
    Cancel { transaction: u64, headers: Vec<HeaderLine> },
}

impl Engine {
    pub(super) fn order(&mut self, now: Instant, order: Order) {
        match order {
            Order::Respond(respond) => self.respond(now, respond),
            Order::Send { transaction, ready, frame } => {
                let is_durable = frame.as_ref().is_some_and(|frame| frame.is_durable);
                if !frame.is_none_or(|frame| self.given.journal.frame(&frame)) {
                    return self.tell(Event::Ended { transaction, why: Ended::NotRecorded });
                }
                let call = self.call_hash.hash_one(ready.call_id.as_slice());
                self.numbers.insert(transaction, Known { call, id: None });
                self.hold_or_do(now, call, is_durable, Action::Send { transaction, ready });
            }
            Order::Acknowledge { transaction, ready } => {
                let Some(call) = self.numbers.get(&transaction).map(|known| known.call) else { return };
                self.hold_or_do(now, call, false, Action::Acknowledge { transaction, ready });
            }
            Order::Cancel { transaction, headers } => {
                let Some(call) = self.numbers.get(&transaction).map(|known| known.call) else { return };
                self.hold_or_do(now, call, false, Action::Cancel { transaction, headers });
            }
            Order::Open { tag, call_id } => self.command(Command::Open { tag, call_id }),
            Order::Close { tag } => {
                if let Some(connection) = self.engaged.remove(&tag) {
                    self.given.shared.connections.lock().disengage(connection);
                }
                self.command(Command::Close { tag });
            }
            Order::Append(frame) => drop(self.given.journal.frame(&frame)),
        }
    }

    fn respond(&mut self, now: Instant, respond: Respond) {
        let Respond { transaction, mut status, mut headers, mut body, tag, frame, registration } = respond;
        let known = self.numbers.get(&transaction);
        let server = known.and_then(|known| Some((known.call, known.id?, self.servers.get(&known.id?)?)));
        let Some((call, id, server)) = server else {
            // What a frame says has happened, whoever still waits to hear of it.
            if let Some(frame) = frame {
                self.given.journal.frame(&frame);
            }
            return;
        };
        let passed = Arc::clone(&server.passed);
        let is_durable = frame.as_ref().is_some_and(|frame: &Frame| frame.is_durable);
        let is_written = match (&frame, &registration) {
            (Some(frame), _) => self.given.journal.frame(frame),
            (None, Some(registration)) => self.given.journal.registration(&passed, registration),
            (None, None) if status >= 200 => self.given.journal.answered(&passed),
            (None, None) => true,
        };
        if is_written {
            if let Some(command) = registration.and_then(|registration| calls::command_of(&passed, registration)) {
                self.command(command);
            }
        } else if passed.key != 0 || registration.is_some() {
            // Not recorded, so not done: the far end may try again.
            (status, headers, body) = (503, vec![retry_after()], Vec::new());
            self.tell(Event::Ended { transaction, why: Ended::NotRecorded });
        }
        self.take_up(id);
        if passed.peer.transport != Transport::Udp && passed.key != 0 && !tag.is_empty() && status < 300 {
            let connection = passed.peer.channel;
            if self.engaged.insert(tag.clone(), connection).is_none() {
                self.given.shared.connections.lock().engage(connection);
            }
        }
        self.hold_or_do(now, call, is_durable, Action::Respond { transaction, status, headers, body, tag });
    }

    fn hold_or_do(&mut self, now: Instant, call: u64, is_durable: bool, action: Action) {
        let seq = is_durable.then(|| self.given.journal.durable().last());
        if let Some(action) = self.held.hold_or_give(call, seq, action) {
            self.perform(now, call, action);
        }
    }

    pub(super) fn release(&mut self, now: Instant, through: u64) {
        while let Some((call, action)) = self.held.pop(through) {
            self.perform(now, call, action);
        }
    }

    /// A name was looked up: what waited for it goes on.
    pub(super) fn found(&mut self, now: Instant, found: &names::Found) {
        self.given.names.take(now, found);
        for call in self.waiting_for.remove(&found.name).unwrap_or_default() {
            for action in self.parked.remove(&call).unwrap_or_default() {
                self.perform(now, call, action);
            }
        }
    }

    /// Whether an action has to wait for the address of its far end. An address that is known is put in place of the name.
    fn waits_for_name(&mut self, now: Instant, call: u64, action: &mut Action) -> bool {
        let (Action::Send { ready, .. } | Action::Acknowledge { ready, .. }) = action else { return false };
        let Host::Name(host, port) = &ready.goal.remote else { return false };
        let name = (host.clone(), ready.goal.local.is_ipv4());
        match self.given.names.address(now, &name) {
            names::Answer::Address(address) => {
                ready.goal.remote = Host::Address(SocketAddr::new(address, *port));
                false
            }
            names::Answer::None => false,
            names::Answer::Later => {
                self.waiting_for.entry(name).or_default().push(call);
                true
            }
        }
    }

    fn perform(&mut self, now: Instant, call: u64, mut action: Action) {
        if let Some(parked) = self.parked.get_mut(&call) {
            parked.push_back(action);
            return;
        }
        if self.waits_for_name(now, call, &mut action) {
            self.parked.insert(call, VecDeque::from([action]));
            return;
        }
        match action {
            Action::Respond { transaction, status, headers, body, tag } => {
                let Some(id) = self.id_of(transaction) else { return };
                let Some(passed) = self.servers.get(&id).map(|server| Arc::clone(&server.passed)) else { return };
                let extra: Vec<_> = headers.iter().filter_map(extra).collect();
                let tag = if tag.is_empty() { passed.local_tag.as_slice() } else { &tag };
                let mut answer = Answer::new(status, passed.peer.source).with_extra(&extra);
                answer.body = &body;
                answer.to_tag = Token::new(tag).ok().filter(|_| status > 100);
                if let Parsed::Message(request) = sip::parse(&passed.bytes) {
                    // Whatever is over does not hear of it.
                    let _ = self.transactions.respond(now, id, &answer, &request, &mut self.out);
                }
            }
            Action::Send { transaction, ready } => self.send(now, transaction, &ready),
            Action::Acknowledge { transaction, ready } => {
                let Some(id) = self.id_of(transaction) else { return };
                if let Some(way) = self.outbox.way(&ready.goal) {
                    let _ = self.transactions.acknowledge(now, id, &ready.request, way, &mut self.out);
                }
            }
            Action::Cancel { transaction, headers } => {
                let Some(id) = self.id_of(transaction) else { return };
                let extra: Vec<_> = headers.iter().filter_map(extra).collect();
                let _ = self.transactions.cancel(now, id, &extra, &mut self.out);
            }
        }
        self.act(None);
    }

    fn send(&mut self, now: Instant, transaction: u64, ready: &Ready) {
        let started = self.outbox.way(&ready.goal).ok_or(Ended::Transport).and_then(|way| {
            let outgoing = Outgoing {
                request: &ready.request,
                destination: way,
                transport: match way {
                    Way::Udp { .. } => transaction::Transport::Unreliable,
                    Way::Stream { .. } => transaction::Transport::Reliable,
                },
                timeout: None,
            };
            let id = self.transactions.start(now, &outgoing, &mut self.out).map_err(|_| Ended::NoRoom)?;
            Ok((id, way))
        });
        match started {
            Ok((id, way)) => {
                match way {
                    Way::Stream { connection } => drop(self.waiting_on.entry(connection).or_default().insert(id)),
                    Way::Udp { .. } => drop(self.by_branch.insert(ready.branch, id)),
                }
                if let Some(known) = self.numbers.get_mut(&transaction) {
                    known.id = Some(id);
                }
                let client = Client {
                    number: transaction,
                    is_invite: ready.is_invite,
                    is_flow: ready.goal.is_flow,
                    way,
                    branch: ready.branch,
                    heard: Heard::Nothing,
                };
                self.clients.insert(id, client);
            }
            Err(why) => {
                self.numbers.remove(&transaction);
                self.tell(Event::Ended { transaction, why });
            }
        }
    }

    pub(super) fn id_of(&self, transaction: u64) -> Option<TransactionId> {
        self.numbers.get(&transaction)?.id
    }

    /// The call layer has answered for the first time: the request is no longer in flight.
    fn take_up(&mut self, id: TransactionId) {
        let Some(server) = self.servers.get_mut(&id).filter(|server| !server.is_taken_up) else { return };
        server.is_taken_up = true;
        let passed = Arc::clone(&server.passed);
        if let What::Request(standing) = &passed.what {
            self.taken_up(standing);
        }
    }

    pub(super) fn taken_up(&mut self, standing: &Standing) {
        if let Some(gateway_id) = standing.in_flight_at() {
            self.command(Command::TakenUp { gateway_id });
        }
    }

    /// INVITEs of which the call layer says nothing at all.
    pub(super) fn answer_forgotten(&mut self, now: Instant) {
        while let Some((_, transaction)) = self.unanswered.pop_front_if(|(at, _)| *at <= now) {
            let is_forgotten =
                self.id_of(transaction).and_then(|id| self.servers.get(&id)).is_some_and(|server| !server.is_taken_up);
            if is_forgotten {
                self.respond(now, Respond { transaction, status: 500, ..Respond::default() });
            }
        }
    }
}

pub(super) fn retry_after() -> HeaderLine {
    ("Retry-After".into(), b"10".to_vec())
}

/// Orders are checked when they are given, so none is left out.
pub(super) fn extra(line: &HeaderLine) -> Option<ExtraHeader<'_>> {
    ExtraHeader::new(&line.0, &line.1).ok()
}
