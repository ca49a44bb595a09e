# SPDX-License-Identifier: Apache-2.0
"""One process of a kind per data directory: a lock that the kernel lets go of when its holder ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from ringfence.errors import StoreError


def make_data_dir(path: Path) -> None:
    """Make the data directory with access for its owner only, if it is not there.

    Raises: StoreError if it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the data directory {path} cannot be made: {error.strerror}",
            hint="name a directory that this user may write to with --data",
            code="unusable",
        ) from error


@contextlib.contextmanager
def hold_lock(path: Path, holder: str) -> Iterator[None]:
    """Hold `path` with flock(2) while entered.

    Raises: StoreError if another process holds it (`holder` says what kind: "a switch").
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{holder} runs on {path.parent} already",
                hint="stop it first, or give this one another directory with --data",
                code="in_use",
            ) from error
        yield
