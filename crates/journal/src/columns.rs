// SPDX-License-Identifier: Apache-2.0
//! Frames as columns, laid out as Arrow does it, so that whole columns cross into Python at once.
//!
//! Numbers are little-endian and packed; strings and bytes are i32 offsets (one more than rows) and their bytes; validity,
//! where a column has it, is a bitmap, lowest bit first. <https://arrow.apache.org/docs/format/Columnar.html>

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::codes::Kind;
use crate::error::JournalError;
use crate::reader::Batch;
use crate::record::{Attempt, Flow, Record, is_opaque};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// u8
    U8,
    /// u16
    U16,
    /// u32
    U32,
    /// u64
    U64,
    /// UTF-8 with i32 offsets
    String,
    /// Binary with i32 offsets
    Bytes,
}

impl ColumnType {
    /// The name that goes into Python.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::String => "string",
            Self::Bytes => "bytes",
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it holds.
    pub column_type: ColumnType,
    /// Rows.
    pub len: usize,
    /// A bit per row, lowest first; `None` if every row has a value.
    pub validity: Option<Vec<u8>>,
    /// i32 offsets into `data`, one more than rows; `None` for numbers.
    pub offsets: Option<Vec<u8>>,
    /// The values.
    pub data: Vec<u8>,
}

impl Column {
    /// An empty column of numbers of `width` bytes.
    fn numbers(column_type: ColumnType, width: usize, rows: usize) -> Self {
        Self { column_type, len: 0, validity: None, offsets: None, data: Vec::with_capacity(rows * width) }
    }

    /// An empty column of strings that have about `width` bytes.
    fn strings(column_type: ColumnType, width: usize, rows: usize) -> Self {
        let mut offsets = Vec::with_capacity((rows + 1) * 4);
        offsets.extend_from_slice(&0_i32.to_le_bytes());
        Self { offsets: Some(offsets), ..Self::numbers(column_type, width, rows) }
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.data.extend_from_slice(&bytes);
        self.len += 1;
    }

    /// Ends the row whose bytes were put into `data`.
    fn end_row(&mut self) {
        // A batch is far below 2 GiB: it is at most one fetch of a segment.
        let end = (self.data.len() as u32).to_le_bytes();
        if let Some(offsets) = &mut self.offsets {
            offsets.extend_from_slice(&end);
        }
        self.len += 1;
    }

    /// A string that a stranger sent: bytes that are not UTF-8 become `\xNN`.
    fn text(&mut self, bytes: &[u8]) {
        if bytes.is_ascii() {
            self.data.extend_from_slice(bytes);
        } else {
            for chunk in bytes.utf8_chunks() {
                self.data.extend_from_slice(chunk.valid().as_bytes());
                for &byte in chunk.invalid() {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    self.data.extend_from_slice(&[
                        b'\\',
                        b'x',
                        HEX[usize::from(byte >> 4)],
                        HEX[usize::from(byte & 15)],
                    ]);
                }
            }
        }
        self.end_row();
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        let row = self.len;
        let validity = self.validity.get_or_insert_default();
        if row.is_multiple_of(8) {
            validity.push(0);
        }
        if let (Some(bytes), Some(bits)) = (bytes, validity.last_mut()) {
            *bits |= 1 << (row % 8);
            self.data.extend_from_slice(bytes);
        }
        self.end_row();
    }

    /// An address as text; `last` saves writing the same one again.
    fn address(&mut self, address: IpAddr, last: &mut LastAddress) {
        if last.address != Some(address) {
            last.text.clear();
            // Writing to a string cannot fail.
            let _ = write!(last.text, "{}", address.to_canonical());
            last.address = Some(address);
        }
        self.data.extend_from_slice(last.text.as_bytes());
        self.end_row();
    }
}

#[derive(Default)]
struct LastAddress {
    address: Option<IpAddr>,
    text: String,
}

/// Columns of the same length, by name.
pub type Columns = Vec<(&'static str, Column)>;

/// A frame whose payload was made elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpaqueFrame<'a> {
    /// Code of its kind.
    pub kind: u8,
    /// Sequence number.
    pub seq: u64,
    /// UTC microseconds.
    pub time_us: u64,
    /// The bytes carried.
    pub payload: &'a [u8],
}

/// The counters of a run at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksFrame {
    /// Sequence number.
    pub seq: u64,
    /// UTC microseconds.
    pub time_us: u64,
    /// The run that counted.
    pub run: u32,
    /// The counters, in the order of `guard::Counter`.
    pub counters: Vec<u64>,
}

/// Makes a struct of columns with one field per column, and its conversion to [`Columns`].
macro_rules! table {
    ($name:ident { $($column:ident: $make:ident($($argument:expr),+),)+ }) => {
        struct $name { $($column: Column,)+ }

        impl $name {
            fn new(rows: usize) -> Self {
                Self { $($column: Column::$make($($argument,)+ rows),)+ }
            }

            fn into_columns(self) -> Columns {
                vec![$((stringify!($column), self.$column),)+]
            }
        }
    };
}

table! {
    Attempts {
        seq: numbers(ColumnType::U64, 8),
        time_us: numbers(ColumnType::U64, 8),
        kind: numbers(ColumnType::U8, 1),
        reason: numbers(ColumnType::U8, 1),
        method: numbers(ColumnType::U8, 1),
        transport: numbers(ColumnType::U8, 1),
        scope: numbers(ColumnType::U8, 1),
        status: numbers(ColumnType::U16, 2),
        detail: numbers(ColumnType::U16, 2),
        source: strings(ColumnType::String, 15),
        source_port: numbers(ColumnType::U16, 2),
        local: strings(ColumnType::String, 15),
        local_port: numbers(ColumnType::U16, 2),
        flags: numbers(ColumnType::U16, 2),
        gateway_id: numbers(ColumnType::U32, 4),
        traits: numbers(ColumnType::U32, 4),
        fingerprint: numbers(ColumnType::U64, 8),
        settles: numbers(ColumnType::U64, 8),
        caller: strings(ColumnType::String, 12),
        callee: strings(ColumnType::String, 16),
        user_agent: strings(ColumnType::String, 24),
        call_id: strings(ColumnType::String, 40),
        method_text: strings(ColumnType::String, 0),
        auth_user: strings(ColumnType::String, 0),
        raw: strings(ColumnType::Bytes, 0),
    }
}

table! {
    Increments {
        seq: numbers(ColumnType::U64, 8),
        time_us: numbers(ColumnType::U64, 8),
        base_seq: numbers(ColumnType::U64, 8),
        count: numbers(ColumnType::U32, 4),
        why: numbers(ColumnType::U8, 1),
    }
}

table! {
    Summaries {
        seq: numbers(ColumnType::U64, 8),
        time_us: numbers(ColumnType::U64, 8),
        reason: numbers(ColumnType::U8, 1),
        method: numbers(ColumnType::U8, 1),
        count: numbers(ColumnType::U32, 4),
    }
}

table! {
    Flows {
        seq: numbers(ColumnType::U64, 8),
        time_us: numbers(ColumnType::U64, 8),
        op: numbers(ColumnType::U8, 1),
        transport: numbers(ColumnType::U8, 1),
        flags: numbers(ColumnType::U16, 2),
        source: strings(ColumnType::String, 15),
        source_port: numbers(ColumnType::U16, 2),
        local: strings(ColumnType::String, 15),
        local_port: numbers(ColumnType::U16, 2),
        expires_s: numbers(ColumnType::U32, 4),
        cseq: numbers(ColumnType::U32, 4),
        settles: numbers(ColumnType::U64, 8),
        number: strings(ColumnType::String, 12),
        contact: strings(ColumnType::String, 40),
        call_id: strings(ColumnType::String, 40),
        user_agent: strings(ColumnType::String, 24),
    }
}

impl Batch {
    /// Refusals and challenges, told apart by `kind`.
    pub fn attempts(&self) -> Result<Columns, JournalError> {
        let mut table = Attempts::new(self.count(|kind| matches!(kind, Kind::Refusal | Kind::Challenge))?);
        let (mut source, mut local) = (LastAddress::default(), LastAddress::default());
        table.raw.validity = Some(Vec::new());
        for frame in self.frames() {
            if frame.kind != Kind::Refusal.code() && frame.kind != Kind::Challenge.code() {
                continue;
            }
            if let Record::Refusal(attempt) | Record::Challenge(attempt) = frame.record()? {
                table.seq.number(frame.seq.to_le_bytes());
                table.time_us.number(frame.time_us.to_le_bytes());
                table.kind.number([frame.kind]);
                table.push(&attempt, &mut source, &mut local);
            }
        }
        Ok(table.into_columns())
    }

    /// What was counted into earlier records.
    pub fn increments(&self) -> Result<Columns, JournalError> {
        let mut table = Increments::new(self.count(|kind| kind == Kind::Increment)?);
        for frame in self.frames().filter(|frame| frame.kind == Kind::Increment.code()) {
            if let Record::Increment { base_seq, count, why } = frame.record()? {
                table.seq.number(frame.seq.to_le_bytes());
                table.time_us.number(frame.time_us.to_le_bytes());
                table.base_seq.number(base_seq.to_le_bytes());
                table.count.number(count.to_le_bytes());
                table.why.number([why.code()]);
            }
        }
        Ok(table.into_columns())
    }

    /// Attempts that leave no row.
    pub fn summaries(&self) -> Result<Columns, JournalError> {
        let mut table = Summaries::new(self.count(|kind| kind == Kind::RefusalSummary)?);
        for frame in self.frames().filter(|frame| frame.kind == Kind::RefusalSummary.code()) {
            if let Record::RefusalSummary { reason, method, count } = frame.record()? {
                table.seq.number(frame.seq.to_le_bytes());
                table.time_us.number(frame.time_us.to_le_bytes());
                table.reason.number([reason.code()]);
                table.method.number([method]);
                table.count.number(count.to_le_bytes());
            }
        }
        Ok(table.into_columns())
    }

    /// Changes of registered flows.
    pub fn flows(&self) -> Result<Columns, JournalError> {
        let mut table = Flows::new(self.count(|kind| kind == Kind::Flow)?);
        let (mut source, mut local) = (LastAddress::default(), LastAddress::default());
        for frame in self.frames().filter(|frame| frame.kind == Kind::Flow.code()) {
            if let Record::Flow(flow) = frame.record()? {
                table.seq.number(frame.seq.to_le_bytes());
                table.time_us.number(frame.time_us.to_le_bytes());
                table.push(&flow, &mut source, &mut local);
            }
        }
        Ok(table.into_columns())
    }

    /// Frames whose payload was made elsewhere, in their order.
    pub fn opaque(&self) -> impl Iterator<Item = OpaqueFrame<'_>> {
        self.frames().filter(|frame| Kind::from_code(frame.kind).is_some_and(is_opaque)).map(|frame| OpaqueFrame {
            kind: frame.kind,
            seq: frame.seq,
            time_us: frame.time_us,
            payload: frame.payload,
        })
    }

    /// Counters of runs, in their order.
    pub fn books(&self) -> Result<Vec<BooksFrame>, JournalError> {
        let mut books = Vec::new();
        for frame in self.frames().filter(|frame| frame.kind == Kind::Books.code()) {
            if let Record::Books { run, counters } = frame.record()? {
                books.push(BooksFrame { seq: frame.seq, time_us: frame.time_us, run, counters: counters.into_owned() });
            }
        }
        Ok(books)
    }

    /// How many frames are of the kinds wanted. A kind that this version does not know is an error: it must not get lost.
    fn count(&self, is_wanted: impl Fn(Kind) -> bool) -> Result<usize, JournalError> {
        let mut count = 0;
        for frame in self.frames() {
            let kind =
                Kind::from_code(frame.kind).ok_or(JournalError::Payload { seq: frame.seq, what: "unknown kind" })?;
            count += usize::from(is_wanted(kind));
        }
        Ok(count)
    }
}

impl Attempts {
    fn push(&mut self, attempt: &Attempt<'_>, source: &mut LastAddress, local: &mut LastAddress) {
        self.reason.number([attempt.reason.code()]);
        self.method.number([attempt.method]);
        self.transport.number([attempt.transport.code()]);
        self.scope.number([attempt.scope.code()]);
        self.status.number(attempt.status.to_le_bytes());
        self.detail.number(attempt.detail.to_le_bytes());
        self.source.address(attempt.source.ip(), source);
        self.source_port.number(attempt.source.port().to_le_bytes());
        self.local.address(attempt.local.ip(), local);
        self.local_port.number(attempt.local.port().to_le_bytes());
        self.flags.number(attempt.flags.to_le_bytes());
        self.gateway_id.number(attempt.gateway_id.to_le_bytes());
        self.traits.number(attempt.traits.to_le_bytes());
        self.fingerprint.number(attempt.fingerprint.to_le_bytes());
        self.settles.number(attempt.settles.to_le_bytes());
        self.caller.text(attempt.caller);
        self.callee.text(attempt.callee);
        self.user_agent.text(attempt.user_agent);
        self.call_id.text(attempt.call_id);
        self.method_text.text(attempt.method_text);
        self.auth_user.text(attempt.auth_user);
        self.raw.optional(attempt.raw);
    }
}

impl Flows {
    fn push(&mut self, flow: &Flow<'_>, source: &mut LastAddress, local: &mut LastAddress) {
        self.op.number([flow.op.code()]);
        self.transport.number([flow.transport.code()]);
        self.flags.number(flow.flags.to_le_bytes());
        self.source.address(flow.source.ip(), source);
        self.source_port.number(flow.source.port().to_le_bytes());
        self.local.address(flow.local.ip(), local);
        self.local_port.number(flow.local.port().to_le_bytes());
        self.expires_s.number(flow.expires_s.to_le_bytes());
        self.cseq.number(flow.cseq.to_le_bytes());
        self.settles.number(flow.settles.to_le_bytes());
        self.number.text(flow.number);
        self.contact.text(flow.contact);
        self.call_id.text(flow.call_id);
        self.user_agent.text(flow.user_agent);
    }
}
