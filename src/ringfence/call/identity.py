# SPDX-License-Identifier: Apache-2.0
"""Who is said to call: read from the headers of a request, and written into those of another.

What a gateway's switches make of it lies between (policy); numbers pass, hosts of the other side never do.
"""

from typing import Final
from urllib.parse import quote

from msgspec import structs

from ringfence.call.engine import Headers
from ringfence.core import Message, read_address
from ringfence.policy.identity import Identity, Party
from ringfence.registrar.contact import parameters_of

_USER_SAFE: Final = "-_.!~*'()&=+$,;?/#%"
"""What may stand in the user part of a URI (RFC 3261 §25.1), and `#` for dial codes. Escapes are kept."""

_MARKS: Final = {
    "party": frozenset({"calling", "called"}),
    "id-type": frozenset({"subscriber", "user", "term"}),
    "privacy": frozenset({"full", "name", "uri", "off"}),
    "screen": frozenset({"yes", "no"}),
}
"""Parameters of Remote-Party-ID that pass, and what they may say (draft-ietf-sip-privacy-04)."""

_HIDES: Final = frozenset({"full", "uri"})


def read_identity(message: Message) -> Identity:
    """What a request says of its caller; a header that cannot be read counts as not there.

    Shape: a Remote-Party-ID that hides the number asks for what `Privacy: id` does, if there is no Privacy.
    """
    caller = message.from_
    # The draft has one for each party; who is called has no say in who calls.
    rpids = ((value, _marks(value)) for value in message.headers("Remote-Party-ID"))
    value, said = next(((v, marks) for v, marks in rpids if marks.get("party") != "called"), (None, {}))
    rpid = _party(value)
    privacy = message.header("Privacy")
    if privacy is None and rpid is not None and said.get("privacy") in _HIDES:
        privacy = "id"
    marks = "".join(f";{name}={value}" for name, value in said.items())
    return Identity(
        caller=Party(caller.user, caller.display),
        rpid=None if rpid is None else structs.replace(rpid, marks=marks),
        pai=_party(message.header("P-Asserted-Identity")),
        ppi=_party(message.header("P-Preferred-Identity")),
        privacy=privacy,
    )


def _marks(value: str) -> dict[str, str]:
    found = ((name, text.lower()) for name, text in parameters_of(value).items())
    return {name: text for name, text in found if text in _MARKS.get(name, ())}


def _party(value: str | None) -> Party | None:
    if value is None:
        return None
    try:
        address = read_address(value)
    except ValueError:
        return None
    return Party(address.user, address.display)


def uri_of(number: str, host: str) -> str:
    """A SIP URI; what may not stand in the number is escaped.

    >>> uri_of("+49 30", "192.0.2.1:5060"), uri_of("", "h")
    ('sip:+49%2030@192.0.2.1:5060', 'sip:h')
    """
    if number.isalnum() and number.isascii():
        return f"sip:{number}@{host}"
    return f"sip:{quote(number, safe=_USER_SAFE)}@{host}" if number else f"sip:{host}"


def written(party: Party, host: str) -> str:
    """The value of an address header.

    >>> written(Party("7", "the boss"), "h")
    '"the boss" <sip:7@h>'
    """
    uri = f"<{uri_of(party.number, host)}>"
    if not party.display:
        return uri
    return f'"{_quoted(party.display)}" {uri}'


def _quoted(display: str) -> str:
    """A display name for a quoted string (RFC 3261 §25.1); escapes that it came with are kept."""
    display = "".join(filter(str.isprintable, display))
    if '"' not in display and "\\" not in display:
        return display
    plain = []
    is_escaped = False
    for character in display:
        if character == "\\" and not is_escaped:
            is_escaped = True
            continue
        plain.append(character)
        is_escaped = False
    return "".join(f"\\{c}" if c in '"\\' else c for c in plain)


def identity_headers(identity: Identity, host: str) -> Headers:
    """The headers beside From that say who calls (RFC 3323, RFC 3325)."""
    headers: Headers = []
    for name, party in (
        ("P-Asserted-Identity", identity.pai),
        ("P-Preferred-Identity", identity.ppi),
        ("Remote-Party-ID", identity.rpid),
    ):
        if party is not None:
            headers.append((name, f"{written(party, host)}{party.marks}".encode()))
    if identity.privacy is not None and identity.privacy.isprintable():
        headers.append(("Privacy", identity.privacy.encode()))
    return headers
