// SPDX-License-Identifier: Apache-2.0
//! The journal: what the switch did, in the order it did it, written before it answers.
//!
//! A stream is a series of segment files. Records are encoded as frames into a [`WriteUnit`]; a [`SegmentWriter`] appends
//! a unit as one write, closed by a chain frame. A [`StreamReader`] follows the stream and gives [`Batch`]es of frames, which
//! decode to columns. Sealed segments are compressed by [`archive_sealed`]; [`verify`] proves a stream. Every byte is
//! described in `docs/architecture.md` ("Journal format").
//!
//! This crate does file I/O and nothing else: it starts no thread, reads no clock and knows nothing of SIP.

mod archive;
mod codes;
mod columns;
mod error;
mod frame;
mod reader;
mod record;
mod recover;
mod scan;
mod segment;
mod sys;
mod verify;
mod writer;

pub use archive::{ARCHIVE_LEVEL, archive_sealed};
pub use codes::{FlowOp, IncrementWhy, Kind, METHODS, Reason, Scope, Stream, Transport, flags};
pub use columns::{BooksFrame, Column, ColumnType, Columns, OpaqueFrame};
pub use error::JournalError;
pub use frame::{CHAIN_FRAME, FRAME_HEADER, Frame, JournalId, MAX_FRAME, MAX_PAYLOAD, MAX_WRITE, WriteUnit};
pub use reader::{Batch, StreamReader};
pub use record::{
    Attempt, Binding, Flow, MAX_CALL_ID, MAX_CONTACT, MAX_INSTANCE, MAX_METHOD, MAX_NAME, MAX_PATH, MAX_RAW, Opaque,
    Record, is_opaque,
};
pub use recover::Recovery;
pub use segment::{SEGMENT_HEADER, SegmentFile, SegmentHeader, list_segments};
pub use verify::{Fault, SegmentSummary, VerifyReport, summarise, verify};
pub use writer::{Opened, Options, SegmentWriter, Syncer};
