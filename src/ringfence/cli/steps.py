# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr for work that is counted in steps, if a person is watching."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_SHOWN_AFTER_S: Final = 0.5


@contextmanager
def steps(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much of the work is done, once it has taken a moment.

    Shape: the work calls what it gets with how much is done, of how much.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _whole: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import Progress  # noqa: PLC0415

    began_s = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=None, visible=False)

        def report(done: int, whole: int) -> None:
            is_slow = time.monotonic() - began_s > _SHOWN_AFTER_S
            shown.update(task, completed=done, total=whole or None, visible=is_slow)

        yield report
