# SPDX-License-Identifier: Apache-2.0
"""The settings that a drill of calls makes for itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.drill import demo
from ringfence.errors import ConfigError, StoreError
from ringfence.settings.calls_model import GatewayGroup, RoutingGatewayDraft
from ringfence.settings.model import GatewayDraft, GatewayEdit, PhoneDraft
from ringfence.settings.store import SettingsStore

VENDOR = "127.0.0.3:5090"
PASSWORDS = dict.fromkeys(demo.NUMBERS, "a long password")


@pytest.fixture
def store(data_dir: Path) -> Iterator[SettingsStore]:
    with SettingsStore.open_or_create(data_dir) as made:
        yield made


def make(store: SettingsStore) -> int:
    was = demo.present(store)
    return demo.make(
        store, was, vendor_address=was.vendor_address or VENDOR, passwords=PASSWORDS, actor="test"
    )


def names(store: SettingsStore) -> list[str]:
    return [
        *(group.name for group in store.groups.all()),
        *(gateway.name for gateway in store.gateways.all()),
        *(route.name for route in store.routing_gateways.all()),
        *(phone.number for phone in store.phones.all()),
    ]


def test_what_is_made_is_taken_away_and_nothing_else(store: SettingsStore) -> None:
    store.phones.add(PhoneDraft(number="1001", password="a long password"), actor="test")
    assert make(store) == store.version()
    assert names(store) == [
        "drill",
        "drill-customer",
        "drill-vendor",
        "drill-vendor-2",
        "1001",
        *demo.NUMBERS,
    ]
    assert demo.remove(store, actor="test") == store.version()
    assert names(store) == ["1001"]


def test_the_customer_may_use_no_vendor_but_the_drills(store: SettingsStore) -> None:
    make(store)
    assert store.gateways.get("drill-customer").calls.groups == ("drill",)
    assert {route.calls.group for route in store.routing_gateways.all()} == {"drill"}


def test_what_an_earlier_run_left_is_used_again(store: SettingsStore) -> None:
    make(store)
    before = names(store)
    ids = [route.id for route in store.routing_gateways.all()]
    make(store)
    assert names(store) == before
    assert [route.id for route in store.routing_gateways.all()] == ids
    assert demo.present(store).vendor_address == VENDOR


@pytest.mark.parametrize(
    ("occupy", "said"),
    [
        (
            lambda store: store.gateways.add(
                GatewayDraft(name="drill-customer", addresses=("192.0.2.1",)), actor="test"
            ),
            "there is a gateway drill-customer that the drill did not make",
        ),
        (
            lambda store: store.routing_gateways.add(
                RoutingGatewayDraft(name="drill-vendor", address="192.0.2.1"), actor="test"
            ),
            "there is a route drill-vendor that the drill did not make",
        ),
        (
            lambda store: store.groups.add(GatewayGroup(name="drill", remark="ours"), actor="test"),
            "there is a group drill that the drill did not make",
        ),
        (
            lambda store: store.phones.add(
                PhoneDraft(number="7002", password="a long password"), actor="test"
            ),
            "there is a phone 7002 that the drill did not make",
        ),
    ],
)
def test_a_name_that_stands_for_something_else_is_refused_before_anything_is_made(
    store: SettingsStore, occupy: Callable[[SettingsStore], object], said: str
) -> None:
    occupy(store)
    before = names(store)
    with pytest.raises(ConfigError, match=said):
        make(store)
    assert names(store) == before


def test_what_somebody_changed_meanwhile_is_left_alone(store: SettingsStore) -> None:
    make(store)
    store.gateways.edit("drill-customer", GatewayEdit(addresses=("192.0.2.1",)), actor="test")
    before = names(store)
    with pytest.raises((ConfigError, StoreError), match="the drill did not make"):
        demo.remove(store, actor="test")
    assert names(store) == before
