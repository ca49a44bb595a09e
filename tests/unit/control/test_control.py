# SPDX-License-Identifier: Apache-2.0
"""Both halves over a real Unix socket."""

import json
import logging
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.switch import CALL, FLOW, REGISTERED, RINGING, FakeSwitch, serving, some_books
from ringfence.control.address import socket_address, socket_path
from ringfence.control.client import NOT_RUNNING, ControlClient
from ringfence.control.messages import REQUEST_LIMIT_BYTES, Flows, LiveCalls
from ringfence.errors import ControlError, StoreError

BOOKS = some_books()


@pytest.fixture
def switch() -> FakeSwitch:
    return FakeSwitch()


@pytest.fixture
def running(tmp_path: Path, switch: FakeSwitch) -> Iterator[Path]:
    with serving(tmp_path, switch):
        yield tmp_path


def raw(data_dir: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    with socket_address(socket_path(data_dir)) as address:
        connection.connect(address)
    return connection


def everything(connection: socket.socket) -> list[dict[str, object]]:
    """All responses until the server closes."""
    with connection, connection.makefile("rb") as lines:
        return [json.loads(line) for line in lines]


def test_every_request_is_answered_with_its_own_kind(running: Path) -> None:
    with ControlClient(running) as client:
        client.ping()
        assert client.status().listeners == ("udp:127.0.0.1:5060",)
        assert client.counters().counters == {"read": 21, "muted": 5}
        assert client.books() == BOOKS
        assert client.flows(limit=1) == Flows(total=20_000, flows=(FLOW,))
        assert client.lists().entries[0].value == "203.0.113.5"
        assert client.calls() == LiveCalls(at_us=10_000_000, total=2, calls=(CALL, RINGING))
        assert client.calls(limit=1).calls == (CALL,)
        assert client.call(RINGING.id) == RINGING
        assert client.call_counts().routes[0].name == "vendor"
        assert client.vendors().vendors == (REGISTERED,)
        assert client.hang_up(CALL.id).id == CALL.id
        with pytest.raises(ControlError, match="no live call") as none:
            client.call(CALL.id)
        assert none.value.code == "not_found"
        assert client.settings_changed(7).version == 7
        assert client.drain().calls == 2


def test_books_balance_when_the_six_ways_add_up() -> None:
    assert (BOOKS.accounted, BOOKS.difference) == (21, 0)


def test_answer_larger_than_any_buffer_arrives_whole(running: Path) -> None:
    with ControlClient(running) as client:
        assert len(client.flows(limit=10_000).flows) == 10_000


def test_limit_out_of_range_is_refused_before_the_switch_sees_it(running: Path) -> None:
    with ControlClient(running) as client, pytest.raises(ControlError, match="<= 10000"):
        client.flows(limit=10_001)


def test_socket_is_for_its_owner_only_and_goes_away(tmp_path: Path, switch: FakeSwitch) -> None:
    with serving(tmp_path, switch):
        assert stat.S_IMODE(socket_path(tmp_path).stat().st_mode) == 0o600
    assert not socket_path(tmp_path).exists()


def test_socket_left_by_a_killed_switch_is_replaced(tmp_path: Path, switch: FakeSwitch) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(socket_path(tmp_path)) as address:
        left.bind(address)
    left.close()
    with serving(tmp_path, switch), ControlClient(tmp_path) as client:
        client.ping()


def test_data_directory_with_a_long_path_works(tmp_path: Path, switch: FakeSwitch) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with serving(deep, switch), ControlClient(deep) as client:
        client.ping()


def test_error_of_the_switch_reaches_the_client_in_its_words(running: Path, switch: FakeSwitch) -> None:
    switch.failure = StoreError("the settings are locked", hint="wait", code="locked")
    with ControlClient(running) as client:
        with pytest.raises(ControlError) as caught:
            client.status()
        assert (caught.value.code, caught.value.message, caught.value.hint) == (
            "locked",
            "the settings are locked",
            "wait",
        )
        client.ping()


def test_fault_of_the_switch_is_logged_and_survived(
    running: Path, switch: FakeSwitch, caplog: pytest.LogCaptureFixture
) -> None:
    switch.failure = ZeroDivisionError("secret detail")
    with caplog.at_level(logging.ERROR), ControlClient(running) as client:
        with pytest.raises(ControlError) as caught:
            client.status()
        client.ping()
    assert caught.value.code == "internal"
    assert "secret detail" not in caught.value.message
    assert [record.message for record in caplog.records] == ["control.request_failed"]


@pytest.mark.parametrize(
    ("line", "code", "answered_id"),
    [
        (b"\n", "bad_request", 0),
        (b"not json\n", "bad_request", 0),
        (b"\xff\xfe\n", "bad_request", 0),
        (b'{"v":1,"id":1}\n', "bad_request", 0),
        (b'{"v":1,"id":1,"body":{"type":"launch"}}\n', "bad_request", 0),
        (b'{"v":1,"id":1,"body":{"type":"flows","limit":0}}\n', "bad_request", 0),
        (b'{"v":2,"id":5,"body":{"type":"ping"}}\n', "version", 5),
        (b"x" * (REQUEST_LIMIT_BYTES + 10) + b"\n", "too_long", 0),
    ],
)
def test_bad_input_gets_one_error_and_the_connection_is_closed(
    running: Path, line: bytes, code: str, answered_id: int
) -> None:
    connection = raw(running)
    connection.sendall(line)
    answers = everything(connection)
    assert [(answer["id"], answer["body"]["code"]) for answer in answers] == [(answered_id, code)]  # type: ignore[index]
    with ControlClient(running) as client:
        client.ping()


def test_requests_sent_at_once_are_answered_in_order(running: Path) -> None:
    connection = raw(running)
    connection.sendall(b"".join(b'{"v":1,"id":%d,"body":{"type":"ping"}}\n' % number for number in range(50)))
    connection.shutdown(socket.SHUT_WR)
    assert [answer["id"] for answer in everything(connection)] == list(range(50))


def test_field_that_this_version_does_not_know_is_skipped(running: Path) -> None:
    connection = raw(running)
    connection.sendall(b'{"v":1,"id":1,"new":true,"body":{"type":"ping","also":1}}\n')
    connection.shutdown(socket.SHUT_WR)
    assert everything(connection) == [{"v": 1, "id": 1, "body": {"type": "pong"}}]


def test_one_client_too_many_is_told_so(tmp_path: Path, switch: FakeSwitch) -> None:
    with serving(tmp_path, switch, max_clients=1):
        with ControlClient(tmp_path) as first:
            first.ping()
            refused = everything(raw(tmp_path))
            first.ping()
        assert [answer["body"]["code"] for answer in refused] == ["busy"]  # type: ignore[index]


def test_silent_client_is_closed(tmp_path: Path, switch: FakeSwitch) -> None:
    with serving(tmp_path, switch, idle_s=0):
        assert everything(raw(tmp_path)) == []


def test_client_says_that_no_switch_is_running(tmp_path: Path) -> None:
    with pytest.raises(ControlError) as caught, ControlClient(tmp_path):
        pass
    assert caught.value.code == NOT_RUNNING
    assert str(tmp_path) in caught.value.message
    assert "ringfence run" in (caught.value.hint or "")


def test_client_says_so_when_the_switch_does_not_answer(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute,
        socket_address(socket_path(tmp_path)) as address,
    ):
        mute.bind(address)
        mute.listen()
        with ControlClient(tmp_path, timeout_s=0.05) as client, pytest.raises(ControlError) as caught:
            client.ping()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection before it answered"),
        (b"garbage\n", "cannot be read"),
        (b'{"v":1,"id":1,"body":{"type":"draining","calls":1}}\n', "something else than was asked"),
        (b'{"v":1,"id":9,"body":{"type":"pong"}}\n', "something else than was asked"),
    ],
)
def test_client_refuses_an_answer_that_makes_no_sense(tmp_path: Path, answer: bytes, said: str) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fake,
        socket_address(socket_path(tmp_path)) as address,
    ):
        fake.bind(address)
        fake.listen()
        with ControlClient(tmp_path) as client:
            connection, _ = fake.accept()

            def reply() -> None:
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

            replying = threading.Thread(target=reply)
            replying.start()
            with pytest.raises(ControlError, match=said):
                client.ping()
            replying.join()


def test_closed_client_says_so(running: Path) -> None:
    client = ControlClient(running)
    with client:
        pass
    with pytest.raises(ControlError, match="is closed"):
        client.ping()
