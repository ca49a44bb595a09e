# SPDX-License-Identifier: Apache-2.0
"""A customer and a vendor who call through a real switch, and the records of it."""

import csv
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.node import Half, Node
from ringfence.core import CallLoadReport, call_load
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import open_reader

CUSTOMER = "127.0.0.2"
VENDOR = "127.0.0.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A call as the customer saw it; times in UTC microseconds, 0 = did not happen.

    `talked_us` is from the first 200 to the first BYE that reached the switch, whatever was lost.
    """

    call_id: str
    callee: str
    fate: str
    outcome: str
    is_as_fated: bool
    started_us: int
    answered_us: int
    ended_us: int
    talked_us: int


def free_port(host: str) -> int:
    """A UDP port of this address that nobody uses now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def let_in(node: Node, *, vendor_port: int, customer: str = CUSTOMER, options: Iterable[str] = ()) -> None:
    """A customer by its address, and a vendor for numbers that begin with 44."""
    node.cli.ok("gateway", "add", "customer", customer, "--cps", "2000", "--burst", "2000", *options)
    node.cli.ok("route", "add", "vendor", f"{VENDOR}:{vendor_port}", "--prefixes", "44")


class Calling:
    """Calls going on beside the test."""

    def __init__(self, switch: Half, vendor_port: int, root: Path, **options: Any) -> None:
        self._file = root / "calls.csv"
        self._options = {
            "customer": f"{CUSTOMER}:0",
            "vendor": f"{VENDOR}:{vendor_port}",
            "calls_file": self._file,
            **options,
        }
        self._target = switch.target
        self._report: CallLoadReport | None = None
        self._thread = threading.Thread(target=self._run, name="calling", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._report = call_load(self._target, **self._options)

    def report(self, *, within_s: float) -> CallLoadReport:
        """What came of the calls, once they are over."""
        self._thread.join(within_s)
        assert self._report is not None, f"the calls were not over within {within_s:g} s"
        return self._report

    def calls(self) -> list[Called]:
        """Each call, in the order of their beginning; there once the report is."""
        with self._file.open() as lines:
            return [
                Called(
                    call_id=row["call_id"],
                    callee=row["callee"],
                    fate=row["fate"],
                    outcome=row["outcome"],
                    is_as_fated=row["as_fated"] == "1",
                    started_us=int(row["started_us"]),
                    answered_us=int(row["answered_us"]),
                    ended_us=int(row["ended_us"]),
                    talked_us=int(row["talked_us"]),
                )
                for row in csv.DictReader(lines)
            ]


def records(node: Node) -> list[dict[str, Any]]:
    """Every record of a call, as the journal gives them."""
    with open_reader(node.data_dir, node="n1", report=lambda *_: None) as reader:
        batches = reader.store.export(CdrQuery(kinds=frozenset({"call"})))
        return [row for batch in batches for row in batch.to_pylist()]
