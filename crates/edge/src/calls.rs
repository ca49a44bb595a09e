// SPDX-License-Identifier: Apache-2.0
//! The calls journal as the engine writes it, and flows read back from it.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use guard::{Flow, FlowKey, Passed, Standing, What};
use journal::{FlowOp, JournalError, Opaque, Record, SegmentWriter, WriteUnit};
use sip::{HeaderName, Parsed};

use crate::durable::{Durable, Synced};
use crate::order::{Binding, Frame};
use crate::shared::{Event, Shared};
use crate::sys;

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
    pub(crate) fn syncs(&self) -> Receiver<Synced> {
        self.durable.synced().clone()
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

    /// Write what becomes of a registration, before the flow table changes and before the 200 leaves.
    pub(crate) fn binding(&mut self, passed: &Passed, binding: &Binding) -> bool {
        let What::Request(Standing::Phone { number, settles }) = &passed.what else { return true };
        let fields = Fields::of(&passed.bytes);
        let (op, contact, expires_s) = match binding {
            Binding::Bind { contact, expires_s } => (FlowOp::Bound, contact.as_slice(), *expires_s),
            Binding::Remove { contact } => (FlowOp::Removed, contact.as_deref().unwrap_or(b"*"), 0),
        };
        let written = self.append(&Record::Flow(journal::Flow {
            op,
            transport: passed.peer.transport,
            flags: 0,
            source: passed.peer.source,
            local: passed.peer.local,
            expires_s,
            cseq: fields.cseq,
            settles: *settles,
            number,
            contact,
            call_id: &fields.call_id,
            user_agent: &fields.user_agent,
        }));
        self.tell(written)
    }

    /// Where no other frame tells that a challenge was answered rightly, one does that says nothing else.
    pub(crate) fn answered(&mut self, passed: &Passed) -> bool {
        let What::Request(Standing::Phone { number, settles: settles @ 1.. }) = &passed.what else { return true };
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
        let now_us = sys::now().utc_us;
        self.unit.clear();
        self.unit.push(self.writer.next_seq(), now_us, self.writer.journal_crc(), record);
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

/// The flow that a REGISTER asks for.
pub(crate) fn flow_of(passed: &Passed, contact: Vec<u8>, expires_s: u32) -> Option<(FlowKey, Flow)> {
    let What::Request(Standing::Phone { number, .. }) = &passed.what else { return None };
    let fields = Fields::of(&passed.bytes);
    let now_us = sys::now().utc_us;
    let flow = Flow {
        number: number.clone(),
        local: passed.peer.local,
        contact,
        call_id: fields.call_id,
        cseq: fields.cseq,
        user_agent: fields.user_agent,
        since_us: now_us,
        expires_at_us: now_us + u64::from(expires_s) * 1_000_000,
    };
    Some((FlowKey { source: passed.peer.source, transport: passed.peer.transport }, flow))
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
}

/// Do to the flow table what a frame of the calls journal did, when it is read back at start.
pub(crate) fn replay(flows: &mut guard::Flows, at_us: u64, frame: &journal::Flow<'_>) {
    let key = FlowKey { source: frame.source, transport: frame.transport };
    match frame.op {
        FlowOp::Bound | FlowOp::Refreshed => {
            let flow = Flow {
                number: frame.number.to_vec(),
                local: frame.local,
                contact: frame.contact.to_vec(),
                call_id: frame.call_id.to_vec(),
                cseq: frame.cseq,
                user_agent: frame.user_agent.to_vec(),
                since_us: at_us,
                expires_at_us: at_us + u64::from(frame.expires_s) * 1_000_000,
            };
            flows.bind(key, flow, at_us);
        }
        FlowOp::Removed | FlowOp::Expired => {
            let contact = (frame.contact != b"*").then_some(frame.contact);
            flows.remove_number(frame.number, contact);
        }
        FlowOp::Answered => {}
    }
}
