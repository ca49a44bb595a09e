// SPDX-License-Identifier: Apache-2.0
//! What a run leaves behind when it dies, and what the next one makes of it.

mod samples;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use journal::{Batch, IncrementWhy, Opened, Options, Record, SegmentWriter, Stream, StreamReader, verify};
use samples::{NOW_US, append, append_refusals, open_edge, open_with, read_all, seqs, small_segments};
use tempfile::tempdir;

fn segment(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}.rfj"))
}

fn reopen(dir: &Path) -> (SegmentWriter, Opened) {
    SegmentWriter::open(dir, Stream::Edge, &Options::of(Stream::Edge), NOW_US + 1).unwrap()
}

/// A journal of three writes with 2, 1 and 2 frames; returns its bytes and the ends of the writes.
fn three_writes(dir: &Path) -> (Vec<u8>, [usize; 4]) {
    let mut writer = open_edge(dir);
    let increment = Record::Increment { base_seq: 1, count: 1, why: IncrementWhy::Widened };
    let mut ends = [0; 4];
    for (end, count) in ends.iter_mut().zip([0, 2, 1, 2]) {
        append(&mut writer, &vec![increment.clone(); count]).unwrap();
        *end = fs::metadata(segment(dir, 1)).unwrap().len() as usize;
    }
    (fs::read(segment(dir, 1)).unwrap(), ends)
}

#[test]
fn any_truncation_yields_exactly_the_whole_writes_before_it() {
    let source = tempdir().unwrap();
    let (bytes, ends) = three_writes(source.path());
    for length in ends[0]..bytes.len() {
        let dir = tempdir().unwrap();
        fs::write(segment(dir.path(), 1), &bytes[..length]).unwrap();
        let kept = (0..=3).rev().find(|&write| ends[write] <= length).unwrap();
        let last = [0, 2, 3, 5][kept];
        assert_eq!(seqs(dir.path(), 0), (1..=last).collect::<Vec<_>>(), "cut at {length}");
        let report = verify(dir.path(), |_, _| ()).unwrap();
        assert_eq!((report.fault, report.tail_bytes), (None, (length - ends[kept]) as u64), "cut at {length}");

        let (writer, opened) = reopen(dir.path());
        assert_eq!(opened.next_seq, last + 1, "cut at {length}");
        let cut: u64 = opened.recovered.iter().map(|recovery| recovery.cut_bytes).sum();
        assert_eq!(cut, (length - ends[kept]) as u64);
        drop(writer);
        assert_eq!(verify(dir.path(), |_, _| ()).unwrap().tail_bytes, 0);
    }
}

#[test]
fn a_reader_that_waits_at_a_torn_tail_goes_on_with_the_next_run() {
    let dir = tempdir().unwrap();
    let (bytes, ends) = three_writes(dir.path());
    File::options().write(true).open(segment(dir.path(), 1)).unwrap().set_len(bytes.len() as u64 - 10).unwrap();
    let mut reader = StreamReader::open(dir.path(), 0, false);
    assert_eq!(read_all(&mut reader, 100).unwrap().last().unwrap().last_seq(), 3);
    assert!(reader.read(1).unwrap().is_none());
    let (mut writer, opened) = reopen(dir.path());
    assert_eq!(opened.recovered[0].cut_bytes, (bytes.len() - 10 - ends[2]) as u64);
    append_refusals(&mut writer, 2);
    let batch = reader.read(100).unwrap().unwrap();
    assert_eq!((batch.first_seq(), batch.last_seq()), (4, 5));
}

#[test]
fn a_segment_without_frames_is_used_again_by_the_next_run() {
    let dir = tempdir().unwrap();
    drop(open_edge(dir.path()));
    let mut reader = StreamReader::open(dir.path(), 0, false);
    assert!(reader.read(1).unwrap().is_none());
    let (mut writer, opened) = reopen(dir.path());
    assert_eq!((opened.run, opened.next_seq, opened.recovered.len()), (2, 1, 0));
    append_refusals(&mut writer, 1);
    assert_eq!(reader.read(1).unwrap().unwrap().last_seq(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn damage_before_whole_writes_is_never_cut() {
    let dir = tempdir().unwrap();
    let (mut bytes, ends) = three_writes(dir.path());
    bytes[ends[1] + 30] ^= 1;
    fs::write(segment(dir.path(), 1), &bytes).unwrap();
    let (mut writer, opened) = reopen(dir.path());
    assert_eq!(opened.next_seq, 6);
    assert_eq!((opened.recovered[0].cut_bytes, opened.recovered[0].damaged_at), (0, Some(ends[1] as u64)));
    assert_eq!(fs::read(segment(dir.path(), 1)).unwrap(), bytes);
    append_refusals(&mut writer, 1);
    let mut reader = StreamReader::open(dir.path(), 0, true);
    let batches = read_all(&mut reader, 100).unwrap();
    assert_eq!(batches.iter().map(Batch::last_seq).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(reader.missing(), 3);
}

#[test]
fn the_power_going_before_a_new_segment_reached_the_disk_loses_only_that_segment() {
    for content in [&b""[..], &[0; 128], &[0; 5000]] {
        let dir = tempdir().unwrap();
        three_writes(dir.path());
        fs::write(segment(dir.path(), 6), content).unwrap();
        let (writer, opened) = reopen(dir.path());
        assert_eq!((opened.next_seq, opened.run), (6, 2));
        let aside = opened.recovered[0].set_aside.as_ref().unwrap();
        assert_eq!(fs::read(aside).unwrap(), content);
        drop(writer);
        assert_eq!(verify(dir.path(), |_, _| ()).unwrap().fault, None);
        assert_eq!(seqs(dir.path(), 0), [1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_damaged_header_does_not_make_the_frames_behind_it_be_numbered_again() {
    let dir = tempdir().unwrap();
    three_writes(dir.path());
    let (mut writer, _) = reopen(dir.path());
    append_refusals(&mut writer, 2);
    drop(writer);
    let mut bytes = fs::read(segment(dir.path(), 6)).unwrap();
    bytes[50] ^= 1;
    fs::write(segment(dir.path(), 6), &bytes).unwrap();
    let (_, opened) = reopen(dir.path());
    assert_eq!((opened.next_seq, opened.run), (8, 3));
    assert_eq!(opened.recovered[0].damaged_at, Some(0));
}

#[test]
fn a_journal_whose_only_header_is_damaged_is_not_written_over() {
    let dir = tempdir().unwrap();
    let (mut bytes, _) = three_writes(dir.path());
    bytes[50] ^= 1;
    fs::write(segment(dir.path(), 1), &bytes).unwrap();
    let error = SegmentWriter::open(dir.path(), Stream::Edge, &Options::of(Stream::Edge), NOW_US).unwrap_err();
    assert_eq!(error.code(), "journal_damaged");
    assert_eq!(fs::read(segment(dir.path(), 1)).unwrap(), bytes);
}

#[test]
fn the_next_run_continues_after_an_archived_segment() {
    let dir = tempdir().unwrap();
    let mut writer = open_with(dir.path(), &small_segments(1000));
    append_refusals(&mut writer, 5);
    append_refusals(&mut writer, 5);
    drop(writer);
    journal::archive_sealed(dir.path(), 1).unwrap();
    fs::remove_file(segment(dir.path(), 6)).unwrap();
    let (_, opened) = reopen(dir.path());
    assert_eq!((opened.next_seq, opened.run), (6, 2));
    assert_eq!(verify(dir.path(), |_, _| ()).unwrap().fault, None);
}
