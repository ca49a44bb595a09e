# SPDX-License-Identifier: Apache-2.0
"""What people type, checked and brought to its one normal form; each refusal says what would do."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from ringfence.errors import ConfigError
from ringfence.ids import PhoneNumber
from ringfence.settings.model import ListName
from ringfence.text import Sentence, sentence

_PHONE: Final = re.compile(r"[0-9A-Za-z+*._-]{1,64}", re.ASCII)
_PREFIX: Final = re.compile(r"\+?[0-9]{1,32}", re.ASCII)
_USER: Final = re.compile(r"[0-9A-Za-z._@-]{1,64}", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)

# A gateway or a list entry wider than this lets in, or shuts out, more than any one party has.
_WIDEST: Final = {4: 8, 6: 16}

_PASSWORD_LENGTHS: Final = (8, 128)
_TEXT_LENGTH: Final = 200
_URL_LENGTH: Final = 2048
_CHANNEL_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+_-]{0,31}://[!-~]+")
_WEBHOOK_URL: Final = re.compile(r"https?://[!-~]+")


def _bad(message: str, hint: str | None = None) -> ConfigError:
    return ConfigError(message, hint=hint, code="bad_value")


def network(text: str) -> IPv4Network | IPv6Network:
    """Read an IP address or a network in CIDR form; an IPv4 address inside IPv6 becomes IPv4.

    Raises: ConfigError("bad_value").
    """
    stripped = text.strip()
    # A zone ("fe80::1%eth0") names an interface of one machine and never arrives in a packet.
    if not stripped.isascii() or "%" in stripped:
        raise _bad(
            sentence("{text!r} is not an IP address or network", text=text),
            "write 192.0.2.1, 198.51.100.0/24 or 2001:db8::/32",
        )
    try:
        found = ip_network(stripped, strict=False)
    except ValueError:
        raise _bad(
            sentence("{text!r} is not an IP address or network", text=text),
            "write 192.0.2.1, 198.51.100.0/24 or 2001:db8::/32",
        ) from None
    written, _, length = stripped.partition("/")
    if length and not length.isdigit():
        raise _bad(
            sentence("{text!r} has a mask that is not a number", text=text),
            sentence("write {found}", found=found),
        )
    if ip_address(written) != found.network_address:
        raise _bad(
            sentence("{text!r} has host bits set", text=text),
            sentence(
                "write {found} for the network or {written} for the one address", found=found, written=written
            ),
        )
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is not None and found.prefixlen >= 96:
        return IPv4Network((mapped, found.prefixlen - 96))
    return found


def _source(text: str) -> IPv4Network | IPv6Network:
    found = network(text)
    if found.prefixlen < _WIDEST[found.version]:
        raise _bad(
            sentence("{text!r} is too wide", text=text),
            sentence(
                "the widest network allowed is /{length} for IPv{version}; several can be given",
                length=_WIDEST[found.version],
                version=found.version,
            ),
        )
    if found.network_address.is_multicast or (
        found.network_address.is_unspecified and found.num_addresses == 1
    ):
        raise _bad(sentence("{text!r} cannot be where a packet comes from", text=text))
    return found


def _text(found: IPv4Network | IPv6Network) -> str:
    return str(found.network_address) if found.prefixlen == found.max_prefixlen else str(found)


def source(text: str) -> str:
    """The normal form of a source: an address without mask, or a network in CIDR form.

    >>> source("2001:DB8:0::/48")
    '2001:db8::/48'

    Raises: ConfigError("bad_value").
    """
    return _text(_source(text))


def gateway_address(text: str) -> str:
    """The normal form of a gateway's address: a source, or an address with the port that calls come from.

    >>> gateway_address("[2001:DB8::1]:5060")
    '[2001:db8::1]:5060'

    Raises: ConfigError("bad_value").
    """
    host, separator, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not separator or not (bracketed or ":" not in host):
        return source(text)
    address = _source(host[1:-1] if bracketed else host)
    if address.prefixlen != address.max_prefixlen:
        raise _bad(
            sentence("{text!r} is a network with a port", text=text), "a port goes with a single address only"
        )
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise _bad(
            sentence("{text!r} has a port that is not 1 to 65535", text=text),
            "leave the port out to authorise every port of the address",
        )
    return (
        f"[{address.network_address}]:{int(port)}"
        if address.version == 6
        else f"{address.network_address}:{int(port)}"
    )


def network_of(address: str) -> IPv4Network | IPv6Network:
    """The network behind a normal form, its port left out."""
    host, separator, _ = address.rpartition(":")
    if separator and host.startswith("["):
        return network(host[1:-1])
    return network(host) if separator and ":" not in host else network(address)


def overlap(left: str, right: str) -> bool:
    """Whether two normal forms share an address, ports left out.

    >>> overlap("192.0.2.3:5060", "192.0.2.0/24")
    True
    """
    a, b = network_of(left), network_of(right)
    if isinstance(a, IPv4Network):
        return isinstance(b, IPv4Network) and a.overlaps(b)
    return isinstance(b, IPv6Network) and a.overlaps(b)


def number_prefix(text: str) -> str:
    """A number prefix: digits, with a leading + if that is how it is dialled.

    Raises: ConfigError("bad_value").
    """
    if not _PREFIX.fullmatch(text.strip()):
        raise _bad(
            sentence("{text!r} is not a number prefix", text=text),
            "write 1 to 32 digits, with a leading + if it is dialled so",
        )
    return text.strip()


def list_value(list_name: ListName, text: str) -> str:
    """The normal form of what a list entry is compared with.

    Raises: ConfigError("bad_value").
    """
    return source(text) if list_name is ListName.SOURCE else number_prefix(text)


def phone_number(text: str) -> PhoneNumber:
    """The number of a phone, which a SIP URI and a digest can carry as it is.

    Raises: ConfigError("bad_value").
    """
    if not _PHONE.fullmatch(text):
        raise _bad(
            sentence("{text!r} cannot be a phone's number", text=text),
            "write 1 to 64 of: digits, letters, + * . _ -",
        )
    return PhoneNumber(text)


def user_name(text: str) -> str:
    """The name of a user of the portal.

    Raises: ConfigError("bad_value").
    """
    return _login(text, sentence("{text!r} cannot be a user's name", text=text))


def token_name(text: str) -> str:
    """The name of a program that calls the API.

    Raises: ConfigError("bad_value").
    """
    return _login(text, sentence("{text!r} cannot be a token's name", text=text))


def _login(text: str, wrong: str) -> str:
    if not _USER.fullmatch(text):
        raise _bad(wrong, "write 1 to 64 of: letters, digits, . _ @ -")
    return text


def gateway_name(text: str) -> str:
    """The name of a gateway: printable, at most 64 characters, no blanks around it.

    Raises: ConfigError("bad_value").
    """
    if not 1 <= len(text) <= 64 or not text.isprintable() or text != text.strip():
        raise _bad(
            sentence("{text!r} cannot be a gateway's name", text=text),
            "write 1 to 64 printable characters, no blanks around them",
        )
    require_page(text)
    return text


def require_page(name: str) -> None:
    """Refuse a name whose page no browser asks for: it takes dots between slashes for another place.

    Raises: ConfigError("bad_value").
    """
    if not {".", ".."}.isdisjoint(name.split("/")):
        raise _bad(
            sentence("{name!r} cannot stand in the address of its page", name=name),
            "leave out parts that are . or .. only",
        )


def password(text: str, owner: str) -> str:
    """A password for `owner`, refused if a guesser would have it at once.

    Raises: ConfigError("bad_value"), without the password in it.
    """
    shortest, longest = _PASSWORD_LENGTHS
    if not shortest <= len(text) <= longest or not text.isprintable():
        raise _bad(
            sentence(
                "the password has to be {shortest} to {longest} printable characters",
                shortest=shortest,
                longest=longest,
            ),
            "leave it out (--generate on the command line) to have one made",
        )
    if text.casefold() == owner.casefold():
        raise _bad("the password cannot be the name it belongs to", "scanners try that first")
    return text


def limit(name: Sentence, value: int, lowest: int, highest: int) -> int:
    """A whole number inside its range.

    Raises: ConfigError("out_of_range") that names the range.
    """
    if not lowest <= value <= highest:
        raise ConfigError(
            sentence("{name} cannot be {value}", name=name, value=value),
            hint=sentence("allowed: {lowest} to {highest}", lowest=lowest, highest=highest),
            code="out_of_range",
        )
    return value


def remark(text: str) -> str:
    """Free text of an operator: one line, bounded.

    Raises: ConfigError("bad_value").
    """
    stripped = text.strip()
    if len(stripped) > _TEXT_LENGTH or not (stripped.isprintable() or not stripped):
        raise _bad(
            sentence(
                "the text has to be one line of at most {longest} printable characters",
                longest=_TEXT_LENGTH,
            )
        )
    return stripped


def display_name(text: str) -> str:
    """The name of a channel or a webhook: printable, at most 64 characters, no blanks around it.

    Raises: ConfigError("bad_value").
    """
    if not 1 <= len(text) <= 64 or not text.isprintable() or text != text.strip():
        raise _bad(
            sentence("{text!r} cannot be a name", text=text),
            "write 1 to 64 printable characters, no blanks around them",
        )
    return text


def channel_url(text: str) -> str:
    """The address of one channel, as apprise writes them: scheme, "://" and something.

    Raises: ConfigError("bad_value"), without the address in it.
    """
    stripped = text.strip()
    if len(stripped) > _URL_LENGTH or not _CHANNEL_URL.fullmatch(stripped):
        raise _bad(
            sentence(
                "a channel's address is scheme://..., at most {longest} characters, no blanks in it",
                longest=_URL_LENGTH,
            ),
            "for example mailto://user:password@example.com",
        )
    return stripped


def webhook_url(text: str) -> str:
    """The address of a webhook: http or https, with a host, without a fragment or credentials.

    Raises: ConfigError("bad_value"), without the address in it.
    """
    stripped = text.strip()
    hint = sentence("write https://host/path; what was sent is signed, so no user or password is needed")
    if len(stripped) > _URL_LENGTH or not _WEBHOOK_URL.fullmatch(stripped):
        raise _bad(
            sentence(
                "a webhook's address is http://... or https://..., at most {longest} characters, no blanks",
                longest=_URL_LENGTH,
            ),
            hint,
        )
    try:
        parts = urlsplit(stripped)
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    else:
        is_usable = is_usable and not parts.fragment and "@" not in parts.netloc
    if not is_usable:
        raise _bad("a webhook's address needs a host and, if any, a port; no user and no fragment", hint)
    return stripped
