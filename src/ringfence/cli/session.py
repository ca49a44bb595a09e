# SPDX-License-Identifier: Apache-2.0
"""What commands share: the options --data, --config and --format, the store, and telling the switch."""

import functools
import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli.output import Format, Output, note
from ringfence.errors import ControlError
from ringfence.settings.node import NodeConfig, Overrides, load

if TYPE_CHECKING:
    from ringfence.settings.model import Block
    from ringfence.settings.store import SettingsStore

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="RINGFENCE_DATA",
    help="Data directory.  [default: ringfence-data]",
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RINGFENCE_CONFIG",
    help="Configuration file of the node.",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    default=Format.TABLE.value,
    show_default=True,
    help="How data is written to stdout.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command at work."""

    config: NodeConfig
    output: Output

    @property
    def data_dir(self) -> Path:
        """The node's data directory."""
        return self.config.data_dir

    @property
    def actor(self) -> str:
        """Who is at the command line, for the audit."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):  # a user without an entry in the password database
            return f"cli:{os.getuid()}"

    def reading(self) -> "SettingsStore":
        """The settings as they are.

        Raises: StoreError, NotFoundError included if there are none.
        """
        from ringfence.settings.store import SettingsStore  # noqa: PLC0415 - takes a quarter of a second

        return SettingsStore.open_read_only(self.data_dir, url=self.config.settings_url)

    def changing(self) -> "SettingsStore":
        """The settings, to be changed; created if there are none.

        Raises: StoreError.
        """
        from ringfence.settings.store import SettingsStore  # noqa: PLC0415 - as above

        return SettingsStore.open_or_create(self.data_dir, url=self.config.settings_url)

    def announce(self, version: int, *, changed: bool = True) -> None:
        """Have a running switch judge by this version, and say on stderr when it does.

        Raises: ControlError if a switch runs but does not take it; the change is stored then all the same.
        """
        if not changed:
            note("nothing to change")
            return
        from ringfence.control.client import NOT_RUNNING, ControlClient  # noqa: PLC0415 - only after a change

        try:
            with ControlClient(self.data_dir) as client:
                in_force = client.settings_changed(version)
        except ControlError as error:
            if error.code == NOT_RUNNING:
                note("no switch is running here: it takes effect at its start")
                return
            raise ControlError(
                f"the change is stored, but the switch did not take it: {error.message}",
                hint=error.hint,
                code=error.code,
            ) from error
        note(f"in force (version {in_force.version})")

    def tell_lifted(self, lifted: "tuple[Block, ...]") -> None:
        """Say which black entries went because they covered an authorised source."""
        for block in lifted:
            note(f"lifted entry {block.id}: {block.value} was on the black list of sources")


def with_session(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command its session as the first argument, and the options that make it."""

    @data_option
    @config_option
    @format_option
    @functools.wraps(function)
    def command(*, data: Path | None, config: Path | None, form: str, **arguments: object) -> None:
        session = Session(config=load(config, Overrides(data=data)), output=Output(Format(form)))
        function(session, **arguments)

    return command
