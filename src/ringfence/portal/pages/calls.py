# SPDX-License-Identifier: Apache-2.0
"""Calls that are live now, and their end by hand. Calls that are over are call records."""

from typing import Final

from starlette.responses import Response

from ringfence.control.messages import LiveCall
from ringfence.errors import ControlError, NotFoundError
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit

SHOWN: Final = 200
"""Calls on the page, the oldest first."""

STATES: Final = {"setup": "being set up", "answered": "answered", "up": "talking"}
"""What the states of a call are called."""


def routes(site: Site) -> list[GuardedRoute]:
    """The list, each call, and its end."""
    pages = _Calls(site)
    return [
        site.route("/calls", pages.all, Right.LOOK),
        site.route("/live/calls", pages.now, Right.LOOK),
        site.route("/calls/{id:int}", pages.one, Right.LOOK),
        site.route("/calls/{id:int}/hang-up", pages.hang_up, Right.HANG_UP, methods=["POST"]),
    ]


class _Calls:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """The calls that are live."""
        return self._shown(visit, "calls.html")

    def now(self, visit: Visit) -> Response:
        """The table of calls; a part of the page."""
        return self._shown(visit, "calls_part.html")

    def _shown(self, visit: Visit, template: str) -> Response:
        live = self._site.office.switch.calls(SHOWN)
        return self._site.page(
            visit,
            template,
            live=live,
            counts=self._site.office.switch.call_counts(),
            calls=[] if live is None else [(call, lasted(call, live.at_us)) for call in live.calls],
            states=STATES,
        )

    def one(self, visit: Visit) -> Response:
        """One call, with what ends it."""
        live = self._site.office.switch.call(visit.request.path_params["id"])
        if live is None:
            raise NotFoundError(
                visit.say("this call is over, or there never was one"),
                hint=visit.say("its record comes within some seconds: look at the CDRs"),
            )
        call, at_us = live
        return self._site.page(visit, "call.html", call=call, lasted=lasted(call, at_us), states=STATES)

    def hang_up(self, visit: Visit) -> Response:
        """End a call."""
        call_id = visit.request.path_params["id"]
        try:
            self._site.office.hang_up(call_id, actor=visit.actor)
        except ControlError as error:
            if error.code != "not_found":
                raise
            return self._site.done("/calls", visit.say("Call {id} was over already.", id=call_id))
        return self._site.done("/calls", visit.say("Call {id} is hung up.", id=call_id))


def lasted(call: LiveCall, at_us: int) -> str:
    """How long a call lasts: from its answer on, or from its start while nobody has answered.

    >>> from types import SimpleNamespace
    >>> lasted(SimpleNamespace(started_us=0, answered_us=1_000_000), 3_726_000_000)
    '1:02:05'
    """
    passed_s = max(at_us - (call.answered_us or call.started_us), 0) // 1_000_000
    hours, rest = divmod(passed_s, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
