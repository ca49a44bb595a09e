// SPDX-License-Identifier: Apache-2.0
//! One place in the table: a machine and the keys by which it is found.

use std::time::Instant;

use hashbrown::HashTable;

use crate::error::Error;
use crate::invite_client::InviteClient;
use crate::invite_server::InviteServer;
use crate::key::Key;
use crate::machine::{Effects, Input, State, TransactionId};
use crate::non_invite_client::NonInviteClient;
use crate::non_invite_server::NonInviteServer;

/// One of the four. Boxed, since they differ in size and most live long in their smallest kind.
#[derive(Clone, Debug)]
pub(crate) enum Machine<D> {
    InviteClient(Box<InviteClient<D>>),
    NonInviteClient(Box<NonInviteClient<D>>),
    InviteServer(Box<InviteServer<D>>),
    NonInviteServer(Box<NonInviteServer<D>>),
}

impl<D: Copy> Machine<D> {
    pub(crate) fn handle(&mut self, now: Instant, input: Input<'_, D>, out: &mut Effects<D>) -> Result<(), Error> {
        match self {
            Self::InviteClient(machine) => machine.handle(now, input, out),
            Self::NonInviteClient(machine) => machine.handle(now, input, out),
            Self::InviteServer(machine) => machine.handle(now, input, out),
            Self::NonInviteServer(machine) => machine.handle(now, input, out),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::InviteClient(machine) => machine.deadline(),
            Self::NonInviteClient(machine) => machine.deadline(),
            Self::InviteServer(machine) => machine.deadline(),
            Self::NonInviteServer(machine) => machine.deadline(),
        }
    }

    pub(crate) fn state(&self) -> State {
        match self {
            Self::InviteClient(machine) => machine.state(),
            Self::NonInviteClient(machine) => machine.state(),
            Self::InviteServer(machine) => machine.state(),
            Self::NonInviteServer(machine) => machine.state(),
        }
    }

    pub(crate) const fn is_client(&self) -> bool {
        matches!(self, Self::InviteClient(_) | Self::NonInviteClient(_))
    }
}

/// A key under which a slot is found, with its hash.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) hash: u64,
    pub(crate) bytes: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot<D> {
    pub(crate) serial: u32,
    /// Started by the table itself (a CANCEL, a refusal): the user knows nothing of it.
    pub(crate) is_hidden: bool,
    pub(crate) machine: Machine<D>,
    pub(crate) key: Key,
    pub(crate) hash: u64,
    /// Hash of the call part of the key, where merged requests are to find it.
    pub(crate) call_hash: Option<u64>,
    /// What the ACK of our 2xx is found by.
    pub(crate) success: Option<Box<Found>>,
    /// The CANCEL of this INVITE; it goes when the INVITE goes.
    pub(crate) cancel: Option<TransactionId>,
}

/// Slots by hash. Whether a slot is the one that is looked for is for the caller to say.
#[derive(Clone, Debug)]
pub(crate) struct Index(HashTable<(u64, u32)>);

impl Index {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(HashTable::with_capacity(capacity))
    }

    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.find(hash, |&(known, slot)| known == hash && is_it(slot)).map(|&(_, slot)| slot)
    }

    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        self.0.insert_unique(hash, (hash, slot), |&(hash, _)| hash);
    }

    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        if let Ok(entry) = self.0.find_entry(hash, |&entry| entry == (hash, slot)) {
            entry.remove();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
