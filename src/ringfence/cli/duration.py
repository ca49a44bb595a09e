# SPDX-License-Identifier: Apache-2.0
"""Options that take lengths of time."""

from typing import Any

import click

from ringfence.settings.duration import parse_duration


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
