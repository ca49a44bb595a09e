// SPDX-License-Identifier: Apache-2.0
//! Requests that were let through a short while ago come again, and are cancelled and acknowledged; they are known by these keys.

use sip::Method;

use crate::effects::{Now, Packet};
use crate::judge::Guard;
use crate::source::SourceKey;
use crate::view::View;

/// A request that comes again later than this is a new one (64 x T1, RFC 3261 §17.1.1.2).
const TRANSACTION_MS: u64 = 32_000;

impl Guard {
    /// Whether this request was let through a short while ago, or is an INVITE that has not ended.
    pub(crate) fn repeated(&mut self, now: Now, packet: &Packet<'_>, view: &View<'_>) -> bool {
        if view.method == Method::Invite && self.is_live_invite(packet, view) {
            return true;
        }
        let key = self.transaction_key(packet, view);
        self.transactions.get_mut(&key).is_some_and(|at_ms| now.ms.saturating_sub(*at_ms) < TRANSACTION_MS)
    }

    /// Whether the INVITE that an ACK or a CANCEL is for was let through and has not ended.
    pub(crate) fn is_live_invite(&self, packet: &Packet<'_>, view: &View<'_>) -> bool {
        self.invites.contains(&self.invite_key(packet, view))
    }

    pub(crate) fn note(&mut self, now: Now, packet: &Packet<'_>, view: &View<'_>) {
        let key = self.transaction_key(packet, view);
        *self.transactions.get_or_insert_with(key, || now.ms) = now.ms;
    }

    /// An INVITE and what is for it may come from several ports, and over several connections, of one address.
    pub(crate) fn invite_key(&self, packet: &Packet<'_>, view: &View<'_>) -> u64 {
        let source = SourceKey::of(packet.peer.source.ip());
        self.folding.identity(source, &[b"INVITE", view.branch, view.call_id], view.cseq).max(1)
    }

    fn transaction_key(&self, packet: &Packet<'_>, view: &View<'_>) -> u64 {
        let source = packet.peer.source;
        let port = source.port().to_be_bytes();
        // RFC 3261 §17.2.3: branch, sent-by and method; the address stands for sent-by, since answers go there.
        let key = SourceKey::of(source.ip());
        self.folding.identity(key, &[view.method.as_bytes(), view.branch, view.call_id, &port], view.cseq)
    }
}
