# SPDX-License-Identifier: Apache-2.0
"""`ringfence config`: check or show the node's configuration."""

import re
from pathlib import Path

import click

from ringfence.cli.output import Value, note
from ringfence.cli.session import Session, with_session
from ringfence.settings.node import NodeConfig, load


@click.group()
def command() -> None:
    """Check or show the node's configuration, ringfence.toml."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> None:
    """Say whether a FILE can be used; nothing is started or changed."""
    load(file)
    note(f"{file} is good")


@command.command()
@with_session
def show(session: Session) -> None:
    """Show every key as it is in force for --config and --data, passwords masked."""
    session.output.record(_fields(session.config), is_verbatim=True)


def _fields(config: NodeConfig) -> dict[str, Value]:
    limits = config.tcp
    return {
        "name": config.name,
        "data": str(config.data_dir),
        "sip": tuple(str(listen) for listen in config.listen),
        "portal": str(config.portal),
        "portal_url": config.portal_url,
        "settings_url": None if config.settings_url is None else _masked(config.settings_url),
        "drain_s": config.drain_s,
        "receive_buffer_bytes": config.receive_buffer_bytes,
        "tcp.max_connections": limits.max_connections,
        "tcp.max_connections_per_source": limits.max_connections_per_source,
        "tcp.reserved_for_known_percent": limits.reserved_for_known_percent,
        "tcp.first_byte_s": limits.first_byte_s,
        "tcp.message_s": limits.message_s,
        "tcp.idle_s": limits.idle_s,
        "tls.certificate": config.tls.certificate,
        "tls.key": config.tls.key,
        "tls.ca": config.tls.ca,
        "tls.handshake_s": config.tls.handshake_s,
        "tls.max_handshakes_per_source": config.tls.max_handshakes_per_source,
        "homer.address": config.homer.address,
        "homer.capture_id": config.homer.capture_id,
        "homer.password": "***" if config.homer.password else None,
    }


def _masked(url: str) -> str:
    """The URL without its password, wherever it is written.

    >>> _masked("postgresql://rf:secret@db/rf")
    'postgresql://rf:***@db/rf'
    """
    without = re.sub(r"(//[^:/@]*:).*@", r"\1***@", url)
    return re.sub(r"(?i)(password=)[^&]*", r"\1***", without)
