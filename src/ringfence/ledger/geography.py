# SPDX-License-Identifier: Apache-2.0
"""Countries of addresses and numbers, as ISO 3166-1 alpha-2; empty where nobody can tell.

An address has the country its registry allocated it to, which is weak evidence of where its user sits. Only
tables that come with the packages are asked: no file, no other host. They change with the packages, so no
record holds a country.
"""

import ipaddress
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

import iptocc

from ringfence.ledger.dialled import AREA_DIGITS, international

_ADDRESSES: Final = 65_536
_AREAS: Final = 10**AREA_DIGITS
_LEAST_DIGITS: Final = 4
_LONGEST_ADDRESS: Final = 45
"""Characters of an IPv6 address that ends in a dotted IPv4 address."""

_CODES: Final = """
AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW
BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET EU FI
FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO
IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG
MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK
PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA
TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM
ZW
"""

COUNTRIES: Final = frozenset(_CODES.split())
"""ISO 3166-1 alpha-2, and what the tables say besides: AC, TA and XK have numbers, EU has addresses."""

_NO_COUNTRY: Final = frozenset({"", "ZZ", "001"})
"""What the tables say for numbers that belong to none (+800, satellites), and where they know none."""


def country_of_address(address: str) -> str:
    """The country an IP address is allocated to; empty for private, reserved and malformed ones."""
    if len(address) > _LONGEST_ADDRESS:
        return ""
    return _country_of_address(address)


def countries_of_addresses(addresses: Sequence[str]) -> list[str]:
    """The countries of many addresses as records hold them: some millions in a second, and none is kept."""
    return [country or "" for country in iptocc.country_code(addresses)]


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
    """The country of a number as it was dialled, access codes and all; empty if it names none."""
    return country_of_area(international(number)[:AREA_DIGITS])


@lru_cache(maxsize=_AREAS)
def country_of_area(area: str) -> str:
    """The country of numbers that begin so at their country code; four digits tell.

    Shape: where countries share a code (+1, +7, +44), the one where numbers with that area are valid, else
    the one the code mainly belongs to; so for Guernsey, whose area takes more digits, it is GB.
    """
    # Its tables take a tenth of a second to load: whoever starts a switch does not wait for them.
    import phonenumbers  # noqa: PLC0415

    if not (area.isascii() and area.isdigit()):
        return ""
    for length in (1, 2, 3):
        main = phonenumbers.region_code_for_country_code(int(area[:length]))
        if main not in _NO_COUNTRY:
            break
    else:
        return ""
    example = phonenumbers.example_number(main)
    digits = len(str(example.national_number)) if example else 0
    # What follows the area is nobody's in particular, and as long as numbers are there.
    number = phonenumbers.parse(f"+{f'{area}23456789012345'[: length + max(digits, _LEAST_DIGITS)]}")
    region = phonenumbers.region_code_for_number(number)
    return main if region is None or region in _NO_COUNTRY else region


@cache
def areas_of_country(country: str) -> tuple[str, ...]:
    """First digits of numbers, from the country code on, that are a country's; see `country_of_area`."""
    areas = map(str, range(10 ** (AREA_DIGITS - 1), _AREAS))
    return tuple(area for area in areas if country_of_area(area) == country)


def know_areas() -> None:
    """Look up the country of each area before anybody asks for one: all of them take half a second."""
    for area in range(10 ** (AREA_DIGITS - 1), _AREAS):
        country_of_area(str(area))
