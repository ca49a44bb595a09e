# SPDX-License-Identifier: Apache-2.0
"""TLS over real sockets: calls both ways, who is believed, and handshakes that come to no end."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from kit.call_node import SDP, Caller, CallNode, Line, answer
from kit.certificates import Authority, Certificate
from kit.node import Half, Node
from kit.sip import Answer, Request
from kit.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

VENDOR = "sip.vendor.example"
CUSTOMER = "127.0.0.30"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Believed by node and customers."""
    return Authority(tmp_path)


@pytest.fixture
def calls(tmp_path: Path, authority: Authority) -> Iterator[CallNode]:
    """An edge with a TLS address, and calls over it that go where a test says."""
    ours = authority.issue("node.example", file="node")
    tls = {
        "certificate": str(ours.chain),
        "key": str(ours.key),
        "ca": str(authority.certificate),
        "handshake_s": 5,
        "max_handshakes_per_source": 8,
    }
    with CallNode(tmp_path / "edge", tls) as made:
        yield made
    assert not made.faults


@pytest.fixture
def switch(node: Node, tmp_path: Path, authority: Authority) -> Half:
    """A switch with a TLS address that lets a stranger have two handshakes of a second each."""
    ours = authority.issue("node.example", file="node")
    config = tmp_path / "ringfence.toml"
    config.write_text(
        f"""
        [tls]
        certificate = "{ours.chain}"
        key = "{ours.key}"
        ca = "{authority.certificate}"
        handshake_s = 1
        max_handshakes_per_source = 2
        """
    )
    return node.switch(sip=("udp:127.0.0.1:0", "tls:127.0.0.1:0"), options=("--config", str(config)))


def plain(address: tuple[str, int], source: str) -> socket.socket:
    return socket.create_connection(address, timeout=10, source_address=(source, 0))


def connected(address: tuple[str, int], authority: Authority, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """A connection to the node that believes its certificate."""
    return authority.connect().wrap_socket(plain(address, source), server_hostname="node.example")


@contextmanager
def listening(calls: CallNode, domain: str = VENDOR) -> Iterator[socket.socket]:
    """A vendor's address; calls go there, to who bears this name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        calls.router.target = calls.target("TLS", server.getsockname(), domain)
        yield server


def accepted(server: socket.socket, certificate: Certificate, asked: list[str | None]) -> ssl.SSLSocket:
    """The node's next connection; `asked` gets the name that it asks for (RFC 6066 §3)."""
    context = certificate.serve()
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    connection, _ = server.accept()
    connection.settimeout(10)
    return context.wrap_socket(connection, server_side=True)


def refused(server: socket.socket, certificate: Certificate) -> None:
    """The node connects, sees this certificate, and sends nothing."""
    try:
        with accepted(server, certificate, []) as connection:
            assert connection.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        pass


def test_a_call_over_tls_on_both_sides(calls: CallNode, authority: Authority) -> None:
    asked: list[str | None] = []
    with listening(calls) as server, closing(connected(calls.addresses["TLS"], authority)) as line:
        alice = Caller(Line(line, "TLS"))
        alice.ask("INVITE", SDP)
        with accepted(server, authority.issue(VENDOR), asked) as connection:
            bob = Caller(Line(connection, "TLS"))
            invite = bob.line.expect("INVITE")
            port = calls.addresses["TLS"][1]
            assert (invite.header("Via") or "").startswith(f"SIP/2.0/TLS 127.0.0.1:{port};")
            assert (invite.contact or "").endswith(f"@127.0.0.1:{port};transport=tls")
            bob.called(invite)
            answer(bob.line, invite, 200, SDP, tag=bob.tag)
            success = alice.line.expect(200)
            assert (success.contact or "").endswith(";transport=tls")
            alice.learn(success)
            alice.ack(success)
            bob.line.expect("ACK")
            # The caller's Contact may say what it likes: requests to it come on its own connection.
            bob.ask("BYE")
            bob.line.expect(200)
            answer(alice.line, alice.line.expect("BYE"), 200)
    assert asked == [VENDOR]
    eventually(lambda: not calls.calls.table.calls)
    assert calls.troubles == []


def test_a_vendor_whose_certificate_bears_another_name_hears_nothing(
    calls: CallNode, authority: Authority
) -> None:
    other, right = authority.issue("other.example"), authority.issue(VENDOR)
    with listening(calls) as server, closing(connected(calls.addresses["TLS"], authority)) as line:
        alice = Caller(Line(line, "TLS"))
        for count in (1, 2):
            alice.ask("INVITE", SDP)
            refused(server, other)
            alice.ack(alice.line.expect(503))
            assert calls.edge.counters()["tls_far_ends_failed"] == count
            alice = Caller(alice.line)
        eventually(lambda: len(calls.troubles) == 1)
        assert f"TLS to {VENDOR} at " in calls.troubles[0]
        assert "other.example" in calls.troubles[0]
        alice.ask("INVITE", SDP)
        with accepted(server, right, []) as connection:
            invite = Line(connection, "TLS").expect("INVITE")
            answer(Line(connection, "TLS"), invite, 486, tag="b")
            alice.ack(alice.line.expect(486))
    assert [trouble.rpartition(" at ")[0] for trouble in calls.troubles[1:]] == [f"TLS to {VENDOR}"]
    assert calls.troubles[1].endswith("works again")


def test_a_vendor_of_another_authority_hears_nothing(
    calls: CallNode, authority: Authority, tmp_path: Path
) -> None:
    forged = Authority(tmp_path, "forger").issue(VENDOR)
    with listening(calls) as server, closing(connected(calls.addresses["TLS"], authority)) as line:
        alice = Caller(Line(line, "TLS"))
        alice.ask("INVITE", SDP)
        refused(server, forged)
        alice.ack(alice.line.expect(503))
    eventually(lambda: len(calls.troubles) == 1)


def test_a_renewed_certificate_is_shown_to_new_connections(calls: CallNode, authority: Authority) -> None:
    def serial() -> object:
        with closing(connected(calls.addresses["TLS"], authority)) as line:
            return (line.getpeercert() or {})["serialNumber"]

    before = serial()
    authority.issue("node.example", file="node")
    calls.edge.reload_tls()
    assert serial() != before


def test_handshakes_that_come_to_no_end_are_bounded_for_each_source_and_recorded(
    node: Node, switch: Half, authority: Authority
) -> None:
    address = switch.address("tls")
    with ExitStack() as opened:
        for _ in range(5):
            opened.enter_context(closing(plain(address, "127.0.0.77")))
        eventually(lambda: node.counters()["tcp_connections_refused"] == 3)
        # Another one is served beside them.
        with closing(connected(address, authority, "127.0.0.78")) as line:
            line.sendall(Request(transport="TLS").write())
            assert Answer.read(line.recv(65_535)).status == 403
        eventually(lambda: node.counters()["tls_handshakes_failed"] == 2)
        eventually(lambda: node.counters()["tcp_connections_open"] == 0)
    # The two, and the INVITE.
    books = node.balanced(read=3)
    assert books.recorded + books.folded == 3
    (row,) = node.cli.json("cdr", "list", "--illegal")
    assert (row["transport"], row["callerip"], row["proven"]) == ("TLS", "127.0.0.78", True)


def test_who_does_not_speak_tls_is_closed_and_recorded(node: Node, switch: Half) -> None:
    with closing(plain(switch.address("tls"), "127.0.0.77")) as line:
        line.sendall(Request(transport="TLS").write())
        while line.recv(4096):
            pass
    eventually(lambda: node.counters()["tls_handshakes_failed"] == 1)
    assert node.balanced(read=1).recorded == 1
    (row,) = node.cli.json("cdr", "list", "--events")
    assert (row["transport"], row["callerip"]) == ("TLS", "127.0.0.77")


def test_the_switch_takes_a_call_in_and_passes_it_on_over_tls(
    node: Node, switch: Half, authority: Authority
) -> None:
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        vendor = f"127.0.0.1:{server.getsockname()[1]}"
        node.cli.ok("route", "add", "vendor", vendor, "--transport", "tls")
        with closing(connected(switch.address("tls"), authority, CUSTOMER)) as line:
            alice = Caller(Line(line, "TLS"))
            alice.ask("INVITE", SDP)
            # A vendor that is known by its address bears that.
            with accepted(server, authority.issue("127.0.0.1"), []) as connection:
                bob = Caller(Line(connection, "TLS"))
                invite = bob.line.expect("INVITE")
                bob.called(invite)
                answer(bob.line, invite, 200, SDP, tag=bob.tag)
                success = alice.line.expect(200)
                alice.learn(success)
                alice.ack(success)
                bob.line.expect("ACK")
                alice.ask("BYE")
                alice.line.expect(200)
                answer(bob.line, bob.line.expect("BYE"), 200)
    eventually(lambda: len(node.cli.json("cdr", "list")) == 1)
    (row,) = node.cli.json("cdr", "list")
    assert (row["transport"], row["sip_status"], row["proven"]) == ("TLS", 200, True)
    assert node.books().difference == 0


def test_a_certificate_that_is_not_there_is_said_at_the_start(tmp_path: Path, node: Node) -> None:
    config = tmp_path / "ringfence.toml"
    config.write_text(f'[tls]\ncertificate = "{tmp_path}/absent.pem"\nkey = "{tmp_path}/absent.key"\n')
    process, log = node.start("switch", "--sip", "tls:127.0.0.1:0", "--config", str(config))
    assert process.wait(30) != 0
    said = log.read_text()
    assert f"error: tls.certificate {tmp_path}/absent.pem cannot be used: No such file" in said
    assert "hint: name a PEM file" in said
