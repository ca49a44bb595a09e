// SPDX-License-Identifier: Apache-2.0
//! Reading a stream while it grows: whole writes only, segment after segment, plain or archived.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::codes::Kind;
use crate::error::JournalError;
use crate::frame::{Frame, JournalId, MAX_WRITE, Parsed, parse};
use crate::recover::header_of;
use crate::scan::{Check, Place, Step, last_chain, next_write};
use crate::segment::{SEGMENT_HEADER, SegmentFile, SegmentHeader, archived_path, list_segments, plain_path};

/// Bytes fetched at once: at least, at most, and per frame asked for.
const FETCH_MIN: usize = 256 << 10;
const FETCH_MAX: usize = MAX_WRITE;
const FETCH_PER_FRAME: usize = 320;

/// Frames in the order they were written, all checked, all of one segment. Owns its bytes.
#[derive(Debug, Clone)]
pub struct Batch {
    journal_id: JournalId,
    first_seq: u64,
    last_seq: u64,
    bytes: Vec<u8>,
}

impl Batch {
    /// The journal they are from.
    pub fn journal_id(&self) -> JournalId {
        self.journal_id
    }

    /// Sequence number of the first frame.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Sequence number of the last frame.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// How many frames, chain frames not counted; at least one.
    pub fn frame_count(&self) -> usize {
        (self.last_seq - self.first_seq + 1) as usize
    }

    /// The frames, without chain frames.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            loop {
                // Checked when it was read.
                let Parsed::Whole(frame, length) = parse(rest, None) else {
                    return None;
                };
                rest = &rest[length..];
                if frame.kind != Kind::Chain.code() {
                    return Some(frame);
                }
            }
        })
    }
}

/// Reads one stream from a place on, and then whatever is appended.
#[derive(Debug)]
pub struct StreamReader {
    dir: PathBuf,
    skips_unreadable: bool,
    after_seq: u64,
    journal_id: Option<JournalId>,
    place: Place,
    missing: u64,
    current: Option<Current>,
    /// Where the live segment looked damaged the last time; believed if it still does.
    suspect: Option<u64>,
}

#[derive(Debug)]
struct Current {
    file: SegmentFile,
    source: Source,
    /// Byte offset in the uncompressed segment of what comes next.
    offset: u64,
}

enum Source {
    Plain(File),
    Archived {
        decoder: Box<zstd::stream::read::Decoder<'static, BufReader<File>>>,
        /// Decompressed and not yet used.
        ready: Vec<u8>,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Archived { .. } => "Archived",
        })
    }
}

/// What a look at the current segment gave.
enum Look {
    Batch(Batch),
    /// Its last whole write has been read, and nothing follows.
    End,
    Unfinished(Unfinished),
}

/// What was made of fetched bytes.
struct Taken {
    /// Where the first frame wanted begins.
    start: usize,
    /// Where the last whole write ends.
    end: usize,
    /// Where and why it ended before the bytes did.
    stop: (usize, &'static str),
}

/// Bytes that are no whole write.
struct Unfinished {
    /// Where, in the uncompressed segment.
    offset: u64,
    what: &'static str,
    /// A chain frame follows: something after this place was answered for.
    has_later_write: bool,
}

impl StreamReader {
    /// A reader of the frames after `after_seq` (0: from the oldest there is) in `dir`, which need not exist yet. With
    /// `skips_unreadable` it passes over what is damaged or missing, segment by segment, and counts it in
    /// [`missing`](Self::missing); without, it reports it as an error, again at each call.
    pub fn open(dir: &Path, after_seq: u64, skips_unreadable: bool) -> Self {
        Self {
            dir: dir.to_owned(),
            skips_unreadable,
            after_seq,
            journal_id: None,
            place: Place { next_seq: after_seq.saturating_add(1), hash: [0; 32] },
            missing: 0,
            current: None,
            suspect: None,
        }
    }

    /// The journal; `None` before any segment exists.
    pub fn journal_id(&self) -> Result<Option<JournalId>, JournalError> {
        if self.journal_id.is_some() {
            return Ok(self.journal_id);
        }
        for segment in list_segments(&self.dir)?.iter().rev() {
            match read_header(&self.dir, segment.first_seq) {
                Ok(Some(header)) => return Ok(Some(header.journal_id)),
                Ok(None) | Err(JournalError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Sequence number of the next frame that will be read.
    pub fn next_seq(&self) -> u64 {
        self.place.next_seq.max(self.after_seq.saturating_add(1))
    }

    /// Sequence numbers passed over because they were unreadable or missing.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The next frames: whole writes until at least `max_frames` frames are together or the segment ends. `None` if there
    /// is nothing new now. What is returned is durable (fdatasync(2)): it cannot be lost and its sequence numbers used
    /// again after a power failure.
    pub fn read(&mut self, max_frames: usize) -> Result<Option<Batch>, JournalError> {
        let mut has_looked_again = false;
        loop {
            if self.current.is_none() && !self.open_first()? {
                return Ok(None);
            }
            let unfinished = match self.look(max_frames)? {
                Look::Batch(batch) => {
                    self.suspect = None;
                    return Ok(Some(batch));
                }
                Look::End => None,
                Look::Unfinished(unfinished) => Some(unfinished),
            };
            if self.open_next()? {
                has_looked_again = false;
                continue;
            }
            let Some(current) = &self.current else {
                return Ok(None);
            };
            let SegmentFile { path, first_seq, is_archived } = current.file.clone();
            let later = list_segments(&self.dir)?.into_iter().find(|segment| segment.first_seq > first_seq);
            if later.is_some() && !has_looked_again {
                // It may have been appended to and sealed since the look.
                has_looked_again = true;
                continue;
            }
            let error = match (unfinished, later) {
                (None, None) if self.place.next_seq <= self.after_seq => {
                    return Err(JournalError::Ahead {
                        path: self.dir.clone(),
                        after_seq: self.after_seq,
                        last_seq: self.place.next_seq - 1,
                    });
                }
                (None, None) => return Ok(None),
                (None, Some(later)) => JournalError::Missing { path: later.path, expected: self.place.next_seq },
                (Some(unfinished), None) if !is_archived && !self.is_believed(&unfinished) => {
                    return Ok(None);
                }
                (Some(Unfinished { offset, what, .. }), _) => JournalError::damaged(&path, offset, what),
            };
            if is_archived {
                // A decompressor that failed cannot be asked again: the next call starts anew.
                self.after_seq = self.next_seq() - 1;
                self.current = None;
            }
            if !self.pass_over(first_seq, error)? {
                return Ok(None);
            }
        }
    }

    /// Whether a tail of the live segment that is no whole write is damage. A tail without a chain frame is a write under
    /// way, or one that the next run cuts. Where a later write is whole, the bytes before it must be too; but a write that
    /// failed may have been cut and replaced during the look, so only the second look at the same place counts.
    fn is_believed(&mut self, unfinished: &Unfinished) -> bool {
        let was_suspect = self.suspect == Some(unfinished.offset);
        self.suspect = unfinished.has_later_write.then_some(unfinished.offset);
        unfinished.has_later_write && was_suspect
    }

    /// Reads whole writes of the current segment.
    fn look(&mut self, max_frames: usize) -> Result<Look, JournalError> {
        let (Some(mut current), Some(journal_id)) = (self.current.take(), self.journal_id) else {
            return Ok(Look::End);
        };
        let look = self.look_at(&mut current, journal_id, max_frames);
        self.current = Some(current);
        look
    }

    fn look_at(
        &mut self,
        current: &mut Current,
        journal_id: JournalId,
        max_frames: usize,
    ) -> Result<Look, JournalError> {
        let mut fetch = max_frames.saturating_mul(FETCH_PER_FRAME).clamp(FETCH_MIN, FETCH_MAX);
        loop {
            let (mut bytes, is_all) = match current.fetch(fetch) {
                Ok(fetched) => fetched,
                Err(error) => return current.broken(error),
            };
            if bytes.is_empty() {
                return Ok(Look::End);
            }
            let first_seq = self.next_seq();
            let Taken { start, end, stop } = self.take_writes(&bytes, journal_id, max_frames);
            if end > 0 {
                current.offset += end as u64;
                current.put_back(bytes.split_off(end));
                if start == end {
                    // All of it was passed over; go on from here.
                    continue;
                }
                bytes.drain(..start);
                current.make_durable()?;
                let last_seq = self.place.next_seq - 1;
                return Ok(Look::Batch(Batch { journal_id, first_seq, last_seq, bytes }));
            }
            if !is_all && fetch < 2 * MAX_WRITE {
                current.put_back(bytes);
                fetch *= 2;
                continue;
            }
            let (at, what) = stop;
            let has_later_write = last_chain(&bytes, journal_id.crc()).is_some();
            let offset = current.offset + at as u64;
            current.put_back(bytes);
            return Ok(Look::Unfinished(Unfinished { offset, what, has_later_write }));
        }
    }

    /// Moves over the whole writes at the start of `bytes` until `max_frames` wanted frames are together.
    fn take_writes(&mut self, bytes: &[u8], journal_id: JournalId, max_frames: usize) -> Taken {
        let check = Check::All { journal_crc: journal_id.crc() };
        let first_seq = self.next_seq();
        let mut taken = Taken { start: 0, end: 0, stop: (0, "") };
        while taken.end < bytes.len() && self.place.next_seq.saturating_sub(first_seq) < max_frames.max(1) as u64 {
            let rest = &bytes[taken.end..];
            if self.place.next_seq <= self.after_seq
                && let Step::Whole(write) = next_write(rest, &self.place, Check::Lengths)
                && write.after.next_seq - 1 <= self.after_seq
            {
                taken.end += write.length;
                taken.start = taken.end;
                self.place = write.after;
                continue;
            }
            match next_write(rest, &self.place, check) {
                Step::Whole(write) => {
                    if self.place.next_seq <= self.after_seq {
                        taken.start += bytes_up_to(rest, self.after_seq);
                    }
                    taken.end += write.length;
                    self.place = write.after;
                }
                Step::Short => {
                    taken.stop = (taken.end, "the segment ends inside a write");
                    break;
                }
                Step::Bad { offset, what } => {
                    taken.stop = (taken.end + offset, what);
                    break;
                }
            }
        }
        taken
    }

    /// Opens the segment that holds the first frame wanted. False if there is none yet.
    fn open_first(&mut self) -> Result<bool, JournalError> {
        let segments = list_segments(&self.dir)?;
        let wanted = self.after_seq.saturating_add(1);
        let Some(oldest) = segments.first() else {
            return Ok(false);
        };
        if self.after_seq > 0 && oldest.first_seq > wanted {
            let error = JournalError::Missing { path: oldest.path.clone(), expected: wanted };
            if !self.skips_unreadable {
                return Err(error);
            }
            self.missing += oldest.first_seq - wanted;
        }
        let index = segments.partition_point(|segment| segment.first_seq <= wanted).saturating_sub(1);
        let first_seq = segments[index].first_seq;
        match open_segment(&self.dir, first_seq) {
            Ok(Some((current, header))) => self.enter(current, &header).map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => {
                self.place.next_seq = wanted;
                self.pass_over(first_seq, error)
            }
        }
    }

    /// Opens the segment that continues the current one, if it exists: it is named by the next sequence number, so when it
    /// exists the current one has been read to its end.
    fn open_next(&mut self) -> Result<bool, JournalError> {
        let next_seq = self.place.next_seq;
        if self.current.as_ref().is_none_or(|current| current.file.first_seq == next_seq) {
            return Ok(false);
        }
        match open_segment(&self.dir, next_seq) {
            Ok(None) => Ok(false),
            Ok(Some((current, header))) => {
                if header.hash != self.place.hash {
                    let error = JournalError::damaged(&current.file.path, 40, "the hash chain does not continue");
                    return self.pass_over(next_seq, error);
                }
                self.enter(current, &header).map(|()| true)
            }
            Err(error) => self.pass_over(next_seq, error),
        }
    }

    fn enter(&mut self, current: Current, header: &SegmentHeader) -> Result<(), JournalError> {
        if self.journal_id.is_some_and(|id| id != header.journal_id) {
            return Err(JournalError::damaged(&current.file.path, 8, "this segment belongs to another journal"));
        }
        self.journal_id = Some(header.journal_id);
        self.place = Place { next_seq: header.first_seq, hash: header.hash };
        self.suspect = None;
        self.current = Some(current);
        Ok(())
    }

    /// Goes to the first readable segment after the one at `first_seq`, if unreadable ones may be skipped. False if there
    /// is none yet.
    fn pass_over(&mut self, first_seq: u64, error: JournalError) -> Result<bool, JournalError> {
        if !self.skips_unreadable || !matches!(error, JournalError::Damaged { .. } | JournalError::Missing { .. }) {
            return Err(error);
        }
        for segment in list_segments(&self.dir)? {
            if segment.first_seq > first_seq
                && let Ok(Some((current, header))) = open_segment(&self.dir, segment.first_seq)
            {
                let missing = header.first_seq.saturating_sub(self.next_seq());
                self.enter(current, &header)?;
                self.missing += missing;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Current {
    /// Up to `bytes` bytes from the current place on, and whether they are all there is.
    fn fetch(&mut self, bytes: usize) -> io::Result<(Vec<u8>, bool)> {
        match &mut self.source {
            Source::Plain(file) => {
                let left = file.metadata()?.len().saturating_sub(self.offset);
                let mut out = vec![0; usize::try_from(left).unwrap_or(bytes).min(bytes)];
                let mut filled = 0;
                while filled < out.len() {
                    match file.read_at(&mut out[filled..], self.offset + filled as u64) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                out.truncate(filled);
                Ok((out, left <= bytes as u64))
            }
            Source::Archived { decoder, ready } => {
                let mut out = std::mem::take(ready);
                let wanted = bytes.saturating_sub(out.len());
                let read = decoder.take(wanted as u64).read_to_end(&mut out)?;
                Ok((out, read < wanted))
            }
        }
    }

    /// Keeps fetched bytes that were not used, where they cannot be fetched again.
    fn put_back(&mut self, bytes: Vec<u8>) {
        if let Source::Archived { ready, .. } = &mut self.source {
            *ready = bytes;
        }
    }

    fn make_durable(&self) -> Result<(), JournalError> {
        let Source::Plain(file) = &self.source else {
            return Ok(());
        };
        match file.sync_data() {
            Err(error) if error.kind() != io::ErrorKind::ReadOnlyFilesystem => {
                Err(JournalError::io(&self.file.path, "make the segment durable", error))
            }
            _ => Ok(()),
        }
    }

    /// An archive that cannot be decompressed is damaged; other failures are the system's.
    fn broken(&self, error: io::Error) -> Result<Look, JournalError> {
        match self.source {
            Source::Plain(_) => Err(JournalError::io(&self.file.path, "read the segment", error)),
            Source::Archived { .. } => Ok(Look::Unfinished(Unfinished {
                offset: self.offset,
                what: "the archive cannot be decompressed",
                has_later_write: false,
            })),
        }
    }
}

/// Opens the segment that starts with `first_seq`, plain or archived. `None` if there is neither, or if it is only being
/// made.
fn open_segment(dir: &Path, first_seq: u64) -> Result<Option<(Current, SegmentHeader)>, JournalError> {
    // Plain first: if it is archived in between, the archive is there before the plain one is gone.
    for (path, is_archived) in [(plain_path(dir, first_seq), false), (archived_path(dir, first_seq), true)] {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(JournalError::io(&path, "open the segment", error)),
        };
        let mut current = Current {
            source: if is_archived {
                let decoder = zstd::stream::read::Decoder::new(file)
                    .map_err(|error| JournalError::io(&path, "read the archived segment", error))?;
                Source::Archived { decoder: Box::new(decoder), ready: Vec::new() }
            } else {
                Source::Plain(file)
            },
            file: SegmentFile { path: path.clone(), first_seq, is_archived },
            offset: 0,
        };
        let (mut bytes, is_all) = match current.fetch(SEGMENT_HEADER) {
            Ok(fetched) => fetched,
            Err(error) if is_archived => {
                return Err(JournalError::damaged(&path, 0, error.to_string()));
            }
            Err(error) => return Err(JournalError::io(&path, "read the segment", error)),
        };
        let header = match header_of(&bytes) {
            Ok(header) => header,
            // An empty live segment gets a new header in place when the next run starts.
            Err(_) if is_all && !is_archived => return Ok(None),
            Err(what) => return Err(JournalError::damaged(&path, 0, what)),
        };
        if header.first_seq != first_seq {
            return Err(JournalError::damaged(&path, 24, "the segment's name is not its first sequence number"));
        }
        current.put_back(bytes.split_off(SEGMENT_HEADER));
        current.offset = SEGMENT_HEADER as u64;
        return Ok(Some((current, header)));
    }
    Ok(None)
}

/// Bytes of the frames at the start of `write` up to the one with `seq`.
fn bytes_up_to(write: &[u8], seq: u64) -> usize {
    let mut at = 0;
    while let Parsed::Whole(frame, length) = parse(&write[at..], None) {
        if frame.seq > seq {
            break;
        }
        at += length;
    }
    at
}

/// The header of the segment that starts with `first_seq`; `None` if there is none, or if it is only being made.
pub(crate) fn read_header(dir: &Path, first_seq: u64) -> Result<Option<SegmentHeader>, JournalError> {
    Ok(open_segment(dir, first_seq)?.map(|(_, header)| header))
}
