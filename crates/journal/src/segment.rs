// SPDX-License-Identifier: Apache-2.0
//! Segment files: their names, their header, and the list of them in a stream's directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::codes::Stream;
use crate::error::JournalError;
use crate::frame::JournalId;

/// Bytes before the first frame of a segment.
pub const SEGMENT_HEADER: usize = 128;

const MAGIC: [u8; 4] = *b"RFJ1";
const VERSION: u16 = 1;
/// The checksum covers everything before it.
const CRC_AT: usize = 120;
const PLAIN: &str = ".rfj";
const ARCHIVED: &str = ".rfj.zst";
/// Ending of files that are not finished yet.
pub(crate) const UNFINISHED: &str = ".tmp";

/// What a segment says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose segments these are.
    pub stream: Stream,
    /// The journal.
    pub journal_id: JournalId,
    /// Sequence number of its first frame; also its name.
    pub first_seq: u64,
    /// When it was begun, UTC microseconds.
    pub time_us: u64,
    /// Chain hash of everything before it.
    pub hash: [u8; 32],
    /// The run of the switch that wrote it; the first is 1.
    pub run: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6] = self.stream.code();
        out[8..24].copy_from_slice(&self.journal_id.0);
        out[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        out[32..40].copy_from_slice(&self.time_us.to_le_bytes());
        out[40..72].copy_from_slice(&self.hash);
        out[72..76].copy_from_slice(&self.run.to_le_bytes());
        let crc = crc32c::crc32c(&out[..CRC_AT]);
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER]) -> Result<Self, &'static str> {
        fn array<const N: usize>(bytes: &[u8; SEGMENT_HEADER], at: usize) -> [u8; N] {
            let mut out = [0; N];
            out.copy_from_slice(&bytes[at..at + N]);
            out
        }
        if array::<4>(bytes, 0) != MAGIC {
            return Err("this is not a segment of a journal");
        }
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        if u32::from_le_bytes(array(bytes, CRC_AT)) != crc || array(bytes, CRC_AT + 4) != [0; 4] {
            return Err("the checksum of the segment's header does not match");
        }
        if u16::from_le_bytes(array(bytes, 4)) != VERSION {
            return Err("a newer version of Ringfence wrote this segment");
        }
        let first_seq = u64::from_le_bytes(array(bytes, 24));
        if !(1..1 << 62).contains(&first_seq) {
            return Err("the segment's first sequence number is impossible");
        }
        Ok(Self {
            stream: Stream::from_code(bytes[6]).ok_or("the segment's header names an unknown stream")?,
            journal_id: JournalId(array(bytes, 8)),
            first_seq,
            time_us: u64::from_le_bytes(array(bytes, 32)),
            hash: array(bytes, 40),
            run: u32::from_le_bytes(array(bytes, 72)),
        })
    }
}

/// A segment file as the directory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Sequence number of its first frame, from its name.
    pub first_seq: u64,
    /// True for a sealed segment in its compressed form.
    pub is_archived: bool,
}

/// Path of the segment that starts with `first_seq`.
pub(crate) fn plain_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}{PLAIN}"))
}

/// Path of its compressed form.
pub(crate) fn archived_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}{ARCHIVED}"))
}

/// The segments of a stream by their first sequence number, each once: where a plain file and its archive both exist (the
/// moment after compression), the archive. The last one is live, all others are sealed. A directory that does not exist
/// has none.
pub fn list_segments(dir: &Path) -> Result<Vec<SegmentFile>, JournalError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::io(dir, "list the directory", error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| JournalError::io(dir, "list the directory", error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let (stem, is_archived) = match (name.strip_suffix(PLAIN), name.strip_suffix(ARCHIVED)) {
            (Some(stem), _) => (stem, false),
            (None, Some(stem)) => (stem, true),
            (None, None) => continue,
        };
        if stem.len() == 20
            && stem.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(first_seq) = stem.parse()
        {
            found.push(SegmentFile { path, first_seq, is_archived });
        }
    }
    found.sort_by_key(|segment| (segment.first_seq, !segment.is_archived));
    found.dedup_by_key(|segment| segment.first_seq);
    Ok(found)
}
