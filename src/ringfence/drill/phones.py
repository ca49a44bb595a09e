# SPDX-License-Identifier: Apache-2.0
"""Two phones on loopback that register with their passwords and call each other, one call at a time."""

import asyncio
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from ringfence.clock import SystemClock
from ringfence.core import Fate
from ringfence.drill.answers import Answer, acknowledgement, credentials, read_answer, read_challenge
from ringfence.drill.calls_report import PHONES, Seen
from ringfence.drill.phone_messages import Request, Side, answer_to, read_request, uri_in
from ringfence.drill.target import Target
from ringfence.errors import RingfenceError

REPEAT_S: Final = 0.5
"""A request that nobody answers is sent again after this, then after twice as long (RFC 3261 §17.1, T1)."""

PATIENCE_S: Final = 8.0
"""How long a phone waits for what has to come."""

RINGS_S: Final = 0.4
BETWEEN_S: Final = 0.3
FATES: Final[tuple[Fate, ...]] = ("caller_hangs_up", "busy", "callee_hangs_up", "cancelled_ringing")
_EXPECTED: Final = {
    "caller_hangs_up": "completed",
    "busy": "refused 486",
    "callee_hangs_up": "hung up",
    "cancelled_ringing": "refused 487",
}


@dataclass(slots=True)
class _Came:
    """A call that came to a phone: its INVITE, and the last answer to it."""

    invite: Request
    said: bytes
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: "list[asyncio.Task[None]]" = field(default_factory=list)


@dataclass(slots=True)
class _Placed:
    """A call that a phone made; `ended_us`: when the other side hung up; `ack`: what confirmed its answer."""

    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    ended_us: int = 0
    ack: bytes = b""


class Phone(asyncio.DatagramProtocol):
    """A phone: `fate` and `hold_s` say what it does with the next call that comes."""

    def __init__(self, number: str, password: str, target: Target, seed: int) -> None:
        self.number = number
        self.fate: Fate = "caller_hangs_up"
        self.hold_s = 1.0
        self.ours = ""
        self._password = password
        self._target = target
        self._chance = random.Random(f"{seed} {number}")  # noqa: S311 - repeatable, guards nothing
        self._clock = SystemClock()
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[tuple[str, str], asyncio.Queue[Answer]] = {}
        self._came: dict[str, _Came] = {}
        self._placed: dict[str, _Placed] = {}
        self._cseq = 0

    async def open(self, source: str) -> None:
        """Open the socket. Raises: RingfenceError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, local_addr=(source, 0))
        except OSError as error:
            raise RingfenceError(
                f"phone {self.number} cannot use {source}: {error.strerror}",
                hint="the drill needs 127.0.0.0/8",
                code="core",
            ) from error

    def close(self) -> None:
        """Close the socket, and forget the calls."""
        for came in self._came.values():
            for task in came.tasks:
                task.cancel()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Where we are."""
        self._transport = transport
        host, port = transport.get_extra_info("sockname")[:2]
        self.ours = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:  # noqa: ARG002 - asyncio
        """An answer goes to whoever waits for it, a request is answered."""
        answer = read_answer(data)
        if answer is not None:
            key = (answer.first("call-id") or "", answer.first("cseq") or "")
            if key in self._waiting:
                self._waiting[key].put_nowait(answer)
            else:
                self._acknowledge_again(answer)
            return
        request = read_request(data)
        if request is not None:
            self._take(request)

    async def register(self, expires_s: int) -> int:
        """Register for so long, 0 = no more; the status of the answer. Raises: TimeoutError."""
        me = f"<sip:{self.number}@{self._target.ip}>"
        side = Side(
            ours=self.ours,
            number=self.number,
            call_id=f"register-{self._word()}",
            local=f"{me};tag={self._word()}",
            remote=me,
        )
        answer, _, _ = await self._ask_twice(
            side, "REGISTER", f"sip:{self._target.ip}", (f"Expires: {expires_s}",)
        )
        return answer.status

    async def call(self, callee: "Phone", fate: Fate, hold_s: float) -> Seen:
        """Make one call, and see how it ends."""
        callee.fate, callee.hold_s = fate, hold_s
        side = Side(
            ours=self.ours,
            number=self.number,
            call_id=f"{self._word()}@drill-phone",
            local=f"<sip:{self.number}@{self._target.ip}>;tag={self._word()}",
            remote=f"<sip:{callee.number}@{self._target.ip}>",
        )
        self._placed[side.call_id] = _Placed()
        try:
            outcome, held_us = await self._talk(side, f"sip:{callee.number}@{self._target}", fate, hold_s)
        except TimeoutError:
            outcome, held_us = "unanswered", 0
        finally:
            del self._placed[side.call_id]
        return Seen(
            call_id=side.call_id,
            caller=PHONES,
            fate=fate,
            outcome=outcome,
            is_as_fated=outcome == _EXPECTED[fate],
            held_ms=held_us // 1000,
        )

    async def _talk(self, side: Side, uri: str, fate: Fate, hold_s: float) -> tuple[str, int]:
        """How a call ended, and the microseconds from its answer to its end. Raises: TimeoutError."""
        is_cancelled = fate == "cancelled_ringing"
        answer, invite, cseq = await self._ask_twice(side, "INVITE", uri, (), is_cancelled=is_cancelled)
        answered_us = self._clock.utc_us()
        if answer.status >= 300:
            self._send(acknowledgement(invite, answer))
            return f"refused {answer.status}", 0
        peer = uri_in(answer.first("contact") or uri)
        dialog = Side(
            ours=side.ours,
            number=side.number,
            call_id=side.call_id,
            local=side.local,
            remote=answer.first("to") or side.remote,
        )
        placed = self._placed[side.call_id]
        placed.ack = dialog.request("ACK", peer, cseq, branch=self._word())
        self._send(placed.ack)
        if fate == "callee_hangs_up":
            async with asyncio.timeout(hold_s + PATIENCE_S):
                await placed.hung_up.wait()
            return "hung up", placed.ended_us - answered_us
        await asyncio.sleep(hold_s)
        bye = dialog.request("BYE", peer, cseq + 1, branch=self._word())
        await self._ask(bye, (side.call_id, f"{cseq + 1} BYE"))
        return "completed", self._clock.utc_us() - answered_us

    def _acknowledge_again(self, answer: Answer) -> None:
        """A 2xx of an INVITE that is repeated has not seen its ACK (RFC 3261 §13.2.2.4)."""
        placed = self._placed.get(answer.first("call-id") or "")
        is_of_invite = (answer.first("cseq") or "").endswith("INVITE")
        if placed is not None and placed.ack and is_of_invite and 200 <= answer.status < 300:
            self._send(placed.ack)

    async def _ask_twice(
        self, side: Side, method: str, uri: str, extra: tuple[str, ...], *, is_cancelled: bool = False
    ) -> tuple[Answer, bytes, int]:
        """Ask, and once more with credentials if there is a challenge.

        Shape: the final answer, the request that it answers, and its CSeq number.
        Raises: TimeoutError.
        """
        authorization: tuple[str, ...] = ()
        while True:
            self._cseq += 1
            cseq, branch = self._cseq, self._word()
            request = side.request(method, uri, cseq, branch=branch, extra=(*extra, *authorization))
            cancel = side.request("CANCEL", uri, cseq, branch=branch) if is_cancelled else None
            answer = await self._ask(request, (side.call_id, f"{cseq} {method}"), cancel=cancel)
            challenge = read_challenge(answer) if answer.status in {401, 407} else None
            if challenge is None or authorization:
                return answer, request, cseq
            if method == "INVITE":
                self._send(acknowledgement(request, answer))
            authorization = (
                credentials(
                    challenge,
                    user=self.number,
                    password=self._password,
                    method=method,
                    uri=uri,
                    cnonce=self._word(),
                ),
            )

    async def _ask(self, request: bytes, key: tuple[str, str], *, cancel: bytes | None = None) -> Answer:
        """Send a request, again until something comes; its final answer. `cancel` goes out once it rings."""
        inbox = self._waiting[key] = asyncio.Queue()
        wait_s: float | None = REPEAT_S
        try:
            self._send(request)
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        # wait_for of Python 3.11 may swallow an interruption that comes with the answer.
                        async with asyncio.timeout(wait_s):
                            answer = await inbox.get()
                    except TimeoutError:
                        wait_s = 2 * (wait_s or REPEAT_S)
                        self._send(request)
                        continue
                    if answer.status >= 200:
                        return answer
                    wait_s = None
                    if answer.status == 180 and cancel is not None:
                        await asyncio.sleep(RINGS_S)
                        self._send(cancel)
                        cancel = None
        finally:
            del self._waiting[key]

    def _take(self, request: Request) -> None:
        """A request came. What is repeated gets the answer that it had."""
        call_id = request.first("call-id")
        came = self._came.get(call_id)
        match request.method:
            case "INVITE" if came is None:
                came = self._came[call_id] = _Came(request, b"")
                self._answer(came, 486 if self.fate == "busy" else 180)
                if self.fate in {"caller_hangs_up", "callee_hangs_up"}:
                    came.tasks.append(asyncio.get_running_loop().create_task(self._pick_up(came)))
            case "INVITE" if came is not None:
                self._send(came.said)
            case "ACK":
                if came is not None:
                    came.acknowledged.set()
            case "CANCEL" if came is not None:
                self._reply(request, 200)
                self._answer(came, 487)
            case "BYE":
                self._reply(request, 200 if came is not None or call_id in self._placed else 481)
                placed = self._placed.get(call_id)
                if placed is not None and not placed.hung_up.is_set():
                    placed.ended_us = self._clock.utc_us()
                    placed.hung_up.set()
            case _:
                self._reply(request, 200 if request.method == "OPTIONS" else 481)

    async def _pick_up(self, came: _Came) -> None:
        """Let it ring, answer, and hang up if that is how the call is to end."""
        hangs_up, hold_s = self.fate == "callee_hangs_up", self.hold_s
        await asyncio.sleep(RINGS_S)
        self._answer(came, 200)
        if not hangs_up:
            return
        await asyncio.sleep(hold_s)
        invite = came.invite
        call_id = invite.first("call-id")
        side = Side(
            ours=self.ours,
            number=self.number,
            call_id=call_id,
            local=f"{invite.first('to')};tag={self._tag(call_id)}",
            remote=invite.first("from"),
        )
        bye = side.request("BYE", uri_in(invite.first("contact")), 1, branch=self._word())
        with suppress(TimeoutError):  # the caller's side of the report tells it
            await self._ask(bye, (call_id, "1 BYE"))

    def _answer(self, came: _Came, status: int) -> None:
        came.said = self._reply(came.invite, status)
        if status >= 200:
            came.tasks.append(asyncio.get_running_loop().create_task(self._repeat(came)))

    async def _repeat(self, came: _Came) -> None:
        """Send the final answer again until its ACK is here (RFC 3261 §13.3.1.4, §17.2.1)."""
        wait_s = REPEAT_S
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not came.acknowledged.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await came.acknowledged.wait()
                        return
                    wait_s *= 2
                    self._send(came.said)

    def _reply(self, request: Request, status: int) -> bytes:
        tag = self._tag(request.first("call-id"))
        message = answer_to(request, status, tag=tag, number=self.number, ours=self.ours)
        self._send(message)
        return message

    def _send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(message, (str(self._target.ip), self._target.port))

    def _tag(self, call_id: str) -> str:
        """Our tag in a call that came."""
        return f"{self.number}-{call_id[:8]}"

    def _word(self) -> str:
        return f"{self._chance.getrandbits(64):016x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Who a phone is and where it stands."""

    number: str
    password: str
    source: str


async def call_each_other(
    lines: tuple[Line, Line], target: Target, seed: int, *, seconds: float, stop: threading.Event
) -> list[Seen]:
    """Have both phones register and call in turn for so long, or until `stop` is set; the calls.

    Raises: RingfenceError if one of them cannot register.
    """
    chance = random.Random(f"{seed} phones")  # noqa: S311 - repeatable, guards nothing
    phones = [Phone(line.number, line.password, target, seed) for line in lines]
    seen: list[Seen] = []
    end_s = time.monotonic() + seconds
    try:
        for phone, line in zip(phones, lines, strict=True):
            await phone.open(line.source)
            await _register(phone, 600)
        for turn, fate in enumerate(cycle(FATES)):
            if time.monotonic() >= end_s or stop.is_set():
                break
            caller, callee = phones if turn % 2 == 0 else reversed(phones)
            seen.append(await caller.call(callee, fate, chance.uniform(1.0, 2.0)))
            await asyncio.sleep(BETWEEN_S)
        for phone in phones:
            await _register(phone, 0)
    finally:
        for phone in phones:
            phone.close()
    return seen


async def _register(phone: Phone, expires_s: int) -> None:
    try:
        status = await phone.register(expires_s)
    except TimeoutError:
        status = 0
    if status != 200:
        said = f"the switch answered {status}" if status else "the switch did not answer"
        raise RingfenceError(
            f"phone {phone.number} could not register: {said}",
            hint="`ringfence cdr list --events` shows why",
            code="drill",
        )
