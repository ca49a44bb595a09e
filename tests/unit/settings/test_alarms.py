# SPDX-License-Identifier: Apache-2.0
"""Rules, incidents, channels, webhooks: what is kept, what is audited, what is never shown."""

import sqlite3
from pathlib import Path

import pytest

from kit.clock import ManualClock
from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import AlarmId, ChannelId, WebhookId
from ringfence.settings.alarms_model import (
    ALARM_KIND_BY_CODE,
    ALARM_KINDS,
    CPU,
    DISK,
    ILLEGAL_CALL,
    Alarm,
    AlarmDraft,
    AlarmRuleEdit,
    ChannelDraft,
    ChannelEdit,
    HookEvent,
    Level,
    WebhookDraft,
    WebhookEdit,
)
from ringfence.settings.objects import alarms
from ringfence.settings.store import SettingsStore
from ringfence.text import Sentence, sentence

MAIL = "mailto://noc:geheim7@mail.example.com?to=night@example.com"
HOOK = "https://hooks.example.com:8443/in/T0KEN?key=geheim7"


TOLD = (sentence("{count} calls.", count=3), sentence("By {who}.", who=sentence("nobody")))


def an_alarm(store: SettingsStore, code: int = ILLEGAL_CALL, subject: str = "", node: str = "n1") -> Alarm:
    draft = AlarmDraft(
        node=node,
        code=code,
        level=Level.MINOR,
        subject=subject,
        value=3,
        told=TOLD,
        link="/cdrs",
    )
    begun = store.alarms.begin(draft)
    assert begun is not None
    return begun


def told(store: SettingsStore) -> str:
    """Everything that the audit says."""
    return repr(store.audit(limit=1000))


# Rules


def test_shipped_rules_carry_the_numbers_of_vos3000_and_bounds_that_fit(store: SettingsStore) -> None:
    rules = store.alarms.rules()
    assert sorted(rule.code for rule in rules) == [20003, 20004, 20005, 20006, 20018, 20020]
    assert [rule.code for rule in rules] == [kind.code for kind in ALARM_KINDS]
    for rule in rules:
        assert 0 <= rule.lower < rule.upper <= rule.kind.most
        assert rule.enabled
        assert not rule.is_set
    assert [level.number for level in Level] == [0, 1, 2, 3]
    assert Level.CRITICAL.reaches(Level.MAJOR)
    assert not Level.GENERAL.reaches(Level.MINOR)


def test_a_changed_rule_is_kept_audited_and_given_back_its_default(
    store: SettingsStore, data_dir: Path
) -> None:
    change = store.alarms.set_rule(
        CPU, AlarmRuleEdit(upper=70, lower=50, level=Level.CRITICAL), actor="user:ann"
    )
    assert change.changed
    assert change.version == store.version() == 2
    assert change.after == store.alarms.rule(CPU)
    with SettingsStore.open_read_only(data_dir) as other:
        rule = other.alarms.rule(CPU)
    assert (rule.upper, rule.lower, rule.level, rule.enabled, rule.is_set) == (
        70,
        50,
        Level.CRITICAL,
        True,
        True,
    )
    assert not store.alarms.set_rule(CPU, AlarmRuleEdit(upper=70), actor="t").changed
    back = store.alarms.reset_rule(CPU, actor="user:ann")
    assert back.after is not None
    assert (back.after.upper, back.after.is_set) == (ALARM_KIND_BY_CODE[CPU].upper, False)
    assert not store.alarms.reset_rule(CPU, actor="user:ann").changed
    rows = store.audit(kind="alarm_rule", name=str(CPU))
    assert [(row.action, row.actor) for row in rows] == [("reset", "user:ann"), ("set", "user:ann")]
    assert rows[1].before is not None
    assert '"upper":90' in rows[1].before
    assert rows[1].after is not None
    assert '"upper":70' in rows[1].after


@pytest.mark.parametrize(("lower", "upper"), [(90, 90), (91, 90), (-1, 90), (0, 101), (0, 0)], ids=str)
def test_bounds_that_do_not_fit_are_refused_and_change_nothing(
    store: SettingsStore, lower: int, upper: int
) -> None:
    with pytest.raises(ConfigError) as caught:
        store.alarms.set_rule(CPU, AlarmRuleEdit(lower=lower, upper=upper), actor="t")
    assert caught.value.code == "out_of_range"
    assert store.version() == 1
    assert not store.alarms.rule(CPU).is_set


def test_a_rule_that_does_not_exist_is_not_found(store: SettingsStore) -> None:
    with pytest.raises(NotFoundError, match="20008") as caught:
        store.alarms.rule(20008)
    assert "20020 Illegal calls" in (caught.value.hint or "")
    with pytest.raises(NotFoundError):
        store.alarms.reset_rule(1, actor="t")


# Incidents


def test_an_incident_opens_once_rises_and_clears_without_changing_the_settings(
    store: SettingsStore, clock: ManualClock
) -> None:
    begun = an_alarm(store)
    assert begun.is_open
    draft = AlarmDraft(node="n1", code=begun.code, level=Level.MINOR, subject="", value=9, told=(), link="")
    assert store.alarms.begin(draft) is None
    other = an_alarm(store, subject="other")
    clock.advance(5)
    risen = store.alarms.rise(begun.id, 12)
    assert risen is not None
    assert (risen.value, risen.changed_at_us - risen.opened_at_us) == (12, 5_000_000)
    assert [alarm.id for alarm in store.alarms.open()] == [other.id, begun.id]
    cleared = store.alarms.clear(begun.id)
    assert cleared is not None
    assert cleared.cleared_at_us == clock.utc_us()
    assert store.alarms.clear(begun.id) is None
    assert store.alarms.rise(begun.id, 99) is None
    assert [alarm.id for alarm in store.alarms.open()] == [other.id]
    assert store.alarms.begin(draft) is not None
    assert store.version() == 1
    assert store.audit() == ()


def test_an_incident_says_its_sentences_as_they_were_and_in_english(store: SettingsStore) -> None:
    found = store.alarms.get(an_alarm(store).id)
    assert found.message == "3 calls. By nobody."
    assert [told.packed() for told in found.told] == [told.packed() for told in TOLD]
    who = found.told[1].values["who"]
    assert isinstance(who, Sentence)
    assert who.template == "nobody"


def test_nodes_on_one_store_open_and_look_after_incidents_of_their_own(store: SettingsStore) -> None:
    one, two = an_alarm(store, CPU, node="n1"), an_alarm(store, CPU, node="n2")
    assert [alarm.id for alarm in store.alarms.open()] == [two.id, one.id]
    assert [alarm.id for alarm in store.alarms.open(node="n1")] == [one.id]
    store.alarms.clear(one.id)
    assert [alarm.node for alarm in store.alarms.open()] == ["n2"]


def test_an_incident_of_an_older_store_has_its_message_and_is_looked_after_by_every_node(
    store: SettingsStore, data_dir: Path
) -> None:
    begun = an_alarm(store, CPU)
    with sqlite3.connect(data_dir / "settings.db") as connection:
        connection.execute("UPDATE alarm SET node = NULL, told = NULL, message = '{x} 3 calls'")
    connection.close()
    [found] = store.alarms.open(node="n2")
    assert (found.id, found.node, found.message) == (begun.id, None, "{x} 3 calls")
    assert (
        store.alarms.begin(
            AlarmDraft(node="n2", code=CPU, level=Level.MINOR, subject="", value=9, told=(), link="")
        )
        is None
    )


def test_history_pages_newest_first_and_filters(store: SettingsStore) -> None:
    ids = [an_alarm(store, DISK if n % 2 else CPU, subject=str(n)).id for n in range(5)]
    first = store.alarms.history(limit=2)
    assert [alarm.id for alarm in first] == ids[:2:-1]
    rest = store.alarms.history(limit=10, below=first[-1].id)
    assert [alarm.id for alarm in rest] == ids[2::-1]
    assert [alarm.id for alarm in store.alarms.history(code=DISK)] == [ids[3], ids[1]]
    assert store.alarms.history(level=Level.CRITICAL) == ()


def test_acknowledging_says_who_when_and_why_and_is_audited(store: SettingsStore, clock: ManualClock) -> None:
    alarm = an_alarm(store)
    clock.advance(60)
    change = store.alarms.acknowledge(alarm.id, note=" our own drill ", actor="user:ann")
    assert change.after == store.alarms.get(alarm.id)
    assert change.after is not None
    assert (change.after.acknowledged_by, change.after.note) == ("user:ann", "our own drill")
    assert change.after.acknowledged_at_us == clock.utc_us()
    assert change.after.is_open
    assert not store.alarms.acknowledge(alarm.id, note="our own drill", actor="user:ann").changed
    later = store.alarms.acknowledge(alarm.id, note="a customer", actor="user:bob")
    assert later.after is not None
    assert later.after.note == "a customer"
    assert [row.actor for row in store.audit(kind="alarm", name=str(alarm.id))] == ["user:bob", "user:ann"]


def test_a_note_is_one_bounded_line_and_an_unknown_alarm_is_not_found(store: SettingsStore) -> None:
    alarm = an_alarm(store)
    for note in ("two\nlines", "x" * 201, "turned \u202e round"):
        with pytest.raises(ConfigError):
            store.alarms.acknowledge(alarm.id, note=note, actor="t")
    with pytest.raises(NotFoundError):
        store.alarms.acknowledge(AlarmId(99), actor="t")
    assert store.alarms.get(alarm.id).acknowledged_by is None


def test_incidents_that_are_over_are_kept_up_to_a_limit_and_open_ones_always(
    store: SettingsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms, "KEPT", 3)
    lasting = an_alarm(store, subject="lasting")
    over = [an_alarm(store, subject=str(n)) for n in range(6)]
    for alarm in over:
        store.alarms.clear(alarm.id)
    assert [alarm.id for alarm in store.alarms.history()] == [
        *(alarm.id for alarm in reversed(over[-3:])),
        lasting.id,
    ]


# Channels


def test_a_channel_is_kept_and_its_address_shown_and_audited_masked(store: SettingsStore) -> None:
    change = store.channels.add(ChannelDraft(name="NOC", url=MAIL, least_level=Level.MAJOR), actor="user:ann")
    channel = change.after
    assert channel is not None
    assert channel.address == "mailto://***"
    assert store.channels.all() == (channel,)
    assert store.channels.address(channel.id).url == MAIL
    store.channels.edit(channel.id, ChannelEdit(url="json://127.0.0.1/geheim7"), actor="t")
    edited = store.channels.edit(
        channel.id, ChannelEdit(name="Ops", enabled=False, least_level=Level.MINOR), actor="t"
    ).after
    assert edited is not None
    assert (edited.name, edited.address, edited.enabled, edited.least_level) == (
        "Ops",
        "json://***",
        False,
        Level.MINOR,
    )
    store.channels.remove(channel.id, actor="t")
    assert store.channels.all() == ()
    assert [row.action for row in store.audit(kind="channel")] == ["remove", "set", "set_url", "add"]
    assert store.version() == 5
    assert "geheim7" not in told(store)


def test_no_secret_is_in_a_representation(store: SettingsStore) -> None:
    draft = ChannelDraft(name="NOC", url=MAIL)
    hook = WebhookDraft(name="crm", url=HOOK, events=(HookEvent.ALARM,))
    channel = store.channels.add(draft, actor="t").after
    made = store.webhooks.add(hook, actor="t")
    assert channel is not None
    assert made.change.after is not None
    shown = [draft, hook, channel, made, store.channels.addresses(), store.webhooks.targets()]
    shown += [ChannelEdit(url=MAIL), WebhookEdit(url=HOOK), store.webhooks.all(), store.channels.all()]
    for each in shown:
        assert "geheim7" not in repr(each)
        assert "T0KEN" not in repr(each)
        assert made.secret not in repr(each)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "geheim7",
        "nosuchscheme://geheim7",
        "slack://geheim7",
        "json://geheim7/\nX",
        "json://" + "g" * 2048,
    ],
)
def test_an_address_that_apprise_cannot_read_is_refused_without_showing_it(
    store: SettingsStore, url: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        store.channels.add(ChannelDraft(name="x", url=url), actor="t")
    assert caught.value.code == "bad_value"
    assert "geheim7" not in f"{caught.value.message} {caught.value.hint}"
    assert store.version() == 1


def test_names_of_channels_and_webhooks_are_unique_and_unknown_ones_not_found(store: SettingsStore) -> None:
    first = store.channels.add(ChannelDraft(name="a", url=MAIL), actor="t").after
    second = store.channels.add(ChannelDraft(name="b", url=MAIL), actor="t").after
    hook = store.webhooks.add(WebhookDraft(name="a", url=HOOK, events=(HookEvent.ALARM,)), actor="t")
    assert first is not None
    assert second is not None
    for refused in (
        lambda: store.channels.add(ChannelDraft(name="a", url=MAIL), actor="t"),
        lambda: store.channels.edit(second.id, ChannelEdit(name="a"), actor="t"),
        lambda: store.webhooks.add(WebhookDraft(name="a", url=HOOK, events=(HookEvent.ALARM,)), actor="t"),
    ):
        with pytest.raises(ConfigError) as caught:
            refused()
        assert caught.value.code == "duplicate"
    assert hook.change.after is not None
    same = store.webhooks.edit(hook.change.after.id, WebhookEdit(name="a"), actor="t")
    assert not same.changed
    for missing in (
        lambda: store.channels.get(ChannelId(99)),
        lambda: store.webhooks.get(WebhookId(99)),
        lambda: store.webhooks.renew_secret(WebhookId(99), actor="t"),
    ):
        with pytest.raises(NotFoundError):
            missing()


# Webhooks


def test_a_webhook_has_a_secret_of_its_own_that_is_shown_once(store: SettingsStore) -> None:
    made = store.webhooks.add(
        WebhookDraft(name="crm", url=HOOK, events=(HookEvent.ALARM, HookEvent.CDR_ILLEGAL)), actor="t"
    )
    webhook = made.change.after
    assert webhook is not None
    assert webhook.address == "https://hooks.example.com:8443/***"
    assert webhook.events == (HookEvent.CDR_ILLEGAL, HookEvent.ALARM)
    assert len(bytes.fromhex(made.secret)) == 32
    assert store.webhooks.target(webhook.id).secret == made.secret
    assert store.webhooks.target(webhook.id).url == HOOK
    renewed = store.webhooks.renew_secret(webhook.id, actor="t")
    assert renewed.secret != made.secret
    assert store.webhooks.target(webhook.id).secret == renewed.secret
    assert store.version() == 3
    store.webhooks.edit(
        webhook.id, WebhookEdit(events=(HookEvent.CDR_CALL,), url="http://127.0.0.1:8000"), actor="t"
    )
    edited = store.webhooks.get(webhook.id)
    assert (edited.events, edited.address) == ((HookEvent.CDR_CALL,), "http://127.0.0.1:8000/")
    store.webhooks.remove(webhook.id, actor="t")
    assert store.webhooks.all() == ()
    actions = [row.action for row in store.audit(kind="webhook")]
    assert actions == ["remove", "set_url", "renew_secret", "add"]
    for secret in (made.secret, renewed.secret, "T0KEN", "geheim7"):
        assert secret not in told(store)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://geheim7/",
        "file:///etc/passwd",
        "https://",
        "https://:443/",
        "https://user:geheim7@host/",
        "https://host:99999/geheim7",
        "http://[::1/geheim7",
        "https://host/#geheim7",
        "https://host/a b",
        "https://host/\r\nX: geheim7",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_plain_http_address_is_refused_as_a_webhook(store: SettingsStore, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        store.webhooks.add(WebhookDraft(name="x", url=url, events=(HookEvent.ALARM,)), actor="t")
    assert caught.value.code == "bad_value"
    assert "geheim7" not in f"{caught.value.message} {caught.value.hint}"


def test_a_webhook_without_events_is_refused(store: SettingsStore) -> None:
    with pytest.raises(ConfigError, match="nothing"):
        store.webhooks.add(WebhookDraft(name="x", url=HOOK, events=()), actor="t")


def test_there_is_a_limit_to_channels_and_webhooks(
    store: SettingsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.settings.objects.channels.MOST", 1)
    monkeypatch.setattr("ringfence.settings.objects.webhooks.MOST", 1)
    store.channels.add(ChannelDraft(name="a", url=MAIL), actor="t")
    store.webhooks.add(WebhookDraft(name="a", url=HOOK, events=(HookEvent.ALARM,)), actor="t")
    with pytest.raises(ConfigError, match="1 channels"):
        store.channels.add(ChannelDraft(name="b", url=MAIL), actor="t")
    with pytest.raises(ConfigError, match="1 webhooks"):
        store.webhooks.add(WebhookDraft(name="b", url=HOOK, events=(HookEvent.ALARM,)), actor="t")
