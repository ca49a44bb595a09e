# SPDX-License-Identifier: Apache-2.0
"""Sends the steps of a scenario by UDP, each attacker from its own addresses, and counts what comes back."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from ringfence.core import drill_message
from ringfence.drill.answers import acknowledgement, credentials, read_answer, read_challenge
from ringfence.drill.corpus import COPY_AFTER_S, Attempt, Step, host
from ringfence.drill.scenarios import Crack
from ringfence.drill.target import Target

LINGER_S = 1.0
"""How long to wait for answers after the last attempt."""

ANSWER_TIMEOUT_S = 0.5
"""How long a cracker waits for one answer before it goes on."""


@dataclass(slots=True)
class Sent:
    """What one attacker sent (`acks` are among the datagrams) and got: final answers by status."""

    datagrams: int = 0
    requests: int = 0
    acks: int = 0
    by_status: Counter[int] = field(default_factory=Counter)

    @property
    def answers(self) -> int:
        """Final answers."""
        return self.by_status.total()


class _Attacker(asyncio.DatagramProtocol):
    """One source address of one step."""

    def __init__(self, target: Target, sent: Sent) -> None:
        self._to = (str(target.ip), target.port)
        self._sent = sent
        self._waiting_for_ack: dict[str, bytes] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def send(self, message: bytes, *, acknowledge: bool = False) -> None:
        """Send one datagram; with `acknowledge` its final answer gets an ACK."""
        if self._transport is None:
            raise RuntimeError("the socket is not open yet")
        if acknowledge:
            self._waiting_for_ack[_call_id(message)] = message
        self._transport.sendto(message, self._to)
        self._sent.datagrams += 1

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:  # noqa: ARG002 - asyncio
        answer = read_answer(data)
        if answer is None or answer.status < 200:
            return
        self._sent.by_status[answer.status] += 1
        request = self._waiting_for_ack.pop(answer.first("call-id") or "", None)
        if request is not None:
            self._sent.acks += 1
            self.send(acknowledgement(request, answer))

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


async def _attacker(source: str, target: Target, sent: Sent) -> _Attacker:
    loop = asyncio.get_running_loop()
    _, attacker = await loop.create_datagram_endpoint(lambda: _Attacker(target, sent), local_addr=(source, 0))
    return attacker


async def send_steps(steps: tuple[Step, ...], target: Target, seed: int) -> list[Sent]:
    """Send every attempt at its time; returns what happened, in the order of the steps."""
    results = [Sent(requests=len(step.attempts)) for step in steps]
    attackers: dict[tuple[int, str], _Attacker] = {}
    try:
        for place, step in enumerate(steps):
            for source in step.sources:
                attackers[place, source] = await _attacker(source, target, results[place])
        clock = asyncio.get_running_loop().time
        began = clock()
        for due_s, place, attempt in _timeline(steps):
            if (wait_s := began + due_s - clock()) > 0:
                await asyncio.sleep(wait_s)
            attacker = attackers[place, attempt.source]
            message = attempt.message(target=str(target), source_port=attacker.port, seed=seed)
            attacker.send(message, acknowledge=attempt.acknowledge)
        await asyncio.sleep(LINGER_S)
    finally:
        for attacker in attackers.values():
            attacker.close()
    return results


def _timeline(steps: tuple[Step, ...]) -> list[tuple[float, int, Attempt]]:
    """Every datagram with its time and the place of its step, in the order of sending."""
    events = [
        (attempt.at_s + copy * COPY_AFTER_S, place, attempt)
        for place, step in enumerate(steps)
        for attempt in step.attempts
        for copy in range(attempt.copies)
    ]
    return sorted(events, key=lambda event: (event[0], event[2].index))


def _call_id(message: bytes) -> str:
    """The Call-ID of a message of ours."""
    return message.partition(b"\r\nCall-ID: ")[2].partition(b"\r\n")[0].decode()


class _Cracker(_Attacker):
    """An attacker that hands on the whole of each answer."""

    def __init__(self, target: Target, sent: Sent) -> None:
        super().__init__(target, sent)
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        super().datagram_received(data, addr)
        if not self.inbox.full():
            self.inbox.put_nowait(data)


async def crack(plan: Crack, target: Target, seed: int) -> Sent:
    """Ask for a challenge, answer it with a guess, take the next challenge from the refusal.

    Guesses are twelve random letters, so no account of this switch can be opened by accident.
    """
    sent = Sent()
    chance = random.Random(seed ^ 0x637261636B)  # noqa: S311 - repeatable, guards nothing
    loop = asyncio.get_running_loop()
    _, cracker = await loop.create_datagram_endpoint(
        lambda: _Cracker(target, sent), local_addr=(plan.source, 0)
    )
    challenge = None
    try:
        for turn in range(plan.guesses):
            authorization = password = None
            if challenge is not None:
                password = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=12))
                authorization = credentials(
                    challenge,
                    user=plan.number,
                    password=password,
                    method="REGISTER",
                    uri=f"sip:{host(str(target.ip))}",
                    cnonce=f"{chance.getrandbits(64):016x}",
                )
            message = drill_message(
                "svcrack/register",
                target=str(target),
                source=f"{host(plan.source)}:{cracker.port}",
                seed=seed ^ 0x637261636B,
                index=turn,
                extension=plan.number,
                authorization=authorization,
                password=password,
                cseq=turn + 1,
            )
            cracker.send(message)
            sent.requests += 1
            challenge = None
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    answer = read_answer(await cracker.inbox.get())
            except TimeoutError:
                continue
            if answer is not None and answer.status in {401, 407}:
                challenge = read_challenge(answer)
            await asyncio.sleep(plan.every_s)
    finally:
        cracker.close()
    return sent
