# SPDX-License-Identifier: Apache-2.0
"""What an attacking tool reads of an answer, and what it writes back: ACKs and digest responses."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status and its header lines in order, names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def first(self, name: str) -> str | None:
        """The first value under this name."""
        return next((value for key, value in self.headers if key == name), None)

    def every(self, name: str) -> list[str]:
        """All values under this name."""
        return [value for key, value in self.headers if key == name]


_STATUS: Final = re.compile(rb"SIP/2\.0 ([1-6]\d\d) ")


def read_answer(datagram: bytes) -> Answer | None:
    """The response in a datagram; None if there is none."""
    start = _STATUS.match(datagram)
    if start is None:
        return None
    head = datagram.partition(b"\r\n\r\n")[0].decode(errors="replace")
    pairs = (line.partition(":") for line in head.split("\r\n")[1:])
    headers = tuple((name.strip().lower(), value.strip()) for name, colon, value in pairs if colon)
    return Answer(int(start[1]), headers)


def acknowledgement(request: bytes, answer: Answer) -> bytes:
    """The ACK of a final answer other than 2xx to this INVITE.

    RFC 3261 §17.1.1.3: the INVITE's Request-URI, top Via, From and Call-ID, the answer's To, the INVITE's
    CSeq number.
    """
    uri = request.split(b" ", 2)[1].decode()
    asked = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in request.decode().split("\r\n")[1:])
    }
    number = asked["cseq"].split()[0]
    lines = [
        f"ACK {uri} SIP/2.0",
        f"Via: {asked['via']}",
        "Max-Forwards: 70",
        f"From: {asked['from']}",
        f"To: {answer.first('to') or asked['to']}",
        f"Call-ID: {asked['call-id']}",
        f"CSeq: {number} ACK",
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """An MD5 challenge; `qop` says whether the server wants "auth" (RFC 2617 §3.2.1)."""

    realm: str
    nonce: str
    opaque: str | None
    is_qop_auth: bool
    header: str


_FIELD: Final = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


def read_challenge(answer: Answer) -> Challenge | None:
    """The challenge that svcrack would answer: the first with MD5, which is also what no algorithm means."""
    for name, header in (
        ("www-authenticate", "Authorization"),
        ("proxy-authenticate", "Proxy-Authorization"),
    ):
        for value in answer.every(name):
            scheme, _, rest = value.partition(" ")
            fields = {key.lower(): quoted or bare for key, quoted, bare in _FIELD.findall(rest)}
            if scheme.lower() != "digest" or fields.get("algorithm", "MD5").upper() != "MD5":
                continue
            if "nonce" in fields and "realm" in fields:
                return Challenge(
                    realm=fields["realm"],
                    nonce=fields["nonce"],
                    opaque=fields.get("opaque"),
                    is_qop_auth="auth" in fields.get("qop", "").replace(" ", "").split(","),
                    header=header,
                )
    return None


def credentials(challenge: Challenge, *, user: str, password: str, method: str, uri: str, cnonce: str) -> str:
    """The header line that answers the challenge with this password (RFC 2617 §3.2.2)."""
    secret = _md5(f"{user}:{challenge.realm}:{password}")
    asked = _md5(f"{method}:{uri}")
    middle = f"{challenge.nonce}:00000001:{cnonce}:auth" if challenge.is_qop_auth else challenge.nonce
    fields = [
        f'username="{user}"',
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{_md5(f"{secret}:{middle}:{asked}")}"',
        "algorithm=MD5",
    ]
    if challenge.opaque is not None:
        fields.append(f'opaque="{challenge.opaque}"')
    if challenge.is_qop_auth:
        fields += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    return f"{challenge.header}: Digest {', '.join(fields)}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
