// SPDX-License-Identifier: Apache-2.0
//! What a refusal leads to: the frame that accounts for it, and the answer that it gets.
//!
//! The answer is built before the frame, since the frame says which status was really sent; both wait in [`Effects`], and the edge
//! writes the frame before it sends the answer.

use journal::{Attempt, IncrementWhy, MAX_RAW, Reason, Record, Scope, Transport, flags};
use sip::answer::{Answer, ExtraHeader, Token};
use sip::{Message, Method};

use crate::challenge;
use crate::counters::Counter;
use crate::effects::{self, Effects, Now, Packet};
use crate::fingerprint::{Fingerprint, fingerprint};
use crate::fold::Account;
use crate::judge::{Guard, RAW_SAMPLES_PER_S, Refusal, Reply, SourceState};
use crate::mask::masked;
use crate::nonce::{NONCE_LEN, Nonce, local_tag};
use crate::numbers::Color;
use crate::source::SourceKey;
use crate::view::View;

/// Methods that our answers to known sources allow.
const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, REGISTER";

impl Guard {
    /// Account for a refused packet in a frame, and make its answer.
    pub(crate) fn refuse(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: Option<(&Message<'_>, &View<'_>)>,
        refusal: &Refusal<'_>,
        effects: &mut Effects,
    ) {
        let view = message.map(|(_, view)| view);
        let method = view.map_or(0, |view| view.method.code());
        let source = SourceKey::of(packet.peer.source.ip());
        let is_challenge = refusal.reason == Reason::UnansweredChallenge;
        let is_authorised = refusal.is_authorised;
        let is_illegal = method == Method::Invite.code() && !is_authorised;
        if refusal.reason == Reason::RateExceeded {
            effects.tally.add(Counter::RateExceeded, 1);
        }
        if is_illegal && !is_challenge {
            effects.tally.add(Counter::IllegalCalls, 1);
        }

        let parameters = &self.snapshot.parameters;
        let is_off = is_illegal && parameters.server_billing_record_illegal_call == 0;
        let identity = match view {
            // The number belongs to it: some tools send every number with one Call-ID, branch and CSeq.
            Some(view) => {
                // Reason and user too: a guess that keeps all else is not the challenge once more.
                let reason = [refusal.reason as u8];
                let parts = [
                    &reason,
                    view.method.as_bytes(),
                    view.call_id,
                    view.branch,
                    view.from_tag,
                    view.callee,
                    refusal.auth_user,
                ];
                self.folding.identity(source, &parts, view.cseq)
            }
            None => self.folding.identity(source, &[packet.bytes], 0),
        };
        let account = if is_off {
            None
        } else {
            let what = (refusal.reason, method);
            Some(self.folding.account(identity, source, what, self.scope, (now.ms, self.next_seq)))
        };

        let is_repeat = matches!(account, Some(Account::Increment { why: IncrementWhy::Retransmission, .. }));
        // Without a frame nothing tells whether it was answered.
        if is_illegal && is_challenge && account.is_some() && !is_repeat {
            self.waiting.challenged(now);
        }
        let is_stream = packet.peer.transport != Transport::Udp;
        let (is_muted, is_proven, wants_raw) = self.observe(now, packet, source, account);
        let mut reply = refusal.reply;
        if is_muted {
            effects.tally.add(Counter::Muted, 1);
            reply = Reply::Silent;
        }
        let settles = match account {
            Some(Account::Own(_)) => self.next_seq,
            Some(Account::Increment { base_seq, .. }) => base_seq,
            None => 0,
        };
        let is_trusted = is_stream || refusal.gateway.is_some();
        let status = match message {
            Some((message, view)) if reply != Reply::Silent => {
                self.reply(now, packet, (message, view), (reply, settles), is_trusted, effects)
            }
            _ => {
                effects.tally.add(Counter::Silent, 1);
                0
            }
        };

        match account {
            None => {
                effects.tally.add(Counter::Folded, 1);
                effects.tally.add(Counter::Suppressed, 1);
                self.count_summary(refusal.reason, method);
            }
            Some(Account::Increment { base_seq, why }) => {
                effects.tally.add(Counter::Folded, 1);
                let counter =
                    if why == IncrementWhy::Retransmission { Counter::Retransmissions } else { Counter::Widened };
                effects.tally.add(counter, 1);
                self.count_increment(base_seq, why);
            }
            Some(Account::Own(scope)) => {
                effects.tally.add(if is_challenge { Counter::Challenged } else { Counter::Recorded }, 1);
                let (call_id, user_agent) = view.map_or((&b""[..], &b""[..]), |view| (view.call_id, view.user_agent));
                let print = message.map_or_else(Fingerprint::default, |(message, view)| {
                    fingerprint(message, view.branch, view.from_tag, view.call_id, view.user_agent)
                });
                let mut raw = std::mem::take(&mut self.raw);
                if wants_raw {
                    masked(packet.bytes, MAX_RAW, &mut raw);
                }
                let mut bits = 0;
                bits |= if is_proven || is_stream { flags::IS_PROVEN } else { 0 };
                bits |= if is_authorised { flags::IS_AUTHORISED } else { 0 };
                bits |= if is_stream && packet.bytes.is_empty() { flags::IS_EMPTY_CONNECTION } else { 0 };
                let attempt = Attempt {
                    reason: refusal.reason,
                    method,
                    transport: packet.peer.transport,
                    scope,
                    status,
                    detail: refusal.detail,
                    source: packet.peer.source,
                    local: packet.peer.local,
                    flags: bits,
                    gateway_id: refusal.gateway.unwrap_or(0),
                    traits: print.traits,
                    fingerprint: print.hash,
                    settles: refusal.settles,
                    caller: view.map_or(b"", |view| view.caller),
                    callee: view.map_or(b"", |view| view.callee),
                    user_agent,
                    call_id,
                    method_text: view.map_or(b"", |view| view.method.as_bytes()),
                    auth_user: refusal.auth_user,
                    raw: wants_raw.then_some(raw.as_slice()),
                };
                let record = if is_challenge { Record::Challenge(attempt) } else { Record::Refusal(attempt) };
                self.push(now, effects, &record);
                self.raw = raw;
            }
        }
    }

    /// Count the attempt against its source: (is it muted, is it proven, is its first message kept).
    fn observe(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        source: SourceKey,
        account: Option<Account>,
    ) -> (bool, bool, bool) {
        let parameters = &self.snapshot.parameters;
        let second = now.ms / 1000;
        let state = self.sources.get_or_insert_with(source, SourceState::default);
        if state.second != second {
            state.second = second;
            state.attempts = 0;
        }
        state.attempts = state.attempts.saturating_add(1);
        let limit = parameters.rf_mute_attempts_per_s;
        if limit > 0 && state.attempts > limit {
            let is_white = self.snapshot.source_color(packet.peer.source.ip(), now.utc_us) == Some(Color::White);
            // Behind an address that phones registered from stands a customer, whoever else does.
            let memory_us = parameters.rf_registration_memory_days.saturating_mul(86_400_000_000);
            let is_known = self.snapshot.gateway(packet.peer.source).is_some()
                || self.flows.was_registered(source, now.utc_us, memory_us);
            if !is_white && !is_known {
                state.muted_until_ms = now.ms.saturating_add(parameters.rf_mute_s.saturating_mul(1000));
            }
        }
        let keeps_raw = parameters.rf_raw_sample_s > 0
            && account == Some(Account::Own(Scope::Own))
            && state.next_raw_ms <= now.ms
            && self.raw_budget.take(1, RAW_SAMPLES_PER_S, RAW_SAMPLES_PER_S, now.ms);
        if keeps_raw {
            state.next_raw_ms = now.ms.saturating_add(parameters.rf_raw_sample_s.saturating_mul(1000));
        }
        (state.muted_until_ms > now.ms, state.proven_until_ms > now.ms, keeps_raw)
    }

    fn count_increment(&mut self, base_seq: u64, why: IncrementWhy) {
        let mut latest = self.increments.iter_mut().rev();
        match latest.find(|(base, reason, _)| *base == base_seq && *reason == why) {
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => self.increments.push((base_seq, why, 1)),
        }
    }

    fn count_summary(&mut self, reason: Reason, method: u8) {
        match self.summaries.iter_mut().find(|(other, code, _)| *other == reason && *code == method) {
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => self.summaries.push((reason, method, 1)),
        }
    }

    /// Build the answer; returns the status that will be sent, 0 if none may be.
    fn reply(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        (message, view): (&Message<'_>, &View<'_>),
        (reply, settles): (Reply, u64),
        is_trusted: bool,
        effects: &mut Effects,
    ) -> u16 {
        let source = SourceKey::of(packet.peer.source.ip());
        let tag = local_tag(&self.snapshot.tag_key, source, view.call_id, view.from_tag);
        let start = effects.bytes.len();
        let Ok(token) = Token::new(&tag) else {
            return 0;
        };
        let mut answer = |status: u16, extra: &[ExtraHeader<'_>]| {
            Answer::new(status, packet.peer.source)
                .with_tag(token)
                .with_extra(extra)
                .write(message, &mut effects.bytes);
            status
        };
        let status = match reply {
            Reply::Silent => return 0,
            Reply::Status(status) => answer(status, &[]),
            Reply::Later => answer(503, header("Retry-After", b"5").as_slice()),
            Reply::NotAllowed => answer(405, header("Allow", ALLOW).as_slice()),
            Reply::Challenge { status, is_stale, is_settling } => {
                let Some(key) = self.snapshot.nonce_keys.first() else {
                    return 0;
                };
                self.nonce_counter = self.nonce_counter.wrapping_add(1);
                let nonce = Nonce {
                    made_at_s: now.utc_s(),
                    key_id: key.id,
                    settles: if is_settling { settles } else { 0 },
                    counter: self.nonce_counter & 0x00ff_ffff,
                };
                let mut text = Vec::with_capacity(NONCE_LEN);
                nonce.write(key, source, &self.snapshot.realm, &mut text);
                let name = if status == 407 { "Proxy-Authenticate" } else { "WWW-Authenticate" };
                let values = challenge::values(&self.snapshot.realm, &text, is_stale, &self.snapshot.parameters);
                let headers: Vec<_> = values.iter().filter_map(|value| header(name, value)).collect();
                answer(status, &headers)
            }
        };
        let length = effects.bytes.len().saturating_sub(start);
        let excess = length.saturating_sub(packet.bytes.len());
        let is_challenge = matches!(reply, Reply::Challenge { .. });
        let fits = is_trusted
            || excess == 0
            || (is_challenge
                && excess <= challenge::MAX_EXCESS
                && self.challenges.take(source, excess as u64, &self.snapshot.parameters, now.ms));
        if !fits {
            effects.bytes.truncate(start);
            effects.tally.add(Counter::Withheld, 1);
            return 0;
        }
        effects.tally.add(Counter::Answered, 1);
        effects.answers.push(effects::Answer { span: start..effects.bytes.len(), peer: packet.peer });
        status
    }
}

fn header<'a>(name: &'a str, value: &'a [u8]) -> Option<ExtraHeader<'a>> {
    ExtraHeader::new(name, value).ok()
}
