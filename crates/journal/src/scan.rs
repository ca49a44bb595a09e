// SPDX-License-Identifier: Apache-2.0
//! Finding whole writes in bytes: what recovery, readers and verification have in common.

use sha2::{Digest, Sha256};

use crate::codes::Kind;
use crate::frame::{CHAIN_FRAME, FRAME_HEADER, FRAME_VERSION, MAX_WRITE, Parsed, parse};

/// A place in the stream: what comes next, and what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Sequence number of the next frame.
    pub next_seq: u64,
    /// Chain hash so far.
    pub hash: [u8; 32],
}

/// A whole write at the start of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    /// Its length with the chain frame.
    pub length: usize,
    /// Frames without the chain frame.
    pub frames: usize,
    /// The place after it.
    pub after: Place,
}

/// What lies at the start of some bytes.
pub(crate) enum Step {
    /// A write that is all there.
    Whole(Whole),
    /// The beginning of a write; more bytes may complete it.
    Short,
    /// No write of this journal at this place, whatever follows.
    Bad {
        /// Where, from the start of the bytes.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// How much of a write is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Everything.
    All {
        /// Seed of the frames' checksums.
        journal_crc: u32,
    },
    /// Lengths and sequence numbers only, to pass over writes quickly; the chain hash is taken as it stands.
    Lengths,
}

/// The hash that closes a write of `frames` after `before`.
pub(crate) fn chain_hash<'a>(before: &[u8; 32], frames: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(before);
    for bytes in frames {
        sha.update(bytes);
    }
    sha.finalize().into()
}

/// Looks for a whole write at the start of `bytes`, which lie at `place`.
pub(crate) fn next_write(bytes: &[u8], place: &Place, check: Check) -> Step {
    let seed = match check {
        Check::All { journal_crc } => Some(journal_crc),
        Check::Lengths => None,
    };
    let mut at = 0;
    let mut next_seq = place.next_seq;
    let mut frames = 0;
    loop {
        if at > MAX_WRITE {
            return Step::Bad { offset: at, what: "a write has no end" };
        }
        let (frame, length) = match parse(&bytes[at..], seed) {
            Parsed::Whole(frame, length) => (frame, length),
            Parsed::Short => return Step::Short,
            Parsed::Bad(what) => return Step::Bad { offset: at, what },
        };
        if frame.kind != Kind::Chain.code() {
            if frame.seq != next_seq {
                return Step::Bad { offset: at, what: "the sequence number of a frame is not the next one" };
            }
            next_seq += 1;
            frames += 1;
            at += length;
            continue;
        }
        if frames == 0 || frame.seq != next_seq - 1 {
            return Step::Bad { offset: at, what: "the sequence number of a chain frame is not that of its write" };
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(frame.payload);
        if check != Check::Lengths && chain_hash(&place.hash, std::iter::once(&bytes[..at])) != hash {
            return Step::Bad { offset: at, what: "the hash chain does not match" };
        }
        return Step::Whole(Whole { length: at + length, frames, after: Place { next_seq, hash } });
    }
}

/// The last chain frame with a right checksum in `bytes`: where it ends, and the place after it. A tail that was never
/// answered for has none; where there is one, records were written and answered for after whatever is wrong before it.
pub(crate) fn last_chain(bytes: &[u8], journal_crc: u32) -> Option<(usize, Place)> {
    const START: [u8; 4] = [CHAIN_FRAME as u8, 0, Kind::Chain as u8, FRAME_VERSION];
    let mut found = None;
    for (at, window) in bytes.windows(CHAIN_FRAME).enumerate() {
        if window[..4] == START
            && let Parsed::Whole(frame, _) = parse(window, Some(journal_crc))
        {
            let mut hash = [0; 32];
            hash.copy_from_slice(&window[FRAME_HEADER..]);
            found = Some((at + CHAIN_FRAME, Place { next_seq: frame.seq.saturating_add(1), hash }));
        }
    }
    found
}
