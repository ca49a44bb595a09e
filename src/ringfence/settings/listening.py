# SPDX-License-Identifier: Apache-2.0
"""Where SIP is taken in, and what far ends are told of it: read from a line of the file or an option."""

import re
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import ip_address
from typing import Final

from ringfence.errors import ConfigError
from ringfence.settings.call_checks import route_address
from ringfence.settings.spelling import did_you_mean

_ADVERTISE: Final = "advertise"


class Transport(Enum):
    """A transport that the switch listens on."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Advertised:
    """What far ends are told of a listener behind 1:1 NAT: an address or a host name.

    Shape: `port` None = the one that is bound.
    """

    host: str
    port: int | None = None

    def __str__(self) -> str:
        return self.host if self.port is None else host_port(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where SIP is taken in. Port 0 = any free port. Shape: `advertised` None = what is bound is told."""

    transport: Transport
    host: str
    port: int
    advertised: Advertised | None = None

    @property
    def bound(self) -> str:
        """The address that is bound, as "udp:10.0.0.5:5060"."""
        return f"{self.transport.value}:{host_port(self.host, self.port)}"

    def __str__(self) -> str:
        return self.bound if self.advertised is None else f"{self.bound} {_ADVERTISE} {self.advertised}"


def host_port(host: str, port: int) -> str:
    """An address and a port as one word, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_listen(text: str) -> Listen:
    """Read where to take in SIP: "udp:127.0.0.1:5060", "udp:10.0.0.5:5060 advertise 203.0.113.7".

    Raises: ConfigError("bad_value").
    """
    place, *told = text.split() or [""]
    listen = _bound(place)
    return replace(listen, advertised=_advertised(text, told, listen)) if told else listen


def _bound(text: str) -> Listen:
    name, _, rest = text.partition(":")
    try:
        transport = Transport(name)
    except ValueError:
        known = [transport.value for transport in Transport]
        raise bad_value(
            f"{text!r} does not start with a transport: {', '.join(known[:-1])} or {known[-1]}",
            did_you_mean(name, known) or "write udp:127.0.0.1:5060",
        ) from None
    host, port = host_and_port(text, rest, f"{name}:127.0.0.1:5060")
    return Listen(transport=transport, host=host, port=port)


def _advertised(text: str, told: list[str], listen: Listen) -> Advertised:
    """What far ends are told, as Kamailio's `advertise` has it.

    Raises: ConfigError("bad_value").
    """
    address = "2001:db8::7" if ":" in listen.host else "203.0.113.7"
    example = f"write {listen.bound} {_ADVERTISE} {address}"
    if len(told) != 2 or told[0] != _ADVERTISE:
        raise bad_value(f"{text!r} is no address to take SIP in, and what others are told of it", example)
    host, port = _far_end_address(told[1], example)
    try:
        version = ip_address(host).version
    except ValueError:
        return Advertised(host, port)  # a name, which has addresses of either kind
    if version != ip_address(listen.host).version:
        raise bad_value(
            f"{listen.bound} cannot be reached at {host}: one is IPv4 and the other IPv6",
            "advertise an address of the same kind",
        )
    return Advertised(host, port)


def _far_end_address(text: str, example: str) -> tuple[str, int | None]:
    try:
        normal = route_address(text)
    except ConfigError as error:
        raise bad_value(f"{text!r} is nothing that others could reach us at", example) from error
    host, colon, port = normal.rpartition(":")
    if colon and (":" not in host or host.endswith("]")):
        return host.strip("[]"), int(port)
    return normal, None


def host_and_port(whole: str, text: str, example: str) -> tuple[str, int]:
    """Read an IP address and a port, the `text` of a `whole` value.

    Raises: ConfigError("bad_value") with an example.
    """
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not separator or (":" in host and not bracketed) or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII):
        raise bad_value(
            f"{whole!r} has no address and port", f"write {example}, an IPv6 address in [brackets]"
        )
    if int(port) > 65535:
        raise bad_value(f"{whole!r} has a port above 65535", f"write {example}")
    return _address(host[1:-1] if bracketed else host), int(port)


def bad_value(message: str, hint: str) -> ConfigError:
    """A value that cannot be used."""
    return ConfigError(message, hint=hint, code="bad_value")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise bad_value(f"{text!r} is not an IP address", "write 192.0.2.1 or 2001:db8::1") from None
