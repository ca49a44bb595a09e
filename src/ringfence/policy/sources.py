# SPDX-License-Identifier: Apache-2.0
"""The addresses that a gateway sends from, ports left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self


@dataclass(frozen=True, slots=True)
class Sources:
    """Networks that an address may be in."""

    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def read(cls, addresses: Iterable[str]) -> Self:
        """Read normal forms of a gateway's addresses (`settings.model.Gateway`).

        >>> sources = Sources.read(["192.0.2.3:5060", "[2001:db8::1]:5060", "198.51.100.0/24"])
        >>> [sources.hold(a) for a in ("192.0.2.3", "2001:db8::1", "198.51.100.7", "192.0.2.4", "")]
        [True, True, True, False, False]
        """
        return cls(tuple(ip_network(_without_port(address)) for address in addresses))

    def hold(self, address: str) -> bool:
        """Whether an IP address is one of them; what is none is not."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
