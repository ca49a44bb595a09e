# SPDX-License-Identifier: Apache-2.0
"""What a half tells `ringfence run` through the descriptor of --ready-fd: a line of JSON when it serves."""

import ctypes
import os
import signal
from typing import Final

import msgspec

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class Ready(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a half can be reached.

    Shape: `sip` as "udp:127.0.0.1:5060", with the ports that are really open; `portal` as
    "http://127.0.0.1:8080".
    """

    sip: tuple[str, ...] = ()
    portal: str = ""


def announce_ready(descriptor: int | None, ready: Ready) -> None:
    """Say that this half serves now; None = nobody waits for it. The descriptor is closed."""
    if descriptor is None:
        return
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(msgspec.json.encode(ready) + b"\n")


def end_with_parent() -> None:
    """Have this process told to stop when `ringfence run` is killed, so that none is left behind alone.

    Call it at the start of a half that was given --ready-fd.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
