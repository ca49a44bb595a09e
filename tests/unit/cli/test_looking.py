# SPDX-License-Identifier: Apache-2.0
"""books and top, against a switch that only speaks on control.sock."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import DataTable, Static

from kit.cli import Cli
from kit.switch import FakeSwitch, serving, some_books
from ringfence.cli.books import WAYS, books_of
from ringfence.cli.live import Sample, balance_lines, counter_lines, headline, take_sample
from ringfence.cli.screen import LiveScreen
from ringfence.cli.top import rate_rows
from ringfence.errors import ControlError


@pytest.fixture
def switch() -> FakeSwitch:
    return FakeSwitch()


@pytest.fixture
def running(cli: Cli, switch: FakeSwitch) -> Iterator[Cli]:
    cli.data_dir.mkdir()
    with serving(cli.data_dir, switch):
        yield cli


def test_books_show_every_way_the_sum_and_the_verdict(running: Cli) -> None:
    assert running.ok("books").stdout == (
        "node n1, run 3, 1970-01-01T00:00:09.000000Z\n"
        "  read            21\n"
        "  = admitted       1\n"
        "  + recorded       2\n"
        "  + challenged     3\n"
        "  + folded         4\n"
        "  + absorbed       5\n"
        "  + unrecordable   6\n"
        "  sum             21  balanced\n"
        "  socket drops     7  beside the balance\n"
    )


@pytest.mark.parametrize(("read", "difference", "verdict"), [(25, 4, "4 missing"), (20, -1, "1 too many")])
def test_books_that_do_not_balance_show_by_how_much(
    running: Cli, switch: FakeSwitch, read: int, difference: int, verdict: str
) -> None:
    switch.books_now = some_books(read=read)
    assert verdict in running.ok("books").stdout
    shown = running.json("books")
    assert (shown["difference"], shown["is_balanced"], shown["accounted"]) == (difference, False, 21)


def test_books_without_a_switch_come_from_the_journal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.cli.books.last_books", lambda _data_dir, _node: some_books(run=9))
    result = cli.ok("books", "--format", "json")
    assert '"run": 9' in result.stdout
    assert "the last balance in the journal" in result.stderr


def test_books_with_neither_switch_nor_journal_fail(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.cli.books.last_books", lambda _data_dir, _node: None)
    result = cli("books")
    assert result.exit_code == 1
    assert "no switch is running" in result.stderr


def test_balance_is_made_of_the_counters_by_name() -> None:
    counters = {name: number for number, name in enumerate(("read", *WAYS, "socket_drops_known"), 1)}
    made = books_of(counters, node="n1", run=2, at_us=3)
    assert (made.read, made.admitted, made.unrecordable, made.socket_drops) == (1, 2, 7, 8)


def test_books_fail_if_the_switch_fails(
    running: Cli, switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise ControlError("busy", code="busy")

    monkeypatch.setattr(switch, "books", refuse)
    assert running("books").exit_code == 1


def samples(data_dir: Path, switch: FakeSwitch) -> tuple[Sample, Sample]:
    first = take_sample(data_dir)
    switch.books_now = some_books(at_us=11_000_000, read=121, recorded=102)
    return first, take_sample(data_dir)


def test_rates_are_rises_per_second(running: Cli, switch: FakeSwitch) -> None:
    before, now = samples(running.data_dir, switch)
    rates = {line.name: (line.total, line.per_s) for line in balance_lines(before, now)}
    assert rates["read"] == (121, 50.0)
    assert rates["recorded"] == (102, 50.0)
    assert rates["admitted"] == (1, 0.0)
    assert [(line.name, line.per_s) for line in counter_lines(before, now)] == [
        ("read", 50.0),
        ("muted", 0.0),
    ]
    assert headline(now) == "n1 run 3, up 1:02:05, settings 1, udp:127.0.0.1:5060"


def test_rates_across_a_restart_are_not_computed(running: Cli, switch: FakeSwitch) -> None:
    first = take_sample(running.data_dir)
    switch.books_now = some_books(run=4, at_us=11_000_000, read=1)
    assert {line.per_s for line in balance_lines(first, take_sample(running.data_dir))} == {0.0}


def test_top_without_a_terminal_prints_a_row(running: Cli) -> None:
    rows = running.json("top", "--interval", "0.1")
    assert len(rows) == 1
    assert rows[0]["difference"] == 0


def test_each_row_is_the_rate_since_the_row_before(running: Cli, switch: FakeSwitch) -> None:
    def wait() -> None:
        now = switch.books_now
        switch.books_now = some_books(at_us=now.at_us + 2_000_000, read=now.read + 10)

    rows = list(rate_rows(take_sample(running.data_dir), lambda: take_sample(running.data_dir), wait, 3))
    assert [row[1] for row in rows] == [5.0, 5.0, 5.0]
    assert [row[-1] for row in rows] == [10, 20, 30]


def test_top_without_a_switch_fails(cli: Cli) -> None:
    assert cli("top").exit_code == 1


def test_screen_shows_the_balance_and_outlives_the_switch(running: Cli, switch: FakeSwitch) -> None:
    first, second = samples(running.data_dir, switch)
    answers = [first, second]

    def ask() -> Sample:
        if not answers:
            raise ControlError("no switch is running in \x1bhere")
        return answers.pop(0)

    async def watch() -> list[str]:
        screen = LiveScreen(ask, interval_s=3600)
        seen = []
        async with screen.run_test() as pilot:
            for _ in range(3):
                await screen.workers.wait_for_complete()
                await pilot.pause()
                table = screen.query_one("#balance", DataTable)
                cells = [str(cell) for cell in table.get_row_at(0)]
                seen.append(" ".join([*cells, str(screen.query_one("#headline", Static).content)]))
                screen.renew()
            await pilot.press("q")
        return seen

    seen = asyncio.run(watch())
    assert seen[0].startswith("read 21 0 n1 run 3")
    assert seen[1].startswith("read 121 50 n1 run 3")
    assert seen[2] == "read 121 50 no switch is running in \\x1bhere"
