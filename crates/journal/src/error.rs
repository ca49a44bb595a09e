// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a journal, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the journal. Its text says what happened and where, [`JournalError::hint`] how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// There is no room for the write. Nothing of it is in the journal; its sequence numbers are free again
    /// ([`SegmentWriter::next_seq`](crate::SegmentWriter::next_seq) names the first). Later writes may succeed.
    #[error("{path}: no room on the disk ({source})")]
    Full {
        /// The segment.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The operating system refused an operation.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb with its object.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("{path}: damaged at byte {offset}: {what}")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Byte offset in the uncompressed segment.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Sequence numbers are missing between two segments.
    #[error("{path}: the segment that starts at sequence {expected} is missing")]
    Missing {
        /// The first segment after the hole.
        path: PathBuf,
        /// The sequence number that should come next.
        expected: u64,
    },
    /// A reader has already taken frames that the journal does not have (any more).
    #[error("{path}: the journal ends at sequence {last_seq}, but its reader has already taken {after_seq}")]
    Ahead {
        /// The stream's directory.
        path: PathBuf,
        /// What the reader has taken.
        after_seq: u64,
        /// What the journal ends with.
        last_seq: u64,
    },
    /// Another process writes this stream.
    #[error("{path}: another process writes this journal")]
    Busy {
        /// The stream's directory.
        path: PathBuf,
    },
    /// The units of a write do not continue the stream.
    #[error("the write starts at sequence {got}, the journal continues at {expected}")]
    OutOfSequence {
        /// What the journal continues with.
        expected: u64,
        /// What the unit starts with.
        got: u64,
    },
    /// A write or a payload is larger than the format allows.
    #[error("{bytes} bytes are more than the {limit} that one {what} may have")]
    TooLarge {
        /// `write` or `frame`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A frame is whole but its payload cannot be understood.
    #[error("frame {seq}: {what}")]
    Payload {
        /// The frame's sequence number.
        seq: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl JournalError {
    /// Wraps an error of the system; what means "no room" becomes [`JournalError::Full`].
    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            // EFBIG: the process's file size limit (RLIMIT_FSIZE) or the file system's.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path: path.to_owned(), source }
            }
            _ => Self::Io { path: path.to_owned(), doing, source },
        }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }

    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "journal_full",
            Self::Io { .. } => "journal_io",
            Self::Damaged { .. } => "journal_damaged",
            Self::Missing { .. } => "journal_missing",
            Self::Ahead { .. } => "journal_ahead",
            Self::Busy { .. } => "journal_busy",
            Self::OutOfSequence { .. } => "journal_sequence",
            Self::TooLarge { .. } => "journal_too_large",
            Self::Payload { .. } => "journal_payload",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Full { .. } => "free some space; recording goes on by itself",
            Self::Io { .. } => "look at the file's owner and mode, and at the disk's own messages",
            Self::Damaged { .. } | Self::Missing { .. } => {
                "restore this segment from a backup, or let the reader skip what it cannot read"
            }
            Self::Ahead { .. } => {
                "an older copy of the journal was put in its place: restore a newer one, or rebuild the ledger"
            }
            Self::Busy { .. } => "stop the other process, or use another data directory",
            Self::OutOfSequence { .. } => "drop the unit and number its frames anew",
            Self::TooLarge { .. } => "split it",
            Self::Payload { .. } => "read this journal with the version of Ringfence that wrote it, or a newer one",
        }
    }

    /// True if a later write may succeed without anyone restarting anything.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}
