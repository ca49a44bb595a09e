# SPDX-License-Identifier: Apache-2.0
"""How the node is doing: switch, ledger, books, registrations, health."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from ringfence.clock import iso_utc
from ringfence.control.messages import FLOWS_LIMIT, Books
from ringfence.errors import StoreError
from ringfence.ledger.query import CdrQuery
from ringfence.portal.api.access import needs
from ringfence.portal.api.errors import code_of, no_switch
from ringfence.portal.api.models import Asked, Moment, OfficeOf
from ringfence.portal.rights import Right

router: Final = APIRouter(tags=["node"])

LATE_S: Final = 10.0


class SwitchStatus(BaseModel):
    """The switch that answers."""

    pid: int
    software: str
    run: int = Field(description="Counts starts.")
    started_at: Moment
    uptime_s: float
    listeners: list[str]
    settings_version: int = Field(description="What it judges by.")
    draining: bool


class LedgerStatus(BaseModel):
    """How the call records are doing."""

    lag_s: float = Field(description="How far they are behind the journal.")
    pending: int = Field(description="Frames of the journal that are not taken in yet.")
    segments: int
    rows_by_kind: dict[str, int]
    bytes_by_kind: dict[str, int]
    error: str | None = Field(description="What stops it; null = all is well.")


class NodeStatus(BaseModel):
    """A node."""

    node: str
    settings_version: int
    switch: SwitchStatus | None = Field(description="Null: none answers.")
    ledger: LedgerStatus


class BooksOut(BaseModel):
    """The balance of one run of the switch; the unit is a message that was read."""

    run: int
    at: Moment
    read: int
    admitted: int
    recorded: int
    challenged: int
    folded: int
    absorbed: int
    unrecordable: int
    socket_drops: int = Field(description="Dropped by the kernel; stand beside the balance.")
    difference: int = Field(description="0 = every message is accounted for.")

    @classmethod
    def of(cls, books: Books) -> "BooksOut":
        """As the API shows it."""
        return cls(
            run=books.run,
            at=iso_utc(books.at_us),
            read=books.read,
            admitted=books.admitted,
            recorded=books.recorded,
            challenged=books.challenged,
            folded=books.folded,
            absorbed=books.absorbed,
            unrecordable=books.unrecordable,
            socket_drops=books.socket_drops,
            difference=books.difference,
        )


class CountersOut(BaseModel):
    """What the edge counted in this run."""

    counters: dict[str, int]


class RegistrationOut(BaseModel):
    """A registration in force. `contact` and `user_agent` are the phone's own words."""

    number: str
    transport: str
    source: str
    local: str
    contact: str
    user_agent: str
    since: Moment = Field(description="When it came to this address.")
    expires_at: Moment


class Registrations(BaseModel):
    """Registrations in force, by number."""

    total: int = Field(description="Those beyond the limit too.")
    registrations: list[RegistrationOut]


class RegistrationQuery(Asked):
    """How many registrations."""

    limit: int = Field(1000, ge=1, le=FLOWS_LIMIT)


class Health(BaseModel):
    """Whether the office can do its work."""

    ready: bool
    reasons: list[str] = Field(description="Why not.")
    notes: list[str] = Field(description="What else is amiss.")


@router.get("/status", **needs(Right.LOOK))
def status(office: OfficeOf) -> NodeStatus:
    """Who runs here, since when, and how far the call records are."""
    found = office.switch.status()
    stats = office.ledger.stats
    switch = None
    if found is not None:
        switch = SwitchStatus(
            pid=found.pid,
            software=found.software,
            run=found.run,
            started_at=iso_utc(found.started_at_us),
            uptime_s=found.uptime_s,
            listeners=list(found.listeners),
            settings_version=found.settings_version,
            draining=found.draining,
        )
    return NodeStatus(
        node=office.node,
        settings_version=office.settings.version(),
        switch=switch,
        ledger=LedgerStatus(
            lag_s=stats.lag_s,
            pending=stats.pending,
            segments=stats.segments,
            rows_by_kind=dict(stats.rows_by_kind or {}),
            bytes_by_kind=dict(stats.bytes_by_kind or {}),
            error=stats.error,
        ),
    )


@router.get("/books", **needs(Right.LOOK))
def books(office: OfficeOf) -> BooksOut:
    """Whether every message is accounted for."""
    found = office.switch.books()
    if found is None:
        raise no_switch()
    return BooksOut.of(found)


@router.get("/counters", **needs(Right.LOOK))
def counters(office: OfficeOf) -> CountersOut:
    """What the edge counted in this run."""
    found = office.switch.counters()
    if found is None:
        raise no_switch()
    return CountersOut(counters=dict(found))


@router.get("/registrations", **needs(Right.LOOK))
def registrations(office: OfficeOf, asked: Annotated[RegistrationQuery, Query()]) -> Registrations:
    """Phones that are registered now."""
    found = office.switch.flows()
    if found is None:
        raise no_switch()
    return Registrations(
        total=found.total,
        registrations=[
            RegistrationOut(
                number=flow.number,
                transport=flow.transport,
                source=flow.source,
                local=flow.local,
                contact=flow.contact,
                user_agent=flow.user_agent,
                since=iso_utc(flow.since_at_us),
                expires_at=iso_utc(flow.expires_at_us),
            )
            for flow in found.flows[: asked.limit]
        ],
    )


@router.get("/health", response_model=Health, **needs(Right.OPEN, also_models={503: Health}))
def health(office: OfficeOf) -> Response:
    """Whether records can be asked for and are up to date; 503 with reasons if not."""
    reasons = []
    try:
        office.ledger.store.page(CdrQuery(), limit=1, columns=("kind",))
    except StoreError as error:
        # Whoever asks may be anyone: no paths.
        reasons.append(f"the call records cannot be asked for ({code_of(error)})")
    lag_s = office.ledger.stats.lag_s
    if lag_s > LATE_S:
        reasons.append(f"the ledger is {lag_s:.0f} s behind the journal")
    notes = [] if office.switch.counters() is not None else ["the switch does not answer"]
    return JSONResponse({"ready": not reasons, "reasons": reasons, "notes": notes}, 503 if reasons else 200)
