# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.schema import CreateIndex, CreateTable

from ringfence.ids import GatewayId
from ringfence.settings import schema
from ringfence.settings.model import Gateway
from ringfence.settings.store import SettingsStore


@contextmanager
def older_settings(data_dir: Path, revision: str) -> Iterator[Connection]:
    """Settings whose tables are those of a revision, to be filled."""
    data_dir.mkdir()
    engine = create_engine(f"sqlite:///{data_dir / 'settings.db'}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "ringfence.settings:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection
    engine.dispose()


def test_migrations_end_where_the_code_reads() -> None:
    config = Config()
    config.set_main_option("script_location", "ringfence.settings:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.REVISION


def test_migrated_tables_are_the_tables_of_the_code(data_dir: Path) -> None:
    SettingsStore.open_or_create(data_dir).close()
    engine = create_engine(f"sqlite:///{data_dir / 'settings.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_gateways_of_older_settings_stand_after_the_migration(data_dir: Path) -> None:
    with older_settings(data_dir, "0002") as connection:
        connection.execute(text("INSERT INTO meta VALUES (1, 'ringfence', 7, '00', 0)"))
        connection.execute(text("INSERT INTO gateway VALUES (4, 'old', 1, 1, 2, 3)"))
        connection.execute(text("INSERT INTO gateway_address VALUES ('192.0.2.1', 4, 0)"))
    with SettingsStore.open_or_create(data_dir) as store:
        assert store.gateways.get("old") == Gateway(
            id=GatewayId(4),
            name="old",
            enabled=True,
            addresses=("192.0.2.1",),
            calls_per_second=1,
            burst=2,
            in_flight=3,
        )
        assert store.version() == 7


def test_tables_can_be_written_out_for_postgresql() -> None:
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    written = {
        table.name: str(CreateTable(table).compile(dialect=dialect))
        for table in schema.metadata.sorted_tables
    }
    assert "id SERIAL NOT NULL" in written["gateway"]
    assert "ON DELETE CASCADE" in written["gateway_address"]
    for table in schema.metadata.sorted_tables:
        for index in table.indexes:
            assert str(index.name) in str(CreateIndex(index).compile(dialect=dialect))


def test_a_store_that_has_incidents_without_a_node_is_brought_up_to_date(data_dir: Path) -> None:
    with older_settings(data_dir, "0002") as connection:
        connection.execute(text("INSERT INTO meta VALUES (1, 'ringfence', 7, '00', 0)"))
        connection.execute(
            text(
                "INSERT INTO alarm (code, level, subject, value, message, link, opened_at_us, changed_at_us) "
                "VALUES (20003, 'minor', '', 95, 'CPU: 95 %.', '', 1, 1)"
            )
        )
    with SettingsStore.open_or_create(data_dir) as store:
        [alarm] = store.alarms.open(node="n1")
        assert (alarm.node, alarm.message) == (None, "CPU: 95 %.")
        assert store.alarms.clear(alarm.id) is not None
