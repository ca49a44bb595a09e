# SPDX-License-Identifier: Apache-2.0
"""A ladder as SVG, made here as the plots are: no script, no inline style, colours from the style sheet."""

import textwrap
from typing import Final

from markupsafe import Markup, escape

from ringfence.portal.words import Translate
from ringfence.text import visible
from ringfence.trace.ladder import Arrow, Ladder, Party, Remark, Role

_TIME: Final = 64
_LANE: Final = 200
_HEAD: Final = 60
_ROW: Final = 30
_LINE: Final = 16
_LETTER: Final = 6.6
"""About how wide a letter is at 12 px."""

_PROVISIONAL: Final = 200
_FAILURE: Final = 300
_TIP: Final = 7


def drawing(ladder: Ladder, say: Translate) -> Markup:
    """The ladder of a call, as wide as it has parties; every message with its number, time and name."""
    width = _TIME + _LANE * len(ladder.parties)
    parts: list[str] = []
    top = _HEAD
    for step in ladder.steps:
        time = f'<text class="time" x="0" y="{top + 18}">{ladder.after_s(step):.3f}</text>'
        if isinstance(step, Remark):
            lines = _wrapped(visible(say(step.said)), width - _TIME - 16)
            parts += [time, _remark(lines, top, width)]
            top += _LINE * len(lines) + 14
        else:
            parts += [time, _arrow(step, top, say)]
            top += _ROW
    height = top + 8
    heads = [_party(party, column, height, say) for column, party in enumerate(ladder.parties)]
    title = say("SIP ladder: {count} messages", count=len(ladder.arrows))
    return Markup(  # noqa: S704 - numbers, and texts that are escaped where they are put in
        f'<svg class="ladder" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join([*heads, *parts])}</svg>'
    )


def _party(party: Party, column: int, height: int, say: Translate) -> str:
    titles = {
        Role.CALLER: say("Caller"),
        Role.SWITCH: say("Us"),
        Role.GATEWAY: say("Gateway"),
        Role.OTHERS: say("Others"),
    }
    x = _middle(column)
    texts = (("role", party.name or titles[party.role]), ("address", party.address))
    lines = [
        f'<text class="{name}" x="{x}" y="{20 + 18 * place}" text-anchor="middle">'
        f"{escape(_cut(visible(text), _LANE - 8))}</text>"
        for place, (name, text) in enumerate(texts)
    ]
    lines.append(f'<line class="life" x1="{x}" x2="{x}" y1="{_HEAD - 14}" y2="{height}"/>')
    return "".join(lines)


def _arrow(arrow: Arrow, top: int, say: Translate) -> str:
    start, end = _middle(arrow.came), _middle(arrow.went)
    y = top + 22
    back = -_TIP if end > start else _TIP
    label = f"{arrow.number}  {arrow.label}"
    if arrow.is_repeat:
        label += f" ({say('repeated')})"
    kind = f"{_kind(arrow)} repeat" if arrow.is_repeat else _kind(arrow)
    said = escape(_cut(label, abs(end - start) - 12))
    return (
        f'<g class="{kind}"><line x1="{start}" x2="{end}" y1="{y}" y2="{y}"/>'
        f'<path d="M{end} {y}l{back} -4v8z"/>'
        f'<text x="{(start + end) / 2:g}" y="{y - 5}" text-anchor="middle">{said}</text></g>'
    )


def _kind(arrow: Arrow) -> str:
    status = arrow.entry.status
    if not status:
        return "request"
    if status < _PROVISIONAL:
        return "provisional"
    return "success" if status < _FAILURE else "failure"


def _remark(lines: list[str], top: int, width: int) -> str:
    texts = "".join(
        f'<text x="{_TIME + 8}" y="{top + 18 + _LINE * place}">{escape(line)}</text>'
        for place, line in enumerate(lines)
    )
    return (
        f'<g class="remark"><rect x="{_TIME}" y="{top + 3}" width="{width - _TIME}" '
        f'height="{_LINE * len(lines) + 6}" rx="4"/>{texts}</g>'
    )


def _middle(column: int) -> int:
    return _TIME + _LANE * column + _LANE // 2


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, int(width / _letter(text))) or [""]


def _cut(text: str, width: int) -> str:
    longest = max(int(width / _letter(text)), 1)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _letter(text: str) -> float:
    """How wide a letter of this text is about: Chinese is square."""
    return _LETTER if text.isascii() else _LETTER * 1.4
