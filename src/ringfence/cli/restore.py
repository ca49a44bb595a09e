# SPDX-License-Identifier: Apache-2.0
"""`ringfence restore`: bring a backup back."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import click

from ringfence.cli.archive import read_backup
from ringfence.cli.backup import outcome
from ringfence.cli.locks import running
from ringfence.cli.output import note
from ringfence.cli.progress import bar
from ringfence.cli.session import Session, with_session
from ringfence.clock import SystemClock
from ringfence.errors import ConfigError, NotFoundError, StoreError


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Put what is in the data directory now aside.")
@with_session
def command(session: Session, *, file: Path, force: bool) -> None:
    """Bring back what FILE holds into the data directory. All of it is checked before anything is touched."""
    data_dir = session.data_dir
    if not file.exists():
        raise NotFoundError(f"there is no file {file}", hint="check the path")
    if halves := running(data_dir):
        raise ConfigError(
            f"{data_dir} is in use by {' and '.join(halves)}",
            hint="stop Ringfence there first",
            code="running",
        )
    is_taken = data_dir.exists() and any(data_dir.iterdir())
    if is_taken and not force:
        raise ConfigError(
            f"{data_dir} is not empty",
            hint="name another directory with --data, or put its content aside with --force",
            code="exists",
        )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that it can be moved into its place in one step.
    unpacked = Path(mkdtemp(prefix=f".{data_dir.name}.restore-", dir=data_dir.parent))
    try:
        with bar("restoring", None) as progress:
            checksums = read_backup(file, unpacked, progress=progress)
        if is_taken:
            aside = _aside(data_dir)
            data_dir.rename(aside)
            note(f"what was in {data_dir} is now in {aside}")
        elif data_dir.exists():
            data_dir.rmdir()
        unpacked.rename(data_dir)
    except OSError as error:
        raise StoreError(
            f"{data_dir} cannot be replaced: {error.strerror}", hint="check its access and room"
        ) from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    note(f"restored {len(checksums.files)} files into {data_dir}")
    session.output.outcome(outcome(file, checksums))


def _aside(data_dir: Path) -> Path:
    now = datetime.fromtimestamp(SystemClock().utc_us() / 1_000_000, UTC)
    return data_dir.with_name(f"{data_dir.name}.before-restore-{now:%Y%m%dT%H%M%S}")
