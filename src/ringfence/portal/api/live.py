# SPDX-License-Identifier: Apache-2.0
"""What happens now, as server-sent events: once a second the counters, the books and the new records.

A stream asks the store at most once a second, looks no further back than a challenge stays open, and shows
the newest records only: what a flood brings more is counted, not sent. All streams share one look at the
switch. A stream ends after a few minutes, so that a token taken away ends it too; clients connect again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ringfence.clock import iso_utc
from ringfence.errors import StoreError
from ringfence.ledger.query import CdrQuery, Cursor
from ringfence.ledger.schema import LISTED, Cdr
from ringfence.portal.api.access import needs
from ringfence.portal.api.cdrs import KindWord, shown
from ringfence.portal.api.errors import ApiError, code_of
from ringfence.portal.api.models import Asked
from ringfence.portal.api.node import BooksOut
from ringfence.portal.office import Office
from ringfence.portal.rights import Right

router: Final = APIRouter(tags=["live"])

STREAMS: Final = 32
STREAM_TICKS: Final = 300
TICK_S: Final = 1.0
SHOWN: Final = 100
LOOKED_AT: Final = 500
LOOK_BACK_US: Final = 60_000_000
"""Longer than a challenge stays open: its record comes with the time of the challenge."""

_BALANCE: Final = ("read", "admitted", "recorded", "challenged", "folded", "absorbed", "unrecordable")

Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the switch; None: none answers."""

    at_us: int
    counters: Mapping[str, int] | None
    books: BooksOut | None


class LiveQuery(Asked):
    """What is to be told."""

    kind: list[KindWord] = Field([], max_length=3, description="Kinds of record; none = every kind.")
    cdrs: bool = Field(True, description="False: counters and books only.")


class Live:
    """The streams that are open, and what they share."""

    def __init__(self, office: Office, wait: Wait = asyncio.sleep) -> None:
        self._office = office
        self._wait = wait
        self._looking = asyncio.Lock()
        self._looked_s = float("-inf")
        self._sample: Sample | None = None
        self.open = 0

    async def sample(self) -> Sample:
        """The switch as of less than a second ago."""
        async with self._looking:
            now_s = self._office.clock.monotonic_s()
            if self._sample is None or now_s - self._looked_s >= TICK_S * 0.9:
                self._sample = await run_in_threadpool(self._look)
                self._looked_s = now_s
            return self._sample

    async def events(self, asked: LiveQuery) -> AsyncIterator[bytes]:
        """One stream."""
        query = CdrQuery(kinds=frozenset(asked.kind))
        seen: frozenset[Cursor] | None = None
        before: Sample | None = None
        yield b"retry: 2000\n\n"
        for _ in range(STREAM_TICKS):
            sample = await self.sample()
            yield _event("tick", _tick(sample, before))
            before = sample
            if asked.cdrs:
                try:
                    rows = await run_in_threadpool(self._rows, query)
                except StoreError as error:
                    yield _event("problem", {"code": code_of(error), "message": error.message})
                else:
                    # What was there at the start is no news.
                    fresh = [] if seen is None else [row for row in rows if Cursor.of(row) not in seen]
                    seen = frozenset(map(Cursor.of, rows))
                    if fresh:
                        yield _event("cdrs", _news(fresh, is_all=len(rows) < LOOKED_AT))
            await self._wait(TICK_S)

    def _look(self) -> Sample:
        books = self._office.switch.books()
        return Sample(
            at_us=self._office.clock.utc_us(),
            counters=self._office.switch.counters(),
            books=None if books is None else BooksOut.of(books),
        )

    def _rows(self, query: CdrQuery) -> tuple[Cdr, ...]:
        since_us = self._office.clock.utc_us() - LOOK_BACK_US
        recent = CdrQuery(kinds=query.kinds, since_us=since_us)
        return self._office.ledger.store.page(recent, limit=LOOKED_AT, columns=LISTED).rows


class LiveResponse(StreamingResponse):
    """A stream that makes room for another when it ends, however it ends."""

    def __init__(self, live: Live, asked: LiveQuery) -> None:
        super().__init__(
            live.events(asked),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client goes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.open -= 1


def _event(name: str, content: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(content) + b"\n\n"


def _tick(sample: Sample, before: Sample | None) -> dict[str, Any]:
    """Totals of the run, and what was added since the last tick; a switch started anew begins at 0."""
    same_run = (
        before is not None
        and before.books is not None
        and sample.books is not None
        and before.books.run == sample.books.run
    )
    earlier: Mapping[str, int] = {}
    if before is not None and before.counters is not None and (same_run or sample.books is None):
        earlier = before.counters
    counters = sample.counters or {}
    deltas = {} if before is None else {name: counters[name] - earlier.get(name, 0) for name in counters}
    books = None
    if sample.books is not None:
        books = sample.books.model_dump()
        old = before.books if before is not None and same_run else None
        books["deltas"] = (
            {}
            if before is None
            else {name: books[name] - (getattr(old, name) if old else 0) for name in _BALANCE}
        )
    return {
        "at": iso_utc(sample.at_us),
        "switch": sample.counters is not None,
        "counters": counters,
        "deltas": deltas,
        "books": books,
    }


def _news(fresh: list[Cdr], *, is_all: bool) -> dict[str, Any]:
    rows = [shown(row) for row in fresh[:SHOWN]]
    return {
        "cdrs": [{"id": row["id"], **{name: row[name] for name in LISTED}} for row in rows],
        "skipped": len(fresh) - len(rows),
        "is_skipped_exact": is_all,
    }


_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": (
            "Events: `tick` once a second (counters, books, what was added since the last), `cdrs` (new "
            "records, newest first, and how many were skipped), `problem` (records cannot be asked for)."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/live", response_class=StreamingResponse, status_code=200, **needs(Right.LOOK, documented=_STREAM)
)
async def live(request: Request, asked: Annotated[LiveQuery, Query()]) -> Response:
    """What happens now, as server-sent events."""
    streams: Live = request.app.state.live
    if streams.open >= STREAMS:
        raise ApiError(
            "too_many_streams",
            f"{STREAMS} live streams are open already",
            hint="close one, then connect again",
        )
    streams.open += 1
    return LiveResponse(streams, asked)
