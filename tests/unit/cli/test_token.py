# SPDX-License-Identifier: Apache-2.0
from kit.cli import Cli
from ringfence.settings.model import Role
from ringfence.settings.store import SettingsStore


def test_token_lives(cli: Cli) -> None:
    made = cli.ok("token", "add", "billing", "--role", "analyst", "--for", "90d")
    secret = made.stdout.strip()
    assert "shown only now" in made.stderr
    with SettingsStore.open_read_only(cli.data_dir) as store:
        found = store.tokens.find(secret)
    assert found is not None
    assert found.role is Role.ANALYST
    (listed,) = cli.json("token", "list")
    assert (listed["name"], listed["role"], listed["used_at"]) == ("billing", "analyst", None)
    assert secret not in cli.ok("token", "list").stdout
    assert cli.json("token", "add", "robot")["secret"].startswith("rf_")
    cli.ok("token", "remove", "billing")
    assert [row["name"] for row in cli.json("token", "list")] == ["robot"]


def test_token_that_cannot_be_is_refused(cli: Cli) -> None:
    blank = cli("token", "add", "no blanks")
    assert (blank.exit_code, blank.stdout) == (2, "")
    assert "error: 'no blanks' cannot be a token's name" in blank.stderr
    assert "there is no token 'x'" in cli("token", "remove", "x").stderr
    assert cli("token", "add", "x", "--for", "soon").exit_code == 2


def test_every_token_command_has_help(cli: Cli) -> None:
    for name in ("list", "add", "remove"):
        assert cli.ok("token", name, "--help").stdout.startswith(f"Usage: ringfence token {name}")
