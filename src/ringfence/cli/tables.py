# SPDX-License-Identifier: Apache-2.0
"""Reading what operators bring in files: CSV with a heading, checked before anything is changed."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, Self, TypeVar

from ringfence.errors import ConfigError
from ringfence.ledger.cells import read_csv_text
from ringfence.settings.spelling import did_you_mean

T = TypeVar("T")


class Rows(Generic[T]):
    """What a file holds, in the order of its lines.

    An error that comes while one of them is taken in, inside `naming_lines`, names its line.
    """

    def __init__(self, name: str, rows: Iterable[tuple[int, T]] = ()) -> None:
        self._name = name
        self._rows = list(rows)
        self._line = 0

    def read(self, line: int, read: Callable[[], T]) -> None:
        """Add what `read` makes of a line.

        Raises: ConfigError that names the line.
        """
        self._line = line
        with self.naming_lines():
            self._rows.append((line, read()))

    def only(self, wanted: Callable[[T], bool]) -> Self:
        """Those of them that are wanted."""
        return type(self)(self._name, ((line, row) for line, row in self._rows if wanted(row)))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[T]:
        for line, row in self._rows:
            self._line = line
            yield row

    @contextmanager
    def naming_lines(self) -> Iterator[None]:
        """Put the file and the line at hand before an error's message."""
        try:
            yield
        except ConfigError as error:
            message = f"{self._name}:{self._line}: {error.message}"
            raise ConfigError(message, hint=error.hint, code=error.code) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; "-" = stdin.

    Raises: ConfigError that names the file.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as CSV in UTF-8") from error
    # Spreadsheets put a byte order mark before the heading.
    return text.removeprefix("\ufeff").splitlines(keepends=True)


def shown_name(path: Path) -> str:
    """What a file is called in a message."""
    return "<stdin>" if str(path) == "-" else str(path)


def read_rows(
    lines: Iterable[str],
    name: str,
    *,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    read: Callable[[Mapping[str, str]], T],
) -> Rows[T]:
    """Read CSV with a heading, one object a row; empty cells are left out of what `read` gets.

    Raises: ConfigError that names the file and the line.
    """
    rows = csv.reader(lines)
    heading = [cell.strip().lower() for cell in next(rows, [])]
    known = (*required, *optional)
    for cell in heading:
        if cell not in known:
            raise ConfigError(
                f"{name}:1: unknown column {cell!r}",
                hint=did_you_mean(cell, known) or f"known columns: {', '.join(known)}",
                code="bad_value",
            )
    missing = [column for column in required if column not in heading]
    if missing:
        raise ConfigError(
            f"{name}:1: the heading lacks {', '.join(missing)}",
            hint=f"the first line names the columns: {', '.join(known)}",
            code="bad_value",
        )

    def made(cells: Mapping[str, str]) -> T:
        for column in required:
            if column not in cells:
                raise ConfigError(f"{column} is empty", code="bad_value")
        return read(cells)

    found: Rows[T] = Rows(name)
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        line = rows.line_num
        if len(row) != len(heading):
            raise ConfigError(
                f"{name}:{line}: {len(row)} cells under {len(heading)} headings",
                hint="a cell with a comma in it has to be in quotes",
                code="bad_value",
            )
        cells = {
            column: read_csv_text(cell) for column, cell in zip(heading, row, strict=True) if cell.strip()
        }
        found.read(line, partial(made, cells))
    return found
