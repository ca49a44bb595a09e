// SPDX-License-Identifier: Apache-2.0
//! What the run before left behind: where its journal ends, and what of it was never answered for.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::codes::Stream;
use crate::error::JournalError;
use crate::frame::JournalId;
use crate::scan::{Check, Place, Step, last_chain, next_write};
use crate::segment::{SEGMENT_HEADER, SegmentFile, SegmentHeader, list_segments};

/// What recovery did to a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The segment.
    pub path: PathBuf,
    /// Bytes cut from its end: a write that was begun and never answered for.
    pub cut_bytes: u64,
    /// Where it is damaged, if it is: whole writes follow after this byte, so nothing there was cut.
    pub damaged_at: Option<u64>,
    /// Set aside under this name, because not one write in it can be read.
    pub set_aside: Option<PathBuf>,
}

/// Where a journal ends.
#[derive(Debug)]
pub(crate) struct End {
    pub stream: Stream,
    pub journal_id: JournalId,
    pub run: u32,
    pub place: Place,
    /// The newest segment, if it is plain and holds no frame yet: it can be used again.
    pub empty: Option<PathBuf>,
}

/// Reads a segment, compressed or not, whole.
pub(crate) fn read_segment(segment: &SegmentFile) -> Result<Vec<u8>, JournalError> {
    let path = &segment.path;
    if !segment.is_archived {
        return fs::read(path).map_err(|error| JournalError::io(path, "read the segment", error));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(zstd::stream::read::Decoder::new)
        .and_then(|mut decoder| decoder.read_to_end(&mut bytes))
        .map_err(|error| JournalError::io(path, "read the archived segment", error))?;
    Ok(bytes)
}

pub(crate) fn header_of(bytes: &[u8]) -> Result<SegmentHeader, &'static str> {
    let head = bytes.first_chunk::<SEGMENT_HEADER>().ok_or("the segment ends inside its header")?;
    SegmentHeader::decode(head)
}

/// Finds the end of the journal in `dir` and cuts a torn tail. `None` if there is no journal yet.
pub(crate) fn recover(dir: &Path) -> Result<(Option<End>, Vec<Recovery>), JournalError> {
    let segments = list_segments(dir)?;
    let mut recovered = Vec::new();
    for (index, segment) in segments.iter().enumerate().rev() {
        let bytes = read_segment(segment)?;
        let path = &segment.path;
        match header_of(&bytes) {
            Ok(header) if header.first_seq == segment.first_seq => {
                let (end, recovery) = end_of(segment, &header, &bytes)?;
                recovered.extend(recovery);
                return Ok((Some(end), recovered));
            }
            Ok(_) => {
                return Err(JournalError::damaged(path, 24, "the segment's name is not its first sequence number"));
            }
            Err(what) => {
                let older = header_before(&segments[..index]);
                if let Some(older) = &older
                    && let Some((_, place)) = last_chain(&bytes, older.journal_id.crc())
                {
                    recovered.push(Recovery { path: path.clone(), cut_bytes: 0, damaged_at: Some(0), set_aside: None });
                    let end = End {
                        stream: older.stream,
                        journal_id: older.journal_id,
                        // The damaged header may have been that of the run after.
                        run: older.run.saturating_add(1),
                        place,
                        empty: None,
                    };
                    return Ok((Some(end), recovered));
                }
                if older.is_none() && bytes.len() > SEGMENT_HEADER {
                    return Err(JournalError::damaged(path, 0, what));
                }
                recovered.push(set_aside(path, bytes.len())?);
            }
        }
    }
    Ok((None, recovered))
}

/// The place after the last whole write of the newest segment; what follows is cut.
fn end_of(
    segment: &SegmentFile,
    header: &SegmentHeader,
    bytes: &[u8],
) -> Result<(End, Option<Recovery>), JournalError> {
    let path = &segment.path;
    let journal_crc = header.journal_id.crc();
    let mut place = Place { next_seq: header.first_seq, hash: header.hash };
    let mut at = SEGMENT_HEADER;
    let mut damaged_at = None;
    while at < bytes.len() {
        match next_write(&bytes[at..], &place, Check::All { journal_crc }) {
            Step::Whole(write) => {
                at += write.length;
                place = write.after;
            }
            Step::Short | Step::Bad { .. } => {
                if let Some((end, after)) = last_chain(&bytes[at..], journal_crc) {
                    damaged_at = Some(at as u64);
                    at += end;
                    place = after;
                }
                break;
            }
        }
    }
    let cut_bytes = (bytes.len() - at) as u64;
    if !segment.is_archived {
        // Also gives back room that was reserved and not used.
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(at as u64))
            .map_err(|error| JournalError::io(path, "cut what was never answered for", error))?;
    }
    let end = End {
        stream: header.stream,
        journal_id: header.journal_id,
        run: header.run,
        place,
        empty: (at == SEGMENT_HEADER && !segment.is_archived).then(|| path.clone()),
    };
    let recovery = (cut_bytes > 0 || damaged_at.is_some()).then(|| Recovery {
        path: path.clone(),
        cut_bytes,
        damaged_at,
        set_aside: None,
    });
    Ok((end, recovery))
}

/// The newest of these segments' headers that can be read.
fn header_before(segments: &[SegmentFile]) -> Option<SegmentHeader> {
    segments.iter().rev().find_map(|segment| header_of(&read_segment(segment).ok()?).ok())
}

/// Takes a segment without one readable write out of the series: its header never reached the disk before the power went.
fn set_aside(path: &Path, bytes: usize) -> Result<Recovery, JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    fs::rename(path, &aside).map_err(|error| JournalError::io(path, "set the unreadable segment aside", error))?;
    Ok(Recovery { path: path.to_owned(), cut_bytes: bytes as u64, damaged_at: None, set_aside: Some(aside) })
}
