# SPDX-License-Identifier: Apache-2.0
import hashlib
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.clock import ManualClock
from ringfence.errors import ConfigError, NotFoundError, StoreError
from ringfence.ids import BlockId
from ringfence.settings.model import (
    BlockDraft,
    Color,
    GatewayDraft,
    GatewayEdit,
    ListName,
    PhoneDraft,
    Role,
)
from ringfence.settings.objects.users import _NOBODY, Users
from ringfence.settings.store import SettingsStore


def a_gateway(name: str = "carrier", *addresses: str, enabled: bool = True) -> GatewayDraft:
    return GatewayDraft(name=name, addresses=addresses or ("192.0.2.1",), enabled=enabled)


def a_phone(number: str = "1001", password: str = "correct horse") -> PhoneDraft:
    return PhoneDraft(number=number, password=password)


def a_block(value: str = "203.0.113.5", **fields: Any) -> BlockDraft:
    return BlockDraft(list=fields.pop("list_name", ListName.SOURCE), value=value, **fields)


# Opening


def test_new_store_has_version_one_keys_realm_and_defaults(store: SettingsStore) -> None:
    state = store.state()
    assert state.version == store.version() == 1
    assert state.realm == "ringfence"
    assert [len(bytes.fromhex(key.key)) for key in state.nonce_keys] == [32]
    assert len(bytes.fromhex(state.tag_key)) == 16
    assert state.parameters["SS_AUTHENTICATION_MAX_RETRY"] == 6
    assert not [*state.gateways, *state.phones, *state.blocks]


def test_realm_is_fixed_at_creation(data_dir: Path) -> None:
    SettingsStore.open_or_create(data_dir, realm="pbx.example").close()
    with SettingsStore.open_or_create(data_dir, realm="other.example") as again:
        assert again.state().realm == "pbx.example"


def test_file_and_its_companions_are_private(store: SettingsStore, data_dir: Path) -> None:
    store.gateways.add(a_gateway(), actor="t")
    for path in data_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_open_mode_of_an_existing_file_is_narrowed(data_dir: Path) -> None:
    SettingsStore.open_or_create(data_dir).close()
    (data_dir / "settings.db").chmod(0o644)
    SettingsStore.open_or_create(data_dir).close()
    assert stat.S_IMODE((data_dir / "settings.db").stat().st_mode) == 0o600


def test_what_was_stored_is_there_after_reopening(data_dir: Path) -> None:
    with SettingsStore.open_or_create(data_dir) as first:
        keys = first.state().nonce_keys
        first.gateways.add(a_gateway("carrier", "192.0.2.1", "198.51.100.0/24"), actor="t")
    with SettingsStore.open_or_create(data_dir) as second:
        assert second.gateways.get("carrier").addresses == ("192.0.2.1", "198.51.100.0/24")
        assert second.state().nonce_keys == keys
        assert second.version() == 2


def test_many_openers_at_once_create_one_store(data_dir: Path) -> None:
    def tag_key(_: int) -> str:
        with SettingsStore.open_or_create(data_dir) as opened:
            return opened.state().tag_key

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(tag_key, range(4)))) == 1


def test_read_only_store_sees_changes_and_makes_none(store: SettingsStore, data_dir: Path) -> None:
    with SettingsStore.open_read_only(data_dir) as reader:
        store.parameters.set("RF_ROAMING", 1, actor="t")
        assert reader.state().parameters["RF_ROAMING"] == 1
        with pytest.raises(StoreError, match="opened for reading only"):
            reader.parameters.set("RF_ROAMING", 0, actor="t")
    assert store.parameters.get("RF_ROAMING").value == 1


def test_reading_settings_that_are_not_there_says_where_they_were_sought(data_dir: Path) -> None:
    with pytest.raises(StoreError, match=str(data_dir)) as caught:
        SettingsStore.open_read_only(data_dir)
    assert caught.value.hint is not None
    assert not data_dir.exists()


def test_locked_file_gives_one_clear_error(store: SettingsStore, data_dir: Path) -> None:
    holder = sqlite3.connect(data_dir / "settings.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with SettingsStore.open_or_create(data_dir, busy_timeout_s=0) as second:
        assert second.version() == 1  # a write-ahead log lets readers go on
        with pytest.raises(StoreError) as caught:
            second.parameters.set("RF_ROAMING", 1, actor="t")
    holder.close()
    assert caught.value.message == f"the settings are locked by another program: {data_dir / 'settings.db'}"
    assert "close whatever holds the file" in (caught.value.hint or "")


def test_file_that_holds_something_else_gives_one_clear_error(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "settings.db").write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StoreError, match=r"holds no settings, or it is damaged: .*settings\.db"):
        SettingsStore.open_or_create(data_dir)


def test_directory_that_is_a_file_gives_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        SettingsStore.open_or_create(tmp_path / "data")


def test_path_that_sqlite_cannot_open_gives_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "settings.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        SettingsStore.open_read_only(tmp_path)


def test_settings_of_a_newer_version_are_left_alone(data_dir: Path) -> None:
    SettingsStore.open_or_create(data_dir).close()
    with sqlite3.connect(data_dir / "settings.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StoreError, match="newer Ringfence"):
        SettingsStore.open_or_create(data_dir)
    with pytest.raises(StoreError, match="another version"):
        SettingsStore.open_read_only(data_dir)


def test_server_url_without_driver_or_sense_is_refused_without_its_password(data_dir: Path) -> None:
    for url in ("nonsense", "postgresql+nodriver://rf:hunter2@db/rf", "sqlite:///elsewhere.db"):
        with pytest.raises(StoreError) as caught:
            SettingsStore.open_or_create(data_dir, url=url)
        assert "hunter2" not in str(caught.value)


# Audit and version


def acts() -> dict[str, tuple[Callable[[SettingsStore], object], Callable[[SettingsStore], Any], str, str]]:
    """Per act: what must be there first, the act, its kind and its action in the audit."""

    def nothing(_: SettingsStore) -> None: ...

    def phone(store: SettingsStore) -> object:
        return store.phones.add(a_phone(), actor="before")

    def gateway(store: SettingsStore) -> object:
        return store.gateways.add(a_gateway(), actor="before")

    def block(store: SettingsStore) -> object:
        return store.lists.add(a_block(), actor="before")

    def roaming(store: SettingsStore) -> object:
        return store.parameters.set("RF_ROAMING", 1, actor="before")

    def user(store: SettingsStore) -> object:
        return store.users.add("ann", Role.VIEWER, "correct horse", actor="before")

    edit = GatewayEdit(burst=7)
    return {
        "parameter set": (
            nothing,
            lambda s: s.parameters.set("RF_ROAMING", 1, actor="a"),
            "parameter",
            "set",
        ),
        "parameter reset": (
            roaming,
            lambda s: s.parameters.reset("RF_ROAMING", actor="a"),
            "parameter",
            "reset",
        ),
        "gateway add": (nothing, lambda s: s.gateways.add(a_gateway(), actor="a"), "gateway", "add"),
        "gateway edit": (gateway, lambda s: s.gateways.edit("carrier", edit, actor="a"), "gateway", "set"),
        "gateway remove": (gateway, lambda s: s.gateways.remove("carrier", actor="a"), "gateway", "remove"),
        "phone add": (nothing, lambda s: s.phones.add(a_phone(), actor="a"), "phone", "add"),
        "phone password": (
            phone,
            lambda s: s.phones.set_password("1001", "battery staple", actor="a"),
            "phone",
            "set_password",
        ),
        "phone disable": (
            phone,
            lambda s: s.phones.set_enabled("1001", enabled=False, actor="a"),
            "phone",
            "set",
        ),
        "phone remove": (phone, lambda s: s.phones.remove("1001", actor="a"), "phone", "remove"),
        "block add": (nothing, lambda s: s.lists.add(a_block(), actor="a"), "block", "add"),
        "block remove": (block, lambda s: s.lists.remove(BlockId(1), actor="a"), "block", "remove"),
        "user add": (
            nothing,
            lambda s: s.users.add("ann", Role.ADMIN, "correct horse", actor="a"),
            "user",
            "add",
        ),
        "user role": (user, lambda s: s.users.set_role("ann", Role.ADMIN, actor="a"), "user", "set"),
        "user password": (
            user,
            lambda s: s.users.set_password("ann", "battery staple", actor="a"),
            "user",
            "set_password",
        ),
        "user remove": (user, lambda s: s.users.remove("ann", actor="a"), "user", "remove"),
        "key rotation": (nothing, lambda s: s.rotate_nonce_key(actor="a"), "nonce_key", "rotate"),
    }


@pytest.mark.parametrize("act", acts())
def test_each_act_raises_the_version_by_one_and_leaves_one_audit_row(
    act: str, store: SettingsStore, clock: ManualClock
) -> None:
    arrange, do, kind, action = acts()[act]
    arrange(store)
    clock.advance(1)
    version = store.version()
    rows = len(store.audit())

    change = do(store)

    assert change.changed
    assert change.version == store.version() == version + 1
    newest = store.audit()[0]
    assert len(store.audit()) == rows + 1
    assert (newest.kind, newest.action, newest.actor) == (kind, action, "a")
    assert (newest.version, newest.at_us) == (version + 1, clock.utc_us())
    assert (newest.before is None) is (action == "add")
    assert (newest.after is None) is (action == "remove")


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.parameters.set("RF_ROAMING", 1, actor="again"),
        lambda s: s.parameters.reset("RF_MUTE_S", actor="again"),
        lambda s: s.gateways.edit("carrier", GatewayEdit(burst=200), actor="again"),
        lambda s: s.phones.set_enabled("1001", enabled=True, actor="again"),
        lambda s: s.users.set_role("ann", Role.VIEWER, actor="again"),
    ],
    ids=["set", "reset", "gateway", "phone", "user"],
)
def test_act_that_changes_nothing_writes_nothing(
    act: Callable[[SettingsStore], Any], store: SettingsStore
) -> None:
    store.parameters.set("RF_ROAMING", 1, actor="t")
    store.gateways.add(a_gateway(), actor="t")
    store.phones.add(a_phone(), actor="t")
    store.users.add("ann", Role.VIEWER, "correct horse", actor="t")
    version, audit = store.version(), store.audit()

    change = act(store)

    assert not change.changed
    assert change.version == store.version() == version
    assert store.audit() == audit


def test_refused_act_leaves_no_trace(store: SettingsStore) -> None:
    store.gateways.add(a_gateway("carrier", "192.0.2.1"), actor="t")
    audit = store.audit()
    with pytest.raises(ConfigError):
        store.gateways.add_all([a_gateway("new", "192.0.2.9"), a_gateway("other", "192.0.2.1")], actor="t")
    assert [gateway.name for gateway in store.gateways.all()] == ["carrier"]
    assert store.audit() == audit
    assert store.version() == 2


def test_audit_holds_what_was_and_what_is(store: SettingsStore) -> None:
    store.parameters.set("SS_AUTHENTICATION_MAX_RETRY", 3, actor="ann")
    row = store.audit(kind="parameter", name="SS_AUTHENTICATION_MAX_RETRY")[0]
    assert msgspec.json.decode(row.before or "")["value"] == 6
    assert msgspec.json.decode(row.after or "")["value"] == 3


def test_audit_is_filtered_newest_first_and_limited(store: SettingsStore) -> None:
    for value in (1, 2, 3):
        store.parameters.set("RF_MUTE_S", value, actor="t")
    store.gateways.add(a_gateway(), actor="t")
    found = store.audit(kind="parameter", limit=2)
    assert [msgspec.json.decode(row.after or "")["value"] for row in found] == [3, 2]


def test_no_secret_is_in_the_audit(store: SettingsStore) -> None:
    store.phones.add(a_phone(password="correct horse"), actor="t")
    store.phones.set_password("1001", "battery staple", actor="t")
    store.users.add("ann", Role.ADMIN, "tr0ub4dor and 3", actor="t")
    store.rotate_nonce_key(actor="t")
    state = store.state()
    secrets = ["correct horse", "battery staple", "tr0ub4dor", "argon2", state.tag_key]
    secrets += [key.key for key in state.nonce_keys]
    secrets += [text for phone in state.phones for text in (phone.md5, phone.sha256)]
    written = "".join(f"{row.before}{row.after}" for row in store.audit())
    assert not [secret for secret in secrets if secret in written]


# Parameters


def test_parameter_out_of_range_is_refused_and_the_old_value_stays(store: SettingsStore) -> None:
    with pytest.raises(ConfigError) as caught:
        store.parameters.set("SS_AUTHENTICATION_FAILED_SUSPEND", 59, actor="t")
    assert caught.value.hint == "allowed: 60 to 3600 s"
    assert store.parameters.get("SS_AUTHENTICATION_FAILED_SUSPEND").value == 180


def test_parameter_set_to_its_default_counts_as_set(store: SettingsStore) -> None:
    store.parameters.set("RF_MUTE_S", 60, actor="t")
    assert store.parameters.get("RF_MUTE_S").is_set
    store.parameters.reset("RF_MUTE_S", actor="t")
    assert not store.parameters.get("RF_MUTE_S").is_set


# Gateways


def test_gateway_addresses_are_normal_and_without_doubles(store: SettingsStore) -> None:
    draft = a_gateway("carrier", "192.0.2.1/32", "192.0.2.1", "[2001:DB8::1]:5060")
    change = store.gateways.add(draft, actor="t")
    assert change.after is not None
    assert change.after.addresses == ("192.0.2.1", "[2001:db8::1]:5060")
    assert store.gateways.all() == (change.after,)


def test_gateway_without_address_is_refused(store: SettingsStore) -> None:
    with pytest.raises(ConfigError, match="no address"):
        store.gateways.add(GatewayDraft(name="carrier", addresses=()), actor="t")


def test_address_belongs_to_one_gateway_only(store: SettingsStore) -> None:
    store.gateways.add(a_gateway("carrier", "192.0.2.1"), actor="t")
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 belongs to gateway 'carrier' already"):
        store.gateways.add(a_gateway("other", "192.0.2.1"), actor="t")
    store.gateways.add(a_gateway("other", "192.0.2.1:5080", "192.0.2.0/24"), actor="t")


def test_gateway_name_is_unique_also_when_renamed(store: SettingsStore) -> None:
    store.gateways.add_all([a_gateway("a", "192.0.2.1"), a_gateway("b", "192.0.2.2")], actor="t")
    with pytest.raises(ConfigError, match="gateway 'a' already"):
        store.gateways.add(a_gateway("a", "192.0.2.3"), actor="t")
    with pytest.raises(ConfigError, match="gateway 'a' already"):
        store.gateways.edit("b", GatewayEdit(name="a"), actor="t")


@pytest.mark.parametrize(
    "edit", [GatewayEdit(calls_per_second=0), GatewayEdit(burst=0), GatewayEdit(in_flight=0)]
)
def test_gateway_limit_out_of_range_is_refused_with_the_range(
    store: SettingsStore, edit: GatewayEdit
) -> None:
    store.gateways.add(a_gateway(), actor="t")
    with pytest.raises(ConfigError) as caught:
        store.gateways.edit("carrier", edit, actor="t")
    assert (caught.value.hint or "").startswith("allowed: 1 to ")


def test_gateway_edit_changes_what_it_names_only(store: SettingsStore) -> None:
    store.gateways.add(a_gateway("carrier", "192.0.2.1"), actor="t")
    change = store.gateways.edit(
        "carrier", GatewayEdit(name="Carrier A", addresses=("192.0.2.7", "192.0.2.1")), actor="t"
    )
    assert change.before is not None
    assert change.after == store.gateways.get("Carrier A")
    assert change.after is not None
    assert change.after.addresses == ("192.0.2.7", "192.0.2.1")
    assert change.after.burst == change.before.burst
    assert change.after.id == change.before.id


def test_gateway_id_is_never_given_again(store: SettingsStore) -> None:
    first = store.gateways.add(a_gateway(), actor="t").after
    store.gateways.remove("carrier", actor="t")
    second = store.gateways.add(a_gateway(), actor="t").after
    assert first is not None
    assert second is not None
    assert second.id > first.id


def test_disabled_gateway_is_not_in_force(store: SettingsStore) -> None:
    store.gateways.add_all(
        [a_gateway("a", "192.0.2.1", enabled=False), a_gateway("b", "192.0.2.2")], actor="t"
    )
    assert [gateway.name for gateway in store.state().gateways] == ["b"]


def test_unknown_gateway_is_refused_with_the_nearest_spelling(store: SettingsStore) -> None:
    store.gateways.add(a_gateway("carrier-a"), actor="t")
    for act in (
        lambda: store.gateways.get("carier-a"),
        lambda: store.gateways.edit("carier-a", GatewayEdit(), actor="t"),
        lambda: store.gateways.remove("carier-a", actor="t"),
    ):
        with pytest.raises(NotFoundError) as caught:
            act()
        assert caught.value.hint == "did you mean carrier-a?"


# Phones


def test_phone_password_is_kept_as_digests_only(store: SettingsStore, data_dir: Path) -> None:
    store.phones.add(a_phone("1001", "correct horse"), actor="t")
    secret = store.state().phones[0]
    text = b"1001:ringfence:correct horse"
    assert secret.md5 == hashlib.md5(text, usedforsecurity=False).hexdigest()
    assert secret.sha256 == hashlib.sha256(text).hexdigest()
    assert secret.md5 not in repr(secret)
    store.close()
    assert not [path for path in data_dir.iterdir() if b"correct horse" in path.read_bytes()]


def test_disabled_phone_is_not_in_force(store: SettingsStore) -> None:
    store.phones.add_all([a_phone("1001"), a_phone("1002")], actor="t")
    store.phones.set_enabled("1001", enabled=False, actor="t")
    assert [phone.number for phone in store.state().phones] == ["1002"]
    assert [phone.number for phone in store.phones.all()] == ["1001", "1002"]
    assert not store.phones.get("1001").enabled


def test_phone_cannot_be_added_twice(store: SettingsStore) -> None:
    with pytest.raises(ConfigError, match="phone '1001' already"):
        store.phones.add_all([a_phone(), a_phone()], actor="t")
    assert store.phones.all() == ()


def test_unknown_phone_is_refused(store: SettingsStore) -> None:
    with pytest.raises(NotFoundError):
        store.phones.set_password("1001", "correct horse", actor="t")


# Lists


def test_block_expires_at_its_time(store: SettingsStore, clock: ManualClock) -> None:
    block = store.lists.add(a_block(for_s=60, reason="scan"), actor="ann").after
    assert block is not None
    assert block.expires_at_us == clock.utc_us() + 60_000_000
    assert (block.reason, block.actor, block.color) == ("scan", "ann", Color.BLACK)
    clock.advance(59.999999)
    assert store.lists.in_force() == (block,)
    clock.advance(0.000001)
    assert store.lists.in_force() == ()
    assert store.lists.past() == (block,)
    with pytest.raises(NotFoundError, match="acts no more"):
        store.lists.remove(block.id, actor="t")


def test_removed_block_stays_in_the_history(store: SettingsStore, clock: ManualClock) -> None:
    block = store.lists.add(a_block(), actor="t").after
    assert block is not None
    clock.advance(5)
    store.lists.remove(block.id, actor="ann")
    past = store.lists.get(block.id)
    assert (past.removed_by, past.removed_at_us) == ("ann", clock.utc_us())
    assert store.lists.past() == (past,)
    assert store.state().blocks == ()


def test_value_is_on_a_list_once_whatever_its_colour(store: SettingsStore, clock: ManualClock) -> None:
    store.lists.add(a_block("00972", list_name=ListName.CALLEE, for_s=60), actor="t")
    store.lists.add(a_block("00972", list_name=ListName.CALLER), actor="t")
    with pytest.raises(ConfigError, match="on the black list of callees already, as entry 1"):
        store.lists.add(a_block("00972", list_name=ListName.CALLEE, color=Color.WHITE), actor="t")
    clock.advance(60)
    store.lists.add(a_block("00972", list_name=ListName.CALLEE, color=Color.WHITE), actor="t")


def test_block_is_found_by_the_value_as_typed(store: SettingsStore) -> None:
    added = store.lists.add(a_block("2001:db8::/48"), actor="t").after
    assert store.lists.find(ListName.SOURCE, "2001:DB8:0::/48") == added
    with pytest.raises(NotFoundError, match=r"192\.0\.2\.9 is not on the source lists"):
        store.lists.find(ListName.SOURCE, "192.0.2.9")


@pytest.mark.parametrize("value", ["192.0.2.1", "192.0.2.0/24", "192.0.0.0/8"])
def test_authorised_source_is_never_blocked(store: SettingsStore, value: str) -> None:
    store.gateways.add(a_gateway("carrier", "192.0.2.1:5060"), actor="t")
    with pytest.raises(ConfigError, match="authorised source is never blocked") as caught:
        store.lists.add(a_block(value), actor="t")
    assert "'carrier'" in caught.value.message
    store.lists.add(a_block(value, color=Color.WHITE), actor="t")


def test_source_of_a_disabled_gateway_may_be_blocked(store: SettingsStore) -> None:
    store.gateways.add(a_gateway("carrier", "192.0.2.1", enabled=False), actor="t")
    store.lists.add(a_block("192.0.2.1"), actor="t")


@pytest.mark.parametrize(
    "authorise",
    [
        lambda s: s.gateways.add(a_gateway("new", "192.0.2.1"), actor="ann"),
        lambda s: s.gateways.edit("off", GatewayEdit(enabled=True), actor="ann"),
        lambda s: s.gateways.edit("on", GatewayEdit(addresses=("192.0.2.1:5060",)), actor="ann"),
    ],
    ids=["added", "enabled", "moved"],
)
def test_authorising_a_source_lifts_the_blocks_that_cover_it(
    store: SettingsStore, authorise: Callable[[SettingsStore], Any]
) -> None:
    store.gateways.add_all(
        [a_gateway("off", "192.0.2.9", enabled=False), a_gateway("on", "198.51.100.1")], actor="t"
    )
    covering = store.lists.add(a_block("192.0.2.0/24"), actor="t").after
    apart = store.lists.add(a_block("203.0.113.0/24"), actor="t").after
    white = store.lists.add(a_block("192.0.0.0/16", color=Color.WHITE), actor="t").after
    version = store.version()

    change = authorise(store)

    assert change.lifted == (covering,)
    assert store.lists.in_force() == (apart, white)
    assert change.version == version + 1
    newest = store.audit(limit=1)[0]
    assert (newest.kind, newest.action, newest.actor) == ("block", "remove", "ann")


@pytest.mark.parametrize("for_s", [0, -1, 10**9])
def test_duration_out_of_range_is_refused(store: SettingsStore, for_s: int) -> None:
    with pytest.raises(ConfigError, match="duration"):
        store.lists.add(a_block(for_s=for_s), actor="t")


# Users and keys


def test_user_is_verified_by_password(store: SettingsStore) -> None:
    store.users.add("ann", Role.ANALYST, "correct horse", actor="t")
    user = store.users.verify("ann", "correct horse")
    assert user is not None
    assert user.role is Role.ANALYST
    assert store.users.verify("ann", "wrong horse") is None
    assert store.users.verify("nobody", "correct horse") is None
    store.users.set_password("ann", "battery staple", actor="t")
    assert store.users.verify("ann", "correct horse") is None
    assert store.users.all() == (store.users.get("ann"),)


def test_unknown_name_costs_as_much_work_as_a_known_one(store: SettingsStore) -> None:
    assert isinstance(store.users, Users)
    assert not store.users._hasher.check_needs_rehash(_NOBODY)


def test_user_cannot_be_added_twice_and_unknown_one_is_refused(store: SettingsStore) -> None:
    store.users.add("ann", Role.ANALYST, "correct horse", actor="t")
    with pytest.raises(ConfigError, match="user 'ann' already"):
        store.users.add("ann", Role.ADMIN, "correct horse", actor="t")
    with pytest.raises(NotFoundError):
        store.users.remove("anne", actor="t")


def test_rotation_keeps_the_current_and_the_previous_nonce_key(store: SettingsStore) -> None:
    first = store.state().nonce_keys[0]
    store.rotate_nonce_key(actor="t")
    store.rotate_nonce_key(actor="t")
    keys = store.state().nonce_keys
    assert [key.id for key in keys] == [first.id + 2, first.id + 1]
    assert len({key.key for key in (first, *keys)}) == 3
