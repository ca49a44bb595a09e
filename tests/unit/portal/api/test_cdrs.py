# SPDX-License-Identifier: Apache-2.0
"""Call records by HTTP: pages, filters, one record, and VOS3000's own way to ask."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from kit.journal import T0_US
from kit.ledgers import take_in
from ringfence.ledger.schema import COLUMN_NAMES, VOS_COLUMNS

from .conftest import ATTACKS, GrowingSite, Site


def cdrs(site: Site, asked: str = "") -> Any:
    answer = site.client.get(f"cdrs?{asked}", headers=site.bearing("viewer"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_page_has_every_column_newest_first(site: Site) -> None:
    page = cdrs(site, "limit=5")
    assert len(page["cdrs"]) == 5
    assert list(page["cdrs"][0]) == ["id", *COLUMN_NAMES]
    assert page["cdrs"][0]["kind"] == "call"
    assert page["cdrs"][0]["recorded_at"] == "2024-11-22T00:00:00.002000Z"
    assert page["cdrs"][0]["fee"] == "0.000000"
    assert page["cdrs"][1]["fingerprint"] == "feedfacecafebeef"


def test_cursors_lead_through_all_records_once_while_new_ones_arrive(growing: GrowingSite) -> None:
    seen, cursor = [], ""
    for _ in range(100):
        page = cdrs(growing, f"limit=10{cursor}")
        seen += [row["id"] for row in page["cdrs"]]
        growing.journal.refuse(T0_US + 3000 + len(seen))
        take_in(growing.records)
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 129


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("kind=illegal", 68),
        ("kind=event", 60),
        ("kind=event&kind=call", 61),
        ("billing_mode=-9", 68),
        ("source=198.51.100.1", 40),
        ("source=198.51.100.0/24&kind=illegal", 60),
        ("country=NL", 0),
        ("dialled_country=ru", 0),
        ("callee=00007", 1),
        ("callee=0000*", 10),
        ("account=acme", 1),
        ("min_duration_s=61", 1),
        ("reason=unknown_source&kind=call", 0),
        ("since=2024-11-22T00:00:00.001000Z", 9),
        ("until=2024-11-22T00:00:00.001000%2B00:00", 120),
        ("until=2024-11-22T10:00:00.001000+10:00", 120),
        ("since=2024-11-22", 129),
        ("max_duration_s=60&kind=call", 0),
        ("max_duration_s=61&kind=call", 1),
        ("dialled=99", 0),
        ("tool=%3Cscript*", 1),
        ("tool=%7B%7B 7 * 7 %7D%7D", 1),
        ("method=OPTIONS", 60),
        ("gateway=%3Cb%3Ecarrier%3C/b%3E", 1),
        ("gateway_id=4294967295", 0),
        ("caller=%3Cscript%3Ealert(1)%3C/script%3E", 1),
    ],
)
def test_filters_choose_and_count_agrees(site: Site, asked: str, rows: int) -> None:
    assert len(cdrs(site, f"limit=1000&{asked}")["cdrs"]) == rows
    count = site.client.get(f"cdrs/count?{asked}", headers=site.bearing("viewer")).json()
    assert count == {"rows": rows, "attempts": rows}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("kind=x", "kind.0"),
        ("source=1.2.3", "source"),
        ("since=soon", "since"),
        ("until=2024-99-99", "until"),
        ("reason=unknown", "reason"),
        ("cursor=7", "cursor"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("min_duration_s=99999999999999999999", "min_duration_s"),
        ("sauce=1", "sauce"),
        ("since=", "since"),
        ("since=0001-01-01", "since"),
        ("until=1969-12-31", "until"),
        ("source=fe80::1%25eth0", "source"),
        ("dialled=%2B44", "dialled"),
        ("country=XX", "country"),
        ("dialled_country=N", "dialled_country"),
        ("gateway_id=4294967296", "gateway_id"),
        ("max_duration_s=-1", "max_duration_s"),
        ("billing_mode=%00", "billing_mode"),
    ],
)
def test_nonsense_is_refused_and_named(site: Site, asked: str, field: str) -> None:
    answer = site.client.get(f"cdrs?{asked}", headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


def test_what_strangers_sent_comes_back_as_plain_strings(site: Site) -> None:
    answer = site.client.get("cdrs?source=203.0.113.66", headers=site.bearing())
    assert answer.headers["content-type"] == "application/json"
    rows = {row["callerAccessE164"]: row for row in answer.json()["cdrs"]}
    for attack in ATTACKS:
        row = rows[attack]
        assert [row[name] for name in ("calleeAccessE164", "user_agent", "call_id", "raw")] == [attack] * 4
    assert b"\x1b" not in answer.content
    assert b"\r\n" not in answer.content
    found = site.client.get(f"cdrs?caller={quote(ATTACKS[3])}", headers=site.bearing()).json()["cdrs"]
    assert [row["callerAccessE164"] for row in found] == [ATTACKS[3]]


def test_one_record_is_found_by_its_id(site: Site) -> None:
    for row in cdrs(site, "limit=20")["cdrs"]:
        assert site.client.get(f"cdrs/{row['id']}", headers=site.bearing("viewer")).json() == row
    other = row["id"].replace("0123", "4567")
    for none in (other, "x", "1-1-0", "9999999999999999-9999999999999999999-0", "%00"):
        answer = site.client.get(f"cdrs/{none}", headers=site.bearing())
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_without_a_ledger_the_answer_says_so(site: Site) -> None:
    site.ledger.found = None
    answer = site.client.get("cdrs", headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")
    health = site.client.get("health")
    assert (health.status_code, health.json()["ready"]) == (503, False)


def ask_vos(site: Site, **asked: Any) -> Any:
    body = {"beginTime": "20241122", "endTime": "20241122"} | asked
    answer = site.client.post("vos/GetCdr", json=body, headers=site.bearing("viewer"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_get_cdr_answers_in_the_words_of_vos3000(site: Site) -> None:
    answer = ask_vos(site)
    assert answer["retCode"] == 0
    assert len(answer["infoCdrs"]) == 69
    assert list(answer["infoCdrs"][0]) == list(VOS_COLUMNS)
    assert type(answer["infoCdrs"][0]["fee"]) is float
    illegal = ask_vos(site, billingMode=-9)["infoCdrs"]
    assert {row["endReason"] for row in illegal} == {-9}
    assert len(illegal) == 68
    assert [row["holdTime"] for row in ask_vos(site, accounts=["acme"])["infoCdrs"]] == [61]
    assert len(ask_vos(site, billingMode=-1)["infoCdrs"]) == 60


def test_get_cdr_takes_days_whole_and_seconds_as_they_are(site: Site) -> None:
    assert ask_vos(site, endTime="20241122000000")["infoCdrs"] == []
    assert len(ask_vos(site, endTime="20241122000001")["infoCdrs"]) == 69
    assert ask_vos(site, beginTime="20241123", endTime="20241123")["infoCdrs"] == []


def test_get_cdr_goes_on_where_it_ended(site: Site) -> None:
    rows, cursor = [], None
    while True:
        answer = ask_vos(site, limit=30, cursor=cursor)
        rows += answer["infoCdrs"]
        cursor = answer["next"]
        if cursor is None:
            break
    assert len({row["flowNo"] for row in rows}) == len(rows) == 69


@pytest.mark.parametrize(
    "time", ["", "2024", "20241301", "20241122246060", "99991231", "00000101", "2024112x"]
)
def test_get_cdr_refuses_what_is_no_time(site: Site, time: str) -> None:
    body = {"beginTime": "20241122", "endTime": time}
    answer = site.client.post("vos/GetCdr", json=body, headers=site.bearing())
    assert answer.json()["error"]["field"] == "endTime", json.dumps(answer.json())
