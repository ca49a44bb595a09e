# SPDX-License-Identifier: Apache-2.0
"""The office's web application: pages, API, metrics, health.

It listens on loopback unless the node's configuration says otherwise, and answers only to names that cannot
be pointed at it from elsewhere: IP addresses, `localhost`, the machine's own name.
"""

import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.errors import StoreError
from ringfence.ledger.query import CdrQuery
from ringfence.portal.access import Access
from ringfence.portal.api import create_api
from ringfence.portal.api.errors import error_answer
from ringfence.portal.exports import ExportJobs
from ringfence.portal.metrics import exposition
from ringfence.portal.office import Office
from ringfence.portal.pages import (
    alarms,
    calls,
    door,
    firewall,
    parameters,
    people,
    records,
    routing,
    sources,
    tokens,
    trace,
    views,
    watch,
)
from ringfence.portal.rates import RateMeter
from ringfence.portal.rights import Caller, Right
from ringfence.portal.site import COOKIE, Site, Visit

LATE_S: Final = 10.0

_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_NOT_KEPT: Final = (b"cache-control", b"no-store")


def create_app(office: Office, access: Access, jobs: ExportJobs, *, url: str | None = None) -> Starlette:
    """The application; `url` is what people type to reach it, if that is not where it listens."""
    site = Site(office, access)
    health = _Health(office)
    routes: list[BaseRoute] = [
        site.route("/metrics", health.metrics, Right.OPEN),
        site.route("/health/live", health.live, Right.OPEN),
        site.route("/health/ready", health.ready, Right.OPEN),
        *door.routes(site),
        *views.routes(site),
        *watch.routes(site, RateMeter(office.switch, office.clock)),
        *records.routes(site, jobs),
        *calls.routes(site),
        *trace.routes(site),
        *firewall.routes(site),
        *alarms.routes(site),
        *sources.routes(site),
        *routing.routes(site),
        *parameters.routes(site),
        *people.routes(site),
        *tokens.routes(site),
        Mount("/static", StaticFiles(packages=[("ringfence.portal", "static")])),
        Mount("/api/v1", _KnowsSessions(create_api(office, jobs=jobs), office)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Guarded, name=urlsplit(url or "").hostname)],
        exception_handlers={HTTPException: _missing(site)},
    )


def _missing(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What is answered where there is no page."""

    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return await run_in_threadpool(site.missing, request, status)

    return answer


class _KnowsSessions:
    """Tells the API who is logged in, so that an address of it can be opened from a page."""

    def __init__(self, app: ASGIApp, office: Office) -> None:
        self._app = app
        self._office = office

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookie = Request(scope).cookies.get(COOKIE, "") if scope["type"] == "http" else ""
        if cookie:
            try:
                session = await run_in_threadpool(self._office.settings.sessions.find, cookie)
            except StoreError as error:
                await error_answer(error)(scope, receive, send)
                return
            if session is not None:
                state = scope.setdefault("state", {})
                state["caller"] = Caller(name=session.user.name, role=session.user.role)
        await self._app(scope, receive, send)


class _Guarded:
    """Sets the headers that keep pages harmless, and refuses names that anyone may point at this machine."""

    def __init__(self, app: ASGIApp, name: str | None = None) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), *([name] if name else [])}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = () if is_static else (_NOT_KEPT,)
                message["headers"] = [*message["headers"], *_HEADERS, *kept]
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


class _Health:
    """What watches the office from outside."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def metrics(self, _: Visit) -> Response:
        """Counters for Prometheus."""
        body, media_type = exposition(self._office.ledger.stats, self._office.switch)
        return Response(body, headers={"content-type": media_type})

    def live(self, _: Visit) -> Response:
        """Whether this process answers."""
        return JSONResponse({"status": "live"})

    def ready(self, _: Visit) -> Response:
        """Whether records can be asked for and are up to date; 503 with reasons if not."""
        stats = self._office.ledger.stats
        reasons = []
        try:
            self._office.ledger.store.page(CdrQuery(), limit=1)
        except StoreError as error:
            reasons.append(error.message)
        if stats.lag_s > LATE_S:
            reasons.append(f"the ledger is {stats.lag_s:.0f} s behind the journal")
        notes = [] if self._office.switch.counters() is not None else ["the switch does not answer"]
        return JSONResponse(
            {"ready": not reasons, "reasons": reasons, "notes": notes}, 503 if reasons else 200
        )
