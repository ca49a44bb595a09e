# SPDX-License-Identifier: Apache-2.0
"""The switch's half of control.sock.

Clients are programs of the same user on the same machine (the socket's mode is 0600), but a broken one must
not hurt calls: lines, clients and waiting are bounded, and bad input gets one error and the connection is
closed.
"""

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Final, Protocol, Self, assert_never

import msgspec

from ringfence.control.address import socket_address
from ringfence.control.messages import (
    REQUEST_LIMIT_BYTES,
    VERSION,
    Books,
    BooksRequest,
    CallCounts,
    CallCountsRequest,
    CallsRequest,
    Counters,
    CountersRequest,
    Draining,
    DrainRequest,
    Failure,
    Flows,
    FlowsRequest,
    HangUpRequest,
    HungUp,
    Lists,
    ListsRequest,
    LiveCalls,
    PingRequest,
    Pong,
    Request,
    RequestBody,
    Response,
    ResponseBody,
    SettingsChangedRequest,
    SettingsInForce,
    Status,
    StatusRequest,
    Traced,
    TraceRequest,
    Vendors,
    VendorsRequest,
)
from ringfence.errors import ControlError, RingfenceError

_LOG: Final = logging.getLogger(__name__)
_ENCODE: Final = msgspec.json.Encoder()
_DECODE: Final = msgspec.json.Decoder(Request)


class Handler(Protocol):
    """What the switch can do for its clients. A RingfenceError is told to the client as it is."""

    async def status(self) -> Status:
        """Who answers."""
        ...

    async def counters(self) -> Counters:
        """All counters of this run."""
        ...

    async def books(self) -> Books:
        """The balance of this run."""
        ...

    async def flows(self, limit: int) -> Flows:
        """Registrations in force, at most `limit`."""
        ...

    async def lists(self) -> Lists:
        """Black and white entries in force in the edge."""
        ...

    async def calls(self, limit: int, call_id: int | None) -> LiveCalls:
        """Live calls, at most `limit`; with an id that one, or NotFoundError."""
        ...

    async def call_counts(self) -> CallCounts:
        """Calls of this run, counted, and gateways at work."""
        ...

    async def vendors(self) -> Vendors:
        """How we stand with vendors."""
        ...

    async def hang_up(self, call_id: int) -> HungUp:
        """End a live call. Raises: NotFoundError."""
        ...

    async def trace(self, asked: TraceRequest) -> Traced:
        """Messages of calls that are still in memory."""
        ...

    async def settings_changed(self, version: int) -> SettingsInForce:
        """Read the settings again if `version` is newer than what is in force; answer when it is in force."""
        ...

    async def drain(self) -> Draining:
        """Take no new calls from now on."""
        ...


class ControlServer:
    """Serves control.sock while it is entered.

    Shape: at most `max_clients` at once; one more is told so and closed. A client that is silent for `idle_s`
    seconds is closed.
    """

    def __init__(self, handler: Handler, path: Path, *, max_clients: int = 32, idle_s: float = 300.0) -> None:
        self._handler = handler
        self._path = path
        self._max_clients = max_clients
        self._idle_s = idle_s
        self._clients: dict[asyncio.Task[None], socket.socket] = {}
        self._listener: socket.socket | None = None

    async def __aenter__(self) -> Self:
        """Open the socket.

        Raises: ControlError if it cannot be made.
        """
        try:
            self._listener = _bind(self._path)
        except OSError as error:
            raise ControlError(
                f"{self._path} cannot be made: {error.strerror}",
                hint="check that the data directory belongs to the user who runs Ringfence",
            ) from error
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        # Transports that were closed just now let go of their sockets in the loop's next turn.
        await asyncio.sleep(0)
        self._path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        # asyncio's own server loses connections that it is accepting while it closes, so this is ours.
        loop = asyncio.get_running_loop()
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Too few descriptors: without a pause this would be called again at once, for ever.
            _LOG.warning("control.accept_failed", exc_info=True)
            loop.remove_reader(listener)
            loop.call_later(1, self._accept_again, listener)
            return
        connection.setblocking(False)
        is_busy = len(self._clients) >= self._max_clients
        client = loop.create_task(self._client(connection, is_busy=is_busy))
        self._clients[client] = connection
        client.add_done_callback(self._forget)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _forget(self, client: asyncio.Task[None]) -> None:
        self._clients.pop(client).close()

    async def _client(self, connection: socket.socket, *, is_busy: bool) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=REQUEST_LIMIT_BYTES)
        await (self._refuse(writer) if is_busy else self._serve(reader, writer))

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        message = f"the switch serves {self._max_clients} control clients already"
        await _close(writer, Response(v=VERSION, id=0, body=Failure(code="busy", message=message)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last: Response | None = None
        try:
            while last is None:
                async with asyncio.timeout(self._idle_s):
                    line = await reader.readline()
                if not line:
                    break
                response, good = await self._answer(line)
                if good:
                    await _send(writer, response)
                else:
                    last = response
        except ValueError:
            # asyncio says ValueError for a line beyond the limit.
            message = f"a request has at most {REQUEST_LIMIT_BYTES} bytes"
            last = Response(v=VERSION, id=0, body=Failure(code="too_long", message=message))
        except (TimeoutError, ConnectionError):
            pass
        finally:
            await _close(writer, last)

    async def _answer(self, line: bytes) -> tuple[Response, bool]:
        """The response, and whether the connection is worth going on with."""
        try:
            request = _DECODE.decode(line)
        except msgspec.MsgspecError as error:
            failure = Failure(code="bad_request", message=f"the request cannot be read: {error}")
            return Response(v=VERSION, id=0, body=failure), False
        if request.v != VERSION:
            failure = Failure(
                code="version",
                message=f"the switch speaks version {VERSION} on control.sock, not {request.v}",
                hint="run the command line of the version that the switch runs",
            )
            return Response(v=VERSION, id=request.id, body=failure), False
        return Response(v=VERSION, id=request.id, body=await self._carry_out(request.body)), True

    async def _carry_out(self, body: RequestBody) -> ResponseBody:
        try:
            return await self._dispatch(body)
        except RingfenceError as error:
            return Failure(code=error.code, message=error.message, hint=error.hint)
        except Exception:  # noqa: BLE001 - a fault in one request must not end the switch; it is logged
            _LOG.exception("control.request_failed")
            return Failure(code="internal", message="the switch failed at this request; its log says why")

    async def _dispatch(self, body: RequestBody) -> ResponseBody:  # noqa: PLR0911, PLR0912 - one per request
        handler = self._handler
        match body:
            case PingRequest():
                return Pong()
            case StatusRequest():
                return await handler.status()
            case CountersRequest():
                return await handler.counters()
            case BooksRequest():
                return await handler.books()
            case FlowsRequest(limit=limit):
                return await handler.flows(limit)
            case ListsRequest():
                return await handler.lists()
            case CallsRequest(limit=limit, id=call_id):
                return await handler.calls(limit, call_id)
            case CallCountsRequest():
                return await handler.call_counts()
            case VendorsRequest():
                return await handler.vendors()
            case HangUpRequest(id=call_id):
                return await handler.hang_up(call_id)
            case TraceRequest():
                return await handler.trace(body)
            case SettingsChangedRequest(version=version):
                return await handler.settings_changed(version)
            case DrainRequest():
                return await handler.drain()
            case _:
                assert_never(body)


def _bind(path: Path) -> socket.socket:
    """Make the socket, mode 0600 from its first moment; whoever holds switch.lock may replace an old one."""
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the mode that the descriptor has at bind(2).
        os.fchmod(listener.fileno(), 0o600)
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def _send(writer: asyncio.StreamWriter, response: Response) -> None:
    writer.write(_ENCODE.encode(response) + b"\n")
    async with asyncio.timeout(5.0):
        await writer.drain()


async def _close(writer: asyncio.StreamWriter, last: Response | None) -> None:
    try:
        if last is not None:
            await _send(writer, last)
        writer.close()
        async with asyncio.timeout(5.0):
            await writer.wait_closed()
    except ConnectionError:
        pass
    except TimeoutError:
        # A client that does not read would keep what is buffered for ever.
        writer.transport.abort()
