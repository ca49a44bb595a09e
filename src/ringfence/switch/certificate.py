# SPDX-License-Identifier: Apache-2.0
"""A certificate that is renewed is in force without a restart."""

import asyncio
from pathlib import Path
from typing import Final, Protocol

import structlog

from ringfence.errors import CoreError
from ringfence.settings.node_file import TlsSettings

LOOK_EVERY_S: Final = 60.0
_LOG: Final = structlog.get_logger("ringfence.switch")


class Reloading(Protocol):
    """What reads the files again; the edge."""

    def reload_tls(self) -> None:
        """Put them in force. Raises: CoreError; those before stay."""


class CertificateFiles:
    """The files of `[tls]`, and whether they changed since they were read.

    Shape: a change that cannot be used is told once and tried again at each look, since certificate and key
    are seldom replaced in the same moment.
    """

    def __init__(self, tls: TlsSettings) -> None:
        self._paths = [Path(path) for path in (tls.certificate, tls.key, tls.ca) if path is not None]
        self._read = self._marks()
        self._told: tuple[tuple[int, int, int] | None, ...] | None = None

    def look(self, edge: Reloading) -> None:
        """Have them read again if they changed."""
        marks = self._marks()
        if marks == self._read:
            return
        try:
            edge.reload_tls()
        except CoreError as error:
            if marks != self._told:
                self._told = marks
                _LOG.warning("certificate.unusable", what=error.message, hint=error.hint)
            return
        self._read, self._told = marks, None
        _LOG.info("certificate.reloaded")

    def _marks(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes with the file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


async def watch_certificate(edge: Reloading, tls: TlsSettings, until: asyncio.Event) -> None:
    """Look at the files every minute."""
    files = CertificateFiles(tls)
    while not until.is_set():
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await until.wait()
        except TimeoutError:
            await asyncio.to_thread(files.look, edge)
