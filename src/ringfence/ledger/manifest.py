# SPDX-License-Identifier: Apache-2.0
"""The manifest: the only list of CDR segments, replaced whole by rename.

A segment that the manifest does not name does not exist: a crash between writing a file and naming it leaves
a file that the next start removes, and the frames behind it are read again.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

from ringfence.errors import StoreError

NAME: Final = "manifest.json"
VERSION: Final = 1


class StreamMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far one journal stream is in the segments.

    Shape: rows of frames up to `sealed` are in segments; reading starts again at `context`, because frames
    from there on may still explain frames after `sealed`. Both 0 before the first seal.
    """

    journal_id: str = ""
    sealed: int = 0
    context: int = 0
    sealed_time_us: int = 0


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of rows, sorted by time.

    Shape: `path` is relative to the CDR directory; `first_seq` to `last_seq` are the edge frames whose rows
    it may hold, `first_call` to `last_call` those of the calls stream (0 to 0: none); `reasons` are all that
    occur in it, none if that is not known. `alike` are columns that hold one value in all of its rows, as far
    as that is known: to read them again for a page would cost as much as reading those that differ. Files of
    older versions lack the column of the area dialled: `has_area` says which have it.
    """

    path: str
    kind: str
    journal_id: str
    rows: int
    attempts: int
    size: int
    min_time_us: int
    max_time_us: int
    first_seq: int = 0
    last_seq: int = 0
    first_call: int = 0
    last_call: int = 0
    reasons: tuple[str, ...] = ()
    alike: tuple[tuple[str, str | int | bool], ...] = ()
    has_area: bool = False


class Rollup(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of sums per minute: of rows let go, or of attempts that never had rows."""

    path: str
    kind: str
    attempts: int
    size: int
    min_time_us: int
    max_time_us: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one stream that the ledger has taken in, without a hole."""

    journal_id: str
    stream: int
    first: int
    last: int


class LetGo(msgspec.Struct, frozen=True, kw_only=True):
    """What retention removed: rows of one kind, or journal segments, up to a time."""

    kind: str
    rows: int
    attempts: int
    size: int
    until_us: int
    at_us: int


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """A file that no longer counts and is unlinked once no reader can still want it."""

    path: str
    at_us: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that the CDR directory holds, at one moment.

    Shape: `generation` rises by one with each replacement; `segments` are in the order they were made.
    """

    version: int = VERSION
    generation: int = 0
    edge: StreamMark = StreamMark()
    calls: StreamMark = StreamMark()
    segments: tuple[Segment, ...] = ()
    rollups: tuple[Rollup, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    let_go: tuple[LetGo, ...] = ()
    retired: tuple[Retired, ...] = ()


_DECODER: Final = msgspec.json.Decoder(Manifest)
_LET_GO_KEPT: Final = 1000


def load(directory: Path) -> Manifest:
    """Read the manifest of a CDR directory; an empty one if there is none.

    Raises: StoreError("manifest") if it cannot be read or is of another version.
    """
    path = directory / NAME
    try:
        manifest = _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return Manifest()
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(
            f"the list of call records {path} cannot be read: {error}",
            hint="`ringfence ledger rebuild` makes it again from the journal",
            code="manifest",
        ) from error
    if manifest.version != VERSION:
        raise StoreError(
            f"{path} is of version {manifest.version}; this program reads version {VERSION}",
            hint="use the program that wrote it, or `ringfence ledger rebuild`",
            code="manifest",
        )
    return manifest


def replace(directory: Path, manifest: Manifest) -> Manifest:
    """Write the manifest in place of the old one, on disk when this returns; gives it the next generation."""
    kept = msgspec.structs.replace(
        manifest, generation=manifest.generation + 1, let_go=manifest.let_go[-_LET_GO_KEPT:]
    )
    write_durably(directory / NAME, msgspec.json.encode(kept))
    return kept


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file by rename; content and name are on disk when this returns."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Force the names in a directory to disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def covered(ranges: tuple[Coverage, ...], added: Coverage) -> tuple[Coverage, ...]:
    """Add a range to the coverage; it joins the last range of its stream where it follows on."""
    for index in range(len(ranges) - 1, -1, -1):
        last = ranges[index]
        if (last.journal_id, last.stream) == (added.journal_id, added.stream):
            if last.last + 1 == added.first:
                joined = msgspec.structs.replace(last, last=added.last)
                return (*ranges[:index], joined, *ranges[index + 1 :])
            break
    return (*ranges, added)
