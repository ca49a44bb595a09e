# SPDX-License-Identifier: Apache-2.0
"""What goes on: the overview for the wall, and illegal calls by who, what, where and when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from markupsafe import Markup
from starlette.datastructures import QueryParams
from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError, NotFoundError, RingfenceError
from ringfence.ledger.dialled import AREA_DIGITS
from ringfence.ledger.geography import country_of_address, country_of_area, country_of_number
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reasons import REASON_BY_NAME
from ringfence.ledger.reports import AreaLine, Reports, SourceLine, Timeline
from ringfence.ledger.summaries import NUMBERS, REASONS, SOURCES
from ringfence.portal import filters
from ringfence.portal.pages.chips import chips
from ringfence.portal.pages.records import local_times
from ringfence.portal.plots import Bucket, heat, stacked
from ringfence.portal.rates import RateMeter
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit, link, without
from ringfence.settings import checks
from ringfence.settings.model import Block, ListName

_HOUR_US: Final = 3_600_000_000
_LISTED: Final = 8
_RANKED: Final = 20
_AREAS: Final = 10**AREA_DIGITS + 1
_POINTS: Final = 120
_SERIES: Final = ("illegal", "event", "call")
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def routes(site: Site, meter: RateMeter) -> list[GuardedRoute]:
    """Overview and illegal calls."""
    pages = _Watch(site, meter)
    return [
        site.route("/", pages.overview, Right.LOOK),
        site.route("/overview/now", pages.now, Right.LOOK),
        site.route("/overview/hour", pages.hour, Right.LOOK),
        site.route("/illegal", pages.illegal, Right.LOOK),
        site.route("/illegal/{part}", pages.part, Right.LOOK),
    ]


class _Watch:
    def __init__(self, site: Site, meter: RateMeter) -> None:
        self._site = site
        self._meter = meter

    @property
    def _reports(self) -> Reports:
        return self._site.office.ledger.reports

    def overview(self, visit: Visit) -> Response:
        """Five figures, one plot, two lists, open alarms."""
        return self._site.page(visit, "overview.html", **self._figures(), **self._last_hour(visit))

    def now(self, visit: Visit) -> Response:
        """The figures of this second; a part of the page."""
        return self._site.page(visit, "overview_now.html", **self._figures())

    def hour(self, visit: Visit) -> Response:
        """The last hour; a part of the page."""
        return self._site.page(visit, "overview_hour.html", **self._last_hour(visit))

    def _figures(self) -> dict[str, Any]:
        office = self._site.office
        return {
            "rates": self._meter.now(),
            "balance": office.switch.books(),
            "alarms": office.settings.alarms.open(),
        }

    def _last_hour(self, visit: Visit) -> dict[str, Any]:
        now_us = self._site.office.clock.utc_us()
        query = CdrQuery(since_us=now_us - _HOUR_US)
        calls = replace(query, kinds=frozenset({"illegal"}))
        # What customers send stands in the plot alone: they attack nobody.
        attempts = replace(query, kinds=frozenset({"illegal", "event"}))
        try:
            reports = self._reports
            timeline = reports.timeline(query, now_us=now_us, most_points=_POINTS)
            return {
                "problem": None,
                "plot": drawn(visit, timeline, ""),
                "sources": reports.largest(SOURCES, attempts, limit=_LISTED),
                "numbers": reports.largest(NUMBERS, calls, limit=_LISTED),
                "reasons": [
                    (line, *_reason(visit, line.value))
                    for line in reports.largest(REASONS, attempts, limit=_LISTED).lines
                ],
                "country": country_of_address,
                "dialled": country_of_number,
            }
        except RingfenceError as error:
            return {"problem": error}

    def illegal(self, visit: Visit) -> Response:
        """When, and room for who, what, where and with what: those are parts that follow by themselves."""
        asked = _asked(visit)
        values: dict[str, Any] = {"problem": None}
        try:
            query = self._query(asked)
            now_us = self._site.office.clock.utc_us()
            timeline = self._reports.timeline(query, now_us=now_us, most_points=_POINTS)
            values["plot"] = drawn(visit, timeline, link("/illegal", asked))
            if "whole" in asked:
                values |= {name: part(visit, query) for name, part in self._parts.items()}
        except ConfigError as error:
            values["problem"] = error
        return self._site.page(
            visit,
            "illegal.html",
            status=400 if values["problem"] else 200,
            **self._shared(visit, asked),
            parts_named=tuple(self._parts),
            views=self._site.office.settings.views.of(visit.known.name, "illegal"),
            chips=chips(visit, "/illegal", asked, besides=("range", "kind", "show", "whole")),
            **values,
        )

    def part(self, visit: Visit) -> Response:
        """One ranking, or the hours of the week; a part of the page."""
        name = visit.request.path_params["part"]
        if name not in self._parts:
            raise NotFoundError(visit.say("There is no such page"), hint=visit.say("go on from the overview"))
        asked = _asked(visit)
        found = self._parts[name](visit, self._query(asked))
        return self._site.page(visit, f"illegal_{name}.html", **self._shared(visit, asked), **{name: found})

    def _shared(self, visit: Visit, asked: QueryParams) -> dict[str, Any]:
        gateways = self._site.office.settings.gateways.all() if visit.may(Right.SETTINGS) else ()
        return {
            "asked": asked,
            "kept": without(asked, "show", "whole"),
            "show_events": asked.get("show") == "all",
            "gateways": [gateway.name for gateway in gateways],
            "country": country_of_address,
            "dialled": country_of_number,
        }

    def _query(self, asked: QueryParams) -> CdrQuery:
        """Illegal calls that match, and other events if they are wanted.

        Raises: ConfigError.
        """
        now_us = self._site.office.clock.utc_us()
        found = filters.parse(asked.multi_items(), now_us=now_us, also=("show", "whole"))
        kinds = {"illegal", "event"} if asked.get("show") == "all" else {"illegal"}
        return replace(found.query, kinds=frozenset(kinds))

    def _sources(self, _: Visit, query: CdrQuery) -> dict[str, Any]:
        ranking = self._reports.sources(query, limit=_RANKED)
        return {
            "ranking": ranking,
            "blocked": _blocked(self._site.office.settings.lists.in_force(), ranking.lines),
        }

    def _hours(self, visit: Visit, query: CdrQuery) -> Markup:
        found = self._reports.heat_map(query, zone=visit.zone)
        days = [visit.say(day) for day in DAYS]
        title, unit = visit.say("Attempts by hour and weekday"), visit.say("attempts")
        return heat(found.attempts, days, title=title, unit=unit, number=visit.number)

    @property
    def _parts(self) -> Mapping[str, Callable[[Visit, CdrQuery], Any]]:
        """What follows by itself, in the order of the page."""
        return {
            "sources": self._sources,
            "numbers": lambda _, query: self._reports.numbers(query, limit=_RANKED),
            "tools": lambda _, query: self._reports.tools(query, limit=_RANKED),
            "areas": lambda _, query: _countries(self._reports.areas(query, limit=_AREAS).lines),
            "reasons": lambda visit, query: [
                (line, *_reason(visit, line.value))
                for line in self._reports.largest(REASONS, query, limit=_RANKED).lines
            ],
            "hours": self._hours,
        }


def _asked(visit: Visit) -> QueryParams:
    """What the address asks for; the last day if it names no time."""
    asked = local_times(visit, visit.asked)
    if asked.keys() & {"range", "since", "until"}:
        return asked
    return QueryParams([*asked.multi_items(), ("range", "24h")])


def drawn(visit: Visit, timeline: Timeline, range_link: str) -> Markup:
    """Attempts over time, by kind of record."""
    length = max((len(series.attempts) for series in timeline.series), default=0)
    sums = {kind: [0] * length for kind in _SERIES}
    for series in timeline.series:
        for index, attempts in enumerate(series.attempts):
            sums[series.kind][index] += attempts
    names = {
        "illegal": visit.say("illegal calls"),
        "event": visit.say("security events"),
        "call": visit.say("calls"),
    }
    is_long = timeline.bucket_s * length > timedelta(days=2).total_seconds()
    buckets = []
    for index in range(length):
        begin_us = timeline.since_us + index * timeline.bucket_s * 1_000_000
        begin = visit.local(visit.moment(begin_us))
        values = tuple(sums[kind][index] for kind in _SERIES)
        told = [
            f"{visit.number(value)} {names[kind]}"
            for kind, value in zip(_SERIES, values, strict=True)
            if value
        ]
        buckets.append(
            Bucket(
                values=values,
                tick=f"{begin:%m-%d}" if is_long else f"{begin:%H:%M}",
                label="\n".join([f"{begin:%Y-%m-%d %H:%M:%S}", *(told or ["0"])]),
                since=iso_utc(begin_us),
                until=iso_utc(begin_us + timeline.bucket_s * 1_000_000),
            )
        )
    return stacked(buckets, _SERIES, title=visit.say("Attempts over time"), range_link=range_link)


def _reason(visit: Visit, name: str) -> tuple[str, str]:
    """A reason as a heading, and in a sentence."""
    reason = REASON_BY_NAME.get(name)
    return (visit.say(reason.title), visit.say(reason.text)) if reason else (name, "")


def _countries(lines: Sequence[AreaLine]) -> list[tuple[str, int]]:
    """Attempts by country dialled, most first; empty where no country was dialled, or none can be told."""
    sums: dict[str, int] = {}
    for line in lines:
        country = country_of_area(line.area)
        sums[country] = sums.get(country, 0) + line.attempts
    return sorted(sums.items(), key=lambda item: -item[1])[:_RANKED]


def _blocked(blocks: Sequence[Block], lines: Sequence[SourceLine]) -> dict[str, Block]:
    """Which entry covers a source, by source."""
    entries = [block for block in blocks if block.list is ListName.SOURCE]
    return {
        line.source: block
        for line in lines
        for block in entries
        if line.source and checks.overlap(block.value, line.source)
    }
