# SPDX-License-Identifier: Apache-2.0
"""cdr and ledger: the contract that scripts depend on."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from kit.cli import Cli
from kit.journal import ended
from kit.native import DiskJournal
from ringfence import core
from ringfence.cli.lock import hold_lock
from ringfence.clock import SystemClock
from ringfence.ledger.schema import COLUMN_NAMES

DAY_S = 86_400


@pytest.fixture
def journal(cli: Cli) -> DiskJournal:
    """Nine illegal calls and three events two days ago, a call a day ago."""
    made = DiskJournal(cli.data_dir, now_us=SystemClock().utc_us() - 2 * DAY_S * 1_000_000)
    made.refuse(9)
    made.refuse(3, method="OPTIONS")
    made.edge.increment(time_us=made.now_us, base_seq=1, count=4)
    made.edge.commit(made.now_us)
    made.pass_time(DAY_S)
    made.end_call(ended(account="acme"))
    return made


def rows(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli.ok("cdr", "list", *arguments, "--format", "json").stdout)
    return found


@pytest.mark.parametrize(
    ("arguments", "count", "attempts"),
    [
        ([], 13, 17),
        (["--illegal"], 9, 13),
        (["--events"], 3, 3),
        (["--illegal", "--events"], 12, 16),
        (["--billing-mode", "-9"], 9, 13),
        (["--billing-mode", "1"], 1, 1),
        (["--since", "36h"], 1, 1),
        (["--until", "36h"], 12, 16),
        (["--since", "2001-01-01"], 13, 17),
        (["--until", "2001-01-01T00:00:00Z"], 0, 0),
        (["--source", "198.51.100.0"], 3, 7),
        (["--source", "198.51.100.0/30", "--illegal"], 6, 10),
        (["--source", "::ffff:198.51.100.0/126", "--illegal"], 6, 10),
        (["--source", "::ffff:198.51.100.0"], 3, 7),
        (["--caller", "100"], 12, 16),
        (["--caller", "1*"], 13, 17),
        (["--callee", "009721"], 2, 2),
        (["--account", "acme"], 1, 1),
        (["--dialled", "442"], 1, 1),
        (["--dialled", "972"], 0, 0),
        (["--dialled-country", "gb"], 1, 1),
        (["--dialled-country", "IL"], 0, 0),
        (["--country", "NL"], 0, 0),
        (["--reason", "unknown_source"], 12, 16),
        (["--min-duration", "1"], 0, 0),
    ],
)
def test_every_filter_counts_what_it_lists(
    cli: Cli, journal: DiskJournal, arguments: list[str], count: int, attempts: int
) -> None:
    assert cli.ok("cdr", "count", *arguments).stdout == f"{count}\n"
    assert cli.ok("cdr", "count", "--attempts", *arguments).stdout == f"{attempts}\n"
    assert len(rows(cli, *arguments)) == count


def test_a_list_has_the_newest_first_and_pages_go_on(cli: Cli, journal: DiskJournal) -> None:
    whole = rows(cli)
    assert [row["recorded_at"] for row in whole] == sorted(
        (row["recorded_at"] for row in whole), reverse=True
    )
    assert list(whole[0]) == list(COLUMN_NAMES)
    first = cli.ok("cdr", "list", "--limit", "5", "--format", "json")
    place = first.stderr.split("--below ")[1].split()[0]
    assert json.loads(first.stdout) + rows(cli, "--below", place) == whole


def test_a_table_shows_why(cli: Cli, journal: DiskJournal) -> None:
    text = cli.ok("cdr", "list", "--illegal", "--limit", "1").stdout
    assert "unknown_source" in text
    assert "-9" in text
    assert "there are older ones" not in text


def test_a_table_names_a_gateway_that_the_edge_refused(cli: Cli) -> None:
    made = DiskJournal(cli.data_dir)
    for number in (1, 2):
        made.edge.attempt(time_us=made.now_us, source="192.0.2.1", gateway_id=number)
    made.edge.commit(made.now_us)
    assert "#1" in cli.ok("cdr", "list").stdout
    cli.ok("gateway", "add", "carrier", "192.0.2.1")
    text = cli.ok("cdr", "list").stdout
    assert "carrier" in text
    assert "#2" in text


def test_records_are_found_by_the_country_of_their_source(cli: Cli) -> None:
    made = DiskJournal(cli.data_dir)
    for source in ("193.0.6.139", "198.51.100.7"):
        made.edge.attempt(time_us=made.now_us, source=source)
    made.edge.commit(made.now_us)
    assert [row["callerip"] for row in rows(cli, "--country", "nl")] == ["193.0.6.139"]
    refused = cli("cdr", "list", "--country", "Holland")
    assert "there is no country 'Holland'" in refused.stderr
    assert "two letters (ISO 3166-1), such as NL" in refused.stderr


def test_counts_in_json_have_both_numbers(cli: Cli, journal: DiskJournal) -> None:
    assert json.loads(cli.ok("cdr", "count", "--format", "json").stdout) == {"records": 13, "attempts": 17}


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--source", "1.2.3"],
        ["list", "--reason", "unknwon_source"],
        ["list", "--country", "Netherlands"],
        ["list", "--dialled", "+44"],
        ["list", "--dialled-country", "XX"],
        ["list", "--since", "yesterday"],
        ["list", "--since", "999999d"],
        ["list", "--below", "x"],
        ["list", "--limit", "0"],
        ["export", "--format", "xml"],
        ["export", "--hours", "x"],
        ["export", "--format", "vos", "--hours", "x", "--output", "y"],
    ],
)
def test_what_cannot_be_understood_is_bad_usage(cli: Cli, arguments: list[str]) -> None:
    assert cli("cdr", *arguments).exit_code == 2


def test_an_export_has_every_record_oldest_first_in_each_format(
    cli: Cli, journal: DiskJournal, tmp_path: Path
) -> None:
    flows = [row["flowNo"] for row in rows(cli)][::-1]
    exported = json.loads(cli.ok("cdr", "export", "--format", "json").stdout)
    assert [row["flowNo"] for row in exported] == flows
    table = list(csv.DictReader(io.StringIO(cli.ok("cdr", "export").stdout)))
    assert [int(row["flowNo"]) for row in table] == flows
    assert list(table[0]) == list(COLUMN_NAMES)
    file = tmp_path / "out.parquet"
    cli.ok("cdr", "export", "--format", "parquet", "--output", str(file), "--limit", "7")
    assert pq.read_table(file)["flowNo"].to_pylist() == flows[:7]
    lines = cli.ok("cdr", "export", "--format", "jsonl", "--limit", "3").stdout.splitlines()
    assert [json.loads(line) for line in lines] == exported[:3]
    fields = [line.split("|") for line in cli.ok("cdr", "export", "--format", "vos").stdout.splitlines()]
    assert [int(line[-1]) for line in fields] == flows
    file = tmp_path / "out.xlsx"
    cli.ok("cdr", "export", "--format", "xlsx", "--output", str(file))
    sheet = openpyxl.load_workbook(file).active
    assert [
        row[COLUMN_NAMES.index("flowNo")] for row in sheet.iter_rows(min_row=2, values_only=True)
    ] == flows


def test_vos_files_can_be_one_per_hour(cli: Cli, journal: DiskJournal, tmp_path: Path) -> None:
    flows = [row["flowNo"] for row in rows(cli)][::-1]
    hours = tmp_path / "vos" / "cdr"
    cli.ok("cdr", "export", "--format", "vos", "--hours", str(hours))
    files = sorted(hours.iterdir())
    assert [file.name for file in files] == sorted(
        {f"{re.sub('[^0-9]', '', row['recorded_at'])[:10]}.txt" for row in rows(cli)}
    )
    found = [line.split("|")[-1] for file in files for line in file.read_text("utf-8").splitlines()]
    assert [int(flow) for flow in found] == flows


def test_an_export_defuses_what_a_spreadsheet_would_run(cli: Cli) -> None:
    made = DiskJournal(cli.data_dir)
    made.edge.attempt(time_us=made.now_us, caller=b"=cmd|'/C calc'!A0", user_agent=b"a\r\nb\x1b[2J")
    made.edge.commit(made.now_us)
    [row] = csv.DictReader(io.StringIO(cli.ok("cdr", "export").stdout))
    assert row["callerE164"] == "'=cmd|'/C calc'!A0"
    assert row["user_agent"] == "a\\r\\nb\\x1b[2J"


def test_an_export_into_a_directory_that_is_not_there_says_so(
    cli: Cli, journal: DiskJournal, tmp_path: Path
) -> None:
    result = cli("cdr", "export", "--output", str(tmp_path / "none" / "x.csv"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_without_any_record_a_list_is_empty(cli: Cli) -> None:
    assert rows(cli) == []
    assert cli.ok("cdr", "count").stdout == "0\n"


def test_a_verified_ledger_is_well_and_a_damaged_one_fails(cli: Cli, journal: DiskJournal) -> None:
    assert cli.ok("ledger", "rebuild").stdout
    assert "all is well" in cli.ok("ledger", "verify").stdout
    [segment, *_] = (cli.data_dir / "cdr").glob("dt=*/*.parquet")
    segment.unlink()
    result = cli("ledger", "verify")
    assert result.exit_code == 1
    assert str(segment) in result.stderr
    cli.ok("ledger", "rebuild")
    assert json.loads(cli.ok("ledger", "verify", "--format", "json").stdout)["is_well"]


def test_records_that_were_never_sealed_do_not_differ_from_rebuilt_ones(
    cli: Cli, journal: DiskJournal
) -> None:
    journal.refuse(3)
    cli.ok("ledger", "rebuild", "--compare")


def test_a_directory_without_data_is_not_called_well(cli: Cli) -> None:
    result = cli("ledger", "verify")
    assert result.exit_code == 1
    assert "no journal and no record" in result.stderr
    assert "--data" in result.stderr


def test_a_rebuild_while_an_office_runs_only_compares(cli: Cli, journal: DiskJournal) -> None:
    cli.ok("ledger", "rebuild")
    with hold_lock(cli.data_dir / "office.lock", "an office"):
        result = cli("ledger", "rebuild")
        assert result.exit_code == 1
        assert "office runs" in result.stderr
        cli.ok("ledger", "rebuild", "--compare")


def test_status_tells_what_there_is(cli: Cli, journal: DiskJournal) -> None:
    cli.ok("ledger", "rebuild")
    found = json.loads(cli.ok("ledger", "status", "--format", "json").stdout)
    assert (found["illegal_records"], found["event_records"], found["edge_sealed"]) == (9, 3, 13)


def test_a_rebuild_does_not_replace_records_with_fewer_unless_forced(cli: Cli, journal: DiskJournal) -> None:
    journal.rotate()
    journal.refuse(5)
    cli.ok("ledger", "rebuild")
    before = rows(cli)
    [first, *_] = core.segments(str(cli.data_dir / "journal" / "edge"))
    content = bytearray(Path(first.path).read_bytes())
    content[200:] = b"\0" * (len(content) - 200)
    Path(first.path).write_bytes(content)
    result = cli("ledger", "rebuild")
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert rows(cli) == before
    assert not (cli.data_dir / "cdr.rebuilt").exists()
    cli.ok("ledger", "rebuild", "--force")
    assert len(rows(cli)) < len(before)
    assert (cli.data_dir / "cdr.before-rebuild").is_dir()


def test_a_comparison_leaves_nothing_behind(cli: Cli, journal: DiskJournal) -> None:
    cli.ok("ledger", "rebuild")
    cli.ok("ledger", "rebuild", "--compare")
    assert not (cli.data_dir / "cdr.rebuilt").exists()


def test_without_data_a_rebuild_says_so_and_makes_no_directory(cli: Cli, tmp_path: Path) -> None:
    result = cli("ledger", "rebuild", "--data", str(tmp_path / "nope"))
    assert result.exit_code == 1
    assert "no journal and no record" in result.stderr
    assert not (tmp_path / "nope").exists()
