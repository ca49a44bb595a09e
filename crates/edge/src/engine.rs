// SPDX-License-Identifier: Apache-2.0
//! The engine: the thread that owns all transactions and the calls journal.
//!
//! Messages that the guard let through come from the receive thread, orders from the call layer, ends of syncs and failures of connections from
//! their threads; all are taken in turns, and what a turn wants sent leaves together at its end. Orders are carried out in the order they
//! were given. A frame is written when its order is taken; if the frame has to be durable, the message that it goes with waits for
//! the disk, and with it what is ordered after it about the same Call-ID, and nothing else.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use guard::{Counter, Passed, Peer, Standing, Tally, What};
use journal::Transport;
use sip::answer::{Answer, ExtraHeader, Token};
use sip::{Message, Parsed};
use transaction::{Arrival, Effect, Effects, Limits, Outgoing, Reason, SipTimers, Taken, TransactionId, Transactions};

use crate::calls::{self, CallsJournal};
use crate::held::Held;
use crate::names::{self, Names};
use crate::order::{Binding, Frame, HeaderLine, Host, Order, Ready, Respond};
use crate::receive::{Command, QUEUE_HIGH_WATER};
use crate::shared::{Ended, Event, Shared};
use crate::way::{Outbox, Way};

/// How often is done what nobody asks for.
const TEND_EVERY: Duration = Duration::from_millis(100);
/// Messages and orders taken in one turn, of each.
const TURN: usize = 64;
/// An INVITE that the call layer leaves without any answer for so long is answered 500: a fault of ours.
const UNANSWERED: Duration = Duration::from_mins(3);

pub(crate) struct Given {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: CallsJournal,
    pub(crate) orders: Receiver<Order>,
    pub(crate) passed: Receiver<Passed>,
    /// Connections that transactions used and that are gone.
    pub(crate) closed: Receiver<u64>,
    pub(crate) commands: Sender<Command>,
    pub(crate) timers: SipTimers,
    pub(crate) names: Names,
}

/// A request that the call layer has to answer.
struct Server {
    number: u64,
    passed: Arc<Passed>,
    is_taken_up: bool,
}

/// A request of ours.
struct Client {
    number: u64,
    is_invite: bool,
    is_flow: bool,
    connection: Option<u64>,
    heard: Heard,
}

/// The final response of a client transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Success,
    Failure,
}

/// A transaction by the number that the call layer knows.
struct Known {
    /// Hash of its Call-ID.
    call: u64,
    /// None while its request waits to be sent.
    id: Option<TransactionId>,
}

/// The part of an order that sends.
enum Action {
    Respond { transaction: u64, status: u16, headers: Vec<HeaderLine>, body: Vec<u8>, tag: Vec<u8> },
    Send { transaction: u64, ready: Box<Ready> },
    Acknowledge { transaction: u64, ready: Box<Ready> },
    Cancel { transaction: u64, headers: Vec<HeaderLine> },
}

struct Engine {
    given: Given,
    transactions: Transactions<Way>,
    out: Effects<Way>,
    outbox: Outbox,
    servers: HashMap<TransactionId, Server>,
    clients: HashMap<TransactionId, Client>,
    numbers: HashMap<u64, Known>,
    held: Held<Action>,
    /// By call: what waits for the address of a name, and what was ordered after it.
    parked: HashMap<u64, VecDeque<Action>>,
    /// The calls that wait for a name.
    waiting_for: HashMap<names::Name, Vec<u64>>,
    call_hash: RandomState,
    /// Connections that calls came on, by our tag of the call.
    engaged: HashMap<Vec<u8>, u64>,
    /// Client transactions that wait for an answer on a connection.
    waiting_on: HashMap<u64, HashSet<TransactionId>>,
    /// INVITEs in the order of the time when they are answered 500.
    unanswered: VecDeque<(Instant, u64)>,
    next_tend: Instant,
    has_told: bool,
}

/// Serve until the call layer is gone and its last order is carried out.
pub(crate) fn serve(given: Given) {
    let now = Instant::now();
    let outbox = Outbox::new(Arc::clone(&given.shared));
    let mut engine = Engine {
        transactions: Transactions::new(now, given.timers, Limits::default()),
        given,
        out: Effects::new(),
        outbox,
        servers: HashMap::new(),
        clients: HashMap::new(),
        numbers: HashMap::new(),
        held: Held::default(),
        parked: HashMap::new(),
        waiting_for: HashMap::new(),
        call_hash: RandomState::new(),
        engaged: HashMap::new(),
        waiting_on: HashMap::new(),
        unanswered: VecDeque::new(),
        next_tend: now,
        has_told: false,
    };
    while engine.turn() {}
    engine.finish();
}

impl Engine {
    /// One turn; false when the call layer is gone.
    fn turn(&mut self) -> bool {
        let (orders, passed) = (self.given.orders.clone(), self.given.passed.clone());
        let (syncs, closed) = (self.given.journal.syncs(), self.given.closed.clone());
        let found = self.given.names.found();
        let wait = self.wait(Instant::now());
        let mut is_over = false;
        select! {
            recv(orders) -> order => match order {
                Ok(order) => self.order(Instant::now(), order),
                Err(_) => is_over = true,
            },
            recv(passed) -> message => match message {
                Ok(message) => self.take(Instant::now(), message),
                // The receive thread is gone: orders end soon.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            },
            recv(syncs) -> end => if let Ok(end) = end {
                let through = self.given.journal.synced(&end);
                self.release(Instant::now(), through);
            },
            recv(closed) -> connection => if let Ok(connection) = connection {
                self.closed(Instant::now(), connection);
            },
            recv(found) -> found => if let Ok(found) = found {
                self.found(Instant::now(), &found);
            },
            default(wait) => {}
        }
        let now = Instant::now();
        for message in passed.try_iter().take(TURN) {
            self.take(now, message);
        }
        for order in orders.try_iter().take(TURN) {
            self.order(now, order);
        }
        self.transactions.fire(now, &mut self.out);
        self.act(None);
        if now >= self.next_tend {
            self.next_tend = now + TEND_EVERY;
            self.given.journal.tend();
            self.answer_forgotten(now);
        }
        self.flush(now);
        let is_awaited = !self.held.is_empty();
        self.given.journal.durable().pump(is_awaited);
        !is_over
    }

    fn wait(&mut self, now: Instant) -> Duration {
        let timer = self.transactions.next_deadline().map_or(TEND_EVERY, |at| at.saturating_duration_since(now));
        let sync = self.given.journal.durable().wait().unwrap_or(TEND_EVERY);
        timer.min(sync).min(self.next_tend.saturating_duration_since(now))
    }

    /// Everything ordered is written and sent before the thread ends.
    fn finish(&mut self) {
        for end in self.given.journal.durable().finish() {
            let through = self.given.journal.synced(&end);
            self.release(Instant::now(), through);
        }
        self.flush(Instant::now());
    }

    // --- messages ---

    fn take(&mut self, now: Instant, passed: Passed) {
        let passed = Arc::new(passed);
        let Parsed::Message(message) = sip::parse(&passed.bytes) else { return };
        if passed.what == What::Response {
            self.transactions.receive_response(now, &message, &passed.bytes, &mut self.out);
            self.act(Some(&passed));
            return;
        }
        let Ok(tag) = Token::new(&passed.local_tag) else { return };
        let is_udp = passed.peer.transport == Transport::Udp;
        let arrival = Arrival {
            bytes: &passed.bytes,
            source: passed.peer.source,
            reply_to: Way::back(&passed.peer),
            transport: if is_udp { transaction::Transport::Unreliable } else { transaction::Transport::Reliable },
            tag,
            has_trying: true,
        };
        let taken = self.transactions.receive_request(now, &message, &arrival, &mut self.out);
        match (taken, &passed.what) {
            (Taken::New(id), What::Request(_)) => self.begin(now, id, &passed, &message),
            (Taken::New(id), _) => {
                // It could not be taken the first time; the sender may try again with a new one.
                let retry = [retry_after()];
                let extra: Vec<_> = retry.iter().filter_map(extra).collect();
                let answer = Answer::new(503, passed.peer.source).with_tag(tag).with_extra(&extra);
                self.out.retain(|effect| !matches!(effect, Effect::ToUser { .. }));
                let _ = self.transactions.respond(now, id, &answer, &message, &mut self.out);
            }
            (taken, What::Request(standing)) => {
                if taken == Taken::Full {
                    let retry = [retry_after()];
                    let extra: Vec<_> = retry.iter().filter_map(extra).collect();
                    let mut bytes = Vec::with_capacity(512);
                    let answer = Answer::new(503, passed.peer.source).with_tag(tag).with_extra(&extra);
                    answer.write(&message, &mut bytes);
                    self.outbox.push(Way::back(&passed.peer), bytes.into(), None);
                }
                self.taken_up(standing);
                if taken != Taken::Repeated && passed.key != 0 {
                    self.command(Command::Ended { key: passed.key });
                }
            }
            _ => {}
        }
        self.act(Some(&passed));
    }

    fn begin(&mut self, now: Instant, id: TransactionId, passed: &Arc<Passed>, message: &Message<'_>) {
        let number = self.given.shared.next_transaction.fetch_add(1, Ordering::Relaxed);
        let call = self.call_hash.hash_one(message.call_id().unwrap_or_default());
        self.numbers.insert(number, Known { call, id: Some(id) });
        self.servers.insert(id, Server { number, passed: Arc::clone(passed), is_taken_up: false });
        if passed.key != 0 {
            self.unanswered.push_back((now + UNANSWERED, number));
        }
    }

    /// Requests that wait for an answer on a connection that is gone wait in vain (RFC 3261 §8.1.3.1).
    fn closed(&mut self, now: Instant, connection: u64) {
        for id in self.waiting_on.remove(&connection).unwrap_or_default() {
            self.transactions.transport_error(now, id, &mut self.out);
        }
        self.act(None);
    }

    // --- what the transactions want ---

    /// Do what the transactions want; `passed` is the message that made them want it.
    fn act(&mut self, passed: Option<&Arc<Passed>>) {
        let mut out = std::mem::take(&mut self.out);
        for effect in out.drain(..) {
            match effect {
                Effect::Send { transaction, bytes, destination } => {
                    self.outbox.push(destination, bytes, Some(transaction));
                }
                Effect::ToUser { transaction, event } => self.told(transaction, event, passed),
                Effect::Terminated { transaction, reason } => self.terminated(transaction, reason),
            }
        }
        // Nothing that is done for an effect leads to another one.
        self.out = out;
    }

    fn told(&mut self, id: TransactionId, event: transaction::Event, passed: Option<&Arc<Passed>>) {
        use transaction::Event as Said;
        let server = self.servers.get(&id).map(|server| server.number);
        match (event, server, passed) {
            (Said::Request { .. }, Some(transaction), Some(passed)) => {
                self.tell(Event::Request { transaction, passed: Arc::clone(passed) });
            }
            (Said::Ack { bytes }, Some(transaction), _) => self.tell(Event::Ack { transaction, bytes }),
            (Said::Cancel { bytes }, Some(transaction), _) => self.tell(Event::Cancel { transaction, bytes }),
            (Said::Response { status, bytes }, _, Some(passed)) => {
                let Some(client) = self.clients.get_mut(&id) else { return };
                match status {
                    ..200 => {}
                    200..300 => client.heard = Heard::Success,
                    _ => client.heard = Heard::Failure,
                }
                // Whatever a far end sends, the queue stays short; a call can do without one provisional response.
                if status < 200 && self.given.shared.events.len() > QUEUE_HIGH_WATER {
                    let mut tally = Tally::default();
                    tally.add(Counter::QueueFull, 1);
                    self.given.shared.commit(&tally);
                    return;
                }
                let (transaction, is_flow) = (client.number, client.is_flow);
                self.tell(Event::Response { transaction, bytes, came: passed.peer, is_flow });
            }
            // An answer that could not be sent is missed by its far end, which says so by its silence.
            _ => {}
        }
    }

    fn terminated(&mut self, id: TransactionId, reason: Reason) {
        if let Some(server) = self.servers.remove(&id) {
            self.numbers.remove(&server.number);
            if let (What::Request(standing), false) = (&server.passed.what, server.is_taken_up) {
                self.taken_up(standing);
            }
            if server.passed.key != 0 {
                self.command(Command::Ended { key: server.passed.key });
            }
            if reason == Reason::SuccessNotAcknowledged {
                self.tell(Event::Ended { transaction: server.number, why: Ended::NoAck });
            }
        } else if let Some(client) = self.clients.remove(&id) {
            self.numbers.remove(&client.number);
            if let Some(connection) = client.connection
                && let Some(waiting) = self.waiting_on.get_mut(&connection)
            {
                waiting.remove(&id);
                if waiting.is_empty() {
                    self.waiting_on.remove(&connection);
                }
            }
            let why = match (client.heard, reason) {
                (Heard::Success, _) if client.is_invite => Ended::Over,
                (Heard::Success | Heard::Failure, _) => return,
                (Heard::Nothing, Reason::TransportError) => Ended::Transport,
                (Heard::Nothing, Reason::CancelUnanswered) => Ended::CancelUnanswered,
                (Heard::Nothing, _) => Ended::NoResponse,
            };
            self.tell(Event::Ended { transaction: client.number, why });
        }
    }

    // --- orders ---

    fn order(&mut self, now: Instant, order: Order) {
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
        let Respond { transaction, mut status, mut headers, mut body, tag, frame, binding } = respond;
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
        let is_written = match (&frame, &binding) {
            (Some(frame), _) => self.given.journal.frame(frame),
            (None, Some(binding)) => self.given.journal.binding(&passed, binding),
            (None, None) if status >= 200 => self.given.journal.answered(&passed),
            (None, None) => true,
        };
        if is_written {
            if let Some(binding) = binding {
                self.bind(&passed, binding);
            }
        } else if passed.key != 0 || binding.is_some() {
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

    fn bind(&mut self, passed: &Passed, binding: Binding) {
        let What::Request(Standing::Phone { number, .. }) = &passed.what else { return };
        match binding {
            Binding::Bind { contact, expires_s } => {
                if let Some((key, flow)) = calls::flow_of(passed, contact, expires_s) {
                    self.command(Command::Bind { key, flow: Box::new(flow) });
                }
            }
            Binding::Remove { contact } => self.command(Command::Unbind { number: number.clone(), contact }),
        }
    }

    fn hold_or_do(&mut self, now: Instant, call: u64, is_durable: bool, action: Action) {
        let seq = is_durable.then(|| self.given.journal.durable().last());
        if let Some(action) = self.held.hold_or_give(call, seq, action) {
            self.perform(now, call, action);
        }
    }

    fn release(&mut self, now: Instant, through: u64) {
        while let Some((call, action)) = self.held.pop(through) {
            self.perform(now, call, action);
        }
    }

    /// A name was looked up: what waited for it goes on.
    fn found(&mut self, now: Instant, found: &names::Found) {
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
                let connection = match way {
                    Way::Stream { connection } => Some(connection),
                    Way::Udp { .. } => None,
                };
                if let Some(connection) = connection {
                    self.waiting_on.entry(connection).or_default().insert(id);
                }
                if let Some(known) = self.numbers.get_mut(&transaction) {
                    known.id = Some(id);
                }
                let client = Client {
                    number: transaction,
                    is_invite: ready.is_invite,
                    is_flow: ready.goal.is_flow,
                    connection,
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

    fn id_of(&self, transaction: u64) -> Option<TransactionId> {
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

    fn taken_up(&mut self, standing: &Standing) {
        if let Standing::Gateway { id } = standing {
            self.command(Command::TakenUp { gateway_id: *id });
        }
    }

    /// INVITEs of which the call layer says nothing at all.
    fn answer_forgotten(&mut self, now: Instant) {
        while let Some((_, transaction)) = self.unanswered.pop_front_if(|(at, _)| *at <= now) {
            let is_forgotten =
                self.id_of(transaction).and_then(|id| self.servers.get(&id)).is_some_and(|server| !server.is_taken_up);
            if is_forgotten {
                self.respond(now, Respond { transaction, status: 500, ..Respond::default() });
            }
        }
    }

    // --- what leaves ---

    /// Send what the turn wants sent. What the kernel refuses ends its transaction.
    fn flush(&mut self, now: Instant) {
        for id in self.outbox.flush() {
            self.transactions.transport_error(now, id, &mut self.out);
        }
        self.act(None);
        if std::mem::take(&mut self.has_told) {
            self.given.shared.events_wake.wake();
        }
    }

    fn tell(&mut self, event: Event) {
        // Only a stopped edge has no reader.
        let _ = self.given.shared.events.send(event);
        self.has_told = true;
    }

    /// The receive thread obeys before it judges what it reads next, so it need not be woken for this.
    fn command(&mut self, command: Command) {
        let _ = self.given.commands.send(command);
    }
}

fn retry_after() -> HeaderLine {
    ("Retry-After".into(), b"10".to_vec())
}

/// Orders are checked when they are given, so none is left out.
fn extra(line: &HeaderLine) -> Option<ExtraHeader<'_>> {
    ExtraHeader::new(&line.0, &line.1).ok()
}

impl Way {
    /// To whom a message came from.
    fn back(peer: &Peer) -> Self {
        match peer.transport {
            Transport::Udp => {
                Self::Udp { listener: peer.channel as usize, to: peer.source, from: Some(peer.local.ip()) }
            }
            _ => Self::Stream { connection: peer.channel },
        }
    }
}
