# SPDX-License-Identifier: Apache-2.0
"""`ringfence version`: print the version."""

import click

import ringfence


@click.command()
def command() -> None:
    """Print the version."""
    click.echo(ringfence.__version__)
