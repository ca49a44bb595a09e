# SPDX-License-Identifier: Apache-2.0
"""What goes on: the overview for the wall, and illegal calls by who, what, where and when."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from markupsafe import Markup
from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.defence.geography import country_of_address, country_of_number
from ringfence.errors import ConfigError, RingfenceError
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reasons import REASON_BY_NAME
from ringfence.ledger.reports import Reports, SourceLine, Timeline
from ringfence.portal import filters
from ringfence.portal.pages.records import local_times
from ringfence.portal.plots import Bucket, heat, stacked
from ringfence.portal.rates import RateMeter
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit, link
from ringfence.settings import checks
from ringfence.settings.model import Block, ListName

_HOUR_US: Final = 3_600_000_000
_LISTED: Final = 8
_RANKED: Final = 20
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
        try:
            reports = self._reports
            timeline = reports.timeline(query, now_us=now_us, most_points=_POINTS)
            return {
                "problem": None,
                "plot": drawn(visit, timeline, ""),
                "sources": reports.sources(query, limit=_LISTED),
                "numbers": reports.numbers(calls, limit=_LISTED),
                "reasons": [
                    (line, _reason(visit, line.reason))
                    for line in reports.reasons(query, limit=_LISTED).lines
                ],
                "country": country_of_address,
                "dialled": country_of_number,
            }
        except RingfenceError as error:
            return {"problem": error}

    def illegal(self, visit: Visit) -> Response:
        """Who attacks, what they dial, with what, from where, when; every line is a filter."""
        asked = local_times(visit, visit.asked)
        if not asked.keys() & {"range", "since", "until"}:
            asked["range"] = "24h"
        show_events = asked.get("show") == "all"
        kept = {name: value for name, value in asked.items() if name != "show"}
        now_us = self._site.office.clock.utc_us()
        values: dict[str, Any] = {"problem": None}
        try:
            found = filters.parse(kept.items(), now_us=now_us)
            kinds = frozenset({"illegal", "event"} if show_events else {"illegal"})
            query = replace(found.query, kinds=kinds)
            values |= self._ranked(visit, query, {**kept, **({"show": "all"} if show_events else {})}, now_us)
        except ConfigError as error:
            values["problem"] = error
        return self._site.page(
            visit,
            "illegal.html",
            status=400 if values["problem"] else 200,
            asked={**kept, **({"show": "all"} if show_events else {})},
            kept=kept,
            show_events=show_events,
            chips=[
                (name, value, link("/illegal", asked, **{name: None}))
                for name, value in kept.items()
                if name not in ("range", "kind")
            ],
            gateways=[gateway.name for gateway in self._site.office.settings.gateways.all()]
            if visit.may(Right.SETTINGS)
            else [],
            **values,
        )

    def _ranked(self, visit: Visit, query: CdrQuery, asked: Mapping[str, str], now_us: int) -> dict[str, Any]:
        reports = self._reports
        timeline = reports.timeline(query, now_us=now_us, most_points=_POINTS)
        sources = reports.sources(query, limit=_RANKED)
        blocked = _blocked(self._site.office.settings.lists.in_force(), sources.lines)
        return {
            "plot": drawn(visit, timeline, link("/illegal", asked)),
            "sources": sources,
            "numbers": reports.numbers(query, limit=_RANKED),
            "tools": reports.tools(query, limit=_RANKED),
            "reasons": [
                (line, _reason(visit, line.reason)) for line in reports.reasons(query, limit=_RANKED).lines
            ],
            "areas": _countries(reports.areas(query, limit=200).lines),
            "blocked": blocked,
            "heat": self._heat(visit, query),
            "country": country_of_address,
            "dialled": country_of_number,
        }

    def _heat(self, visit: Visit, query: CdrQuery) -> Markup:
        found = self._reports.heat_map(query, zone=visit.zone)
        days = [visit.say(day) for day in DAYS]
        return heat(
            found.attempts, days, title=visit.say("Attempts by hour and weekday"), unit=visit.say("attempts")
        )


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


def _reason(visit: Visit, name: str) -> str:
    reason = REASON_BY_NAME.get(name)
    return visit.say(reason.text) if reason else name


def _countries(lines: Sequence[Any]) -> list[tuple[str, int, str]]:
    """Attempts by country dialled, most first, with the digits that the country's numbers begin with."""
    sums: dict[str, int] = {}
    begins: dict[str, str] = {}
    for line in lines:
        country = country_of_number(line.example) if line.area else ""
        sums[country] = sums.get(country, 0) + line.attempts
        begins.setdefault(country, line.area)
    ranked = sorted(sums.items(), key=lambda item: -item[1])[:_RANKED]
    return [(country, attempts, begins[country]) for country, attempts in ranked]


def _blocked(blocks: Sequence[Block], lines: Sequence[SourceLine]) -> dict[str, Block]:
    """Which entry covers a source, by source."""
    entries = [block for block in blocks if block.list is ListName.SOURCE]
    return {
        line.source: block
        for line in lines
        for block in entries
        if line.source and checks.overlap(block.value, line.source)
    }
