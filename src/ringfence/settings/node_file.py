# SPDX-License-Identifier: Apache-2.0
"""The node's configuration file as it is written: every key with its type, default, range and reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, get_args, get_type_hints

import msgspec
from msgspec import Meta

_UNIT: Final = "unit"


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
