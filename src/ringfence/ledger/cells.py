# SPDX-License-Identifier: Apache-2.0
r"""Strangers' text as one cell of what is shown or written: each sink has its escape.

What is not seen or turns writing around (control characters, line breaks, bidirectional marks, lone halves of
surrogate pairs) stands as `\n`, `\xNN`, `\uNNNN` in terminals, CSV and XLSX. A backslash that was there
already stays as it is, so a text that spells such an escape looks like one; JSON, Parquet and the VOS3000
text file tell them apart.
"""

import json
import re
from typing import Final

from ringfence.text import visible

_FORMULA_START: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# Blanks before a formula are passed over by some programs. Apostrophes that are there already count, so that
# one more can be told from them and taken away again.
_FORMULA: Final = re.compile(rf"'*(?:\\[tnr]| *[{_FORMULA_START}])")
# Where the list separator is not the comma, a spreadsheet begins a cell at these too.
_INNER_FORMULA: Final = re.compile(rf"([;|])(?=['\" ]*[{_FORMULA_START}])")
_INNER_DEFUSED: Final = re.compile(rf"([;|])'(?=['\" ]*[{_FORMULA_START}])")
_XLSX_UNITS: Final = 32_767
"""The longest text that a cell of a spreadsheet holds, in UTF-16 code units."""

_XLSX_KEPT: Final = 16_000
"""Characters kept of a longer one: even if each takes two units, the remark on the rest has room."""


def is_formula(safe: str) -> bool:
    """Whether a spreadsheet may take what `visible` gave for a formula, apostrophes before one or not."""
    return _FORMULA.match(safe) is not None


def csv_text(text: str) -> str:
    """The text as a CSV cell that no spreadsheet takes for a formula: an apostrophe stands before one.

    >>> csv_text("=cmd()")
    "'=cmd()"
    """
    safe = _INNER_FORMULA.sub(r"\1'", visible(text))
    return f"'{safe}" if is_formula(safe) else safe


def read_csv_text(cell: str) -> str:
    """Undo what `csv_text` did against formulas, so that what was exported can be imported.

    >>> read_csv_text("'+972")
    '+972'
    """
    stripped = _INNER_DEFUSED.sub(r"\1", cell.strip())
    return stripped[1:] if stripped.startswith("'") and is_formula(stripped) else stripped


def xlsx_text(text: str) -> str:
    """The text as a cell of a spreadsheet that takes it for text; one that is too long ends in a remark.

    >>> xlsx_text("=cmd()")
    '=cmd()'
    """
    safe = visible(text)
    if len(safe) <= _XLSX_KEPT or len(safe.encode("utf-16-le")) // 2 <= _XLSX_UNITS:
        return safe
    return f"{safe[:_XLSX_KEPT]} [{len(safe) - _XLSX_KEPT} more characters: see CSV or JSON]"


def vos_text(text: str) -> str:
    r"""The text as a field of VOS3000's text file; separator, backslash and what is not seen are escaped.

    >>> vos_text("a|b\\c\n")
    'a\\x7cb\\\\c\\n'
    """
    if text.isprintable() and "|" not in text and "\\" not in text:
        return text
    return visible(text.replace("\\", "\\\\")).replace("|", "\\x7c")


def read_vos_text(field: str) -> str:
    r"""Undo `vos_text`, exactly.

    >>> read_vos_text("a\\x7cb\\\\c\\n")
    'a|b\\c\n'
    """
    return _ESCAPED.sub(_unescaped, field)


_ESCAPED: Final = re.compile(r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_SHORT: Final = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def _unescaped(match: re.Match[str]) -> str:
    short: str | None = match[1]
    return _SHORT[short] if short else chr(int(match[2] or match[3] or match[4], 16))


def json_text(value: object) -> str:
    """The value as JSON on one line.

    Shape: ASCII with escapes: whatever a text holds, it cannot steer a terminal and nothing of it is lost.
    """
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
