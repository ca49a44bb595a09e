# SPDX-License-Identifier: Apache-2.0
"""Routing gateways, groups, what gateways may do with calls, and why a call goes where it does."""

import csv
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from kit.cli import Cli
from ringfence.settings.call_rules import DialRule
from ringfence.settings.store import SettingsStore


@pytest.fixture
def routed(cli: Cli) -> Cli:
    """A customer, two vendors and a phone."""
    cli.ok("group", "add", "europe", "--remark", "by day")
    cli.ok("gateway", "add", "customer", "192.0.2.1", "--callee-rule", "00:", "--callee-deny", "00883")
    cli.ok(
        "route", "add", "uk", "192.0.2.10:5080", "--prefixes", "44 0044", "--group", "europe", "--lines", "30"
    )
    cli.ok("route", "add", "all", "sip.example.com", "--transport", "tls", "--priority", "5")
    cli.ok("phone", "add", "1001", "--generate")
    return cli


def explained(cli: Cli, callee: str = "00442079460000", *more: str, via: str = "customer") -> Any:
    return cli.json("route", "explain", "--from", "4930123", "--to", callee, "--via", via, *more)


# route


def test_route_lives(cli: Cli) -> None:
    added = cli.json("route", "add", "vendor", "192.0.2.10", "--prefixes", "44", "--prefixes", "+44 1")
    assert added["prefixes"] == ["44", "+44", "1"]
    assert cli.json("route", "show", "vendor") == added == cli.json("route", "list")[0]
    changed = cli.json(
        "route", "set", "vendor", "--name", "v2", "--address", "SIP.example.com:5061", "--transport", "tls",
        "--cost-per-minute", "0.0125", "--timeout-ringing", "40", "--after-busy", "--locked", "--disable",
        "--follow-redirects",
        "--failover-codes", "500-599", "--window", "Mon-Fri/8:00-18:00", "--pai", "caller", "--prefixes", "",
    )  # fmt: skip
    assert changed == added | {
        "name": "v2",
        "address": "sip.example.com:5061",
        "transport": "tls",
        "cost_per_minute": "0.0125",
        "timeout_ringing": 40,
        "after_busy": True,
        "follow_redirects": True,
        "locked": True,
        "enabled": False,
        "failover_codes": ["500-599"],
        "window": ["mon-fri/08:00-18:00"],
        "pai": "caller",
        "prefixes": [],
    }
    assert cli.json("route", "set", "v2", "--unlocked", "--no-after-busy", "--enable")["locked"] is False
    cli.ok("route", "remove", "v2")
    assert cli.json("route", "list") == []
    assert "no routing gateway yet" in cli.ok("route", "list").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "x"],
        ["add", "x", "192.0.2.1", "--registered-as", "g"],
        ["add", "x", "192.0.2.1", "--register-as", "us"],
        ["add", "x", "192.0.2.1", "--register-expires", "60"],
        ["add", "x", "192.0.2.1", "--pai", "maybe"],
        ["add", "x", "192.0.2.1", "--cost-per-minute", "cheap"],
        ["add", "x", "192.0.2.1", "--group", "nowhere"],
        ["add", "x", "192.0.2.1", "--callee-rule", "00"],
        ["add", "x", "300.0.0.1"],
        ["set", "uk"],
        ["set", "uk", "--address", "192.0.2.1", "--registered-as", "g"],
    ],
)
def test_route_that_cannot_be_is_bad_usage(routed: Cli, arguments: list[str]) -> None:
    before = routed.json("route", "list")
    result = routed("route", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert routed.json("route", "list") == before


def test_unknown_route_and_option_get_the_nearest_spelling(routed: Cli) -> None:
    result = routed("route", "show", "ukk")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: there is no routing gateway 'ukk'\nhint: did you mean uk?\n",
    )
    assert "did you mean --priority?" in routed("route", "set", "uk", "--prioritty", "1").stderr


def test_change_that_is_none_says_so(routed: Cli) -> None:
    assert routed.ok("route", "set", "uk", "--lines", "30").stderr == "nothing to change\n"


def test_prefixes_come_from_a_file(routed: Cli, tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_text("33 34\n\n35\n")
    changed = routed.json("route", "set", "uk", "--prefixes-from", str(tmp_path / "prefixes"))
    assert changed["prefixes"] == ["33", "34", "35"]
    changed = routed.json("route", "set", "uk", "--prefixes-from", "-", stdin="1 2 3 4 5 6 7")
    assert len(changed["prefixes"]) == 7
    assert "1, 2, 3, 4, 5, and 2 more" in routed.ok("route", "list").stdout
    result = routed("route", "set", "uk", "--prefixes-from", "-", stdin="44 4x-4")
    assert (result.exit_code, "'4x-4' is not a number prefix" in result.stderr) == (2, True)


def test_password_of_a_registration_is_never_shown(routed: Cli) -> None:
    result = routed.ok(
        "route", "set", "uk", "--register-as", "us", "--register-expires", "60", "--password-stdin",
        "--format", "json", stdin="correct horse\n",
    )  # fmt: skip
    shown = routed.json("route", "show", "uk")
    assert (shown["register_as"], shown["register_expires_s"]) == ("us", 60)
    assert "horse" not in result.output
    assert "horse" not in routed.ok("route", "list", "--format", "csv").stdout
    with SettingsStore.open_read_only(routed.data_dir) as store:
        gateway_id = store.routing_gateways.get("uk").id
        assert store.routing_gateways.secret(gateway_id) == "correct horse"
    assert routed.json("route", "set", "uk", "--unregister")["register_as"] is None


def test_how_we_register_is_shown_exported_and_checked(routed: Cli) -> None:
    shown = routed.json(
        "route", "set", "uk", "--registrar", "Reg.example.com", "--contact-user", "4930", "--auth-user", "me",
        "--register-retry-s", "45", "--no-register-required",
    )  # fmt: skip
    names = ("register", "register_required", "registrar", "contact_user", "auth_user", "register_retry_s")
    assert [shown[name] for name in names] == [True, False, "reg.example.com", "4930", "me", 45]
    assert "reg.example.com" in routed.ok("route", "list", "--format", "csv").stdout
    assert routed.json("route", "set", "uk", "--registrar", "")["registrar"] is None
    assert "is not an address" in routed("route", "set", "uk", "--registrar", "a b").stderr
    assert "0 to 600" in routed("route", "set", "uk", "--register-retry-s", "601").stderr


def test_routes_that_were_exported_can_be_imported(routed: Cli, tmp_path: Path) -> None:
    routed.ok("route", "set", "all", "--callee-rule", "00:+ *:9*|8*", "--prefixes", "+44 *72", "--window", "daily/22:00-06:00/Europe/Madrid", "--cost-per-minute", "0.5")  # fmt: skip # noqa: E501
    exported = routed.ok("route", "list", "--format", "csv").stdout
    second = Cli(tmp_path / "second")
    second.ok("group", "add", "europe")
    second.ok("route", "import", "-", stdin=exported)
    assert second.json("route", "list") == routed.json("route", "list")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,adresses\n", "<stdin>:1: unknown column 'adresses'"),
        ("name\nx\n", "<stdin>:2: either address or registered_as has to be there"),
        ("name,address,registered_as\nx,192.0.2.1,g\n", "<stdin>:2: either address or registered_as"),
        ("name,address\na,192.0.2.1\nb,192.0.2.300\n", "<stdin>:3: '192.0.2.300' is not an address"),
        ("name,address,prefix_mode\na,192.0.2.1,terminal\n", "<stdin>:2: prefix_mode cannot be 'terminal'"),
        ("name,address,register_as\na,192.0.2.1,us\n", "<stdin>:2: register_as and password go together"),
        ("name,address,cost_per_minute\na,192.0.2.1,-1\n", "<stdin>:2: the cost per minute cannot be -1"),
        ("name,address,after_busy\na,192.0.2.1,maybe\n", "<stdin>:2: after_busy has to be true or false"),
        ("name,address,lines\na,192.0.2.1,many\n", "<stdin>:2: lines has to be a whole number"),
    ],
)
def test_import_names_the_line_and_changes_nothing(cli: Cli, text: str, said: str) -> None:
    result = cli("route", "import", "-", stdin=text)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not cli.data_dir.exists()


def test_nearest_choice_is_named_in_an_import(cli: Cli) -> None:
    text = "name,address,prefix_mode\na,192.0.2.1,terminat\n"
    assert "hint: did you mean terminate?" in cli("route", "import", "-", stdin=text).stderr


# group


def test_group_lives(routed: Cli) -> None:
    assert routed.json("group", "list") == [{"name": "europe", "remark": "by day", "used_by": ["route uk"]}]
    assert routed.json("group", "set", "europe", "--remark", "x")["remark"] == "x"
    assert routed.json("group", "show", "europe")["used_by"] == ["route uk"]
    result = routed("group", "remove", "europe")
    assert (result.exit_code, "named by route uk" in result.stderr) == (1, True)
    routed.ok("route", "set", "uk", "--group", "")
    routed.ok("group", "remove", "europe")
    assert "did you mean" not in routed("group", "show", "europe").stderr
    assert routed.json("group", "list") == []


# gateway


def test_gateway_that_registers_lives(routed: Cli) -> None:
    made = routed.ok("gateway", "add", "branch", "--username", "b1", "--generate")
    assert len(made.stdout.strip()) == 20
    assert routed.json("gateway", "show", "branch")["username"] == "b1"
    routed.ok("route", "add", "back", "--registered-as", "branch")
    renewed = routed.json("gateway", "set", "branch", "--generate")
    assert len(renewed["password"]) == 20
    changed = routed.json(
        "gateway", "set", "branch", "--username", "b2", "--password-stdin", stdin="correct horse\n"
    )
    assert (changed["username"], "password" in changed) == ("b2", False)
    result = routed("gateway", "set", "branch", "--username", "", "--address", "192.0.2.2")
    assert "'back' is where gateway 'branch' registers" in result.stderr
    routed.ok("route", "remove", "back")
    assert (
        routed.json("gateway", "set", "branch", "--username", "", "--address", "192.0.2.2")["username"]
        is None
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "x"],
        ["add", "x", "--username", "u"],
        ["set", "customer", "--username", "u"],
        ["add", "x", "192.0.2.9", "--generate"],
        ["set", "customer", "--second-policy", "asr"],
        ["set", "customer", "--failure-codes", "503"],
    ],
)
def test_gateway_that_cannot_be_is_bad_usage(routed: Cli, arguments: list[str]) -> None:
    before = routed.json("gateway", "list")
    assert routed("gateway", *arguments).exit_code == 2
    assert routed.json("gateway", "list") == before


def test_gateways_with_rules_that_were_exported_can_be_imported(routed: Cli, tmp_path: Path) -> None:
    routed.ok("gateway", "set", "customer", "--groups", "europe", "--group-rule", "deny", "--first-policy", "cost", "--failure-codes", "503:480 0:500", "--no-100rel", "--lines", "3")  # fmt: skip # noqa: E501
    exported = routed.ok("gateway", "list", "--format", "csv").stdout
    second = Cli(tmp_path / "second")
    second.ok("group", "add", "europe")
    second.ok("gateway", "import", "-", stdin=exported)
    assert second.json("gateway", "list") == routed.json("gateway", "list")


def test_gateway_that_registers_is_imported_with_its_password(cli: Cli) -> None:
    cli.ok("gateway", "import", "-", stdin="name,username,password\nbranch,b1,correct horse\n")
    assert cli.json("gateway", "show", "branch")["username"] == "b1"


# route explain


def test_explain_shows_each_rule_and_each_gateway(routed: Cli) -> None:
    found = explained(routed)
    assert (found["callee_access"], found["callee"], found["live"]) == (
        "00442079460000",
        "442079460000",
        False,
    )
    assert [(step["rule"], step["outcome"]) for step in found["steps"]] == [
        ("gateway", "passed"),
        ("callee_prefix", "passed"),
        ("callee_dial_rule", "changed"),
    ]
    assert [(route["name"], route["taken"], route["where"]) for route in found["routes"]] == [
        ("uk", True, "udp:192.0.2.10:5080"),
        ("all", False, "tls:sip.example.com"),
    ]
    assert found["routes"][1]["steps"][-1]["rule"] == "prefix_mode"
    assert found["destination"] == {"kind": "routes", "routes": ["uk"]}


def test_explain_says_in_words_what_it_does_not_know(routed: Cli) -> None:
    result = routed.ok("route", "explain", "--from", "4930123", "--to", "0033123", "--via", "customer")
    assert result.stdout.splitlines()[0].startswith("4930123 calls 0033123 via customer, 20")
    assert result.stdout.splitlines()[-1] == "goes to all"
    assert " 1. all (every number) at tls:sip.example.com\n" in result.stdout
    assert (
        result.stderr
        == "not known here, and left out: lines in use, calls a second, pauses, health and ASR\n"
    )


def test_explain_shows_why_a_call_is_refused(routed: Cli) -> None:
    assert explained(routed, "00883123")["destination"] == {
        "kind": "refused",
        "reason": "CalleeDenied",
        "sip": 403,
        "q850": 21,
    }
    result = routed.ok("route", "explain", "--from", "1", "--to", "00883123", "--via", "customer")
    assert result.stdout.splitlines()[-1] == "is refused: CalleeDenied, SIP 403, Q.850 21"


def test_explain_is_asked_for_phones_and_times_too(routed: Cli) -> None:
    assert explained(routed, "1001", via="1001")["destination"] == {"kind": "phone", "phone": "1001"}
    routed.ok("route", "set", "uk", "--window", "mon/08:00-18:00")
    monday = explained(routed, "44", "--at", "2026-11-23T08:00:00Z", via="1001")
    assert monday["destination"]["routes"] == ["uk"]
    sunday = explained(routed, "44", "--at", "2026-11-22T08:00:00Z", via="1001")
    assert sunday["destination"]["routes"] == ["all"]
    assert sunday["at"] == "2026-11-22T08:00:00.000000Z"


def test_explain_says_where_a_gateway_is(routed: Cli) -> None:
    routed.ok("gateway", "add", "branch", "--username", "b1", "--generate")
    routed.ok("route", "add", "back", "--registered-as", "branch", "--prefixes", "33")
    routed.ok("route", "add", "six", "[2001:db8::1]:5080", "--prefixes", "34")
    assert explained(routed, "0033")["routes"][0]["where"] == "where gateway branch registers"
    assert explained(routed, "0034")["routes"][0]["where"] == "udp:[2001:db8::1]:5080"
    words = routed.ok("route", "explain", "--from", "1001", "--to", "1001", "--via", "1001").stdout
    assert words.splitlines()[-2:] == ["    ok  1001 is a phone of ours", "goes to phone 1001"]


def test_explain_writes_csv(routed: Cli) -> None:
    text = routed.ok(
        "route", "explain", "--from", "=cmd()", "--to", "0044", "--via", "customer", "--format", "csv"
    ).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["about"] for row in rows] == ["caller"] * 3 + ["route"] * 2 + ["verdict"]
    assert rows[3]["order"] == "1"
    assert rows[-1]["text"] == "goes to uk"


def test_explain_for_someone_unknown_names_the_nearest(routed: Cli) -> None:
    result = routed("route", "explain", "--from", "1", "--to", "2", "--via", "custmer")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: there is no gateway or phone 'custmer' that is enabled\nhint: did you mean customer?\n"
    )


def test_explain_changes_nothing_and_needs_no_switch(routed: Cli) -> None:
    with SettingsStore.open_read_only(routed.data_dir) as store:
        before = store.version()
    explained(routed)
    with SettingsStore.open_read_only(routed.data_dir) as store:
        assert store.version() == before


ROUTING_PAGE = (Path(__file__).parents[3] / "docs" / "routing.md").read_text(encoding="utf-8")


def test_the_example_of_the_documents_is_what_is_said(cli: Cli) -> None:
    example = ROUTING_PAGE.partition("## An example")[2]
    commands, question, answer = re.findall(r"```\n(.*?)```", example, re.DOTALL)[:3]
    for line in commands.splitlines():
        cli.ok(*shlex.split(line)[1:])
    assert cli.ok(*shlex.split(question)[1:]).stdout == answer


def test_the_table_of_dial_rules_in_the_documents_is_right() -> None:
    below = ROUTING_PAGE.partition("## Number rules")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| ([+\w]+)", below, re.MULTILINE)
    assert len(rows) >= 6
    for rule, number, rewritten in rows:
        assert DialRule.parse(rule.replace("\\", "")).rewrite(number) == rewritten
