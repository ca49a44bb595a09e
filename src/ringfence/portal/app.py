# SPDX-License-Identifier: Apache-2.0
"""The office's web application: read only, no script, no cookie.

It listens on loopback unless the node's configuration says otherwise, and answers only to names that cannot
be pointed at it from elsewhere: IP addresses, `localhost`, the machine's own name.
"""

import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from ipaddress import ip_address
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.clock import Clock
from ringfence.errors import ConfigError, RingfenceError, StoreError
from ringfence.ledger.query import CdrQuery, Cursor, parse_source
from ringfence.ledger.reasons import END_REASON_BY_CODE, REASON_BY_NAME
from ringfence.ledger.schema import KINDS, LISTED, Cdr
from ringfence.ledger.service import Stats
from ringfence.ledger.store import CdrStore, Page
from ringfence.portal.metrics import SwitchCounters, exposition
from ringfence.portal.text import ago, visible

ROWS: Final = 50
LATE_S: Final = 10.0

_KIND_NAMES: Final = {
    "": "All",
    "illegal": "Illegal calls",
    "event": "Security events",
    "call": "Calls",
}
_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Office(Protocol):
    """What the pages show."""

    @property
    def store(self) -> CdrStore:
        """Where to ask for records.

        Raises: StoreError while there is none.
        """
        ...

    @property
    def stats(self) -> Stats:
        """How the ledger is doing."""
        ...


def create_app(office: Office, switch: SwitchCounters, clock: Clock, *, node: str) -> Starlette:
    """The application; `switch` gives the counters of a running switch."""
    pages = _Pages(office, switch, clock, node)
    return Starlette(
        routes=[
            Route("/", pages.records),
            Route("/style.css", pages.style),
            Route("/metrics", pages.metrics),
            Route("/health/live", pages.live),
            Route("/health/ready", pages.ready),
        ],
        middleware=[Middleware(_Guarded)],
    )


class _Guarded:
    """Sets the headers that keep pages harmless, and refuses names that anyone may point at this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        if self._is_ours(dict(scope["headers"]).get(b"host", b"").decode("latin-1")):
            await self._app(scope, receive, send_with_headers)
        else:
            refusal = Response("This office does not go by that name.\n", 421, media_type="text/plain")
            await refusal(scope, receive, send_with_headers)

    def _is_ours(self, host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if name.lower() in self._names:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


class _Pages:
    """The handlers; plain functions, so that each runs in a worker thread."""

    def __init__(self, office: Office, switch: SwitchCounters, clock: Clock, node: str) -> None:
        self._office = office
        self._switch = switch
        self._clock = clock
        self._node = node
        templates = Environment(loader=PackageLoader("ringfence.portal"), autoescape=True)
        templates.filters["visible"] = visible
        self._records = templates.get_template("records.html")
        self._style = resources.files("ringfence.portal").joinpath("static/style.css").read_bytes()

    def records(self, request: Request) -> Response:
        """The latest records, or those that the address asks for."""
        asked = {name: value for name, value in request.query_params.items() if value}
        page, status = Page(rows=(), older=None), 200
        problem: RingfenceError | None = None
        try:
            query, below = _read(asked)
            page = self._office.store.page(query, limit=ROWS, below=below, columns=LISTED)
        except ConfigError as error:
            problem, status = error, 400
        except StoreError as error:
            problem, status = error, 503
        now = datetime.fromtimestamp(self._clock.utc_us() / 1e6, UTC)
        text = self._records.render(
            node=self._node,
            kinds=[(kind, name, _link(asked, kind=kind, below="")) for kind, name in _KIND_NAMES.items()],
            kind=asked.get("kind", ""),
            asked=[
                (name, value, _link(asked, **{name: "", "below": ""}))
                for name, value in asked.items()
                if name in _FILTERS
            ],
            rows=[_shown(row, asked, now) for row in page.rows],
            older=_link(asked, below=str(page.older)) if page.older else None,
            newest=_link(asked, below="") if asked.get("below") else None,
            problem=problem,
            lag_s=self._office.stats.lag_s,
        )
        return HTMLResponse(text, status)

    def style(self, _: Request) -> Response:
        """The style sheet."""
        return Response(self._style, media_type="text/css")

    def metrics(self, _: Request) -> Response:
        """Counters for Prometheus."""
        body, media_type = exposition(self._office.stats, self._switch)
        return Response(body, headers={"content-type": media_type})

    def live(self, _: Request) -> Response:
        """Whether this process answers."""
        return JSONResponse({"status": "live"})

    def ready(self, _: Request) -> Response:
        """Whether records can be asked for and are up to date; 503 with reasons if not."""
        stats = self._office.stats
        reasons = []
        try:
            self._office.store.page(CdrQuery(), limit=1)
        except StoreError as error:
            reasons.append(error.message)
        if stats.lag_s > LATE_S:
            reasons.append(f"the ledger is {stats.lag_s:.0f} s behind the journal")
        notes = [] if self._switch() is not None else ["the switch does not answer"]
        return JSONResponse(
            {"ready": not reasons, "reasons": reasons, "notes": notes}, 503 if reasons else 200
        )


_FILTERS: Final = ("source", "caller", "callee", "reason", "account")


def _read(asked: Mapping[str, str]) -> tuple[CdrQuery, Cursor | None]:
    """What the address asks for.

    Raises: ConfigError.
    """
    kind = asked.get("kind")
    if kind is not None and kind not in KINDS:
        raise ConfigError("there is no such kind of record", hint=f"one of {', '.join(KINDS)}", code="kind")
    query = CdrQuery(
        kinds=frozenset({kind} if kind else ()),
        source=parse_source(asked["source"]) if "source" in asked else None,
        caller=asked.get("caller"),
        callee=asked.get("callee"),
        account=asked.get("account"),
        reason=asked.get("reason"),
    )
    return query, Cursor.parse(asked["below"]) if "below" in asked else None


def _link(asked: Mapping[str, str], **changed: str) -> str:
    kept = {name: value for name, value in {**asked, **changed}.items() if value}
    return f"/?{urlencode(kept)}" if kept else "/"


def _shown(row: Cdr, asked: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """A row as the page shows it."""
    reason = REASON_BY_NAME.get(row.reason)
    ended = END_REASON_BY_CODE.get(row.endReason)
    return {
        "row": row,
        "when": ago(row.recorded_at, now),
        "at": f"{row.recorded_at:%Y-%m-%d %H:%M:%S.%f} UTC",
        "why": reason.text if reason else ended.text if ended else "",
        "source_link": _link(asked, source=row.callerip, below="") if row.callerip else None,
        "caller_link": _link(asked, caller=row.callerAccessE164, below="") if row.callerAccessE164 else None,
        "callee_link": _link(asked, callee=row.calleeAccessE164, below="") if row.calleeAccessE164 else None,
        "reason_link": _link(asked, reason=row.reason, below="") if row.reason else None,
    }
