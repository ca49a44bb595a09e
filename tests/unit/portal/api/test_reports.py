# SPDX-License-Identifier: Apache-2.0
"""What records add up to, by HTTP; conditions are those of the records."""

from typing import Any
from urllib.parse import quote

import pytest

from kit.journal import T0_US
from kit.ledgers import take_in

from .conftest import ATTACKS, GrowingSite, Site

RANKINGS = ("sources", "numbers", "tools", "reasons", "areas")


def report(site: Site, path: str, *, status: int = 200) -> Any:
    answer = site.client.get(f"reports/{path}", headers=site.bearing("viewer"))
    assert answer.status_code == status, answer.text
    return answer.json()


def test_sources_are_ranked_with_country_and_what_they_did(growing: GrowingSite) -> None:
    for n in range(5):
        growing.journal.refuse(T0_US + 5000 + n, source="41.0.0.1", callee=f"0046{n}", user_agent="scanner")
    take_in(growing.records)
    found = report(growing, "sources?kind=illegal&source=41.0.0.0/8")
    assert (found["total"], found["distinct"], found["is_exact"], found["unread_rows"]) == (
        {"rows": 5, "attempts": 5},
        1,
        True,
        0,
    )
    assert found["lines"] == [
        {
            "attempts": 5,
            "rows": 5,
            "first_at": "2024-11-22T00:00:00.005000Z",
            "last_at": "2024-11-22T00:00:00.005004Z",
            "source": "41.0.0.1",
            "country": "ZA",
            "numbers": {"number": 5, "is_exact": True},
            "tool": "scanner",
            "is_proven": False,
        }
    ]


def test_numbers_and_areas_name_the_country_dialled(growing: GrowingSite) -> None:
    for n in range(3):
        growing.journal.refuse(T0_US + 5000 + n, source="41.0.0.1", callee="0046700000001")
    take_in(growing.records)
    (number,) = report(growing, "numbers?source=41.0.0.1")["lines"]
    assert (number["number"], number["country"], number["attempts"]) == ("0046700000001", "SE", 3)
    assert number["sources"] == {"number": 1, "is_exact": True}
    (area,) = report(growing, "areas?source=41.0.0.1")["lines"]
    assert (area["example"], area["country"], area["attempts"]) == ("0046700000001", "SE", 3)
    assert area["area"].startswith("46")


def test_tools_and_reasons_are_ranked(growing: GrowingSite) -> None:
    growing.journal.refuse(T0_US + 5000, source="41.0.0.1", user_agent="scanner")
    take_in(growing.records)
    (tool,) = report(growing, "tools?source=41.0.0.1")["lines"]
    assert (tool["user_agent"], tool["fingerprint"], tool["attempts"]) == ("scanner", "feedfacecafebeef", 1)
    reasons = report(growing, "reasons?source=198.51.100.0/24")["lines"]
    assert {(line["kind"], line["reason"], line["attempts"]) for line in reasons} == {
        ("illegal", "unknown_source", 60),
        ("event", "unknown_source", 60),
    }


@pytest.mark.parametrize("ranking", RANKINGS)
def test_a_ranking_has_so_many_lines_and_takes_the_conditions_of_records(site: Site, ranking: str) -> None:
    found = report(site, f"{ranking}?limit=1")
    assert len(found["lines"]) == 1
    none = report(site, f"{ranking}?kind=illegal&until=2024-11-21")
    assert (none["lines"], none["total"]) == ([], {"rows": 0, "attempts": 0})
    assert report(site, f"{ranking}?limit=0", status=422)["error"]["field"] == "limit"
    assert report(site, f"{ranking}?sauce=1", status=422)["error"]["field"] == "sauce"


@pytest.mark.parametrize("ranking", RANKINGS)
def test_what_strangers_sent_is_text_in_a_report(site: Site, ranking: str) -> None:
    answer = site.client.get(f"reports/{ranking}?source=203.0.113.66", headers=site.bearing())
    assert answer.headers["content-type"] == "application/json"
    assert b"\x1b" not in answer.content
    assert b"\r\n" not in answer.content
    if ranking == "tools":
        assert {line["user_agent"] for line in answer.json()["lines"]} == set(ATTACKS)


def test_a_timeline_has_every_span(site: Site) -> None:
    since = quote("2024-11-21T23:59:58Z")
    found = report(site, f"timeline?since={since}&until={quote('2024-11-22T00:00:02Z')}")
    assert (found["since"], found["bucket_s"]) == ("2024-11-21T23:59:58.000000Z", 1)
    assert {(series["kind"], series["reason"]): series["attempts"] for series in found["series"]} == {
        ("call", ""): [0, 0, 1, 0],
        ("event", "unknown_source"): [0, 0, 60, 0],
        ("illegal", "unknown_source"): [0, 0, 68, 0],
    }
    coarse = report(site, "timeline?since=2024-11-21&until=2024-11-23&points=10")
    assert all(len(series["attempts"]) <= 10 for series in coarse["series"])


@pytest.mark.parametrize(
    "asked",
    ["since=1970-01-01", "until=9999-12-31", "since=9999-12-31", "since=2024-11-23&until=2024-11-22"],
)
def test_a_timeline_of_any_span_is_bounded(site: Site, asked: str) -> None:
    found = report(site, f"timeline?{asked}")
    assert all(len(series["attempts"]) <= 2000 for series in found["series"])


def test_a_heat_map_is_by_the_hours_of_a_zone(site: Site) -> None:
    # 22 November 2024 was a Friday; at midnight UTC it was Thursday 21:00 in Buenos Aires.
    utc = report(site, "heat-map?kind=illegal")
    assert (utc["zone"], utc["attempts"][4][0]) == ("UTC", 68)
    there = report(site, "heat-map?kind=illegal&zone=America/Argentina/Buenos_Aires")
    assert there["attempts"][3][21] == 68
    assert sum(map(sum, there["attempts"])) == 68
    assert [len(day) for day in there["attempts"]] == [24] * 7


@pytest.mark.parametrize("zone", ["", "Mars/Base", "America", "../../etc/passwd", "/etc/passwd", "a%00b"])
def test_what_is_no_time_zone_is_refused(site: Site, zone: str) -> None:
    assert report(site, f"heat-map?zone={zone}", status=422)["error"]["field"] == "zone"


def test_without_a_ledger_a_report_says_so(site: Site) -> None:
    site.ledger.found = None
    assert report(site, "sources", status=503)["error"]["code"] == "starting"
