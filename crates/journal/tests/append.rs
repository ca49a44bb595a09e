// SPDX-License-Identifier: Apache-2.0
//! Appending: what is returned for is there, what failed is not, and the next run goes on where this one ended.

use std::os::unix::fs::MetadataExt;

use journal::{IncrementWhy, JournalError, Options, Record, SegmentWriter, Stream, WriteUnit, list_segments, verify};
use tempfile::tempdir;

const NOW_US: u64 = 1_763_769_600_000_000;

fn increments(writer: &SegmentWriter, count: u64) -> WriteUnit {
    let mut unit = WriteUnit::new(4096);
    for seq in writer.next_seq()..writer.next_seq() + count {
        unit.push(
            seq,
            NOW_US,
            writer.journal_crc(),
            &Record::Increment { base_seq: 1, count: 1, why: IncrementWhy::Widened },
        );
    }
    unit
}

#[test]
fn the_next_run_continues_the_sequence_and_keeps_the_journal_id() {
    let dir = tempdir().unwrap();
    let (mut writer, opened) =
        SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    assert_eq!((opened.next_seq, opened.run), (1, 1));
    writer.append(&increments(&writer, 3), NOW_US).unwrap();
    writer.append(&increments(&writer, 2), NOW_US).unwrap();
    drop(writer);
    let (writer, again) = SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    assert_eq!((again.journal_id, again.next_seq, again.run), (opened.journal_id, 6, 2));
    assert_eq!(again.recovered, []);
    assert_eq!(writer.next_seq(), 6);
    let names: Vec<_> = list_segments(dir.path()).unwrap().iter().map(|s| s.first_seq).collect();
    assert_eq!(names, [1, 6]);
}

#[test]
fn the_segments_of_one_stream_are_not_taken_for_the_other() {
    let dir = tempdir().unwrap();
    drop(SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap());
    let error = SegmentWriter::open(dir.path(), Stream::Calls, &Options::of(Stream::Calls), NOW_US).unwrap_err();
    assert_eq!(error.code(), "journal_damaged");
}

#[test]
fn several_units_are_one_write() {
    let dir = tempdir().unwrap();
    let (mut writer, _) = SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    let first = increments(&writer, 2);
    let mut second = WriteUnit::new(0);
    let empty = WriteUnit::new(0);
    let record = Record::Increment { base_seq: 1, count: 1, why: IncrementWhy::Widened };
    second.push(3, NOW_US, writer.journal_crc(), &record);
    writer.append_many([&first, &empty, &second].into_iter(), NOW_US).unwrap();
    writer.append(&empty, NOW_US).unwrap();
    let report = verify(dir.path(), |_, _| ()).unwrap();
    assert_eq!((report.writes, report.frames, report.fault), (1, 3, None));
    let error = writer.append_many([&second, &second].into_iter(), NOW_US).unwrap_err();
    assert_eq!(error.code(), "journal_sequence");
}

#[test]
fn a_segment_is_closed_by_size_by_age_and_by_hand() {
    let dir = tempdir().unwrap();
    let options = Options { segment_bytes: 1000, ..Options::of(Stream::Edge) };
    let (mut writer, _) = SegmentWriter::open(dir.path(), Stream::Edge, &options, NOW_US).unwrap();
    // 37 bytes a frame and 56 for the chain: the second write would pass 1000 bytes.
    writer.append(&increments(&writer, 12), NOW_US).unwrap();
    writer.append(&increments(&writer, 12), NOW_US).unwrap();
    let an_hour_later = NOW_US + 3_600_000_000;
    assert!(!writer.is_due(an_hour_later - 1));
    assert!(writer.is_due(an_hour_later));
    writer.append(&increments(&writer, 1), an_hour_later).unwrap();
    writer.rotate(an_hour_later).unwrap();
    writer.rotate(an_hour_later).unwrap();
    assert!(!writer.is_due(u64::MAX), "a segment without frames stays");
    let names: Vec<_> = list_segments(dir.path()).unwrap().iter().map(|s| s.first_seq).collect();
    assert_eq!(names, [1, 13, 25, 26]);
    // Larger than a segment: it gets one to itself.
    writer.append(&increments(&writer, 100), an_hour_later).unwrap();
    writer.append(&increments(&writer, 1), an_hour_later).unwrap();
    assert_eq!(verify(dir.path(), |_, _| ()).unwrap().segments, 5);
}

#[test]
fn a_sync_says_up_to_where_it_made_the_stream_durable() {
    let dir = tempdir().unwrap();
    let (mut writer, _) = SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    let syncer = writer.syncer();
    assert_eq!(syncer.sync().unwrap(), 0);
    for count in 1..=20 {
        writer.append(&increments(&writer, count), NOW_US).unwrap();
        writer.rotate(NOW_US).unwrap();
    }
    assert_eq!(syncer.sync().unwrap(), 210);
    assert_eq!(syncer.sync().unwrap(), 210);
}

#[test]
fn the_calls_stream_holds_room_for_two_segments_and_gives_back_what_it_did_not_use() {
    let dir = tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, ..Options::of(Stream::Calls) };
    let (mut writer, _) = SegmentWriter::open(dir.path(), Stream::Calls, &options, NOW_US).unwrap();
    let allocated = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().blocks() * 512;
    let promised = writer.promised_bytes().unwrap();
    assert_eq!(promised, 2 * ((1 << 20) - 128));
    assert!(allocated("00000000000000000001.rfj") >= 1 << 20 && allocated("spare.tmp") >= 1 << 20);
    writer.append(&increments(&writer, 10), NOW_US).unwrap();
    assert_eq!(writer.promised_bytes().unwrap(), promised - 10 * 37 - 56);
    writer.rotate(NOW_US).unwrap();
    assert_eq!(writer.promised_bytes().unwrap(), promised);
    assert!(allocated("00000000000000000001.rfj") < 64 << 10);
    drop(writer);
    // The spare of one run serves the next.
    let (writer, _) = SegmentWriter::open(dir.path(), Stream::Calls, &options, NOW_US).unwrap();
    assert_eq!(writer.promised_bytes().unwrap(), promised);
    assert_eq!(list_segments(dir.path()).unwrap().len(), 2);
}

#[test]
fn a_unit_that_does_not_continue_the_stream_is_refused_and_nothing_moves() {
    let dir = tempdir().unwrap();
    let (mut writer, _) = SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    let early = increments(&writer, 2);
    writer.append(&early, NOW_US).unwrap();
    let error = writer.append(&early, NOW_US).unwrap_err();
    assert!(matches!(error, JournalError::OutOfSequence { expected: 3, got: 1 }), "{error}");
    assert_eq!(writer.next_seq(), 3);
}
