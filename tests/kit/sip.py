# SPDX-License-Identifier: Apache-2.0
"""A small user agent: writes requests, reads answers, and can answer a digest challenge."""

import hashlib
import itertools
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_DIGESTS = {"MD5": "md5", "SHA-256": "sha256"}
_number = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: header names in lower case, the values of each in their order."""

    raw: bytes
    status: int
    headers: Mapping[str, list[str]]

    @classmethod
    def read(cls, raw: bytes) -> "Answer":
        head = raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        version, status, _ = head[0].split(" ", 2)
        assert version == "SIP/2.0", head[0]
        headers: dict[str, list[str]] = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        return cls(raw, int(status), headers)

    def challenge(self, algorithm: str) -> dict[str, str]:
        """The parameters of the challenge with this algorithm."""
        values = self.headers.get("www-authenticate", []) + self.headers.get("proxy-authenticate", [])
        for value in values:
            found = dict(re.findall(r'(\w+)=(?:"([^"]*)"|[^",\s]+)', value))
            plain = dict(re.findall(r"(\w+)=([^\",\s]+)", value))
            parameters = {name: found.get(name) or plain.get(name, "") for name in {*found, *plain}}
            if parameters.get("algorithm", "MD5") == algorithm:
                return parameters
        raise AssertionError(f"no challenge with {algorithm} in {values}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came: its first line, and header lines as name and value."""

    line: str
    headers: list[tuple[str, str]]

    @classmethod
    def read(cls, raw: bytes) -> "Asked":
        line, *rest = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        return cls(line, [(name, value) for name, _, value in (each.partition(": ") for each in rest)])

    def values(self, wanted: str) -> list[str]:
        return [value for name, value in self.headers if name == wanted]

    def answer(self, status: int, *extra: str) -> bytes:
        """A response to it, with further header lines."""
        copied = ("Via", "From", "To", "Call-ID", "CSeq")
        tag = "" if status == 100 else ";tag=kit"
        lines = [f"{name}: {value}{tag * (name == 'To')}" for name, value in self.headers if name in copied]
        return "\r\n".join([f"SIP/2.0 {status} Said", *lines, *extra, "Content-Length: 0", "", ""]).encode()


@dataclass(slots=True, kw_only=True)
class Request:
    """A request that is whole and right unless a test says otherwise."""

    method: str = "INVITE"
    user: str = "00972595725668"
    caller: str = "100"
    to_user: str | None = None
    to_tag: str = ""
    call_id: str = field(default_factory=lambda: f"call-{next(_number)}@test")
    cseq: int = 1
    branch: str = field(default_factory=lambda: f"z9hG4bK-{next(_number)}")
    from_tag: str = field(default_factory=lambda: f"tag{next(_number)}")
    transport: str = "UDP"
    sent_by: str = "127.0.0.1:5060"
    contact: str = ""
    user_agent: str = "kit/1"
    extra: tuple[str, ...] = ()
    body: bytes = b""

    @property
    def uri(self) -> str:
        return "sip:127.0.0.1" if self.method == "REGISTER" else f"sip:{self.user}@127.0.0.1"

    def write(self) -> bytes:
        """The bytes that go out."""
        to = self.user if self.to_user is None else self.to_user
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        lines = [
            f"{self.method} {self.uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.sent_by};branch={self.branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self.caller}@127.0.0.1>;tag={self.from_tag}",
            f"To: <sip:{to}@127.0.0.1>{to_tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {self.method}",
            f"Contact: {self.contact or f'<sip:{self.caller}@{self.sent_by}>'}",
            f"User-Agent: {self.user_agent}",
            *self.extra,
            f"Content-Length: {len(self.body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Peer:
    """A UDP socket that speaks to one switch."""

    def __init__(self, target: tuple[str, int], source: str = "127.0.0.1") -> None:
        self.target = target
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.source, self.port = self.socket.getsockname()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.sendto(message, self.target)

    def receive(self, within_s: float = 5.0) -> Answer:
        """The next answer. Raises: TimeoutError."""
        self.socket.settimeout(within_s)
        return Answer.read(self.socket.recv(65_535))

    def ask(self, request: Request | bytes) -> Answer:
        """Send a request; its final answer. A 100, and answers to calls before, are passed over."""
        self.send(request if isinstance(request, bytes) else request.write())
        while True:
            answer = self.receive()
            is_other = isinstance(request, Request) and answer.headers.get("call-id") != [request.call_id]
            if answer.status >= 200 and not is_other:
                return answer

    def call(self, request: Request) -> Answer:
        """Send an INVITE that fails, and acknowledge its final answer."""
        answer = self.ask(request)
        tag = answer.headers["to"][0].rpartition(";tag=")[2]
        self.send(replace(request, method="ACK", to_tag=tag).write())
        return answer

    def asked(self, within_s: float = 5.0) -> "Asked":
        """The next request. Raises: TimeoutError."""
        self.socket.settimeout(within_s)
        return Asked.read(self.socket.recv(65_535))

    def waiting(self) -> list[bytes]:
        """What has arrived and was not read yet."""
        self.socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self.socket.recv(65_535))
            except BlockingIOError:
                return found


def authorization(
    challenge: Answer, request: Request, *, user: str, password: str, algorithm: str = "MD5", nc: int = 1
) -> str:
    """The header line that answers a challenge (RFC 7616 §3.4), qop auth."""
    asked = challenge.challenge(algorithm)

    def digest(text: str) -> str:
        return hashlib.new(_DIGESTS[algorithm], text.encode(), usedforsecurity=False).hexdigest()

    a1 = digest(f"{user}:{asked['realm']}:{password}")
    a2 = digest(f"{request.method}:{request.uri}")
    count, cnonce = f"{nc:08x}", "0a4f113b"
    response = digest(f"{a1}:{asked['nonce']}:{count}:{cnonce}:auth:{a2}")
    name = "Authorization" if challenge.status == 401 else "Proxy-Authorization"
    return (
        f'{name}: Digest username="{user}", realm="{asked["realm"]}", nonce="{asked["nonce"]}", '
        f'uri="{request.uri}", response="{response}", algorithm={algorithm}, qop=auth, nc={count}, '
        f'cnonce="{cnonce}"'
    )


class Phone:
    """A phone with a number and a password; `peer` is its socket of the moment.

    Shape: `contact` is what it registers, empty = where its socket is.
    """

    def __init__(self, peer: Peer, number: str, password: str, algorithm: str = "MD5") -> None:
        self.peer = peer
        self.number = number
        self.password = password
        self.algorithm = algorithm
        self.call_id = f"register-{number}-{next(_number)}@test"
        self.cseq = 0
        self.contact = ""

    def register(self, expires_s: int = 600, *extra: str) -> tuple[Answer, bytes]:
        """REGISTER with further header lines, answer the challenge; the last answer, and what it answers."""
        challenge = self.peer.ask(self._request(expires_s))
        assert challenge.status == 401, challenge.raw
        request = self._request(expires_s, *extra)
        line = authorization(
            challenge, request, user=self.number, password=self.password, algorithm=self.algorithm
        )
        request.extra = (*request.extra, line)
        message = request.write()
        return self.peer.ask(message), message

    def call(self, callee: str) -> Answer:
        """INVITE, answering a challenge if there is one; the final answer."""
        request = Request(
            user=callee, caller=self.number, sent_by=f"{self.peer.source}:{self.peer.port}", cseq=1
        )
        answer = self.peer.ask(request)
        if answer.status != 407:
            return answer
        again = Request(
            user=callee,
            caller=self.number,
            sent_by=request.sent_by,
            call_id=request.call_id,
            from_tag=request.from_tag,
            cseq=2,
        )
        line = authorization(
            answer, again, user=self.number, password=self.password, algorithm=self.algorithm
        )
        again.extra = (line,)
        return self.peer.ask(again)

    def _request(self, expires_s: int, *extra: str) -> Request:
        self.cseq += 1
        return Request(
            method="REGISTER",
            user=self.number,
            caller=self.number,
            call_id=self.call_id,
            cseq=self.cseq,
            sent_by=f"{self.peer.source}:{self.peer.port}",
            contact=self.contact,
            extra=(f"Expires: {expires_s}", *extra),
        )
