// SPDX-License-Identifier: Apache-2.0
//! Appending to a stream: one write per call, chained, whole or not at all.

use std::fs::{self, File};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::codes::Stream;
use crate::error::JournalError;
use crate::frame::{CHAIN_FRAME, JournalId, MAX_WRITE, WriteUnit, chain_frame};
use crate::recover::{Recovery, recover};
use crate::scan::{Place, chain_hash};
use crate::segment::{SEGMENT_HEADER, SegmentHeader, plain_path};
use crate::sys;

/// Name of the file that holds room for the next segment.
const SPARE: &str = "spare.tmp";
/// Name of a segment until it has its header.
const NEXT: &str = "next.tmp";
/// Segments that may wait for a sync before the writer does one itself.
const UNSYNCED_SEGMENTS: usize = 8;

/// When a segment is closed, and whether its room is reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed before it grows past this, if there is room to start the next one.
    pub segment_bytes: u64,
    /// A segment is closed by the first write after this.
    pub segment_age: Duration,
    /// Reserve the room of the live segment and of the next one, so that a full disk does not stop this stream at once.
    pub is_reserved: bool,
}

impl Options {
    /// What the format description says for `stream`: 64 MiB, an hour; only the calls stream is reserved.
    pub fn of(stream: Stream) -> Self {
        Self { segment_bytes: 64 << 20, segment_age: Duration::from_hours(1), is_reserved: stream == Stream::Calls }
    }
}

/// What [`SegmentWriter::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The journal; made at the first open, the same ever after.
    pub journal_id: JournalId,
    /// Sequence number of the next frame.
    pub next_seq: u64,
    /// Number of this run, from 1.
    pub run: u32,
    /// Segments of the run before that did not end well.
    pub recovered: Vec<Recovery>,
}

/// Appends to one stream. One process at a time; the directory is locked.
#[derive(Debug)]
pub struct SegmentWriter {
    dir: PathBuf,
    options: Options,
    header: SegmentHeader,
    journal_crc: u32,
    path: PathBuf,
    file: Arc<File>,
    /// End of the last whole write in the live segment.
    length: u64,
    place: Place,
    /// Something that was never answered for may lie behind `length`.
    is_torn: bool,
    is_reserved: bool,
    has_spare: bool,
    shared: Arc<Shared>,
}

impl SegmentWriter {
    /// Opens the stream in `dir` (made if needed): cuts what the run before left unfinished, seals its segment and starts a
    /// new one. `now_us` is UTC in microseconds.
    pub fn open(dir: &Path, stream: Stream, options: &Options, now_us: u64) -> Result<(Self, Opened), JournalError> {
        fs::create_dir_all(dir).map_err(|error| JournalError::io(dir, "make the directory", error))?;
        let dir_file = File::open(dir).map_err(|error| JournalError::io(dir, "open the directory", error))?;
        match dir_file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(JournalError::Busy { path: dir.to_owned() });
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(JournalError::io(dir, "lock the directory", error));
            }
        }
        let (end, recovered) = recover(dir)?;
        if end.as_ref().is_some_and(|end| end.stream != stream) {
            return Err(JournalError::damaged(dir, 6, "the segments here belong to the other stream"));
        }
        let (journal_id, run, place, empty) = match end {
            Some(end) => (end.journal_id, end.run.saturating_add(1), end.place, end.empty),
            None => (new_journal_id(dir)?, 1, Place { next_seq: 1, hash: [0; 32] }, None),
        };
        let header =
            SegmentHeader { stream, journal_id, first_seq: place.next_seq, time_us: now_us, hash: place.hash, run };
        let shared = Arc::new(Shared {
            written: AtomicU64::new(place.next_seq - 1),
            files: Mutex::new(Vec::new()),
            is_dir_changed: AtomicBool::new(true),
            syncing: Mutex::new(()),
            dir: dir_file,
            path: dir.to_owned(),
        });
        let has_spare = options.is_reserved && tidy_spare(dir, options.segment_bytes);
        let (path, file, took_spare) = match empty {
            // Nothing is in it: its header is brought up to date in place, in one sector.
            Some(path) => {
                let file = rewrite_header(&path, &header)?;
                (path, file, false)
            }
            None => create_segment(dir, &header, has_spare)?,
        };
        let opened = Opened { journal_id, next_seq: place.next_seq, run, recovered };
        let file = Arc::new(file);
        shared.add(&file);
        let mut writer = Self {
            dir: dir.to_owned(),
            options: options.clone(),
            journal_crc: journal_id.crc(),
            header,
            path,
            file,
            length: SEGMENT_HEADER as u64,
            place,
            is_torn: false,
            is_reserved: took_spare,
            has_spare: has_spare && !took_spare,
            shared,
        };
        match writer.reserve() {
            Ok(_) | Err(JournalError::Full { .. }) => Ok((writer, opened)),
            Err(error) => Err(error),
        }
    }

    /// Sequence number that the next unit must start with.
    pub fn next_seq(&self) -> u64 {
        self.place.next_seq
    }

    /// The journal.
    pub fn journal_id(&self) -> JournalId {
        self.header.journal_id
    }

    /// Seed of the frames' checksums, for [`WriteUnit::push`].
    pub fn journal_crc(&self) -> u32 {
        self.journal_crc
    }

    /// Number of this run, from 1.
    pub fn run(&self) -> u32 {
        self.header.run
    }

    /// Appends the frames of one unit as one write; see [`append_many`](Self::append_many).
    pub fn append(&mut self, unit: &WriteUnit, now_us: u64) -> Result<(), JournalError> {
        self.append_many(std::iter::once(unit), now_us)
    }

    /// Appends the frames of several units, in this order, as one write with one chain frame. When it returns `Ok`, the
    /// write is with the operating system and survives the end of this process; [`Syncer::sync`] makes it survive the
    /// machine's. Units without frames are passed over; a write without frames does nothing.
    ///
    /// After an error nothing of the write is in the journal, and [`next_seq`](Self::next_seq) has not moved: the caller
    /// drops these units and every unit it numbered after them, and goes on numbering from there, so no number is missing.
    pub fn append_many<'a>(
        &mut self,
        units: impl Iterator<Item = &'a WriteUnit> + Clone,
        now_us: u64,
    ) -> Result<(), JournalError> {
        let mut next_seq = self.place.next_seq;
        let mut bytes = CHAIN_FRAME;
        for unit in units.clone() {
            next_seq = unit.follow(next_seq)?;
            bytes += unit.bytes().len();
        }
        if next_seq == self.place.next_seq {
            return Ok(());
        }
        if bytes > MAX_WRITE {
            return Err(JournalError::TooLarge { what: "write", bytes, limit: MAX_WRITE });
        }
        self.heal()?;
        if self.is_due(now_us) || self.length + bytes as u64 > self.options.segment_bytes {
            // Without room or descriptors for another segment the live one goes on; if it cannot, the write says so.
            let _ = self.rotate(now_us);
        }
        let hash = chain_hash(&self.place.hash, units.clone().map(WriteUnit::bytes));
        let chain = chain_frame(next_seq - 1, now_us, self.journal_crc, &hash);
        let mut slices: Vec<IoSlice<'_>> = units.map(|unit| IoSlice::new(unit.bytes())).collect();
        slices.push(IoSlice::new(&chain));
        if let Err(error) = write_all(&self.file, &mut slices) {
            self.is_torn = true;
            // If this fails too, the next append tries again before it writes.
            let _ = self.heal();
            return Err(JournalError::io(&self.path, "append to the segment", error));
        }
        self.length += bytes as u64;
        self.place = Place { next_seq, hash };
        self.shared.written.store(next_seq - 1, Ordering::Release);
        Ok(())
    }

    /// Seals the live segment and starts the next one. Does nothing while the live one has no frames. After an error the
    /// live segment stays live.
    pub fn rotate(&mut self, now_us: u64) -> Result<(), JournalError> {
        if self.length == SEGMENT_HEADER as u64 {
            return Ok(());
        }
        self.heal()?;
        if self.options.is_reserved && !self.has_spare {
            // Without room of its own for the next segment, the room left in this one would be given away for nothing.
            self.reserve()?;
        }
        let header = SegmentHeader {
            first_seq: self.place.next_seq,
            time_us: now_us,
            hash: self.place.hash,
            ..self.header.clone()
        };
        let (path, file, took_spare) = create_segment(&self.dir, &header, self.has_spare)?;
        if self.is_reserved {
            // Gives back what was reserved and not used. If it fails, room is wasted and nothing is lost.
            let _ = self.file.set_len(self.length);
        }
        self.header = header;
        self.path = path;
        self.file = Arc::new(file);
        self.length = SEGMENT_HEADER as u64;
        self.is_reserved = took_spare;
        self.has_spare &= !took_spare;
        self.shared.is_dir_changed.store(true, Ordering::Release);
        if self.shared.add(&self.file) > UNSYNCED_SEGMENTS {
            // Nobody syncs this stream: open files have a bound all the same.
            self.shared.sync()?;
        }
        match self.reserve() {
            Ok(_) | Err(JournalError::Full { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// True if the live segment has frames and is older than its options allow; for streams that may be silent for long.
    pub fn is_due(&self, now_us: u64) -> bool {
        self.length > SEGMENT_HEADER as u64
            && u128::from(now_us.saturating_sub(self.header.time_us)) >= self.options.segment_age.as_micros()
    }

    /// Reserves what is missing of the room for the live segment and the next one; does nothing for a stream that is not
    /// reserved. Returns [`promised_bytes`](Self::promised_bytes). To be called again from time to time while that is low.
    pub fn reserve(&mut self) -> Result<Option<u64>, JournalError> {
        if !self.options.is_reserved {
            return Ok(None);
        }
        let failed = |path: &Path, error| JournalError::io(path, "reserve room on this file system", error);
        if !self.is_reserved {
            sys::reserve(&self.file, self.options.segment_bytes).map_err(|error| failed(&self.path, error))?;
            self.is_reserved = true;
        }
        if !self.has_spare {
            let path = self.dir.join(SPARE);
            let made = File::create(&path).and_then(|file| sys::reserve(&file, self.options.segment_bytes));
            if let Err(error) = made {
                // What it holds in part is better free than spoken for.
                let _ = fs::remove_file(&path);
                return Err(failed(&path, error));
            }
            self.has_spare = true;
        }
        Ok(self.promised_bytes())
    }

    /// Bytes that can be appended even if the disk is full, chain frames included; `None` for a stream that is not reserved. As
    /// a write lies in one segment, up to one write less fits.
    pub fn promised_bytes(&self) -> Option<u64> {
        if !self.options.is_reserved {
            return None;
        }
        let live = if self.is_reserved { self.options.segment_bytes.saturating_sub(self.length) } else { 0 };
        let spare = self.options.segment_bytes.saturating_sub(SEGMENT_HEADER as u64);
        Some(live + if self.has_spare { spare } else { 0 })
    }

    /// Makes everything appended so far survive the end of the machine (fdatasync(2)).
    pub fn sync(&self) -> Result<(), JournalError> {
        self.shared.sync().map(|_| ())
    }

    /// A handle to do the same from another thread.
    pub fn syncer(&self) -> Syncer {
        Syncer { shared: Arc::clone(&self.shared) }
    }

    /// Cuts what a failed write may have left behind the last whole one.
    fn heal(&mut self) -> Result<(), JournalError> {
        if !self.is_torn {
            return Ok(());
        }
        self.file
            .set_len(self.length)
            .and_then(|()| (&*self.file).seek(SeekFrom::Start(self.length)))
            .map_err(|error| JournalError::io(&self.path, "cut a write that failed", error))?;
        self.is_torn = false;
        if self.is_reserved {
            // Cutting gave the reserved room back.
            self.is_reserved = sys::reserve(&self.file, self.options.segment_bytes).is_ok();
        }
        Ok(())
    }
}

/// Makes what a [`SegmentWriter`] appended durable, from any thread, without holding it up.
#[derive(Debug, Clone)]
pub struct Syncer {
    shared: Arc<Shared>,
}

impl Syncer {
    /// Returns the last sequence number that now survives the end of the machine.
    pub fn sync(&self) -> Result<u64, JournalError> {
        self.shared.sync()
    }

    /// Sends what was appended on its way to the disk, so that the next [`sync`](Self::sync) has less left to wait for, and so
    /// has each sync of other files. What cannot be begun is left to that sync, which says what is wrong.
    pub fn begin(&self) {
        let live = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).last().cloned();
        if let Some(live) = live {
            let _ = sys::begin_write_back(&live);
        }
    }
}

#[derive(Debug)]
struct Shared {
    /// Last sequence number appended.
    written: AtomicU64,
    /// Segments that may hold something not yet durable; the live one is the last.
    files: Mutex<Vec<Arc<File>>>,
    /// A segment was made and its name may not be durable.
    is_dir_changed: AtomicBool,
    /// Held while syncing; the writer never waits for it.
    syncing: Mutex<()>,
    dir: File,
    path: PathBuf,
}

impl Shared {
    /// Returns how many segments may now hold something not yet durable.
    fn add(&self, file: &Arc<File>) -> usize {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.push(Arc::clone(file));
        files.len()
    }

    fn sync(&self) -> Result<u64, JournalError> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the files: whatever is appended from here on is not claimed.
        let written = self.written.load(Ordering::Acquire);
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = |error| JournalError::io(&self.path, "make the journal durable", error);
        for file in &files {
            file.sync_data().map_err(failed)?;
        }
        if self.is_dir_changed.swap(false, Ordering::AcqRel)
            && let Err(error) = self.dir.sync_all()
        {
            self.is_dir_changed.store(true, Ordering::Release);
            return Err(failed(error));
        }
        let mut waiting = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // All but the live one are sealed and done with.
        waiting.drain(..files.len() - 1);
        Ok(written)
    }
}

fn new_journal_id(dir: &Path) -> Result<JournalId, JournalError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| JournalError::io(dir, "draw a journal id", io::Error::other(error.to_string())))?;
    Ok(JournalId(id))
}

/// Makes the segment of `header` under its final name, complete with its header, out of the spare if there is one. The
/// cursor stands after the header. Returns whether the spare was used.
fn create_segment(dir: &Path, header: &SegmentHeader, has_spare: bool) -> Result<(PathBuf, File, bool), JournalError> {
    let path = plain_path(dir, header.first_seq);
    let unfinished = dir.join(if has_spare { SPARE } else { NEXT });
    let made = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(!has_spare)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(&header.encode()).map(|()| file))
        .and_then(|file| fs::rename(&unfinished, &path).map(|()| file));
    match made {
        Ok(file) => Ok((path, file, has_spare)),
        Err(error) => {
            let _ = fs::remove_file(&unfinished);
            Err(JournalError::io(&path, "start a segment", error))
        }
    }
}

fn rewrite_header(path: &Path, header: &SegmentHeader) -> Result<File, JournalError> {
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(&header.encode()).map(|()| file))
        .map_err(|error| JournalError::io(path, "rewrite the header of an empty segment", error))
}

/// True if the spare of a run before can serve again; a used or smaller one is removed.
fn tidy_spare(dir: &Path, segment_bytes: u64) -> bool {
    use std::os::unix::fs::MetadataExt;

    let path = dir.join(SPARE);
    let serves =
        fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0 && metadata.blocks() * 512 >= segment_bytes);
    if !serves {
        let _ = fs::remove_file(&path);
    }
    serves
}

/// One writev(2) for all; more only if the system takes less than everything.
fn write_all(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
