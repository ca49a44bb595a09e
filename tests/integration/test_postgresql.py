# SPDX-License-Identifier: Apache-2.0
"""The settings on PostgreSQL: what is asked of a store or a portal on a file is asked of them there too."""

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from kit import postgres
from kit.clock import ManualClock
from kit.journal import T0_US
from kit.ledgers import ledger_of
from kit.node import Node
from kit.postgres import Postgres
from kit.sip import Peer, Request
from kit.site import PASSWORD, Site, site_over
from kit.waiting import eventually
from ringfence.errors import StoreError
from ringfence.ledger.pipeline import Ledger
from ringfence.settings import schema
from ringfence.settings.alarms_model import ILLEGAL_CALL, AlarmDraft, Level
from ringfence.settings.calls_model import GatewayGroup
from ringfence.settings.model import GatewayDraft, Role
from ringfence.settings.secret_box import KEY_FILE
from ringfence.settings.store import SettingsStore
from ringfence.text import sentence
from unit.portal import conftest as portal
from unit.portal import test_access, test_changes
from unit.settings import test_alarms, test_routing_settings, test_store, test_tokens

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(60),
    pytest.mark.skipif(postgres.INITDB is None, reason="no PostgreSQL (Debian: postgresql)"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres.server() as running:
        yield running


@pytest.fixture
def database(server: Postgres) -> Iterator[str]:
    """The URL of an empty database."""
    name = server.database()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(scope="module")
def with_users(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with a user of each role, to be copied."""
    name = server.database()
    with SettingsStore.open_or_create(tmp_path_factory.mktemp("none"), url=server.url(name)) as settings:
        for role in Role:
            settings.users.add(role.value, role, PASSWORD, actor="test")
    return name


@pytest.fixture
def store(database: str, data_dir: Path, clock: ManualClock) -> Iterator[SettingsStore]:
    """What the tests of the store get in place of a file."""
    with SettingsStore.open_or_create(data_dir, url=database, clock=clock) as opened:
        yield opened
    # The key of vendors' secrets stays with the node, nothing else.
    assert {file.name for file in data_dir.glob("*")} <= {KEY_FILE}


@pytest.fixture
def grouped(store: SettingsStore) -> SettingsStore:
    """The store with the group that the tests of routing settings name."""
    store.groups.add(GatewayGroup(name="europe", remark="by day"), actor="t")
    return store


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    directory, clock = tmp_path_factory.mktemp("attacked"), ManualClock(T0_US + 20_000_000)
    with ledger_of(portal.attacked_journal(), directory, clock) as made:
        yield made


@pytest.fixture
def site(server: Postgres, with_users: str, attacked: Ledger, tmp_path: Path) -> Iterator[Site]:
    """What the tests of the portal get in place of one over a file."""
    name = server.database(template=with_users)
    with site_over(attacked, tmp_path, settings_url=server.url(name)) as made:
        yield made
    server.drop(name)


@pytest.fixture
def admin(site: Site) -> Site:
    site.log_in()
    return site


def asked_of(fixture: str, *modules: ModuleType) -> dict[str, Callable[..., None]]:
    """The tests of these modules that ask something of it, and of no file."""
    return {
        f"{name}_on_postgresql": test
        for module in modules
        for name, test in vars(module).items()
        if name.startswith("test_") and fixture in (asked := inspect.signature(test).parameters)
        if "data_dir" not in asked
    }


STORES = {
    **asked_of("store", test_store, test_alarms, test_tokens, test_routing_settings),
    **asked_of("grouped", test_routing_settings),
}
SITES = {**asked_of("site", test_access, test_changes), **asked_of("admin", test_changes)}
globals().update(STORES)
globals().update(SITES)


def test_the_tests_of_stores_and_portals_are_found() -> None:
    assert len(STORES) > 60
    assert len(SITES) > 20


def test_migrations_from_nothing_make_the_tables_of_the_code(database: str, data_dir: Path) -> None:
    SettingsStore.open_or_create(data_dir, url=database).close()
    engine = create_engine(database)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_many_openers_at_once_create_one_store(database: str, data_dir: Path) -> None:
    def tag_key(_: int) -> str:
        with SettingsStore.open_or_create(data_dir, url=database) as opened:
            return opened.state().tag_key

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(tag_key, range(4)))) == 1


def test_changes_at_once_are_one_after_the_other(store: SettingsStore) -> None:
    def change(number: int) -> int:
        draft = GatewayDraft(name=f"gateway{number}", addresses=(f"192.0.2.{number}",))
        return store.gateways.add(draft, actor="t").version

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(change, range(12)))
    assert sorted(versions) == list(range(2, 14))
    assert store.version() == 13
    assert [row.version for row in store.audit(kind="gateway")] == sorted(versions, reverse=True)


def test_a_reader_sees_changes_and_makes_none(store: SettingsStore, database: str, data_dir: Path) -> None:
    with SettingsStore.open_read_only(data_dir, url=database) as reader:
        store.parameters.set("RF_ROAMING", 1, actor="t")
        assert reader.state().parameters["RF_ROAMING"] == 1
        with pytest.raises(StoreError, match="opened for reading only"):
            reader.parameters.set("RF_ROAMING", 0, actor="t")


def test_what_a_stranger_sent_is_kept_whatever_it_holds(store: SettingsStore) -> None:
    hostile = "".join(map(chr, range(1, 256))) + "\u202e\ufeff\U0001f4a3"
    told = (sentence("{what}", what=hostile),)
    draft = AlarmDraft(
        node="n1", code=ILLEGAL_CALL, level=Level.MINOR, subject="", value=1, told=told, link=""
    )
    alarm = store.alarms.begin(draft)
    assert alarm is not None
    assert store.alarms.get(alarm.id).told == told


def test_a_server_that_is_gone_is_said_in_words(database: str, data_dir: Path) -> None:
    gone = database.replace("host=", "host=/nowhere")
    with pytest.raises(StoreError, match=r"the settings in .* cannot be used") as caught:
        SettingsStore.open_or_create(data_dir, url=gone)
    assert caught.value.hint == "check that the store is reachable"


def test_a_node_admits_who_was_added_on_the_server_and_keeps_no_settings_of_its_own(
    database: str, tmp_path: Path
) -> None:
    node = Node(tmp_path)
    config = tmp_path / "ringfence.toml"
    config.write_text(f'settings_url = "{database}"\n')
    try:
        switch = node.switch(options=["--config", str(config)])
        with Peer(switch.address("udp")) as peer:
            assert peer.ask(Request()).status == 403
            node.cli.ok("gateway", "add", "here", "127.0.0.1", "--config", str(config))
            eventually(lambda: peer.ask(Request()).status == 404)
        assert node.cli.json("gateway", "list", "--config", str(config))[0]["name"] == "here"
    finally:
        node.end()
    assert not (node.data_dir / "settings.db").exists()


def test_a_switch_goes_on_while_its_settings_are_away(server: Postgres, tmp_path: Path) -> None:
    name = server.database()
    node = Node(tmp_path)
    config = tmp_path / "ringfence.toml"
    config.write_text(f'settings_url = "{server.url(name)}"\n')
    try:
        switch = node.switch(options=["--config", str(config)])
        server.drop(name)
        eventually(lambda: switch.logged("settings.unreadable"))
        with Peer(switch.address("udp")) as peer:
            assert peer.ask(Request()).status == 403
        assert switch.is_alive
    finally:
        node.end()
