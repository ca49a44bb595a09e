# SPDX-License-Identifier: Apache-2.0
"""Data on stdout as a table, JSON or CSV, and remarks on stderr.

Much of what is shown was written by strangers. Each format gets the encoding that makes it harmless there:
control characters are escaped for terminals, formulas are defused for spreadsheets.
"""

import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, TextIO

import click

from ringfence.ledger.cells import csv_text, json_text
from ringfence.text import visible

Value = str | int | float | bool | tuple[str, ...] | None

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?|-")


class Format(Enum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Output:
    """Where a command writes to."""

    def __init__(self, form: Format) -> None:
        self.form = form

    def rows(
        self, columns: Sequence[str], rows: Iterable[Sequence[Value]], *, empty: str = "nothing found"
    ) -> None:
        """Write one row per object; JSON and CSV are written as the rows come.

        Shape: `empty` is said on stderr if there is none and a person is reading.
        """
        if self.form is Format.JSON:
            _write_json_rows(columns, rows, sys.stdout)
        elif self.form is Format.CSV:
            _write_csv_rows(columns, rows, sys.stdout)
        else:
            texts = [[_cell(value) for value in row] for row in rows]
            if texts:
                _write_table(columns, texts, _numeric(texts))
            else:
                note(empty)

    def record(self, fields: Mapping[str, Value], *, is_verbatim: bool = False) -> None:
        """Write one object, a field a line; with `is_verbatim` people read the names as they are typed."""
        if self.form is Format.JSON:
            click.echo(json_text(dict(fields)))
        elif self.form is Format.CSV:
            _write_csv_rows(list(fields), [list(fields.values())], sys.stdout)
        else:
            width = max(len(name) for name in fields)
            for name, value in fields.items():
                heading = name if is_verbatim else _heading(name)
                click.echo(f"{heading.ljust(width)}  {_cell(value)}")

    def outcome(self, fields: Mapping[str, Value]) -> None:
        """Write the object that an act left behind; for people the remarks on stderr say enough."""
        if self.form is not Format.TABLE:
            self.record(fields)

    def outcomes(self, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Write the objects that an act left behind, as `outcome` does."""
        if self.form is not Format.TABLE:
            self.rows(columns, rows)


def note(text: str) -> None:
    """Say something that is not data, on stderr."""
    click.echo(visible(text), err=True)


def _heading(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Value) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(visible(item) for item in value)
    return visible(value) if isinstance(value, str) else str(value)


def _csv_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return csv_text(" ".join(value))
    return csv_text(value) if isinstance(value, str) else str(value)


def _write_json_rows(columns: Sequence[str], rows: Iterable[Sequence[Value]], out: TextIO) -> None:
    start = "["
    for row in rows:
        out.write(f"{start}\n  {json_text(dict(zip(columns, row, strict=True)))}")
        start = ","
    out.write("[]\n" if start == "[" else "\n]\n")


def _write_csv_rows(columns: Sequence[str], rows: Iterable[Sequence[Value]], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)


def _numeric(texts: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold nothing but numbers, and are read from the right."""
    return [
        all(_NUMBER.fullmatch(cell) for cell in column) and any(cell != "-" for cell in column)
        for column in zip(*texts, strict=True)
    ]


def _write_table(columns: Sequence[str], texts: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    headings = [_heading(column) for column in columns]
    if sys.stdout.isatty():
        _write_rich_table(headings, texts, numeric)
        return
    widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
    for row in ([heading.upper() for heading in headings], *texts):
        cells = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numeric, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _write_rich_table(
    headings: Sequence[str], texts: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> None:
    # Only a terminal needs rich, and it takes a while to import.
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading, is_number in zip(headings, numeric, strict=True):
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in texts:
        # Text, because a plain string would be read as markup.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
