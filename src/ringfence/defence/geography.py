# SPDX-License-Identifier: Apache-2.0
"""Countries of addresses and numbers, as ISO 3166-1 alpha-2; empty where nobody can tell.

An address has the country its registry allocated it to, which is weak evidence of where its user sits. Only
tables that come with the packages are asked: no file, no other host.
"""

import ipaddress
from functools import lru_cache
from typing import Final

import iptocc

from ringfence.ledger.dialled import international

_ADDRESSES: Final = 65_536
_NUMBERS: Final = 65_536
_LONGEST_ADDRESS: Final = 45
"""Characters of an IPv6 address that ends in a dotted IPv4 address."""

_NO_COUNTRY: Final = frozenset({"", "ZZ", "001"})
"""What the tables say for numbers that belong to none (+800, satellites), and where they know none."""


def country_of_address(address: str) -> str:
    """The country an IP address is allocated to; empty for private, reserved and malformed ones."""
    if len(address) > _LONGEST_ADDRESS:
        return ""
    return _country_of_address(address)


@lru_cache(maxsize=_ADDRESSES)
def _country_of_address(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        # Records hold mapped addresses as IPv4 ones; whatever else comes is read alike. Zones are local.
        parsed = parsed.ipv4_mapped or ipaddress.IPv6Address(int(parsed))
    return iptocc.country_code(str(parsed)) or ""


def country_of_number(number: str) -> str:
    """The country of a number as it was dialled, access codes and all; empty if it names none.

    Shape: where countries share a code (+1, +7, +44), that of the area if the number is a valid one there,
    else the one the code mainly belongs to.
    """
    digits = international(number)
    return _country_of_international(digits) if digits else ""


@lru_cache(maxsize=_NUMBERS)
def _country_of_international(digits: str) -> str:
    # Its tables take a tenth of a second to load: whoever starts a switch does not wait for them.
    import phonenumbers  # noqa: PLC0415

    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return ""
    region = phonenumbers.region_code_for_number(number)
    if region is None and number.country_code is not None:
        region = phonenumbers.region_code_for_country_code(number.country_code)
    return "" if region is None or region in _NO_COUNTRY else region
