// SPDX-License-Identifier: Apache-2.0
//! The calls journal as the engine writes it, and flows read back from it.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use guard::{ContactId, Flow, FlowKey, Passed, Standing, What};
use journal::{Binding, FlowOp, JournalError, Opaque, Record, SegmentWriter, WriteUnit};
use sip::{HeaderName, Parsed};

use crate::durable::{Durable, Synced};
use crate::order::{BoundContact, Frame, Registration};
use crate::receive::Command;
use crate::shared::{Event, Shared};
use crate::sys;

/// The preference of a contact that says nothing of it.
const BEST_Q: u16 = 1000;

pub(crate) struct CallsJournal {
    shared: Arc<Shared>,
    writer: SegmentWriter,
    durable: Durable,
    unit: WriteUnit,
    is_full: bool,
    has_sync_failed: bool,
}

impl CallsJournal {
    pub(crate) fn new(shared: Arc<Shared>, writer: SegmentWriter, durable: Durable) -> Self {
        Self { shared, writer, durable, unit: WriteUnit::new(4096), is_full: false, has_sync_failed: false }
    }

    pub(crate) fn durable(&mut self) -> &mut Durable {
        &mut self.durable
    }

    /// Where ends of syncs are told; each goes to [`Self::synced`].
    pub(crate) fn syncs(&self) -> &Receiver<Synced> {
        self.durable.synced()
    }

    /// A sync is over; what was written up to the sequence given back is durable. If it failed nobody waits any longer either, and the
    /// operator is told once.
    pub(crate) fn synced(&mut self, end: &Synced) -> u64 {
        if let (Err(error), false) = (&end.outcome, self.has_sync_failed) {
            self.shared.tell(Event::Trouble(format!("call records may not survive a power cut: {error}")));
        }
        self.has_sync_failed = end.outcome.is_err();
        self.durable.take(end)
    }

    /// Write a frame of the call layer; false: there is no room for it.
    pub(crate) fn frame(&mut self, frame: &Frame) -> bool {
        let written = Opaque::new(frame.kind, &frame.payload).and_then(|opaque| self.append(&Record::Opaque(opaque)));
        self.tell(written)
    }

    /// Write what a REGISTER does, before the flow table changes and before the 200 leaves: a frame for each contact, in one write.
    pub(crate) fn registration(&mut self, passed: &Passed, registration: &Registration) -> bool {
        let What::Request(Standing::Phone { number, settles, .. }) = &passed.what else { return true };
        let fields = Fields::of(&passed.bytes);
        let ended = registration.ended.iter().map(|id| fields.frame(passed, number, FlowOp::Removed, id));
        let bound = registration.bound.iter().map(|bound| journal::Flow {
            expires_s: bound.expires_s,
            binding: Some(Binding {
                q: bound.q,
                reg_id: bound.id.reg_id,
                instance: &bound.id.instance,
                path: &bound.path,
            }),
            ..fields.frame(passed, number, FlowOp::Bound, &bound.id)
        });
        let frames = ended.chain(bound).enumerate().map(|(at, flow)| {
            // A challenge is settled once.
            Record::Flow(journal::Flow { settles: if at == 0 { *settles } else { 0 }, ..flow })
        });
        let written = self.append_all(frames);
        self.tell(written)
    }

    /// Where no other frame tells that a challenge was answered rightly, one does that says nothing else.
    pub(crate) fn answered(&mut self, passed: &Passed) -> bool {
        let What::Request(Standing::Phone { number, settles: settles @ 1.., .. }) = &passed.what else { return true };
        let written = self.append(&Record::Flow(journal::Flow {
            op: FlowOp::Answered,
            transport: passed.peer.transport,
            flags: 0,
            source: passed.peer.source,
            local: passed.peer.local,
            expires_s: 0,
            cseq: 0,
            settles: *settles,
            number,
            contact: b"",
            call_id: b"",
            user_agent: b"",
            binding: None,
        }));
        self.tell(written)
    }

    /// What is done without being asked: a silent stream closes its segment, and a disk that was full may have room again.
    pub(crate) fn tend(&mut self) {
        let now_us = sys::now().utc_us;
        if self.writer.is_due(now_us) {
            let _ = self.writer.rotate(now_us);
        }
        let _ = self.writer.reserve();
    }

    fn append(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        self.append_all(std::iter::once(record.clone()))
    }

    /// In one write: all of them are in the journal, or none.
    fn append_all<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) -> Result<(), JournalError> {
        let now_us = sys::now().utc_us;
        self.unit.clear();
        for (seq, record) in (self.writer.next_seq()..).zip(records) {
            self.unit.push(seq, now_us, self.writer.journal_crc(), &record);
        }
        self.writer.append(&self.unit, now_us)?;
        self.durable.appended(self.writer.next_seq() - 1);
        Ok(())
    }

    /// Tell the operator when the disk fills and when it has room again.
    fn tell(&mut self, written: Result<(), JournalError>) -> bool {
        match written {
            Ok(()) if self.is_full => {
                self.is_full = false;
                self.shared.tell(Event::Trouble("the calls journal can be written again; calls go through".into()));
            }
            Err(error) if !self.is_full => {
                self.is_full = true;
                self.shared.tell(Event::Trouble(format!("new calls and registrations get 503: {error}")));
            }
            _ => {}
        }
        !self.is_full
    }
}

/// What the guard is to do for a REGISTER.
pub(crate) fn command_of(passed: &Passed, registration: Registration) -> Option<Command> {
    let What::Request(Standing::Phone { number, .. }) = &passed.what else { return None };
    let fields = Fields::of(&passed.bytes);
    let now_us = sys::now().utc_us;
    let key = FlowKey { source: passed.peer.source, transport: passed.peer.transport };
    let flow = |bound: BoundContact| Flow {
        number: number.clone(),
        local: passed.peer.local,
        id: bound.id,
        q: bound.q,
        path: bound.path,
        call_id: fields.call_id.clone(),
        cseq: fields.cseq,
        user_agent: fields.user_agent.clone(),
        since_us: now_us,
        expires_at_us: now_us + u64::from(bound.expires_s) * 1_000_000,
    };
    let bound = registration.bound.into_iter().map(|bound| (key, flow(bound))).collect();
    Some(Command::Register((number.clone(), registration.ended, bound)))
}

/// What a flow keeps of its REGISTER.
struct Fields {
    call_id: Vec<u8>,
    user_agent: Vec<u8>,
    cseq: u32,
}

impl Fields {
    fn of(bytes: &[u8]) -> Self {
        let Parsed::Message(message) = sip::parse(bytes) else {
            return Self { call_id: Vec::new(), user_agent: Vec::new(), cseq: 0 };
        };
        Self {
            call_id: message.call_id().unwrap_or_default().to_vec(),
            user_agent: message.first(HeaderName::UserAgent).unwrap_or_default().to_vec(),
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
        }
    }

    /// The frame about one contact.
    fn frame<'a>(&'a self, passed: &Passed, number: &'a [u8], op: FlowOp, id: &'a ContactId) -> journal::Flow<'a> {
        journal::Flow {
            op,
            transport: passed.peer.transport,
            flags: 0,
            source: passed.peer.source,
            local: passed.peer.local,
            expires_s: 0,
            cseq: self.cseq,
            settles: 0,
            number,
            contact: &id.contact,
            call_id: &self.call_id,
            user_agent: &self.user_agent,
            binding: Some(Binding { q: 0, reg_id: id.reg_id, instance: &id.instance, path: b"" }),
        }
    }
}

/// Do to the flow table what a frame of the calls journal did, when it is read back at start.
pub(crate) fn replay(flows: &mut guard::Flows, at_us: u64, frame: &journal::Flow<'_>) {
    let key = FlowKey { source: frame.source, transport: frame.transport };
    let id = frame.binding.map(|binding| ContactId {
        contact: frame.contact.to_vec(),
        instance: binding.instance.to_vec(),
        reg_id: binding.reg_id,
    });
    match frame.op {
        FlowOp::Bound | FlowOp::Refreshed => {
            let flow = Flow {
                number: frame.number.to_vec(),
                local: frame.local,
                id: id.unwrap_or_else(|| ContactId { contact: frame.contact.to_vec(), ..ContactId::default() }),
                q: frame.binding.map_or(BEST_Q, |binding| binding.q),
                path: frame.binding.map_or(Vec::new(), |binding| binding.path.to_vec()),
                call_id: frame.call_id.to_vec(),
                cseq: frame.cseq,
                user_agent: frame.user_agent.to_vec(),
                since_us: at_us,
                expires_at_us: at_us + u64::from(frame.expires_s) * 1_000_000,
            };
            flows.bind(key, flow, at_us);
        }
        FlowOp::Removed | FlowOp::Expired => {
            match &id {
                Some(id) => flows.unbind(frame.number, id),
                None => flows.unbind_uri(frame.number, (frame.contact != b"*").then_some(frame.contact)),
            };
        }
        FlowOp::Answered => {}
    }
}
