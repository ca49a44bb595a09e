# SPDX-License-Identifier: Apache-2.0
"""Traced calls: found by number, address or Call-ID, one as a ladder with its messages, and as a capture."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from ringfence.errors import ConfigError, ControlError, RingfenceError
from ringfence.portal import traces
from ringfence.portal.ladders import drawing
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit, link
from ringfence.trace.ladder import Ladder, host_port, text_of


def routes(site: Site) -> list[GuardedRoute]:
    """The page and the file."""
    pages = _Trace(site)
    return [
        site.route("/trace", pages.trace, Right.TRACE),
        site.route("/trace/pcap", pages.capture, Right.TRACE, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A call as a page shows it; `conditions` are what finds it again."""

    ladder: Ladder
    drawing: str
    messages: tuple[tuple[int, str, str, str], ...]
    conditions: dict[str, str]


def shown(visit: Visit, ladder: Ladder) -> Shown:
    """A call with its drawing, and each message with number, name, way and text."""
    messages = []
    for arrow in ladder.arrows:
        entry = arrow.entry
        ends = (entry.remote, entry.local) if entry.kind == "received" else (entry.local, entry.remote)
        way = " → ".join(host_port(*end) for end in ends)
        messages.append((arrow.number, arrow.label, f"{entry.transport} {way}", text_of(entry)))
    return Shown(
        ladder=ladder,
        drawing=drawing(ladder, visit.say),
        messages=tuple(messages),
        conditions={"call": ladder.call_ids[0]},
    )


class _Trace:
    def __init__(self, site: Site) -> None:
        self._site = site

    def trace(self, visit: Visit) -> Response:
        """The newest calls that match, or one call."""
        wanted = _wanted(visit.asked)
        problem: RingfenceError | None = None
        found = traces.Found(traced=None, calls=())
        try:
            found = traces.find(self._site.office, wanted)
        except ConfigError as error:
            problem = error
        one = shown(visit, found.calls[0]) if wanted.call and found.calls else None
        return self._site.page(
            visit,
            "trace.html",
            status=400 if problem else 200,
            problem=problem,
            wanted=wanted,
            traced=found.traced,
            call=one,
            rows=[(ladder, link("/trace", call=ladder.call_ids[0])) for ladder in reversed(found.calls)],
        )

    def capture(self, visit: Visit) -> Response:
        """The calls as a file for Wireshark; who took it is in the audit."""
        made = traces.capture(self._site.office, _wanted(visit.form), visit.known)
        if made is None:
            raise ControlError(
                "no switch answers here, so nothing is in memory", hint="start it: `ringfence run`"
            )
        return made


def _wanted(asked: Mapping[str, str]) -> traces.Wanted:
    return traces.Wanted(
        call=asked.get("call", "").strip(),
        number=asked.get("number", "").strip(),
        source=asked.get("source", "").strip(),
    )
