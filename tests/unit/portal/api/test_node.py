# SPDX-License-Identifier: Apache-2.0
"""Switch, books, counters, registrations as the API tells of them."""

import pytest

from ringfence.ledger.service import Stats

from .conftest import Site


def test_the_node_tells_of_itself(site: Site) -> None:
    status = site.client.get("status", headers=site.bearing("viewer")).json()
    assert (status["node"], status["switch"]["pid"], status["settings_version"]) == ("n1", 7, 4)
    books = site.client.get("books", headers=site.bearing("viewer")).json()
    assert (books["read"], books["difference"]) == (21, 0)
    counters = site.client.get("counters", headers=site.bearing("viewer")).json()
    assert counters == {"counters": {"read": 21, "recorded": 2}}


def test_a_phone_s_own_words_come_back_as_strings(site: Site) -> None:
    answer = site.client.get("registrations?limit=1", headers=site.bearing("viewer"))
    assert (answer.json()["total"], len(answer.json()["registrations"])) == (2, 1)
    assert answer.json()["registrations"][0]["user_agent"] == "\x1b[31mphone"
    assert answer.json()["registrations"][0]["since"] == "1970-01-01T00:00:00.000004Z"
    assert b"\x1b" not in answer.content


@pytest.mark.parametrize("path", ["books", "counters", "registrations"])
def test_without_a_switch_the_answer_says_so(site: Site, path: str) -> None:
    site.switch.runs = False
    answer = site.client.get(path, headers=site.bearing("viewer"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_switch")
    assert site.client.get("status", headers=site.bearing("viewer")).json()["switch"] is None
    assert site.client.get("health").json()["notes"] == ["the switch does not answer"]


def test_a_late_ledger_is_not_healthy(site: Site) -> None:
    site.ledger.stats = Stats(lag_s=90.0)
    health = site.client.get("health")
    assert (health.status_code, health.json()["reasons"]) == (503, ["the ledger is 90 s behind the journal"])
