// SPDX-License-Identifier: Apache-2.0
//! Following a stream that grows, is archived, is damaged or loses segments.

mod samples;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use journal::{Batch, JournalError, StreamReader, archive_sealed};
use proptest::prelude::*;
use samples::{NOW_US, append_refusals, open_edge, open_with, read_all, seqs, small_segments};
use tempfile::tempdir;

fn segment(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}.rfj"))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Segments with frames 1-3, 4-6 and 7-9; the last one is live.
fn three_segments(dir: &Path) -> journal::SegmentWriter {
    let mut writer = open_edge(dir);
    append_refusals(&mut writer, 3);
    writer.rotate(NOW_US).unwrap();
    append_refusals(&mut writer, 3);
    writer.rotate(NOW_US).unwrap();
    append_refusals(&mut writer, 3);
    writer
}

#[test]
fn a_reader_sees_each_write_once_while_segments_come_and_are_archived_under_it() {
    let dir = tempdir().unwrap();
    let mut writer = open_with(dir.path(), &small_segments(3000));
    let mut reader = StreamReader::open(dir.path(), 0, false);
    let mut seen = Vec::new();
    for round in 0..60_usize {
        append_refusals(&mut writer, 1 + round % 4);
        if round % 3 == 0 {
            for batch in read_all(&mut reader, 2).unwrap() {
                seen.extend(batch.frames().map(|frame| frame.seq));
            }
        }
        if round % 7 == 0 {
            archive_sealed(dir.path(), 1).unwrap();
        }
    }
    for batch in read_all(&mut reader, 2).unwrap() {
        seen.extend(batch.frames().map(|frame| frame.seq));
    }
    assert_eq!(seen, (1..writer.next_seq()).collect::<Vec<_>>());
}

#[test]
fn a_write_is_given_out_whole_even_if_fewer_frames_are_asked_for() {
    let dir = tempdir().unwrap();
    let mut writer = open_edge(dir.path());
    append_refusals(&mut writer, 5000);
    append_refusals(&mut writer, 1);
    let mut reader = StreamReader::open(dir.path(), 0, false);
    assert_eq!(reader.read(1).unwrap().unwrap().frame_count(), 5000);
    assert_eq!(reader.read(1).unwrap().unwrap().frame_count(), 1);
}

#[test]
fn half_a_write_in_the_live_segment_is_waited_for() {
    let dir = tempdir().unwrap();
    let path = segment(dir.path(), 1);
    let mut writer = open_edge(dir.path());
    append_refusals(&mut writer, 1);
    let first_end = fs::metadata(&path).unwrap().len() as usize;
    append_refusals(&mut writer, 3);
    drop(writer);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..first_end]).unwrap();
    let mut reader = StreamReader::open(dir.path(), 0, false);
    assert_eq!(reader.read(100).unwrap().unwrap().last_seq(), 1);
    let mut file = File::options().append(true).open(&path).unwrap();
    for piece in bytes[first_end..bytes.len() - 1].chunks(97) {
        file.write_all(piece).unwrap();
        assert!(reader.read(100).unwrap().is_none());
    }
    file.write_all(&bytes[bytes.len() - 1..]).unwrap();
    assert_eq!(reader.read(100).unwrap().unwrap().last_seq(), 4);
}

#[test]
fn bytes_of_a_failed_write_that_were_seen_and_replaced_are_forgotten() {
    let dir = tempdir().unwrap();
    let path = segment(dir.path(), 1);
    let mut writer = open_edge(dir.path());
    append_refusals(&mut writer, 1);
    let mut reader = StreamReader::open(dir.path(), 0, false);
    reader.read(1).unwrap().unwrap();
    let whole = fs::metadata(&path).unwrap().len();
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(&[0xee; 300]).unwrap();
    assert!(reader.read(1).unwrap().is_none());
    assert!(reader.read(1).unwrap().is_none());
    file.set_len(whole).unwrap();
    append_refusals(&mut writer, 2);
    assert_eq!(reader.read(1).unwrap().unwrap().last_seq(), 3);
}

#[test]
fn damage_in_the_live_segment_is_reported_once_a_later_write_proves_it() {
    let dir = tempdir().unwrap();
    let path = segment(dir.path(), 1);
    let mut writer = open_edge(dir.path());
    append_refusals(&mut writer, 2);
    let second = fs::metadata(&path).unwrap().len() as usize;
    append_refusals(&mut writer, 2);
    flip(&path, second + 60);
    let mut reader = StreamReader::open(dir.path(), 0, false);
    assert_eq!(reader.read(100).unwrap().unwrap().last_seq(), 2);
    assert!(reader.read(100).unwrap().is_none(), "the first look may have met a write being replaced");
    let error = reader.read(100).unwrap_err();
    let JournalError::Damaged { offset, what, .. } = error else { panic!("{error}") };
    assert_eq!((offset, what.as_str()), (second as u64, "the checksum of a frame does not match"));
    let mut skipping = StreamReader::open(dir.path(), 2, true);
    assert!(read_all(&mut skipping, 1).unwrap().is_empty());
    writer.rotate(NOW_US).unwrap();
    append_refusals(&mut writer, 1);
    // The writer holds the damaged file no more; what follows it can be had.
    assert_eq!(skipping.read(1).unwrap().unwrap().first_seq(), 5);
    assert_eq!(skipping.missing(), 2);
}

#[test]
fn damage_in_a_sealed_segment_is_an_error_at_each_call_or_skipped_and_counted() {
    for is_archived in [false, true] {
        let dir = tempdir().unwrap();
        let _writer = three_segments(dir.path());
        let mut path = segment(dir.path(), 4);
        if is_archived {
            archive_sealed(dir.path(), 3).unwrap();
            path.set_extension("rfj.zst");
        }
        flip(&path, 200);
        let mut reader = StreamReader::open(dir.path(), 0, false);
        assert_eq!(reader.read(1).unwrap().unwrap().last_seq(), 3);
        for _ in 0..3 {
            assert_eq!(reader.read(1).unwrap_err().code(), "journal_damaged");
        }
        let mut skipping = StreamReader::open(dir.path(), 0, true);
        let batches = read_all(&mut skipping, 1).unwrap();
        assert_eq!(batches.iter().map(Batch::last_seq).collect::<Vec<_>>(), [3, 9]);
        assert_eq!(skipping.missing(), 3);
    }
}

#[test]
fn a_damaged_header_is_an_error_or_skipped() {
    let dir = tempdir().unwrap();
    let _writer = three_segments(dir.path());
    flip(&segment(dir.path(), 4), 30);
    let mut reader = StreamReader::open(dir.path(), 0, false);
    reader.read(1).unwrap();
    assert_eq!(reader.read(1).unwrap_err().code(), "journal_damaged");
    let mut skipping = StreamReader::open(dir.path(), 3, true);
    assert_eq!(skipping.read(1).unwrap().unwrap().first_seq(), 7);
    assert_eq!(skipping.missing(), 3);
}

#[test]
fn a_missing_segment_is_an_error_or_skipped_and_counted() {
    let dir = tempdir().unwrap();
    let _writer = three_segments(dir.path());
    fs::remove_file(segment(dir.path(), 4)).unwrap();
    let mut reader = StreamReader::open(dir.path(), 0, false);
    reader.read(1).unwrap();
    for _ in 0..2 {
        let error = reader.read(1).unwrap_err();
        assert!(matches!(error, JournalError::Missing { expected: 4, .. }), "{error}");
    }
    let mut skipping = StreamReader::open(dir.path(), 0, true);
    assert_eq!(read_all(&mut skipping, 1).unwrap().last().unwrap().first_seq(), 7);
    assert_eq!(skipping.missing(), 3);
}

#[test]
fn segments_let_go_before_the_oldest_are_no_hole_for_a_reader_from_the_start() {
    let dir = tempdir().unwrap();
    let _writer = three_segments(dir.path());
    fs::remove_file(segment(dir.path(), 1)).unwrap();
    assert_eq!(seqs(dir.path(), 0), [4, 5, 6, 7, 8, 9]);
    let error = StreamReader::open(dir.path(), 1, false).read(1).unwrap_err();
    assert!(matches!(error, JournalError::Missing { expected: 2, .. }), "{error}");
}

#[test]
fn a_reader_that_is_ahead_of_the_journal_says_so() {
    let dir = tempdir().unwrap();
    let _writer = three_segments(dir.path());
    assert!(StreamReader::open(dir.path(), 9, false).read(1).unwrap().is_none());
    let error = StreamReader::open(dir.path(), 10, false).read(1).unwrap_err();
    assert!(matches!(error, JournalError::Ahead { after_seq: 10, last_seq: 9, .. }), "{error}");
}

#[test]
fn a_segment_of_another_journal_is_refused() {
    let dir = tempdir().unwrap();
    let other = tempdir().unwrap();
    let _writer = three_segments(dir.path());
    let _other = three_segments(other.path());
    fs::copy(segment(other.path(), 4), segment(dir.path(), 4)).unwrap();
    let mut reader = StreamReader::open(dir.path(), 0, false);
    reader.read(1).unwrap();
    assert_eq!(reader.read(1).unwrap_err().code(), "journal_damaged");
}

#[test]
fn the_journal_id_is_known_before_anything_is_read() {
    let dir = tempdir().unwrap();
    let reader = StreamReader::open(&dir.path().join("edge"), 0, false);
    assert_eq!(reader.journal_id().unwrap(), None);
    let writer = three_segments(&dir.path().join("edge"));
    assert_eq!(reader.journal_id().unwrap(), Some(writer.journal_id()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_the_bytes_no_frame_is_given_out_that_was_not_written(
        first_seq in prop::sample::select(vec![1_u64, 4, 7]),
        at in any::<prop::sample::Index>(),
        removed in 0_usize..300,
        inserted in prop::collection::vec(any::<u8>(), 0..300),
        is_archived in any::<bool>(),
    ) {
        let dir = tempdir().unwrap();
        let writer = three_segments(dir.path());
        drop(writer);
        let genuine: Vec<_> = read_all(&mut StreamReader::open(dir.path(), 0, false), 100).unwrap();
        let genuine: Vec<_> = genuine.iter().flat_map(owned_frames).collect();
        if is_archived {
            archive_sealed(dir.path(), 1).unwrap();
        }
        let mut path = segment(dir.path(), first_seq);
        if !path.exists() {
            path.set_extension("rfj.zst");
        }
        let mut bytes = fs::read(&path).unwrap();
        let start = at.index(bytes.len());
        let end = bytes.len().min(start + removed);
        bytes.splice(start..end, inserted);
        fs::write(&path, &bytes).unwrap();

        let mut reader = StreamReader::open(dir.path(), 0, true);
        let mut given = Vec::new();
        // The live segment is looked at again; no number of looks may change what is given out.
        for _ in 0..3 {
            given.extend(read_all(&mut reader, 100).unwrap().iter().flat_map(owned_frames));
        }
        prop_assert!(given.iter().all(|frame| genuine.contains(frame)));
        prop_assert!(given.is_sorted_by_key(|frame| frame.0));
        let untouched = genuine.iter().filter(|frame| (frame.0 - 1) / 3 != (first_seq - 1) / 3);
        prop_assert!(untouched.filter(|frame| !given.contains(frame)).count() == 0);
    }
}

fn owned_frames(batch: &Batch) -> Vec<(u64, u8, u64, Vec<u8>)> {
    batch.frames().map(|frame| (frame.seq, frame.kind, frame.time_us, frame.payload.to_vec())).collect()
}
