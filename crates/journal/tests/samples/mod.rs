// SPDX-License-Identifier: Apache-2.0
//! Records and journals for tests.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use journal::{
    Attempt, Batch, Binding, Flow, FlowOp, IncrementWhy, JournalError, Kind, METHODS, Opaque, Options, Reason, Record,
    Scope, SegmentWriter, Stream, StreamReader, Transport, WriteUnit,
};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const NOW_US: u64 = 1_763_769_600_000_000;

/// A refused INVITE as scanners send it.
pub(crate) fn an_attempt() -> Attempt<'static> {
    Attempt {
        reason: Reason::UnknownSource,
        method: 1,
        transport: Transport::Udp,
        scope: Scope::Own,
        status: 403,
        detail: 0,
        source: "198.51.100.7:5071".parse().unwrap(),
        local: "192.0.2.1:5060".parse().unwrap(),
        flags: 0,
        gateway_id: 0,
        traits: 5,
        fingerprint: 0x0123_4567_89ab_cdef,
        settles: 0,
        caller: b"100",
        callee: b"00441904911004",
        user_agent: b"friendly-scanner",
        call_id: b"9a0364b9e99bb480dd25e1f0@198.51.100.7",
        method_text: b"",
        auth_user: b"",
        raw: None,
    }
}

/// Edge options with small segments.
pub(crate) fn small_segments(bytes: u64) -> Options {
    Options { segment_bytes: bytes, ..Options::of(Stream::Edge) }
}

pub(crate) fn open_edge(dir: &Path) -> SegmentWriter {
    open_with(dir, &Options::of(Stream::Edge))
}

pub(crate) fn open_with(dir: &Path, options: &Options) -> SegmentWriter {
    SegmentWriter::open(dir, Stream::Edge, options, NOW_US).unwrap().0
}

/// Appends the records as one write.
pub(crate) fn append(writer: &mut SegmentWriter, records: &[Record<'_>]) -> Result<(), JournalError> {
    append_at(writer, records, NOW_US)
}

/// Appends the records as one write at a time of one's own.
pub(crate) fn append_at(writer: &mut SegmentWriter, records: &[Record<'_>], now_us: u64) -> Result<(), JournalError> {
    let mut unit = WriteUnit::new(0);
    for (seq, record) in (writer.next_seq()..).zip(records) {
        unit.push(seq, NOW_US + seq, writer.journal_crc(), record);
    }
    writer.append(&unit, now_us)
}

/// Appends a write of `count` refusals.
pub(crate) fn append_refusals(writer: &mut SegmentWriter, count: usize) {
    append(writer, &vec![Record::Refusal(an_attempt()); count]).unwrap();
}

/// Reads until there is nothing new.
pub(crate) fn read_all(reader: &mut StreamReader, max_frames: usize) -> Result<Vec<Batch>, JournalError> {
    let mut batches = Vec::new();
    while let Some(batch) = reader.read(max_frames)? {
        batches.push(batch);
    }
    Ok(batches)
}

/// The sequence numbers that a new reader gets after `after_seq`.
pub(crate) fn seqs(dir: &Path, after_seq: u64) -> Vec<u64> {
    let mut reader = StreamReader::open(dir, after_seq, false);
    let batches = read_all(&mut reader, 1).unwrap();
    batches.iter().flat_map(|batch| batch.frames().map(|frame| frame.seq).collect::<Vec<_>>()).collect()
}

/// A record of any kind with any content, owned.
#[derive(Debug, Clone)]
pub(crate) struct Wild {
    pick: usize,
    codes: [u8; 4],
    words: [u16; 3],
    numbers: [u32; 3],
    longs: [u64; 2],
    addresses: [SocketAddr; 2],
    strings: [Vec<u8>; 6],
    raw: Option<Vec<u8>>,
    counters: Vec<u64>,
}

fn one_of<T: Copy>(all: &[T], code: u8) -> T {
    all[usize::from(code) % all.len()]
}

impl Wild {
    pub(crate) fn record(&self) -> Record<'_> {
        match self.pick {
            0 => Record::Refusal(self.attempt()),
            1 => Record::Challenge(self.attempt()),
            2 => Record::Increment {
                base_seq: self.longs[0],
                count: self.numbers[0],
                why: one_of(IncrementWhy::ALL, self.codes[0]),
            },
            3 => Record::RefusalSummary {
                reason: one_of(Reason::ALL, self.codes[0]),
                method: self.codes[1] % METHODS.len() as u8,
                count: self.numbers[0],
            },
            4 => Record::Flow(Flow {
                op: one_of(FlowOp::ALL, self.codes[0]),
                transport: one_of(Transport::ALL, self.codes[1]),
                flags: self.words[0],
                source: self.addresses[0],
                local: self.addresses[1],
                expires_s: self.numbers[0],
                cseq: self.numbers[1],
                settles: self.longs[0],
                number: &self.strings[0],
                contact: &self.strings[1],
                call_id: &self.strings[2],
                user_agent: &self.strings[3],
                binding: self.raw.as_deref().map(|path| Binding {
                    q: self.words[1],
                    reg_id: self.numbers[2],
                    instance: &self.strings[4],
                    path,
                }),
            }),
            5 => {
                let kinds = [Kind::CallStarted, Kind::CallAnswered, Kind::CallEnded, Kind::CallsAlive, Kind::Admin];
                Record::Opaque(Opaque::new(one_of(&kinds, self.codes[0]), &self.strings[0]).unwrap())
            }
            _ => Record::Books { run: self.numbers[0], counters: self.counters.as_slice().into() },
        }
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt {
            reason: one_of(Reason::ALL, self.codes[0]),
            method: self.codes[1] % METHODS.len() as u8,
            transport: one_of(Transport::ALL, self.codes[2]),
            scope: one_of(Scope::ALL, self.codes[3]),
            status: self.words[0],
            detail: self.words[1],
            flags: self.words[2],
            source: self.addresses[0],
            local: self.addresses[1],
            gateway_id: self.numbers[0],
            traits: self.numbers[1],
            fingerprint: self.longs[0],
            settles: self.longs[1],
            caller: &self.strings[0],
            callee: &self.strings[1],
            user_agent: &self.strings[2],
            call_id: &self.strings[3],
            method_text: &self.strings[4],
            auth_user: &self.strings[5],
            raw: self.raw.as_deref(),
        }
    }
}

fn a_string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 60..300)]
}

prop_compose! {
    pub(crate) fn a_record()(
        pick in 0_usize..7,
        codes in any::<[u8; 4]>(),
        words in any::<[u16; 3]>(),
        numbers in any::<[u32; 3]>(),
        longs in any::<[u64; 2]>(),
        addresses in any::<[(IpAddr, u16); 2]>(),
        strings in [a_string(), a_string(), a_string(), a_string(), a_string(), a_string()],
        raw in proptest::option::of(vec(any::<u8>(), 0..2500)),
        counters in vec(any::<u64>(), 0..300),
    ) -> Wild {
        let addresses = addresses.map(|(ip, port)| SocketAddr::new(ip, port));
        Wild { pick, codes, words, numbers, longs, addresses, strings, raw, counters }
    }
}
