# SPDX-License-Identifier: Apache-2.0
"""Lengths of time as people write them."""

import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> int:
    """Seconds in "90s", "30m", "2h", "1d12h", "2w".

    Raises: ValueError.

    >>> parse_duration("1h30m")
    5400
    """
    parts = re.findall(r"([0-9]{1,9})([smhdw])", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
