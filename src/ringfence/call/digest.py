# SPDX-License-Identifier: Apache-2.0
"""Digest credentials of ours for a far end that asks for them (RFC 3261 §22, RFC 7616, RFC 8760).

A challenge is answered once: the request goes again with credentials. What a far end asked for is remembered,
so that later requests to it carry credentials at once, each with the next nonce count.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ringfence.call.engine import Headers
from ringfence.core import Message

ALGORITHMS: Final = {"sha-512-256": "sha512_256", "sha-256": "sha256", "md5": "md5"}
"""Those that we know, the strongest first, and what hashlib calls them."""

_STRENGTH: Final = {name: place for place, name in enumerate(ALGORITHMS)}

MOST_TRIES: Final = 3
"""So often one request goes again: for a proxy, for the callee, and for a nonce that was stale by then."""

MOST_CHALLENGES: Final = 8
"""So many challenges of one response are looked at."""

MOST_REALMS: Final = 4
LONGEST_CHALLENGE: Final = 2048
"""Characters."""

_HEADERS: Final = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
_ANSWERS: Final = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}

_PARAMETER: Final = re.compile(
    r'\s*([A-Za-z0-9_.!%*+`\'~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The user and the secret that a vendor gave us; the secret is in no text made of it."""

    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge that we can answer.

    Shape: `name` is the header field it came in. `has_qop` False = as RFC 2069 had it: neither a count nor a
    nonce of ours.
    """

    name: str
    realm: str
    nonce: str
    algorithm: str
    algorithm_text: str
    opaque: str | None
    has_qop: bool
    is_stale: bool


class DigestClient:
    """Our credentials at one far end, and what it asked for."""

    def __init__(self, credentials: Credentials, cnonce: str) -> None:
        self._credentials = credentials
        self._cnonce = cnonce
        self._known: dict[tuple[str, str], _Known] = {}

    def headers(self, method: str, uri: str) -> Headers:
        """What a request carries; empty while nothing was asked for.

        Shape: `uri` is its Request-URI. Each call is another use of the nonce.
        """
        return [known.header(self._credentials, self._cnonce, method, uri) for known in self._known.values()]

    def takes(self, message: Message, tries: int) -> bool:
        """Learn what a 401 or 407 asks for; whether the request is to be sent again.

        Shape: `tries` says how often the request was sent again already. False = it asks for nothing that we
        know, or it refused what we have.
        """
        if tries >= MOST_TRIES:
            return False
        is_new = False
        for challenge in strongest(message):
            key = (challenge.name, challenge.realm)
            before = self._known.get(key)
            if before is None and len(self._known) >= MOST_REALMS:
                continue
            # A nonce of an earlier request may have run out without the far end calling it stale.
            has_run_out = before is not None and tries == 0 and before.challenge.nonce != challenge.nonce
            if before is None or challenge.is_stale or has_run_out:
                self._known[key] = _Known(challenge)
                is_new = True
            else:
                # Refused; what the next request carries is not refused for what this one did.
                del self._known[key]
        return is_new


class _Known:
    """A challenge with the uses of its nonce so far."""

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self._count = 0

    def header(self, credentials: Credentials, cnonce: str, method: str, uri: str) -> tuple[str, bytes]:
        challenge = self.challenge
        self._count += 1
        count = f"{self._count:08x}"
        answer = response(challenge, credentials, cnonce=cnonce, count=count, method=method, uri=uri)
        parts = [
            f'username="{_escaped(credentials.user)}"',
            f'realm="{_escaped(challenge.realm)}"',
            f'nonce="{_escaped(challenge.nonce)}"',
            f'uri="{_escaped(uri)}"',
            f'response="{answer}"',
        ]
        if challenge.algorithm_text:
            parts.append(f"algorithm={challenge.algorithm_text}")
        if challenge.has_qop:
            parts += [f'cnonce="{cnonce}"', "qop=auth", f"nc={count}"]
        if challenge.opaque is not None:
            parts.append(f'opaque="{_escaped(challenge.opaque)}"')
        return (_ANSWERS[challenge.name], f"Digest {', '.join(parts)}".encode())


def response(
    challenge: Challenge, credentials: Credentials, *, cnonce: str, count: str, method: str, uri: str
) -> str:
    """The response of RFC 7616 §3.4.1; `count` is the nonce count as eight hex digits."""

    def digest(text: str) -> str:
        made = hashlib.new(ALGORITHMS[challenge.algorithm], text.encode(), usedforsecurity=False)
        return made.hexdigest()

    ha1 = digest(f"{credentials.user}:{challenge.realm}:{credentials.secret}")
    ha2 = digest(f"{method}:{uri}")
    if not challenge.has_qop:
        return digest(f"{ha1}:{challenge.nonce}:{ha2}")
    return digest(f"{ha1}:{challenge.nonce}:{count}:{cnonce}:auth:{ha2}")


def strongest(message: Message) -> list[Challenge]:
    """Of each realm that a 401 or 407 names, the strongest challenge that we know how to answer."""
    best: dict[tuple[str, str], Challenge] = {}
    for challenge in _challenges(message):
        key = (challenge.name, challenge.realm)
        other = best.get(key)
        if other is None or _STRENGTH[challenge.algorithm] < _STRENGTH[other.algorithm]:
            best[key] = challenge
    return list(best.values())


def _challenges(message: Message) -> Iterator[Challenge]:
    name = _HEADERS.get(message.status)
    if name is None:
        return
    for value in message.headers(name)[:MOST_CHALLENGES]:
        found = read_challenge(name, value)
        if found is not None:
            yield found


def read_challenge(name: str, value: str) -> Challenge | None:
    """A challenge, if it is one of Digest whose algorithm and quality of protection we know."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest" or len(value) > LONGEST_CHALLENGE or not value.isprintable():
        return None
    parameters = _parameters(rest)
    realm, nonce = parameters.get("realm"), parameters.get("nonce")
    text = parameters.get("algorithm", "")
    algorithm = text.lower() or "md5"
    if realm is None or not nonce or algorithm not in ALGORITHMS:
        return None
    if ALGORITHMS[algorithm] not in hashlib.algorithms_available:
        return None
    qop = parameters.get("qop")
    if qop is not None and "auth" not in [option.strip().lower() for option in qop.split(",")]:
        return None
    return Challenge(
        name=name,
        realm=realm,
        nonce=nonce,
        algorithm=algorithm,
        algorithm_text=text,
        opaque=parameters.get("opaque"),
        has_qop=qop is not None,
        is_stale=parameters.get("stale", "").lower() == "true",
    )


def _parameters(text: str) -> dict[str, str]:
    """The parameters by their names in lower case, the first of each; empty if the grammar is broken."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _PARAMETER.match(text, place)
        if match is None:
            return {}
        name, quoted, token = match.groups()
        value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found.setdefault(name.lower(), value)
        place = match.end()
    return found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
