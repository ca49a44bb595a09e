# SPDX-License-Identifier: Apache-2.0
"""Calls of the drill, from a customer straight to a vendor."""

import csv
import socket
from pathlib import Path

import pytest

from ringfence.core import call_load
from ringfence.errors import ConfigError


def _free() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_each_call_ends_as_its_number_says_and_stands_in_the_file(tmp_path: Path) -> None:
    vendor = _free()
    file = tmp_path / "calls.csv"
    report = call_load(
        vendor,
        customer="127.0.0.1:0",
        vendor=vendor,
        rate=1000,
        seconds=5,
        count=100,
        fates={"caller_hangs_up": 1, "busy": 1},
        calls_file=file,
    )
    assert (report.started, report.as_fated, report.failed, report.open) == (100, 100, 0, 0)
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len({row["call_id"] for row in rows}) == 100
    assert sum(row["outcome"] == "completed" for row in rows) == report.answered
    assert all(int(row["ended_us"]) >= int(row["started_us"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("target", "fates", "rate"),
    [("192.0.2.1:5060", None, 10), ("127.0.0.1:9", {"busy": 0}, 10), ("127.0.0.1:9", None, 0)],
)
def test_what_cannot_be_meant_is_refused(target: str, fates: None, rate: float) -> None:
    with pytest.raises(ConfigError):
        call_load(target, customer="127.0.0.1:0", vendor="127.0.0.1:0", rate=rate, seconds=1, fates=fates)
