# SPDX-License-Identifier: Apache-2.0
"""The words of control.sock.

A line is `{"v":1,"id":7,"body":{"type":"status"}}`; its answer carries the same id. A body that fails is
answered with type "error". Times are microseconds since 1970 in UTC. What a stranger supplied is marked
untrusted: whoever shows it has to escape it.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

VERSION: Final = 1
REQUEST_LIMIT_BYTES: Final = 64 * 1024
RESPONSE_LIMIT_BYTES: Final = 32 * 1024 * 1024
FLOWS_LIMIT: Final = 10_000
CALLS_LIMIT: Final = 10_000


class _Body(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Anything that travels; fields that one side does not know yet are skipped."""


class PingRequest(_Body, frozen=True, kw_only=True, tag="ping"):
    """Is anyone there?"""


class StatusRequest(_Body, frozen=True, kw_only=True, tag="status"):
    """Who is there, since when, listening where?"""


class CountersRequest(_Body, frozen=True, kw_only=True, tag="counters"):
    """All counters of this run."""


class BooksRequest(_Body, frozen=True, kw_only=True, tag="books"):
    """The balance of this run."""


class FlowsRequest(_Body, frozen=True, kw_only=True, tag="flows"):
    """Registrations in force, by number, at most `limit`."""

    limit: Annotated[int, Meta(ge=1, le=FLOWS_LIMIT)] = 1000


class ListsRequest(_Body, frozen=True, kw_only=True, tag="lists"):
    """Black and white entries in force in the edge."""


class CallsRequest(_Body, frozen=True, kw_only=True, tag="calls"):
    """Live calls, oldest first, at most `limit`; with an `id` that call only."""

    limit: Annotated[int, Meta(ge=1, le=CALLS_LIMIT)] = 1000
    id: int | None = None


class CallCountsRequest(_Body, frozen=True, kw_only=True, tag="call_counts"):
    """Calls of this run, counted, and gateways at work."""


class HangUpRequest(_Body, frozen=True, kw_only=True, tag="hang_up"):
    """End a live call."""

    id: int


class SettingsChangedRequest(_Body, frozen=True, kw_only=True, tag="settings_changed"):
    """Bring the settings of at least this version into force."""

    version: int


class DrainRequest(_Body, frozen=True, kw_only=True, tag="drain"):
    """Take no new calls, let the live ones end, then stop."""


RequestBody = (
    PingRequest
    | StatusRequest
    | CountersRequest
    | BooksRequest
    | FlowsRequest
    | ListsRequest
    | CallsRequest
    | CallCountsRequest
    | HangUpRequest
    | SettingsChangedRequest
    | DrainRequest
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A line from a client."""

    v: int
    id: int
    body: RequestBody


class Pong(_Body, frozen=True, kw_only=True, tag="pong"):
    """Someone is there."""


class Status(_Body, frozen=True, kw_only=True, tag="status"):
    """The switch that answers.

    Shape: `listeners` as "udp:127.0.0.1:5060", with the ports that are really open. `run` counts starts.
    """

    node: str
    pid: int
    software: str
    run: int
    started_at_us: int
    uptime_s: float
    listeners: tuple[str, ...]
    settings_version: int
    draining: bool


class Counters(_Body, frozen=True, kw_only=True, tag="counters"):
    """Every counter of this run by name, in the order in which the edge keeps them."""

    run: int
    at_us: int
    counters: dict[str, int]


class Books(_Body, frozen=True, kw_only=True, tag="books"):
    """The balance of one run of a node. Unit: a datagram, or a framed message, read from a socket.

    Shape: `read` equals the sum of the six ways that a message can go. `socket_drops` are datagrams that
    the kernel dropped before they could be read; they stand beside the balance.
    """

    node: str
    run: int
    at_us: int
    read: int
    admitted: int
    recorded: int
    challenged: int
    folded: int
    absorbed: int
    unrecordable: int
    socket_drops: int

    @property
    def accounted(self) -> int:
        """The sum of the six ways."""
        return (
            self.admitted + self.recorded + self.challenged + self.folded + self.absorbed + self.unrecordable
        )

    @property
    def difference(self) -> int:
        """What was read and is not accounted for; 0 = the books balance."""
        return self.read - self.accounted


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A registration in force. `contact` and `user_agent` are untrusted."""

    number: str
    transport: str
    source: str
    local: str
    contact: str
    user_agent: str
    expires_at_us: int


class Flows(_Body, frozen=True, kw_only=True, tag="flows"):
    """Registrations in force; `total` counts those beyond the limit too."""

    total: int
    flows: tuple[Flow, ...]


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A list entry in force in the edge; words as in the settings, `expires_at_us` 0 = until removed."""

    list: str
    color: str
    value: str
    expires_at_us: int


class Lists(_Body, frozen=True, kw_only=True, tag="lists"):
    """Black and white entries in force in the edge."""

    entries: tuple[ListEntry, ...]


class LiveCall(msgspec.Struct, frozen=True, kw_only=True):
    """A live call; numbers and Call-IDs are untrusted.

    Shape: `state` is "setup", "answered" (its ACK has not come) or "up". `gateway` is the mapping gateway
    that called, empty = the phone `phone`; `callee_gateway` the routing gateway, empty = a phone of ours.
    `answered_us` 0 = not answered.
    """

    id: int
    state: str
    caller: str
    caller_access: str
    callee: str
    callee_access: str
    gateway: str
    phone: str
    source: str
    callee_gateway: str
    callee_number: str
    attempts: int
    call_id: str
    callee_call_id: str
    started_us: int
    answered_us: int


class LiveCalls(_Body, frozen=True, kw_only=True, tag="calls"):
    """Live calls; `total` counts those beyond the limit too."""

    at_us: int
    total: int
    calls: tuple[LiveCall, ...]


class GatewayLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway at work.

    Shape: `most_lines` 0 = no limit. Today is the day in UTC, since the start of the switch; calls count when
    they have ended. ASR is the share of answered calls, ACD the average talk time of those.
    """

    id: int
    name: str
    lines: int
    most_lines: int
    calls_this_second: int
    calls_today: int
    answered_today: int
    asr_percent: int
    acd_s: int


class CallCounts(_Body, frozen=True, kw_only=True, tag="call_counts"):
    """Calls of authorised sources in this run.

    Shape: `started` = `answered` + all of `failed` + `live` - `talking`. `failed` by the name of a reason of
    ours or the SIP status of the far end. `gateways` are mapping gateways that called, `routes` routing
    gateways that were called.
    """

    run: int
    at_us: int
    started: int
    answered: int
    live: int
    talking: int
    failed: dict[str, int]
    gateways: tuple[GatewayLoad, ...]
    routes: tuple[GatewayLoad, ...]


class HungUp(_Body, frozen=True, kw_only=True, tag="hung_up"):
    """The call was ended."""

    id: int


class SettingsInForce(_Body, frozen=True, kw_only=True, tag="settings_in_force"):
    """The version of the settings that the edge judges by now."""

    version: int


class Draining(_Body, frozen=True, kw_only=True, tag="draining"):
    """No new calls are taken; so many are live."""

    calls: int


class Failure(_Body, frozen=True, kw_only=True, tag="error"):
    """The request was not carried out."""

    code: str
    message: str
    hint: str | None = None


ResponseBody = (
    Pong
    | Status
    | Counters
    | Books
    | Flows
    | Lists
    | LiveCalls
    | CallCounts
    | HungUp
    | SettingsInForce
    | Draining
    | Failure
)


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A line to a client; `id` 0 if the request could not be read."""

    v: int
    id: int
    body: ResponseBody
