# SPDX-License-Identifier: Apache-2.0
"""A ladder as lines of text for a terminal: ASCII arrows, a column for each party, bounded width."""

import textwrap
from collections.abc import Iterator
from typing import Final

from ringfence.text import visible
from ringfence.trace.ladder import Arrow, Ladder, Party, Remark, Role

NARROWEST: Final = 60
WIDEST: Final = 160
_TIME: Final = 10
_LANE: Final = 20
_LEAST: Final = 3
_WIDEST_LANE: Final = 34

_TITLES: Final = {
    Role.CALLER: "caller",
    Role.SWITCH: "ringfence",
    Role.GATEWAY: "gateway",
    Role.OTHERS: "others",
}


def lines(ladder: Ladder, width: int) -> Iterator[str]:
    """The ladder, no line longer than the width (60 to 160 columns).

    Shape: parties that there is no room for share the last column; their arrows name the address.
    """
    width = min(max(width, NARROWEST), WIDEST)
    count = min(len(ladder.parties), max((width - _TIME) // _LANE, _LEAST))
    lane = min((width - _TIME) // count, _WIDEST_LANE)
    yield from _head(ladder.parties, count, lane)
    for step in ladder.steps:
        time = f"{ladder.after_s(step):9.3f} "
        if isinstance(step, Remark):
            yield from _remark(time, str(step.said), width)
        else:
            yield (time + _arrow(ladder, step, count, lane)).rstrip()


def _head(parties: tuple[Party, ...], count: int, lane: int) -> Iterator[str]:
    for text_of in (_title, _name, _address):
        cells = [text_of(party) for party in parties[:count]]
        if len(parties) > count:
            cells[-1] = "others" if text_of is _title else ""
        if any(cells):
            yield (" " * _TIME + "".join(_cut(cell, lane - 2).center(lane) for cell in cells)).rstrip()


def _title(party: Party) -> str:
    return _TITLES[party.role]


def _name(party: Party) -> str:
    return visible(party.name)


def _address(party: Party) -> str:
    return visible(party.address)


def _arrow(ladder: Ladder, arrow: Arrow, count: int, lane: int) -> str:
    places = [lane // 2 + lane * column for column in range(count)]
    row = [" "] * (lane * count)
    for place in places:
        row[place] = "|"
    came, went = places[min(arrow.came, count - 1)], places[min(arrow.went, count - 1)]
    low, high = min(came, went), max(came, went)
    label = f"again {arrow.label}" if arrow.is_repeat else arrow.label
    is_shared = len(ladder.parties) > count or ladder.parties[-1].role is Role.OTHERS
    if max(arrow.came, arrow.went) >= count - 1 and is_shared:
        label = f"{label} {arrow.entry.remote[0]}"
    inside = high - low - 1
    said = f" {_cut(label, inside - 4)} "
    left = (inside - len(said)) // 2
    line = "-" * left + said + "-" * (inside - len(said) - left)
    line = f"{line[:-1]}>" if went > came else f"<{line[1:]}"
    row[low + 1 : high] = line
    return "".join(row)


def _remark(time: str, said: str, width: int) -> Iterator[str]:
    wrapped = textwrap.wrap(visible(said), width - _TIME - 2) or [""]
    yield f"{time}* {wrapped[0]}"
    for line in wrapped[1:]:
        yield " " * (_TIME + 2) + line


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(longest - 1, 0)]}…"
