# SPDX-License-Identifier: Apache-2.0
r"""Records as files: CSV, JSON, JSON Lines, XLSX, Parquet, and VOS3000's text file.

Each writer takes batches of `CdrStore.export` as they come and holds a few thousand rows at a time. To show
progress or to stop, wrap the batches: an exception that leaves them leaves `write` too.

| Format | What a text becomes |
|---|---|
| csv | `cells.csv_text`: an apostrophe before what a spreadsheet would run, `\xNN` for what is not seen |
| xlsx | `cells.xlsx_text` in a cell of type text, never a formula; 32,767 UTF-16 units at most |
| json, jsonl, parquet | itself, exactly (JSON in ASCII with escapes) |
| vos | `cells.vos_text`: backslash escapes, which `cells.read_vos_text` undoes exactly |

In all of them but Parquet, times are ISO 8601 in UTC with microseconds, fingerprints 16 hexadecimal digits,
and bytes of a raw message that are no UTF-8 stand as `\xNN`.
"""

import csv
import io
import itertools
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.errors import ConfigError
from ringfence.ledger.cells import csv_text, is_formula, json_text, vos_text, xlsx_text
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import COLUMN_NAMES, VOS_COLUMNS
from ringfence.ledger.store import CdrStore
from ringfence.ledger.tail import ROW_SCHEMA
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

Plain = str | int | bool | None
Batches = Iterable[pa.RecordBatch]
OpenHour = Callable[[str], AbstractContextManager[IO[bytes]]]
"""Opens the file of an hour, which is named YYYYMMDDHH."""

SHEET_ROWS: Final = 1_048_576
"""How many rows a sheet has, its heading included (Excel's limit)."""

_AT_ONCE: Final = 2000
_EXACT_DIGITS: Final = 15
"""Numbers with more digits than a spreadsheet keeps are written as text."""


class Form(Enum):
    """How records are written."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    XLSX = "xlsx"
    PARQUET = "parquet"
    VOS = "vos"
    VOS_HOURLY = "vos-hourly"

    @property
    def suffix(self) -> str:
        """How the name of such a file ends."""
        return _FILES[self][0]

    @property
    def media_type(self) -> str:
        """What such a file is called in HTTP."""
        return _FILES[self][1]

    @property
    def is_text(self) -> bool:
        """Whether it may be shown on a terminal."""
        return _FILES[self][2]


_FILES: Final = {
    Form.CSV: (".csv", "text/csv; charset=utf-8", True),
    Form.JSON: (".json", "application/json", True),
    Form.JSONL: (".jsonl", "application/jsonl", True),
    Form.XLSX: (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", False),
    Form.PARQUET: (".parquet", "application/vnd.apache.parquet", False),
    Form.VOS: (".txt", "text/plain; charset=utf-8", True),
    Form.VOS_HOURLY: (".zip", "application/zip", False),
}


def parse_form(text: str) -> Form:
    """Read the name of a format.

    Raises: ConfigError("bad_value").
    """
    try:
        return Form(text)
    except ValueError as error:
        known = [form.value for form in Form]
        raise ConfigError(
            sentence("there is no export format {name!r}", name=text[:40]),
            hint=did_you_mean(text[:40], known) or sentence("one of {known}", known=", ".join(known)),
            code="bad_value",
        ) from error


def parse_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Columns to export, in the order asked for; none means all.

    Raises: ConfigError("bad_value") if there is no such column, or one is named twice.
    """
    for name in names:
        if name not in ROW_SCHEMA.names:
            raise ConfigError(
                sentence("there is no column {name!r}", name=name[:60]),
                hint=did_you_mean(name[:60], COLUMN_NAMES) or "docs/cdr.md lists them",
                code="bad_value",
            )
    if len(set(names)) < len(names):
        raise ConfigError("a column is named twice", hint="name each column once", code="bad_value")
    return tuple(names) or COLUMN_NAMES


def write(
    form: Form,
    batches: Batches,
    file: IO[bytes],
    *,
    columns: Sequence[str] = COLUMN_NAMES,
    working: Path | None = None,
    sheet_rows: int = SHEET_ROWS,
) -> None:
    """Write records to an open file, which stays open.

    Shape: `columns` in the order wanted; the two VOS3000 formats have their 35 whatever is asked for.
    `working` is where XLSX puts sheets until they are whole (default: the system's place for such files).
    Raises: OSError, and whatever the batches raise; what was written by then is no whole file.
    """
    if form is Form.PARQUET:
        _write_parquet(batches, file, columns)
    elif form is Form.XLSX:
        _write_xlsx(batches, file, columns, working, sheet_rows)
    elif form is Form.VOS_HOURLY:
        _write_hours_zip(batches, file)
    else:
        with _as_text(file) as text:
            _TEXT_WRITERS[form](batches, text, columns)


@contextmanager
def exporting(store: CdrStore, query: CdrQuery) -> Iterator[Batches]:
    """The batches of a query, let go at the end even if not all were taken.

    Raises: as `CdrStore.export`.
    """
    batches = store.export(query)
    try:
        yield batches
    finally:
        if isinstance(batches, Generator):
            batches.close()


def first_rows(batches: Batches, limit: int | None) -> Iterator[pa.RecordBatch]:
    """The first `limit` rows of the batches; None = all."""
    left = limit
    for batch in batches:
        taken = batch if left is None else batch.slice(0, left)
        yield taken
        if left is not None:
            left -= taken.num_rows
            if left <= 0:
                return


def plain(name: str, value: object) -> Plain:
    """A value of a column as text, CSV and JSON have it; times without a zone are UTC."""
    if name == "fingerprint":
        return f"{value:016x}"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    found: Any = value
    return found  # type: ignore[no-any-return]


def _plain_rows(batches: Batches, columns: Sequence[str]) -> Iterator[tuple[Plain, ...]]:
    for batch in _small(batches):
        yield from zip(
            *([plain(name, value) for value in batch.column(name).to_pylist()] for name in columns),
            strict=True,
        )


def _small(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for first in range(0, batch.num_rows, _AT_ONCE):
            yield batch.slice(first, _AT_ONCE)


def _cells(column: Iterable[Plain], of_text: Callable[[str], str]) -> list[str]:
    """A column as texts; each distinct value is looked at once, for most come many times."""
    seen: dict[Plain, str] = {}
    cells = []
    for value in column:
        # True is 1 to a dict; a column holds one type, so they never meet.
        cell = seen.get(value)
        if cell is None:
            cell = seen[value] = _cell(value, of_text)
        cells.append(cell)
    return cells


def _cell(value: Plain, of_text: Callable[[str], str]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return of_text(value) if isinstance(value, str) else str(value)


def _cell_rows(
    batches: Batches, columns: Sequence[str], of_text: Callable[[str], str]
) -> Iterator[tuple[str, ...]]:
    for batch in _small(batches):
        yield from zip(
            *(
                _cells((plain(name, value) for value in batch.column(name).to_pylist()), of_text)
                for name in columns
            ),
            strict=True,
        )


@contextmanager
def _as_text(file: IO[bytes]) -> Iterator[IO[str]]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    try:
        yield text
        text.flush()
    finally:
        # What cannot be flushed is lost with the file; the reason is under way already.
        with suppress(OSError, ValueError):
            text.detach()


def _write_csv(batches: Batches, text: IO[str], columns: Sequence[str]) -> None:
    """CSV after RFC 4180 but for its line ends, which are LF: a heading, then the rows."""
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_cell_rows(batches, columns, csv_text))


def _write_json(batches: Batches, text: IO[str], columns: Sequence[str]) -> None:
    """One list of objects, an object a line."""
    start = "["
    for row in _plain_rows(batches, columns):
        text.write(f"{start}\n  {json_text(dict(zip(columns, row, strict=True)))}")
        start = ","
    text.write("[]\n" if start == "[" else "\n]\n")


def _write_json_lines(batches: Batches, text: IO[str], columns: Sequence[str]) -> None:
    """An object a line, and nothing else."""
    for row in _plain_rows(batches, columns):
        text.write(f"{json_text(dict(zip(columns, row, strict=True)))}\n")


def _write_vos(batches: Batches, text: IO[str], _columns: Sequence[str]) -> None:
    """VOS3000's text file: no heading, a record a line, fields separated by `|`.

    The file of the original (its parameter SS_CDR_RECORD_TO_FILE) has 18 fields, of which seven are described
    nowhere. We write the 35 of the vendor's published record `InfoCdr` in its order instead: times in ms
    since 1970 UTC, lengths in s, charges with six decimals. Its other habits are kept: one file per hour,
    named YYYYMMDDHH.txt (`write_hours`). The hour is the UTC one in which a record was written, which is
    when the call ended. Numbers stand as they are, `+` included: this is a file for programs, not for a
    spreadsheet.
    """
    for row in _cell_rows(batches, VOS_COLUMNS, vos_text):
        text.write("|".join(row) + "\n")


_TEXT_WRITERS: Final[dict[Form, Callable[[Batches, IO[str], Sequence[str]], None]]] = {
    Form.CSV: _write_csv,
    Form.JSON: _write_json,
    Form.JSONL: _write_json_lines,
    Form.VOS: _write_vos,
}


def write_hours(batches: Batches, open_hour: OpenHour) -> None:
    """Write VOS3000's text files, one per UTC hour that has records; one is open at a time.

    Raises: as `write`.
    """
    for hour, parts in itertools.groupby(_by_hour(batches), key=lambda part: part[0]):
        with open_hour(hour) as file, _as_text(file) as text:
            _write_vos((batch for _, batch in parts), text, VOS_COLUMNS)


def _by_hour(batches: Batches) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The batches cut where an hour ends, each part with the name of its hour."""
    for batch in _small(batches):
        hours = [f"{moment:%Y%m%d%H}" for moment in batch.column("recorded_at").to_pylist()]
        first = 0
        for hour, same in itertools.groupby(hours):
            rows = sum(1 for _ in same)
            yield hour, batch.slice(first, rows)
            first += rows


def _write_hours_zip(batches: Batches, file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def open_hour(hour: str) -> AbstractContextManager[IO[bytes]]:
            return archive.open(f"cdr/{hour}.txt", "w", force_zip64=True)

        write_hours(batches, open_hour)


def _write_parquet(batches: Batches, file: IO[bytes], columns: Sequence[str]) -> None:
    schema = pa.schema([ROW_SCHEMA.field(name) for name in columns])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.select(list(columns)).cast(schema))


class _Sheets:
    """The sheets of a workbook; a new one is begun where the last is full."""

    def __init__(self, workbook: "Workbook", columns: Sequence[str], sheet_rows: int) -> None:
        self._workbook = workbook
        self._columns = columns
        self._sheet_rows = sheet_rows
        self._kind = _plain_sheet()
        self._heading = workbook.add_format({"bold": True})
        self._quoted = workbook.add_format({"quote_prefix": True})
        self._sheet = self._begun()
        self._row = 1

    def _begun(self) -> "Worksheet":
        sheet = self._workbook.add_worksheet(f"Records {len(self._workbook.worksheets()) + 1}", self._kind)
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(self._columns):
            sheet.write_string(0, column, name, self._heading)
        return sheet

    def add(self, values: Sequence[object]) -> None:
        """Write one record."""
        if self._row >= self._sheet_rows:
            self._sheet, self._row = self._begun(), 1
        for column, value in enumerate(values):
            self._put(column, value)
        self._row += 1

    def _put(self, column: int, value: object) -> None:
        if value is None or value == "":
            return
        if isinstance(value, bool):
            self._sheet.write_boolean(self._row, column, value)
        elif isinstance(value, int | Decimal) and len(str(abs(value)).replace(".", "")) <= _EXACT_DIGITS:
            self._sheet.write_number(self._row, column, float(value))
        else:
            text = xlsx_text(str(value))
            # Such a cell stays text even if somebody edits it.
            self._sheet.write_string(self._row, column, text, self._quoted if is_formula(text) else None)


class _Outlived:
    """A file that an archive may use after it was given up: it tries once more to end itself when it goes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: IO[bytes] | None = file
        self._position = 0

    def let_go(self) -> None:
        """From now on nothing is written."""
        self._file = None

    def write(self, content: bytes) -> int:
        if self._file is not None:
            return self._file.write(content)
        self._position += len(content)
        return len(content)

    def seek(self, offset: int) -> int:
        if self._file is not None:
            return self._file.seek(offset)
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position if self._file is None else self._file.tell()

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()


def _write_xlsx(
    batches: Batches, file: IO[bytes], columns: Sequence[str], working: Path | None, sheet_rows: int
) -> None:
    # Few exports need it, and it takes a while to import.
    from xlsxwriter import Workbook  # noqa: PLC0415
    from xlsxwriter.exceptions import FileCreateError  # noqa: PLC0415

    archive = _Outlived(file)
    with TemporaryDirectory(prefix="sheets-", dir=working) as sheets:
        workbook = Workbook(archive, {"constant_memory": True, "tmpdir": sheets})
        workbook.use_zip64()
        try:
            written = _Sheets(workbook, columns, sheet_rows)
            for batch in _small(batches):
                for row in zip(*(_xlsx_column(batch, name) for name in columns), strict=True):
                    written.add(row)
            workbook.close()
        except FileCreateError as error:
            raise error.args[0] from error
        finally:
            archive.let_go()
            for sheet in workbook.worksheets():
                with suppress(OSError):
                    sheet._opt_close()  # noqa: SLF001 - nothing else closes the sheets of a book that is given up


def _xlsx_column(batch: pa.RecordBatch, name: str) -> list[object]:
    """A column as a spreadsheet has it: as `plain`, but charges are numbers."""
    return [
        value if isinstance(value, Decimal) else plain(name, value)
        for value in batch.column(name).to_pylist()
    ]


def _plain_sheet() -> type["Worksheet"]:
    from xlsxwriter.worksheet import Worksheet  # noqa: PLC0415 - as above

    class PlainSheet(Worksheet):  # type: ignore[misc]
        """A sheet without rich text: in this mode a text from `<r>` to `</r>` would be taken for markup."""

        def _xml_rich_inline_string(self, string: str, attributes: Sequence[tuple[str, object]] = ()) -> None:
            self._xml_inline_string(string, False, attributes)

    return PlainSheet
