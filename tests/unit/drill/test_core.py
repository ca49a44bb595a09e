# SPDX-License-Identifier: Apache-2.0
"""The native side as Python sees it."""

import socket

import pytest

from ringfence.core import drill_message, flood, streams
from ringfence.errors import ConfigError


def test_a_load_on_anything_but_loopback_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a loopback address"):
        flood("192.0.2.1:5060", seconds=1)
    with pytest.raises(ConfigError, match="is not a loopback address"):
        streams("192.0.2.1:5060", seconds=1)
    with pytest.raises(ConfigError, match="is not a loopback address"):
        drill_message("svmap/options", target="192.0.2.1:5060", source="127.0.0.1:1", seed=1, index=0)


def test_an_option_out_of_range_is_refused_with_the_range() -> None:
    with pytest.raises(ConfigError, match="at most 3600"):
        flood("127.0.0.1:5060", seconds=3601)
    with pytest.raises(ConfigError, match="exclude each other"):
        flood("127.0.0.1:5060", seconds=1, rate=1, window=1)
    with pytest.raises(ConfigError, match="no message template is called"):
        flood("127.0.0.1:5060", seconds=1, grammars=("nosuch",))


@pytest.mark.integration
def test_a_load_arrives_and_is_counted_by_source() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(5)
        port = sink.getsockname()[1]
        report = flood(
            f"127.0.0.1:{port}",
            seconds=10,
            count=40,
            sources=3,
            linger_s=0,
            by_source=True,
            mix={"options": 1},
        )
        heard = [sink.recvfrom(4096) for _ in range(40)]
    assert report.requests == report.lost == 40
    assert all(message.startswith(b"OPTIONS ") for message, _ in heard)
    assert report.by_source is not None
    assert {source: count.sent for source, count in report.by_source.items()} == {
        source: sum(address[0] == source for _, address in heard) for source in report.by_source
    }


def test_a_message_is_written_as_wanted() -> None:
    message = drill_message(
        "svwar/invite", target="127.0.0.1:5060", source="127.66.0.1:5061", seed=1, index=4, extension="1234"
    )
    assert message.startswith(
        b"INVITE sip:1234@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.66.0.1:5061;branch="
    )
