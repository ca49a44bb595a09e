# SPDX-License-Identifier: Apache-2.0
import csv
import io
from pathlib import Path

import pytest

from kit.cli import Cli
from kit.switch import FakeSwitch, serving
from ringfence.errors import ConfigError
from ringfence.settings.node_file import KEYS
from ringfence.settings.parameters import PARAMETERS
from ringfence.settings.store import SettingsStore


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# param


def test_parameter_is_set_read_and_reset(cli: Cli) -> None:
    result = cli.ok("param", "set", "RF_ROAMING", "on")
    assert result.stdout == ""
    assert result.stderr == "no switch is running here: it takes effect at its start\n"
    assert cli.ok("param", "get", "rf_roaming").stdout == "1\n"
    cli.ok("param", "reset", "RF_ROAMING")
    assert cli.ok("param", "get", "RF_ROAMING").stdout == "0\n"


def test_parameter_out_of_range_is_refused_with_the_range(cli: Cli) -> None:
    result = cli("param", "set", "SS_AUTHENTICATION_FAILED_SUSPEND", "59")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: SS_AUTHENTICATION_FAILED_SUSPEND cannot be 59\nhint: allowed: 60 to 3600 s\n"
    )
    assert not cli.data_dir.exists()


def test_negative_value_is_a_value_and_no_option(cli: Cli) -> None:
    assert "cannot be -1" in cli("param", "set", "RF_MUTE_S", "-1").stderr


def test_parameters_are_listed(cli: Cli) -> None:
    cli.ok("param", "set", "RF_MUTE_S", "5")
    listed = cli.json("param", "list")
    assert [row["name"] for row in listed] == [parameter.name for parameter in PARAMETERS]
    assert cli.json("param", "list", "--set") == [row for row in listed if row["is_set"]]
    assert [row["value"] for row in cli.json("param", "list", "--set")] == [5]
    groups = {row["group"] for row in cli.json("param", "list", "--group", "billing")}
    assert groups == {"Billing parameters"}
    assert "SS_REPLY_UNAUTHORIZED" in cli.ok("param", "list").stdout


def test_all_about_a_parameter(cli: Cli) -> None:
    cli.ok("param", "set", "RF_MUTE_S", "5")
    about = cli.json("param", "get", "RF_MUTE_S")
    assert about == cli.json("param", "show", "RF_MUTE_S")
    assert (about["value"], about["default"], about["allowed"]) == (5, 60, "1 to 86400 s")
    assert about["meaning"].startswith("How long a muted source")


def test_history_says_who_changed_what(cli: Cli) -> None:
    cli.ok("param", "set", "RF_MUTE_S", "5")
    cli.ok("param", "set", "RF_ROAMING", "1")
    cli.ok("param", "reset", "RF_MUTE_S")
    history = cli.json("param", "history", "RF_MUTE_S")
    assert [(row["action"], row["before"], row["after"]) for row in history] == [
        ("reset", 5, 60),
        ("set", 60, 5),
    ]
    assert all(row["actor"].startswith("cli:") for row in history)
    assert len(cli.json("param", "history")) == 3
    assert cli.ok("param", "history", "RF_RAW_SAMPLE_S").stderr == "RF_RAW_SAMPLE_S was never changed\n"


def test_change_that_is_none_says_so(cli: Cli) -> None:
    cli.ok("param", "set", "RF_MUTE_S", "5")
    assert cli.ok("param", "set", "RF_MUTE_S", "5").stderr == "nothing to change\n"


# Telling the switch


def test_running_switch_is_told_and_its_answer_waited_for(cli: Cli) -> None:
    cli.ok("param", "set", "RF_MUTE_S", "5")
    switch = FakeSwitch()
    with serving(cli.data_dir, switch):
        result = cli.ok("param", "set", "RF_ROAMING", "1")
    assert result.stderr == "in force (version 3)\n"
    assert switch.version == 3


def test_switch_that_does_not_take_a_change_makes_the_command_fail_but_it_is_stored(cli: Cli) -> None:
    cli.ok("param", "set", "RF_MUTE_S", "5")
    switch = FakeSwitch()
    switch.failure = ConfigError("the snapshot was refused", hint="look at it")
    with serving(cli.data_dir, switch):
        result = cli("param", "set", "RF_ROAMING", "1")
    assert result.exit_code == 1
    assert "is stored, but the switch did not take it: the snapshot was refused" in result.stderr
    assert cli.ok("param", "get", "RF_ROAMING").stdout == "1\n"


# gateway


def test_gateway_lives(cli: Cli) -> None:
    added = cli.json("gateway", "add", "carrier", "192.0.2.1", "198.51.100.0/24", "--cps", "7")
    assert added["addresses"] == ["192.0.2.1", "198.51.100.0/24"]
    assert cli.json("gateway", "show", "carrier") == added == cli.json("gateway", "list")[0]
    arguments = [
        "--name",
        "carrier b",
        "--add-address",
        "[2001:DB8::1]:5060",
        "--remove-address",
        "192.0.2.1/32",
    ]
    changed = cli.json(
        "gateway", "set", "carrier", *arguments, "--disable", "--burst", "9", "--in-flight", "3"
    )
    assert changed == added | {
        "name": "carrier b",
        "addresses": ["198.51.100.0/24", "[2001:db8::1]:5060"],
        "burst": 9,
        "in_flight": 3,
        "enabled": False,
    }
    assert added["calls_per_second"] == 7
    only = cli.json("gateway", "set", "carrier b", "--address", "192.0.2.9", "--enable")
    assert (only["addresses"], only["enabled"]) == (["192.0.2.9"], True)
    cli.ok("gateway", "remove", "carrier b")
    assert cli.json("gateway", "list") == []


def test_gateway_set_without_a_change_is_bad_usage(cli: Cli) -> None:
    cli.ok("gateway", "add", "carrier", "192.0.2.1")
    assert cli("gateway", "set", "carrier").exit_code == 2


def test_address_that_the_gateway_does_not_have_cannot_be_removed(cli: Cli) -> None:
    cli.ok("gateway", "add", "carrier", "192.0.2.1")
    result = cli("gateway", "set", "carrier", "--remove-address", "192.0.2.2")
    assert result.exit_code == 2
    assert "does not have 192.0.2.2" in result.stderr


def test_adding_a_gateway_tells_which_blocks_it_lifted(cli: Cli) -> None:
    cli.ok("block", "add", "192.0.2.0/24")
    result = cli.ok("gateway", "add", "carrier", "192.0.2.1")
    assert "lifted entry 1: 192.0.2.0/24 was on the black list of sources" in result.stderr
    assert cli.json("block", "list") == []


def test_gateways_that_were_exported_can_be_imported(cli: Cli, tmp_path: Path) -> None:
    cli.ok("gateway", "add", "=carrier, one", "192.0.2.1", "[2001:db8::1]:5060", "--cps", "3")
    cli.ok("gateway", "add", "other", "198.51.100.0/24", "--disabled")
    exported = cli.ok("gateway", "list", "--format", "csv").stdout
    assert "'=carrier" in exported
    (tmp_path / "gateways.csv").write_text("\ufeff" + exported, encoding="utf-8")
    second = Cli(tmp_path / "second")
    second.ok("gateway", "import", str(tmp_path / "gateways.csv"))
    assert second.json("gateway", "list") == cli.json("gateway", "list")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,adresses\n", "<stdin>:1: unknown column 'adresses'"),
        ("addresses\nx\n", "<stdin>:1: the heading lacks name"),
        ("name\nx\n", "<stdin>:2: addresses is empty"),
        ("name,username\nx,u\n", "<stdin>:2: password is empty"),
        ("name,addresses,callee_rule\nx,192.0.2.1,00\n", "<stdin>:2: '00' is not a dial rule"),
        ("name,addresses,first_policy\nx,192.0.2.1,cheap\n", "<stdin>:2: first_policy cannot be 'cheap'"),
        ("name,addresses\na,192.0.2.1\nb,192.0.2.7/24\n", "<stdin>:3: '192.0.2.7/24' has host bits set"),
        ("name,addresses\na\n", "<stdin>:2: 1 cells under 2 headings"),
        ("name,addresses\na,\n", "<stdin>:2: addresses is empty"),
        ("name,addresses,burst\na,192.0.2.1,many\n", "<stdin>:2: burst has to be a whole number"),
        ("name,addresses,enabled\na,192.0.2.1,maybe\n", "<stdin>:2: enabled has to be true or false"),
    ],
)
def test_import_names_the_line_and_changes_nothing(cli: Cli, text: str, said: str) -> None:
    result = cli("gateway", "import", "-", stdin=text)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not cli.data_dir.exists()


@pytest.mark.parametrize(
    ("kind", "there", "text", "said"),
    [
        ("gateway", "b 192.0.2.1", "name,addresses\na,192.0.2.2\n\nb,192.0.2.3\n", "4: there is a gateway"),
        ("gateway", "b 192.0.2.1", "name,addresses\na,192.0.2.2\na,192.0.2.3\n", "3: there is a gateway"),
        (
            "route",
            "b 192.0.2.1",
            "name,address\na,192.0.2.2\nb,192.0.2.3\n",
            "3: there is a routing gateway",
        ),
        ("phone", "1001 --generate", "number\n1002\n1001\n", "3: there is a phone '1001'"),
        ("block", "192.0.2.1", "192.0.2.2\n# more\n192.0.2.1\n", "3: 192.0.2.1 is on"),
    ],
    ids=["gateway", "gateway twice", "route", "phone", "block"],
)
def test_import_names_the_line_of_what_is_there_already_and_changes_nothing(
    cli: Cli, kind: str, there: str, text: str, said: str
) -> None:
    cli.ok(kind, "add", *there.split())
    before = cli.json(kind, "list")
    result = cli(kind, "import", "-", stdin=text)
    assert (result.exit_code, f"<stdin>:{said}" in result.stderr) == (1, True), result.stderr
    assert cli.json(kind, "list") == before


def test_import_of_a_file_that_is_not_there_says_so(cli: Cli, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in cli("gateway", "import", str(tmp_path / "absent.csv")).stderr


# phone


def test_phone_lives(cli: Cli) -> None:
    made = cli.ok("phone", "add", "1001", "--generate")
    assert len(made.stdout.strip()) == 20
    cli.ok("phone", "add", "1002", "--password-stdin", "--disabled", stdin="correct horse\n")
    assert cli.json("phone", "list") == [
        {"number": "1001", "enabled": True},
        {"number": "1002", "enabled": False},
    ]
    assert cli.json("phone", "set", "1002", "--enable") == cli.json("phone", "show", "1002")
    renewed = cli.json("phone", "set", "1002", "--generate")
    assert renewed["password"] != made.stdout.strip()
    cli.ok("phone", "remove", "1001")
    assert [row["number"] for row in cli.json("phone", "list")] == ["1002"]


def test_generated_password_is_the_one_that_is_stored(cli: Cli) -> None:
    cli.ok("phone", "add", "1001", "--password-stdin", stdin="correct horse")
    with SettingsStore.open_read_only(cli.data_dir) as store:
        before = store.state().phones
    password = cli.json("phone", "set", "1001", "--generate")["password"]
    with SettingsStore.open_read_only(cli.data_dir) as store:
        after = store.state().phones
    cli.ok("phone", "set", "1001", "--password-stdin", stdin=f"{password}\n")
    with SettingsStore.open_read_only(cli.data_dir) as store:
        assert store.state().phones == after != before


@pytest.mark.parametrize("arguments", [["--generate", "--password-stdin"], []])
def test_password_has_to_come_from_one_place(cli: Cli, arguments: list[str]) -> None:
    assert cli("phone", "add", "1001", *arguments).exit_code == 2


def test_password_is_never_an_argument(cli: Cli) -> None:
    assert cli("phone", "add", "1001", "secret word").exit_code == 2


def test_weak_password_is_refused(cli: Cli) -> None:
    result = cli("phone", "add", "1001", "--password-stdin", stdin="1234\n")
    assert result.exit_code == 2
    assert "1234" not in result.stderr


def test_phones_are_imported_and_missing_passwords_made(cli: Cli) -> None:
    text = "number,password,enabled\n1001,correct horse,\n1002,,no\n"
    made = cli.json("phone", "import", "-", stdin=text)
    assert [row["number"] for row in made] == ["1002"]
    assert len(made[0]["password"]) == 20
    assert [row["enabled"] for row in cli.json("phone", "list")] == [True, False]


# block


def test_block_lives(cli: Cli) -> None:
    cli.ok("block", "add", "203.0.113.0/24", "198.51.100.7", "--for", "2h", "--reason", "=scan")
    cli.ok("block", "add", "+972", "--list", "callee", "--white")
    listed = cli.json("block", "list")
    assert [(row["id"], row["list"], row["color"], row["value"]) for row in listed] == [
        (1, "source", "black", "203.0.113.0/24"),
        (2, "source", "black", "198.51.100.7"),
        (3, "callee", "white", "+972"),
    ]
    assert listed[2]["expires_at"] is None
    assert cli.json("block", "show", "198.51.100.7")["id"] == 2
    assert cli.json("block", "show", "+972", "--list", "callee") == cli.json("block", "show", "3")
    cli.ok("block", "remove", "2", "203.0.113.0/24")
    assert [row["id"] for row in cli.json("block", "list")] == [3]
    assert cli.json("block", "list", "--list", "source") == []
    past = cli.json("block", "list", "--past")
    assert [(row["id"], row["removed_by"][:4]) for row in past] == [(2, "cli:"), (1, "cli:")]


def test_block_table_defuses_what_is_in_it(cli: Cli) -> None:
    cli.ok("block", "add", "+972", "--list", "callee", "--reason", "=scan")
    row = rows_of(cli.ok("block", "list", "--format", "csv").stdout)[0]
    assert (row["value"], row["reason"]) == ("'+972", "'=scan")


def test_duration_that_is_none_is_refused(cli: Cli) -> None:
    result = cli("block", "add", "203.0.113.5", "--for", "soon")
    assert result.exit_code == 2
    assert "such as 90s, 30m, 2h, 1d12h or 2w" in result.stderr


def test_block_of_a_gateway_fails(cli: Cli) -> None:
    cli.ok("gateway", "add", "carrier", "192.0.2.1")
    result = cli("block", "add", "192.0.2.0/24")
    assert result.exit_code == 1
    assert "never blocked" in result.stderr


def test_plain_list_is_imported_with_what_the_options_say(cli: Cli) -> None:
    text = "# shared list\n203.0.113.5\n\n203.0.113.0/25   # the whole net\n"
    result = cli.ok("block", "import", "-", "--reason", "shared", "--for", "1w", stdin=text)
    assert "added entry 1: 203.0.113.5" in result.stderr
    assert {row["reason"] for row in cli.json("block", "list")} == {"shared"}
    again = cli("block", "import", "-", stdin=text)
    assert (again.exit_code, "already, as entry 1" in again.stderr) == (1, True)
    more = cli.ok("block", "import", "-", "--skip-existing", stdin=text + "203.0.113.6\n")
    assert "passed over 2" in more.stderr
    assert len(cli.json("block", "list")) == 3
    nothing = cli.ok("block", "import", "-", "--skip-existing", stdin=text)
    assert "nothing to change" in nothing.stderr


def test_blocks_that_were_exported_can_be_imported(cli: Cli, tmp_path: Path) -> None:
    cli.ok("block", "add", "+972", "--list", "callee", "--reason", "=toll")
    cli.ok("block", "add", "192.0.2.0/24", "--white")
    exported = cli.ok("block", "list", "--format", "csv").stdout
    second = Cli(tmp_path / "second")
    second.ok("block", "import", "-", stdin=exported)
    kept = ("id", "list", "color", "value", "reason")
    assert [[row[key] for key in kept] for row in second.json("block", "list")] == [
        [row[key] for key in kept] for row in cli.json("block", "list")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("203.0.113.5\nexample.org\n", "<stdin>:2: 'example.org' is not an IP address"),
        ("value,list\n44,called\n", "<stdin>:2: list has to be source or caller or callee, not 'called'"),
        ("value,color\n192.0.2.1,red\n", "<stdin>:2: color has to be black or white, not 'red'"),
        ("value,for\n192.0.2.1,soon\n", "<stdin>:2: 'soon' is not a length of time"),
    ],
)
def test_block_import_names_the_line(cli: Cli, text: str, said: str) -> None:
    result = cli("block", "import", "-", stdin=text)
    assert result.exit_code == 2
    assert said in result.stderr


def test_long_import_is_told_in_few_words(cli: Cli) -> None:
    result = cli.ok("block", "import", "-", stdin="".join(f"203.0.113.{number}\n" for number in range(1, 31)))
    assert len(result.stderr.splitlines()) == 12
    assert "and 20 more" in result.stderr


# user


def test_user_lives(cli: Cli) -> None:
    cli.ok("user", "add", "ann", "--role", "admin", "--password-stdin", stdin="correct horse\n")
    made = cli.ok("user", "add", "bob", "--generate")
    assert len(made.stdout.strip()) == 20
    assert cli.json("user", "list") == [{"name": "ann", "role": "admin"}, {"name": "bob", "role": "viewer"}]
    assert cli.json("user", "set", "bob", "--role", "analyst") == cli.json("user", "show", "bob")
    password = cli.json("user", "set", "bob", "--generate")["password"]
    with SettingsStore.open_read_only(cli.data_dir) as store:
        assert store.users.verify("bob", password) is not None
    refused = cli("user", "remove", "ann")
    assert (refused.exit_code, "the last admin" in refused.stderr) == (1, True)
    cli.ok("user", "remove", "bob")
    assert [row["name"] for row in cli.json("user", "list")] == ["ann"]


@pytest.mark.parametrize("name", ["phone", "user"])
def test_set_without_a_change_is_bad_usage(cli: Cli, name: str) -> None:
    assert cli(name, "set", "x").exit_code == 2


# config


def test_config_is_checked_and_shown_masked(cli: Cli, tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text('settings_url = "postgresql+psycopg://rf:hunter2@db/rf?password=hunter3"\n')
    assert cli.ok("config", "check", str(good)).stderr == f"{good} is good\n"
    shown = cli.json("config", "show", "--config", str(good))
    assert shown["settings_url"] == "postgresql+psycopg://rf:***@db/rf?password=***"
    assert shown["data"] == str(cli.data_dir)
    assert shown["tcp.idle_s"] == 120
    assert list(shown) == list(KEYS)
    names = [line.split()[0] for line in cli.ok("config", "show").stdout.splitlines()]
    assert names == list(KEYS)
    bad = tmp_path / "bad.toml"
    bad.write_text("drain = 3\n")
    result = cli("config", "check", str(bad))
    assert result.exit_code == 1
    assert result.stderr == f"error: {bad}:1: unknown key 'drain'\nhint: did you mean drain_s?\n"


def test_data_option_counts_before_the_environment(cli: Cli, tmp_path: Path) -> None:
    cli.ok("param", "set", "RF_ROAMING", "1", "--data", str(tmp_path / "other"))
    assert not cli.data_dir.exists()
    assert (tmp_path / "other" / "settings.db").exists()
