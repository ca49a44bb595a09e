# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, made here so that pages need no script of others and no inline style.

A plot carries its points for the page's script, which shows exact values and lets people select a range.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from markupsafe import Markup, escape

WIDTH: Final = 900
HEIGHT: Final = 180
_LEFT: Final = 56
_RIGHT: Final = 8
_TOP: Final = 8
_BOTTOM: Final = 24
_LINES: Final = 5
_LABELS: Final = 6
_TICK: Final = 36
_HEAT_STEPS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A span of time and what fell into it.

    Shape: `values` in the order of the plot's series; `tick` stands below the axis, `label` is what hovering
    tells, `since` and `until` are the ends as addresses hold them.
    """

    values: tuple[int, ...]
    tick: str
    label: str
    since: str
    until: str


def stacked(buckets: Sequence[Bucket], series: Sequence[str], *, title: str, range_link: str) -> Markup:
    """Parts of a whole over time; `series` are names of the style sheet, lowest first.

    Shape: `range_link` is the address that a selected range is added to; empty for none.
    """
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    # From five on, five lines stand at whole numbers.
    top = nice(max([_LINES, *(sum(bucket.values) for bucket in buckets)]))
    step = width / max(len(buckets), 1)
    parts = [_grid(top, width, height)]
    for index, bucket in enumerate(buckets):
        base = 0.0
        for name, value in zip(series, bucket.values, strict=True):
            if not value:
                continue
            tall = value / top * height
            y = _TOP + height - base - tall
            parts.append(
                f'<rect class="{name}" x="{_LEFT + index * step:.2f}" y="{y:.2f}" '
                f'width="{max(step - (1 if step > 4 else 0), 0.5):.2f}" height="{tall:.2f}"/>'
            )
            base += tall
    every = max(len(buckets) // _LABELS, 1)
    for index in range(0, len(buckets), every):
        x = _LEFT + index * step
        if x <= WIDTH - _TICK:
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}">{escape(buckets[index].tick)}</text>')
    parts.append(f'<rect class="chosen" y="{_TOP}" height="{height}" width="0"/>')
    parts.append(f'<line class="cursor" x1="-9" x2="-9" y1="{_TOP}" y2="{_TOP + height}"/>')
    points = [{"label": each.label, "since": each.since, "until": each.until} for each in buckets]
    return Markup(  # noqa: S704 - numbers and escaped texts of ours
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'data-left="{_LEFT}" data-width="{width}" data-range="{escape(range_link)}" '
        f'data-points="{escape(msgspec.json.encode(points).decode())}">{"".join(parts)}</svg>'
    )


def heat(
    hours: Sequence[Sequence[int]],
    days: Sequence[str],
    *,
    title: str,
    unit: str,
    number: Callable[[int], str],
) -> Markup:
    """How much fell into each hour of each weekday: seven rows of 24, one hue, five steps."""
    cell, left, top = 34, 60, 18
    most = max((value for row in hours for value in row), default=0)
    parts = [f'<text x="{left + hour * cell}" y="12">{hour:02d}</text>' for hour in range(0, 24, 3)]
    for day, row in enumerate(hours):
        parts.append(f'<text x="0" y="{top + day * 22 + 15}">{escape(days[day])}</text>')
        for hour, value in enumerate(row):
            step = -(-value * _HEAT_STEPS // most) if most else 0
            parts.append(
                f'<rect class="h{step}" x="{left + hour * cell}" y="{top + day * 22}" '
                f'width="{cell}" height="22">'
                f"<title>{escape(f'{days[day]} {hour:02d}:00: {number(value)} {unit}')}</title></rect>"
            )
    return Markup(  # noqa: S704 - numbers and escaped texts of ours
        f'<svg class="plot heat" viewBox="0 0 {left + 24 * cell} {top + 7 * 22}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def nice(most: int) -> int:
    """The top of an axis: the next of 1, 2, 5 times a power of ten.

    >>> [nice(n) for n in (0, 3, 7, 11, 430)]
    [1, 5, 10, 20, 500]
    """
    power = 1
    while True:
        for first in (1, 2, 5):
            if first * power >= most:
                return first * power
        power *= 10


def _grid(top: int, width: int, height: int) -> str:
    lines = []
    for line in range(_LINES + 1):
        y = _TOP + height - height * line / _LINES
        value = top * line / _LINES
        text = short(value)
        lines.append(
            f'<line class="{"axis" if line == 0 else "grid-line"}" x1="{_LEFT}" x2="{_LEFT + width}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    return "".join(lines)


def short(value: float) -> str:
    """A number for an axis.

    >>> [short(n) for n in (0, 2.5, 1500, 2_000_000)]
    ['0', '2.5', '1.5k', '2M']
    """
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
