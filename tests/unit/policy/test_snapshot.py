# SPDX-License-Identifier: Apache-2.0
import msgspec
import pytest

from kit.clock import ManualClock
from ringfence.policy.snapshot import Snapshot, snapshot, snapshot_json
from ringfence.settings.model import BlockDraft, Color, GatewayDraft, ListName, PhoneDraft
from ringfence.settings.parameters import PARAMETERS
from ringfence.settings.store import SettingsStore


@pytest.fixture
def filled(store: SettingsStore) -> SettingsStore:
    store.gateways.add(
        GatewayDraft(name="carrier", addresses=("192.0.2.1", "198.51.100.0/24", "192.0.2.3:5060")), actor="t"
    )
    store.gateways.add(GatewayDraft(name="off", addresses=("192.0.2.9",), enabled=False), actor="t")
    store.gateways.add(GatewayDraft(name="branch", username="b1", password="battery staple"), actor="t")
    store.phones.add(PhoneDraft(number="1001", password="correct horse"), actor="t")
    store.lists.add(BlockDraft(list=ListName.SOURCE, value="203.0.113.0/24", for_s=60), actor="t")
    store.lists.add(BlockDraft(list=ListName.CALLEE, value="00972", color=Color.WHITE), actor="t")
    store.rotate_nonce_key(actor="t")
    return store


def test_document_has_the_shape_that_the_guard_reads(filled: SettingsStore, clock: ManualClock) -> None:
    state = filled.state()
    document = msgspec.json.decode(snapshot_json(state, node="n1", now_us=clock.utc_us()))
    parameters = document.pop("parameters")
    assert document == {
        "version": filled.version(),
        "node": "n1",
        "realm": "ringfence",
        "nonce_keys": [{"id": key.id, "key": key.key} for key in state.nonce_keys],
        "tag_key": state.tag_key,
        "gateways": [
            {
                "id": 1,
                "name": "carrier",
                "addresses": ["192.0.2.1", "198.51.100.0/24", "192.0.2.3:5060"],
                "calls_per_second": 100,
                "burst": 200,
                "in_flight": 1000,
            },
            {
                "id": 3,
                "name": "branch",
                "addresses": [],
                "calls_per_second": 100,
                "burst": 200,
                "in_flight": 1000,
            },
        ],
        "phones": [
            {"number": "1001", "md5": state.phones[0].md5, "sha256": state.phones[0].sha256},
            {
                "number": "b1",
                "md5": state.gateway_secrets[0].md5,
                "sha256": state.gateway_secrets[0].sha256,
                "gateway": 3,
            },
        ],
        "lists": [
            {
                "list": "source",
                "color": "black",
                "value": "203.0.113.0/24",
                "expires_at_us": clock.utc_us() + 60_000_000,
            },
            {"list": "callee", "color": "white", "value": "00972", "expires_at_us": 0},
        ],
    }
    assert set(parameters) == {parameter.name for parameter in PARAMETERS if parameter.for_edge}
    assert parameters["SS_AUTHENTICATION_MAX_RETRY"] == 6


def test_current_nonce_key_is_first(filled: SettingsStore, clock: ManualClock) -> None:
    built = snapshot(filled.state(), node="n1", now_us=clock.utc_us())
    assert [key.id for key in built.nonce_keys] == [2, 1]


def test_expired_entries_are_left_out(filled: SettingsStore, clock: ManualClock) -> None:
    built = snapshot(filled.state(), node="n1", now_us=clock.utc_us() + 60_000_000)
    assert [entry.value for entry in built.lists] == ["00972"]


def test_parameters_that_only_the_office_reads_are_left_out(store: SettingsStore) -> None:
    built = snapshot(store.state(), node="n1", now_us=0)
    assert "RF_RETENTION_CALL_DAYS" not in built.parameters
    assert built.parameters["SERVER_BILLING_RECORD_ILLEGAL_CALL"] == 1


def test_document_survives_its_own_encoding(filled: SettingsStore) -> None:
    built = snapshot(filled.state(), node="n1", now_us=0)
    assert msgspec.json.decode(snapshot_json(filled.state(), node="n1", now_us=0), type=Snapshot) == built
