// SPDX-License-Identifier: Apache-2.0
//! One place in the table: a machine and the keys by which it is found.

use std::time::Instant;

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

/// What the ACK of our 2xx is found by.
#[derive(Clone, Debug)]
pub(crate) struct Success {
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
    /// Of the key.
    pub(crate) hash: u64,
    /// Of the call part of the key, where merged requests are to find it.
    pub(crate) call_hash: Option<u64>,
    pub(crate) success: Option<Box<Success>>,
    /// The CANCEL of this INVITE; it goes when the INVITE goes.
    pub(crate) cancel: Option<TransactionId>,
}

impl<D> Slot<D> {
    pub(crate) const fn new(serial: u32, machine: Machine<D>, key: Key, hash: u64, is_hidden: bool) -> Self {
        Self { serial, is_hidden, machine, key, hash, call_hash: None, success: None, cancel: None }
    }
}
