// SPDX-License-Identifier: Apache-2.0
//! Verification finds every flipped bit, and says what it could not prove.

mod samples;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use journal::{VerifyReport, archive_sealed, summarise, verify};
use samples::{NOW_US, append_refusals, open_edge};
use tempfile::tempdir;

fn prove(dir: &Path) -> VerifyReport {
    verify(dir, |_, _| ()).unwrap()
}

/// A sealed segment with frames 1-3 in two writes and a live one with frames 4-6 in two writes.
fn two_segments(dir: &Path) {
    let mut writer = open_edge(dir);
    append_refusals(&mut writer, 2);
    append_refusals(&mut writer, 1);
    writer.rotate(NOW_US + 1).unwrap();
    append_refusals(&mut writer, 1);
    append_refusals(&mut writer, 2);
}

/// What an archive decompresses to; `None` if it does not. A plain segment as it is.
fn content(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::decode_all(bytes.as_slice()).ok()
    } else {
        Some(bytes)
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_in_the_segment_that_has_it() {
    for is_archived in [false, true] {
        let dir = tempdir().unwrap();
        two_segments(dir.path());
        if is_archived {
            archive_sealed(dir.path(), 3).unwrap();
        }
        assert_eq!(prove(dir.path()).fault, None);
        for segment in summarise(dir.path()).unwrap() {
            let bytes = fs::read(&segment.path).unwrap();
            let file = File::options().write(true).open(&segment.path).unwrap();
            let content_before = content(&segment.path);
            for at in 0..bytes.len() {
                file.write_all_at(&[bytes[at] ^ 1 << (at % 8)], at as u64).unwrap();
                let fault = prove(dir.path()).fault;
                let found = fault.as_ref().map(|fault| &fault.path);
                // A bit of the zstd header means nothing: the records behind it are what was written.
                if !(is_archived && fault.is_none() && content(&segment.path) == content_before) {
                    assert_eq!(found, Some(&segment.path), "byte {at}: {fault:?}");
                }
                file.write_all_at(&bytes[at..=at], at as u64).unwrap();
            }
        }
    }
}

#[test]
fn frames_taken_out_of_a_segment_with_right_checksums_break_the_chain() {
    let dir = tempdir().unwrap();
    two_segments(dir.path());
    let path = dir.path().join(format!("{:020}.rfj", 4));
    let bytes = fs::read(&path).unwrap();
    // The second write moved to where the first one was.
    let first = usize::from(u16::from_le_bytes([bytes[128], bytes[129]])) + 56;
    fs::write(&path, [&bytes[..128], &bytes[128 + first..]].concat()).unwrap();
    assert_eq!(prove(dir.path()).fault.unwrap().what, "the sequence number of a frame is not the next one");
}

#[test]
fn a_missing_segment_is_named_by_its_sequence_number() {
    let dir = tempdir().unwrap();
    two_segments(dir.path());
    let mut writer = open_edge(dir.path());
    append_refusals(&mut writer, 1);
    fs::remove_file(dir.path().join(format!("{:020}.rfj", 4))).unwrap();
    let fault = prove(dir.path()).fault.unwrap();
    assert_eq!(fault.what, "the segment that starts at sequence 4 is missing");
}

#[test]
fn segments_let_go_by_retention_are_tolerated_and_counted() {
    let dir = tempdir().unwrap();
    two_segments(dir.path());
    fs::remove_file(dir.path().join(format!("{:020}.rfj", 1))).unwrap();
    let report = prove(dir.path());
    assert_eq!((report.fault, report.let_go), (None, 3));
    assert_eq!((report.first_seq, report.last_seq, report.frames, report.writes), (4, 6, 3, 2));
}

#[test]
fn a_journal_that_does_not_exist_has_nothing_to_prove() {
    let dir = tempdir().unwrap();
    assert_eq!(prove(&dir.path().join("edge")), VerifyReport::default());
}

#[test]
fn an_archive_interrupted_before_the_plain_file_went_is_finished() {
    let dir = tempdir().unwrap();
    two_segments(dir.path());
    let plain = dir.path().join(format!("{:020}.rfj", 1));
    let bytes = fs::read(&plain).unwrap();
    archive_sealed(dir.path(), 3).unwrap();
    fs::write(&plain, &bytes).unwrap();
    assert_eq!(summarise(dir.path()).unwrap().len(), 2);
    assert_eq!(archive_sealed(dir.path(), 3).unwrap(), Vec::<std::path::PathBuf>::new());
    assert!(!plain.exists());
    assert_eq!(prove(dir.path()).archived, 1);
}
