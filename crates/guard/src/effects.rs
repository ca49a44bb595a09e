// SPDX-License-Identifier: Apache-2.0
//! What comes into the guard and what goes out of it. Nothing here owns a socket or a file.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use journal::{Transport, WriteUnit};

use crate::counters::Tally;

/// The two clocks, read once per batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never jumps.
    pub ms: u64,
    /// UTC microseconds since 1970.
    pub utc_us: u64,
}

impl Now {
    /// UTC seconds, for nonces.
    pub fn utc_s(self) -> u32 {
        (self.utc_us / 1_000_000) as u32
    }
}

/// The two ends of a packet's way, and how to answer on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The far end.
    pub source: SocketAddr,
    /// The address of ours that was asked; answers leave from it.
    pub local: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The listener's number (UDP) or the connection's (streams).
    pub channel: u64,
}

/// A datagram, or a message framed out of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The bytes, whole.
    pub bytes: &'a [u8],
    /// Where from, where to.
    pub peer: Peer,
}

/// An answer to send once the batch's frames are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where in [`Effects::bytes`] it stands.
    pub span: Range<usize>,
    /// Whom it goes to.
    pub peer: Peer,
}

/// Why a request was let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// From an address of this mapping gateway.
    Gateway {
        /// The settings store's id.
        id: u32,
    },
    /// With right credentials of this phone.
    Phone {
        /// Its number.
        number: Vec<u8>,
        /// The edge frame of the challenge that it answered, 0 if that was settled before.
        settles: u64,
        /// The mapping gateway that registers as this number, if this is a call: it is in flight there.
        gateway: Option<u32>,
    },
    /// A party to a live dialog: it named our tag and the Call-ID.
    Inside {
        /// The gateway whose address it came from, if it is one's.
        gateway: Option<u32>,
    },
}

impl Standing {
    /// The mapping gateway among whose requests in flight it counts.
    pub fn in_flight_at(&self) -> Option<u32> {
        match self {
            Self::Gateway { id } => Some(*id),
            Self::Phone { gateway, .. } => *gateway,
            Self::Inside { .. } => None,
        }
    }
}

/// What a message is to the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A request that was let through now, outside of dialogs or inside one.
    Request(Standing),
    /// Such a request again.
    Repeat,
    /// For an INVITE that was let through and has not ended.
    Cancel,
    /// For a final response of ours.
    Ack,
    /// To a request of ours: its branch says so.
    Response,
}

/// A message for the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// What it is to them.
    pub what: What,
    /// Where from, where to.
    pub peer: Peer,
    /// The whole message.
    pub bytes: Arc<[u8]>,
    /// When it was read, UTC microseconds.
    pub at_us: u64,
    /// The To tag for answers to it that nobody else has one for.
    pub local_tag: [u8; 16],
    /// What [`crate::Guard::ended`] wants to know of an INVITE; 0 for all else.
    pub key: u64,
}

/// What a batch of packets leads to. Reused from batch to batch.
pub struct Effects {
    /// Frames, to be written before any answer leaves.
    pub unit: WriteUnit,
    /// Answers to strangers, into `bytes`.
    pub answers: Vec<Answer>,
    /// The answers' bytes.
    pub bytes: Vec<u8>,
    /// Messages for the transactions, in the order they came; they do not wait for the write.
    pub passed: Vec<Passed>,
    /// What this batch changes in the books.
    pub tally: Tally,
}

impl Effects {
    /// Empty effects with room for an ordinary batch.
    pub fn new() -> Self {
        Self {
            unit: WriteUnit::new(64 << 10),
            answers: Vec::with_capacity(256),
            bytes: Vec::with_capacity(64 << 10),
            passed: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Empty again, memory kept.
    pub fn clear(&mut self) {
        self.unit.clear();
        self.answers.clear();
        self.bytes.clear();
        self.passed.clear();
        self.tally = Tally::default();
    }
}

impl Default for Effects {
    fn default() -> Self {
        Self::new()
    }
}
