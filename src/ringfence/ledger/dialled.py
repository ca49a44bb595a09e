# SPDX-License-Identifier: Apache-2.0
"""Which number a caller meant: access codes are tried in every combination, the number behind them stays."""

import re
from typing import Final

# An outside line (9 or 99) may stand before an international access code: 00 (ITU-T E.164), 0011 Australia,
# 011 North America, 810 Russia. Zeros behind it are tried along. Both Python and RE2 read this.
_ACCESS: Final = r"(?:\+?9{0,2}(?:0011|00|011|810)0*|\+)"
INTERNATIONAL: Final = rf"^(?:{_ACCESS}([1-9][0-9]{{5,14}})|([1-9][0-9]{{10,14}}))$"
"""Matches a number dialled abroad; one of two groups is the number from its country code on.

Without an access code it takes as many digits as only a number with a country code has.
"""

AREA_DIGITS: Final = 4
"""So many digits tell the country: a country code has three at most, and +1 goes on with an area."""


def area_sql(number: str) -> str:
    """SQL for the area dialled: a number's first digits from its country code on; 0 if it has none."""
    return f"coalesce(TRY_CAST(left({international_sql(number)}, {AREA_DIGITS}) AS USMALLINT), 0::USMALLINT)"


def international_sql(number: str) -> str:
    """SQL for what `international` gives."""
    # Both groups in one search; said twice, it is done once.
    groups = f"regexp_extract({number}, '{INTERNATIONAL}', ['coded', 'long'])"
    return f"({groups}.coded || {groups}.long)"


def areas_of(digits: str) -> tuple[int, int]:
    """The first and the last area of numbers that begin so; the last is the lower one if there is none."""
    first = digits[:AREA_DIGITS].ljust(AREA_DIGITS, "0")
    last = digits[:AREA_DIGITS].ljust(AREA_DIGITS, "9")
    # No country code begins with 0, and area 0 is that of numbers without one.
    return max(int(first), 10 ** (AREA_DIGITS - 1)), int(last)


_PATTERN: Final = re.compile(INTERNATIONAL.removesuffix("$"))


def international(number: str) -> str:
    """The digits from the country code on; empty if the number was not dialled as an international one."""
    match = _PATTERN.fullmatch(number)
    return match.group(match.lastindex or 0) if match else ""
