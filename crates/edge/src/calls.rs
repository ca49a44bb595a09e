// SPDX-License-Identifier: Apache-2.0
//! The calls thread: the calls journal, and the answers that wait for it.
//!
//! What the call layer decides arrives as orders. A frame is written before the answer that it accounts for leaves, and made
//! durable in groups of at most 100 ms by the sync thread; an order may ask for that before its answer. Only such answers wait for the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use guard::{Flow, FlowKey, Standing};
use journal::{FlowOp, JournalError, Kind, Opaque, Record, SegmentWriter, WriteUnit};
use sip::answer::{Answer, ExtraHeader, Token};
use sip::{HeaderName, Parsed};

use crate::durable::{Durable, Synced};
use crate::receive::Command;
use crate::shared::{Event, Outlet, Shared};
use crate::sys;

/// How often is done what nobody asks for.
const TEND_EVERY: Duration = Duration::from_millis(100);
/// A repeat of a request within this gets the same answer again (64 x T1).
const KEEP_ANSWER_MS: u64 = 32_000;
/// The receive thread answers a command between two batches; longer means that it is gone.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// A header field for an answer.
pub type HeaderLine = (String, Vec<u8>);

/// What becomes of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Put this Contact in force on the flow that the REGISTER came on.
    Bind {
        /// Contact URI as the phone wrote it.
        contact: Vec<u8>,
        /// Seconds.
        expires_s: u32,
    },
    /// End this Contact, or all of the number for None.
    Remove {
        /// Contact URI.
        contact: Option<Vec<u8>>,
    },
}

/// An order of the call layer.
pub(crate) struct Order {
    /// The admitted request to answer; None only writes a frame.
    pub(crate) request_id: Option<u64>,
    pub(crate) status: u16,
    pub(crate) headers: Vec<HeaderLine>,
    pub(crate) frame: Option<(Kind, Vec<u8>)>,
    pub(crate) binding: Option<Binding>,
    /// The answer waits for fdatasync(2), not only for write(2).
    pub(crate) is_durable: bool,
}

pub(crate) struct Calling {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: SegmentWriter,
    pub(crate) durable: Durable,
    pub(crate) orders: Receiver<Order>,
    pub(crate) commands: Sender<Command>,
}

/// An answer that waits until this sequence is durable.
struct Held {
    seq: u64,
    id: u64,
    status: u16,
    headers: Vec<HeaderLine>,
}

struct Desk {
    given: Calling,
    outlet: Outlet,
    unit: WriteUnit,
    /// In the order of their sequences.
    held: VecDeque<Held>,
    has_sync_failed: bool,
}

impl Calling {
    /// Serve until the call layer is gone and its last order is carried out.
    pub(crate) fn serve(self) {
        let outlet = Outlet::new(Arc::clone(&self.shared));
        let (orders, synced) = (self.orders.clone(), self.durable.synced().clone());
        let mut desk =
            Desk { given: self, outlet, unit: WriteUnit::new(4096), held: VecDeque::new(), has_sync_failed: false };
        loop {
            let wait = desk.given.durable.wait().unwrap_or(TEND_EVERY).min(TEND_EVERY);
            select! {
                recv(orders) -> order => match order {
                    Ok(order) => desk.carry_out(order),
                    Err(_) => break,
                },
                recv(synced) -> end => match end {
                    Ok(end) => desk.release(&end),
                    Err(_) => break,
                },
                default(wait) => desk.tend(),
            }
            let is_awaited = !desk.held.is_empty();
            desk.given.durable.pump(is_awaited);
        }
        for end in desk.given.durable.finish() {
            desk.release(&end);
        }
    }
}

impl Desk {
    fn carry_out(&mut self, order: Order) {
        let Order { request_id, mut status, mut headers, frame, binding, is_durable } = order;
        let written = match (frame, &binding) {
            (Some((kind, payload)), _) => {
                Opaque::new(kind, &payload).and_then(|opaque| self.append(&Record::Opaque(opaque)))
            }
            (None, Some(binding)) => request_id.map_or(Ok(()), |id| self.append_binding(id, binding)),
            (None, None) => request_id.map_or(Ok(()), |id| self.append_answered(id)),
        };
        match written {
            Ok(()) => {
                if let (Some(id), Some(binding)) = (request_id, binding)
                    && !self.bind(id, binding)
                {
                    (status, headers) = (500, Vec::new());
                }
            }
            Err(error) => {
                // Not recorded, so not done: the far end may try again.
                self.given.shared.tell(Event::Trouble(format!("new calls and registrations get 503: {error}")));
                (status, headers) = (503, vec![("Retry-After".into(), b"10".to_vec())]);
            }
        }
        let Some(id) = request_id else { return };
        if is_durable && status < 300 {
            self.held.push_back(Held { seq: self.given.durable.last(), id, status, headers });
        } else {
            self.answer(id, status, &headers);
        }
    }

    fn append(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        let now_us = sys::now().utc_us;
        self.unit.clear();
        self.unit.push(self.given.writer.next_seq(), now_us, self.given.writer.journal_crc(), record);
        self.given.writer.append(&self.unit, now_us)?;
        self.given.durable.appended(self.given.writer.next_seq() - 1);
        Ok(())
    }

    /// The flow frame is in the journal before the flow table changes and before the 200 leaves.
    fn append_binding(&mut self, id: u64, binding: &Binding) -> Result<(), JournalError> {
        let Some(admitted) = self.given.shared.pending.lock().get(&id).map(|p| Arc::clone(&p.admitted)) else {
            return Ok(());
        };
        let Standing::Phone { number, settles } = &admitted.standing else {
            return Ok(());
        };
        let fields = Fields::of(&admitted.bytes);
        let (op, contact, expires_s) = match binding {
            Binding::Bind { contact, expires_s } => (FlowOp::Bound, contact.as_slice(), *expires_s),
            Binding::Remove { contact } => (FlowOp::Removed, contact.as_deref().unwrap_or(b"*"), 0),
        };
        let flow = journal::Flow {
            op,
            transport: admitted.peer.transport,
            flags: 0,
            source: admitted.peer.source,
            local: admitted.peer.local,
            expires_s,
            cseq: fields.cseq,
            settles: *settles,
            number,
            contact,
            call_id: &fields.call_id,
            user_agent: &fields.user_agent,
        };
        self.append(&Record::Flow(flow))
    }

    /// Where no other frame tells that a challenge was answered rightly, one does that says nothing else.
    fn append_answered(&mut self, id: u64) -> Result<(), JournalError> {
        let Some(admitted) = self.given.shared.pending.lock().get(&id).map(|p| Arc::clone(&p.admitted)) else {
            return Ok(());
        };
        let Standing::Phone { number, settles: settles @ 1.. } = &admitted.standing else {
            return Ok(());
        };
        let flow = journal::Flow {
            op: FlowOp::Answered,
            transport: admitted.peer.transport,
            flags: 0,
            source: admitted.peer.source,
            local: admitted.peer.local,
            expires_s: 0,
            cseq: 0,
            settles: *settles,
            number,
            contact: b"",
            call_id: b"",
            user_agent: b"",
        };
        self.append(&Record::Flow(flow))
    }

    fn bind(&mut self, id: u64, binding: Binding) -> bool {
        let Some(admitted) = self.given.shared.pending.lock().get(&id).map(|p| Arc::clone(&p.admitted)) else {
            return false;
        };
        let Standing::Phone { number, .. } = &admitted.standing else {
            return false;
        };
        let (done, wait) = bounded(1);
        let command = match binding {
            Binding::Bind { contact, expires_s } => {
                let fields = Fields::of(&admitted.bytes);
                let now_us = sys::now().utc_us;
                let flow = Flow {
                    number: number.clone(),
                    local: admitted.peer.local,
                    contact,
                    call_id: fields.call_id,
                    cseq: fields.cseq,
                    user_agent: fields.user_agent,
                    since_us: now_us,
                    expires_at_us: now_us + u64::from(expires_s) * 1_000_000,
                };
                let key = FlowKey { source: admitted.peer.source, transport: admitted.peer.transport };
                Command::Bind { key, flow: Box::new(flow), done }
            }
            Binding::Remove { contact } => Command::Unbind { number: number.clone(), contact, done },
        };
        if self.given.commands.send(command).is_err() {
            return false;
        }
        self.given.shared.receive_wake.wake();
        wait.recv_timeout(COMMAND_TIMEOUT).is_ok()
    }

    fn answer(&mut self, id: u64, status: u16, headers: &[HeaderLine]) {
        let Some(admitted) = self.given.shared.pending.lock().get(&id).map(|p| Arc::clone(&p.admitted)) else {
            return;
        };
        let extra: Vec<ExtraHeader<'_>> =
            headers.iter().filter_map(|(name, value)| ExtraHeader::new(name, value).ok()).collect();
        let Ok(tag) = Token::new(&admitted.local_tag) else {
            return;
        };
        let mut bytes = Vec::with_capacity(admitted.bytes.len() + 256);
        if let Parsed::Message(message) = sip::parse(&admitted.bytes) {
            Answer::new(status, admitted.peer.source).with_tag(tag).with_extra(&extra).write(&message, &mut bytes);
        }
        self.outlet.send_one(admitted.peer, &bytes);
        if status < 200 {
            return;
        }
        let until_ms = sys::now().ms + KEEP_ANSWER_MS;
        if let Some(pending) = self.given.shared.pending.lock().get_mut(&id) {
            pending.answer = Some(bytes);
            pending.until_ms = until_ms;
        }
        self.given.shared.ended.lock().push_back((until_ms, id));
        if let Standing::Gateway { id } = admitted.standing {
            let _ = self.given.commands.send(Command::Answered { gateway_id: id });
            self.given.shared.receive_wake.wake();
        }
    }

    /// A sync is over: send the answers that waited for it. If it failed they go all the same, and the operator is told once.
    fn release(&mut self, end: &Synced) {
        if let (Err(error), false) = (&end.outcome, self.has_sync_failed) {
            self.given.shared.tell(Event::Trouble(format!("call records may not survive a power cut: {error}")));
        }
        self.has_sync_failed = end.outcome.is_err();
        let through = self.given.durable.take(end);
        while let Some(held) = self.held.pop_front_if(|held| held.seq <= through) {
            self.answer(held.id, held.status, &held.headers);
        }
    }

    /// What is done without being asked: a silent stream closes its segment, and a disk that was full may have room again.
    fn tend(&mut self) {
        let now_us = sys::now().utc_us;
        if self.given.writer.is_due(now_us) {
            let _ = self.given.writer.rotate(now_us);
        }
        let _ = self.given.writer.reserve();
    }
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use guard::{Admitted, Peer};
    use journal::{Options, Stream, Transport};

    use super::*;
    use crate::shared::Pending;

    const LONG: Duration = Duration::from_secs(10);

    fn admitted(id: u64, peer: Peer) -> Pending {
        let bytes = format!(
            "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{id}\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:h>\r\n\
             Call-ID: call{id}\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        let admitted = Admitted {
            id,
            standing: Standing::Gateway { id: 1 },
            peer,
            bytes: bytes.into_bytes(),
            at_us: 1,
            local_tag: *b"0123456789abcdef",
        };
        Pending { admitted: Arc::new(admitted), answer: None, until_ms: u64::MAX }
    }

    fn order(id: u64, is_durable: bool) -> Order {
        let frame = Some((Kind::CallEnded, vec![0x80]));
        Order { request_id: Some(id), status: 200, headers: Vec::new(), frame, binding: None, is_durable }
    }

    #[test]
    fn a_disk_that_syncs_slowly_holds_up_durable_answers_only() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = SegmentWriter::open(directory.path(), Stream::Calls, &Options::of(Stream::Calls), 1).unwrap();
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        phone.set_read_timeout(Some(LONG)).unwrap();
        let shared = Shared::on_loopback(1 << 16);
        let local = shared.udp[0].address;
        let peer = Peer { source: phone.local_addr().unwrap(), local, transport: Transport::Udp, channel: 0 };
        for id in 1..=2 {
            shared.pending.lock().insert(id, admitted(id, peer));
        }
        let (disk, stuck) = bounded::<()>(0);
        let sync = move || {
            stuck.recv().ok();
            Ok(())
        };
        let (durable, syncing) = Durable::start("test-sync", Box::new(sync)).unwrap();
        let (orders, orders_out) = bounded(8);
        let (commands, _commands_out) = crossbeam_channel::unbounded();
        let shared = Arc::new(shared);
        let calling = Calling { shared, writer, durable, orders: orders_out, commands };
        let serving = std::thread::spawn(move || calling.serve());
        let heard = || {
            let mut buffer = [0; 2048];
            let length = phone.recv(&mut buffer).unwrap();
            let Parsed::Message(answer) = sip::parse(&buffer[..length]) else { panic!("no answer") };
            String::from_utf8(answer.call_id().unwrap().to_vec()).unwrap()
        };

        orders.send(order(1, true)).unwrap();
        orders.send(order(2, false)).unwrap();
        assert_eq!(heard(), "call2");
        disk.send_timeout((), LONG).unwrap();
        assert_eq!(heard(), "call1");
        drop((orders, disk));
        serving.join().unwrap();
        syncing.join().unwrap();
    }
}
