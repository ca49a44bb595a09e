# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

import ringfence
from kit.cli import Cli
from ringfence.cli.application import application
from ringfence.cli.group import exit_code_of
from ringfence.errors import ConfigError, RingfenceError

SOURCE = Path(__file__).parents[3] / "src"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["gatway"], "no such command: gatway", "did you mean gateway?"),
        (["gateway", "lst"], "no such command: lst", "did you mean list?"),
        (["param", "list", "--formt", "csv"], "no such option: --formt", "did you mean --format?"),
        (
            ["--data", "d", "books"],
            "no such option: --data",
            "options stand behind the command: `ringfence COMMAND --data ...`",
        ),
        (["--hlp"], "no such option: --hlp", "did you mean --help?"),
        (["param", "get", "RF_ROAMIN"], "there is no parameter 'RF_ROAMIN'", "did you mean RF_ROAMING?"),
        (["param", "get"], "missing argument 'NAME'", "`ringfence param get --help` shows what there is"),
        (
            ["param", "list", "--format", "xml"],
            "invalid value for '--format'",
            "`ringfence param list --help`",
        ),
        (["cdr", "list", "--limit", "x"], "invalid value for '--limit': 'x' is not a whole number", "`ring"),
        (["drill", "--rate", "x"], "invalid value for '--rate': 'x' is not a number", "`ringfence drill"),
        (["cdr", "list", "--billing-mode", "77"], "there is no billing mode 77", "one of -9, "),
        (
            ["cdr", "count", "--since", "2026-01-02", "--until", "2026-01-01"],
            "--until is not after --since",
            "swap",
        ),
        (["trace", "--source", "1.2.3"], "'1.2.3' is no IP address and no network", "for example"),
        (["zzz"], "no such command: zzz", "`ringfence --help` shows what there is"),
    ],
)
def test_bad_usage_is_one_line_a_hint_and_exit_code_2(
    cli: Cli, arguments: list[str], message: str, hint: str
) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {message}")
    assert lines[1].startswith(f"hint: {hint}")


def test_failure_is_one_line_a_hint_and_exit_code_1(cli: Cli) -> None:
    result = cli("gateway", "list")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[0] == f"error: there are no settings in {cli.data_dir}"
    assert result.stderr.splitlines()[1].startswith("hint: ")


def test_reading_command_creates_nothing(cli: Cli) -> None:
    cli("param", "list")
    assert not cli.data_dir.exists()


@pytest.mark.parametrize("arguments", [[], ["gateway"]])
def test_group_without_command_shows_its_help_as_bad_usage(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ringfence")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_data_and_names_every_command(cli: Cli, option: str) -> None:
    result = cli.ok(option)
    for name in application.list_commands(click.Context(application)):
        assert f"  {name} " in result.stdout


def test_help_imports_none_of_the_commands() -> None:
    program = (
        "import sys\n"
        "from ringfence.cli.application import application\n"
        "application.main(['--help'], prog_name='ringfence', standalone_mode=False)\n"
        "slow = {'sqlalchemy', 'rich', 'textual', 'pyarrow', 'duckdb', 'asyncio', 'argon2', 'msgspec'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ran.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    ["run", "config", "books", "top", "param", "gateway", "phone", "block", "user", "backup", "restore"],
)
def test_every_command_of_this_package_has_help(cli: Cli, name: str) -> None:
    command = application.get_command(click.Context(application), name)
    assert command is not None
    assert cli.ok(name, "--help").stdout.startswith(f"Usage: ringfence {name}")
    if isinstance(command, click.Group):
        for inner in command.commands:
            assert cli.ok(name, inner, "--help").stdout.startswith(f"Usage: ringfence {name} {inner}")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RingfenceError("it failed"), 1),
        (ConfigError("what is there stands against it", code="duplicate"), 1),
        (ConfigError("what was typed cannot be", code="bad_value"), 2),
        (click.ClickException("it failed"), 1),
        (click.Abort(), 1),
    ],
)
def test_errors_have_their_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    assert exit_code_of(fail) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_directory_of_another_user_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise PermissionError(13, "Permission denied", "data/switch.lock")

    assert exit_code_of(fail) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: data/switch.lock: Permission denied",
        "hint: run this as the user who owns the data directory",
    ]


def test_exit_code_that_a_command_asks_for_is_kept() -> None:
    assert exit_code_of(lambda: 3) == 3
    assert exit_code_of(lambda: None) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_data(cli: Cli, shell: str) -> None:
    assert "_RINGFENCE_COMPLETE" in cli.ok("completion", shell).stdout


@pytest.mark.parametrize(
    ("arguments", "incomplete", "found"),
    [
        ([], "ga", ["gateway"]),
        (["gateway"], "im", ["import"]),
        (["param", "get"], "ss_auth", ["SS_AUTHENTICATION_MAX_RETRY", "SS_AUTHENTICATION_FAILED_SUSPEND"]),
        (["param", "list"], "--for", ["--format"]),
        (["cdr", "count", "--reason"], "unk", ["unknown_source", "unknown_dialog"]),
        (["cdr", "list", "--country"], "nz", ["NZ"]),
        (
            ["cdr", "export", "--dialled-country"],
            "N",
            ["NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ"],
        ),
    ],
)
def test_words_are_completed(arguments: list[str], incomplete: str, found: list[str]) -> None:
    completion = ShellComplete(application, {}, "ringfence", "_RINGFENCE_COMPLETE")
    assert [item.value for item in completion.get_completions(arguments, incomplete)] == found


def test_version_is_data(cli: Cli) -> None:
    assert cli.ok("version").stdout == f"{ringfence.__version__}\n"
