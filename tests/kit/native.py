# SPDX-License-Identifier: Apache-2.0
"""A journal on disk, written as the switch writes it."""

from pathlib import Path

from kit.journal import T0_US
from ringfence.core import JournalWriter
from ringfence.ledger.schema import CALLS, EDGE, STREAMS, CallEnded, encode_call_ended
from ringfence.ledger.source import stream_directory


class DiskJournal:
    """Writers of both streams in a data directory."""

    def __init__(self, data_dir: Path, now_us: int = T0_US) -> None:
        self.data_dir = data_dir
        self.now_us = now_us
        self.edge = self._writer(EDGE)
        self.calls = self._writer(CALLS)

    def _writer(self, stream: int) -> JournalWriter:
        directory = stream_directory(self.data_dir, stream)
        directory.mkdir(parents=True, exist_ok=True)
        return JournalWriter(
            str(directory), now_us=self.now_us, stream="calls" if STREAMS[stream] == "calls" else "edge"
        )

    def refuse(self, count: int = 1, *, step_us: int = 1000, method: str = "INVITE") -> None:
        """Refusals from a few sources, ten to a write."""
        for n in range(count):
            self.now_us += step_us
            self.edge.attempt(
                time_us=self.now_us,
                method=method,
                source=f"198.51.100.{n % 7}",
                caller=b"100",
                callee=b"00972%d" % n,
                call_id=b"\xff%d" % n,
            )
            if n % 10 == 9:
                self.edge.commit(self.now_us)
        self.edge.commit(self.now_us)

    def end_call(self, call: CallEnded) -> None:
        self.calls.opaque(time_us=self.now_us, kind="call_ended", payload=encode_call_ended(call))
        self.calls.commit(self.now_us)

    def pass_time(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)

    def rotate(self) -> None:
        """Begin new segments."""
        self.edge.rotate(self.now_us)
        self.calls.rotate(self.now_us)
