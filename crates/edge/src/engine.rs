// SPDX-License-Identifier: Apache-2.0
//! The engine: the thread that owns all transactions and the calls journal.
//!
//! Messages that the guard let through come from the receive thread, orders from the call layer, ends of syncs and failures of connections from
//! their threads; all are taken in turns, and what a turn wants sent leaves together at its end. Orders are carried out in the order they
//! were given. A frame is written when its order is taken; if the frame has to be durable, the message that it goes with waits for
//! the disk, and with it what is ordered after it about the same Call-ID, and nothing else.

mod orders;

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use guard::{Counter, Passed, Peer, Tally, What};
use journal::Transport;
use sip::answer::{Answer, Token};
use sip::{Message, Parsed};
use transaction::{Arrival, Effect, Effects, Limits, Reason, SipTimers, Taken, TransactionId, Transactions};

use crate::bounces::Bounce;
use crate::calls::CallsJournal;
use crate::held::Held;
use crate::line::Bell;
use crate::names::{self, Names};
use crate::order::Order;
use crate::receive::{Command, QUEUE_HIGH_WATER};
use crate::shared::{Ended, Event, Shared};
use crate::trace::Kind;
use crate::way::{Outbox, Way};
use orders::{Action, extra, retry_after};

/// How often is done what nobody asks for.
const TEND_EVERY: Duration = Duration::from_millis(100);
/// Messages and orders taken in one turn, of each.
const TURN: usize = 64;
/// An INVITE that the call layer leaves without any answer for so long is answered 500: a fault of ours.
const UNANSWERED: Duration = Duration::from_mins(3);

pub(crate) struct Given {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: CallsJournal,
    /// Rings when there is something in any of the lines below, or a sync or a look-up is over.
    pub(crate) bell: Arc<Bell>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) passed: Receiver<Passed>,
    /// Requests that ICMP says did not arrive.
    pub(crate) bounced: Receiver<Bounce>,
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
    way: Way,
    branch: u64,
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
    /// Client transactions over UDP by the number of their branch.
    by_branch: HashMap<u64, TransactionId>,
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
        by_branch: HashMap::new(),
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
        if self.given.passed.is_empty() && self.given.orders.is_empty() {
            let wait = self.wait(Instant::now());
            self.given.bell.wait(wait);
        }
        let now = Instant::now();
        while let Ok(end) = self.given.journal.syncs().try_recv() {
            let through = self.given.journal.synced(&end);
            self.release(now, through);
        }
        while let Ok(connection) = self.given.closed.try_recv() {
            self.closed(now, connection);
        }
        while let Ok(found) = self.given.names.found().try_recv() {
            self.found(now, &found);
        }
        while let Ok(bounce) = self.given.bounced.try_recv() {
            self.bounced(now, bounce);
        }
        for _ in 0..TURN {
            let Ok(message) = self.given.passed.try_recv() else { break };
            self.take(now, message);
        }
        let mut is_over = false;
        for _ in 0..TURN {
            match self.given.orders.try_recv() {
                Ok(order) => self.order(now, order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    is_over = true;
                    break;
                }
            }
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
        let call_id = message.call_id().unwrap_or_default();
        self.given.shared.trace.take(Kind::Received, passed.at_us, &passed.peer, call_id, &passed.bytes);
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

    /// ICMP says that a request cannot arrive (RFC 3261 §18.4, §8.1.3.1): believed if there is such a request, and it went there.
    fn bounced(&mut self, now: Instant, bounce: Bounce) {
        let found = self.by_branch.get(&bounce.branch).copied();
        let id = found.filter(|id| {
            let way = self.clients.get(id).map(|client| client.way);
            matches!(way, Some(Way::Udp { to, .. }) if (to.ip(), to.port()) == (bounce.to.ip(), bounce.to.port()))
        });
        let mut tally = Tally::default();
        tally.add(if id.is_some() { Counter::IcmpUnreachable } else { Counter::IcmpIgnored }, 1);
        self.given.shared.commit(&tally);
        if let Some(id) = id {
            self.transactions.transport_error(now, id, &mut self.out);
            self.act(None);
        }
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
            self.waits_no_more(id, &client);
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

    fn waits_no_more(&mut self, id: TransactionId, client: &Client) {
        let Way::Stream { connection } = client.way else {
            self.by_branch.remove(&client.branch);
            return;
        };
        let Some(waiting) = self.waiting_on.get_mut(&connection) else { return };
        waiting.remove(&id);
        if waiting.is_empty() {
            self.waiting_on.remove(&connection);
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
