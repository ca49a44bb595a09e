# SPDX-License-Identifier: Apache-2.0
"""Backups: one tar file with the call records, the journal and the settings of a data directory.

The switch and the office may run meanwhile. What is copied later holds at least what was copied earlier
refers to: call records, then the journal they come from, then the settings that both name. The last member,
`CHECKSUMS.json`, lists every other one; a file without it is a backup that was cut off.
"""

import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import msgspec

from ringfence.errors import StoreError
from ringfence.settings.database import FILE_NAME
from ringfence.settings.secret_box import KEY_FILE

CHECKSUMS: Final = "CHECKSUMS.json"
SUFFIXES: Final = (".tar.zst", ".tar.gz", ".tgz", ".tar")

_FORMAT: Final = 1
_PART: Final = 1024 * 1024
_MANIFEST: Final = PurePosixPath("cdr/manifest.json")
_ROOTS: Final = frozenset({"cdr", "journal", FILE_NAME, KEY_FILE})


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a backup; `path` is relative to the data directory."""

    path: str
    bytes: int
    sha256: str


class Checksums(msgspec.Struct, frozen=True, kw_only=True):
    """The last member of a backup."""

    format: int
    created_at_us: int
    files: tuple[Member, ...]


Progress = Callable[[int], None]
"""Told how many more bytes were copied."""


def size_of(data_dir: Path, *, with_records: bool) -> int:
    """About how many bytes a backup has to read."""
    roots = [data_dir / "journal", *([data_dir / "cdr"] if with_records else [])]
    total = 0
    for root in roots:
        for path in root.rglob("*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
    return total


def write_backup(
    data_dir: Path, target: Path, *, now_us: int, with_records: bool, with_settings: bool, progress: Progress
) -> Checksums:
    """Write a backup of a data directory; `target` appears only once it is whole.

    Raises: StoreError.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        with _compressed(partial, target.name) as file, tarfile.open(fileobj=file, mode="w|") as tar:
            writer = _Writer(tar, data_dir, progress)
            if with_records:
                writer.add_records()
            writer.add_tree("journal")
            if with_settings:
                writer.add_settings()
            writer.add_key()
            checksums = Checksums(format=_FORMAT, created_at_us=now_us, files=tuple(writer.members))
            writer.add_bytes(CHECKSUMS, msgspec.json.format(msgspec.json.encode(checksums)))
        _sync(partial)
        partial.replace(target)
    except OSError as error:
        raise StoreError(
            f"the backup {target} cannot be written: {error.strerror or error}",
            hint="check the directory and its room",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return checksums


def read_backup(source: Path, into: Path, *, progress: Progress) -> Checksums:
    """Unpack a backup into an empty directory and check every file of it.

    Raises: StoreError if it is cut off, damaged, or holds anything that a backup does not.
    """
    seen: dict[str, Member] = {}
    checksums: Checksums | None = None
    try:
        with _decompressed(source) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or checksums is not None:
                    raise _damaged(source, f"{member.name!r} does not belong into a backup")
                if member.name == CHECKSUMS:
                    checksums = msgspec.json.decode(content.read(), type=Checksums)
                else:
                    seen[member.name] = _extract(content, member, source, into, progress)
    except (OSError, EOFError, tarfile.TarError, msgspec.MsgspecError) as error:
        raise _damaged(source, str(error)) from error
    if checksums is None:
        raise _damaged(source, "it ends before its list of checksums")
    if checksums.format != _FORMAT:
        raise StoreError(f"{source} was made by a newer Ringfence", hint="restore it with that version")
    for listed in checksums.files:
        if seen.pop(listed.path, None) != listed:
            raise _damaged(source, f"{listed.path!r} is not what was saved")
    if seen:
        raise _damaged(source, f"{next(iter(seen))!r} is not in its list of checksums")
    return checksums


class _Writer:
    """Puts files into a tar and remembers their checksums."""

    def __init__(self, tar: tarfile.TarFile, data_dir: Path, progress: Progress) -> None:
        self._tar = tar
        self._data_dir = data_dir
        self._progress = progress
        self.members: list[Member] = []
        self._done: set[str] = set()

    def add_records(self) -> None:
        """Copy the call records as one manifest names them.

        Files are only ever replaced by new ones under another name, and the manifest is replaced before the
        old ones go: if it is the same before and after the copying, all that it names was copied.
        """
        manifest = self._data_dir / _MANIFEST
        while True:
            before = _content(manifest)
            self.add_tree("cdr", leave_out=_MANIFEST)
            if _content(manifest) == before:
                break
        if before is not None:
            self.add_bytes(str(_MANIFEST), before)

    def add_tree(self, root: str, *, leave_out: PurePosixPath | None = None) -> None:
        """Copy every file below a directory that was not copied yet.

        A file that vanishes meanwhile was replaced by its compressed self, so the directory is read again.
        """
        is_settled = False
        while not is_settled:
            is_settled = True
            for path in sorted((self._data_dir / root).rglob("*")):
                name = PurePosixPath(path.relative_to(self._data_dir).as_posix())
                if str(name) in self._done or name == leave_out or path.is_dir():
                    continue
                try:
                    with path.open("rb") as file:
                        # A live segment grows; what is there now is whole writes and at most one torn one.
                        self._add(str(name), file, os.fstat(file.fileno()).st_size)
                except FileNotFoundError:
                    is_settled = False

    def add_settings(self) -> None:
        """Copy the settings as of one moment, whoever writes meanwhile."""
        path = self._data_dir / FILE_NAME
        if not path.exists():
            return
        copy = sqlite3.connect(":memory:")
        try:
            live = sqlite3.connect(path)
            try:
                live.backup(copy)
            finally:
                live.close()
            content = copy.serialize()
        except sqlite3.Error as error:
            raise StoreError(f"the settings cannot be read: {path} ({error})", hint="try again") from error
        finally:
            copy.close()
        self.add_bytes(FILE_NAME, content)

    def add_key(self) -> None:
        """Copy the key of the secrets, after the settings whose secrets it opens; it never changes."""
        content = _content(self._data_dir / KEY_FILE)
        if content is not None:
            self.add_bytes(KEY_FILE, content)

    def add_bytes(self, name: str, content: bytes) -> None:
        """Put a file whose content is at hand."""
        self._add(name, io.BytesIO(content), len(content))

    def _add(self, name: str, file: IO[bytes], size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = size
        entry.mode = 0o600
        reader = _Counted(file, size, self._progress)
        self._tar.addfile(entry, reader)
        self._done.add(name)
        if name != CHECKSUMS:
            self.members.append(Member(path=name, bytes=size, sha256=reader.sha256.hexdigest()))


class _Counted(io.RawIOBase):
    """Reads at most `size` bytes, and digests and counts what it reads."""

    def __init__(self, file: IO[bytes], size: int, progress: Progress) -> None:
        self._file = file
        self._left = size
        self._progress = progress
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        part = self._file.read(wanted)
        self._left -= len(part)
        self.sha256.update(part)
        self._progress(len(part))
        return part


def _extract(
    content: IO[bytes], member: tarfile.TarInfo, source: Path, into: Path, progress: Progress
) -> Member:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or path.parts[0] not in _ROOTS or str(path) != member.name:
        raise _damaged(source, f"{member.name!r} does not belong into a backup")
    target = into / path
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader = _Counted(content, member.size, progress)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while part := reader.read(_PART):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return Member(path=member.name, bytes=target.stat().st_size, sha256=reader.sha256.hexdigest())


def _damaged(source: Path, why: str) -> StoreError:
    return StoreError(f"{source} is no whole backup: {why}", hint="nothing was changed; use another backup")


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _compressed(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A new private file, compressed as its final name says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if name.endswith(".zst"):
            with _arrow().CompressedOutputStream(file, "zstd") as stream:
                yield stream
        elif name.endswith("gz"):
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as stream:
                yield cast("IO[bytes]", stream)
        else:
            yield file


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    """A backup's tar, whatever it is compressed with: its first bytes tell."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == b"\x28\xb5\x2f\xfd":
            with _arrow().CompressedInputStream(file, "zstd") as stream:
                yield stream
        elif start[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                yield cast("IO[bytes]", stream)
        else:
            yield file


def _arrow() -> Any:
    # Arrow brings zstd, which Python has only from 3.14 on; it takes a while to import.
    import pyarrow as pa  # noqa: PLC0415

    return pa
