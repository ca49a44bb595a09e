# SPDX-License-Identifier: Apache-2.0
"""TCP: whole messages however they are cut, and connections by the thousand that never say anything whole."""

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kit.node import Half, Node
from kit.sip import Answer, Peer, Request
from kit.waiting import eventually
from ringfence.core import flood, streams

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

MEMORY_BYTES = 250_000_000
"""Beside strangers there is a gateway that calls as fast as it can, so the trace is full: 32 MiB of it."""
CROWD = 1500


class Stream:
    """A TCP connection to the switch that gives answers one by one."""

    def __init__(self, switch: Half, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(switch.address("tcp"), timeout=10, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.sendall(message)

    def receive(self) -> Answer:
        """The next final answer; none of ours has a body."""
        while (answer := self._next()).status < 200:
            pass
        return answer

    def _next(self) -> Answer:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            part = self.socket.recv(65_535)
            assert part, f"closed after {self._received!r}"
            self._received += part
        raw, self._received = self._received[: end + 4], self._received[end + 4 :]
        return Answer.read(raw)

    def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def over_tcp(call_id: str, **more: str) -> bytes:
    return Request(transport="TCP", call_id=call_id, **more).write()  # type: ignore[arg-type]


def test_a_message_that_comes_byte_by_byte_is_answered_once(node: Node) -> None:
    switch = node.switch()
    with Stream(switch) as stream:
        for byte in over_tcp("slow"):
            stream.send(bytes([byte]))
        assert stream.receive().status == 403
    node.balanced(read=1)
    (row,) = node.cli.json("cdr", "list", "--illegal")
    assert (row["call_id"], row["transport"], row["attempts"], row["proven"]) == ("slow", "TCP", 1, True)


def test_several_messages_in_one_segment_are_all_answered_in_turn(node: Node) -> None:
    switch = node.switch()
    names = [f"burst{n}" for n in range(20)]
    with Stream(switch) as stream:
        stream.send(b"".join(over_tcp(name, body=b"v=0\r\n") for name in names))  # type: ignore[arg-type]
        answers = [stream.receive() for _ in names]
    assert [answer.headers["call-id"] for answer in answers] == [[name] for name in names]
    assert {answer.status for answer in answers} == {403}
    node.balanced(read=20)
    assert {row["call_id"] for row in node.cli.json("cdr", "list", "--illegal")} == set(names)


def test_a_keep_alive_is_answered_and_a_message_after_it_too(node: Node) -> None:
    switch = node.switch()
    with Stream(switch) as stream:
        stream.send(b"\r\n\r\n")
        assert stream.socket.recv(2) == b"\r\n"
        stream.send(over_tcp("after"))
        assert stream.receive().status == 403
    assert node.balanced(read=2).absorbed == 1


def test_a_length_that_cannot_be_ends_the_connection_and_is_an_event(node: Node) -> None:
    switch = node.switch()
    with Stream(switch) as stream:
        message = over_tcp("long").replace(b"Content-Length: 0", b"Content-Length: 18446744073709551616")
        stream.send(message)
        assert stream.receive().status == 400
        assert stream.is_closed()
    (row,) = node.cli.json("cdr", "list", "--illegal")
    assert (row["call_id"], row["reason"]) == ("long", "malformed")
    assert node.books().difference == 0


@contextmanager
def served(switch: Half, source: str) -> Iterator[list[int]]:
    """A gateway calls over UDP all the time that this is entered; the statuses it gets."""
    statuses: list[int] = []
    stop = threading.Event()

    def call() -> None:
        with Peer(switch.address("udp"), source) as gateway:
            while not stop.is_set():
                statuses.append(gateway.call(Request(caller="42")).status)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def test_a_gateway_is_served_beside_thousands_of_idle_and_slow_connections(node: Node) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip("fewer than 8,192 descriptors are allowed here")
    switch = node.switch()
    node.cli.ok("gateway", "add", "carrier", "127.0.0.30", "--calls-per-second", "10000", "--burst", "10000")
    crowds = [
        threading.Thread(
            target=streams,
            args=("{}:{}".format(*switch.address("tcp")),),
            kwargs={
                "seconds": 6,
                "connections": CROWD // 3,
                "behaviour": behaviour,
                "sources": 200,
                "seed": seed,
            },
        )
        for seed, behaviour in enumerate(("silent", "half", "slow"))
    ]
    with served(switch, "127.0.0.30") as statuses, ExitStack() as ended:
        for thread in crowds:
            thread.start()
            ended.callback(thread.join)
        eventually(lambda: node.counters()["tcp_connections_open"] >= CROWD * 0.9, within_s=20)
        before = len(statuses)
        eventually(lambda: len(statuses) >= before + 100, within_s=20)
        # The gateway has connections of its own kept free, also where strangers took theirs.
        with Stream(switch, "127.0.0.30") as trunk:
            trunk.send(over_tcp("trunk", caller="42"))
            assert trunk.receive().status == 404
    assert set(statuses) == {404}
    eventually(lambda: node.counters()["tcp_connections_open"] == 0, within_s=30)
    books = node.books()
    assert books.difference == 0
    assert books.recorded + books.folded >= CROWD * 0.9
    assert switch.peak_memory_bytes < MEMORY_BYTES


def test_one_source_cannot_hold_all_connections(node: Node) -> None:
    switch = node.switch()
    with ExitStack() as streams_open:
        held = [streams_open.enter_context(Stream(switch, "127.0.0.77")) for _ in range(40)]
        eventually(lambda: node.counters()["tcp_connections_refused"] == 24)
        assert node.counters()["tcp_connections_open"] == 16
        with Stream(switch, "127.0.0.78") as other:
            other.send(over_tcp("other"))
            assert other.receive().status == 403
        assert len(held) == 40


def test_random_bytes_at_full_rate_leave_the_switch_alive_small_and_balanced(node: Node) -> None:
    survives_noise(node, 3)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_so_does_half_a_minute_of_them(node: Node) -> None:
    survives_noise(node, 30)


def survives_noise(node: Node, seconds: float) -> None:
    """Random bytes over UDP and TCP at once, as fast as they can be sent, beside a gateway that calls."""
    switch = node.switch()
    node.cli.ok("gateway", "add", "carrier", "127.0.0.30", "--calls-per-second", "10000", "--burst", "10000")
    noise = threading.Thread(
        target=streams,
        args=("{}:{}".format(*switch.address("tcp")),),
        kwargs={"seconds": seconds, "connections": 50, "behaviour": "noise"},
    )
    with served(switch, "127.0.0.30") as statuses:
        noise.start()
        sent = flood(switch.target, seconds=seconds, mix={"random": 9, "invite": 1}, sources=1000)
        noise.join()
    assert len(statuses) > 10 * seconds
    assert set(statuses) == {404}
    books = node.quiet()
    assert books.read > 0
    assert books.difference == 0
    eventually(lambda: node.books().read + node.books().socket_drops >= sent.sent, within_s=10)
    assert switch.is_alive
    assert switch.peak_memory_bytes < MEMORY_BYTES
    with Peer(switch.address("udp"), "127.0.0.66") as stranger, Stream(switch, "127.0.0.66") as stream:
        assert stranger.ask(Request()).status == 403
        stream.send(over_tcp("after"))
        assert stream.receive().status == 403
    assert node.totals().attempts == sum(
        getattr(node.books(), way) for way in ("recorded", "challenged", "folded")
    )
    assert switch.logged("panicked") == []
