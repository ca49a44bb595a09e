// SPDX-License-Identifier: Apache-2.0
//! The guard: judges each packet, accounts for it in a frame, and says what to answer.
//!
//! Pure: packets, the two clocks and the operator's snapshot come in; frames, answers and admitted requests go out in
//! [`Effects`]. One owner calls it, so there is no lock. The order of questions is that of the design: what kind of packet is it,
//! may its source speak at all, is the source known, are the credentials right; whatever is not let through is recorded.

use std::collections::HashSet;
use std::sync::Arc;

use journal::{IncrementWhy, Reason, Record, Scope};
use sip::{Message, Method, Parsed, Refuse, Why};

use crate::branch::Branches;
use crate::bucket::TokenBucket;
use crate::challenge::ChallengeBudget;
use crate::counters::{Counter, Tally};
use crate::dialogs::Dialogs;
use crate::effects::{Effects, Now, Packet, Passed, Standing, What};
use crate::flows::{FlowKey, Flows};
use crate::fold::{Budget, Folding};
use crate::known::KnownSources;
use crate::lockout::Lockouts;
use crate::nonce::local_tag;
use crate::numbers::Color;
use crate::retries::Retries;
use crate::snapshot::{Gateway, Snapshot};
use crate::source::SourceKey;
use crate::table::BoundedMap;
use crate::verdict::{blocked, to_stranger};
use crate::verify::UsedNonce;
use crate::view::View;
use crate::waiting::Waiting;

const SOURCES: usize = 1 << 16;
const NONCES: usize = 1 << 16;
const TRANSACTIONS: usize = 1 << 16;
/// First messages kept whole per second, all sources together.
pub(crate) const RAW_SAMPLES_PER_S: u64 = 50;
/// Milliseconds after which a source must prove itself again.
const PROOF_MS: u64 = 3_600_000;

#[derive(Default)]
pub(crate) struct SourceState {
    pub(crate) second: u64,
    pub(crate) attempts: u32,
    pub(crate) muted_until_ms: u64,
    pub(crate) proven_until_ms: u64,
    pub(crate) next_raw_ms: u64,
}

/// What is answered, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Silent,
    Status(u16),
    /// 401 or 407. The nonce settles the frame that accounts for it only if the challenge is what the frame is about.
    Challenge {
        status: u16,
        is_stale: bool,
        is_settling: bool,
    },
    /// 503 with Retry-After.
    Later,
    /// 405 with Allow.
    NotAllowed,
}

/// Why a request is not let through, and what is said to its sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) reason: Reason,
    pub(crate) detail: u16,
    pub(crate) reply: Reply,
    /// The edge frame of the challenge that it answered.
    pub(crate) settles: u64,
    /// The number that its credentials name.
    pub(crate) auth_user: &'a [u8],
    /// The gateway's id, where the source is one.
    pub(crate) gateway: Option<u32>,
    /// A gateway or a phone of ours asked: its call is no illegal one.
    pub(crate) is_authorised: bool,
}

impl Refusal<'_> {
    pub(crate) fn new(reason: Reason, reply: Reply) -> Self {
        Self { reason, detail: 0, reply, settles: 0, auth_user: b"", gateway: None, is_authorised: false }
    }

    pub(crate) fn challenge(status: u16, is_stale: bool) -> Self {
        Self::new(Reason::UnansweredChallenge, Reply::Challenge { status, is_stale, is_settling: true })
    }

    pub(crate) fn of_gateway(self, gateway: &Gateway) -> Self {
        Self { gateway: Some(gateway.id), is_authorised: true, ..self }
    }
}

/// Where messages are read into: two kilobytes that are neither made anew nor moved for each packet.
pub struct Scratch<'a>(Parsed<'a>);

impl Default for Scratch<'_> {
    fn default() -> Self {
        Self(Parsed::Drop(Why::KeepAlive))
    }
}

pub(crate) enum Judged<'a> {
    Absorbed,
    Ack,
    Cancel,
    Repeat,
    Admitted(Standing),
    Refused(Refusal<'a>),
}

/// State of admission for one node. See the module's head.
pub struct Guard {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Registrations in force; the edge changes them when a REGISTER is accepted.
    pub flows: Flows,
    /// Dialogs that live; the edge changes them as the call layer says.
    pub dialogs: Dialogs,
    branches: Arc<Branches>,
    pub(crate) folding: Folding,
    pub(crate) scope: Scope,
    pub(crate) sources: BoundedMap<SourceKey, SourceState>,
    pub(crate) lockouts: Lockouts,
    pub(crate) retries: Retries,
    pub(crate) nonces: BoundedMap<(u32, u64, u32), UsedNonce>,
    pub(crate) challenges: ChallengeBudget,
    pub(crate) waiting: Waiting,
    pub(crate) known: KnownSources,
    /// When requests were let through, so that they are not counted twice.
    pub(crate) transactions: BoundedMap<u64, u64>,
    /// INVITEs that were let through and have not ended: what may be cancelled and acknowledged.
    pub(crate) invites: HashSet<u64>,
    pub(crate) raw_budget: TokenBucket,
    pub(crate) raw: Vec<u8>,
    pub(crate) next_seq: u64,
    journal_crc: u32,
    pub(crate) nonce_counter: u32,
    pub(crate) is_overloaded: bool,
    pub(crate) increments: Vec<(u64, IncrementWhy, u32)>,
    pub(crate) summaries: Vec<(Reason, u8, u32)>,
}

impl Guard {
    /// A guard that numbers its frames from `next_seq` in the journal whose id has the checksum `journal_crc`; requests of ours
    /// carry one of `branches`.
    pub fn new(snapshot: Arc<Snapshot>, branches: Arc<Branches>, next_seq: u64, journal_crc: u32, now: Now) -> Self {
        let folding = Folding::new(budget(&snapshot), now.ms);
        let challenges = ChallengeBudget::new(&snapshot.parameters, now.ms);
        Self {
            snapshot,
            flows: Flows::default(),
            dialogs: Dialogs::default(),
            branches,
            folding,
            scope: Scope::Own,
            sources: BoundedMap::new(SOURCES),
            lockouts: Lockouts::new(),
            retries: Retries::new(),
            nonces: BoundedMap::new(NONCES),
            challenges,
            waiting: Waiting::default(),
            known: KnownSources::default(),
            transactions: BoundedMap::new(TRANSACTIONS),
            invites: HashSet::new(),
            raw_budget: TokenBucket::full(RAW_SAMPLES_PER_S, now.ms),
            raw: Vec::new(),
            next_seq,
            journal_crc,
            nonce_counter: 0,
            is_overloaded: false,
            increments: Vec::new(),
            summaries: Vec::new(),
        }
    }

    /// Put another configuration in force; what is known of sources, flows and records stays.
    pub fn configure(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = snapshot;
    }

    /// While the call layer's queue is long, known sources are put off with 503 (RFC 3261 §21.5.4).
    pub fn set_overloaded(&mut self, is_overloaded: bool) {
        self.is_overloaded = is_overloaded;
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The sequence that the next frame gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Frames from `seq` on were lost to a full disk: number from there again, and add to none of them.
    pub fn resume_at(&mut self, seq: u64) {
        self.next_seq = seq;
        self.folding.forget();
    }

    /// The call layer has taken a request of this gateway up: it gave its first answer, provisional or final.
    pub fn taken_up(&mut self, gateway_id: u32) {
        self.known.taken_up(gateway_id);
    }

    /// The transaction of an INVITE is over: nothing of it is to be cancelled or acknowledged any more.
    pub fn ended(&mut self, key: u64) {
        self.invites.remove(&key);
    }

    /// A request that was let through could not be passed on. Its repetitions are passed on as such, and put off.
    pub fn undo(&mut self, passed: &Passed) {
        let What::Request(standing) = &passed.what else { return };
        if let Some(gateway_id) = standing.in_flight_at() {
            self.known.taken_up(gateway_id);
        }
        self.invites.remove(&passed.key);
    }

    /// Calls that were challenged and cannot answer any more are illegal ones; to be asked every second.
    pub fn give_up_waiting(&mut self, now: Now, tally: &mut Tally) {
        tally.add(Counter::IllegalCalls, self.waiting.illegal(now));
    }

    /// Start a batch: how wide folding is holds for the whole of it.
    pub fn begin(&mut self, now: Now) {
        self.scope = self.folding.scope(budget(&self.snapshot), now.ms);
    }

    /// End a batch: what was counted into other records becomes frames.
    pub fn finish(&mut self, now: Now, effects: &mut Effects) {
        for (base_seq, why, count) in std::mem::take(&mut self.increments) {
            self.push(now, effects, &Record::Increment { base_seq, count, why });
        }
        for (reason, method, count) in std::mem::take(&mut self.summaries) {
            self.push(now, effects, &Record::RefusalSummary { reason, method, count });
        }
    }

    /// The books as a frame.
    pub fn push_books(&mut self, now: Now, effects: &mut Effects, run: u32, counters: &[u64]) {
        self.push(now, effects, &Record::Books { run, counters: counters.into() });
    }

    pub(crate) fn push(&mut self, now: Now, effects: &mut Effects, record: &Record<'_>) {
        let before = effects.unit.bytes().len();
        effects.unit.push(self.next_seq, now.utc_us, self.journal_crc, record);
        self.next_seq = self.next_seq.wrapping_add(1);
        let bytes = effects.unit.bytes().len().saturating_sub(before) as u64;
        self.folding.spend(bytes);
        effects.tally.add(Counter::JournalBytes, bytes);
    }

    /// Judge one packet. What it leads to is added to `effects`; `scratch` is where its message is read into, kept for a batch.
    pub fn judge<'a>(&mut self, now: Now, packet: &Packet<'a>, scratch: &mut Scratch<'a>, effects: &mut Effects) {
        effects.tally.add(Counter::Read, 1);
        sip::parse_into(packet.bytes, &mut scratch.0);
        match &scratch.0 {
            Parsed::Message(message) if message.is_request() => {
                self.judge_request(now, packet, message, effects);
            }
            Parsed::Message(response) => {
                effects.tally.add(Counter::Absorbed, 1);
                let branch = response.via_top().ok().and_then(|via| via.branch);
                // No transaction of ours waits for a stranger's response.
                if branch.is_some_and(|branch| self.branches.is_ours(branch)) {
                    pass(now, packet, What::Response, [0; 16], 0, effects);
                }
            }
            // Keep-alives ask for nothing.
            Parsed::Drop(Why::KeepAlive | Why::Stun) => effects.tally.add(Counter::Absorbed, 1),
            Parsed::Refuse(Refuse { status, why, message }) => {
                self.refuse_malformed(now, packet, Some(message), *why, Reply::Status(*status), effects);
            }
            Parsed::Drop(why) => {
                self.refuse_malformed(now, packet, None, *why, Reply::Silent, effects);
            }
        }
    }

    /// A connection ended before it said anything: an event, with no message to answer.
    pub fn judge_empty_connection(&mut self, now: Now, packet: &Packet<'_>, effects: &mut Effects) {
        effects.tally.add(Counter::Read, 1);
        self.refuse_malformed(now, packet, None, Why::Truncated, Reply::Silent, effects);
    }

    fn refuse_malformed(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: Option<&Message<'_>>,
        why: Why,
        reply: Reply,
        effects: &mut Effects,
    ) {
        effects.tally.add(Counter::Malformed, 1);
        let snapshot = Arc::clone(&self.snapshot);
        let gateway = snapshot.gateway(packet.peer.source);
        let reply = match reply {
            Reply::Status(_) if gateway.is_some() => reply,
            _ if snapshot.source_color(packet.peer.source.ip(), now.utc_us) == Some(Color::Black) => blocked(&snapshot),
            Reply::Status(status) => to_stranger(&snapshot, status),
            other => other,
        };
        let refusal = Refusal { detail: why as u16, ..Refusal::new(Reason::Malformed, reply) };
        let refusal = gateway.map_or(refusal, |gateway| refusal.of_gateway(gateway));
        let view = message.map(View::of);
        self.refuse(now, packet, message.zip(view.as_ref()), &refusal, effects);
    }

    fn judge_request(&mut self, now: Now, packet: &Packet<'_>, message: &Message<'_>, effects: &mut Effects) {
        let view = View::of(message);
        let snapshot = Arc::clone(&self.snapshot);
        let judged = self.verdict(now, packet, message, &view, &snapshot, effects);
        match judged {
            Judged::Absorbed => effects.tally.add(Counter::Absorbed, 1),
            Judged::Ack | Judged::Repeat => {
                effects.tally.add(Counter::Absorbed, 1);
                let what = if view.method == Method::Ack { What::Ack } else { What::Repeat };
                pass(now, packet, what, self.tag_for(packet, &view), 0, effects);
            }
            Judged::Cancel => {
                effects.tally.add(Counter::Admitted, 1);
                self.note(now, packet, &view);
                pass(now, packet, What::Cancel, self.tag_for(packet, &view), 0, effects);
            }
            Judged::Admitted(standing) => self.admit(now, packet, &view, standing, effects),
            Judged::Refused(refusal) => {
                self.refuse(now, packet, Some((message, &view)), &refusal, effects);
            }
        }
    }

    pub(crate) fn was_registered(&self, source: SourceKey, now: Now) -> bool {
        let memory_us = self.snapshot.parameters.rf_registration_memory_days.saturating_mul(86_400_000_000);
        self.flows.was_registered(source, now.utc_us, memory_us)
    }

    pub(crate) fn tag_for(&self, packet: &Packet<'_>, view: &View<'_>) -> [u8; 16] {
        local_tag(&self.snapshot.tag_key, SourceKey::of(packet.peer.source.ip()), view.call_id, view.from_tag)
    }

    pub(crate) fn prove(&mut self, source: SourceKey, now: Now, effects: &mut Effects) {
        let state = self.sources.get_or_insert_with(source, SourceState::default);
        if state.proven_until_ms <= now.ms {
            effects.tally.add(Counter::Proven, 1);
        }
        state.proven_until_ms = now.ms.saturating_add(PROOF_MS);
    }

    fn admit(&mut self, now: Now, packet: &Packet<'_>, view: &View<'_>, standing: Standing, effects: &mut Effects) {
        effects.tally.add(Counter::Admitted, 1);
        self.note(now, packet, view);
        let mut key = 0;
        if view.method == Method::Invite {
            key = self.invite_key(packet, view);
            self.invites.insert(key);
        }
        pass(now, packet, What::Request(standing), self.tag_for(packet, view), key, effects);
    }
}

/// The flow that a packet comes by.
pub(crate) fn flow_of(packet: &Packet<'_>) -> FlowKey {
    FlowKey { source: packet.peer.source, transport: packet.peer.transport }
}

fn pass(now: Now, packet: &Packet<'_>, what: What, local_tag: [u8; 16], key: u64, effects: &mut Effects) {
    let bytes = packet.bytes.into();
    effects.passed.push(Passed { what, peer: packet.peer, bytes, at_us: now.utc_us, local_tag, key });
}

fn budget(snapshot: &Snapshot) -> Budget {
    Budget {
        bytes_per_s: snapshot.parameters.rf_journal_bytes_per_s,
        burst_bytes: snapshot.parameters.rf_journal_burst_bytes,
    }
}
