# SPDX-License-Identifier: Apache-2.0
"""Files of records: what a stranger wrote is inert in each, and reads back as documented."""

import csv
import gc
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from kit.ledgers import ledger_of
from ringfence.errors import ConfigError
from ringfence.ledger.cells import csv_text, read_csv_text, read_vos_text, vos_text, xlsx_text
from ringfence.ledger.exports import (
    Form,
    exporting,
    first_rows,
    parse_columns,
    parse_form,
    plain,
    write,
    write_hours,
)
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import COLUMN_NAMES, COLUMNS, EMPTY, VOS_COLUMNS
from ringfence.ledger.tail import ROW_SCHEMA
from ringfence.text import visible

T0 = datetime(2026, 11, 22, 8, 59, 59, 123456)  # noqa: DTZ001 - as Arrow gives it
FORMULAS = (
    "=1+1",
    "+49301234",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1+1",
    "\uff1d1+1",
    "'=1",
    "''+1",
)
SEPARATED = ("a,b", 'a"b', "a;=1", "a|@b", "a\r\nb", 'x;"=1', "a\\b", "\\x1b", "\\\\n", "'quoted'")
HIDDEN = ("\x00\x01\x1b[2J", "\u202e001\u202c", "a\u200bb\ufeff", "\x7f\x85\x9b", "\ufffe", "\U000e0041")
MARKUP = ("<r><t>x</t></r>", "<r>&</r>", "</t></is></c>", "_x0041_", "_x000D_", "]]>", "&amp;", " space ")
NASTY = (*FORMULAS, *SEPARATED, *HIDDEN, *MARKUP, "Zoë 中文 😀", "0049301234", "1e5", "http://x.example/")
"""Texts that some sink could take for something else."""

anything = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(NASTY)


def a_batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    """Records with what is given; the others empty. Times are T0 unless told otherwise."""
    whole = [{**EMPTY, "recorded_at": T0, **row} for row in rows]
    return pa.RecordBatch.from_pylist(whole, schema=ROW_SCHEMA)


def written(form: Form, *batches: pa.RecordBatch, columns: Sequence[str] = COLUMN_NAMES, **how: Any) -> bytes:
    file = io.BytesIO()
    write(form, batches, file, columns=columns, **how)
    return file.getvalue()


def as_shown(value: Any) -> Any:
    """What a spreadsheet shows of a cell: `_xHHHH_` is its own escape, which this reader leaves to us."""
    return unescape(value) if isinstance(value, str) else value


def read_sheets(content: bytes) -> list[list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    try:
        return [
            [tuple(as_shown(value) for value in row) for row in sheet.iter_rows(values_only=True)]
            for sheet in book.worksheets
        ]
    finally:
        book.close()


def with_callees(texts: Sequence[str]) -> pa.RecordBatch:
    return a_batch(*({"calleeE164": text, "flowNo": n} for n, text in enumerate(texts)))


def test_csv_reads_back_as_the_documented_escape() -> None:
    content = written(Form.CSV, with_callees(NASTY), columns=("flowNo", "calleeE164")).decode()
    assert len(content.splitlines()) == len(NASTY) + 1
    assert all(char.isprintable() or char == "\n" for char in content)
    rows = list(csv.reader(io.StringIO(content)))
    assert rows[0] == ["flowNo", "calleeE164"]
    assert [row[1] for row in rows[1:]] == [csv_text(text) for text in NASTY]
    assert [read_csv_text(row[1]).strip() for row in rows[1:]] == [visible(text).strip() for text in NASTY]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_csv_cell_begins_as_a_formula_does(text: str) -> None:
    assert csv_text(text).startswith("'")


@given(text=anything)
def test_a_csv_cell_gives_its_text_back(text: str) -> None:
    assert read_csv_text(csv_text(text)).strip() == visible(text).strip()


@given(texts=st.lists(anything, min_size=1, max_size=5))
def test_json_gives_every_text_back_exactly(texts: list[str]) -> None:
    batch = with_callees(texts)
    whole = written(Form.JSON, batch, columns=("calleeE164",))
    assert whole.isascii()
    assert [row["calleeE164"] for row in json.loads(whole)] == texts
    lines = written(Form.JSONL, batch, columns=("calleeE164",)).decode("ascii").splitlines()
    assert [json.loads(line)["calleeE164"] for line in lines] == texts


@given(text=anything)
def test_a_vos_field_gives_its_text_back_exactly(text: str) -> None:
    field = vos_text(text)
    assert "|" not in field
    assert field.isprintable()
    assert read_vos_text(field) == text


def test_a_lone_surrogate_survives_a_vos_field() -> None:
    assert read_vos_text(vos_text("\udcff")) == "\udcff"


def test_xlsx_cells_are_texts_and_never_formulas() -> None:
    [rows] = read_sheets(written(Form.XLSX, with_callees(NASTY), columns=("flowNo", "calleeE164")))
    assert rows[0] == ("flowNo", "calleeE164")
    assert [row[0] for row in rows[1:]] == list(range(len(NASTY)))
    assert [row[1] for row in rows[1:]] == [xlsx_text(text) for text in NASTY]
    book = openpyxl.load_workbook(
        io.BytesIO(written(Form.XLSX, with_callees(NASTY), columns=("calleeE164",)))
    )
    cells = [cell for [cell] in book.worksheets[0].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    assert all(cell.hyperlink is None for cell in cells)
    by_text = {cell.value: cell for cell in cells}
    assert by_text["+49301234"].quotePrefix
    assert not by_text["0049301234"].quotePrefix


@given(text=anything)
def test_a_text_in_a_spreadsheet_is_what_was_dialled(text: str) -> None:
    [_, *rows] = read_sheets(written(Form.XLSX, with_callees([text]), columns=("flowNo", "calleeE164")))[0]
    assert rows == [(0, xlsx_text(text) or None)]


def test_a_spreadsheet_keeps_numbers_as_numbers_and_digits_it_cannot_keep_as_text() -> None:
    columns = ("holdTime", "endReason", "fee", "agentFee", "seq", "proven", "fingerprint", "recorded_at")
    batch = a_batch(
        {
            "holdTime": 12,
            "endReason": -9,
            "fee": Decimal("-1.250000"),
            "agentFee": Decimal("123456789012.123456"),
            "seq": 2**64 - 1,
            "proven": True,
            "fingerprint": 255,
        }
    )
    [_, row] = read_sheets(written(Form.XLSX, batch, columns=columns))[0]
    assert row == (
        *(12, -9, -1.25, "123456789012.123456", str(2**64 - 1), True),
        *("00000000000000ff", "2026-11-22T08:59:59.123456Z"),
    )


def test_a_long_text_is_whole_everywhere_but_in_a_spreadsheet_which_says_so() -> None:
    for long in ("9" * 65_536, "😀" * 32_768, "\x01" * 65_536):
        batch = with_callees([long])
        [_, [cell]] = read_sheets(written(Form.XLSX, batch, columns=("calleeE164",)))[0]
        kept = visible(long)
        assert cell.startswith(kept[:16_000])
        assert cell.endswith(f" [{len(kept) - 16_000} more characters: see CSV or JSON]")
        assert len(cell.encode("utf-16-le")) // 2 <= 32_767
        assert json.loads(written(Form.JSON, batch, columns=("calleeE164",)))[0]["calleeE164"] == long
        assert written(Form.CSV, batch, columns=("calleeE164",)).decode().splitlines()[1] == kept
    assert xlsx_text("1" * 32_767) == "1" * 32_767


def test_rows_beyond_a_sheet_go_on_in_the_next() -> None:
    batch = with_callees([str(n) for n in range(7)])
    sheets = read_sheets(written(Form.XLSX, batch, columns=("flowNo",), sheet_rows=4))
    assert sheets == [
        [("flowNo",), (0,), (1,), (2,)],
        [("flowNo",), (3,), (4,), (5,)],
        [("flowNo",), (6,)],
    ]


def test_a_spreadsheet_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield with_callees(["1"])
        assert list(tmp_path.iterdir())
        raise TimeoutError

    with pytest.raises(TimeoutError):
        write(Form.XLSX, broken(), io.BytesIO(), working=tmp_path)
    assert list(tmp_path.iterdir()) == []


class FullDisk(io.BytesIO):
    """Takes some bytes and no more."""

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > 60:
            raise OSError(28, "No space left on device")
        return super().write(content)


@pytest.mark.parametrize("form", Form)
def test_a_full_disk_is_an_os_error(form: Form) -> None:
    with pytest.raises(OSError, match="No space left"):
        write(form, [with_callees(["1"])], FullDisk())
    gc.collect()


def test_parquet_keeps_columns_types_and_bytes() -> None:
    batch = a_batch({"raw": b"\xff\x00", "callerE164": "=1"})
    table = pq.read_table(io.BytesIO(written(Form.PARQUET, batch, columns=("raw", "callerE164"))))
    assert table.to_pylist() == [{"raw": b"\xff\x00", "callerE164": "=1"}]
    whole = pq.read_table(io.BytesIO(written(Form.PARQUET, batch)))
    assert whole.schema.names == list(COLUMN_NAMES)


def test_bytes_that_are_no_text_are_escaped() -> None:
    [row] = json.loads(written(Form.JSON, a_batch({"raw": b"INVITE \xff\r\n"})))
    assert row["raw"] == "INVITE \\xff\r\n"
    assert list(row) == list(COLUMN_NAMES)
    assert row["fee"] == "0.000000"


def test_nothing_is_an_empty_file_of_its_kind() -> None:
    assert json.loads(written(Form.JSON)) == []
    assert written(Form.JSONL) == b""
    assert written(Form.CSV, columns=("flowNo",)) == b"flowNo\n"
    assert read_sheets(written(Form.XLSX, columns=("flowNo",))) == [[("flowNo",)]]
    assert written(Form.VOS) == b""
    assert pq.read_table(io.BytesIO(written(Form.PARQUET))).num_rows == 0
    assert zipfile.ZipFile(io.BytesIO(written(Form.VOS_HOURLY))).namelist() == []


def test_vos_has_the_vendors_fields_in_its_order() -> None:
    filled = {
        name: {"VARCHAR": f"{name}|", "DECIMAL(18,6)": Decimal("1.5")}.get(sql, 7)
        for name, sql in ((column.name, column.sql) for column in COLUMNS[:35])
    }
    [line] = written(Form.VOS, a_batch(filled), columns=("reason",)).decode().splitlines()
    fields = line.split("|")
    assert len(fields) == 35
    for name, field in zip(VOS_COLUMNS, fields, strict=True):
        value = filled[name]
        assert field == {str: f"{name}\\x7c", Decimal: "1.500000", int: "7"}[type(value)]


HOURS = ("2026112208", "2026112209", "2026112211")


def some_hours() -> list[pa.RecordBatch]:
    """Five records over three hours, an hour going on in the second batch."""
    moments = [T0, T0 + timedelta(seconds=1), T0 + timedelta(seconds=2), T0 + timedelta(hours=1, seconds=-1)]
    rows = [{"flowNo": n, "recorded_at": moment} for n, moment in enumerate(moments)]
    return [a_batch(*rows[:2]), a_batch(*rows[2:], {"flowNo": 4, "recorded_at": T0 + timedelta(hours=3)})]


def test_hourly_files_are_named_by_their_hour_and_hold_its_records() -> None:
    archive = zipfile.ZipFile(io.BytesIO(written(Form.VOS_HOURLY, *some_hours())))
    assert archive.namelist() == [f"cdr/{hour}.txt" for hour in HOURS]
    flows = [
        [line.split("|")[-1] for line in archive.read(name).decode().splitlines()]
        for name in archive.namelist()
    ]
    assert flows == [["0"], ["1", "2", "3"], ["4"]]


def test_one_hourly_file_is_open_at_a_time() -> None:
    opened: list[str] = []
    now_open: list[str] = []

    @contextmanager
    def open_hour(hour: str) -> Iterator[IO[bytes]]:
        assert not now_open
        opened.append(hour)
        now_open.append(hour)
        yield io.BytesIO()
        now_open.remove(hour)

    write_hours(some_hours(), open_hour)
    assert opened == list(HOURS)


@pytest.mark.parametrize(("limit", "flows"), [(None, [0, 1, 2, 3]), (1, [0]), (2, [0, 1]), (3, [0, 1, 2])])
def test_a_limit_takes_the_first_rows(limit: int | None, flows: list[int]) -> None:
    batches = [a_batch({"flowNo": 0}, {"flowNo": 1}), a_batch({"flowNo": 2}, {"flowNo": 3})]
    taken = first_rows(batches, limit)
    assert [flow for batch in taken for flow in batch.column("flowNo").to_pylist()] == flows


def test_every_column_of_a_record_is_plain() -> None:
    [row] = a_batch({"raw": b"x"}).to_pylist()
    assert all(isinstance(plain(name, row[name]), str | int | bool | None) for name in COLUMN_NAMES)


def test_what_a_store_gives_is_written_in_each_format(tmp_path: Path) -> None:
    journal = Journal()
    for n, text in enumerate(NASTY):
        journal.refuse(T0_US + n, callee=text)
    flows = [2 * (n + 1) for n in range(len(NASTY))]
    with ledger_of(journal, tmp_path, ManualClock(T0_US + 60_000_000)) as ledger:
        content = {}
        for form in Form:
            file = io.BytesIO()
            with exporting(ledger.store, CdrQuery()) as batches:
                write(form, batches, file, columns=("flowNo", "calleeE164"), working=tmp_path)
            content[form] = file.getvalue()
    assert [row["flowNo"] for row in json.loads(content[Form.JSON])] == flows
    assert [row["calleeE164"] for row in json.loads(content[Form.JSON])] == list(NASTY)
    assert pq.read_table(io.BytesIO(content[Form.PARQUET]))["calleeE164"].to_pylist() == list(NASTY)
    assert [row[0] for row in read_sheets(content[Form.XLSX])[0][1:]] == flows
    fields = [line.split("|") for line in content[Form.VOS].decode().splitlines()]
    assert [read_vos_text(line[VOS_COLUMNS.index("calleeE164")]) for line in fields] == list(NASTY)


def test_formats_and_columns_that_do_not_exist_are_named_with_a_hint() -> None:
    assert parse_form("xlsx") is Form.XLSX
    assert parse_columns([]) == COLUMN_NAMES
    assert parse_columns(["reason", "flowNo"]) == ("reason", "flowNo")
    with pytest.raises(ConfigError) as wrong:
        parse_form("xslx")
    assert wrong.value.hint == "did you mean xlsx?"
    with pytest.raises(ConfigError) as wrong:
        parse_columns(["user_agnet"])
    assert wrong.value.hint == "did you mean user_agent?"
    with pytest.raises(ConfigError, match="twice"):
        parse_columns(["flowNo", "flowNo"])


def test_every_format_says_what_its_files_are() -> None:
    suffixes = [form.suffix for form in Form]
    assert len(set(suffixes)) == len(suffixes)
    assert all("/" in form.media_type for form in Form)
    assert {form for form in Form if not form.is_text} == {Form.XLSX, Form.PARQUET, Form.VOS_HOURLY}
