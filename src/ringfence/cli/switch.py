# SPDX-License-Identifier: Apache-2.0
"""`ringfence switch`: the half that takes SIP in, judges, records and switches calls."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from ringfence.cli.lock import hold_lock, make_data_dir
from ringfence.cli.log import configure_log
from ringfence.cli.ready import Ready, announce_ready, end_with_parent
from ringfence.core import Started
from ringfence.settings.node import NodeConfig, Overrides, load
from ringfence.settings.store import SettingsStore
from ringfence.switch.process import serve


@contextlib.contextmanager
def opened(config: NodeConfig) -> Iterator[SettingsStore]:
    """Make the data directory and the settings where they are missing; hold the switch's lock."""
    make_data_dir(config.data_dir)
    with hold_lock(config.data_dir / "switch.lock", "a switch"):
        SettingsStore.open_or_create(config.data_dir, url=config.settings_url).close()
        with SettingsStore.open_read_only(config.data_dir, url=config.settings_url) as store:
            yield store


@click.command("switch", help="Run the switch alone: take SIP in, judge, record, answer.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Node configuration (TOML).",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data directory.",
    envvar="RINGFENCE_DATA",
)
@click.option(
    "--sip", multiple=True, metavar="TRANSPORT:ADDRESS:PORT", help="Where to take SIP in. Repeatable."
)
@click.option("--ready-fd", type=int, hidden=True)
def command(config_file: Path | None, data: Path | None, sip: tuple[str, ...], ready_fd: int | None) -> None:
    """Run the switch until it is told to stop."""
    configure_log()
    if ready_fd is not None:
        end_with_parent()
    config = load(config_file, Overrides(data=data, sip=sip))

    def on_ready(started: Started) -> None:
        announce_ready(ready_fd, Ready(sip=tuple(started.listeners)))

    with opened(config) as store:
        asyncio.run(serve(config, store, on_ready))
