# SPDX-License-Identifier: Apache-2.0
"""Files beside a segment, made of its rows to save reading them: a shortcut each, never a truth.

A segment never changes and its name is never used again, so neither is what lies beside it out of date. Where
such a file is missing, late or deleted, the rows themselves are read. Hashes in them hold for one version of
the engine, so its version is in their names, and another version makes its own.
"""

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final

import duckdb

from ringfence.ledger.manifest import Segment

# The first number changes with anything in such a file.
SUMMARY: Final = f".summary1-{duckdb.__version__}"
PLACES: Final = f".places2-{duckdb.__version__}"


def beside(segment_path: str) -> tuple[str, ...]:
    """What may lie beside a segment, relative to the CDR directory like the segment itself."""
    return (segment_path + SUMMARY, segment_path + PLACES)


class BesideWriter(ABC):
    """Writes one kind of file beside segments.

    Shape: usable from any thread; one file is written at a time.
    """

    suffix: ClassVar[str]

    def __init__(self, directory: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.directory = directory
        self.connection = connection
        self._writing = threading.Lock()

    def write(self, segment: Segment) -> bool:
        """Write the file of a segment, whole or not at all; False if there is one already or it needs none.

        Shape: on disk before it has its name, so a crash leaves none or a whole one.
        Raises: OSError, duckdb.Error.
        """
        path = self.directory / (segment.path + self.suffix)
        with self._writing:
            if not self.is_needed(segment) or path.exists():
                return False
            temporary = path.with_name(path.name + ".tmp")
            try:
                self.make(segment, temporary)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
            except (OSError, duckdb.Error):
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
            return True

    def is_needed(self, segment: Segment) -> bool:
        """Whether such a file would save anything."""
        return segment.rows > 0

    @abstractmethod
    def make(self, segment: Segment, path: Path) -> None:
        """Write what is to lie beside a segment to `path`."""
