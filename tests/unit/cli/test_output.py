# SPDX-License-Identifier: Apache-2.0
import csv
import io
import json
import sys

import pytest

from ringfence.cli.output import Format, Output, Value, note
from ringfence.ledger.cells import csv_text, read_csv_text
from ringfence.text import visible


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("Zoë 中文", "Zoë 中文"),
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_escaped(text: str, safe: str) -> None:
    assert visible(text) == safe
    assert safe.isprintable()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formula_is_defused_and_comes_back_on_import(start: str) -> None:
    cell = csv_text(f"{start}1+cmd|' /C calc'!A0")
    assert cell.startswith("'")
    if start.isprintable():
        assert read_csv_text(cell) == f"{start}1+cmd|' /C calc'!A0"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a|@x;-2", "a|'@x;'-2"),
        ("a;'=1", "a;''=1"),
        ("=a;+1", "'=a;'+1"),
        ("x;transport=udp", "x;transport=udp"),
    ],
)
def test_a_formula_behind_another_separator_is_defused_too(text: str, cell: str) -> None:
    assert csv_text(text) == cell
    assert read_csv_text(cell) == text


@pytest.mark.parametrize("text", ["1+1", "'quoted'", "sip:1001@example", ""])
def test_text_that_is_no_formula_stays(text: str) -> None:
    assert csv_text(text) == text
    assert read_csv_text(text) == text


COLUMNS = ("name", "count", "on", "list", "none")
ROWS: list[list[Value]] = [["=a\x1b", -9, True, ("x", "y"), None], ["b", 100, False, (), None]]


def test_json_keeps_types_and_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.JSON).rows(COLUMNS, ROWS)
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text) == [
        {"name": "=a\x1b", "count": -9, "on": True, "list": ["x", "y"], "none": None},
        {"name": "b", "count": 100, "on": False, "list": [], "none": None},
    ]


def test_json_of_nothing_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.JSON).rows(COLUMNS, [])
    assert json.loads(capsys.readouterr().out) == []


def test_csv_has_a_heading_numbers_as_they_are_and_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.CSV).rows(COLUMNS, ROWS)
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read == [list(COLUMNS), ["'=a\\x1b", "-9", "true", "x y", ""], ["b", "100", "false", "", ""]]


def test_table_is_aligned_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.TABLE).rows(COLUMNS, ROWS)
    assert capsys.readouterr().out == (
        "NAME    COUNT  ON   LIST  NONE\n"
        "=a\\x1b     -9  yes  x, y  -\n"
        "b         100  no   -     -\n"
    )  # fmt: skip


def test_table_on_a_terminal_takes_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Output(Format.TABLE).rows(("name",), [["[bold]x[/bold]"]])
    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_empty_table_says_so_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.TABLE).rows(COLUMNS, [], empty="no gateway yet")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no gateway yet\n")


def test_record_is_a_field_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.TABLE).record({"in_flight": 5, "name": "x\n"})
    assert capsys.readouterr().out == "in flight  5\nname       x\\n\n"
    Output(Format.CSV).record({"in_flight": 5, "name": "+x"})
    assert capsys.readouterr().out == "in_flight,name\n5,'+x\n"


def test_outcome_is_for_programs_only(capsys: pytest.CaptureFixture[str]) -> None:
    for form in Format:
        Output(form).outcome({"id": 1})
        Output(form).outcomes(("id",), [[1]])
    assert capsys.readouterr().out == '{"id": 1}\n[\n  {"id": 1}\n]\nid\n1\nid\n1\n'


def test_remark_goes_to_stderr_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    note("added \x1b[0m")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "added \\x1b[0m\n")
