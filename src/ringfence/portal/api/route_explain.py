# SPDX-License-Identifier: Apache-2.0
"""Why a call goes where it does; nothing is sent."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError
from ringfence.ledger.reasons import ANSWERS
from ringfence.portal import filters
from ringfence.portal.api.access import needs
from ringfence.portal.api.cdrs import as_json
from ringfence.portal.api.errors import ApiError
from ringfence.portal.api.models import Asked, Moment, OfficeOf
from ringfence.portal.rights import Right
from ringfence.routing.explanation import Question, document, explain

router: Final = APIRouter(tags=["routing"])

Number = Annotated[str, Field(max_length=200)]


class ExplainQuery(Asked):
    """The call that is asked about."""

    caller: Number = Field(alias="from", description="The caller's number as it comes in.")
    callee: Number = Field(alias="to", description="The number called as it comes in.")
    via: Number = Field(description="The gateway or phone that sends the call.")
    at: str | None = Field(None, min_length=1, max_length=50, description="When; left out = now.")


class StepOut(BaseModel):
    """One rule, applied."""

    rule: str = Field(description="Stable.")
    outcome: Literal["passed", "changed", "refused"]
    text: str


class ConsideredOut(BaseModel):
    """A routing gateway that was looked at."""

    name: str
    id: int
    prefix: str = Field(description="The prefix of the number that it serves; empty = every number.")
    taken: bool
    where: str
    caller_to_gateway: str | None
    callee_to_gateway: str | None
    timeouts_s: dict[str, int] = Field(description="Seconds in each state of a call that is set up.")
    steps: list[StepOut]


class ToPhoneOut(BaseModel):
    """The call stays here."""

    kind: Literal["phone"]
    phone: str


class ToRoutesOut(BaseModel):
    """The gateways that are tried, in order."""

    kind: Literal["routes"]
    routes: list[str]


class RefusedOut(BaseModel):
    """The call goes nowhere."""

    kind: Literal["refused"]
    reason: str = Field(description="Stable; as in records.")
    sip: int
    q850: int


class ExplanationOut(BaseModel):
    """The whole decision on a call."""

    via: str
    at: Moment
    live: Literal[False] = Field(
        description="Lines in use, calls a second, pauses, health and ASR are left out."
    )
    caller_access: str
    caller: str
    callee_access: str
    callee: str
    steps: list[StepOut] = Field(description="The caller's rules.")
    routes: list[ConsideredOut] = Field(description="Every routing gateway that was looked at, in order.")
    destination: ToPhoneOut | ToRoutesOut | RefusedOut


@router.get("/route-explain", response_model=ExplanationOut, **needs(Right.LOOK, 404))
def explain_route(office: OfficeOf, asked: Annotated[ExplainQuery, Query()]) -> Response:
    """Where a call would go: each rule, each routing gateway, and why it is or is not taken."""
    at_us = office.clock.utc_us() if asked.at is None else _moment_us(asked.at)
    question = Question(caller=asked.caller, callee=asked.callee, via=asked.via, at_us=at_us)
    made = explain(office.settings.state(), question)
    return as_json(document(made, asked.via, iso_utc(at_us), ANSWERS))


def _moment_us(text: str) -> int:
    try:
        found = filters.parse([("since", text)], now_us=0).query.since_us
    except ConfigError as error:
        raise ApiError("bad_value", error.message, hint=error.hint, field="at") from error
    return found or 0
