# SPDX-License-Identifier: Apache-2.0
"""The ledger without the office: segments, and the journal above them decoded on the spot. Changes nothing.

Works while switch and office run, or do not. After a long time without an office the journal above the
segments may be long; it is read all the same, because an answer must not leave rows out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ringfence import core
from ringfence.clock import SystemClock
from ringfence.errors import StoreError
from ringfence.ledger import engine, manifest
from ringfence.ledger.feed import Feed, OpenSource
from ringfence.ledger.pipeline import Pace
from ringfence.ledger.schema import CALLS, EDGE
from ringfence.ledger.source import JournalSource, stream_directory
from ringfence.ledger.store import ParquetStore
from ringfence.ledger.tail import Tail
from ringfence.ledger.view import View

Report = Callable[[int, int], None]
"""Progress of long work: how much is done, of how much."""

_READ_FRAMES: Final = 50_000
_EPOCH_FRAMES: Final = 200_000


def cdr_directory(data_dir: Path) -> Path:
    """Where call records lie in a data directory."""
    return data_dir / "cdr"


def journal_sources(data_dir: Path) -> OpenSource:
    """Opens the streams of a data directory's journal."""
    return lambda stream, after: JournalSource(stream_directory(data_dir, stream), stream, after)


def expect_data(data_dir: Path) -> None:
    """Have a data directory be one.

    Raises: StoreError("no_data") if there is neither a journal nor a list of records.
    """
    places = (*(stream_directory(data_dir, stream) for stream in (EDGE, CALLS)), cdr_directory(data_dir))
    if not any(path.exists() for path in places):
        raise StoreError(
            f"there is no journal and no record in {data_dir}",
            hint="name the data directory with --data DIR",
            code="no_data",
        )


def last_seq(data_dir: Path, stream: int) -> int:
    """A sequence number that a stream has at least reached: the end of its sealed segments."""
    segments = core.segments(stream_directory(data_dir, stream))
    return max((segment.last_seq or segment.first_seq for segment in segments), default=0)


class LedgerReader:
    """Call records of a data directory, at the moment of opening."""

    def __init__(self, data_dir: Path, working: Path, *, node: str, report: Report | None = None) -> None:
        self._data_dir = data_dir
        self._directory = cdr_directory(data_dir)
        self._node = node
        self._report = report or (lambda _done, _whole: None)
        self._connection = engine.connect(self._directory, working=working)
        self._pace = Pace()
        self._readings = 0
        self.missing = 0
        self._view = self._read()
        self.store = ParquetStore(self._directory, self._connection, lambda: self._view, self._renew)

    @property
    def view(self) -> View:
        """What is read."""
        return self._view

    def close(self) -> None:
        """Let the engine go."""
        self._connection.close()

    def _renew(self) -> None:
        # Segments were merged or let go while we read. The new manifest may reach farther into the journal
        # than the old one, so the tail is read anew with it.
        old = self._readings
        self._view = self._read()
        self._connection.execute(f"DROP SCHEMA tail_{old} CASCADE")

    def _read(self) -> View:
        listed = manifest.load(self._directory)
        self._readings += 1
        tail = Tail(
            self._connection,
            node=self._node,
            window_us=self._pace.window_us,
            schema=f"tail_{self._readings}",
        )
        feed = Feed(
            tail,
            listed,
            journal_sources(self._data_dir),
            read_frames=_READ_FRAMES,
            window_us=self._pace.window_us,
            before_gap=tail.cut,
        )
        first = feed.edge.last_seq
        whole = max(last_seq(self._data_dir, EDGE) - first, 0)
        while feed.advance():
            self._report(min(feed.edge.last_seq - first, whole), whole)
            if tail.epochs and tail.epochs[-1].frames >= _EPOCH_FRAMES:
                tail.cut()
        self.missing = feed.edge.missing + feed.calls.missing
        return View(manifest=listed, tail=tail.view(SystemClock().utc_us()))


@contextmanager
def open_reader(data_dir: Path, *, node: str, report: Report | None = None) -> Iterator[LedgerReader]:
    """A reader that leaves nothing behind."""
    with TemporaryDirectory(prefix="ringfence-") as working:
        reader = LedgerReader(data_dir, Path(working), node=node, report=report)
        try:
            yield reader
        finally:
            reader.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The counters of a run of the switch as it last wrote them down, in the order of the guard's."""

    seq: int
    time_us: int
    run: int
    counters: tuple[int, ...]


def last_books(data_dir: Path) -> Books | None:
    """The newest `books` frame of the edge stream; None if there is none.

    Raises: StoreError if the journal cannot be read.
    """
    directory = stream_directory(data_dir, EDGE)
    for segment in reversed(core.segments(directory)):
        tail = core.JournalTail(str(directory), segment.first_seq - 1, skip_unreadable=True)
        found = None
        while (batch := tail.read(_READ_FRAMES)) is not None:
            for seq, time_us, run, counters in batch.books():
                found = Books(seq=seq, time_us=time_us, run=run, counters=tuple(counters))
            if segment.last_seq is not None and batch.last_seq >= segment.last_seq:
                break
        if found is not None:
            return found
    return None
