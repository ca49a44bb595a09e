# SPDX-License-Identifier: Apache-2.0
"""Alarms of a running node: strangers call, people and programs are told once, and told when it is over."""

import json
from collections.abc import Iterator

import pytest

from kit.node import Node
from kit.receivers import http_receiver, mail_receiver
from kit.sip import Peer, Request
from kit.waiting import eventually
from ringfence.settings.alarms_model import (
    CPU,
    DISK,
    ILLEGAL_CALL,
    MEMORY,
    PROCESS_EXIT,
    AlarmRuleEdit,
    ChannelDraft,
    HookEvent,
    WebhookDraft,
)
from ringfence.settings.store import SettingsStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def settings(node: Node) -> Iterator[SettingsStore]:
    """Settings in which the machine that the tests run on is not watched."""
    with SettingsStore.open_or_create(node.data_dir) as opened:
        for code in (CPU, MEMORY, DISK):
            opened.alarms.set_rule(code, AlarmRuleEdit(enabled=False), actor="t")
        yield opened


def call(node_address: tuple[str, int], times: int) -> None:
    with Peer(node_address) as peer:
        for _ in range(times):
            peer.ask(Request())


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "not recorded"])
def test_strangers_calls_raise_one_alarm_told_once_to_each(
    node: Node, settings: SettingsStore, *, is_recorded: bool
) -> None:
    settings.parameters.set("SERVER_BILLING_RECORD_ILLEGAL_CALL", int(is_recorded), actor="t")
    with http_receiver() as web, mail_receiver() as mail:
        url = f"mailto://127.0.0.1:{mail.port}?from=a@example.com&to=b@example.com&mode=insecure"
        settings.channels.add(ChannelDraft(name="NOC", url=url), actor="t")
        settings.webhooks.add(
            WebhookDraft(name="crm", url=f"http://{web.address}/", events=(HookEvent.ALARM,)), actor="t"
        )
        switch, office = node.switch(), node.office()
        call(switch.address("udp"), 3)
        eventually(lambda: web.requests and mail.mails, within_s=60)
        call(switch.address("udp"), 3)
        [alarm] = settings.alarms.open()
        assert alarm.code == ILLEGAL_CALL
        eventually(lambda: settings.alarms.get(alarm.id).value == 6, within_s=60)
        assert (len(web.requests), len(mail.mails)) == (1, 1)
        told = json.loads(web.requests[0].body)
        assert (told["action"], told["alarm"]["id"]) == ("opened", alarm.id)
        assert told["alarm"]["alarms"] == f"{office.ready.portal}/alarms"
        assert mail.mails[0]["Subject"].endswith("Illegal calls, minor")
        assert office.stop() == 0


def test_a_switch_that_is_killed_raises_an_alarm(node: Node, settings: SettingsStore) -> None:
    switch, office = node.switch(), node.office()
    call(switch.address("udp"), 1)
    # By then the office has seen that there is a switch.
    eventually(settings.alarms.open, within_s=60)
    switch.kill()
    exits = eventually(lambda: settings.alarms.history(code=PROCESS_EXIT), within_s=60)
    assert [(alarm.subject, alarm.is_open) for alarm in exits] == [("switch", True)]
    assert office.stop() == 0


@pytest.mark.slow
def test_the_alarm_is_over_a_minute_after_the_last_call(node: Node, settings: SettingsStore) -> None:
    with http_receiver() as web:
        settings.webhooks.add(
            WebhookDraft(name="crm", url=f"http://{web.address}/", events=(HookEvent.ALARM,)), actor="t"
        )
        switch, office = node.switch(), node.office()
        call(switch.address("udp"), 1)
        eventually(lambda: len(web.requests) == 2, within_s=150)
        assert [json.loads(each.body)["action"] for each in web.requests] == ["opened", "cleared"]
        assert settings.alarms.open() == ()
        assert office.stop() == 0
