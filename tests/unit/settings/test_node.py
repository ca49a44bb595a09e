# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest

from ringfence.errors import ConfigError
from ringfence.settings.listening import Advertised, Listen, Transport, parse_listen
from ringfence.settings.node import Overrides, load, parse_portal
from ringfence.settings.node_file import KEYS, TlsSettings


def a_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ringfence.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_is_needed() -> None:
    config = load()
    assert [str(listen) for listen in config.listen] == ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
    assert str(config.portal) == "127.0.0.1:8080"
    assert config.data_dir == Path("ringfence-data")
    assert config.settings_url is None
    assert config.drain_s == 30


def test_every_key_can_be_set(tmp_path: Path) -> None:
    config = load(
        a_file(
            tmp_path,
            """
            name = "pop-2"
            data = "/var/lib/ringfence"
            sip = ["udp:0.0.0.0:5060", "tcp:[::]:5060", "tls:[::]:5061"]
            portal = "[::1]:0"
            portal_url = "https://portal.example.com/"
            settings_url = "postgresql+psycopg://rf@db/rf"
            drain_s = 0
            receive_buffer_bytes = 65536
            [tcp]
            max_connections = 100
            max_connections_per_source = 3
            reserved_for_known_percent = 0
            first_byte_s = 1
            message_s = 2
            idle_s = 10
            [tls]
            certificate = "node.pem"
            key = "node.key"
            ca = "carriers.pem"
            handshake_s = 3
            max_handshakes_per_source = 1
            [experimental]
            """,
        )
    )
    assert config.name == "pop-2"
    assert config.listen == (
        Listen(transport=Transport.UDP, host="0.0.0.0", port=5060),
        Listen(transport=Transport.TCP, host="::", port=5060),
        Listen(transport=Transport.TLS, host="::", port=5061),
    )
    assert str(config.portal) == "[::1]:0"
    assert config.portal_url == "https://portal.example.com"
    assert config.settings_url == "postgresql+psycopg://rf@db/rf"
    assert config.tcp.max_connections_per_source == 3
    assert config.tcp.idle_s == 10
    assert config.tls == TlsSettings(
        certificate="node.pem", key="node.key", ca="carriers.pem", handshake_s=3, max_handshakes_per_source=1
    )


def test_command_line_counts_before_the_file(tmp_path: Path) -> None:
    path = a_file(tmp_path, 'data = "a"\nsip = ["nonsense"]\nportal = "nonsense"\n')
    config = load(path, Overrides(data=Path("b"), sip=("udp:127.0.0.1:0",), portal="127.0.0.1:9"))
    assert (config.data_dir, str(config.listen[0]), str(config.portal)) == (
        Path("b"),
        "udp:127.0.0.1:0",
        "127.0.0.1:9",
    )


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ("\ndrain = 3", 2, "unknown key 'drain'", "did you mean drain_s?"),
        ("[tcp]\nidle = 3", 2, "unknown key 'idle' in [tcp]", "did you mean idle_s?"),
        ("[tpc]\n", 1, "unknown key 'tpc'", "did you mean tcp?"),
        ("tcp.idel_s = 3", 1, "unknown key 'idel_s' in [tcp]", "did you mean idle_s?"),
        ("tcp = { zzz = 3 }", 1, "unknown key 'zzz' in [tcp]", "known here: max_connections, "),
        ("[experimental]\nfaster = 1", 2, "unknown key 'faster' in [experimental]", "no key is known here"),
        ('drain_s = "x"', 1, "drain_s: this has to be a whole number, not a text in quotes", "0 to 3600 s"),
        ("[tcp]\n\nidle_s = 1", 3, "tcp.idle_s: this is out of range", "allowed: 10 to 86400 s"),
        ("drain_s = 3601", 1, "drain_s: this is out of range", "allowed: 0 to 3600 s"),
        ('name = "a b"', 1, "name: this cannot be a name", "letters, digits, . _ -"),
        ("sip = []", 1, "sip: at least one is needed", None),
        ('sip = "udp:127.0.0.1:5060"', 1, "sip: this has to be a list in [brackets], not a text", None),
        (
            'sip = ["upd:127.0.0.1:5"]',
            1,
            "does not start with a transport: udp, tcp or tls",
            "did you mean udp?",
        ),
        ('sip = [\n"udp:127.0.0.1:5060",\n"udp:127.0.0.1:5060"]', 1, "listed twice", "leave one"),
        ('sip = ["udp:localhost:5060"]', 1, "'localhost' is not an IP address", "write 192.0.2.1"),
        ('sip = ["udp:127.0.0.1:65536"]', 1, "port above 65535", "write udp:127.0.0.1:5060"),
        ('portal = "::1:80"', 1, "portal: '::1:80' has no address and port", "[brackets]"),
        ('[tls]\nkey = "k"', 2, "tls.key: there is no tls.certificate", "set both"),
        ('[tls]\ncertificate = "c"', 2, "tls.certificate: there is no tls.key", "set both"),
        ("[tls]\nhandshake_s = 0", 2, "tls.handshake_s: this is out of range", "allowed: 1 to 60 s"),
        ('[tls]\npassword = "p"', 2, "unknown key 'password' in [tls]", "known here: certificate, key"),
        ("a = 1\na = 2", 2, "Cannot overwrite a value", "toml.io"),
        ("name = ", 1, "Invalid value", "toml.io"),
    ],
)
def test_error_names_the_file_and_the_line(
    tmp_path: Path, text: str, line: int, said: str, hint: str | None
) -> None:
    path = a_file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert said in caught.value.message
    assert (hint or "") in (caught.value.hint or "")


def test_error_on_the_command_line_names_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(a_file(tmp_path, ""), Overrides(sip=("udp:127.0.0.1",)))
    assert caught.value.message == "'udp:127.0.0.1' has no address and port"


def test_an_address_with_tls_needs_a_certificate() -> None:
    with pytest.raises(ConfigError, match=r"^tls:127\.0\.0\.1:5061 needs a certificate$") as caught:
        load(overrides=Overrides(sip=("tls:127.0.0.1:5061",)))
    assert "tls.key" in (caught.value.hint or "")


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    "text", ["udp:127.0.0.1:5060", "tcp:[2001:db8::1]:5061", "tls:[::]:5061", "udp:0.0.0.0:0"]
)
def test_listen_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_listen(text)) == text


@pytest.mark.parametrize(
    "text", ["", "udp", "udp:", "udp:5060", "udp:127.0.0.1:", "udp:[::1]", "ws:127.0.0.1:5061"]
)
def test_listen_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_listen(text)


@pytest.mark.parametrize(
    ("told", "advertised"),
    [
        ("203.0.113.7", Advertised("203.0.113.7")),
        ("203.0.113.7:5070", Advertised("203.0.113.7", 5070)),
        ("sip.example.com", Advertised("sip.example.com")),
        ("sip.example.com:5070", Advertised("sip.example.com", 5070)),
    ],
)
def test_what_others_are_told_of_an_address_is_written_as_it_is_read(
    told: str, advertised: Advertised
) -> None:
    listen = parse_listen(f"udp:10.0.0.5:5060  advertise {told}")
    assert listen.advertised == advertised
    assert (listen.bound, str(listen)) == ("udp:10.0.0.5:5060", f"udp:10.0.0.5:5060 advertise {told}")


@pytest.mark.parametrize("told", ["2001:db8::7", "[2001:db8::7]:5070"])
def test_an_ipv6_address_may_be_told_too(told: str) -> None:
    assert str(parse_listen(f"tcp:[fd00::5]:5060 advertise {told}")) == f"tcp:[fd00::5]:5060 advertise {told}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("udp:10.0.0.5:5060 advertise", "no address to take SIP in, and what others are told of it"),
        ("udp:10.0.0.5:5060 advertised 203.0.113.7", "no address to take SIP in"),
        ("udp:10.0.0.5:5060 advertise 203.0.113.7 5060", "no address to take SIP in"),
        ("udp:10.0.0.5:5060 advertise 0.0.0.0", "'0.0.0.0' is nothing that others could reach us at"),
        ("udp:10.0.0.5:5060 advertise 203.0.113.300", "is nothing that others could reach us at"),
        ("udp:10.0.0.5:5060 advertise 203.0.113.7:0", "is nothing that others could reach us at"),
        ("udp:10.0.0.5:5060 advertise a<b", "is nothing that others could reach us at"),
        ("udp:10.0.0.5:5060 advertise 2001:db8::7", "one is IPv4 and the other IPv6"),
    ],
)
def test_what_cannot_be_told_to_others_is_one_error_with_a_way_out(
    tmp_path: Path, text: str, said: str
) -> None:
    path = a_file(tmp_path, f'name = "a"\nsip = ["{text}"]\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value.message).startswith(f"{path}:2: sip: ")
    assert said in caught.value.message
    assert "advertise" in (caught.value.hint or "")


def test_one_address_cannot_be_told_in_two_ways() -> None:
    both = ("udp:10.0.0.5:5060", "udp:10.0.0.5:5060 advertise 203.0.113.7")
    with pytest.raises(ConfigError, match=r"udp:10\.0\.0\.5:5060 is listed twice"):
        load(overrides=Overrides(sip=both))


def test_several_free_ports_on_one_address_are_not_doubles() -> None:
    config = load(overrides=Overrides(sip=("udp:127.0.0.1:0", "udp:127.0.0.1:0")))
    assert len(config.listen) == 2


def test_portal_address_needs_a_port() -> None:
    with pytest.raises(ConfigError, match="no address and port"):
        parse_portal("127.0.0.1")


def test_keys_are_listed_with_default_and_range() -> None:
    assert KEYS["drain_s"].default == "30"
    assert KEYS["tcp.idle_s"].allowed == "10 to 86400 s"
    assert KEYS["sip"].default == '["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]'


@pytest.mark.parametrize(
    "url", ["portal.example.com", "ftp://x", "https://x/path", "https://x\n", "https://"]
)
def test_an_address_of_the_portal_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a web site"):
        load(a_file(tmp_path, f"portal_url = {json.dumps(url)}\n"))
