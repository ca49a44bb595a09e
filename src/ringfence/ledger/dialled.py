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

_PATTERN: Final = re.compile(INTERNATIONAL.removesuffix("$"))


def international(number: str) -> str:
    """The digits from the country code on; empty if the number was not dialled as an international one."""
    match = _PATTERN.fullmatch(number)
    return match.group(match.lastindex or 0) if match else ""
