// SPDX-License-Identifier: Apache-2.0
//! The journal: what the switch did, in the order it did it, written before it answers.
//!
//! A stream is a series of segment files. Records are encoded as frames into a [`WriteUnit`]; a [`SegmentWriter`] appends
//! a unit as one write, closed by a chain frame. `docs/architecture.md` ("Journal format") describes every byte.
//!
//! This crate does file I/O and nothing else: it starts no thread, reads no clock and knows nothing of SIP.

mod codes;
mod error;
mod frame;
mod record;
mod recover;
mod scan;
mod segment;
mod sys;
mod writer;

pub use codes::{FlowOp, IncrementWhy, Kind, METHODS, Reason, Scope, Stream, Transport, flags};
pub use error::JournalError;
pub use frame::{
    CHAIN_FRAME, FRAME_HEADER, Frame, JournalId, MAX_FRAME, MAX_PAYLOAD, MAX_WRITE, WriteUnit,
};
pub use record::{
    Attempt, Flow, MAX_CALL_ID, MAX_CONTACT, MAX_METHOD, MAX_NAME, MAX_RAW, Opaque, Record,
    is_opaque,
};
pub use recover::Recovery;
pub use segment::{SEGMENT_HEADER, SegmentFile, SegmentHeader, list_segments};
pub use writer::{Opened, Options, SegmentWriter, Syncer};
