# SPDX-License-Identifier: Apache-2.0
"""What every page has in common: strangers' text is inert, headers forbid, health tells the truth."""

import re
from pathlib import Path

import msgspec
import pytest

from kit.journal import RATE_EXCEEDED, SOURCE_IS_AUTHORISED, T0_US, Journal
from kit.site import Site, site_over
from kit.switch import REFUSED, REGISTERED
from ringfence.control.messages import CallCounts, GatewayLoad, Vendors
from ringfence.errors import StoreError
from ringfence.ledger.query import CdrQuery, Cursor
from ringfence.ledger.schema import COLUMNS
from ringfence.ledger.service import Stats
from ringfence.portal.text import visible
from ringfence.settings.model import GatewayDraft, Role

PAGES = (
    "/",
    "/cdrs",
    "/cdrs?columns=call_id,callerE164",
    "/illegal?range=30d&show=all&whole=1",
    "/firewall",
    "/alarms",
    "/alarms/rules",
    "/gateways",
    "/phones",
    "/parameters",
    "/users",
    "/tokens",
    "/audit",
    "/exports",
    "/account",
)


def attack_place(site: Site) -> str:
    """The page of the record whose every field is an attack."""
    rows = site.ledger.store.page(CdrQuery(), limit=2).rows
    return f"/cdrs/{Cursor.of(rows[1])}"


def test_what_a_stranger_sent_is_shown_and_does_nothing(site: Site) -> None:
    site.log_in()
    for path in (
        "/cdrs",
        attack_place(site),
        "/illegal?since=2024-11-21T00:00:00Z&source=198.51.100.7&whole=1",
    ):
        page = site.get(path)
        assert page.status == 200, page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text or path.startswith("/illegal")
        assert "<script>" not in page.text
        assert "<img" not in page.text
        assert "\u202e" not in page.text
        assert "\\u202e001\\r\\nX: y" in page.text
        assert "n&lt;1&gt;" in page.text
    detail = site.get(attack_place(site)).text
    assert "&lt;script&gt;alert(2)&lt;/script&gt;\\x1b[2J" in detail
    assert "{{ 7 * 7 }}" in detail


@pytest.mark.parametrize("language", ["en", "es", "zh"])
def test_every_page_renders_in_every_language(site: Site, language: str) -> None:
    site.log_in()
    site.client.cookies.set("ringfence_language", language)
    site.client.cookies.set("ringfence_zone", "Asia/Shanghai")
    for path in PAGES:
        page = site.get(path)
        assert page.status == 200, page.text
        assert f'<html lang="{language}"' in page.text
        assert "<style" not in page.text
        assert " style=" not in page.text
        assert " onclick=" not in page.text


def test_every_answer_forbids_what_it_does_not_need(site: Site) -> None:
    for path in ("/", "/static/style.css", "/metrics", "/health/live", "/none", "/api/v1/x"):
        headers = site.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';"), path
        assert headers["x-content-type-options"] == "nosniff"


def test_older_rows_are_a_link_away_and_none_is_shown_twice(site: Site) -> None:
    site.log_in()
    seen = []
    address = "/cdrs?kind=illegal"
    while address:
        text = site.get(address).text
        seen += re.findall(r'data-detail="([^"]+)"', text)
        older = re.search(r'href="([^"]+)" rel="next"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 61


def test_kinds_and_filters_are_links_and_chips_take_them_away(site: Site) -> None:
    site.log_in()
    text = site.get("/cdrs?kind=event&source=198.51.100.1").text
    assert 'href="/cdrs?kind=illegal&amp;source=198.51.100.1"' in text
    assert '<a class="chip" href="/cdrs?kind=event"' in text
    assert ">198.51.100.0<" not in text


@pytest.mark.parametrize(
    ("asked", "english", "spanish"),
    [
        ("kind=event", "event", "evento"),
        ("billing_mode=1", "1: the account of the mapping gateway", "1: la cuenta de la pasarela de mapeo"),
        ("billing_mode=PHONE", "0: the account of the phone", "0: la cuenta del teléfono"),
        ("reason=unknown_source", "Unknown source", "Origen desconocido"),
        ("range=24h", "24 hours", "24 horas"),
        ("pending=1", "yes", "sí"),
        ("min_duration=12000", "12,000 s", "12.000 s"),
        ("since=2024-11-22T00:00:00%2B01:00", "2024-11-21 23:00:00", "2024-11-21 23:00:00"),
        ("callee=00%2A", "00*", "00*"),
        ("reason=no_such", "no_such", "no_such"),
        ("since=soon", "soon", "soon"),
    ],
)
def test_a_chip_says_what_it_asks_for_in_words(site: Site, asked: str, english: str, spanish: str) -> None:
    site.log_in()
    for language, words in (("en", english), ("es", spanish)):
        site.client.cookies.set("ringfence_language", language)
        [chip] = re.findall(r'<a class="chip".*?<b>(.*?)</b>', site.get(f"/cdrs?{asked}").text)
        assert chip == words


def test_a_gateway_that_the_edge_refused_is_named_as_it_is_called_now(tmp_path: Path) -> None:
    journal = Journal()
    for n in (1, 2):
        journal.refuse(T0_US + n, flags=SOURCE_IS_AUTHORISED, gateway_id=n)
    with site_over(journal, tmp_path) as site:
        site.log_in()
        made = site.settings.gateways.add(GatewayDraft(name="a<b", addresses=("192.0.2.1",)), actor="t")
        assert made.after is not None
        assert made.after.id == 1
        columns = "columns=callerip,callerGateway"
        text = site.get(f"/cdrs?{columns}").text
        assert f'<a href="/cdrs?{columns.replace(",", "%2C")}&amp;gateway_id=1">a&lt;b</a>' in text
        assert "gateway_id=2" in text
        assert ">#2</a>" in text
        places = re.findall(r'data-detail="([^"]+)"', text)
        assert [">a&lt;b</a>" in site.get(place).text for place in places] == [False, True]
        chip = re.findall(r'<a class="chip".*?<b>(.*?)</b>', site.get("/cdrs?gateway_id=1").text)
        assert chip == ["1: a&lt;b"]


def test_the_overview_calls_no_customer_an_attacker(tmp_path: Path) -> None:
    journal = Journal()
    journal.refuse(T0_US, source="198.51.100.7")
    journal.refuse(T0_US + 1, source="192.0.2.10", flags=SOURCE_IS_AUTHORISED, reason=RATE_EXCEEDED)
    with site_over(journal, tmp_path) as site:
        site.log_in()
        page = site.get("/overview/hour").text
    assert ">198.51.100.7<" in page
    assert ">Unknown source<" in page
    assert "192.0.2.10" not in page
    assert ">Rate exceeded<" not in page


def test_several_kinds_are_asked_for_at_once_on_the_page_in_its_count_links_and_exports(site: Site) -> None:
    site.log_in()
    both = "kind=illegal&kind=event"
    assert site.get(f"/cdrs/count?{both}").text == "121 records"
    text = site.get(f"/cdrs?{both}&reason=unknown_source").text
    assert '<a class="chip" href="/cdrs?kind=event&amp;reason=unknown_source"' in text
    assert '<a class="chip" href="/cdrs?kind=illegal&amp;reason=unknown_source"' in text
    assert '<a class="chip" href="/cdrs?kind=illegal&amp;kind=event"' in text
    assert len(re.findall(r'name="kind" value="\w+" checked', text)) == 2
    assert 'name="query" value="kind=illegal&amp;kind=event&amp;reason=unknown_source"' in text
    older = re.search(r'href="([^"]+)" rel="next"', text)
    assert older is not None
    assert older[1].startswith("/cdrs?kind=illegal&amp;kind=event&amp;")
    site.post("/cdrs/export", query=both, format="csv")
    assert site.jobs.run_next()
    assert "121 / 121" in site.get("/exports").text
    newest = site.ledger.store.page(CdrQuery(), limit=11).rows
    assert (
        f'href="/cdrs?{both.replace("&", "&amp;")}"'
        in site.get(f"/cdrs/new?{both}&above={Cursor.of(newest[10])}").text
    )


def test_countries_filter_records_rankings_counts_and_exports(tmp_path: Path) -> None:
    journal = Journal()
    for n in range(30):
        source = ("193.0.6.139", "8.8.8.8", "198.51.100.7")[n % 3]
        journal.refuse(
            T0_US + n, source=source, callee=("0097259572566" if n % 2 else "00442079460000") + "8"
        )
    with site_over(journal, tmp_path) as site:
        site.log_in(Role.VIEWER)
        whole = "/illegal?range=30d&whole=1"
        page = site.get(whole).text
        by_source, by_number = "/illegal?range=30d&amp;whole=1&amp;country=NL", "dialled_country=IL"
        assert f'href="{by_source}">NL</a>' in page
        assert page.count(f'{by_number}">IL</a>') == 2
        page = site.get(f"{whole}&country=NL&dialled_country=IL").text
        assert "193.0.6.139</a>" in page
        assert "8.8.8.8</a>" not in page
        assert "5 attempts of 1 sources" in page
        asked = "country=nl&dialled_country=IL"
        records = site.get(f"/cdrs?{asked}").text
        assert records.count('<tr data-detail="') == 5
        assert 'href="/cdrs?country=NL&amp;dialled_country=IL">NL</a>' in records
        assert '<a class="chip" href="/cdrs?dialled_country=IL"' in records
        assert site.get(f"/cdrs/count?{asked}").text == "5 records"
        site.post("/cdrs/export", query=asked, format="csv")
        assert site.jobs.run_next()
        assert "5 / 5" in site.get("/exports").text
        for path in ("/cdrs", "/illegal"):
            assert "there is no country &#39;XX&#39;" in site.get(f"{path}?country=XX").text


def test_a_filter_that_takes_one_value_is_not_overruled_by_its_last(site: Site) -> None:
    site.log_in()
    page = site.get("/cdrs?source=198.51.100.1&source=198.51.100.2")
    assert page.status == 400
    assert "source is given twice" in page.text


def test_an_export_of_too_many_filters_is_refused_in_words(site: Site) -> None:
    site.log_in()
    page = site.post("/cdrs/export", query="&".join(["kind=illegal"] * 65), format="csv")
    assert page.status == 400
    assert "too many parts" in page.text


@pytest.mark.parametrize("path", ["/cdrs", "/illegal"])
def test_an_address_that_asks_nonsense_is_told_so(site: Site, path: str) -> None:
    site.log_in()
    for asked in ("kind=x", "source=1.2.3", "below=7", "source=%00", "since=yesterday", "x=y"):
        page = site.get(f"{path}?{asked}")
        assert page.status == 400, asked
        assert 'role="alert"' in page.text


def test_a_time_without_a_zone_is_the_viewers_own(site: Site) -> None:
    site.log_in()
    for zone, count in (("UTC", 61), ("America/New_York", 0)):
        site.client.cookies.set("ringfence_zone", zone)
        asked = "kind=illegal&since=2024-11-22T00:00:00&until=2024-11-22T00:00:01"
        assert f">{count} records" in f">{site.get(f'/cdrs/count?{asked}').text}"


def test_the_count_is_exact_and_new_rows_are_told_above_the_list(site: Site) -> None:
    site.log_in()
    assert site.get("/cdrs/count?kind=illegal").text == "61 records"
    rows = site.ledger.store.page(CdrQuery(), limit=11).rows
    assert "10 new" in site.get(f"/cdrs/new?above={Cursor.of(rows[10])}").text
    assert site.get(f"/cdrs/new?above={Cursor.of(rows[0])}").text == ""


def test_a_filter_without_rows_says_so(site: Site) -> None:
    site.log_in()
    assert "No record matches" in site.get("/cdrs?callee=nobody").text


def test_a_record_has_an_address_and_every_field_explained(site: Site) -> None:
    site.log_in()
    text = site.get(attack_place(site)).text
    assert "Refused: " in text
    for column in COLUMNS:
        assert column.name == "raw" or f">{column.name}" in text
    assert site.get("/cdrs/1-1-00").status == 404
    assert site.get("/cdrs/nonsense").status == 400


@pytest.mark.parametrize(
    ("page", "query"),
    [("cdrs", "kind=illegal&kind=event&country=NL"), ("illegal", "range=7d&show=all&dialled_country=IL")],
)
def test_a_view_is_saved_on_its_page_for_its_owner_alone(site: Site, page: str, query: str) -> None:
    site.log_in(Role.VIEWER)
    kept = f'name="query" value="{query.replace("&", "&amp;")}"'
    assert kept in site.get(f"/{page}?{query}").text
    assert site.post(f"/{page}/views", name="mine", query=query).path == f"/{page}"
    saved = f'<a href="/{page}?{query.replace("&", "&amp;")}">mine</a>'
    assert saved in site.get(f"/{page}").text
    other = "illegal" if page == "cdrs" else "cdrs"
    assert ">mine</a>" not in site.get(f"/{other}").text
    [view] = site.settings.views.of("viewer", page)
    site.log_in(Role.ANALYST)
    assert ">mine</a>" not in site.get(f"/{page}").text
    assert site.post(f"/{page}/views/remove", id=str(view.id)).status == 404
    site.log_in(Role.VIEWER)
    site.post(f"/{page}/views/remove", id=str(view.id))
    assert site.settings.views.of("viewer", page) == ()


@pytest.mark.parametrize("form", ["csv", "xlsx", "json", "vos"])
def test_an_export_is_begun_worked_off_and_fetched_by_its_owner_alone(site: Site, form: str) -> None:
    site.log_in(Role.VIEWER)
    assert site.post("/cdrs/export", query="kind=illegal", format=form).path == "/exports"
    assert site.jobs.run_next()
    assert "61 / 61" in site.get("/exports").text
    [address] = re.findall(r'href="(/exports/[^"]+/file)"', site.get("/exports/jobs").text)
    assert len(site.client.get(address).content) > 1000
    site.log_in(Role.ANALYST)
    assert site.get(address).status == 404


def test_without_a_ledger_the_page_says_what_happens(site: Site) -> None:
    site.log_in()
    site.ledger.found = None
    page = site.get("/cdrs")
    assert page.status == 503
    assert "the ledger is starting" in page.text
    assert "the ledger is starting" in site.get("/").text


def test_settings_that_cannot_be_read_are_said_in_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.log_in()

    def fail(_: str) -> None:
        raise StoreError("the settings are locked by another program", hint="close it")

    monkeypatch.setattr(site.settings.sessions, "find", fail)
    page = site.get("/cdrs")
    assert page.status == 503
    assert "the settings are locked by another program" in page.text
    assert "close it" in page.text
    assert "198.51.100.1" not in page.text


def test_a_page_that_is_missing_is_said_so_while_settings_cannot_be_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.log_in()

    def fail(*_: object) -> None:
        raise StoreError("the settings are locked by another program", hint="close it")

    monkeypatch.setattr(site.settings.alarms, "open", fail)
    page = site.get("/cdrs")
    assert (page.status, "the settings are locked by another program" in page.text) == (503, True)
    assert site.get("/nowhere").status == 404
    monkeypatch.setattr(site.settings.sessions, "find", fail)
    page = site.get("/nowhere")
    assert (page.status, "There is no such page" in page.text) == (404, True)
    assert site.client.post("/cdrs").status_code == 405
    answer = site.client.get("/api/v1/gateways")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")


def test_a_late_ledger_is_said_on_every_page_and_makes_the_office_unready(site: Site) -> None:
    site.log_in()
    site.ledger.stats = Stats(lag_s=90.0)
    assert "90 s behind" in site.get("/firewall").text
    answer = site.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the ledger is 90 s behind the journal"]


def test_a_switch_that_does_not_answer_is_said_on_every_page(site: Site) -> None:
    site.log_in()
    site.switch.counted = None
    assert "No switch answers" in site.get("/").text


def test_health_tells_ready_from_live(site: Site) -> None:
    assert site.client.get("/health/ready").json() == {"ready": True, "reasons": [], "notes": []}
    site.ledger.found = None
    site.switch.counted = None
    ready = site.client.get("/health/ready")
    assert (ready.status_code, ready.json()["notes"]) == (503, ["the switch does not answer"])
    assert site.client.get("/health/live").json() == {"status": "live"}


def test_metrics_name_no_stranger(site: Site) -> None:
    text = site.client.get("/metrics").text
    assert 'ringfence_edge_total{counter="read"} 7.0' in text
    assert "ringfence_edge_tcp_connections_open 2.0" in text
    assert "ringfence_ledger_held_frames 122.0" in text
    assert "ringfence_switch_up 1.0" in text
    assert "198.51" not in text


def test_metrics_tell_of_calls_and_gateways(site: Site) -> None:
    load = GatewayLoad(
        id=1,
        name="customer",
        lines=2,
        most_lines=30,
        calls_this_second=1,
        calls_today=10,
        answered_today=6,
        asr_percent=60,
        acd_s=42,
    )
    site.switch.counts = CallCounts(
        run=1,
        at_us=0,
        started=10,
        answered=6,
        live=2,
        talking=1,
        failed={"NotFound": 2, "486": 1},
        gateways=(load,),
        routes=(load,),
        messages_delivered=4,
        messages_failed=3,
    )
    text = site.client.get("/metrics").text
    for line in (
        "ringfence_calls_started_total 10.0",
        "ringfence_calls_answered_total 6.0",
        'ringfence_calls_failed_total{reason="NotFound"} 2.0',
        "ringfence_calls_live 2.0",
        "ringfence_calls_talking 1.0",
        'ringfence_messages_total{result="delivered"} 4.0',
        'ringfence_messages_total{result="failed"} 3.0',
        'ringfence_gateway_lines{gateway="customer"} 2.0',
        'ringfence_route_asr_percent{route="customer"} 60.0',
        'ringfence_route_acd_seconds{route="customer"} 42.0',
    ):
        assert line in text


def test_metrics_tell_which_vendors_are_registered_with_and_healthy(site: Site) -> None:
    asked_only = msgspec.structs.replace(REGISTERED, id=3, name="plain", registration=None)
    refused = msgspec.structs.replace(REFUSED, id=2, name="other")
    site.switch.known_vendors = Vendors(at_us=0, vendors=(REGISTERED, refused, asked_only))
    text = site.client.get("/metrics").text
    for line in (
        'ringfence_route_registered{route="vendor"} 1.0',
        'ringfence_route_registered{route="other"} 0.0',
        'ringfence_route_registration_failures{route="other"} 2.0',
        'ringfence_route_healthy{route="vendor"} 1.0',
        'ringfence_route_healthy{route="other"} 0.0',
        'ringfence_route_healthy{route="plain"} 1.0',
    ):
        assert line in text
    assert 'ringfence_route_registered{route="plain"}' not in text


def test_metrics_go_on_without_a_switch(site: Site) -> None:
    site.switch.counted = None
    text = site.client.get("/metrics").text
    assert "ringfence_switch_up 0.0" in text
    assert "ringfence_ledger_lag_seconds 0.0" in text


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("localhost", 200), ("evil.example", 421), ("", 421)],
)
def test_a_name_that_anyone_may_point_here_is_refused(site: Site, host: str, status: int) -> None:
    assert site.client.get("/health/live", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("text", "seen"), [("a b", "a b"), ("\x1b[2J", "\\x1b[2J"), ("\u2066x", "\\u2066x"), ("é", "é")]
)
def test_only_what_can_be_seen_is_shown_as_it_is(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2024-11-22"), ("America/New_York", "2024-11-21")])
def test_what_is_older_than_a_day_has_its_date_in_the_viewers_zone(site: Site, zone: str, day: str) -> None:
    site.clock.advance(30 * 86_400)
    site.log_in()
    site.client.cookies.set("ringfence_zone", zone)
    assert re.findall(rf">{day} \d\d:00</time>", site.get("/cdrs").text)


def test_a_reason_is_a_short_name_with_its_code_and_the_sentence_beside_it(site: Site) -> None:
    site.log_in()
    [row] = set(re.findall(r'<td class="why".*?</td>', site.get("/cdrs?kind=illegal&callee=00000").text))
    assert 'title="The source is no gateway and no registered phone (-9)"' in row
    assert ">Unknown source</a>" in row
    assert "(-9)</span>" in row
