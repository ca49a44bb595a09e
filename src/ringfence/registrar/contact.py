# SPDX-License-Identifier: Apache-2.0
"""Contact values with their parameters (RFC 3261 §20.10, RFC 5626 §4.1)."""

import re
from dataclasses import dataclass
from typing import Final

from ringfence.core import Message, read_address, read_uri

BEST_Q: Final = 1000
"""A `q` of 1.0, which also counts where there is none."""

MOST_REG_ID: Final = 2**31 - 1
LONGEST_INSTANCE: Final = 128
"""Bytes. An instance is a URN; longer ones are no one's."""

MALFORMED_S: Final = 3600
"""What an expiry counts as that cannot be read (RFC 3261 §20.10)."""

LONGEST_URI: Final = 1024
"""Bytes. Those of mobile phones are long: they name the service that wakes the phone (RFC 8599)."""

_ADDRESS: Final = re.compile(r'(?:\s*"(?:[^"\\]|\\.)*"\s*|[^"<;]*)<[^>]*>')
_PARAMETER: Final = re.compile(r'\s*;\s*([\w.!%*+`\'~-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^;"\s]*))?\s*')
_Q: Final = re.compile(r"0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One contact of a REGISTER.

    Shape: `uri` without brackets. `expires_s` None = as the Expires header says. `q` in thousandths.
    `instance` and `reg_id` None = not given; they say which device it is, and which of its flows.
    """

    uri: str
    expires_s: int | None = None
    q: int = BEST_Q
    instance: str | None = None
    reg_id: int | None = None


def contacts_of(message: Message) -> tuple[Contact, ...]:
    """The contacts of a REGISTER, in order; the wildcard is one whose URI is `*`.

    Raises: ValueError if one of them cannot be read.
    """
    return tuple(read_contact(value) for value in message.headers("Contact"))


def read_contact(value: str) -> Contact:
    """One Contact value.

    Raises: ValueError if it cannot be read.
    """
    if value.strip() == "*":
        return Contact(uri="*")
    uri = read_address(value).uri
    read_uri(uri)  # an INVITE to it has to be written
    if len(uri.encode()) > LONGEST_URI:
        raise ValueError("a URI that is too long to be kept")
    parameters = parameters_of(value)
    instance = parameters.get("+sip.instance", "").strip('"').strip("<>")
    if len(instance.encode()) > LONGEST_INSTANCE or not instance.isprintable():
        raise ValueError("an instance that is no URN")
    reg_id = _whole(parameters.get("reg-id"), "reg-id", MOST_REG_ID)
    if reg_id == 0:
        raise ValueError("a reg-id below 1")
    return Contact(
        uri=uri,
        expires_s=read_expires(parameters.get("expires")),
        q=_q(parameters.get("q")),
        instance=instance or None,
        reg_id=reg_id,
    )


def parameters_of(value: str) -> dict[str, str]:
    """The parameters behind an address, by their names in lower case.

    Shape: what follows a fault in them is left out. Those of the URI are not among them where it stands in
    brackets. Quoted values keep their quotes.

    >>> parameters_of('"a;b" <sip:c@d;lr>;Expires=5;+sip.instance="<urn:x>"')
    {'expires': '5', '+sip.instance': '"<urn:x>"'}
    >>> parameters_of("sip:c@d;q=0.5")
    {'q': '0.5'}
    """
    address = _ADDRESS.match(value)
    place = address.end() if address is not None else len(value.partition(";")[0])
    found: dict[str, str] = {}
    while place < len(value):
        parameter = _PARAMETER.match(value, place)
        if parameter is None:
            break
        found.setdefault(parameter[1].lower(), parameter[2] or "")
        place = parameter.end()
    return found


def read_expires(text: str | None) -> int | None:
    """The seconds of an expiry, None = there is none.

    >>> read_expires("60"), read_expires("soon"), read_expires(None)
    (60, 3600, None)
    """
    try:
        return _whole(text, "expires", 2**32 - 1)
    except ValueError:
        return MALFORMED_S


def _whole(text: str | None, name: str, most: int) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise ValueError(f"{name} is no number")
    return min(int(text), most)


def _q(text: str | None) -> int:
    if text is None:
        return BEST_Q
    found = _Q.fullmatch(text)
    if found is None:
        raise ValueError("q is not between 0 and 1")
    return BEST_Q if text.startswith("1") else int((found[1] or "").ljust(3, "0"))
