# SPDX-License-Identifier: Apache-2.0
"""Whether a switch or an office works in a data directory: each holds a lock while it runs."""

import fcntl
import os
from pathlib import Path
from typing import Final

HALVES: Final = ("switch", "office")


def running(data_dir: Path) -> tuple[str, ...]:
    """Which halves work there now."""
    return tuple(half for half in HALVES if _is_locked(data_dir / f"{half}.lock"))


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
