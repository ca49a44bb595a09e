# SPDX-License-Identifier: Apache-2.0
import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from ringfence.settings import schema
from ringfence.settings.store import SettingsStore


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
    SettingsStore.open_or_create(data_dir).close()
    with sqlite3.connect(data_dir / "settings.db") as connection:
        connection.execute("ALTER TABLE alarm DROP COLUMN node")
        connection.execute("ALTER TABLE alarm DROP COLUMN told")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
        connection.execute(
            "INSERT INTO alarm (code, level, subject, value, message, link, opened_at_us, changed_at_us) "
            "VALUES (20003, 'minor', '', 95, 'CPU: 95 %.', '', 1, 1)"
        )
    connection.close()
    with SettingsStore.open_or_create(data_dir) as store:
        [alarm] = store.alarms.open(node="n1")
        assert (alarm.node, alarm.message) == (None, "CPU: 95 %.")
        assert store.alarms.clear(alarm.id) is not None
