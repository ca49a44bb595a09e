// SPDX-License-Identifier: Apache-2.0
//! Records and the layout of their payloads ("Journal format" in `docs/architecture.md`).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::codes::{FlowOp, IncrementWhy, Kind, METHODS, Reason, Scope, Transport, flags};
use crate::error::JournalError;
use crate::frame::MAX_PAYLOAD;

/// Longest caller, callee, user agent and phone number of an attempt, number and user agent of a flow; bytes.
pub const MAX_NAME: usize = 64;
/// Longest Call-ID kept, bytes.
pub const MAX_CALL_ID: usize = 128;
/// Longest method text kept, bytes.
pub const MAX_METHOD: usize = 16;
/// Longest contact of a flow kept, bytes.
pub const MAX_CONTACT: usize = 1024;
/// Longest `+sip.instance` of a binding kept, bytes.
pub const MAX_INSTANCE: usize = 128;
/// Longest Path of a binding kept, all values together, bytes.
pub const MAX_PATH: usize = 1024;
/// Longest raw message kept, bytes.
pub const MAX_RAW: usize = 2048;

const ATTEMPT_FIXED: usize = 38;
const FLOW_FIXED: usize = 24;
/// Longest contact of a flow without a [`Binding`].
const SHORT_CONTACT: usize = 255;

/// A refused attempt, or a challenge that waits for its answer. Strings are what the stranger sent; they are cut at their
/// limits when written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Why it was refused; [`Reason::UnansweredChallenge`] for a challenge.
    pub reason: Reason,
    /// Code in [`METHODS`]; 0 for another method, named by `method_text`.
    pub method: u8,
    /// How it came.
    pub transport: Transport,
    /// Whose attempts are counted into this record.
    pub scope: Scope,
    /// SIP status answered, 0 for none.
    pub status: u16,
    /// Code of what is malformed, else 0.
    pub detail: u16,
    /// Where it came from. A v4-mapped address is written as IPv4.
    pub source: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// See [`flags`]; those that follow from the record itself are set by the encoder.
    pub flags: u16,
    /// The gateway it was taken for, 0 for none.
    pub gateway_id: u32,
    /// Traits of the message, as bits of the guard's own.
    pub traits: u32,
    /// Fingerprint of the sender's software.
    pub fingerprint: u64,
    /// Sequence number of the challenge that this message answered, 0 for none.
    pub settles: u64,
    /// Calling user part.
    pub caller: &'a [u8],
    /// Called user part.
    pub callee: &'a [u8],
    /// User-Agent header field.
    pub user_agent: &'a [u8],
    /// Call-ID header field.
    pub call_id: &'a [u8],
    /// The method's name; written only if `method` is 0.
    pub method_text: &'a [u8],
    /// Phone number that the credentials name.
    pub auth_user: &'a [u8],
    /// The message with its credentials masked, if it is kept.
    pub raw: Option<&'a [u8]>,
}

/// A change of a registered flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow<'a> {
    /// What happened.
    pub op: FlowOp,
    /// How the phone is reached.
    pub transport: Transport,
    /// See [`flags`]; the address bits are set by the encoder.
    pub flags: u16,
    /// The phone's side of the flow. A v4-mapped address is written as IPv4.
    pub source: SocketAddr,
    /// Our side of the flow.
    pub local: SocketAddr,
    /// Seconds until the binding ends.
    pub expires_s: u32,
    /// `CSeq` number of the REGISTER.
    pub cseq: u32,
    /// Sequence number of the challenge that was answered, 0 for none.
    pub settles: u64,
    /// The phone's number.
    pub number: &'a [u8],
    /// Contact URI.
    pub contact: &'a [u8],
    /// Call-ID of the REGISTER.
    pub call_id: &'a [u8],
    /// User-Agent header field.
    pub user_agent: &'a [u8],
    /// What else the registrar keeps of the contact. None: the frame changes no binding, or is of a time when nothing else was kept.
    pub binding: Option<Binding<'a>>,
}

/// What a registrar keeps of a contact beside its URI and its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Preference in thousandths (RFC 3261 §20.10).
    pub q: u16,
    /// Which of the device's flows (RFC 5626 §4.1), 0 for none.
    pub reg_id: u32,
    /// The device (RFC 5626 §4.1), empty for none.
    pub instance: &'a [u8],
    /// Values of Path (RFC 3327), in their order, with line feeds between them.
    pub path: &'a [u8],
}

/// A payload made elsewhere (`MessagePack`, described in `ledger.schema`) that the journal only carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opaque<'a> {
    kind: Kind,
    payload: &'a [u8],
}

impl<'a> Opaque<'a> {
    /// A frame of `kind`, which must be one whose payload is made elsewhere.
    pub fn new(kind: Kind, payload: &'a [u8]) -> Result<Self, JournalError> {
        if !is_opaque(kind) {
            return Err(JournalError::Payload { seq: 0, what: "this kind has a layout of its own" });
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(JournalError::TooLarge { what: "frame", bytes: payload.len(), limit: MAX_PAYLOAD });
        }
        Ok(Self { kind, payload })
    }

    /// What the payload is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes carried.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// True for kinds whose payload is made elsewhere.
pub fn is_opaque(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::CallStarted | Kind::CallAnswered | Kind::CallEnded | Kind::CallsAlive | Kind::Retention | Kind::Admin
    )
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// A refused attempt.
    Refusal(Attempt<'a>),
    /// A challenge sent.
    Challenge(Attempt<'a>),
    /// `count` more attempts belong to the record with sequence `base_seq`.
    Increment {
        /// Sequence number of the record that is counted up.
        base_seq: u64,
        /// How many attempts are added.
        count: u32,
        /// Why they are not records of their own.
        why: IncrementWhy,
    },
    /// `count` attempts that leave no row because recording is off.
    RefusalSummary {
        /// Why they were refused.
        reason: Reason,
        /// Code in [`METHODS`].
        method: u8,
        /// How many.
        count: u32,
    },
    /// A change of a registered flow.
    Flow(Flow<'a>),
    /// Made elsewhere.
    Opaque(Opaque<'a>),
    /// The counters of a run so far, in the order of `guard::Counter`; at most 255.
    Books {
        /// The run that counted.
        run: u32,
        /// The counters.
        counters: Cow<'a, [u64]>,
    },
}

impl<'a> Record<'a> {
    /// The kind of frame that carries it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refusal(_) => Kind::Refusal,
            Self::Challenge(_) => Kind::Challenge,
            Self::Increment { .. } => Kind::Increment,
            Self::RefusalSummary { .. } => Kind::RefusalSummary,
            Self::Flow(_) => Kind::Flow,
            Self::Opaque(opaque) => opaque.kind,
            Self::Books { .. } => Kind::Books,
        }
    }

    /// Appends the payload.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Refusal(attempt) | Self::Challenge(attempt) => attempt.encode(out),
            Self::Increment { base_seq, count, why } => {
                let mut fixed = [0; 13];
                fixed[..8].copy_from_slice(&base_seq.to_le_bytes());
                fixed[8..12].copy_from_slice(&count.to_le_bytes());
                fixed[12] = why.code();
                out.extend_from_slice(&fixed);
            }
            Self::RefusalSummary { reason, method, count } => {
                let mut fixed = [reason.code(), *method, 0, 0, 0, 0, 0, 0];
                fixed[4..].copy_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&fixed);
            }
            Self::Flow(flow) => flow.encode(out),
            Self::Opaque(opaque) => out.extend_from_slice(opaque.payload),
            Self::Books { run, counters } => {
                let kept = &counters[..counters.len().min(usize::from(u8::MAX))];
                out.extend_from_slice(&run.to_le_bytes());
                out.push(kept.len() as u8);
                for counter in kept {
                    out.extend_from_slice(&counter.to_le_bytes());
                }
            }
        }
    }

    /// Reads the payload of a frame of `kind`; the error says what is wrong with it.
    pub fn decode(kind: Kind, payload: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Fields { rest: payload };
        let record = match kind {
            Kind::Refusal => Self::Refusal(Attempt::decode(&mut fields)?),
            Kind::Challenge => Self::Challenge(Attempt::decode(&mut fields)?),
            Kind::Increment => Self::Increment {
                base_seq: fields.u64()?,
                count: fields.u32()?,
                why: IncrementWhy::from_code(fields.u8()?).ok_or("unknown cause of an increment")?,
            },
            Kind::RefusalSummary => {
                let (reason, method) = (fields.reason()?, fields.method()?);
                fields.take(2)?;
                Self::RefusalSummary { reason, method, count: fields.u32()? }
            }
            Kind::Flow => Self::Flow(Flow::decode(&mut fields)?),
            Kind::Books => {
                let run = fields.u32()?;
                let count = usize::from(fields.u8()?);
                let (words, _) = fields.take(count * 8)?.as_chunks();
                Self::Books { run, counters: words.iter().map(|word| u64::from_le_bytes(*word)).collect() }
            }
            Kind::Chain => return Err("a chain frame carries no record"),
            opaque => {
                return Ok(Self::Opaque(Opaque { kind: opaque, payload }));
            }
        };
        if fields.rest.is_empty() { Ok(record) } else { Err("bytes left over after the record") }
    }
}

impl<'a> Attempt<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let (source, local) = (self.source.ip().to_canonical(), self.local.ip().to_canonical());
        let mut flags = address_flags(self.flags, source, local) & !flags::HAS_RAW;
        if self.raw.is_some() {
            flags |= flags::HAS_RAW;
        }
        let mut fixed = [0; ATTEMPT_FIXED];
        fixed[0] = self.reason.code();
        fixed[1] = self.method;
        fixed[2] = self.transport.code();
        fixed[3] = self.scope.code();
        fixed[4..6].copy_from_slice(&self.status.to_le_bytes());
        fixed[6..8].copy_from_slice(&self.detail.to_le_bytes());
        fixed[8..10].copy_from_slice(&self.source.port().to_le_bytes());
        fixed[10..12].copy_from_slice(&self.local.port().to_le_bytes());
        fixed[12..14].copy_from_slice(&flags.to_le_bytes());
        fixed[14..18].copy_from_slice(&self.gateway_id.to_le_bytes());
        fixed[18..22].copy_from_slice(&self.traits.to_le_bytes());
        fixed[22..30].copy_from_slice(&self.fingerprint.to_le_bytes());
        fixed[30..38].copy_from_slice(&self.settles.to_le_bytes());
        out.extend_from_slice(&fixed);
        put_address(out, source);
        put_address(out, local);
        put_string(out, self.caller, MAX_NAME);
        put_string(out, self.callee, MAX_NAME);
        put_string(out, self.user_agent, MAX_NAME);
        put_string(out, self.call_id, MAX_CALL_ID);
        put_string(out, if self.method == 0 { self.method_text } else { b"" }, MAX_METHOD);
        put_string(out, self.auth_user, MAX_NAME);
        if let Some(raw) = self.raw {
            put_long_string(out, raw, MAX_RAW);
        }
    }

    fn decode(fields: &mut Fields<'a>) -> Result<Self, &'static str> {
        let reason = fields.reason()?;
        let method = fields.method()?;
        let transport = fields.transport()?;
        let scope = Scope::from_code(fields.u8()?).ok_or("unknown scope")?;
        let (status, detail) = (fields.u16()?, fields.u16()?);
        let (source_port, local_port) = (fields.u16()?, fields.u16()?);
        let flags = fields.u16()?;
        let (gateway_id, traits) = (fields.u32()?, fields.u32()?);
        let (fingerprint, settles) = (fields.u64()?, fields.u64()?);
        Ok(Self {
            reason,
            method,
            transport,
            scope,
            status,
            detail,
            source: SocketAddr::new(fields.address(flags & flags::IS_SOURCE_V6 != 0)?, source_port),
            local: SocketAddr::new(fields.address(flags & flags::IS_LOCAL_V6 != 0)?, local_port),
            flags,
            gateway_id,
            traits,
            fingerprint,
            settles,
            caller: fields.string()?,
            callee: fields.string()?,
            user_agent: fields.string()?,
            call_id: fields.string()?,
            method_text: fields.string()?,
            auth_user: fields.string()?,
            raw: if flags & flags::HAS_RAW == 0 { None } else { Some(fields.long_string()?) },
        })
    }
}

impl<'a> Flow<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let (source, local) = (self.source.ip().to_canonical(), self.local.ip().to_canonical());
        let mut fixed = [0; FLOW_FIXED];
        fixed[0] = self.op.code();
        fixed[1] = self.transport.code();
        let mut flags = address_flags(self.flags, source, local) & !flags::HAS_BINDING;
        if self.binding.is_some() {
            flags |= flags::HAS_BINDING;
        }
        fixed[2..4].copy_from_slice(&flags.to_le_bytes());
        fixed[4..6].copy_from_slice(&self.source.port().to_le_bytes());
        fixed[6..8].copy_from_slice(&self.local.port().to_le_bytes());
        fixed[8..12].copy_from_slice(&self.expires_s.to_le_bytes());
        fixed[12..16].copy_from_slice(&self.cseq.to_le_bytes());
        fixed[16..24].copy_from_slice(&self.settles.to_le_bytes());
        out.extend_from_slice(&fixed);
        put_address(out, source);
        put_address(out, local);
        put_string(out, self.number, MAX_NAME);
        put_string(out, if self.binding.is_some() { b"" } else { self.contact }, SHORT_CONTACT);
        put_string(out, self.call_id, MAX_CALL_ID);
        put_string(out, self.user_agent, MAX_NAME);
        if let Some(binding) = self.binding {
            put_long_string(out, self.contact, MAX_CONTACT);
            out.extend_from_slice(&binding.q.to_le_bytes());
            out.extend_from_slice(&binding.reg_id.to_le_bytes());
            put_string(out, binding.instance, MAX_INSTANCE);
            put_long_string(out, binding.path, MAX_PATH);
        }
    }

    fn decode(fields: &mut Fields<'a>) -> Result<Self, &'static str> {
        let op = FlowOp::from_code(fields.u8()?).ok_or("unknown operation on a flow")?;
        let transport = fields.transport()?;
        let flags = fields.u16()?;
        let (source_port, local_port) = (fields.u16()?, fields.u16()?);
        let (expires_s, cseq) = (fields.u32()?, fields.u32()?);
        let settles = fields.u64()?;
        let mut flow = Self {
            op,
            transport,
            flags,
            source: SocketAddr::new(fields.address(flags & flags::IS_SOURCE_V6 != 0)?, source_port),
            local: SocketAddr::new(fields.address(flags & flags::IS_LOCAL_V6 != 0)?, local_port),
            expires_s,
            cseq,
            settles,
            number: fields.string()?,
            contact: fields.string()?,
            call_id: fields.string()?,
            user_agent: fields.string()?,
            binding: None,
        };
        if flags & flags::HAS_BINDING != 0 {
            flow.contact = fields.long_string()?;
            flow.binding = Some(Binding {
                q: fields.u16()?,
                reg_id: fields.u32()?,
                instance: fields.string()?,
                path: fields.long_string()?,
            });
        }
        Ok(flow)
    }
}

fn address_flags(flags: u16, source: IpAddr, local: IpAddr) -> u16 {
    let mut flags = flags & !(flags::IS_SOURCE_V6 | flags::IS_LOCAL_V6);
    if source.is_ipv6() {
        flags |= flags::IS_SOURCE_V6;
    }
    if local.is_ipv6() {
        flags |= flags::IS_LOCAL_V6;
    }
    flags
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
}

fn put_string(out: &mut Vec<u8>, string: &[u8], limit: usize) {
    let kept = &string[..string.len().min(limit)];
    out.push(kept.len() as u8);
    out.extend_from_slice(kept);
}

/// A string whose length takes two bytes.
fn put_long_string(out: &mut Vec<u8>, string: &[u8], limit: usize) {
    let kept = &string[..string.len().min(limit)];
    out.extend_from_slice(&(kept.len() as u16).to_le_bytes());
    out.extend_from_slice(kept);
}

/// What is left of a payload.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("the record ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("the record ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        self.array::<1>().map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::from(self.u8()?);
        self.take(length)
    }

    fn long_string(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    fn address(&mut self, is_v6: bool) -> Result<IpAddr, &'static str> {
        Ok(if is_v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))
        })
    }

    fn reason(&mut self) -> Result<Reason, &'static str> {
        Reason::from_code(self.u8()?).ok_or("unknown reason")
    }

    fn method(&mut self) -> Result<u8, &'static str> {
        let code = self.u8()?;
        if usize::from(code) < METHODS.len() { Ok(code) } else { Err("unknown method code") }
    }

    fn transport(&mut self) -> Result<Transport, &'static str> {
        Transport::from_code(self.u8()?).ok_or("unknown transport")
    }
}
