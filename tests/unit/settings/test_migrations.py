# SPDX-License-Identifier: Apache-2.0
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
