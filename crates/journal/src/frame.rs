// SPDX-License-Identifier: Apache-2.0
//! Frames, and the buffer in which the frames of one write are put together.

use crate::codes::Kind;
use crate::error::JournalError;
use crate::record::Record;

/// Bytes before the payload: u16 length, u8 kind, u8 version, u32 checksum, u64 sequence, u64 time.
pub const FRAME_HEADER: usize = 24;
/// Largest frame: its length is a u16.
pub const MAX_FRAME: usize = u16::MAX as usize;
/// Largest payload.
pub const MAX_PAYLOAD: usize = MAX_FRAME - FRAME_HEADER;
/// Largest write, so that a reader's memory has a bound; the chain frame is included.
pub const MAX_WRITE: usize = 16 << 20;
/// Version of the frame layout.
pub(crate) const FRAME_VERSION: u8 = 1;
/// Size of a chain frame.
pub const CHAIN_FRAME: usize = FRAME_HEADER + 32;

/// Where the checksummed part of a frame begins.
const CHECKED_FROM: usize = 8;

/// Names a journal; every frame's checksum is seeded with it, so frames of another journal are never taken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JournalId(pub [u8; 16]);

impl JournalId {
    /// The seed of the frames' checksums: the CRC-32C of the id.
    pub fn crc(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

/// The frames of one write, in the order they were pushed. Kept and cleared by its owner, it does not allocate once it has
/// reached its working size.
#[derive(Debug, Default)]
pub struct WriteUnit {
    bytes: Vec<u8>,
    frames: usize,
    first_seq: u64,
    has_gap: bool,
}

impl WriteUnit {
    /// An empty unit with room for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Appends a frame. `seq` must be one more than that of the frame before; the first of a unit must be what the stream
    /// continues with when the unit is appended ([`SegmentWriter::append`](crate::SegmentWriter::append) checks both).
    /// `journal_crc` is [`JournalId::crc`].
    pub fn push(&mut self, seq: u64, time_us: u64, journal_crc: u32, record: &Record<'_>) {
        if self.frames == 0 {
            self.first_seq = seq;
        } else if seq != self.first_seq + self.frames as u64 {
            self.has_gap = true;
        }
        self.frames += 1;
        put_frame(&mut self.bytes, record.kind(), seq, time_us, journal_crc, |out| record.encode(out));
    }

    /// How many frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// True if nothing was pushed since the last [`clear`](Self::clear).
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Sequence number of the first frame, if there is one.
    pub fn first_seq(&self) -> Option<u64> {
        (self.frames > 0).then_some(self.first_seq)
    }

    /// The encoded frames, without the chain frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the frames and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames = 0;
        self.has_gap = false;
    }

    /// Checks that this unit continues with `expected`; returns what the next one continues with.
    pub(crate) fn follow(&self, expected: u64) -> Result<u64, JournalError> {
        if self.frames == 0 {
            return Ok(expected);
        }
        if self.has_gap || self.first_seq != expected {
            return Err(JournalError::OutOfSequence { expected, got: self.first_seq });
        }
        Ok(expected + self.frames as u64)
    }
}

/// Appends one frame with the payload that `payload` puts there.
#[inline]
fn put_frame(
    out: &mut Vec<u8>,
    kind: Kind,
    seq: u64,
    time_us: u64,
    journal_crc: u32,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let mut header = [0; FRAME_HEADER];
    header[2] = kind.code();
    header[3] = FRAME_VERSION;
    header[8..16].copy_from_slice(&seq.to_le_bytes());
    header[16..24].copy_from_slice(&time_us.to_le_bytes());
    out.extend_from_slice(&header);
    payload(out);
    let frame = &mut out[start..];
    debug_assert!(frame.len() <= MAX_FRAME, "records are bounded where they are made");
    let length = (frame.len() as u16).to_le_bytes();
    let crc = crc32c::crc32c_append(journal_crc, &frame[CHECKED_FROM..]).to_le_bytes();
    frame[..2].copy_from_slice(&length);
    frame[4..8].copy_from_slice(&crc);
}

/// The chain frame that closes a write.
pub(crate) fn chain_frame(seq: u64, time_us: u64, journal_crc: u32, hash: &[u8; 32]) -> [u8; CHAIN_FRAME] {
    let mut out = Vec::with_capacity(CHAIN_FRAME);
    put_frame(&mut out, Kind::Chain, seq, time_us, journal_crc, |payload| payload.extend_from_slice(hash));
    let mut frame = [0; CHAIN_FRAME];
    frame.copy_from_slice(&out);
    frame
}

/// A frame as it lies in a segment.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Code of its kind; see [`Kind::from_code`].
    pub kind: u8,
    /// Sequence number; a chain frame repeats that of the frame before.
    pub seq: u64,
    /// UTC microseconds.
    pub time_us: u64,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads what the frame says.
    pub fn record(&self) -> Result<Record<'a>, JournalError> {
        let kind = Kind::from_code(self.kind).ok_or(JournalError::Payload { seq: self.seq, what: "unknown kind" })?;
        Record::decode(kind, self.payload).map_err(|what| JournalError::Payload { seq: self.seq, what })
    }
}

/// What lies at the start of some bytes.
pub(crate) enum Parsed<'a> {
    /// A frame of so many bytes.
    Whole(Frame<'a>, usize),
    /// The beginning of a frame; more bytes may complete it.
    Short,
    /// No frame, whatever follows.
    Bad(&'static str),
}

/// Reads the frame at the start of `bytes`. `journal_crc` seeds the checksum; `None` leaves it unchecked.
#[inline]
pub(crate) fn parse(bytes: &[u8], journal_crc: Option<u32>) -> Parsed<'_> {
    let Some((head, _)) = bytes.split_first_chunk::<FRAME_HEADER>() else {
        return Parsed::Short;
    };
    let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let kind = head[2];
    if length < FRAME_HEADER {
        return Parsed::Bad("the length of a frame is too small");
    }
    if head[3] != FRAME_VERSION {
        return Parsed::Bad("the version of a frame is unknown");
    }
    if kind == Kind::Chain.code() && length != CHAIN_FRAME {
        return Parsed::Bad("the length of a chain frame is wrong");
    }
    let Some(frame) = bytes.get(..length) else {
        return Parsed::Short;
    };
    if let Some(seed) = journal_crc {
        let stored = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if crc32c::crc32c_append(seed, &frame[CHECKED_FROM..]) != stored {
            return Parsed::Bad("the checksum of a frame does not match");
        }
    }
    Parsed::Whole(
        Frame { kind, seq: u64_at(head, 8), time_us: u64_at(head, 16), payload: &frame[FRAME_HEADER..] },
        length,
    )
}

#[inline]
fn u64_at(head: &[u8; FRAME_HEADER], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&head[at..at + 8]);
    u64::from_le_bytes(word)
}
