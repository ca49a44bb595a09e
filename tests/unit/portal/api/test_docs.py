# SPDX-License-Identifier: Apache-2.0
"""What docs/api.md says: its curl commands are carried out, its codes are all codes."""

import re
import shlex
from pathlib import Path

import pytest

from ringfence.portal.api.errors import CODES
from ringfence.settings.model import GatewayDraft

from .conftest import Site

PAGE = (Path(__file__).parents[4] / "docs/api.md").read_text(encoding="utf-8")
MADE = {"lists": 201, "routes": 201, "exports": 202}
COMMANDS = re.findall(r"^curl .+$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", [command for command in COMMANDS if "/live" not in command])
def test_a_curl_command_works(site: Site, command: str) -> None:
    site.settings.gateways.add(GatewayDraft(name="carrier1", addresses=("192.0.2.99",)), actor="test")
    words = shlex.split(command.replace("$TOKEN", site.tokens["admin"]))
    method, headers, body = "GET", {}, None
    options = iter(words[1:-1])
    for option in options:
        match option:
            case "-X":
                method = next(options)
            case "-H":
                name, _, value = next(options).partition(": ")
                headers[name] = value
            case "-d":
                body = next(options)
            case _:
                pytest.fail(f"unknown option {option}")
    path = words[-1].removeprefix("http://127.0.0.1:8080/api/v1/")
    answer = site.client.request(method, path, headers=headers, content=body)
    assert answer.status_code == MADE.get(path, 200), answer.text


def test_the_examples_are_there() -> None:
    assert len(COMMANDS) == 15


def test_every_code_is_explained_and_no_other() -> None:
    shown = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert shown == [(name, str(code.status), code.meaning) for name, code in CODES.items()]
