# SPDX-License-Identifier: Apache-2.0
"""Where control.sock is, also where its path is longer than a socket address can hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "control.sock"

# sockaddr_un holds 108 bytes on Linux, the closing zero included (unix(7)).
_LONGEST: Final = 107


def socket_path(data_dir: Path) -> Path:
    """The socket of the switch that works in this data directory."""
    return data_dir / SOCKET_NAME


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """What to bind or connect to; good inside the block only.

    A path that is too long is reached through its directory's descriptor.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
