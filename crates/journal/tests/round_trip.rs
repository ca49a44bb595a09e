// SPDX-License-Identifier: Apache-2.0
//! What is written is what is read: every kind of record, over writes, segments and archives, from any place on.

mod samples;

use std::borrow::Cow;
use std::net::SocketAddr;

use journal::{
    Attempt, Binding, FRAME_HEADER, Flow, FlowOp, JournalError, Kind, MAX_CALL_ID, MAX_CONTACT, MAX_INSTANCE,
    MAX_METHOD, MAX_NAME, MAX_PATH, MAX_PAYLOAD, MAX_RAW, Opaque, Record, StreamReader, Transport, archive_sealed,
    flags, verify,
};
use proptest::collection::vec;
use proptest::prelude::*;
use samples::{NOW_US, Wild, a_record, an_attempt, append, open_edge, open_with, read_all, small_segments};
use tempfile::tempdir;

fn cut(string: &[u8], limit: usize) -> &[u8] {
    &string[..string.len().min(limit)]
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn address_flags(flags: u16, source: SocketAddr, local: SocketAddr) -> u16 {
    (flags & !(flags::IS_SOURCE_V6 | flags::IS_LOCAL_V6))
        | if canonical(source).is_ipv6() { flags::IS_SOURCE_V6 } else { 0 }
        | if canonical(local).is_ipv6() { flags::IS_LOCAL_V6 } else { 0 }
}

fn binding_flag(flags: u16, flow: &Flow<'_>) -> u16 {
    (flags & !flags::HAS_BINDING) | if flow.binding.is_some() { flags::HAS_BINDING } else { 0 }
}

/// The record as the format keeps it: strings cut, addresses canonical, derived flags set.
fn kept<'a>(record: &Record<'a>) -> Record<'a> {
    let keep_attempt = |attempt: &Attempt<'a>| Attempt {
        source: canonical(attempt.source),
        local: canonical(attempt.local),
        flags: (address_flags(attempt.flags, attempt.source, attempt.local) & !flags::HAS_RAW)
            | if attempt.raw.is_some() { flags::HAS_RAW } else { 0 },
        caller: cut(attempt.caller, MAX_NAME),
        callee: cut(attempt.callee, MAX_NAME),
        user_agent: cut(attempt.user_agent, MAX_NAME),
        call_id: cut(attempt.call_id, MAX_CALL_ID),
        method_text: if attempt.method == 0 { cut(attempt.method_text, MAX_METHOD) } else { b"" },
        auth_user: cut(attempt.auth_user, MAX_NAME),
        raw: attempt.raw.map(|raw| cut(raw, MAX_RAW)),
        ..attempt.clone()
    };
    match record {
        Record::Refusal(attempt) => Record::Refusal(keep_attempt(attempt)),
        Record::Challenge(attempt) => Record::Challenge(keep_attempt(attempt)),
        Record::Flow(flow) => Record::Flow(Flow {
            source: canonical(flow.source),
            local: canonical(flow.local),
            flags: binding_flag(address_flags(flow.flags, flow.source, flow.local), flow),
            number: cut(flow.number, MAX_NAME),
            contact: cut(flow.contact, if flow.binding.is_some() { MAX_CONTACT } else { 255 }),
            call_id: cut(flow.call_id, MAX_CALL_ID),
            user_agent: cut(flow.user_agent, MAX_NAME),
            binding: flow.binding.map(|binding| Binding {
                instance: cut(binding.instance, MAX_INSTANCE),
                path: cut(binding.path, MAX_PATH),
                ..binding
            }),
            ..flow.clone()
        }),
        Record::Books { run, counters } => {
            Record::Books { run: *run, counters: Cow::Owned(counters[..counters.len().min(255)].to_vec()) }
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_record_comes_back_from_any_place_whether_plain_or_archived(
        writes in vec(vec(a_record(), 1..6), 1..12),
        after in any::<prop::sample::Index>(),
        max_frames in 1_usize..20,
        is_archived in any::<bool>(),
    ) {
        let dir = tempdir().unwrap();
        let mut writer = open_with(dir.path(), &small_segments(4096));
        for write in &writes {
            let records: Vec<_> = write.iter().map(Wild::record).collect();
            append(&mut writer, &records).unwrap();
        }
        if is_archived {
            archive_sealed(dir.path(), 1).unwrap();
        }
        let all: Vec<_> = writes.iter().flatten().map(|wild| kept(&wild.record())).collect();
        let after_seq = after.index(all.len()) as u64;
        let mut reader = StreamReader::open(dir.path(), after_seq, false);
        let batches = read_all(&mut reader, max_frames).unwrap();
        let mut next_seq = after_seq + 1;
        for batch in &batches {
            prop_assert_eq!(batch.first_seq(), next_seq);
            prop_assert_eq!(batch.journal_id(), writer.journal_id());
            prop_assert_eq!(batch.frames().count(), batch.frame_count());
            for frame in batch.frames() {
                prop_assert_eq!(frame.seq, next_seq);
                prop_assert_eq!(frame.time_us, NOW_US + next_seq);
                prop_assert_eq!(&frame.record().unwrap(), &all[next_seq as usize - 1]);
                next_seq += 1;
            }
            prop_assert_eq!(batch.last_seq(), next_seq - 1);
        }
        prop_assert_eq!(next_seq, writer.next_seq());
        prop_assert_eq!(reader.next_seq(), next_seq);
        prop_assert_eq!(verify(dir.path(), |_, _| ()).unwrap().fault, None);
    }

    #[test]
    fn payloads_of_any_bytes_are_records_or_errors_and_never_a_panic(
        kind in 0_u8..13,
        payload in vec(any::<u8>(), 0..300),
    ) {
        let kind = Kind::from_code(kind).unwrap();
        if let Ok(record) = Record::decode(kind, &payload) {
            prop_assert_eq!(record.kind(), kind);
        }
    }
}

#[test]
fn a_refusal_lies_on_disk_byte_by_byte_as_described() {
    let dir = tempdir().unwrap();
    let mut writer = open_edge(dir.path());
    let mut attempt = an_attempt();
    attempt.source = "[::ffff:198.51.100.7]:5071".parse().unwrap();
    attempt.local = "[2001:db8::1]:5060".parse().unwrap();
    attempt.flags = flags::IS_PROVEN;
    attempt.settles = 9;
    attempt.raw = Some(b"x");
    append(&mut writer, &[Record::Refusal(attempt)]).unwrap();
    let file = std::fs::read(dir.path().join("00000000000000000001.rfj")).unwrap();
    let frame = &file[128..];
    let length = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
    assert_eq!(frame[2..4], [1, 1]);
    assert_eq!(frame[8..16], 1_u64.to_le_bytes());
    assert_eq!(frame[16..24], (NOW_US + 1).to_le_bytes());
    let mut expected = vec![1, 1, 0, 0, 0x93, 1, 0, 0, 0xcf, 0x13, 0xc4, 0x13, 4 + 2 + 16, 0];
    expected.extend([0, 0, 0, 0, 5, 0, 0, 0, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 9, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([198, 51, 100, 7, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    for string in ["100", "00441904911004", "friendly-scanner", "9a0364b9e99bb480dd25e1f0@198.51.100.7", "", ""] {
        expected.push(string.len() as u8);
        expected.extend(string.bytes());
    }
    expected.extend([1, 0, b'x']);
    assert_eq!(frame[FRAME_HEADER..length], expected);
    let chain = &frame[length..];
    assert_eq!((chain.len(), chain[2]), (56, 0));
    assert_eq!(chain[8..16], 1_u64.to_le_bytes());
}

/// Frames of before a binding was kept in them are read for as long as there are any.
#[test]
fn a_flow_without_a_binding_is_read_as_it_always_lay_on_disk() {
    let mut old = vec![1, 0, 0, 0, 0xc4, 0x13, 0xc4, 0x13, 60, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    old.extend([198, 51, 100, 7, 192, 0, 2, 1]);
    for string in ["1001", "sip:1001@10.0.0.5", "a84b4c", "Phone/1"] {
        old.push(string.len() as u8);
        old.extend(string.bytes());
    }
    let flow = Flow {
        op: FlowOp::Bound,
        transport: Transport::Udp,
        flags: 0,
        source: "198.51.100.7:5060".parse().unwrap(),
        local: "192.0.2.1:5060".parse().unwrap(),
        expires_s: 60,
        cseq: 7,
        settles: 9,
        number: b"1001",
        contact: b"sip:1001@10.0.0.5",
        call_id: b"a84b4c",
        user_agent: b"Phone/1",
        binding: None,
    };
    assert_eq!(Record::decode(Kind::Flow, &old).unwrap(), Record::Flow(flow));
}

#[test]
fn a_flow_with_a_binding_lies_on_disk_byte_by_byte_as_described() {
    let dir = tempdir().unwrap();
    let mut writer = open_edge(dir.path());
    let flow = Flow {
        op: FlowOp::Bound,
        transport: Transport::Tcp,
        flags: 0,
        source: "198.51.100.7:5061".parse().unwrap(),
        local: "192.0.2.1:5060".parse().unwrap(),
        expires_s: 60,
        cseq: 7,
        settles: 0,
        number: b"1001",
        contact: b"sip:1001@10.0.0.5",
        call_id: b"a84b4c",
        user_agent: b"Phone/1",
        binding: Some(Binding { q: 500, reg_id: 2, instance: b"urn:x", path: b"<sip:p1;lr>\n<sip:p2;lr>" }),
    };
    append(&mut writer, &[Record::Flow(flow)]).unwrap();
    let file = std::fs::read(dir.path().join("00000000000000000001.rfj")).unwrap();
    let frame = &file[128..];
    let length = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
    let mut expected = vec![1, 1, 64, 0, 0xc5, 0x13, 0xc4, 0x13, 60, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([198, 51, 100, 7, 192, 0, 2, 1]);
    for string in ["1001", "", "a84b4c", "Phone/1"] {
        expected.push(string.len() as u8);
        expected.extend(string.bytes());
    }
    expected.extend([17, 0]);
    expected.extend(b"sip:1001@10.0.0.5");
    expected.extend([0xf4, 1, 2, 0, 0, 0, 5]);
    expected.extend(b"urn:x");
    expected.extend([23, 0]);
    expected.extend(b"<sip:p1;lr>\n<sip:p2;lr>");
    assert_eq!(frame[FRAME_HEADER..length], expected);
}

#[test]
fn an_opaque_record_is_bounded_and_of_a_kind_without_a_layout() {
    assert!(matches!(Opaque::new(Kind::Refusal, b""), Err(JournalError::Payload { .. })));
    let long = vec![0; MAX_PAYLOAD + 1];
    assert!(matches!(Opaque::new(Kind::Admin, &long), Err(JournalError::TooLarge { .. })));
    let dir = tempdir().unwrap();
    let mut writer = open_edge(dir.path());
    let longest = Opaque::new(Kind::Admin, &long[1..]).unwrap();
    append(&mut writer, &[Record::Opaque(longest)]).unwrap();
    let batch = StreamReader::open(dir.path(), 0, false).read(1).unwrap().unwrap();
    assert_eq!(batch.opaque().next().unwrap().payload, longest.payload());
}
