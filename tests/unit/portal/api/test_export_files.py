# SPDX-License-Identifier: Apache-2.0
"""Exports by HTTP: started, watched, fetched, cancelled, removed; each by who asked for it."""

import csv
import io
import json
from typing import Any

import pytest

from ringfence.ledger.schema import COLUMN_NAMES

from .conftest import ATTACKS, Site


def call(
    site: Site, method: str, path: str, body: Any = None, *, status: int = 200, role: str = "viewer"
) -> Any:
    answer = site.client.request(method, path, json=body, headers=site.bearing(role))
    assert answer.status_code == status, answer.text
    return answer.json()


def started(site: Site, role: str = "viewer", **body: Any) -> Any:
    return call(site, "POST", "exports", {"format": "csv"} | body, status=202, role=role)


def test_an_export_is_started_watched_and_fetched(site: Site) -> None:
    asked: dict[str, Any] = {
        "filter": {"kind": ["illegal"], "source": "198.51.100.0/24"},
        "columns": ["callerip", "kind"],
    }
    job = started(site, **asked)
    assert (job["state"], job["rows_total"], job["owner"]) == ("queued", None, "token:a-viewer")
    early = call(site, "GET", f"exports/{job['id']}/file", status=409)["error"]
    assert (early["code"], early["hint"]) == ("export_not_done", "wait until it is done")
    assert site.jobs.run_next()
    done = call(site, "GET", f"exports/{job['id']}")
    assert (done["state"], done["rows_done"], done["rows_total"]) == ("done", 60, 60)
    assert done["expires_at"] == "2024-11-23T00:00:20.000000Z"
    answer = site.client.get(f"exports/{job['id']}/file", headers=site.bearing("viewer"))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{done["file_name"]}"'
    assert len(answer.content) == done["size_bytes"]
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert rows[0] == ["callerip", "kind"]
    assert {row[1] for row in rows[1:]} == {"illegal"}
    assert len(rows) == 61


@pytest.mark.parametrize("form", ["json", "jsonl", "xlsx", "parquet", "vos", "vos-hourly"])
def test_every_format_can_be_fetched(site: Site, form: str) -> None:
    job = started(site, format=form)
    assert site.jobs.run_next()
    answer = site.client.get(f"exports/{job['id']}/file", headers=site.bearing("viewer"))
    assert answer.status_code == 200
    documented = site.client.get("openapi.json").json()["paths"]["/exports/{export_id}/file"]["get"]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in documented["responses"]["200"]["content"]


def test_without_a_filter_all_records_are_written_with_every_column(site: Site) -> None:
    job = started(site, format="json")
    assert job["columns"] == list(COLUMN_NAMES)
    assert site.jobs.run_next()
    rows = site.client.get(f"exports/{job['id']}/file", headers=site.bearing("viewer")).json()
    assert len(rows) == 129
    assert ATTACKS[0] in json.dumps(rows)


def test_an_export_is_cancelled_and_removed(site: Site) -> None:
    job = started(site)
    address = f"exports/{job['id']}"
    assert call(site, "DELETE", address, status=409)["error"]["code"] == "export_not_over"
    assert call(site, "POST", f"{address}/cancel")["state"] == "cancelled"
    assert call(site, "POST", f"{address}/cancel")["state"] == "cancelled"
    gone = call(site, "GET", f"{address}/file", status=409)["error"]
    assert (gone["code"], gone["hint"]) == ("export_not_done", "start it again")
    assert call(site, "DELETE", address)["id"] == job["id"]
    assert call(site, "GET", "exports")["exports"] == []
    assert call(site, "GET", address, status=404)["error"]["code"] == "not_found"


def test_an_export_is_for_who_asked_for_it_and_for_admins(site: Site) -> None:
    job = started(site, role="analyst")
    address = f"exports/{job['id']}"
    assert call(site, "GET", "exports")["exports"] == []
    for method, path in (
        ("GET", address),
        ("GET", f"{address}/file"),
        ("POST", f"{address}/cancel"),
        ("DELETE", address),
    ):
        call(site, method, path, status=404)
    assert [each["id"] for each in call(site, "GET", "exports", role="admin")["exports"]] == [job["id"]]
    assert call(site, "GET", address, role="analyst")["state"] == "queued"


def test_a_caller_has_three_exports_waiting_at_most(site: Site) -> None:
    for _ in range(3):
        started(site)
    refused = call(site, "POST", "exports", {"format": "csv"}, status=429)["error"]
    assert refused["code"] == "exports_busy"
    started(site, role="admin")


def test_a_repeated_start_begins_one_export(site: Site) -> None:
    headers = site.bearing("viewer") | {"idempotency-key": "k"}
    first, second = (
        site.client.post("exports", json={"format": "csv"}, headers=headers).json() for _ in range(2)
    )
    assert first == second
    assert len(call(site, "GET", "exports")["exports"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"format": "exe"}, "format"),
        ({}, "format"),
        ({"format": "csv", "filter": {"sauce": "1"}}, "filter.sauce"),
        ({"format": "csv", "filter": {"billing_mode": "-9"}}, "filter.billing_mode"),
        ({"format": "csv", "filter": {"since": "soon"}}, "since"),
        ({"format": "csv", "columns": ["kind"] * 1000}, "columns"),
        ({"format": "csv", "path": "/etc"}, "path"),
    ],
    ids=str,
)
def test_an_export_that_cannot_be_is_refused_and_the_fault_named(
    site: Site, body: dict[str, Any], field: str
) -> None:
    assert call(site, "POST", "exports", body, status=422)["error"]["field"] == field
    assert call(site, "GET", "exports")["exports"] == []


@pytest.mark.parametrize("columns", [["no_such"], ["kind", "kind"]])
def test_columns_that_cannot_be_are_refused(site: Site, columns: list[str]) -> None:
    body = {"format": "csv", "columns": columns}
    assert call(site, "POST", "exports", body, status=422)["error"]["code"] == "bad_value"


@pytest.mark.parametrize("export_id", ["..", "%2e%2e", "x" * 32, "A" * 32, "0" * 31])
def test_an_id_that_can_be_none_reaches_no_file(site: Site, export_id: str) -> None:
    answer = site.client.get(f"exports/{export_id}/file", headers=site.bearing())
    assert answer.status_code in {404, 422}
