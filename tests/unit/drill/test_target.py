# SPDX-License-Identifier: Apache-2.0
import pytest

from ringfence.drill.target import parse_target, target_among
from ringfence.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("udp:127.0.0.1:5060", "127.0.0.1:5060"),
        ("127.9.8.7:1", "127.9.8.7:1"),
        ("udp:[::1]:5060", "[::1]:5060"),
        ("[::1]:65535", "[::1]:65535"),
    ],
)
def test_loopback_addresses_are_accepted(text: str, written: str) -> None:
    assert str(parse_target(text)) == written


@pytest.mark.parametrize(
    "text", ["192.0.2.1:5060", "0.0.0.0:5060", "[2001:db8::1]:5060", "[::]:1", "[::ffff:127.0.0.1]:5060"]
)
def test_every_other_address_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a loopback address"):
        parse_target(text)


@pytest.mark.parametrize("text", ["", "localhost:5060", "127.0.0.1", "127.0.0.1:x", "tcp:127.0.0.1:5060"])
def test_what_is_no_udp_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a UDP address"):
        parse_target(text)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "127.0.0.1:65536"])
def test_a_port_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a port"):
        parse_target(text)


@pytest.mark.parametrize(
    ("listeners", "aim"),
    [
        (("udp:127.0.0.2:5070", "udp:127.0.0.1:5060"), "127.0.0.2:5070"),
        (("tcp:127.0.0.1:5060", "udp:192.0.2.1:5060", "udp:0.0.0.0:5061"), "127.0.0.1:5061"),
        (("udp:[::]:5060",), "[::1]:5060"),
    ],
)
def test_the_first_listener_on_loopback_is_the_target(listeners: tuple[str, ...], aim: str) -> None:
    assert str(target_among(listeners)) == aim


def test_a_switch_without_a_loopback_listener_is_named_as_the_trouble() -> None:
    with pytest.raises(ConfigError, match=r"only on udp:192\.0\.2\.1:5060"):
        target_among(["udp:192.0.2.1:5060"])
