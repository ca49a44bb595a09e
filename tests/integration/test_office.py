# SPDX-License-Identifier: Apache-2.0
"""The office as a process: it serves, it dies at any moment, it ends when told to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.native import DiskJournal
from ringfence.clock import SystemClock
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import open_reader
from ringfence.settings.model import Role
from ringfence.settings.store import SettingsStore

pytestmark = pytest.mark.integration


@contextmanager
def office(data_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An office that says that it serves, and its address."""
    reading, writing = os.pipe()
    command = (
        sys.executable,
        "-m",
        "ringfence.cli",
        "office",
        "--data",
        str(data_dir),
        "--portal",
        "127.0.0.1:0",
    )
    process = subprocess.Popen(
        (*command, "--ready-fd", str(writing)), pass_fds=(writing,), stderr=subprocess.DEVNULL
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            yield process, json.loads(pipe.readline())["portal"]
    finally:
        process.kill()
        process.wait()


def get(address: str, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(address, headers=headers)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def rows(data_dir: Path) -> int:
    with open_reader(data_dir, node="n1") as reader:
        return reader.store.count(CdrQuery()).rows


def test_a_refusal_is_on_the_page_within_a_second_and_sigterm_ends_the_office(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path, now_us=SystemClock().utc_us())
    with office(tmp_path) as (process, address):
        while get(f"{address}/health/ready")[0] != 200:
            assert process.poll() is None
        with SettingsStore.open_or_create(tmp_path) as settings:
            token = settings.tokens.add("probe", Role.VIEWER, actor="test").secret
        journal.now_us = SystemClock().utc_us()
        journal.refuse(1)
        written_s = time.monotonic()
        while "unknown_source" not in get(f"{address}/api/v1/cdrs", token)[1]:
            assert time.monotonic() - written_s < 10
        took_s = time.monotonic() - written_s
        assert "ringfence_ledger_up 1.0" in get(f"{address}/metrics")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
    assert took_s < 1


def test_a_second_office_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with office(tmp_path):
        second = subprocess.run(
            (
                sys.executable,
                "-m",
                "ringfence.cli",
                "office",
                "--data",
                str(tmp_path),
                "--portal",
                "127.0.0.1:0",
            ),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert second.returncode == 1
    assert "office runs" in second.stderr


@pytest.mark.timeout(180)
def test_an_office_killed_again_and_again_neither_loses_nor_doubles_a_row(tmp_path: Path) -> None:
    """Old frames seal at once, so each office writes segments from its first moment on."""
    journal = DiskJournal(tmp_path, now_us=SystemClock().utc_us() - 3600 * 1_000_000)
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            journal.refuse(200, step_us=100_000)
            written += 200
            stop.wait(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(4):
            with office(tmp_path) as (process, _):
                stop.wait(0.2 + 0.37 * turn)
                process.send_signal(signal.SIGKILL)
                process.wait()
    finally:
        stop.set()
        writer.join()
    assert rows(tmp_path) == written
    with office(tmp_path) as (_, address):
        while get(f"{address}/health/ready")[0] != 200:
            pass
    assert rows(tmp_path) == written
