// SPDX-License-Identifier: Apache-2.0
//! The table of all transactions: which machine a message is for, and when each wants to be woken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::answer::{Answer, ExtraHeader, Token};
use sip::{Message, Method};

use crate::error::Error;
use crate::invite_client::InviteClient;
use crate::invite_server::InviteServer;
use crate::machine::{Effect, Effects, Hop, IncomingResponse, Input, State, TransactionId, Transport};
use crate::non_invite_client::NonInviteClient;
use crate::non_invite_server::NonInviteServer;
use crate::outgoing::{Kind, OutgoingRequest, OutgoingResponse};
use crate::slot::Machine;
use crate::table::Table;
use crate::timers::SipTimers;
use crate::wheel::Wheel;

/// Most transactions that there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of requests that come in. On UDP each stays for 32 s after its answer.
    pub server_transactions: usize,
    /// Of requests that go out. CANCELs come on top, at most one for each INVITE.
    pub client_transactions: usize,
}

impl Default for Limits {
    /// 524,288 of each: 16,000 a second, each for 32 s.
    fn default() -> Self {
        Self { server_transactions: 1 << 19, client_transactions: 1 << 19 }
    }
}

/// What strangers and busy hours can bring about is counted and not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that came again.
    pub repeated_requests: u64,
    /// Responses that belong to no transaction; dropped (RFC 6026 §8.9).
    pub stray_responses: u64,
    /// ACKs that belong to nothing; dropped.
    pub stray_acks: u64,
    /// CANCELs that belong to no INVITE; answered 481 (RFC 3261 §9.2).
    pub stray_cancels: u64,
    /// Requests that came a second time on another way; answered 482 (RFC 3261 §8.2.2.2).
    pub merged_requests: u64,
    /// Requests for which [`Limits::server_transactions`] left no room.
    pub server_limit_hits: u64,
    /// Requests of the user for which [`Limits::client_transactions`] left no room.
    pub client_limit_hits: u64,
    /// 2xx that [`crate::MAX_FORKS`] left no room for; dropped.
    pub fork_limit_hits: u64,
}

/// How a request came, and how it is to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'m, D> {
    /// The whole message, which the user gets.
    pub bytes: &'m Arc<[u8]>,
    /// Where it came from: fills `received` and `rport`.
    pub source: SocketAddr,
    /// Where answers go.
    pub reply_to: D,
    /// Of that destination.
    pub transport: Transport,
    /// Our tag for this call, for answers that are given here: to a CANCEL the tag should be that of the INVITE (RFC 3261 §9.2).
    pub tag: Token<'m>,
    /// Whether a 100 goes out here if the user has not answered an INVITE after 200 ms; false: the user sees to it.
    pub has_trying: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// A new transaction; the user is told.
    New(TransactionId),
    /// The request of a known transaction again.
    Repeated,
    /// An ACK that belongs to one of our final responses.
    Ack,
    /// A CANCEL, answered; where there is an INVITE to be cancelled, the user is told.
    Cancel,
    /// Came before on another way; answered 482.
    Merged,
    /// An ACK that belongs to nothing, or no request at all; dropped.
    Stray,
    /// No room. The driver may answer 503 without a transaction.
    Full,
}

/// A request of the user.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'m, D> {
    /// The request.
    pub request: &'m OutgoingRequest,
    /// Where to.
    pub destination: D,
    /// Of that destination.
    pub transport: Transport,
    /// Timer B or F; None = 64*T1.
    pub timeout: Option<Duration>,
}

/// All transactions of one element.
#[derive(Clone, Debug)]
pub struct Transactions<D> {
    timers: SipTimers,
    limits: Limits,
    counters: Counters,
    table: Table<D>,
    /// Client transactions that the user knows.
    client_count: usize,
    wheel: Wheel,
    buffer: Vec<u8>,
    hidden: Effects<D>,
}

impl<D: Copy> Transactions<D> {
    /// Room for more than this is not asked for at once.
    const MOST_RESERVED: usize = 1 << 20;

    /// An empty table. The memory of the tables themselves is asked for at once, so that nothing has to be moved under load; the
    /// system gives it as it is used.
    pub fn new(now: Instant, timers: SipTimers, limits: Limits) -> Self {
        let room = |count: usize| count.min(Self::MOST_RESERVED);
        let (servers, clients) = (room(limits.server_transactions), room(limits.client_transactions));
        Self {
            timers,
            limits,
            counters: Counters::default(),
            table: Table::with_capacity(servers, clients),
            client_count: 0,
            wheel: Wheel::new(now, servers.saturating_add(clients)),
            buffer: Vec::with_capacity(2048),
            hidden: Effects::new(),
        }
    }

    /// A request from the network.
    pub fn receive_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        arrival: &Arrival<'_, D>,
        out: &mut Effects<D>,
    ) -> Taken {
        let Some(method) = message.method() else { return Taken::Stray };
        if method == Method::Ack {
            return self.receive_ack(now, message, arrival.bytes, out);
        }
        if let Some(index) = self.table.find_server(message, method) {
            return self.repeated(now, index, out);
        }
        if method == Method::Cancel {
            return self.receive_cancel(now, message, arrival, out);
        }
        if message.to().is_ok_and(|to| to.tag().is_none())
            && let Some((index, is_branch)) = self.table.find_call(message)
        {
            // Some routers send a request twice, once with their own address in Via (SIP ALG): one branch is one request.
            if is_branch {
                return self.repeated(now, index, out);
            }
            if self.is_server_full() {
                return Taken::Full;
            }
            self.counters.merged_requests = self.counters.merged_requests.wrapping_add(1);
            self.refuse(now, 482, message, arrival, out);
            return Taken::Merged;
        }
        if self.is_server_full() {
            return Taken::Full;
        }
        self.insert_server(now, message, arrival, false, out).map_or(Taken::Stray, Taken::New)
    }

    /// A response from the network. False: it belongs to no transaction and was dropped (RFC 6026 §8.9).
    pub fn receive_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        bytes: &Arc<[u8]>,
        out: &mut Effects<D>,
    ) -> bool {
        let found = self.table.find_client(message).zip(IncomingResponse::new(message, bytes));
        let Some((index, response)) = found else {
            self.counters.stray_responses = self.counters.stray_responses.wrapping_add(1);
            return false;
        };
        // A client takes a response in every state.
        self.drive(now, index, Input::Response(response), out).ok();
        true
    }

    /// Answers a request. `request` is the request of that transaction.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::OtherRequest`], and [`Error::Illegal`] after a final response.
    pub fn respond(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        answer: &Answer<'_>,
        request: &Message<'_>,
        out: &mut Effects<D>,
    ) -> Result<(), Error> {
        let index = self.table.index_of(transaction)?;
        let slot = self.table.get(index).ok_or(Error::Gone)?;
        if slot.machine.is_client() {
            return Err(Error::Illegal(slot.machine.state()));
        }
        let is_success = matches!(answer.status, 200..300)
            && matches!(slot.machine, Machine::InviteServer(_))
            && slot.machine.state() == State::Proceeding;
        if !self.table.is_request_of(index, request) {
            return Err(Error::OtherRequest);
        }
        let response = OutgoingResponse::write(answer, request, &mut self.buffer);
        if is_success && let Ok(to) = request.to() {
            let to_tag = to.tag().or(answer.to_tag.map(|tag| tag.as_bytes())).unwrap_or_default();
            self.table.expect_ack(index, request, to_tag);
        }
        self.drive(now, index, Input::SendResponse(response), out)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::BranchInUse`], [`Error::AckIsNoTransaction`].
    pub fn start(
        &mut self,
        now: Instant,
        outgoing: &Outgoing<'_, D>,
        out: &mut Effects<D>,
    ) -> Result<TransactionId, Error> {
        if outgoing.request.kind() == Kind::Ack {
            return Err(Error::AckIsNoTransaction);
        }
        if self.client_count >= self.limits.client_transactions {
            self.counters.client_limit_hits = self.counters.client_limit_hits.wrapping_add(1);
            return Err(Error::Full);
        }
        self.insert_client(now, outgoing, false, out)
    }

    /// Gives up an INVITE: a CANCEL is sent as soon as a provisional response came (RFC 3261 §9.1). The INVITE ends by its final response, at
    /// the latest 64*T1 after the CANCEL. `headers` go into the CANCEL (Reason); only the first time that this is called counts.
    ///
    /// # Errors
    /// [`Error::Gone`], and [`Error::Illegal`] after a final response or for anything but an INVITE client.
    pub fn cancel(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        headers: &[ExtraHeader<'_>],
        out: &mut Effects<D>,
    ) -> Result<(), Error> {
        let index = self.table.index_of(transaction)?;
        self.drive(now, index, Input::SendCancel { headers }, out)
    }

    /// Sends the ACK for a 2xx, and again each time that the 2xx comes again.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::NoSuchSuccess`], and [`Error::Illegal`] where no 2xx came.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        ack: &OutgoingRequest,
        destination: D,
        out: &mut Effects<D>,
    ) -> Result<(), Error> {
        let index = self.table.index_of(transaction)?;
        let slot = self.table.get(index).ok_or(Error::Gone)?;
        if ack.kind() != Kind::Ack || ack.key().call() != slot.key.call() {
            return Err(Error::NoSuchSuccess);
        }
        self.drive(now, index, Input::SendAck { ack, destination }, out)
    }

    /// What a transaction sent last could not be sent.
    pub fn transport_error(&mut self, now: Instant, transaction: TransactionId, out: &mut Effects<D>) {
        if let Ok(index) = self.table.index_of(transaction) {
            // Every machine takes this in every state.
            self.drive(now, index, Input::TransportError, out).ok();
        }
    }

    /// Does all that is due at `now`.
    pub fn fire(&mut self, now: Instant, out: &mut Effects<D>) {
        while let Some(index) = self.wheel.take_due(now) {
            // Every machine takes this in every state.
            self.drive(now, index, Input::Timer, out).ok();
        }
    }

    /// When [`Self::fire`] is to be called. Rounded up to a millisecond; early only for timers of more than 65 s.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// State of a transaction; None: it has ended.
    pub fn state(&self, transaction: TransactionId) -> Option<State> {
        let index = self.table.index_of(transaction).ok()?;
        self.table.get(index).map(|slot| slot.machine.state())
    }

    /// Server transactions that there are, those included that the user does not know.
    pub const fn server_count(&self) -> usize {
        self.table.server_count()
    }

    /// Client transactions that there are, CANCELs included.
    pub fn client_count(&self) -> usize {
        self.table.client_count()
    }

    /// Whether nothing is left, in no table.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.wheel.next().is_none()
    }

    /// Counters since the start.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn repeated(&mut self, now: Instant, index: u32, out: &mut Effects<D>) -> Taken {
        self.counters.repeated_requests = self.counters.repeated_requests.wrapping_add(1);
        // A server takes the same request in every state.
        self.drive(now, index, Input::Request, out).ok();
        Taken::Repeated
    }

    /// RFC 3261 §17.1.1.3, §17.2.3 for final responses other than 2xx; Call-ID, `CSeq` and tags for a 2xx, whose ACK has another branch.
    fn receive_ack(&mut self, now: Instant, ack: &Message<'_>, bytes: &Arc<[u8]>, out: &mut Effects<D>) -> Taken {
        let Some(index) = self.table.find_acknowledged(ack).or_else(|| self.table.find_success(ack)) else {
            self.counters.stray_acks = self.counters.stray_acks.wrapping_add(1);
            return Taken::Stray;
        };
        // Only INVITE servers are found, and they take an ACK in every state.
        self.drive(now, index, Input::Ack { bytes }, out).ok();
        Taken::Ack
    }

    /// RFC 3261 §9.2: answered 200 where there is an INVITE that it cancels, whatever that INVITE makes of it, else 481.
    fn receive_cancel(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        arrival: &Arrival<'_, D>,
        out: &mut Effects<D>,
    ) -> Taken {
        let Some(index) = self.table.find_server(message, Method::Invite) else {
            if self.is_server_full() {
                return Taken::Full;
            }
            self.counters.stray_cancels = self.counters.stray_cancels.wrapping_add(1);
            self.refuse(now, 481, message, arrival, out);
            return Taken::Cancel;
        };
        if self.table.server_count() < self.limits.server_transactions {
            self.refuse(now, 200, message, arrival, out);
        } else if let Some(transaction) = self.table.get(index).map(|slot| TransactionId { index, serial: slot.serial })
        {
            // Without room it is answered without a transaction: a CANCEL makes room.
            let answer = Answer::new(200, arrival.source).with_tag(arrival.tag);
            let bytes = OutgoingResponse::write(&answer, message, &mut self.buffer).into_bytes();
            out.push(Effect::Send { transaction, bytes, destination: arrival.reply_to });
        }
        // An INVITE server takes a CANCEL in every state.
        self.drive(now, index, Input::Cancel { bytes: arrival.bytes }, out).ok();
        Taken::Cancel
    }

    /// Answers a request through a transaction of which the user does not know.
    fn refuse(
        &mut self,
        now: Instant,
        status: u16,
        message: &Message<'_>,
        arrival: &Arrival<'_, D>,
        out: &mut Effects<D>,
    ) {
        let answer = Answer::new(status, arrival.source).with_tag(arrival.tag);
        let response = OutgoingResponse::write(&answer, message, &mut self.buffer);
        if let Some(transaction) = self.insert_server(now, message, arrival, true, out) {
            // A transaction that was just made takes its first response.
            self.drive(now, transaction.index, Input::SendResponse(response), out).ok();
        }
    }

    /// Makes a server transaction.
    fn insert_server(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        arrival: &Arrival<'_, D>,
        is_hidden: bool,
        out: &mut Effects<D>,
    ) -> Option<TransactionId> {
        let key = self.table.server_key(message, is_hidden)?;
        let transaction = self.table.next_id();
        let hop = Hop { transaction, destination: arrival.reply_to, transport: arrival.transport };
        let machine = if message.method() == Some(Method::Invite) {
            let trying = (arrival.has_trying && !is_hidden)
                .then(|| OutgoingResponse::write(&Answer::new(100, arrival.source), message, &mut self.buffer));
            let out = if is_hidden { &mut self.hidden } else { out };
            Machine::InviteServer(Box::new(InviteServer::start(now, hop, self.timers, trying, arrival.bytes, out)))
        } else {
            let out = if is_hidden { &mut self.hidden } else { out };
            Machine::NonInviteServer(Box::new(NonInviteServer::start(now, hop, self.timers, arrival.bytes, out)))
        };
        self.hidden.clear();
        self.wheel.set(transaction.index, machine.deadline());
        self.table.insert_server(transaction, machine, key);
        Some(transaction)
    }

    /// Makes a client transaction, which sends its request at once.
    fn insert_client(
        &mut self,
        now: Instant,
        outgoing: &Outgoing<'_, D>,
        is_hidden: bool,
        out: &mut Effects<D>,
    ) -> Result<TransactionId, Error> {
        let Outgoing { request, destination, transport, timeout } = *outgoing;
        if self.table.find_client_key(request.key()).is_some() {
            return Err(Error::BranchInUse);
        }
        let transaction = self.table.next_id();
        let hop = Hop { transaction, destination, transport };
        let machine = if request.kind() == Kind::Invite {
            Machine::InviteClient(Box::new(InviteClient::start(now, hop, self.timers, timeout, request, out)))
        } else {
            Machine::NonInviteClient(Box::new(NonInviteClient::start(now, hop, self.timers, timeout, request, out)))
        };
        self.wheel.set(transaction.index, machine.deadline());
        self.table.insert_client(transaction, machine, request.key(), is_hidden);
        self.client_count = self.client_count.saturating_add(usize::from(!is_hidden));
        Ok(transaction)
    }

    /// Gives an input to a machine and does what follows from its new state.
    fn drive(&mut self, now: Instant, index: u32, input: Input<'_, D>, out: &mut Effects<D>) -> Result<(), Error> {
        let slot = self.table.get_mut(index).ok_or(Error::Gone)?;
        if slot.is_hidden {
            let result = slot.machine.handle(now, input, &mut self.hidden);
            out.extend(self.hidden.drain(..).filter(|effect| matches!(effect, Effect::Send { .. })));
            result?;
        } else {
            slot.machine.handle(now, input, out)?;
        }
        if slot.machine.state() == State::Terminated {
            self.remove(index);
            return Ok(());
        }
        self.wheel.set(index, slot.machine.deadline());
        let Machine::InviteClient(client) = &mut slot.machine else { return Ok(()) };
        let refused_forks = u64::from(client.take_refused_forks());
        self.counters.fork_limit_hits = self.counters.fork_limit_hits.wrapping_add(refused_forks);
        if let Some(cancel) = client.take_cancel() {
            let Hop { destination, transport, .. } = client.hop();
            let outgoing = Outgoing { request: &cancel, destination, transport, timeout: None };
            // Its branch is the INVITE's, and there is one CANCEL for each.
            let id = self.insert_client(now, &outgoing, true, out).ok();
            if let Some(slot) = self.table.get_mut(index) {
                slot.cancel = id;
            }
        }
        Ok(())
    }

    fn remove(&mut self, index: u32) {
        let Some(slot) = self.table.remove(index) else { return };
        self.wheel.set(index, None);
        if slot.machine.is_client() && !slot.is_hidden {
            self.client_count = self.client_count.saturating_sub(1);
        }
        // A CANCEL whose INVITE is over has nothing left to do; so there are never more of them than INVITEs.
        if let Some(cancel) = slot.cancel.and_then(|cancel| self.table.index_of(cancel).ok()) {
            self.remove(cancel);
        }
    }

    fn is_server_full(&mut self) -> bool {
        let is_full = self.table.server_count() >= self.limits.server_transactions;
        self.counters.server_limit_hits = self.counters.server_limit_hits.wrapping_add(u64::from(is_full));
        is_full
    }
}

#[cfg(test)]
#[path = "layer_tests/mod.rs"]
mod tests;
