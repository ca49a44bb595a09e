# SPDX-License-Identifier: Apache-2.0
"""What people read: strangers' text, times in words."""

from collections.abc import Callable
from datetime import datetime, timedelta

from ringfence.text import visible

__all__ = ["ago", "visible"]


def ago(at: datetime, now: datetime, say: Callable[..., str] = str.format) -> str:
    """How long ago, in words; after a day the date.

    >>> ago(datetime(2026, 11, 22, 11, 58), datetime(2026, 11, 22, 12))  # noqa: DTZ001
    '2 min ago'
    """
    passed = now - at
    if passed < timedelta(seconds=60):
        return say("{count} s ago", count=max(int(passed.total_seconds()), 0))
    if passed < timedelta(hours=1):
        return say("{count} min ago", count=int(passed.total_seconds() // 60))
    if passed < timedelta(days=1):
        return say("{count} h ago", count=int(passed.total_seconds() // 3600))
    return f"{at:%Y-%m-%d %H:%M}"
