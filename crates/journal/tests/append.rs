// SPDX-License-Identifier: Apache-2.0
//! Appending: what is returned for is there, what failed is not, and the next run goes on where this one ended.

use journal::{
    IncrementWhy, JournalError, Options, Record, SegmentWriter, Stream, WriteUnit, list_segments,
};
use tempfile::tempdir;

const NOW_US: u64 = 1_763_769_600_000_000;

fn increments(writer: &SegmentWriter, count: u64) -> WriteUnit {
    let mut unit = WriteUnit::new(4096);
    for seq in writer.next_seq()..writer.next_seq() + count {
        unit.push(
            seq,
            NOW_US,
            writer.journal_crc(),
            &Record::Increment {
                base_seq: 1,
                count: 1,
                why: IncrementWhy::Widened,
            },
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
    let (writer, again) =
        SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    assert_eq!(
        (again.journal_id, again.next_seq, again.run),
        (opened.journal_id, 6, 2)
    );
    assert_eq!(again.recovered, []);
    assert_eq!(writer.next_seq(), 6);
    let names: Vec<_> = list_segments(dir.path())
        .unwrap()
        .iter()
        .map(|s| s.first_seq)
        .collect();
    assert_eq!(names, [1, 6]);
}

#[test]
fn a_unit_that_does_not_continue_the_stream_is_refused_and_nothing_moves() {
    let dir = tempdir().unwrap();
    let (mut writer, _) =
        SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap();
    let early = increments(&writer, 2);
    writer.append(&early, NOW_US).unwrap();
    let error = writer.append(&early, NOW_US).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::OutOfSequence {
                expected: 3,
                got: 1
            }
        ),
        "{error}"
    );
    assert_eq!(writer.next_seq(), 3);
}
