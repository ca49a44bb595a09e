# SPDX-License-Identifier: Apache-2.0
"""`ringfence version`: print the version."""

from importlib.metadata import PackageNotFoundError, version

import click

from ringfence.errors import RingfenceError


def installed_version() -> str:
    """The version of this program.

    Raises: RingfenceError("not_installed") if it runs from files that were never installed.
    """
    try:
        return version("ringfence")
    except PackageNotFoundError as error:
        raise RingfenceError(
            "this copy of Ringfence was not installed, so it has no version",
            hint="`make build` installs it",
            code="not_installed",
        ) from error


@click.command()
def command() -> None:
    """Print the version."""
    click.echo(installed_version())
