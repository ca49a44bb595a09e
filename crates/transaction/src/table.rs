// SPDX-License-Identifier: Apache-2.0
//! The live transactions, and the four ways to find one: as server by its request, as client by a response, by the call, by the ACK of a
//! 2xx.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use sip::{HeaderName, Message, Method};
use slab::Slab;

use crate::error::Error;
use crate::key::{Key, KeyBuffer, write_success};
use crate::machine::TransactionId;
use crate::slot::{Machine, Slot, Success};

/// All slots, by index.
#[derive(Clone, Debug)]
pub(crate) struct Table<D> {
    pub(crate) slots: Slab<Slot<D>>,
    serial: u32,
    server_count: usize,
    /// `SipHash` with keys of this process: branches are chosen by strangers.
    hasher: RandomState,
    servers: Index,
    clients: Index,
    /// Requests without a To tag by their call part (RFC 3261 §8.2.2.2).
    calls: Index,
    /// Accepted INVITEs by what the ACK of a 2xx has.
    successes: Index,
    /// Of the message that was looked for last.
    key: KeyBuffer,
    success: Vec<u8>,
}

impl<D: Copy> Table<D> {
    /// An empty table with memory for so many.
    pub(crate) fn with_capacity(servers: usize, clients: usize) -> Self {
        Self {
            slots: Slab::with_capacity(servers.saturating_add(clients)),
            serial: 0,
            server_count: 0,
            hasher: RandomState::new(),
            servers: Index::with_capacity(servers),
            clients: Index::with_capacity(clients),
            calls: Index::with_capacity(servers),
            successes: Index::with_capacity(servers),
            key: KeyBuffer::default(),
            success: Vec::new(),
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Slot<D>> {
        self.slots.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Slot<D>> {
        self.slots.get_mut(index as usize)
    }

    pub(crate) const fn server_count(&self) -> usize {
        self.server_count
    }

    pub(crate) fn client_count(&self) -> usize {
        self.slots.len().saturating_sub(self.server_count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let indexes = [&self.servers, &self.clients, &self.calls, &self.successes];
        self.slots.is_empty() && indexes.iter().all(|index| index.0.is_empty())
    }

    /// The id of what is inserted next.
    pub(crate) fn next_id(&mut self) -> TransactionId {
        self.serial = self.serial.wrapping_add(1);
        TransactionId { index: self.slots.vacant_key() as u32, serial: self.serial }
    }

    pub(crate) fn index_of(&self, id: TransactionId) -> Result<u32, Error> {
        match self.get(id.index) {
            Some(slot) if slot.serial == id.serial => Ok(id.index),
            _ => Err(Error::Gone),
        }
    }

    /// What a request will be found by. A hidden one is no request of the user's that another could be merged with. None: it lacks
    /// something, which the parser does not let pass.
    pub(crate) fn server_key(&mut self, request: &Message<'_>, is_hidden: bool) -> Option<ServerKey> {
        self.key.read(request, request.method()?)?;
        let has_to_tag = request.to().ok()?.tag().is_some();
        let call_hash = (!is_hidden && !has_to_tag).then(|| self.hasher.hash_one(self.key.call()));
        Some(ServerKey {
            key: self.key.to_key(),
            hash: self.hasher.hash_one(self.key.as_bytes()),
            call_hash,
            is_hidden,
        })
    }

    /// Puts a server where `next_id` said.
    pub(crate) fn insert_server(&mut self, id: TransactionId, machine: Machine<D>, key: ServerKey) {
        let ServerKey { key, hash, call_hash, is_hidden } = key;
        self.servers.insert(hash, id.index);
        if let Some(hash) = call_hash {
            self.calls.insert(hash, id.index);
        }
        self.server_count = self.server_count.saturating_add(1);
        self.slots.insert(Slot { call_hash, ..Slot::new(id.serial, machine, key, hash, is_hidden) });
    }

    /// Puts a client where `next_id` said.
    pub(crate) fn insert_client(&mut self, id: TransactionId, machine: Machine<D>, key: &Key, is_hidden: bool) {
        let hash = self.hasher.hash_one(key.as_bytes());
        self.clients.insert(hash, id.index);
        self.slots.insert(Slot::new(id.serial, machine, key.clone(), hash, is_hidden));
    }

    /// Notes what the ACK of a 2xx of ours will have (RFC 3261 §13.2.2.4).
    pub(crate) fn expect_ack(&mut self, index: u32, request: &Message<'_>, to_tag: &[u8]) -> Option<()> {
        let (from, cseq) = (request.from().ok()?, request.cseq().ok()?);
        let from_tag = from.tag().unwrap_or_default();
        write_success(request.call_id()?, cseq.number, from_tag, to_tag, &mut self.success);
        let hash = self.hasher.hash_one(self.success.as_slice());
        if self.find_success_key(hash).is_some() {
            // The same CSeq twice in a dialog: the ACK counts for the first. No number of them makes a chain in the index.
            return None;
        }
        let slot = self.slots.get_mut(index as usize)?;
        slot.success = Some(Box::new(Success { hash, bytes: self.success.as_slice().into() }));
        self.successes.insert(hash, index);
        Some(())
    }

    /// Takes a slot out, with all ways to find it.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Slot<D>> {
        let slot = self.slots.try_remove(index as usize)?;
        if slot.machine.is_client() {
            self.clients.remove(slot.hash, index);
        } else {
            self.servers.remove(slot.hash, index);
            self.server_count = self.server_count.saturating_sub(1);
        }
        if let Some(hash) = slot.call_hash {
            self.calls.remove(hash, index);
        }
        if let Some(success) = &slot.success {
            self.successes.remove(success.hash, index);
        }
        Some(slot)
    }

    /// The server transaction that this message would be the request of, if it had that method.
    pub(crate) fn find_server(&mut self, message: &Message<'_>, method: Method<'_>) -> Option<u32> {
        self.key.read(message, method)?;
        let hash = self.hasher.hash_one(self.key.as_bytes());
        self.servers.find(hash, |index| self.get(index).is_some_and(|slot| slot.key.is(&self.key)))
    }

    /// Whether a server transaction is that of this request.
    pub(crate) fn is_request_of(&mut self, index: u32, request: &Message<'_>) -> bool {
        let is_read = request.method().and_then(|method| self.key.read(request, method)).is_some();
        is_read && self.get(index).is_some_and(|slot| slot.key.is(&self.key))
    }

    /// The live transaction of a request that came on another way (RFC 3261 §8.2.2.2), and whether its branch is the same.
    pub(crate) fn find_call(&mut self, request: &Message<'_>) -> Option<(u32, bool)> {
        self.key.read(request, request.method()?)?;
        let hash = self.hasher.hash_one(self.key.call());
        let index = self.calls.find(hash, |index| self.get(index).is_some_and(|slot| slot.key.is_call(&self.key)))?;
        Some((index, self.get(index)?.key.is_branch(&self.key)))
    }

    /// The INVITE server that an ACK names by its branch. RFC 3261 §17.2.3: without the cookie its To tag is that of our response, which is that
    /// of the INVITE only inside a dialog.
    pub(crate) fn find_acknowledged(&mut self, ack: &Message<'_>) -> Option<u32> {
        if let Some(index) = self.find_server(ack, Method::Invite) {
            return Some(index);
        }
        let to = ack.to().ok()?;
        if !self.key.clear_to_tag() {
            return None;
        }
        let hash = self.hasher.hash_one(self.key.as_bytes());
        let index = self.servers.find(hash, |index| self.get(index).is_some_and(|slot| slot.key.is(&self.key)))?;
        let Machine::InviteServer(server) = &self.get(index)?.machine else { return None };
        server.has_answered_with(to.tag().unwrap_or_default()).then_some(index)
    }

    /// The INVITE server whose 2xx an ACK is for.
    pub(crate) fn find_success(&mut self, ack: &Message<'_>) -> Option<u32> {
        let (from, to, cseq) = (ack.from().ok()?, ack.to().ok()?, ack.cseq().ok()?);
        let (from_tag, to_tag) = (from.tag().unwrap_or_default(), to.tag().unwrap_or_default());
        write_success(ack.call_id()?, cseq.number, from_tag, to_tag, &mut self.success);
        self.find_success_key(self.hasher.hash_one(self.success.as_slice()))
    }

    /// The slot that has the bytes in `success`.
    fn find_success_key(&self, hash: u64) -> Option<u32> {
        self.successes.find(hash, |index| {
            let success = self.get(index).and_then(|slot| slot.success.as_ref());
            success.is_some_and(|success| *success.bytes == *self.success)
        })
    }

    /// The client transaction of a response (RFC 3261 §17.1.3). A response with a second Via is for somebody else (§8.1.3.3).
    pub(crate) fn find_client(&mut self, response: &Message<'_>) -> Option<u32> {
        let is_only_via = response.all(HeaderName::Via).nth(1).is_none() && response.via_top().ok()?.rest().is_none();
        let method = response.cseq().ok()?.method;
        if !is_only_via || response.is_request() {
            return None;
        }
        self.key.read(response, method)?;
        let hash = self.hasher.hash_one(self.key.as_bytes());
        self.clients.find(hash, |index| self.get(index).is_some_and(|slot| slot.key.is(&self.key)))
    }

    /// The client transaction that has this key.
    pub(crate) fn find_client_key(&self, key: &Key) -> Option<u32> {
        let hash = self.hasher.hash_one(key.as_bytes());
        self.clients.find(hash, |index| self.get(index).is_some_and(|slot| slot.key == *key))
    }
}

/// What a server is found by.
pub(crate) struct ServerKey {
    key: Key,
    hash: u64,
    call_hash: Option<u64>,
    is_hidden: bool,
}

/// Slots by hash. Whether a slot is the one that is looked for is for the caller to say.
#[derive(Clone, Debug)]
struct Index(HashTable<(u64, u32)>);

impl Index {
    fn with_capacity(capacity: usize) -> Self {
        Self(HashTable::with_capacity(capacity))
    }

    fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.find(hash, |&(known, index)| known == hash && is_it(index)).map(|&(_, index)| index)
    }

    fn insert(&mut self, hash: u64, index: u32) {
        self.0.insert_unique(hash, (hash, index), |&(hash, _)| hash);
    }

    fn remove(&mut self, hash: u64, index: u32) {
        if let Ok(entry) = self.0.find_entry(hash, |&entry| entry == (hash, index)) {
            entry.remove();
        }
    }
}
