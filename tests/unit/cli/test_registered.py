# SPDX-License-Identifier: Apache-2.0
"""`ringfence phone state` and `ringfence gateway state`."""

import msgspec
import pytest

from kit.cli import Cli
from kit.switch import FLOW, FakeSwitch, serving
from ringfence.control.messages import Flows


class WithFlows(FakeSwitch):
    """A switch with a phone, and a gateway that is registered twice; more are in force than it tells."""

    async def flows(self, limit: int) -> Flows:
        office = msgspec.structs.replace(FLOW, number="office", source="198.51.100.9:5060")
        again = msgspec.structs.replace(office, source="198.51.100.9:5070", expires_at_us=9)
        return Flows(total=5, flows=(FLOW, office, again)[:limit])


@pytest.fixture
def known(cli: Cli) -> Cli:
    """Two phones, and two gateways of which one registers."""
    for number in ("1001", "1002"):
        cli.ok("phone", "add", number, "--generate")
    cli.ok("gateway", "add", "branch", "--username", "office", "--generate")
    cli.ok("gateway", "add", "customer", "192.0.2.1")
    return cli


def test_phones_are_told_with_where_they_are_registered(known: Cli) -> None:
    with serving(known.data_dir, WithFlows()):
        shown = known.ok("phone", "state")
        [told] = known.json("phone", "state", "1001")
        assert known.json("phone", "state", "1002") == []
        assert "it is not registered" in known.ok("phone", "state", "1002").stderr
        assert known("phone", "state", "1003").exit_code == 1
    assert "office" not in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "2 more registrations" in shown.stderr
    assert told == {
        "number": "1001",
        "source": "192.0.2.7:5062",
        "transport": "udp",
        "since": "1970-01-01T00:00:00.000004Z",
        "expires_at": "1970-01-01T00:00:00.000005Z",
        "user_agent": "\x1b[31mphone",
        "contact": "<sip:1001@192.0.2.7:5062>",
        "local": "192.0.2.1:5060",
    }


def test_gateways_are_told_with_their_registrations_lines_and_calls(known: Cli) -> None:
    with serving(known.data_dir, WithFlows()):
        branch, customer = known.json("gateway", "state")
        assert known.json("gateway", "state", "branch") == branch
        assert "198.51.100.9:5060, 198.51.100.9:5070" in known.ok("gateway", "state").stdout
    assert (branch["registered_from"], branch["registered_until"]) == (
        ["198.51.100.9:5060", "198.51.100.9:5070"],
        "1970-01-01T00:00:00.000009Z",
    )
    assert (customer["registered_from"], customer["lines_in_use"], customer["asr_percent"]) == ([], 0, None)


def test_without_a_switch_nobody_can_say(known: Cli) -> None:
    for command in ("phone", "gateway"):
        result = known(command, "state")
        assert result.exit_code == 1
        assert "no switch is running" in result.stderr
