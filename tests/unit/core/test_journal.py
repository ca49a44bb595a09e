# SPDX-License-Identifier: Apache-2.0
"""The journal as Python sees it: tailing, columns, archiving, verifying, errors."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ringfence import core
from ringfence.core import Column, JournalTail, JournalWriter
from ringfence.errors import StoreError

NOW_US = 1_763_769_600_000_000

ARROW_TYPES = {
    "u8": pa.uint8(),
    "u16": pa.uint16(),
    "u32": pa.uint32(),
    "u64": pa.uint64(),
    "string": pa.string(),
    "bytes": pa.binary(),
}


def a_writer(directory: Path, **options: Any) -> JournalWriter:
    return JournalWriter(directory, now_us=NOW_US, **options)


def rows_of(columns: dict[str, Column]) -> list[dict[str, Any]]:
    """The columns as Arrow reads them, each validated in full."""
    arrays = {}
    for name, (type_name, length, buffers) in columns.items():
        wrapped = [None if buffer is None else pa.py_buffer(buffer) for buffer in buffers]
        arrays[name] = pa.Array.from_buffers(ARROW_TYPES[type_name], length, wrapped)
        arrays[name].validate(full=True)
    rows: list[dict[str, Any]] = pa.RecordBatch.from_pydict(arrays).to_pylist()
    return rows


def write_refusals(writer: JournalWriter, count: int) -> None:
    for _ in range(count):
        writer.attempt(time_us=NOW_US)
    writer.commit(NOW_US)


def test_an_attempt_arrives_with_every_field(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    seq = writer.attempt(
        time_us=NOW_US + 5,
        reason="bad_credentials",
        method="REGISTER",
        transport="TLS",
        scope="source",
        status=401,
        detail=7,
        source="2001:db8::7",
        source_port=5071,
        local="192.0.2.9",
        local_port=5061,
        flags=core.FLAG_PROVEN,
        gateway_id=3,
        traits=0x8000_0001,
        fingerprint=2**64 - 1,
        settles=11,
        caller=b"1001",
        callee=b"1002",
        user_agent=b"friendly-scanner",
        call_id=b"abc@198.51.100.7",
        auth_user=b"1001",
        raw=b"REGISTER sip:example.com SIP/2.0\r\n\r\n",
    )
    writer.commit(NOW_US)
    batch = JournalTail(tmp_path).read(10)
    assert batch is not None
    (row,) = rows_of(batch.attempts())
    codes = {
        name: code for table in (core.REASONS, core.METHODS, core.TRANSPORTS) for code, name in table.items()
    }
    assert row == {
        "seq": seq,
        "time_us": NOW_US + 5,
        "kind": 1,
        "reason": codes["bad_credentials"],
        "method": codes["REGISTER"],
        "transport": codes["TLS"],
        "scope": 1,
        "status": 401,
        "detail": 7,
        "source": "2001:db8::7",
        "source_port": 5071,
        "local": "192.0.2.9",
        "local_port": 5061,
        "flags": core.FLAG_PROVEN | core.FLAG_SOURCE_V6 | core.FLAG_RAW,
        "gateway_id": 3,
        "traits": 0x8000_0001,
        "fingerprint": 2**64 - 1,
        "settles": 11,
        "caller": "1001",
        "callee": "1002",
        "user_agent": "friendly-scanner",
        "call_id": "abc@198.51.100.7",
        "method_text": "",
        "auth_user": "1001",
        "raw": b"REGISTER sip:example.com SIP/2.0\r\n\r\n",
    }


def test_frames_of_each_kind_come_out_of_their_own_method_in_order(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    refused = writer.attempt(time_us=NOW_US)
    challenged = writer.attempt(time_us=NOW_US, is_challenge=True, method="FOO")
    counted = writer.increment(time_us=NOW_US + 1, base_seq=refused, count=3, why="widened")
    silent = writer.summary(time_us=NOW_US + 2, reason="malformed", method="OPTIONS", count=9)
    bound = writer.flow(time_us=NOW_US + 3, op="refreshed", number=b"1001", contact=b"sip:1001@198.51.100.7")
    started = writer.opaque(time_us=NOW_US + 4, kind="call_started", payload=b"\x81\xa1a\x01")
    counters = writer.books(time_us=NOW_US + 5, counters=[1, 2**64 - 1])
    writer.commit(NOW_US)
    batch = JournalTail(tmp_path).read(1)
    assert batch is not None
    assert (batch.first_seq, batch.last_seq, batch.frames) == (refused, counters, 7)
    attempts = rows_of(batch.attempts())
    assert [(row["seq"], core.KINDS[row["kind"]], core.REASONS[row["reason"]]) for row in attempts] == [
        (refused, "refusal", "unknown_source"),
        (challenged, "challenge", "unanswered_challenge"),
    ]
    assert (attempts[1]["method"], attempts[1]["method_text"], attempts[1]["raw"]) == (0, "FOO", None)
    (increment,) = rows_of(batch.increments())
    assert increment == {"seq": counted, "time_us": NOW_US + 1, "base_seq": refused, "count": 3, "why": 1}
    (summary,) = rows_of(batch.summaries())
    assert summary == {"seq": silent, "time_us": NOW_US + 2, "reason": 10, "method": 5, "count": 9}
    (flow,) = rows_of(batch.flows())
    assert (flow["seq"], core.FLOW_OPS[flow["op"]], flow["number"], flow["source"]) == (
        bound,
        "refreshed",
        "1001",
        "198.51.100.7",
    )
    assert batch.opaque() == [(6, started, NOW_US + 4, b"\x81\xa1a\x01")]
    assert batch.books() == [(counters, NOW_US + 5, writer.run, [1, 2**64 - 1])]


def test_bytes_that_are_not_utf8_are_written_out_and_mapped_addresses_are_ipv4(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    writer.attempt(time_us=NOW_US, caller="grüß\x1b".encode() + b"\xff\xc3", source="::ffff:203.0.113.5")
    writer.commit(NOW_US)
    batch = JournalTail(tmp_path).read(1)
    assert batch is not None
    (row,) = rows_of(batch.attempts())
    assert row["caller"] == "grüß\x1b\\xff\\xc3"
    assert row["source"] == "203.0.113.5"
    assert row["flags"] == 0


def test_a_tail_starts_before_the_journal_exists_and_follows_it_over_segments_and_runs(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "edge"
    tail = JournalTail(directory)
    assert tail.read(10) is None
    assert tail.journal_id == b""
    writer = a_writer(directory)
    write_refusals(writer, 3)
    batch = tail.read(10)
    assert batch is not None
    assert batch.last_seq == 3
    assert tail.journal_id == batch.journal_id == writer.journal_id
    assert tail.read(10) is None
    writer.rotate(NOW_US)
    write_refusals(writer, 2)
    del writer
    again = a_writer(directory)
    write_refusals(again, 1)
    assert again.run == 2
    batches = [tail.read(10), tail.read(10), tail.read(10)]
    assert [batch and (batch.first_seq, batch.last_seq) for batch in batches] == [(4, 5), (6, 6), None]
    assert tail.next_seq == 7


def test_a_tail_goes_on_after_the_sequence_number_it_is_given(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    write_refusals(writer, 4)
    write_refusals(writer, 4)
    batch = JournalTail(tmp_path, after_seq=2).read(1)
    assert batch is not None
    assert (batch.first_seq, batch.last_seq) == (3, 4)
    assert [row["seq"] for row in rows_of(batch.attempts())] == [3, 4]


def test_uncommitted_frames_are_not_read(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    writer.attempt(time_us=NOW_US)
    assert JournalTail(tmp_path).read(1) is None


def test_sealed_segments_are_archived_and_still_read(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    for _ in range(3):
        write_refusals(writer, 2)
        writer.rotate(NOW_US + 1)
    made = core.archive_sealed(tmp_path, level=3)
    assert [Path(path).name for path in made] == [f"{seq:020}.rfj.zst" for seq in (1, 3, 5)]
    listed = core.segments(tmp_path)
    assert [(segment.first_seq, segment.last_seq, segment.is_sealed) for segment in listed] == [
        (1, 2, True),
        (3, 4, True),
        (5, 6, True),
        (7, None, False),
    ]
    assert listed[0].disk_bytes == Path(listed[0].path).stat().st_size
    assert (listed[0].first_time_us, listed[0].last_time_us) == (NOW_US, NOW_US + 1)
    tail = JournalTail(tmp_path)
    assert [batch.last_seq for batch in iter(lambda: tail.read(10), None)] == [2, 4, 6]


def test_verification_names_the_damaged_place_and_readers_refuse_or_skip_it(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    write_refusals(writer, 3)
    writer.rotate(NOW_US)
    write_refusals(writer, 1)
    segment = tmp_path / f"{1:020}.rfj"
    content = bytearray(segment.read_bytes())
    content[300] ^= 1
    segment.write_bytes(content)
    seen: list[tuple[int, int]] = []
    report = core.verify_journal(tmp_path, lambda done, every: seen.append((done, every)))
    assert report.fault is not None
    path, offset, what = report.fault
    assert (path, what) == (str(segment), "the checksum of a frame does not match")
    assert 128 <= offset <= 300
    assert seen == []
    tail = JournalTail(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged at byte") as caught:
            tail.read(10)
        assert caught.value.code == "journal_damaged"
        assert caught.value.hint is not None
    skipping = JournalTail(tmp_path, skip_unreadable=True)
    batch = skipping.read(10)
    assert batch is not None
    assert (batch.first_seq, skipping.missing) == (4, 3)


def test_verification_counts_what_it_proved_and_passes_on_what_progress_raises(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    write_refusals(writer, 3)
    writer.rotate(NOW_US)
    write_refusals(writer, 1)
    core.archive_sealed(tmp_path)
    report = core.verify_journal(tmp_path)
    assert report.fault is None
    assert (report.segments, report.archived, report.writes, report.frames) == (2, 1, 2, 4)
    assert (report.first_seq, report.last_seq, report.let_go, report.tail_bytes) == (1, 4, 0, 0)
    assert report.journal_id == writer.journal_id
    assert report.disk_bytes == sum(segment.disk_bytes for segment in core.segments(tmp_path))

    def interrupt(done: int, every: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        core.verify_journal(tmp_path, interrupt)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    with pytest.raises(StoreError, match="another process writes this journal") as caught:
        a_writer(tmp_path)
    assert caught.value.code == "journal_busy"
    assert writer.next_seq == 1


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("attempt", {"reason": "nonsense"}),
        ("attempt", {"source": "not an address"}),
        ("increment", {"base_seq": 1, "why": "nonsense"}),
        ("flow", {"op": "nonsense"}),
        ("opaque", {"kind": "nonsense", "payload": b""}),
        ("books", {"counters": [0] * 256}),
    ],
)
def test_the_fixture_writer_refuses_what_the_format_does_not_know(
    tmp_path: Path, method: str, arguments: dict[str, Any]
) -> None:
    writer = a_writer(tmp_path)
    with pytest.raises(ValueError, match=r"nonsense|address|255"):
        getattr(writer, method)(time_us=NOW_US, **arguments)
    assert writer.next_seq == 1


def test_only_kinds_without_a_layout_are_opaque(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        a_writer(tmp_path).opaque(time_us=NOW_US, kind="refusal", payload=b"")
    assert caught.value.code == "journal_payload"


def test_native_objects_are_frozen(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    write_refusals(writer, 1)
    tail = JournalTail(tmp_path)
    for frozen in (writer, tail, tail.read(1), core.verify_journal(tmp_path)):
        with pytest.raises(AttributeError):
            frozen.journal_id = b""  # type: ignore[union-attr,misc]
