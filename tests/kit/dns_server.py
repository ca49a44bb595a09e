# SPDX-License-Identifier: Apache-2.0
"""A name server on loopback that knows what a test tells it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Zone = Mapping[tuple[str, str], tuple[str, ...]]
"""Texts of records by name and type: `("sip.example.com.", "A")`."""
TTL_S = 120


class _Server(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        kind = question.rdtype.name
        texts = self.zone.get((question.name.to_text(), kind), ())
        if texts:
            reply.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", kind, *texts))
        elif not any(name == question.name.to_text() for name, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(reply.to_wire(), addr)


@asynccontextmanager
async def dns_server(zone: Zone) -> AsyncIterator[dns.asyncresolver.Resolver]:
    """A resolver that asks it."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: _Server(zone), local_addr=("127.0.0.1", 0)
    )
    server.transport = transport
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    try:
        yield resolver
    finally:
        transport.close()
