# SPDX-License-Identifier: Apache-2.0
"""What the phones of a drill read and write: requests and answers (RFC 3261 §7, §8, §12)."""

import re
from dataclasses import dataclass
from typing import Final

_PHRASES: Final = {180: "Ringing", 200: "OK", 481: "No Such Call", 486: "Busy Here", 487: "Cancelled"}
_REQUEST: Final = re.compile(rb"([A-Z]+) (\S+) SIP/2\.0\r\n")
_URI: Final = re.compile(r"<([^>]+)>")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came: its header lines in order, names in lower case."""

    method: str
    headers: tuple[tuple[str, str], ...]

    def first(self, name: str) -> str:
        """The first value under this name; empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")


def read_request(datagram: bytes) -> Request | None:
    """The request in a datagram; None if there is none."""
    start = _REQUEST.match(datagram)
    if start is None:
        return None
    head = datagram.partition(b"\r\n\r\n")[0].decode(errors="replace")
    pairs = (line.partition(":") for line in head.split("\r\n")[1:])
    headers = tuple((name.strip().lower(), value.strip()) for name, colon, value in pairs if colon)
    return Request(start[1].decode(), headers)


def uri_in(value: str) -> str:
    """The URI of a Contact, From or To."""
    found = _URI.search(value)
    return found[1] if found else value.partition(";")[0].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a call as the other one is told of it; `ours` is its address with the port."""

    ours: str
    number: str
    call_id: str
    local: str
    remote: str

    def request(self, method: str, uri: str, cseq: int, *, branch: str, extra: tuple[str, ...] = ()) -> bytes:
        """A request from this side; an INVITE offers sound."""
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.ours};branch=z9hG4bK{branch};rport",
            "Max-Forwards: 70",
            f"From: {self.local}",
            f"To: {self.remote}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self.number}@{self.ours}>",
            "User-Agent: ringfence-drill-phone",
            *extra,
        ]
        return _with_body(lines, _sound(self.ours) if method == "INVITE" else "")


def answer_to(request: Request, status: int, *, tag: str, number: str, ours: str) -> bytes:
    """The answer to a request (RFC 3261 §8.2.6); a 200 to an INVITE has sound."""
    to = request.first("to")
    copied = {"via": "Via", "record-route": "Record-Route"}
    lines = [
        f"SIP/2.0 {status} {_PHRASES.get(status, 'Answer')}",
        *(f"{copied[name]}: {value}" for name, value in request.headers if name in copied),
        f"From: {request.first('from')}",
        f"To: {to if ';tag=' in to else f'{to};tag={tag}'}",
        f"Call-ID: {request.first('call-id')}",
        f"CSeq: {request.first('cseq')}",
        f"Contact: <sip:{number}@{ours}>",
    ]
    has_sound = status == 200 and request.method == "INVITE"
    return _with_body(lines, _sound(ours) if has_sound else "")


def _with_body(lines: list[str], body: str) -> bytes:
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, *kind, f"Content-Length: {len(body)}", "", body]).encode()


def _sound(ours: str) -> str:
    """A session description of G.711 (RFC 8866); nobody sends any sound."""
    ip = ours.rpartition(":")[0]
    lines = ("v=0", f"o=drill 1 1 IN IP4 {ip}", "s=-", f"c=IN IP4 {ip}", "t=0 0", "m=audio 40002 RTP/AVP 8")
    return "".join(f"{line}\r\n" for line in lines)
