# SPDX-License-Identifier: Apache-2.0
"""`ringfence backup`: save settings, journal and call records in one file."""

from pathlib import Path

import click

from ringfence.cli.archive import SUFFIXES, Checksums, size_of, write_backup
from ringfence.cli.output import Value, note
from ringfence.cli.progress import bar
from ringfence.cli.session import Session, with_session
from ringfence.clock import SystemClock
from ringfence.errors import ConfigError, NotFoundError


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--no-cdr", is_flag=True, help="Leave out call records; the journal can bring back recent ones."
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@with_session
def command(session: Session, *, file: Path, no_cdr: bool, force: bool) -> None:
    """Save settings, journal and call records in FILE: .tar.zst, .tar.gz or .tar.

    The switch may run meanwhile.
    """
    if not file.name.endswith(SUFFIXES):
        raise ConfigError(
            f"{file} does not say how to compress it",
            hint="name it .tar.zst, .tar.gz or .tar",
            code="bad_value",
        )
    if file.exists() and not force:
        raise ConfigError(
            f"{file} is there already", hint="name another file, or give --force", code="exists"
        )
    if not session.data_dir.is_dir():
        raise NotFoundError(
            f"there is no data directory {session.data_dir}", hint="name the right one with --data"
        )
    has_own_settings = session.config.settings_url is None
    if not has_own_settings:
        note("the settings are on a database server and not in this backup: save them there")
    with bar("saving", size_of(session.data_dir, with_records=not no_cdr)) as progress:
        checksums = write_backup(
            session.data_dir,
            file,
            now_us=SystemClock().utc_us(),
            with_records=not no_cdr,
            with_settings=has_own_settings,
            progress=progress,
        )
    note(f"saved {len(checksums.files)} files in {file}")
    session.output.outcome(outcome(file, checksums))


def outcome(file: Path, checksums: Checksums) -> dict[str, Value]:
    """A backup in numbers."""
    return {
        "file": str(file),
        "files": len(checksums.files),
        "bytes": sum(member.bytes for member in checksums.files),
        "file_bytes": file.stat().st_size,
    }
