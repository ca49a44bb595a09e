# SPDX-License-Identifier: Apache-2.0
"""What records add up to: who tries, what they dial, with what, why refused, where to, when.

The conditions are those of `GET /cdrs`. What strangers sent goes out as JSON strings, whatever it is.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, Self, TypeVar, cast
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ringfence.clock import iso_utc
from ringfence.ledger.counting import Distinct
from ringfence.ledger.geography import country_of_address, country_of_area, country_of_number
from ringfence.ledger.reports import (
    DEFAULT_LINES,
    MOST_POINTS,
    AreaLine,
    NumberLine,
    Ranking,
    ReasonLine,
    SourceLine,
    ToolLine,
)
from ringfence.portal.api.access import needs
from ringfence.portal.api.cdrs import CdrCount, CdrFilter, KindWord
from ringfence.portal.api.errors import ApiError
from ringfence.portal.api.models import MOST, Moment, OfficeOf
from ringfence.portal.rights import Right

router: Final = APIRouter(prefix="/reports", tags=["reports"])

_Counted = SourceLine | NumberLine | ToolLine | ReasonLine | AreaLine
Line = TypeVar("Line")
Out = TypeVar("Out", bound=BaseModel)

_LEAST_POINTS: Final = 10
_ZONE_LENGTH: Final = 64

Unread = Annotated[
    int,
    Field(description="Rows of old files that were not looked at: it would take too long to count them now."),
]
Country = Annotated[str, Field(description="ISO 3166-1 alpha-2; empty: nobody can tell.")]


class ReportQuery(CdrFilter):
    """Which records, and how many lines."""

    limit: int = Field(DEFAULT_LINES, ge=1, le=MOST, description="So many lines at most.")


class TimelineQuery(CdrFilter):
    """Which records, and how finely."""

    points: int = Field(
        MOST_POINTS, ge=_LEAST_POINTS, le=MOST_POINTS, description="So many spans of time at most."
    )


class HeatMapQuery(CdrFilter):
    """Which records, and whose hours."""

    zone: str = Field("UTC", max_length=_ZONE_LENGTH, description="Time zone, such as Europe/Madrid.")


class DistinctOut(BaseModel):
    """How many different values there were."""

    number: int
    is_exact: bool = Field(description="False: to about a tenth, or at least so many.")

    @classmethod
    def of(cls, distinct: Distinct) -> Self:
        """As the API shows it."""
        return cls(number=distinct.number, is_exact=distinct.is_exact)


class LineOut(BaseModel):
    """What every line of a ranking tells."""

    attempts: int = Field(description="How many messages the rows stand for.")
    rows: int
    first_at: Moment
    last_at: Moment


def _counts(line: _Counted) -> dict[str, Any]:
    return {
        "attempts": line.attempts,
        "rows": line.rows,
        "first_at": iso_utc(line.first_us),
        "last_at": iso_utc(line.last_us),
    }


class SourceOut(LineOut):
    """One source address."""

    source: str
    country: Country
    numbers: DistinctOut = Field(description="How many numbers it dialled.")
    tool: str = Field(description="What it called itself most.")
    is_proven: bool = Field(description="Proven at least once to be at its address.")

    @classmethod
    def of(cls, line: SourceLine) -> Self:
        """As the API shows it."""
        return cls(
            **_counts(line),
            source=line.source,
            country=country_of_address(line.source),
            numbers=DistinctOut.of(line.numbers),
            tool=line.tool,
            is_proven=line.is_proven,
        )


class NumberOut(LineOut):
    """One dialled number, as it was dialled."""

    number: str
    country: Country
    sources: DistinctOut

    @classmethod
    def of(cls, line: NumberLine) -> Self:
        """As the API shows it."""
        return cls(
            **_counts(line),
            number=line.number,
            country=country_of_number(line.number),
            sources=DistinctOut.of(line.sources),
        )


class ToolOut(LineOut):
    """One tool."""

    user_agent: str = Field(description="What it calls itself.")
    fingerprint: str = Field(description="Of its grammar: 16 hexadecimal digits.")
    sources: DistinctOut

    @classmethod
    def of(cls, line: ToolLine) -> Self:
        """As the API shows it."""
        return cls(
            **_counts(line),
            user_agent=line.user_agent,
            fingerprint=line.fingerprint,
            sources=DistinctOut.of(line.sources),
        )


class ReasonOut(LineOut):
    """One reason, for one kind of record."""

    kind: KindWord
    reason: str
    sources: DistinctOut

    @classmethod
    def of(cls, line: ReasonLine) -> Self:
        """As the API shows it."""
        return cls(
            **_counts(line),
            kind=cast("KindWord", line.kind),
            reason=line.reason,
            sources=DistinctOut.of(line.sources),
        )


class AreaOut(LineOut):
    """Where numbers were dialled to."""

    area: str = Field(
        description="First digits from the country code on; empty: no country code was dialled."
    )
    example: str = Field(description="One such number, as it was dialled.")
    country: Country

    @classmethod
    def of(cls, line: AreaLine) -> Self:
        """As the API shows it."""
        return cls(
            **_counts(line),
            area=line.area,
            example=line.example,
            country=country_of_area(line.area),
        )


class RankingOut(BaseModel, Generic[Out]):
    """The lines with most attempts, most first."""

    lines: list[Out]
    total: CdrCount = Field(description="All that was looked at.")
    distinct: int = Field(description="How many lines there would be, at least.")
    is_exact: bool = Field(
        description="False: a line may have more attempts than it says, another may belong among them."
    )
    unread_rows: Unread


class SeriesOut(BaseModel):
    """Attempts of one kind and reason, span by span."""

    kind: KindWord
    reason: str
    attempts: list[int]


class TimelineOut(BaseModel):
    """Attempts over time; every series has every span."""

    since: Moment = Field(description="When the first span begins.")
    bucket_s: int = Field(description="How long each span is, seconds.")
    series: list[SeriesOut]
    unread_rows: Unread


class HeatMapOut(BaseModel):
    """Attempts by hour of the week."""

    zone: str
    attempts: list[list[int]] = Field(description="Seven weekdays from Monday on, 24 hours each.")
    unread_rows: Unread


def _ranking(found: Ranking[Line], shown: Callable[[Line], Out]) -> RankingOut[Out]:
    return RankingOut(
        lines=[shown(line) for line in found.lines],
        total=CdrCount(rows=found.total.rows, attempts=found.total.attempts),
        distinct=found.distinct,
        is_exact=found.is_exact,
        unread_rows=found.unread_rows,
    )


AskedOf = Annotated[ReportQuery, Query()]


@router.get("/sources", **needs(Right.LOOK))
def rank_sources(office: OfficeOf, asked: AskedOf) -> RankingOut[SourceOut]:
    """Who tries most."""
    return _ranking(office.ledger.reports.sources(asked.query(), limit=asked.limit), SourceOut.of)


@router.get("/numbers", **needs(Right.LOOK))
def rank_numbers(office: OfficeOf, asked: AskedOf) -> RankingOut[NumberOut]:
    """What they dial most."""
    return _ranking(office.ledger.reports.numbers(asked.query(), limit=asked.limit), NumberOut.of)


@router.get("/tools", **needs(Right.LOOK))
def rank_tools(office: OfficeOf, asked: AskedOf) -> RankingOut[ToolOut]:
    """What they try it with."""
    return _ranking(office.ledger.reports.tools(asked.query(), limit=asked.limit), ToolOut.of)


@router.get("/reasons", **needs(Right.LOOK))
def rank_reasons(office: OfficeOf, asked: AskedOf) -> RankingOut[ReasonOut]:
    """Why they were refused."""
    return _ranking(office.ledger.reports.reasons(asked.query(), limit=asked.limit), ReasonOut.of)


@router.get("/areas", **needs(Right.LOOK))
def rank_areas(office: OfficeOf, asked: AskedOf) -> RankingOut[AreaOut]:
    """Where they dial to."""
    return _ranking(office.ledger.reports.areas(asked.query(), limit=asked.limit), AreaOut.of)


@router.get("/timeline", **needs(Right.LOOK))
def timeline(office: OfficeOf, asked: Annotated[TimelineQuery, Query()]) -> TimelineOut:
    """When they tried: up to `until`, or now."""
    found = office.ledger.reports.timeline(
        asked.query(), now_us=office.clock.utc_us(), most_points=asked.points
    )
    return TimelineOut(
        since=iso_utc(found.since_us),
        bucket_s=found.bucket_s,
        series=[
            SeriesOut(
                kind=cast("KindWord", series.kind), reason=series.reason, attempts=list(series.attempts)
            )
            for series in found.series
        ],
        unread_rows=found.unread_rows,
    )


@router.get("/heat-map", **needs(Right.LOOK))
def heat_map(office: OfficeOf, asked: Annotated[HeatMapQuery, Query()]) -> HeatMapOut:
    """At which hours of the week they try."""
    found = office.ledger.reports.heat_map(asked.query(), zone=_zone(asked.zone))
    return HeatMapOut(
        zone=found.zone, attempts=[list(day) for day in found.attempts], unread_rows=found.unread_rows
    )


def _zone(name: str) -> ZoneInfo:
    """A time zone by name.

    Raises: ApiError("bad_value").
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        # Names become paths below the tables of zones; a directory there is no zone.
        raise ApiError(
            "bad_value", "there is no such time zone", hint="for example UTC or Europe/Madrid", field="zone"
        ) from error
