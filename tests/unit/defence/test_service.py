# SPDX-License-Identifier: Apache-2.0
"""The service: a drill is one alarm, told once to each, and once more when it is over."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from kit.ledgers import ledger_of, take_in
from kit.receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver
from ringfence.control.messages import Status
from ringfence.defence.readings import Machine, Switch
from ringfence.defence.service import LOOK_EVERY_S, AlarmService
from ringfence.errors import NotFoundError, StoreError
from ringfence.ids import ChannelId
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.service import Stats
from ringfence.ledger.store import CdrStore
from ringfence.settings.alarms_model import (
    ILLEGAL_CALL,
    PROCESS_EXIT,
    AlarmRuleEdit,
    ChannelDraft,
    HookEvent,
    Level,
    WebhookDraft,
)
from ringfence.settings.store import SettingsStore

STRANGE = "<b>@everyone</b> [x](http://e.vil) *\x1b[2J\u202e\r\nX: y" + "z" * 65_536


@dataclass(kw_only=True)
class Site:
    """An office's alarms over a small ledger and a switch that says what it is told to."""

    settings: SettingsStore
    journal: Journal
    ledger: Ledger
    clock: ManualClock
    web: HttpReceiver
    mail: MailReceiver
    service: AlarmService = field(init=False)
    is_ledger_up: bool = True
    illegal_calls: int = 0
    run: int | None = 1

    @property
    def store(self) -> CdrStore:
        if not self.is_ledger_up:
            raise StoreError("the ledger is starting")
        return self.ledger.store

    @property
    def stats(self) -> Stats:
        return Stats(progress=self.ledger.progress)

    def counters(self) -> Mapping[str, int] | None:
        return None if self.run is None else {"illegal_calls": self.illegal_calls}

    def status(self) -> Status | None:
        if self.run is None:
            return None
        return Status(
            node="n1",
            pid=1,
            software="x",
            run=self.run,
            started_at_us=0,
            uptime_s=3600.0,
            listeners=(),
            settings_version=1,
            draining=False,
        )

    def drill(self, calls: int, **fields: Any) -> None:
        """Illegal calls come, and the switch counts them."""
        for n in range(calls):
            self.journal.refuse(self.clock.utc_us() + n, source="203.0.113.9", callee="00972555", **fields)
        self.illegal_calls += calls
        take_in(self.ledger)

    def wait(self, seconds: float = LOOK_EVERY_S) -> None:
        """Let time pass, with a look every few seconds and all that follows it."""
        for _ in range(int(seconds / LOOK_EVERY_S)):
            self.clock.advance(LOOK_EVERY_S)
            self.service.step()
            self.service.delivery.step()
            self.service.hooks.step()

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.web.requests]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clock, journal = ManualClock(T0_US), Journal()
    with (
        SettingsStore.open_or_create(tmp_path / "data", clock=clock) as settings,
        ledger_of(journal, tmp_path / "cdr", clock) as ledger,
        http_receiver() as web,
        mail_receiver() as mail,
    ):
        made = Site(settings=settings, journal=journal, ledger=ledger, clock=clock, web=web, mail=mail)
        made.service = a_service(made, tmp_path)
        made.service.step()
        yield made


class Silent:
    """A switch that reads nothing."""

    def counters(self) -> Mapping[str, int] | None:
        return {"illegal_calls": 0}

    def status(self) -> Status | None:
        return None


def a_service(site: Site, tmp_path: Path, *, node: str = "n1", switch: Switch | None = None) -> AlarmService:
    return AlarmService(
        site.settings,
        site,
        switch or site,
        site.clock,
        data_dir=tmp_path,
        node=node,
        portal="http://127.0.0.1:8080/",
        machine=Machine(tmp_path / "none", proc=tmp_path / "none"),
    )


def tell_by_mail(site: Site, least: Level = Level.GENERAL) -> ChannelId:
    url = f"mailto://127.0.0.1:{site.mail.port}?from=ringfence@example.com&to=noc@example.com&mode=insecure"
    channel = site.settings.channels.add(
        ChannelDraft(name="NOC", url=url, least_level=least), actor="t"
    ).after
    assert channel is not None
    return channel.id


def tell_by_webhook(site: Site) -> None:
    draft = WebhookDraft(name="crm", url=f"http://{site.web.address}/in", events=(HookEvent.ALARM,))
    site.settings.webhooks.add(draft, actor="t")


def test_a_drill_is_one_alarm_one_webhook_and_one_mail_and_is_cleared_when_it_is_over(site: Site) -> None:
    tell_by_mail(site)
    tell_by_webhook(site)
    site.wait(60)
    assert site.service.open_alarms() == ()
    for _ in range(6):
        site.drill(10, user_agent="friendly-scanner")
        site.wait(30)
    [alarm] = site.service.open_alarms()
    assert (alarm.code, alarm.level, alarm.value) == (ILLEGAL_CALL, Level.MINOR, 20)
    assert [told["action"] for told in site.posted] == ["opened"]
    [letter] = site.mail.mails
    assert letter["Subject"] == "Ringfence n1: Illegal calls, minor"
    text = letter.get_content()
    assert "10 calls from unauthorised sources were refused within a minute." in text
    assert "The latest came from 203.0.113.9, called 00972555 and named itself friendly-scanner." in text
    link = "http://127.0.0.1:8080/cdrs?kind=illegal&since=20"
    assert link in text
    assert site.posted[0]["alarm"]["link"].startswith(link)
    assert site.posted[0]["alarm"]["level"] == "minor"
    site.wait(25)
    assert len(site.service.open_alarms()) == 1
    site.wait(60)
    assert site.service.open_alarms() == ()
    site.wait(300)
    assert [told["action"] for told in site.posted] == ["opened", "cleared"]
    assert len(site.mail.mails) == 2
    assert site.mail.mails[1]["Subject"] == "Ringfence n1: Illegal calls is over"
    assert "the highest value was 20 calls" in site.mail.mails[1].get_content()
    assert len(site.settings.alarms.history()) == 1
    assert site.settings.version() == 3


def test_an_alarm_needs_no_record_behind_it(site: Site) -> None:
    site.illegal_calls += 3
    site.wait()
    [alarm] = site.service.open_alarms()
    assert alarm.message == "3 calls from unauthorised sources were refused within a minute."


def test_another_node_on_the_same_settings_has_incidents_of_its_own(site: Site, tmp_path: Path) -> None:
    other = a_service(site, tmp_path, node="n2", switch=Silent())
    site.illegal_calls += 30
    site.wait()
    other.step()
    site.clock.advance(600)
    other.step()
    [alarm] = site.service.open_alarms()
    assert (alarm.node, alarm.code) == ("n1", ILLEGAL_CALL)


def test_the_ledger_may_be_away_when_an_alarm_opens(site: Site) -> None:
    site.is_ledger_up = False
    site.illegal_calls += 1
    site.wait()
    assert [alarm.message for alarm in site.service.open_alarms()] == [
        "1 call from unauthorised sources was refused within a minute."
    ]


def test_what_a_stranger_sent_is_inert_and_short_wherever_the_alarm_is_told(site: Site) -> None:
    tell_by_mail(site)
    tell_by_webhook(site)
    site.drill(1, user_agent=STRANGE, caller=STRANGE)
    site.wait()
    [alarm] = site.service.open_alarms()
    told = [
        alarm.message,
        site.mail.mails[0].get_content().splitlines()[0],
        site.posted[0]["alarm"]["message"],
    ]
    for text in told:
        assert text.isprintable()
        assert len(text) < 600
        for active in "<>@[]*":
            assert active not in text
        assert "e.vil" not in text


def test_a_restart_of_the_office_tells_nothing_twice(site: Site, tmp_path: Path) -> None:
    tell_by_webhook(site)
    site.drill(5)
    site.wait()
    site.service = a_service(site, tmp_path)
    site.service.step()
    site.drill(5)
    site.wait(30)
    assert len(site.service.open_alarms()) == 1
    assert [told["action"] for told in site.posted] == ["opened"]
    site.wait(120)
    assert [told["action"] for told in site.posted] == ["opened", "cleared"]


def test_a_channel_hears_only_of_its_levels(site: Site) -> None:
    tell_by_mail(site, Level.CRITICAL)
    site.drill(1)
    site.wait(30)
    assert site.mail.mails == []
    site.run = None
    site.wait(30)
    assert [str(letter["Subject"]) for letter in site.mail.mails] == [
        "Ringfence n1: Process exit (switch), critical"
    ]
    assert {alarm.code for alarm in site.service.open_alarms()} == {ILLEGAL_CALL, PROCESS_EXIT}


def test_a_rule_that_is_switched_off_ends_its_alarm(site: Site) -> None:
    site.drill(1)
    site.wait()
    site.settings.alarms.set_rule(ILLEGAL_CALL, AlarmRuleEdit(enabled=False), actor="t")
    site.wait()
    assert site.service.open_alarms() == ()
    site.drill(1)
    site.wait()
    assert site.service.open_alarms() == ()


def test_an_acknowledgement_is_told_to_programs_once(site: Site) -> None:
    tell_by_webhook(site)
    site.drill(1)
    site.wait()
    [alarm] = site.service.open_alarms()
    for _ in range(2):
        site.service.acknowledge(alarm.id, note="our drill", actor="user:ann")
    site.wait()
    assert [told["action"] for told in site.posted] == ["opened", "acknowledged"]
    assert site.posted[1]["alarm"]["acknowledged_by"] == "user:ann"
    assert site.posted[1]["alarm"]["note"] == "our drill"
    assert site.service.open_alarms()[0].note == "our drill"


def test_tests_of_channels_and_webhooks_say_how_they_went(site: Site) -> None:
    channel_id = tell_by_mail(site)
    tell_by_webhook(site)
    [webhook] = site.settings.webhooks.all()
    assert site.service.last_delivery(channel_id) is None
    assert site.service.send_test(channel_id).is_delivered
    assert site.service.send_test_webhook(webhook.id).is_delivered
    site.web.answers = [(500, {})]
    assert site.service.send_test_webhook(webhook.id).problem == "it answered 500"
    posted = site.service.posted(webhook.id)
    assert [each.outcome.problem for each in posted] == ["it answered 500", None]
    assert site.service.retries(webhook.id) == ()
    with pytest.raises(NotFoundError):
        site.service.send_test(ChannelId(99))


def test_the_latest_values_can_be_seen(site: Site) -> None:
    site.illegal_calls += 4
    site.wait()
    assert {reading.code: reading.value for reading in site.service.readings()}[ILLEGAL_CALL] == 4


def test_it_runs_on_threads_of_its_own_and_stops(site: Site) -> None:
    with http_receiver() as hook:
        draft = WebhookDraft(name="t", url=f"http://{hook.address}/", events=(HookEvent.ALARM,))
        site.settings.webhooks.add(draft, actor="t")
        site.illegal_calls += 1
        site.service.start()
        assert hook.has_come.wait(20)
        site.service.stop()
        assert json.loads(hook.requests[0].body)["alarm"]["code"] == ILLEGAL_CALL
