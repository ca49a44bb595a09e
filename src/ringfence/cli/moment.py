# SPDX-License-Identifier: Apache-2.0
"""Moments on the command line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ringfence.settings.duration import parse_duration


class MomentType(click.ParamType[int]):
    """An option that takes a moment, in UTC microseconds: ISO 8601, or how long ago ("90s", "2h", "1d")."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        try:
            return _us(datetime.now(UTC) - timedelta(seconds=parse_duration(str(value))))
        except ValueError:
            pass
        except OverflowError:
            self.fail(f"{value!r} ago is before all time", param, ctx)
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-11-22T08:00:00Z or 2h (ago)", param, ctx)
        return _us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _us(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
