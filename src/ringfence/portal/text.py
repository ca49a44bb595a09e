# SPDX-License-Identifier: Apache-2.0
"""Strangers' text for people's eyes."""

from collections.abc import Callable
from datetime import datetime, timedelta


def visible(text: str) -> str:
    r"""The text with everything escaped that is not seen or that turns writing around.

    Shape: markup is left to the template, which escapes all of it.

    >>> visible("100\r\nVia: x")
    '100\\r\\nVia: x'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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
