# SPDX-License-Identifier: Apache-2.0
"""The one place where tests of real processes wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 0.02


def eventually(look: Callable[[], T], *, within_s: float = 10.0) -> T:
    """What `look` gives as soon as that is true; fails with its last word after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within_s:g} s; last seen: {found!r}")
        time.sleep(_LOOK_EVERY_S)
    return found
