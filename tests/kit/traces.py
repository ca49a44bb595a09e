# SPDX-License-Identifier: Apache-2.0
"""Traced messages as the switch tells them: builders, and a whole call over two legs."""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Literal

from kit.journal import T0_US
from ringfence.control.messages import Traced, TracedEntry
from ringfence.trace import decisions

CALLER = ("198.51.100.7", 5060)
US = ("192.0.2.1", 5060)
FIRST = ("203.0.113.5", 5060)
SECOND = ("203.0.113.9", 5080)
A, B1, B2 = "a84b4c76e66710@198.51.100.7", "leg-b1@192.0.2.1", "leg-b2@192.0.2.1"
SDP = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

_seq = itertools.count()
Kind = Literal["received", "sent", "note", "link"]


def entry(
    kind: Kind,
    start: str,
    *,
    after_ms: float = 0,
    call_id: str = A,
    remote: tuple[str, int] = CALLER,
    cseq: str = "",
    caller: str = "1001",
    callee: str = "004930123",
    body: str = "",
    transport: str = "UDP",
    content: bytes | None = None,
    length: int | None = None,
) -> TracedEntry:
    """A message that starts as "INVITE" or "180 Ringing"; the method of a response is in `cseq`."""
    status = int(start[:3]) if start[:3].isdigit() else 0
    method = cseq or ("INVITE" if status else start)
    line = f"SIP/2.0 {start}" if status else f"{start} sip:{callee}@192.0.2.1 SIP/2.0"
    kind_of_body = "Content-Type: application/sdp\r\n" if body else ""
    text = (
        f"{line}\r\nVia: SIP/2.0/{transport} {remote[0]}:{remote[1]};branch=z9hG4bK1\r\n"
        f"From: <sip:{caller}@192.0.2.1>;tag=1\r\nTo: <sip:{callee}@192.0.2.1>\r\nCall-ID: {call_id}\r\n"
        f"CSeq: 1 {method}\r\n{kind_of_body}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    kept = text if content is None else content
    return TracedEntry(
        seq=next(_seq),
        at_us=T0_US + round(after_ms * 1000),
        kind=kind,
        transport=transport,
        local=US,
        remote=remote,
        length=len(kept) if length is None else length,
        call_id=call_id,
        start_line=line,
        status=status,
        method=method,
        cseq=1,
        users=(caller, callee) if status else (caller, callee, callee),
        has_sdp=bool(body),
        content=kept,
    )


def note(said: bytes, *, after_ms: float = 0, call_id: str = A) -> TracedEntry:
    """Something that the switch remarked."""
    return entry("note", "", after_ms=after_ms, call_id=call_id, content=said)


def link(call_id: str, other: str, *, after_ms: float = 0) -> TracedEntry:
    """Two Call-IDs of one call."""
    return entry("link", "", after_ms=after_ms, call_id=call_id, content=other.encode())


def traced(entries: Sequence[TracedEntry]) -> Traced:
    """What the switch answers."""
    oldest_us = entries[0].at_us if entries else None
    return Traced(entries=tuple(entries), oldest_us=oldest_us, is_on=True, is_cut=False)


def a_call() -> Traced:
    """A call that one gateway refuses and another takes, with a retransmission; answered, hung up."""
    first = partial(entry, call_id=B1, remote=FIRST, callee="4930123")
    second = partial(entry, call_id=B2, remote=SECOND, callee="0114930123")
    return traced(
        [
            entry("received", "INVITE", body=SDP),
            entry("sent", "100 Trying", after_ms=1),
            note(decisions.encode(decisions.admitted_gateway("acme")), after_ms=1),
            note(decisions.encode(decisions.attempted(1, "carrier-a", "4930123")), after_ms=2),
            link(A, B1, after_ms=2),
            first("sent", "INVITE", after_ms=2, body=SDP),
            first("sent", "INVITE", after_ms=502, body=SDP),
            first("received", "503 Service Unavailable", after_ms=520),
            first("sent", "ACK", after_ms=520.5),
            link(A, B2, after_ms=521),
            second("sent", "INVITE", after_ms=521, body=SDP),
            second("received", "180 Ringing", after_ms=700),
            entry("sent", "180 Ringing", after_ms=701),
            second("received", "200 OK", after_ms=3000, body=SDP),
            entry("sent", "200 OK", after_ms=3001, body=SDP),
            entry("received", "ACK", after_ms=3050),
            second("sent", "ACK", after_ms=3051),
            entry("received", "BYE", after_ms=9000),
            entry("sent", "200 OK", after_ms=9001, cseq="BYE"),
        ]
    )
