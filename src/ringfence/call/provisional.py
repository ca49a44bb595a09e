# SPDX-License-Identifier: Apache-2.0
"""Provisional answers to the caller; reliable ones if it requires them (RFC 3262 §3).

Reliable ones go one at a time, each repeated until its PRACK. The 200 waits for the PRACK of one that had a
session in it.
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.call.dialog import Dialog
from ringfence.call.engine import Headers, Moment, Request
from ringfence.call.headers import options
from ringfence.call.leg import Leg
from ringfence.call.timers import Timer
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

T1_S = 0.5
LONGEST_S = 64 * T1_S
MOST_WAITING = 16
"""So many provisional answers wait for PRACKs of earlier ones; more are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provisional:
    status: int
    headers: Headers
    body: bytes
    tag: str
    rseq: int = 0


class Provisionals:
    """Those of one call."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._is_reliable = "100rel" in options(call.invite.message, "Require")
        self._rseq = 0
        self._waiting: deque[_Provisional] = deque()
        self._last: _Provisional | None = None
        self._out: _Provisional | None = None
        self._overtaken: _Provisional | None = None
        self._gap_s = T1_S
        self._until_s = 0.0
        self._answer: tuple[Message, Dialog] | None = None
        self._given: tuple[str, ...] = ()

    def has_given(self, tells: Dialog) -> bool:
        """Whether the caller was given a session in a dialog by a reliable one."""
        return tells.local_tag in self._given

    def send(self, message: Message, headers: Headers, tells: Dialog, now: Moment) -> None:
        """Pass a provisional response on."""
        call = self._call
        headers = [call.a.contact, call.a.allow, call.a.supported, *headers]
        if not self._is_reliable:
            self._last = _Provisional(
                status=message.status, headers=headers, body=message.body, tag=tells.local_tag
            )
            self._say(self._last, now)
            return
        body = message.body
        if call.a.got is None:
            # Sent reliably it would be an offer (RFC 3261 §13.2.1), and it is not the callee's last word.
            body = b""
            headers = [(name, value) for name, value in headers if not name.startswith("Content-")]
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(
                _Provisional(status=message.status, headers=headers, body=body, tag=tells.local_tag)
            )
            self._next(now)

    def remind(self, tells: Dialog, now: Moment) -> None:
        """Say the last one again, or 183 where there is none, or none that may be said twice."""
        if self._out is not None:
            return  # it is being repeated
        if self._last is None:
            a = self._call.a
            bare = _Provisional(
                status=183, headers=[a.contact, a.allow, a.supported], body=b"", tag=tells.local_tag
            )
            if self._is_reliable:
                self._waiting.append(bare)
                self._next(now)
                return
            self._last = bare
        self._say(self._last, now)

    def _say(self, said: _Provisional, now: Moment) -> None:
        self._call.answer_caller(said.status, said.headers, said.body, now, tag=said.tag)

    def _next(self, now: Moment) -> None:
        if self._out is not None or not self._waiting:
            return
        waiting = self._waiting.popleft()
        if waiting.body:
            self._given += (waiting.tag,)
        self._rseq += 1
        reliable = [("Require", b"100rel"), ("RSeq", b"%d" % self._rseq)]
        self._out = _Provisional(
            status=waiting.status,
            headers=reliable + waiting.headers,
            body=waiting.body,
            tag=waiting.tag,
            rseq=self._rseq,
        )
        self._gap_s = T1_S
        self._until_s = now.mono_s + LONGEST_S
        self._respond(self._out)
        self._call.set_timer(Timer.PROVISIONAL, self._gap_s, now)

    def _respond(self, out: _Provisional) -> None:
        transaction = self._call.invite.transaction
        self._call.table.engine.respond(transaction, out.status, out.headers, out.body, tag=out.tag)

    def drop(self, told: Dialog, now: Moment) -> None:
        """The caller has left a dialog: what was to be said in it is not said any more."""
        tag = told.local_tag
        self._waiting = deque(each for each in self._waiting if each.tag != tag)
        if self._last is not None and self._last.tag == tag:
            self._last = None
        if self._out is not None and self._out.tag == tag:
            self._out = None
            self._go_on(now)

    def repeat(self, now: Moment) -> None:
        """No PRACK yet: send it again, or give up after 64 x T1."""
        if self._out is None or not self._call.is_early:
            return
        if now.mono_s >= self._until_s:
            self._call.end_without_prack(now)
            return
        self._respond(self._out)
        self._gap_s *= 2
        self._call.set_timer(Timer.PROVISIONAL, min(self._gap_s, self._until_s - now.mono_s), now)

    def acknowledged(self, leg: Leg, request: Request, now: Moment) -> None:
        """A PRACK."""
        call, message, out = self._call, request.message, self._out or self._overtaken
        rack = (message.header("RAck") or "").split()
        named = f"{0 if out is None else out.rseq} {call.invite.message.cseq} INVITE".split()
        if out is None or leg is not call.a or rack != named:
            call.refuse(request, 481)
            return
        # The INVITE's own offer is answered in the 200; another one has its place in an UPDATE.
        call.refuse(request, 488 if message.has_body else 200)
        self._out = self._overtaken = None
        if not call.is_early:
            return
        self._go_on(now)

    def _go_on(self, now: Moment) -> None:
        self._call.stop_timer(Timer.PROVISIONAL)
        if self._answer is not None:
            answer, self._answer = self._answer, None
            self._call.say_answered(*answer, now)
        else:
            self._next(now)

    def answer(self, message: Message, tells: Dialog, now: Moment) -> None:
        """The call is answered: say so now, or once the PRACK has come."""
        if self._out is not None and self._out.body:
            self._answer = (message, tells)
            return
        # RFC 3262 §3: it is not repeated any more, and its PRACK may still come.
        self._out, self._overtaken, self._last = None, self._out, None
        self._waiting.clear()
        self._call.stop_timer(Timer.PROVISIONAL)
        self._call.say_answered(message, tells, now)
