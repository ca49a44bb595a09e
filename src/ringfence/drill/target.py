# SPDX-License-Identifier: Apache-2.0
"""Where a drill may aim: at a loopback address and nowhere else."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from ringfence.errors import ConfigError

_HINT: Final = "write it as udp:127.0.0.1:5060 or udp:[::1]:5060"


@dataclass(frozen=True, slots=True)
class Target:
    """A UDP listener on loopback."""

    ip: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.is_ipv6 else f"{self.ip}:{self.port}"

    @property
    def is_ipv6(self) -> bool:
        """Whether sources are ::1 alone."""
        return self.ip.version == 6


def parse_target(text: str) -> Target:
    """Read `udp:127.0.0.1:5060`; `udp:` may be left out.

    Raises: ConfigError if it is no numeric address with a port, not UDP, or not loopback.
    """
    host, _, port = text.removeprefix("udp:").rpartition(":")
    try:
        ip = ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is not a UDP address with a port", hint=_HINT, code="bad_value"
        ) from error
    if not 0 < number < 65536:
        raise ConfigError(f"{number} is not a port", hint=_HINT, code="bad_value")
    if not ip.is_loopback or (isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None):
        raise ConfigError(
            f"{ip} is not a loopback address",
            hint="a drill may only aim at 127.0.0.0/8 or ::1, on the machine that it runs on",
            code="bad_value",
        )
    return Target(ip, number)


def target_among(listeners: Iterable[str]) -> Target:
    """The loopback address by which the first UDP listener of the switch is reached.

    Raises: ConfigError if the switch listens on no loopback address by UDP.
    """
    seen = list(listeners)
    for listener in seen:
        if not listener.startswith("udp:"):
            continue
        anywhere = listener.replace("udp:0.0.0.0:", "udp:127.0.0.1:").replace("udp:[::]:", "udp:[::1]:")
        try:
            return parse_target(anywhere)
        except ConfigError:
            continue
    raise ConfigError(
        f"the switch listens on no loopback address by UDP, only on {', '.join(seen) or 'nothing'}",
        hint="add one with --sip udp:127.0.0.1:5060",
    )
