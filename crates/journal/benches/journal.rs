// SPDX-License-Identifier: Apache-2.0
//! Figures of the journal on a scanner mix: encoding, appending, reading, decoding, archiving. `cargo bench -p journal`.
//!
//! The mix: INVITEs of 4096 sources with 8 user agents, random Call-IDs (24 hex digits `@` source) and called numbers of 10 to
//! 14 digits; each figure is processor time, the median of 5 rounds.
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use journal::{
    Attempt, Batch, Options, Reason, Record, Scope, SegmentWriter, Stream, StreamReader, Transport, WriteUnit,
    archive_sealed, summarise, verify,
};

const ROWS: usize = 400_000;
const ROWS_PER_WRITE: usize = 64;
const ROUNDS: usize = 5;
const NOW_US: u64 = 1_763_769_600_000_000;
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);

const USER_AGENTS: [(&str, u64); 8] = [
    ("friendly-scanner", 0x8f2b_77d0_13c4_a9e1),
    ("sipcli/v1.8", 0x1d09_e4b2_6a73_558c),
    ("VaxSIPUserAgent/3.5", 0xc64e_0f91_b8d7_2a36),
    ("eyeBeam release 3006o stamp 17551", 0x53aa_96f8_0e1b_c47d),
    ("pplsip", 0xe7d1_3c25_94f0_8b6a),
    ("Cisco-SIPGateway/IOS-12.x", 0x2ab8_51ce_f763_0d94),
    ("Asterisk PBX 13.35.0", 0x9c04_d8e7_352f_61ba),
    ("", 0x0000_0000_0000_0042),
];

/// xorshift64*: the same mix on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
}

/// What one stranger sent.
struct Message {
    source: SocketAddr,
    agent: usize,
    caller: String,
    callee: String,
    call_id: String,
    gap_us: u64,
}

fn scanner_mix(rows: usize) -> Vec<Message> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let sources: Vec<_> = (0..4096)
        .map(|_| {
            let ip = Ipv4Addr::from_bits(0x0b00_0000 + random.below(0xd000_0000) as u32);
            let port = if random.below(2) == 0 { 5060 + random.below(40) } else { 1024 + random.below(60_000) };
            (SocketAddr::new(IpAddr::V4(ip), port as u16), random.below(8) as usize)
        })
        .collect();
    (0..rows)
        .map(|_| {
            let (source, agent) = sources[random.below(4096) as usize];
            let digits = 10 + random.below(5) as u32;
            let callee = random.below(10_u64.pow(digits));
            let id = (u128::from(random.next()) << 32) | u128::from(random.next() as u32);
            Message {
                source,
                agent,
                caller: (100 + random.below(900)).to_string(),
                callee: format!("{callee:0width$}", width = digits as usize),
                call_id: format!("{id:024x}@{}", source.ip()),
                gap_us: random.below(20),
            }
        })
        .collect()
}

fn refusal(message: &Message) -> Record<'_> {
    let (user_agent, fingerprint) = USER_AGENTS[message.agent];
    Record::Refusal(Attempt {
        reason: Reason::UnknownSource,
        method: 1,
        transport: Transport::Udp,
        scope: Scope::Own,
        status: 403,
        detail: 0,
        source: message.source,
        local: LOCAL,
        flags: 0,
        gateway_id: 0,
        traits: fingerprint as u32 & 0xff,
        fingerprint,
        settles: 0,
        caller: message.caller.as_bytes(),
        callee: message.callee.as_bytes(),
        user_agent: user_agent.as_bytes(),
        call_id: message.call_id.as_bytes(),
        method_text: b"",
        auth_user: b"",
        raw: None,
    })
}

/// Median of the times of `ROUNDS` rounds.
fn median(mut round: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// Time on the processor, in user and system: other programs on the machine do not count.
fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let on_cpu = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    };
    let start = on_cpu();
    black_box(work());
    on_cpu().saturating_sub(start)
}

fn per_row(what: &str, time: Duration, rows: usize, bytes: u64) {
    let seconds = time.as_secs_f64();
    println!(
        "{what:<34} {:>8.1} ns/row {:>8.2} M rows/s {:>8.0} MB/s",
        seconds * 1e9 / rows as f64,
        rows as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );
}

/// Encodes the mix in units of `ROWS_PER_WRITE` and hands each to `use_unit`.
fn encode(mix: &[Message], journal_crc: u32, mut use_unit: impl FnMut(&WriteUnit, u64)) {
    let mut unit = WriteUnit::new(64 << 10);
    let (mut seq, mut now_us) = (0, NOW_US);
    for write in mix.chunks(ROWS_PER_WRITE) {
        unit.clear();
        for message in write {
            seq += 1;
            now_us += message.gap_us;
            unit.push(seq, now_us, journal_crc, &refusal(message));
        }
        use_unit(&unit, now_us);
    }
}

fn write_journal(dir: &Path, mix: &[Message]) {
    let _ = fs::remove_dir_all(dir);
    let (mut writer, _) = SegmentWriter::open(dir, Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    encode(mix, writer.journal_crc(), |unit, now_us| {
        writer.append(unit, now_us).unwrap();
    });
}

fn read_batches(dir: &Path) -> Vec<Batch> {
    let mut reader = StreamReader::open(dir, 0, false);
    let mut batches = Vec::new();
    while let Some(batch) = reader.read(16_384).unwrap() {
        batches.push(batch);
    }
    batches
}

fn disk_bytes(dir: &Path) -> u64 {
    summarise(dir).unwrap().iter().map(|segment| segment.disk_bytes).sum()
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("edge");
    let mix = scanner_mix(ROWS);
    let mut bytes = 0;
    encode(&mix, 1, |unit, _| bytes += unit.bytes().len() as u64);
    println!("{ROWS} refusals, {:.1} bytes a frame, {ROWS_PER_WRITE} a write", bytes as f64 / ROWS as f64);

    let measure = |unit: &WriteUnit, _| {
        black_box(unit.bytes().len());
    };
    let encoding = median(|| timed(|| encode(&mix, 1, measure)));
    per_row("encode", encoding, ROWS, bytes);
    let appending = median(|| timed(|| write_journal(&dir, &mix)));
    per_row("encode, chain, append (page cache)", appending, ROWS, bytes);
    per_row("  of which chain and append", appending.saturating_sub(encoding), ROWS, bytes);

    // Once, so that what is left for the disk to do is not counted below.
    read_batches(&dir);
    per_row("read (checksums, chain, fdatasync)", median(|| timed(|| read_batches(&dir))), ROWS, bytes);
    let batches = read_batches(&dir);
    let decode = || batches.iter().map(|batch| batch.attempts().unwrap().len()).sum::<usize>();
    per_row("decode to columns", median(|| timed(decode)), ROWS, bytes);
    let seek = || StreamReader::open(&dir, ROWS as u64 - 1, false).read(1).unwrap().unwrap().last_seq();
    println!("seek to the end of a segment of {} MiB: {:.1?}", disk_bytes(&dir) >> 20, median(|| timed(seek)));
    per_row("verify", median(|| timed(|| verify(&dir, |_, _| ()).unwrap())), ROWS, bytes);

    for level in [1, 3, 6, 9, 12, 15, 19] {
        write_journal(&dir, &mix);
        // The next run seals the segment.
        SegmentWriter::open(&dir, Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
        let time = timed(|| archive_sealed(&dir, level).unwrap());
        let archived = disk_bytes(&dir) as f64 / ROWS as f64;
        per_row(&format!("archive, level {level}: {archived:.1} bytes a row"), time, ROWS, bytes);
    }
}
