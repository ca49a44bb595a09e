# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text

from ringfence.errors import ConfigError, NotFoundError, StoreError
from ringfence.ids import RoutingGatewayId
from ringfence.settings import call_checks
from ringfence.settings.calls_model import (
    FailOverRules,
    GatewayCalls,
    GatewayGroup,
    NumberRules,
    Registration,
    RouteCalls,
    RoutePolicy,
    RouteTimeouts,
    RoutingGatewayDraft,
    RoutingGatewayEdit,
)
from ringfence.settings.digest import phone_secret
from ringfence.settings.model import GatewayDraft, GatewayEdit, PhoneDraft
from ringfence.settings.store import SettingsStore

FULL = RouteCalls(
    prefixes=("44", "+44", "a"),
    priority=3,
    group="europe",
    lines=30,
    windows=("mon-fri/08:00-18:00",),
    cost_per_minute=Decimal("0.0125"),
    callee=NumberRules(deny=("4470",), lengths=("9-15",), dial=("00:+",)),
    timeouts=RouteTimeouts(invite_s=4),
    failover=FailOverRules(codes=("500-599",), after_busy=True, follow_redirects=True),
)


def a_route(name: str = "vendor", **fields: Any) -> RoutingGatewayDraft:
    return RoutingGatewayDraft(**({"name": name, "address": "192.0.2.10"} | fields))


def a_dynamic_gateway(name: str = "branch", username: str = "branch1") -> GatewayDraft:
    return GatewayDraft(name=name, username=username, password="correct horse")


@pytest.fixture
def grouped(store: SettingsStore) -> SettingsStore:
    store.groups.add(GatewayGroup(name="europe", remark="by day"), actor="t")
    return store


# Routing gateways


def test_routing_gateway_is_kept_whole(grouped: SettingsStore) -> None:
    made = grouped.routing_gateways.add(a_route(calls=FULL), actor="t").after
    assert made is not None
    assert grouped.routing_gateways.get("vendor") == made
    assert made.calls == FULL
    assert grouped.state().routing_gateways == (made,)


def test_disabled_routing_gateway_is_not_in_the_state(store: SettingsStore) -> None:
    store.routing_gateways.add(a_route(enabled=False), actor="t")
    assert store.state().routing_gateways == ()


def test_id_of_a_removed_routing_gateway_is_not_given_again(store: SettingsStore) -> None:
    store.routing_gateways.add(a_route(), actor="t")
    store.routing_gateways.remove("vendor", actor="t")
    made = store.routing_gateways.add(a_route(), actor="t").after
    assert made is not None
    assert made.id == 2


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:05080", "192.0.2.1:5080"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:DB8::1]:5060", "[2001:db8::1]:5060"),
        ("SIP.Example.COM", "sip.example.com"),
        ("sip.example.com:5061", "sip.example.com:5061"),
    ],
)
def test_address_of_a_vendor_has_one_normal_form(typed: str, normal: str) -> None:
    assert call_checks.route_address(typed) == normal
    assert call_checks.route_address(normal) == normal


@pytest.mark.parametrize(
    "typed",
    ["", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "0.0.0.0", "224.0.0.1", "192.0.2.256", "a_b.ex",
     "sip:ab.ex", "[2001:db8::1", "-x.example", "x..example", "ex ample", "192.0.2.0/24", "fe80::1%eth0"],
)  # fmt: skip
def test_address_that_cannot_be_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError):
        call_checks.route_address(typed)


@pytest.mark.parametrize(
    "draft",
    [
        a_route(address=None),
        a_route(registered_as="branch"),
        a_route(secret="s"),
        a_route(registration=Registration(user="us")),
        a_route(registration=Registration(user="u s"), secret="s"),
        a_route(registration=Registration(user="us", expires_s=19), secret="s"),
        a_route(registration=Registration(user="us"), secret="a\nb"),
        a_route(name=" x"),
        a_route(calls=RouteCalls(group="europe")),
        a_route(calls=RouteCalls(prefixes=("4 4",))),
        a_route(calls=RouteCalls(priority=-1)),
        a_route(calls=RouteCalls(lines=-1)),
        a_route(calls=RouteCalls(cost_per_minute=Decimal("-0.1"))),
        a_route(calls=RouteCalls(cost_per_minute=Decimal("NaN"))),
        a_route(calls=RouteCalls(cost_per_minute=Decimal("0.000000001"))),
        a_route(calls=RouteCalls(timeouts=RouteTimeouts(ringing_s=601))),
        a_route(calls=RouteCalls(options_period_s=4)),
        a_route(calls=RouteCalls(windows=("always",))),
        a_route(calls=RouteCalls(callee=NumberRules(dial=("00",)))),
        a_route(calls=RouteCalls(callee=NumberRules(dial=("00:1", "00:2")))),
        a_route(calls=RouteCalls(callee=NumberRules(lengths=("x",)))),
        a_route(calls=RouteCalls(failover=FailOverRules(codes=("200",)))),
        a_route(calls=RouteCalls(local_address="eth0")),
    ],
)
def test_routing_gateway_that_cannot_be_is_refused(store: SettingsStore, draft: RoutingGatewayDraft) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    with pytest.raises(ConfigError) as caught:
        store.routing_gateways.add(draft, actor="t")
    assert caught.value.code in {"bad_value", "out_of_range"}
    assert store.routing_gateways.all() == ()


def test_unknown_routing_gateway_gets_the_nearest_spelling(store: SettingsStore) -> None:
    store.routing_gateways.add(a_route("vendor-a"), actor="t")
    with pytest.raises(NotFoundError) as caught:
        store.routing_gateways.get("vendr-a")
    assert caught.value.hint == "did you mean vendor-a?"


def test_several_routing_gateways_come_together_or_not_at_all(store: SettingsStore) -> None:
    with pytest.raises(ConfigError, match="routing gateway 'vendor' already"):
        store.routing_gateways.add_all([a_route(), a_route()], actor="t")
    assert store.routing_gateways.all() == ()


def test_routing_gateway_moves_between_an_address_and_a_registration(store: SettingsStore) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    store.routing_gateways.add(a_route(), actor="t")
    edit = RoutingGatewayEdit(registered_as="branch")
    moved = store.routing_gateways.edit("vendor", edit, actor="t").after
    assert moved is not None
    assert (moved.address, moved.registered_as) == (None, "branch")
    edit = RoutingGatewayEdit(address="192.0.2.11")
    back = store.routing_gateways.edit("vendor", edit, actor="t").after
    assert back is not None
    assert (back.address, back.registered_as) == ("192.0.2.11", None)


def test_gateway_that_calls_are_routed_to_keeps_registering(store: SettingsStore) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    store.routing_gateways.add(a_route(address=None, registered_as="branch"), actor="t")
    with pytest.raises(ConfigError, match="'vendor' is where gateway 'branch' registers"):
        store.gateways.remove("branch", actor="t")
    with pytest.raises(ConfigError, match="'vendor' is where gateway 'branch' registers"):
        store.gateways.edit("branch", GatewayEdit(username="", addresses=("192.0.2.1",)), actor="t")
    store.gateways.edit("branch", GatewayEdit(name="office"), actor="t")
    assert store.routing_gateways.get("vendor").registered_as == "office"


def test_calls_are_routed_only_to_gateways_that_register(store: SettingsStore) -> None:
    store.gateways.add(GatewayDraft(name="static", addresses=("192.0.2.1",)), actor="t")
    with pytest.raises(ConfigError, match="does not register"):
        store.routing_gateways.add(a_route(address=None, registered_as="static"), actor="t")
    with pytest.raises(NotFoundError):
        store.routing_gateways.add(a_route(address=None, registered_as="nobody"), actor="t")


def test_audit_keeps_few_of_many_prefixes_and_tells_when_any_changed(store: SettingsStore) -> None:
    prefixes = tuple(str(number) for number in range(1000, 6000))
    store.routing_gateways.add(a_route(calls=RouteCalls(prefixes=prefixes)), actor="t")
    changed = RouteCalls(prefixes=(*prefixes[:-1], "7"))
    store.routing_gateways.edit("vendor", RoutingGatewayEdit(calls=changed), actor="t")
    row = store.audit()[0]
    assert row.before is not None
    assert row.after is not None
    assert "and 4900 more; SHA-256" in row.after
    assert max(len(row.before), len(row.after)) < 4000
    assert row.before != row.after
    assert store.routing_gateways.get("vendor").calls == changed


def test_edit_that_changes_nothing_writes_nothing(store: SettingsStore) -> None:
    store.routing_gateways.add(a_route(), actor="t")
    audit = store.audit()
    edit = RoutingGatewayEdit(address="192.0.2.10", calls=RouteCalls())
    assert not store.routing_gateways.edit("vendor", edit, actor="t").changed
    assert store.audit() == audit


# Secrets


def registered(store: SettingsStore) -> RoutingGatewayId:
    draft = a_route(registration=Registration(user="us"), secret="p4ss of ours")
    made = store.routing_gateways.add(draft, actor="t").after
    assert made is not None
    return made.id


def test_secret_is_encrypted_at_rest_and_read_back(store: SettingsStore, data_dir: Path) -> None:
    gateway_id = registered(store)
    assert store.routing_gateways.secret(gateway_id) == "p4ss of ours"
    for path in data_dir.iterdir():
        assert b"p4ss of ours" not in path.read_bytes()
    assert (data_dir / "settings.key").stat().st_mode & 0o777 == 0o600
    with SettingsStore.open_read_only(data_dir) as reader:
        assert reader.routing_gateways.secret(gateway_id) == "p4ss of ours"


def test_vendor_may_want_a_domain_behind_the_user(store: SettingsStore) -> None:
    registration = Registration(user="us@sip.example.com")
    made = store.routing_gateways.add(a_route(registration=registration, secret="s"), actor="t").after
    assert made is not None
    assert made.registration == registration


def test_secret_is_in_no_audit_row(store: SettingsStore) -> None:
    registered(store)
    store.routing_gateways.edit("vendor", RoutingGatewayEdit(secret="another one"), actor="t")
    written = "".join(f"{row.before}{row.after}" for row in store.audit())
    assert "p4ss" not in written
    assert "another one" not in written
    assert store.audit()[0].action == "set_secret"


def test_secret_stays_while_other_things_change(store: SettingsStore) -> None:
    gateway_id = registered(store)
    store.routing_gateways.edit("vendor", RoutingGatewayEdit(address="192.0.2.99"), actor="t")
    edit = RoutingGatewayEdit(registration=Registration(user="us2", expires_s=60))
    store.routing_gateways.edit("vendor", edit, actor="t")
    assert store.routing_gateways.secret(gateway_id) == "p4ss of ours"


def test_ended_registration_forgets_its_secret(store: SettingsStore) -> None:
    gateway_id = registered(store)
    ended = store.routing_gateways.edit("vendor", RoutingGatewayEdit(unregister=True), actor="t").after
    assert ended is not None
    assert ended.registration is None
    with pytest.raises(NotFoundError, match="no secret to register with"):
        store.routing_gateways.secret(gateway_id)


def test_secret_under_another_key_is_named_and_nothing_else_fails(
    store: SettingsStore, data_dir: Path
) -> None:
    gateway_id = registered(store)
    (data_dir / "settings.key").write_bytes(Fernet.generate_key())
    with pytest.raises(StoreError, match=r"route vendor was encrypted with another key") as caught:
        store.routing_gateways.secret(gateway_id)
    assert caught.value.code == "secret"
    assert len(store.state().routing_gateways) == 1


@pytest.mark.parametrize("content", [None, b"no key"])
def test_missing_or_broken_key_is_named(store: SettingsStore, data_dir: Path, content: bytes | None) -> None:
    gateway_id = registered(store)
    path = data_dir / "settings.key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"settings\.key"):
        store.routing_gateways.secret(gateway_id)


def test_key_is_made_once(store: SettingsStore, data_dir: Path) -> None:
    assert not (data_dir / "settings.key").exists()
    registered(store)
    key = (data_dir / "settings.key").read_bytes()
    edit = RoutingGatewayEdit(secret="another one")
    store.routing_gateways.edit("vendor", edit, actor="t")
    assert (data_dir / "settings.key").read_bytes() == key


# Groups


def test_group_in_use_cannot_be_removed(grouped: SettingsStore) -> None:
    grouped.routing_gateways.add(a_route(calls=RouteCalls(group="europe")), actor="t")
    calls = GatewayCalls(groups=("europe",))
    grouped.gateways.add(GatewayDraft(name="customer", addresses=("192.0.2.1",), calls=calls), actor="t")
    assert grouped.groups.users_of("europe") == ("gateway customer", "route vendor")
    with pytest.raises(ConfigError, match="named by gateway customer, route vendor"):
        grouped.groups.remove("europe", actor="t")
    grouped.routing_gateways.remove("vendor", actor="t")
    grouped.gateways.remove("customer", actor="t")
    grouped.groups.remove("europe", actor="t")
    assert grouped.groups.all() == ()


def test_unknown_group_gets_the_nearest_spelling(grouped: SettingsStore) -> None:
    with pytest.raises(ConfigError) as caught:
        grouped.routing_gateways.add(a_route(calls=RouteCalls(group="erope")), actor="t")
    assert caught.value.hint == "did you mean europe?"
    with pytest.raises(NotFoundError, match="no group 'erope'"):
        grouped.groups.get("erope")


def test_group_cannot_be_made_twice_and_its_remark_changes(grouped: SettingsStore) -> None:
    with pytest.raises(ConfigError, match="group 'europe' already"):
        grouped.groups.add(GatewayGroup(name="europe"), actor="t")
    assert grouped.groups.set_remark("europe", "by night", actor="t").changed
    assert grouped.groups.get("europe") == GatewayGroup(name="europe", remark="by night")
    assert not grouped.groups.set_remark("europe", "by night", actor="t").changed


# Mapping gateways


def test_gateway_that_registers_needs_no_address(store: SettingsStore) -> None:
    made = store.gateways.add(a_dynamic_gateway(), actor="t").after
    assert made is not None
    assert (made.addresses, made.username) == ((), "branch1")
    assert store.state().gateway_secrets == (
        phone_secret(store.state().gateway_secrets[0].number, "ringfence", "correct horse"),
    )


def test_password_of_a_gateway_is_in_no_audit_row(store: SettingsStore) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    store.gateways.edit("branch", GatewayEdit(password="battery staple"), actor="t")
    secret = store.state().gateway_secrets[0]
    written = "".join(f"{row.before}{row.after}" for row in store.audit())
    assert not [text for text in ("horse", "staple", secret.md5, secret.sha256) if text in written]
    assert store.audit()[0].action == "set_password"
    assert secret == phone_secret(secret.number, "ringfence", "battery staple")


def test_gateway_becomes_static_again_and_forgets_its_password(store: SettingsStore) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    edit = GatewayEdit(username="", addresses=("192.0.2.1",))
    changed = store.gateways.edit("branch", edit, actor="t").after
    assert changed is not None
    assert (changed.username, changed.addresses) == (None, ("192.0.2.1",))
    assert store.state().gateway_secrets == ()


@pytest.mark.parametrize(
    "draft",
    [
        GatewayDraft(name="g"),
        GatewayDraft(name="g", username="u"),
        GatewayDraft(name="g", addresses=("192.0.2.1",), password="correct horse"),
        GatewayDraft(name="g", username="a b", password="correct horse"),
        GatewayDraft(name="g", username="a@example.com", password="correct horse"),
        GatewayDraft(name="g", username="u", password="short"),
        GatewayDraft(name="g", addresses=("192.0.2.1",), calls=GatewayCalls(groups=("nowhere",))),
        GatewayDraft(name="g", addresses=("192.0.2.1",), calls=GatewayCalls(second_policy=RoutePolicy.ASR)),
        GatewayDraft(name="g", addresses=("192.0.2.1",), calls=GatewayCalls(failure_codes=("503",))),
        GatewayDraft(
            name="g",
            addresses=("192.0.2.1",),
            calls=GatewayCalls(first_policy=RoutePolicy.ASR, second_policy=RoutePolicy.ASR),
        ),
    ],
)
def test_gateway_that_cannot_be_is_refused(store: SettingsStore, draft: GatewayDraft) -> None:
    with pytest.raises(ConfigError):
        store.gateways.add(draft, actor="t")
    assert store.gateways.all() == ()


def test_user_name_belongs_to_one_gateway_or_phone(store: SettingsStore) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    store.phones.add(PhoneDraft(number="1001", password="correct horse"), actor="t")
    with pytest.raises(ConfigError, match="what gateway 'branch' registers with"):
        store.gateways.add(a_dynamic_gateway("other", "branch1"), actor="t")
    with pytest.raises(ConfigError, match="'1001' is the number of a phone already"):
        store.gateways.add(a_dynamic_gateway("other", "1001"), actor="t")
    with pytest.raises(ConfigError, match="what gateway 'branch' registers with"):
        store.phones.add(PhoneDraft(number="branch1", password="correct horse"), actor="t")


def test_new_user_name_needs_its_password_too(store: SettingsStore) -> None:
    store.gateways.add(a_dynamic_gateway(), actor="t")
    with pytest.raises(ConfigError, match="without a password"):
        store.gateways.edit("branch", GatewayEdit(username="branch2"), actor="t")


def test_rules_of_a_gateway_are_brought_to_their_normal_form(store: SettingsStore) -> None:
    calls = GatewayCalls(
        windows=("Mon-Fri 8:00-18:00", "mon-fri/08:00-18:00"),
        callee=NumberRules(deny=("00", "00"), lengths=("07-15",), dial=(" 00:+ ",)),
        local_address=" ",
    )
    draft = GatewayDraft(name="g", addresses=("192.0.2.1",), calls=calls)
    made = store.gateways.add(draft, actor="t").after
    assert made is not None
    assert made.calls == replace(
        calls,
        windows=("mon-fri/08:00-18:00",),
        callee=NumberRules(deny=("00",), lengths=("7-15",), dial=("00:+",)),
        local_address=None,
    )


def test_gateway_of_older_settings_has_every_default(store: SettingsStore, data_dir: Path) -> None:
    store.gateways.add(GatewayDraft(name="g", addresses=("192.0.2.1",)), actor="t")
    engine = create_engine(f"sqlite:///{data_dir / 'settings.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateway SET calls = '{}'"))
    engine.dispose()
    assert store.gateways.get("g").calls == GatewayCalls()


def test_disabled_phone_stays_a_number_of_ours(store: SettingsStore) -> None:
    store.phones.add(PhoneDraft(number="1001", password="correct horse", enabled=False), actor="t")
    state = store.state()
    assert (state.phones, state.disabled_phones) == ((), ("1001",))
