# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr for long work, if a person is watching."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Show how much of `total_bytes` is done, None = unknown.

    Shape: the work calls what it gets with each further number of bytes.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total_bytes)
        yield lambda count: shown.advance(task, count)
