// SPDX-License-Identifier: Apache-2.0
//! Proving that a stream is what was written: headers, checksums, sequence and hash chain of every segment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::JournalError;
use crate::frame::JournalId;
use crate::reader::read_header;
use crate::recover::{header_of, read_segment};
use crate::scan::{Check, Place, Step, last_chain, next_write};
use crate::segment::{SEGMENT_HEADER, SegmentFile, archived_path, list_segments};

/// What verification found. The counts cover everything before the fault, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The journal; `None` if there is no segment yet.
    pub journal_id: Option<JournalId>,
    /// Segments read to their end.
    pub segments: usize,
    /// How many of them are archived.
    pub archived: usize,
    /// Whole writes.
    pub writes: u64,
    /// Frames, without chain frames.
    pub frames: u64,
    /// Bytes of the segment files on disk.
    pub disk_bytes: u64,
    /// First sequence number; 0 if there is no frame.
    pub first_seq: u64,
    /// Last sequence number; 0 if there is no frame.
    pub last_seq: u64,
    /// Sequence numbers before the oldest segment, let go by retention. The chain is proved from there on only.
    pub let_go: u64,
    /// Bytes behind the last whole write of the live segment: a write under way, or one that the next run cuts.
    pub tail_bytes: u64,
    /// The first place that is not what was written.
    pub fault: Option<Fault>,
}

/// A place that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The segment.
    pub path: PathBuf,
    /// Byte offset in the uncompressed segment.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Walks every segment in `dir` up to the first fault. `progress` is told segments done and segments in all, after each.
pub fn verify(dir: &Path, mut progress: impl FnMut(usize, usize)) -> Result<VerifyReport, JournalError> {
    let segments = list_segments(dir)?;
    let mut report = VerifyReport::default();
    let mut place = None;
    for (index, segment) in segments.iter().enumerate() {
        let is_live = index + 1 == segments.len() && !segment.is_archived;
        match verify_segment(segment, is_live, &mut place, &mut report) {
            Ok(()) => progress(index + 1, segments.len()),
            Err(Stop::System(error)) => return Err(error),
            Err(Stop::Fault { offset, what }) => {
                let path = segment.path.clone();
                report.fault = Some(Fault { path, offset: offset as u64, what });
                return Ok(report);
            }
        }
    }
    Ok(report)
}

/// Why verification of a segment stopped.
enum Stop {
    /// The bytes are not what was written.
    Fault { offset: usize, what: String },
    /// The bytes could not be had.
    System(JournalError),
}

fn verify_segment(
    segment: &SegmentFile,
    is_live: bool,
    place: &mut Option<Place>,
    report: &mut VerifyReport,
) -> Result<(), Stop> {
    fn bad(offset: usize, what: &str) -> Result<(), Stop> {
        Err(Stop::Fault { offset, what: what.to_owned() })
    }
    let disk_bytes = fs::metadata(&segment.path)
        .map_err(|error| Stop::System(JournalError::io(&segment.path, "look at the segment", error)))?
        .len();
    let bytes = match read_segment(segment) {
        Ok(bytes) => bytes,
        Err(_) if segment.is_archived => return bad(0, "the archive cannot be decompressed"),
        Err(error) => return Err(Stop::System(error)),
    };
    let header = match header_of(&bytes) {
        Ok(header) => header,
        Err(what) => return bad(0, what),
    };
    if header.first_seq != segment.first_seq {
        return bad(24, "the segment's name is not its first sequence number");
    }
    if *report.journal_id.get_or_insert(header.journal_id) != header.journal_id {
        return bad(8, "this segment belongs to another journal");
    }
    let mut here = match *place {
        Some(place) if place.next_seq != header.first_seq => {
            return bad(24, &format!("the segment that starts at sequence {} is missing", place.next_seq));
        }
        Some(place) if place.hash != header.hash => {
            return bad(40, "the hash chain does not continue");
        }
        None if header.first_seq == 1 && header.hash != [0; 32] => {
            return bad(40, "the hash chain does not start with zeros");
        }
        Some(place) => place,
        None => {
            report.let_go = header.first_seq - 1;
            Place { next_seq: header.first_seq, hash: header.hash }
        }
    };
    let journal_crc = header.journal_id.crc();
    let mut at = SEGMENT_HEADER;
    while at < bytes.len() {
        let (offset, what) = match next_write(&bytes[at..], &here, Check::All { journal_crc }) {
            Step::Whole(write) => {
                if report.first_seq == 0 {
                    report.first_seq = here.next_seq;
                }
                at += write.length;
                here = write.after;
                report.writes += 1;
                report.frames += write.frames as u64;
                report.last_seq = here.next_seq - 1;
                continue;
            }
            Step::Short if is_live && last_chain(&bytes[at..], journal_crc).is_none() => {
                report.tail_bytes = (bytes.len() - at) as u64;
                break;
            }
            Step::Short => (at, "the segment ends inside a write"),
            Step::Bad { offset, what } => (at + offset, what),
        };
        return bad(offset, what);
    }
    *place = Some(here);
    report.segments += 1;
    report.archived += usize::from(segment.is_archived);
    report.disk_bytes += disk_bytes;
    Ok(())
}

/// A segment with what its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Where it lies.
    pub path: PathBuf,
    /// Sequence number of its first frame.
    pub first_seq: u64,
    /// Sequence number of its last frame; `None` for the live segment.
    pub last_seq: Option<u64>,
    /// Size of the file on disk.
    pub disk_bytes: u64,
    /// When it was begun, UTC microseconds.
    pub first_time_us: u64,
    /// No frame in it is later than this (when the next segment was begun); `None` for the live segment.
    pub last_time_us: Option<u64>,
}

impl SegmentSummary {
    /// True if nothing is appended to it any more.
    pub fn is_sealed(&self) -> bool {
        self.last_seq.is_some()
    }
}

/// The segments in `dir`, oldest first, from their names and headers alone. Where a header cannot be read, the time is that
/// of the file.
pub fn summarise(dir: &Path) -> Result<Vec<SegmentSummary>, JournalError> {
    let mut summaries: Vec<SegmentSummary> = Vec::new();
    for SegmentFile { path, first_seq, is_archived } in list_segments(dir)? {
        // Archived since it was listed: the plain file is gone, its archive is there.
        let path = if is_archived || path.exists() { path } else { archived_path(dir, first_seq) };
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Let go since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(JournalError::io(&path, "look at the segment", error)),
        };
        let first_time_us = match read_header(dir, first_seq) {
            Ok(Some(header)) => header.time_us,
            Ok(None) | Err(JournalError::Damaged { .. }) => modified_us(&metadata),
            Err(error) => return Err(error),
        };
        if let Some(before) = summaries.last_mut() {
            before.last_seq = Some(first_seq - 1);
            before.last_time_us = Some(first_time_us);
        }
        let disk_bytes = metadata.len();
        summaries.push(SegmentSummary {
            path,
            first_seq,
            last_seq: None,
            disk_bytes,
            first_time_us,
            last_time_us: None,
        });
    }
    Ok(summaries)
}

fn modified_us(metadata: &fs::Metadata) -> u64 {
    let since_epoch = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0, |time| time.as_micros() as u64)
}
