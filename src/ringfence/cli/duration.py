# SPDX-License-Identifier: Apache-2.0
"""Lengths of time as people write them."""

import re
from typing import Any, Final

import click

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


class DurationType(click.ParamType[int]):
    """An option that takes a length of time, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a length of time such as 90s, 30m, 2h, 1d12h or 2w", param, ctx)
