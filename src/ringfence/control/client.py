# SPDX-License-Identifier: Apache-2.0
"""The office's and the command line's half of control.sock; plain blocking calls with a time-out."""

import socket
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from ringfence.control.address import socket_address, socket_path
from ringfence.control.messages import (
    RESPONSE_LIMIT_BYTES,
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
    LiveCall,
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
from ringfence.errors import ControlError
from ringfence.text import sentence

NOT_RUNNING: Final = "not_running"
"""The code of the ControlError that says no switch answers in this data directory."""

_ENCODE: Final = msgspec.json.Encoder()
_DECODE: Final = msgspec.json.Decoder(Response)

B = TypeVar("B", bound=ResponseBody)


class ControlClient:
    """A connection to the switch of a data directory; opened by entering it, used by one thread."""

    def __init__(self, data_dir: Path, *, timeout_s: float = 5.0) -> None:
        self._path = socket_path(data_dir)
        self._timeout_s = timeout_s
        self._last_id = 0
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        """Connect.

        Raises: ControlError("not_running") if no switch answers there.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            with socket_address(self._path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            connection.close()
            raise ControlError(
                sentence("no switch is running in {parent}", parent=self._path.parent),
                hint="start it with `ringfence run`, or name its directory with --data",
                code=NOT_RUNNING,
            ) from error
        except OSError as error:
            connection.close()
            raise ControlError(
                sentence("{path} cannot be reached: {why}", path=self._path, why=error.strerror or error),
                hint="run this as the user who runs Ringfence",
            ) from error
        self._socket = connection
        self._received = bytearray()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ping(self) -> None:
        """Return if the switch answers. Raises: ControlError."""
        self._ask(PingRequest(), Pong)

    def status(self) -> Status:
        """Who answers. Raises: ControlError."""
        return self._ask(StatusRequest(), Status)

    def counters(self) -> Counters:
        """All counters of this run. Raises: ControlError."""
        return self._ask(CountersRequest(), Counters)

    def books(self) -> Books:
        """The balance of this run. Raises: ControlError."""
        return self._ask(BooksRequest(), Books)

    def flows(self, limit: int = 1000) -> Flows:
        """Registrations in force, at most `limit`. Raises: ControlError."""
        return self._ask(FlowsRequest(limit=limit), Flows)

    def lists(self) -> Lists:
        """Black and white entries in force in the edge. Raises: ControlError."""
        return self._ask(ListsRequest(), Lists)

    def calls(self, limit: int = 1000) -> LiveCalls:
        """Live calls, oldest first, at most `limit`. Raises: ControlError."""
        return self._ask(CallsRequest(limit=limit), LiveCalls)

    def call(self, call_id: int) -> LiveCall:
        """One live call. Raises: ControlError, "not_found" included."""
        found = self._ask(CallsRequest(limit=1, id=call_id), LiveCalls).calls
        if not found:
            raise ControlError("the switch answered something else than was asked", hint="try again")
        return found[0]

    def call_counts(self) -> CallCounts:
        """Calls of this run, counted, and gateways at work. Raises: ControlError."""
        return self._ask(CallCountsRequest(), CallCounts)

    def vendors(self) -> Vendors:
        """How we stand with vendors. Raises: ControlError."""
        return self._ask(VendorsRequest(), Vendors)

    def hang_up(self, call_id: int) -> HungUp:
        """End a live call. Raises: ControlError, "not_found" included."""
        return self._ask(HangUpRequest(id=call_id), HungUp)

    def trace(self, asked: TraceRequest) -> Traced:
        """Messages of calls that are still in memory. Raises: ControlError."""
        return self._ask(asked, Traced)

    def settings_changed(self, version: int) -> SettingsInForce:
        """Have the switch judge by at least this version of the settings. Raises: ControlError."""
        return self._ask(SettingsChangedRequest(version=version), SettingsInForce)

    def drain(self) -> Draining:
        """Have the switch take no new calls. Raises: ControlError."""
        return self._ask(DrainRequest(), Draining)

    def _ask(self, body: RequestBody, kind: type[B]) -> B:
        if self._socket is None:
            raise ControlError("the connection to the switch is closed")
        self._last_id += 1
        line = _ENCODE.encode(Request(v=VERSION, id=self._last_id, body=body)) + b"\n"
        try:
            self._socket.sendall(line)
            answer = self._line(self._socket)
        except TimeoutError as error:
            raise ControlError(
                sentence("the switch did not answer within {timeout_s:g} s", timeout_s=self._timeout_s),
                hint="try again; if it goes on, look at the switch's log",
                code="timeout",
            ) from error
        except OSError as error:
            raise ControlError(
                sentence("the switch closed the connection: {why}", why=error.strerror or error),
                hint="try again",
            ) from error
        try:
            response = _DECODE.decode(answer)
        except msgspec.MsgspecError as error:
            raise ControlError(
                sentence("the answer of the switch cannot be read: {error}", error=error),
                hint="run the command line of the version that the switch runs",
            ) from error
        if isinstance(response.body, Failure):
            raise ControlError(response.body.message, hint=response.body.hint, code=response.body.code)
        if response.id != self._last_id or not isinstance(response.body, kind):
            raise ControlError("the switch answered something else than was asked", hint="try again")
        return response.body

    def _line(self, connection: socket.socket) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > RESPONSE_LIMIT_BYTES:
                raise ControlError("the answer of the switch is too long", hint="ask for fewer at once")
            part = connection.recv(65536)
            if not part:
                raise ControlError("the switch closed the connection before it answered", hint="try again")
            self._received += part
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line
