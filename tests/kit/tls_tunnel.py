# SPDX-License-Identifier: Apache-2.0
"""TLS for a program that speaks TCP only, as Debian's sipp: one side reads of TLS, the other of TCP."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a tunnel. Shape: `context` None = plain TCP; `source` is whom connections come from."""

    address: tuple[str, int]
    context: ssl.SSLContext | None = None
    name: str | None = None
    source: str | None = None


@contextlib.contextmanager
def tunnel(listening: End, connecting: End, outward: Mapping[bytes, bytes]) -> Iterator[None]:
    """Take connections in at one end, make one to the other for each, and pass bytes on both ways.

    Shape: `outward` is what is replaced on the way to the end that is connected to, and put back on the way
    from it; both of a pair are of one length, so that no message changes its own. What TCP cuts in two at a
    replaced word is passed as it is.
    """
    assert all(len(one) == len(other) for one, other in outward.items())
    inward = {other: one for one, other in outward.items()}
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    passing: set[asyncio.Task[None] | None] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.add(task := asyncio.current_task())
        source = None if connecting.source is None else (connecting.source, 0)
        far_reader, far_writer = await asyncio.open_connection(
            *connecting.address, ssl=connecting.context, server_hostname=connecting.name, local_addr=source
        )
        try:
            # Cancelled when the block is left: the end of a tunnel like any other.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(_pass(reader, far_writer, outward), _pass(far_reader, writer, inward))
        finally:
            passing.discard(task)
            for each in (writer, far_writer):
                each.transport.abort()
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    async def serve() -> None:
        server = await asyncio.start_server(take, *listening.address, ssl=listening.context)
        async with server:
            ready.set()
            await over.wait()
            left = [task for task in passing if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: Mapping[bytes, bytes]
) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while some := await reader.read(65_536):
            for one, other in words.items():
                some = some.replace(one, other)
            writer.write(some)
            await writer.drain()
    writer.close()
