// SPDX-License-Identifier: Apache-2.0
//! A writer that is killed, and a disk that is full: with real processes, so this file is its own test harness. Run without
//! arguments it is the parent; with a role and a directory it is one of the writers that the parent starts.

mod samples;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use journal::{JournalError, Options, Record, SegmentWriter, Stream, StreamReader, verify};
use samples::{NOW_US, an_attempt, append, append_at, open_with, read_all, small_segments};
use tempfile::tempdir;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["append-until-killed", dir] => append_until_killed(Path::new(dir)),
        ["append-past-limit", dir] => append_past_limit(Path::new(dir)),
        ["fill-disk", dir] => fill_disk(Path::new(dir)),
        // Arguments of the usual harness (filters, --nocapture) select nothing here.
        _ => {
            a_killed_writer_never_loses_a_write_that_returned();
            a_write_that_does_not_fit_leaves_no_trace_and_no_hole();
            a_full_disk_leaves_the_reserved_room_to_the_calls_stream();
        }
    }
}

fn child(role: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(role).arg(dir);
    command
}

fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// Starts the command in a shell that first does `setup`.
fn in_shell(setup: &str, role: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{setup}; exec \"$0\" \"$@\"")]).arg(env::current_exe().unwrap()).arg(role).arg(dir);
    command
}

/// Appends writes of 1 to 7 refusals and says the last sequence number of each when it has returned.
fn append_until_killed(dir: &Path) {
    let mut writer = open_with(dir, &small_segments(16 << 10));
    for round in 0_usize.. {
        append(&mut writer, &vec![Record::Refusal(an_attempt()); 1 + round % 7]).unwrap();
        say(writer.next_seq() - 1);
    }
}

fn a_killed_writer_never_loses_a_write_that_returned() {
    let dir = tempdir().unwrap();
    let mut returned = 0;
    for run in 0..20_usize {
        let mut child: Child = child("append-until-killed", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        for _ in 0..=run * 37 {
            returned = lines.next().unwrap().parse::<u64>().unwrap();
        }
        // SIGKILL, in the middle of whatever it does now.
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            // The last line may be half a line.
            returned = line.parse::<u64>().ok().filter(|&seq| seq > returned).unwrap_or(returned);
        }
        let mut reader = StreamReader::open(dir.path(), 0, false);
        let batches = read_all(&mut reader, 1000).unwrap();
        let read: usize = batches.iter().map(journal::Batch::frame_count).sum();
        assert!(read as u64 >= returned, "run {run}: {returned} returned, {read} read");
        assert_eq!(read as u64, reader.next_seq() - 1, "run {run}: no number is missing or twice");
        assert_eq!(verify(dir.path(), |_, _| ()).unwrap().fault, None, "run {run}");
    }
    let (_, opened) = SegmentWriter::open(dir.path(), Stream::Edge, &small_segments(16 << 10), NOW_US).unwrap();
    // A run that was killed before its first write returned may have left its number to the next.
    assert!(opened.run >= 2 && opened.next_seq > returned);
    println!("a_killed_writer_never_loses_a_write_that_returned: {returned} frames in 20 runs ok");
}

/// Under a limit on the size of files: the write that does not fit fails, is cut off, and its numbers are used again.
fn append_past_limit(dir: &Path) {
    let mut writer = open_with(dir, &small_segments(1 << 30));
    let refusals = vec![Record::Refusal(an_attempt()); 13];
    let mut failures = 0;
    while failures < 3 {
        let next_seq = writer.next_seq();
        let before = file_size(dir);
        match append(&mut writer, &refusals) {
            Ok(()) => assert_eq!(writer.next_seq(), next_seq + 13),
            Err(error) => {
                assert!(matches!(error, JournalError::Full { .. }), "{error}");
                assert_eq!((writer.next_seq(), file_size(dir)), (next_seq, before));
                // A smaller write still fits; then there is room again, in a new segment.
                append(&mut writer, &refusals[..1]).unwrap();
                writer.rotate(NOW_US).unwrap();
                failures += 1;
            }
        }
    }
    append(&mut writer, &refusals).unwrap();
    say(writer.next_seq() - 1);
}

/// Size of the newest segment.
fn file_size(dir: &Path) -> u64 {
    let newest = journal::list_segments(dir).unwrap().pop().unwrap();
    fs::metadata(newest.path).unwrap().len()
}

fn a_write_that_does_not_fit_leaves_no_trace_and_no_hole() {
    let dir = tempdir().unwrap();
    // 40 blocks are 20 or 40 KiB, as the shell counts; without the trap the signal would end the process.
    let output = in_shell("trap '' XFSZ; ulimit -f 40", "append-past-limit", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let last: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let report = verify(dir.path(), |_, _| ()).unwrap();
    assert_eq!((report.fault, report.segments, report.last_seq, report.frames), (None, 4, last, last));
    println!("a_write_that_does_not_fit_leaves_no_trace_and_no_hole: {last} frames ok");
}

/// On a disk of 1 MiB: fills it with everything but the calls stream, which then still has what it was promised.
fn fill_disk(dir: &Path) {
    let options = Options { segment_bytes: 128 << 10, ..Options::of(Stream::Calls) };
    let (mut calls, _) = SegmentWriter::open(&dir.join("calls"), Stream::Calls, &options, NOW_US).unwrap();
    fs::write(dir.join("filler"), [1; 8 << 10]).unwrap();
    let mut edge = open_with(&dir.join("edge"), &small_segments(64 << 10));
    let refusals = vec![Record::Refusal(an_attempt()); 20];
    while !matches!(append(&mut edge, &refusals), Err(JournalError::Full { .. })) {}
    let edge_next = edge.next_seq();
    assert!(matches!(append(&mut edge, &refusals), Err(JournalError::Full { .. })));

    let promised = calls.promised_bytes().unwrap();
    assert_eq!(promised, 2 * ((128 << 10) - 128));
    let unit_bytes = 20 * 200;
    let mut appended = 0;
    while calls.promised_bytes().unwrap() >= 2 * unit_bytes {
        let before = calls.promised_bytes().unwrap();
        append(&mut calls, &refusals).unwrap();
        appended += 1;
        assert!(calls.promised_bytes().unwrap() < before);
        assert!(matches!(calls.reserve(), Ok(Some(_)) | Err(JournalError::Full { .. })));
    }
    assert!(appended * unit_bytes > promised * 2 / 3, "{appended} writes in {promised} promised bytes");
    // Its time is up and there is no room for a segment, only for the beginning of one: it keeps what it has.
    fs::remove_file(dir.join("filler")).unwrap();
    let before = calls.promised_bytes().unwrap();
    append_at(&mut calls, &refusals[..1], NOW_US + 7_200_000_000).unwrap();
    let left = calls.promised_bytes().unwrap();
    assert!(left > before - 400, "{before} promised, {left} left");
    calls.sync().unwrap();

    // Synced, or the writer still holds the file that is removed.
    edge.sync().unwrap();
    // Room again: what was refused is appended under the same numbers, and the promise is renewed.
    let oldest = journal::list_segments(&dir.join("edge")).unwrap().remove(0);
    fs::remove_file(oldest.path).unwrap();
    append(&mut edge, &refusals).unwrap();
    assert_eq!(edge.next_seq(), edge_next + 20);
    fs::remove_dir_all(dir.join("edge")).unwrap();
    drop(edge);
    calls.reserve().unwrap();
    append(&mut calls, &refusals).unwrap();
    assert!(calls.promised_bytes().unwrap() >= promised / 2);
    let last_seq = calls.next_seq() - 1;
    let report = verify(&dir.join("calls"), |_, _| ()).unwrap();
    assert_eq!((report.fault, report.last_seq), (None, last_seq));
    say(format!("{appended} writes in {promised} promised bytes"));
}

fn a_full_disk_leaves_the_reserved_room_to_the_calls_stream() {
    let dir = tempdir().unwrap();
    let name = "a_full_disk_leaves_the_reserved_room_to_the_calls_stream";
    // A disk of our own, in a mount namespace of our own; not every machine lets users have one.
    let mount = format!("mount -t tmpfs -o size=1m none '{}'", dir.path().display());
    let may_mount = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        println!("{name}: skipped, no mount namespace to be had");
        return;
    }
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &format!("{mount}; exec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .arg("fill-disk")
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{name}: {} ok", String::from_utf8_lossy(&output.stdout).trim());
}
