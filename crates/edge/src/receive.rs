// SPDX-License-Identifier: Apache-2.0
//! The receive thread: reads, judges, hands what was let through to the engine at once, and the rest to the writer.
//!
//! It owns the guard, so nothing of admission is locked. It does not wait for a slow disk: while the writer has every batch it goes on serving
//! known sources and lets strangers wait in their own kernel queue, whose drops the kernel counts.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use guard::{
    ContactId, Counter, Effects, Flow, FlowKey, Flows, Guard, Now, Packet, Passed, Peer, Scratch, Snapshot, Tally,
};
use ipnet::IpNet;
use journal::Transport;
use parking_lot::Mutex;

use crate::bounces::Bounces;
use crate::line;
use crate::shared::{Event, Shared};
use crate::steer;
use crate::stream::Arrival;
use crate::sys::{self, BATCH, Poll, Receive};
use crate::write::Desk;

/// Batches between the receive thread and the writer.
pub(crate) const BATCHES: usize = 16;
/// What may wait for the engine, and for the call layer, before new calls are put off with 503.
pub(crate) const QUEUE_HIGH_WATER: usize = 8192;
/// Most that may wait for the engine: requests inside dialogs and responses have room beside new calls.
pub(crate) const QUEUE: usize = 4 * QUEUE_HIGH_WATER;
/// Messages taken from streams per loop.
const STREAM_BATCH: usize = 64;
/// After a message of a call: time for which the threads of strangers give way to those of calls.
const CALLS_MS: u64 = 20;
/// Contacts that are looked at for steering: more than a filter has room for, and no time to speak of.
const STEERED_PHONES: usize = 4096;
/// After the disk was full: time until the next attempt to write.
const FULL_RETRY_MS: u64 = 1000;

/// At the end: how long the writer may take for what it still has.
const CLOSING: Duration = Duration::from_secs(5);

/// What an accepted REGISTER does: the number, contacts that end, contacts that come into force.
pub(crate) type Registered = (Vec<u8>, Vec<ContactId>, Vec<(FlowKey, Flow)>);

/// What the guard is told. Whoever sends one and then a message may rely on it: it is obeyed before what that message brings back is judged.
pub(crate) enum Command {
    Configure { snapshot: Arc<Snapshot>, done: Sender<u64> },
    Register(Registered),
    TakenUp { gateway_id: u32 },
    Ended { key: u64 },
    Open { tag: Vec<u8>, call_id: Vec<u8> },
    Close { tag: Vec<u8> },
    Flows { done: Sender<Vec<(FlowKey, Flow)>> },
    Stop,
}

/// Which socket of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Known,
    Phones,
    Strangers,
}

pub(crate) struct Receiving {
    pub(crate) shared: Arc<Shared>,
    pub(crate) guard: Guard,
    pub(crate) run: u32,
    pub(crate) commands: Receiver<Command>,
    pub(crate) arrivals: Receiver<Arrival>,
    pub(crate) desk: Arc<Mutex<Desk>>,
    pub(crate) returned: Receiver<Box<Effects>>,
    pub(crate) work: line::Sender<Box<Effects>>,
    pub(crate) passed: line::Sender<Passed>,
    pub(crate) bounces: Bounces,
}

/// State of the loop beside what it was given.
struct Loop {
    given: Receiving,
    receive: Receive,
    poll: Poll,
    #[expect(clippy::vec_box, reason = "a batch goes from thread to thread: one pointer, not five vectors")]
    free: Vec<Box<Effects>>,
    /// Batches that the write thread has.
    under_way: usize,
    /// For known sources while the writer has every batch.
    spare: Box<Effects>,
    /// There is one core: nobody could write while this thread reads on.
    is_alone: bool,
    next_tick_ms: u64,
    /// Phones registered, or no longer, since they were steered.
    are_phones_changed: bool,
    next_steering_ms: u64,
    /// Until then nothing is written: the disk was full.
    losing_until_ms: u64,
    last_books: Tally,
    is_stopping: bool,
}

impl Receiving {
    /// Serve until told to stop.
    pub(crate) fn serve(self) {
        // Places in the poll: the wake first, then for each listener known sources, phones and strangers (`place_of`).
        let sockets = self.shared.udp.iter().flat_map(|udp| udp.sockets().map(AsRawFd::as_raw_fd));
        let poll = Poll::new(std::iter::once(self.shared.receive_wake.as_raw_fd()).chain(sockets));
        let mut state = Loop {
            given: self,
            receive: Receive::new(),
            poll,
            free: (0..BATCHES).map(|_| Box::new(Effects::new())).collect(),
            under_way: 0,
            spare: Box::new(Effects::new()),
            is_alone: std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1),
            next_tick_ms: 0,
            are_phones_changed: true,
            next_steering_ms: 0,
            losing_until_ms: 0,
            last_books: Tally::default(),
            is_stopping: false,
        };
        while state.turn() {}
        state.close_books();
    }
}

impl Loop {
    /// One turn; false when told to stop.
    fn turn(&mut self) -> bool {
        self.take_back();
        if self.free.is_empty() {
            self.given.shared.is_starving.store(true, Ordering::SeqCst);
            // The last batch may have come back between the look and the flag.
            self.take_back();
        }
        let is_starved = self.free.is_empty();
        let now = sys::now();
        let timeout_ms = self.next_tick_ms.saturating_sub(now.ms).min(1000) as i32;
        // Strangers may sit behind a phone's address: without a batch both wait.
        let may_wait = |place: usize| place != 0 && place % 3 != place_of(0, Queue::Known);
        self.poll.wait(timeout_ms, |place| is_starved && may_wait(place));
        let now = sys::now();
        if self.poll.is_readable(0) {
            self.given.shared.receive_wake.clear();
        }
        self.obey(now);
        if self.is_stopping {
            return false;
        }
        if self.given.shared.full_from.load(Ordering::Acquire) != 0 {
            self.recover(now);
        }
        self.read_errors();
        let listeners = self.given.shared.udp.len();
        for queue in [Queue::Known, Queue::Phones] {
            for listener in 0..listeners {
                if self.poll.is_readable(place_of(listener, queue)) {
                    self.read(now, listener, queue);
                }
            }
        }
        self.take_arrivals(now);
        for listener in 0..listeners {
            if self.poll.is_readable(place_of(listener, Queue::Strangers)) {
                self.read(now, listener, Queue::Strangers);
                self.given.shared.give_way(now.ms);
            }
        }
        if now.ms >= self.next_tick_ms {
            self.tick(now);
        }
        if self.are_phones_changed && now.ms >= self.next_steering_ms {
            self.steer_phones(now);
        }
        true
    }

    fn obey(&mut self, now: Now) {
        for command in self.given.commands.try_iter() {
            // An asker that went away needs no answer.
            match command {
                Command::Configure { snapshot, done } => {
                    let version = snapshot.version;
                    steer_sources(&self.given.shared, || snapshot.gateway_networks());
                    self.given.guard.configure(snapshot);
                    let _ = done.send(version);
                }
                Command::Register(registered) => {
                    register(&mut self.given.guard.flows, &self.given.shared, now, registered);
                    self.are_phones_changed = true;
                }
                Command::TakenUp { gateway_id } => self.given.guard.taken_up(gateway_id),
                Command::Ended { key } => self.given.guard.ended(key),
                Command::Open { tag, call_id } => self.given.guard.dialogs.open(&tag, &call_id, now.ms),
                Command::Close { tag } => self.given.guard.dialogs.close(&tag),
                Command::Flows { done } => {
                    let flows = self.given.guard.flows.iter().map(|(key, flow)| (*key, flow.clone()));
                    let _ = done.send(flows.collect());
                }
                Command::Stop => self.is_stopping = true,
            }
        }
    }

    /// Take the batches that the write thread is done with.
    fn take_back(&mut self) {
        for batch in self.given.returned.try_iter() {
            self.under_way -= 1;
            self.free.push(batch);
        }
    }

    fn is_losing(&self, now: Now) -> bool {
        now.ms < self.losing_until_ms
    }

    /// The disk refused a batch. Once every batch is home, number again from the first frame that was lost.
    fn recover(&mut self, now: Now) {
        self.take_back();
        if self.under_way == 0 {
            let first_lost = self.given.shared.full_from.swap(0, Ordering::AcqRel);
            self.given.guard.resume_at(first_lost);
            self.losing_until_ms = now.ms + FULL_RETRY_MS;
        }
    }

    /// Errors are told of strangers' sockets too while these are not read, and again until they are taken.
    fn read_errors(&mut self) {
        let shared = &self.given.shared;
        for (place, socket) in shared.udp.iter().flat_map(crate::shared::UdpListener::sockets).enumerate() {
            if self.poll.has_error(1 + place) {
                self.given.bounces.read(shared, socket);
            }
        }
    }

    fn read(&mut self, now: Now, listener: usize, queue: Queue) {
        let Some(udp) = self.given.shared.udp.get(listener) else {
            return;
        };
        let (address, is_wildcard) = (udp.address, udp.is_wildcard());
        let socket = match queue {
            Queue::Known => &udp.known,
            Queue::Phones => &udp.phones,
            Queue::Strangers => &udp.strangers,
        };
        let count = match self.receive.read(socket, is_wildcard) {
            Ok(count) => count,
            Err(error) => {
                self.given.shared.tell(Event::Trouble(format!("cannot read from udp:{address}: {error}")));
                return;
            }
        };
        if count == 0 {
            return;
        }
        // What was ordered before these came is in force for them: a dialog is open before its first message leaves.
        self.obey(now);
        let mut effects = self.batch();
        self.open(now);
        let mut scratch = Scratch::default();
        for i in 0..count {
            let Some((bytes, source, local)) = self.receive.datagram(i) else {
                continue;
            };
            let local = local.map_or(address, |ip| SocketAddr::new(ip, address.port()));
            let peer = Peer { source, local, transport: Transport::Udp, channel: listener as u64 };
            self.given.guard.judge(now, &Packet { bytes, peer }, &mut scratch, &mut effects);
        }
        drop(scratch);
        self.given.guard.finish(now, &mut effects);
        self.pass_on(now, effects, self.is_alone || count < BATCH);
    }

    fn take_arrivals(&mut self, now: Now) {
        let arrivals: Vec<Arrival> = self.given.arrivals.try_iter().take(STREAM_BATCH).collect();
        if arrivals.is_empty() {
            return;
        }
        self.obey(now);
        let mut effects = self.batch();
        self.open(now);
        for Arrival { peer, bytes } in arrivals {
            let packet = Packet { bytes: &bytes, peer };
            if bytes.is_empty() {
                self.given.guard.judge_empty_connection(now, &packet, &mut effects);
            } else {
                self.given.guard.judge(now, &packet, &mut Scratch::default(), &mut effects);
            }
        }
        if !self.given.arrivals.is_empty() {
            self.given.shared.receive_wake.wake();
        }
        self.given.guard.finish(now, &mut effects);
        let is_short = self.is_alone || self.given.arrivals.is_empty();
        self.pass_on(now, effects, is_short);
    }

    fn open(&mut self, now: Now) {
        let longest = self.given.shared.events.len().max(self.given.passed.len());
        self.given.guard.set_overloaded(longest > QUEUE_HIGH_WATER);
        self.given.guard.begin(now);
    }

    fn batch(&mut self) -> Box<Effects> {
        self.free.pop().unwrap_or_else(|| std::mem::replace(&mut self.spare, Box::new(Effects::new())))
    }

    /// What was let through goes to the engine now, frames and answers to the desk: by this thread's own hand if nothing else
    /// waits for it (`is_short`), no other batch is under way and the disk is quick.
    fn pass_on(&mut self, now: Now, mut effects: Box<Effects>, is_short: bool) {
        let shared = Arc::clone(&self.given.shared);
        let is_of_calls = !effects.passed.is_empty();
        for passed in effects.passed.drain(..) {
            // Overload sets in long before the queue is full; should it be, the far end repeats its message.
            if let Err(refused) = self.given.passed.put(passed) {
                self.given.guard.undo(&refused.into_inner());
                effects.tally.add(Counter::QueueFull, 1);
            }
        }
        if is_of_calls {
            shared.calls_until_ms.store(now.ms + CALLS_MS, Ordering::Relaxed);
            self.given.passed.ring();
        }
        let can_write = !self.is_losing(now) && shared.full_from.load(Ordering::Acquire) == 0;
        // The spare is not counted among the batches: its frames wait for none of them only if the writer has room.
        if effects.unit.is_empty() {
            shared.commit(&effects.tally);
        } else if can_write && is_short && self.write(now, &mut effects) {
            // Written, answered and emptied.
        } else if can_write {
            match self.given.work.try_send(effects) {
                Ok(()) => {
                    self.under_way += 1;
                    return;
                }
                Err(refused) => {
                    effects = refused.into_inner();
                    self.lose(&mut effects);
                }
            }
        } else {
            self.lose(&mut effects);
        }
        effects.clear();
        if self.free.len() + self.under_way < BATCHES {
            self.free.push(effects);
        }
    }

    /// Write and answer a batch here; false if that must be left to the write thread.
    fn write(&mut self, now: Now, effects: &mut Box<Effects>) -> bool {
        // Frames are numbered when they are judged: a batch may not overtake another.
        let desk = if self.under_way == 0 { self.given.desk.try_lock() } else { None };
        let Some(mut desk) = desk.filter(|desk| !desk.is_slow(now.ms)) else {
            return false;
        };
        desk.write(std::slice::from_mut(effects));
        true
    }

    /// What this batch recorded cannot be written: it was never numbered, nor answered.
    fn lose(&mut self, effects: &mut Effects) {
        if let Some(first) = effects.unit.first_seq() {
            self.given.guard.resume_at(first);
        }
        effects.tally.lose();
        self.given.shared.commit(&effects.tally);
    }

    fn tick(&mut self, now: Now) {
        self.next_tick_ms = now.ms + 1000;
        let shared = Arc::clone(&self.given.shared);
        self.given.bounces.tick(&shared);
        let mut given_up = Tally::default();
        self.given.guard.give_up_waiting(now, &mut given_up);
        shared.commit(&given_up);
        let total = |socket: fn(&crate::shared::UdpListener) -> &socket2::Socket| -> u64 {
            shared.udp.iter().map(|udp| sys::dropped(socket(udp))).sum()
        };
        let books = {
            let mut books = shared.books.lock();
            books.set(Counter::DropsStrangers, total(|udp| &udp.strangers));
            books.set(Counter::DropsKnown, total(|udp| &udp.known) + total(|udp| &udp.phones));
            books.clone()
        };
        self.write_books(now, books);
        let memory_us = self.given.guard.snapshot().parameters.rf_registration_memory_days * 86_400_000_000;
        self.are_phones_changed |= self.given.guard.flows.expire(now.utc_us, memory_us);
        shared.registered.lock().retain(|_, until_us| *until_us > now.utc_us);
    }

    /// Give phones a queue apart from strangers', once a second at most.
    fn steer_phones(&mut self, now: Now) {
        self.are_phones_changed = false;
        self.next_steering_ms = now.ms + 1000;
        let flows = self.given.guard.flows.iter();
        let live = flows.filter(|(key, flow)| key.transport == Transport::Udp && flow.expires_at_us > now.utc_us);
        let mut phones: Vec<IpAddr> = live.map(|(key, _)| key.source.ip()).take(STEERED_PHONES).collect();
        phones.sort_unstable();
        phones.dedup();
        if phones == *self.given.shared.phones.lock() {
            return;
        }
        *self.given.shared.phones.lock() = phones;
        let snapshot = Arc::clone(self.given.guard.snapshot());
        steer_sources(&self.given.shared, || snapshot.gateway_networks());
    }

    /// A `books` frame, unless nothing has changed since the last one.
    fn write_books(&mut self, now: Now, books: Tally) {
        let is_idle = [Counter::Read, Counter::IllegalCalls, Counter::DropsStrangers, Counter::DropsKnown]
            .into_iter()
            .all(|counter| books.get(counter) == self.last_books.get(counter));
        if !is_idle && !self.is_losing(now) && !self.free.is_empty() {
            let mut effects = self.batch();
            self.given.guard.push_books(now, &mut effects, self.given.run, books.values());
            self.last_books = books;
            self.pass_on(now, effects, true);
        }
    }

    /// The run's last frame: the books once every batch before it is written.
    fn close_books(&mut self) {
        while self.under_way > 0 {
            match self.given.returned.recv_timeout(CLOSING) {
                Ok(batch) => {
                    self.under_way -= 1;
                    self.free.push(batch);
                }
                Err(_) => return,
            }
        }
        let books = self.given.shared.books.lock().clone();
        self.write_books(sys::now(), books);
    }
}

/// Do to the table what an accepted REGISTER does.
fn register(flows: &mut Flows, shared: &Shared, now: Now, (number, ended, bound): Registered) {
    let mut registered = shared.registered.lock();
    for key in ended.iter().flat_map(|id| flows.unbind(&number, id)) {
        registered.remove(&key);
    }
    for (key, flow) in bound {
        let until_us = flow.expires_at_us;
        for other in flows.bind(key, flow, now.utc_us) {
            registered.remove(&other);
        }
        if key.transport != Transport::Udp {
            let longest_us = registered.entry(key).or_insert(until_us);
            *longest_us = until_us.max(*longest_us);
        }
    }
}

/// Where a socket stands in the poll.
const fn place_of(listener: usize, queue: Queue) -> usize {
    1 + 3 * listener + queue as usize
}

/// Put the steering filter for gateways, those that calls go to, and phones on every UDP address.
pub(crate) fn steer_sources(shared: &Shared, gateways: impl FnOnce() -> Vec<IpNet>) {
    // Held until the filter is in place: the one that is made last is of what is in force then.
    let answering = shared.answering.lock();
    let mut networks = gateways();
    networks.extend_from_slice(&answering);
    let phones = shared.phones.lock().clone();
    for udp in &shared.udp {
        let program = steer::filter(&networks, &phones, udp.address.is_ipv6());
        if let Err(error) = sys::attach_filter(&udp.strangers, &program) {
            let address = udp.address;
            shared.tell(Event::Trouble(format!(
                "known sources and phones share strangers' queue on udp:{address}: the kernel refused the steering filter ({error})"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::sys::Poll;

    #[test]
    fn gateways_and_those_that_calls_go_to_have_a_queue_of_their_own_and_phones_another() {
        let shared = Shared::on_loopback(1 << 16);
        shared.answering.lock().push("127.0.0.9/32".parse().unwrap());
        shared.phones.lock().extend(["127.0.0.10", "127.0.0.17"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        steer_sources(&shared, || vec!["127.0.0.16/28".parse().unwrap()]);
        let udp = &shared.udp[0];
        let address = udp.known.local_addr().unwrap().as_socket().unwrap();
        for (source, expected) in [
            ("127.0.0.9", Queue::Known),
            ("127.0.0.17", Queue::Known),
            ("127.0.0.8", Queue::Strangers),
            ("127.0.0.10", Queue::Phones),
            ("127.0.0.11", Queue::Strangers),
            ("127.0.0.32", Queue::Strangers),
        ] {
            UdpSocket::bind((source, 0)).unwrap().send_to(b"x", address).unwrap();
            let wake = std::iter::once(shared.receive_wake.as_raw_fd());
            let mut poll = Poll::new(wake.chain(udp.sockets().map(AsRawFd::as_raw_fd)));
            poll.wait(5000, |_| false);
            for queue in [Queue::Known, Queue::Phones, Queue::Strangers] {
                assert_eq!(poll.is_readable(place_of(0, queue)), queue == expected, "{source}: {queue:?}");
            }
            assert_eq!(sys::Receive::new().read(udp.sockets()[expected as usize], false).unwrap(), 1);
        }
    }
}
