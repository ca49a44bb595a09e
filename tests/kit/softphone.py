# SPDX-License-Identifier: Apache-2.0
"""A line of a phone, or of whom it calls: one socket, one call, and what a test has it say."""

import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from kit.sip import Answer, Peer, Request, authorization
from ringfence.core import Message

HEARD_WITHIN_S = 10.0
_SDP = (
    "v=0\r\no={name} 1 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8\r\na={direction}\r\n"
)


class Softphone:
    """A user agent with one call; what comes twice is answered as before, and heard once.

    `number` and `password` are those of a phone of the switch's; without a password it is called only.
    """

    def __init__(self, target: tuple[str, int], host: str, number: str, password: str = "") -> None:
        self.peer = Peer(target, host)
        self.number = number
        self._password = password
        self._dialog = Request(caller=number, sent_by=self.address)
        self._seen: dict[tuple[str, int], bytes] = {}
        self._waiting: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.peer.socket.close()

    @property
    def address(self) -> str:
        return f"{self.peer.source}:{self.peer.port}"

    @property
    def call_id(self) -> str:
        return self._dialog.call_id

    @property
    def tags(self) -> tuple[str, str]:
        """Its own tag, and the switch's."""
        return self._dialog.from_tag, self._dialog.to_tag

    def sdp(self, version: int = 1, direction: str = "sendrecv") -> bytes:
        """A session of its own."""
        return _SDP.format(
            name=self.number, version=version, host=self.peer.source, direction=direction
        ).encode()

    # asking

    def calls(self, callee: str, *extra: str) -> Request:
        """Begin a call, and answer the challenge to it; the INVITE whose answer is waited for."""
        return self._prove_itself("INVITE", callee, self.sdp(), extra)

    def texts(self, callee: str, body: bytes) -> Request:
        """Send a text message, and answer the challenge to it; the MESSAGE whose answer is waited for."""
        return self._prove_itself("MESSAGE", callee, body, ())

    def _prove_itself(self, method: str, callee: str, body: bytes, extra: tuple[str, ...]) -> Request:
        self._dialog.user = callee
        challenge = self.answer_to(self.begin(method, body, extra))
        assert challenge.status == 407, bytes(challenge)
        again = self._request(method, body, extra)
        asked = Answer.read(bytes(challenge))
        again.extra += (authorization(asked, again, user=self.number, password=self._password),)
        self.peer.send(again.write())
        return again

    def ask(self, method: str, body: bytes = b"", extra: tuple[str, ...] = ()) -> Message:
        """Send a request of its call; the final answer."""
        return self.answer_to(self.begin(method, body, extra))

    def begin(self, method: str, body: bytes = b"", extra: tuple[str, ...] = ()) -> Request:
        """Send a request of its call."""
        request = self._request(method, body, extra)
        self.peer.send(request.write())
        return request

    def answer_to(self, request: Request) -> Message:
        """The final answer to a request; that to an INVITE is acknowledged."""
        answer = self._next(
            lambda said: (
                said.status >= 200 and (said.cseq, said.cseq_method) == (request.cseq, request.method)
            )
        )
        if request.method == "INVITE":
            self._acknowledge(request, answer)
        return answer

    def _request(self, method: str, body: bytes, extra: tuple[str, ...]) -> Request:
        dialog = self._dialog
        dialog.cseq += 1
        of_body = "text/plain" if method == "MESSAGE" else "application/sdp"
        kind = (f"Content-Type: {of_body}",) if body else ()
        return Request(
            method=method,
            user=dialog.user,
            caller=self.number,
            to_tag=dialog.to_tag,
            call_id=dialog.call_id,
            cseq=dialog.cseq,
            from_tag=dialog.from_tag,
            sent_by=self.address,
            extra=(*kind, *extra),
            body=body,
        )

    def _acknowledge(self, invite: Request, answer: Message) -> None:
        if answer.status < 300:
            self._dialog.to_tag = answer.to_tag
        ack = replace(invite, method="ACK", to_tag=answer.to_tag, extra=(), body=b"")
        if answer.status < 300:
            ack.branch = Request().branch
        self.peer.send(ack.write())

    # answering

    def expect(self, method: str) -> Message:
        """The next request of that method."""
        return self._next(lambda message: message.method == method)

    def answer(self, request: Message, status: int = 200, body: bytes = b"") -> None:
        """Answer a request; an INVITE that begins a call begins this one's."""
        to = request.header("To") or ""
        dialog = self._dialog
        if not request.to_tag:
            to += f";tag={dialog.from_tag}"
            dialog.call_id, dialog.to_tag = request.call_id, request.from_tag
        lines = [
            f"SIP/2.0 {status} Said",
            f"Via: {request.header('Via')}",
            f"From: {request.header('From')}",
            f"To: {to}",
            f"Call-ID: {request.call_id}",
            f"CSeq: {request.cseq} {request.method}",
            f"Contact: <sip:{self.number}@{self.address}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        said = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self._seen[request.method, request.cseq] = said
        self.peer.send(said)

    def takes_call(self) -> Message:
        """Answer the call that comes in; its INVITE."""
        invite = self.expect("INVITE")
        self.answer(invite, body=self.sdp())
        self.expect("ACK")
        return invite

    def is_told(self) -> bytes:
        """What the next NOTIFY says."""
        notify = self.expect("NOTIFY")
        self.answer(notify)
        return notify.body

    def is_hung_up(self) -> None:
        self.answer(self.expect("BYE"))

    def _next(self, is_it: Callable[[Message], bool]) -> Message:
        deadline = time.monotonic() + HEARD_WITHIN_S
        while True:
            for place, message in enumerate(self._waiting):
                if is_it(message):
                    return self._waiting.pop(place)
            self.peer.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                self._hear(Message(self.peer.socket.recv(65_535)))
            except TimeoutError:
                heard = [message.method or message.status for message in self._waiting]
                raise AssertionError(f"{self.number} did not hear it, but {heard}") from None

    def _hear(self, message: Message) -> None:
        """Keep what is new; a request that came before has its answer again."""
        key = message.method, message.cseq
        if message.method in {"", "ACK"} or key not in self._seen:
            self._waiting.append(message)
        elif self._seen[key]:
            self.peer.send(self._seen[key])
        if message.method:
            self._seen.setdefault(key, b"")
