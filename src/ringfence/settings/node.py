# SPDX-License-Identifier: Apache-2.0
"""The node's own configuration: what must be known before anything starts; a file or the command line.

Everything has a default; no file is needed. What operators change while the switch runs is not here but in
the settings store.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from ringfence.errors import ConfigError
from ringfence.settings.listening import (
    Listen,
    Transport,
    bad_value,
    host_and_port,
    host_port,
    parse_listen,
)
from ringfence.settings.spelling import did_you_mean

T = TypeVar("T")

_PORTAL_URL: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-f:]+\])(?::[0-9]{1,5})?/?")
_UNIT: Final = "unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalAddress:
    """Where the office answers HTTP. Port 0 = any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_port(self.host, self.port)


class TcpLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on connections, so that strangers cannot use them up."""

    max_connections: Annotated[
        int,
        Meta(
            ge=16,
            le=1_000_000,
            description="Connections open at once. Each takes a file descriptor and some memory.",
            extra={_UNIT: "connections"},
        ),
    ] = 4096
    max_connections_per_source: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Connections open at once from one stranger: an IPv4 address or an IPv6 /64.",
            extra={_UNIT: "connections"},
        ),
    ] = 16
    reserved_for_known_percent: Annotated[
        int,
        Meta(
            ge=0,
            le=90,
            description="The share of `max_connections` that only gateways and registered phones may take.",
            extra={_UNIT: "%"},
        ),
    ] = 25
    first_byte_s: Annotated[
        int,
        Meta(
            ge=1,
            le=60,
            description=(
                "A connection that has sent nothing for this long after it opened is closed and recorded."
            ),
            extra={_UNIT: "s"},
        ),
    ] = 5
    message_s: Annotated[
        int,
        Meta(
            ge=1,
            le=120,
            description=(
                "How long one message may take to arrive; senders that trickle bytes are closed and recorded."
            ),
            extra={_UNIT: "s"},
        ),
    ] = 10
    idle_s: Annotated[
        int,
        Meta(
            ge=10,
            le=86_400,
            description="A connection without a registration is closed when nothing has come for this long.",
            extra={_UNIT: "s"},
        ),
    ] = 120


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates, and bounds on handshakes."""

    certificate: Annotated[
        str | None,
        Meta(
            description=(
                "The PEM file with the certificate of this node and, after it, those that lead to its "
                "authority. Needed to listen with TLS. It is read again when it changes."
            ),
        ),
    ] = None
    key: Annotated[
        str | None,
        Meta(description="The PEM file with the private key of `certificate`, without a password."),
    ] = None
    ca: Annotated[
        str | None,
        Meta(
            description=(
                "The PEM file with the authorities that vendors' certificates are checked by. Without it "
                "they are those of the system."
            ),
        ),
    ] = None
    handshake_s: Annotated[
        int,
        Meta(
            ge=1,
            le=60,
            description="A connection whose handshake takes longer is closed and recorded.",
            extra={_UNIT: "s"},
        ),
    ] = 5
    max_handshakes_per_source: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description=(
                "Handshakes at once from one stranger: an IPv4 address or an IPv6 /64. Each counts for a "
                "second at least; connections beyond are closed."
            ),
            extra={_UNIT: "handshakes"},
        ),
    ] = 8


class Homer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where copies of traced messages go, in HEP3."""

    address: Annotated[
        str | None,
        Meta(
            description=(
                "The HEP listener of a Homer server (heplify-server), UDP, as address:port. Without it no "
                "copies are sent. They hold what the trace holds: credentials are masked, and RF_TRACE_BYTES "
                "has to be above 0."
            )
        ),
    ] = None
    capture_id: Annotated[
        int,
        Meta(
            ge=1, le=4_294_967_295, description="The number that this node has there. Give each node its own."
        ),
    ] = 2001
    password: Annotated[
        str,
        Meta(max_length=256, description="What the server asks of capture agents, if it does."),
    ] = ""


class Experimental(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that may change or go without notice. There are none at present."""


class NodeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it is written; `NodeConfig` is what the program works with."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[0-9A-Za-z._-]{1,32}$",
            extra={"allowed": "1 to 32 of: letters, digits, . _ -"},
            description=(
                "The node's name in records. Give each node its own before it first runs: tags of live calls "
                "are made with it."
            ),
        ),
    ] = "node1"
    data: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "The directory of the journal, the call records and the settings, relative to where the "
                "program is started. It is created with access for its owner only."
            ),
        ),
    ] = "ringfence-data"
    sip: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            max_length=64,
            description=(
                "Where SIP is taken in, each as transport:address:port. The default is loopback: name the "
                "address that customers reach to serve them. 0.0.0.0 and [::] take in on every address. "
                "Behind 1:1 NAT: `udp:10.0.0.5:5060 advertise 203.0.113.7`, with a port if that is another "
                "one; far ends are then told the second address."
            ),
        ),
    ] = ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")
    portal: Annotated[
        str,
        Meta(
            description=(
                "Where the office answers HTTP, as address:port. Keep it on loopback, or behind a proxy that "
                "adds TLS."
            )
        ),
    ] = "127.0.0.1:8080"
    portal_url: Annotated[
        str | None,
        Meta(
            description=(
                "What people type to reach the portal, such as https://portal.example.com: it stands in "
                "messages, and the portal answers to its name. Without it that is the address of `portal`."
            ),
        ),
    ] = None
    settings_url: Annotated[
        str | None,
        Meta(
            description=(
                "The settings store of several nodes, as an SQLAlchemy URL of a PostgreSQL database. Without "
                "it the settings are in `settings.db` in the data directory."
            )
        ),
    ] = None
    drain_s: Annotated[
        int,
        Meta(
            ge=0,
            le=3600,
            description="At the end, how long live calls may go on before they are hung up.",
            extra={_UNIT: "s"},
        ),
    ] = 30
    receive_buffer_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=1_073_741_824,
            description=(
                "What the kernel holds for each UDP socket while the switch is busy. The kernel allows no "
                "more than net.core.rmem_max; the start says so if it gave less."
            ),
            extra={_UNIT: "bytes"},
        ),
    ] = 8_388_608
    tcp: TcpLimits = TcpLimits()
    tls: TlsSettings = TlsSettings()
    homer: Homer = Homer()
    experimental: Experimental = Experimental()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a person needs to know about a key of the file; `docs` writes it out.

    Shape: `path` is as "tcp.idle_s"; `default` is TOML, empty for none; `allowed` is empty where the type
    says all.
    """

    path: str
    default: str
    allowed: str
    why: str


def _keys(kind: type[msgspec.Struct], table: str = "") -> Iterator[Key]:
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        path = f"{table}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _keys(field.type, f"{path}.")
            continue
        meta: Meta = get_args(hints[field.name])[1]
        allowed = (meta.extra or {}).get("allowed", "")
        if meta.ge is not None:
            allowed = f"{meta.ge} to {meta.le} {(meta.extra or {}).get(_UNIT, '')}".strip()
        yield Key(path=path, default=_toml(field.default), allowed=allowed, why=meta.description or "")


def _toml(value: object) -> str:
    if value is None:
        return ""
    return msgspec.json.encode(value).decode().replace('","', '", "')


KEYS: Final[dict[str, Key]] = {key.path: key for key in _keys(NodeFile)}
"""Every key of the file by its path, in the order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The configuration of this node, checked.

    Shape: `listen` has at least one entry and none twice.
    `settings_url` None = the file in `data_dir`.
    """

    name: str
    data_dir: Path
    listen: tuple[Listen, ...]
    portal: PortalAddress
    portal_url: str | None
    settings_url: str | None
    drain_s: int
    receive_buffer_bytes: int
    tcp: TcpLimits
    tls: TlsSettings
    homer: Homer


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says instead of the file; None or empty = nothing."""

    data: Path | None = None
    sip: tuple[str, ...] = ()
    portal: str | None = None


def load(path: Path | None = None, overrides: Overrides | None = None) -> NodeConfig:
    """Read and check the configuration; without a file it is all defaults.

    Raises: ConfigError that names file and line where there is one, and the nearest spelling of an unknown
    key.
    """
    wanted = Overrides() if overrides is None else overrides
    text = "" if path is None else _read(path)
    lines = _Lines(text, "" if path is None else str(path))
    file = _parse(text, lines)
    sip = wanted.sip or file.sip
    listen = tuple(
        _at(None if wanted.sip else lines, f"$.sip[{place}]", parse_listen, item)
        for place, item in enumerate(sip)
    )
    for place, item in enumerate(listen):
        if item.port != 0 and item.bound in [earlier.bound for earlier in listen[:place]]:
            raise lines.error(
                f"$.sip[{place}]", f"{item.bound} is listed twice", hint="leave one of them out"
            )
    _check_certificate(file.tls, listen, lines)
    portal = file.portal if wanted.portal is None else wanted.portal
    return NodeConfig(
        name=file.name,
        data_dir=Path(file.data) if wanted.data is None else wanted.data,
        listen=listen,
        portal=_at(None if wanted.portal else lines, "$.portal", parse_portal, portal),
        portal_url=None
        if file.portal_url is None
        else _at(lines, "$.portal_url", parse_portal_url, file.portal_url),
        settings_url=file.settings_url,
        drain_s=file.drain_s,
        receive_buffer_bytes=file.receive_buffer_bytes,
        tcp=file.tcp,
        tls=file.tls,
        homer=_homer(file.homer, lines),
    )


def _homer(homer: Homer, lines: "_Lines") -> Homer:
    if homer.address is None:
        return homer
    host, port = _at(lines, "$.homer.address", _homer_address, homer.address)
    return msgspec.structs.replace(homer, address=host_port(host, port))


def _homer_address(text: str) -> tuple[str, int]:
    host, port = host_and_port(text, text, "192.0.2.1:9060")
    if not port:
        raise bad_value(f"{text!r} has port 0", "write 192.0.2.1:9060")
    return host, port


def _check_certificate(tls: TlsSettings, listen: tuple[Listen, ...], lines: "_Lines") -> None:
    """Certificate and key come together, and nothing listens with TLS without them."""
    if (tls.certificate is None) != (tls.key is None):
        there, missing = ("certificate", "key") if tls.key is None else ("key", "certificate")
        raise lines.error(
            f"$.tls.{there}", f"there is no tls.{missing}", hint="set both tls.certificate and tls.key"
        )
    for item in listen:
        if item.transport is Transport.TLS and tls.certificate is None:
            raise bad_value(
                f"{item} needs a certificate", "set tls.certificate and tls.key in the file for --config"
            )


def parse_portal(text: str) -> PortalAddress:
    """Read where to answer HTTP: "127.0.0.1:8080" or "[::1]:8080".

    Raises: ConfigError("bad_value").
    """
    host, port = host_and_port(text, text, "127.0.0.1:8080")
    return PortalAddress(host=host, port=port)


def parse_portal_url(text: str) -> str:
    """Read what people type to reach the portal: "https://portal.example.com", without a path.

    Raises: ConfigError("bad_value").
    """
    if not _PORTAL_URL.fullmatch(text):
        raise bad_value(
            f"{text!r} is no address of a web site", "write https://portal.example.com, without a path"
        )
    return text.rstrip("/")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint="check the path and its access"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error


def _parse(text: str, lines: "_Lines") -> NodeFile:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        message = str(error).partition(" (at ")[0]
        line = len(text.splitlines()) if found is None else int(found.group(1))
        raise lines.error_at(line, message, hint="see https://toml.io for the format") from error
    _refuse_unknown(table, NodeFile, "$", lines)
    try:
        return msgspec.convert(table, NodeFile)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        path = path.rstrip("`") or "$"
        key = KEYS.get(re.sub(r"\[\d+\]$", "", path).removeprefix("$."))
        hint = None if key is None or not key.allowed else f"allowed: {key.allowed}"
        raise lines.error(path, _in_words(message), hint=hint) from error


def _refuse_unknown(table: Mapping[str, Any], kind: type[msgspec.Struct], path: str, lines: "_Lines") -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            where = "" if path == "$" else f" in [{path.removeprefix('$.')}]"
            raise lines.error_at(
                lines.line_of(f"{path}.{key}"),
                f"unknown key {key!r}{where}",
                hint=did_you_mean(key, fields) or _known(fields),
            )
        inner = fields[key]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
            _refuse_unknown(value, inner, f"{path}.{key}", lines)


def _known(fields: Mapping[str, object]) -> str:
    return f"known here: {', '.join(fields)}" if fields else "no key is known here"


_WORDS: Final = (
    (r"Expected `int` [<>]= .*", "this is out of range"),
    (r"Expected `str` matching regex.*", "this cannot be a name"),
    (r"Expected `array` of length >= 1", "at least one is needed"),
    (r"Expected `array` of length (?:<=|\d+ <=).*", "these are too many"),
    (r"Expected `str` of length >= 1", "it cannot be empty"),
    (r"Expected `(\w+)(?: \| null)?`, got `(\w+)`", r"this has to be \1, not \2"),
)

_TOML_NAMES: Final = {
    "int": "a whole number",
    "str": "a text in quotes",
    "array": "a list in [brackets]",
    "object": "a [table]",
    "float": "a number with a point",
    "bool": "true or false",
}


def _in_words(message: str) -> str:
    for pattern, words in _WORDS:
        found = re.fullmatch(pattern, message)
        if found is not None:
            said = found.expand(words)
            return re.sub(
                r"\b(int|str|array|object|float|bool)\b", lambda name: _TOML_NAMES[name.group()], said
            )
    return message


class _Lines:
    """Finds the line of a key, which the TOML reader does not tell."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._line_of: dict[str, int] = {}
        table = "$"
        for number, line in enumerate(text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                table = f"$.{_plain(header.group(1))}"
                self._line_of.setdefault(table, number)
            elif key := re.match(r"\s*([A-Za-z0-9_\"'. -]+?)\s*=", line):
                self._line_of.setdefault(f"{table}.{_plain(key.group(1))}", number)

    def line_of(self, path: str) -> int | None:
        """The line of a key such as "$.tcp.idle_s" or "$.sip[1]", or of the table it is in."""
        key = re.sub(r"\[\d+\]$", "", path)
        while key not in self._line_of and "." in key:
            key = key.rpartition(".")[0]
        return self._line_of.get(key)

    def error(self, path: str, message: str, *, hint: str | None) -> ConfigError:
        """An error in the value of a key."""
        key = re.sub(r"\[\d+\]$", "", path).removeprefix("$").removeprefix(".")
        return self.error_at(self.line_of(path), f"{key}: {message}" if key else message, hint=hint)

    def error_at(self, line: int | None, message: str, *, hint: str | None) -> ConfigError:
        """An error at a line; None = nowhere in particular."""
        where = "" if not self._name else f"{self._name}: " if line is None else f"{self._name}:{line}: "
        return ConfigError(f"{where}{message}", hint=hint)


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _at(lines: "_Lines | None", path: str, parse: Callable[[str], T], text: str) -> T:
    """Parse a value, and name its line if it came from the file."""
    try:
        return parse(text)
    except ConfigError as error:
        if lines is None:
            raise
        raise lines.error(path, error.message, hint=error.hint) from error
