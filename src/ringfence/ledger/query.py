# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the call records, and how it is said in SQL.

Every value travels as a bound parameter. A page is found by a keyset cursor on (time, flow number, journal),
newest first, so that paging neither skips nor repeats while rows arrive.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ringfence.errors import ConfigError
from ringfence.ledger.dialled import AREA_DIGITS, INTERNATIONAL
from ringfence.ledger.geography import COUNTRIES, areas_of_country
from ringfence.ledger.reasons import BillingMode
from ringfence.ledger.schema import Cdr, quoted
from ringfence.text import sentence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Parameters = dict[str, object]

DEFAULT_LIMIT: Final = 50
NEWEST_FIRST: Final = f"recorded_at DESC, {quoted('flowNo')} DESC, journal_id DESC"
OLDEST_FIRST: Final = f"recorded_at, {quoted('flowNo')}, journal_id"

_UNBILLED: Final = {"illegal": BillingMode.ILLEGAL_CALL, "event": BillingMode.UNBILLED}
_CURSOR: Final = re.compile(r"(\d{1,16})-(\d{1,19})-([0-9a-f]{1,32})")
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_SHOWN: Final = 40
_MAPPED_BITS: Final = 96
_FLOW: Final = quoted("flowNo")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cursor:
    """The place of a row in newest-first order; a page goes on below it."""

    time_us: int
    flow_no: int
    journal_id: str

    @classmethod
    def of(cls, row: Cdr) -> "Cursor":
        """The place of a row."""
        return cls(
            time_us=timestamp_us(row),
            flow_no=row.flowNo,
            journal_id=row.journal_id,
        )

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor as `str` writes it.

        Raises: ConfigError("bad_value") if it is none.
        """
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise ConfigError(
                sentence("{text!r} is no place in the list", text=text),
                hint="start again at the first page",
                code="bad_value",
            )
        return cls(time_us=int(match[1]), flow_no=int(match[2]), journal_id=match[3])

    @property
    def recorded_at(self) -> datetime:
        """Its time, exact, in UTC."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.time_us)

    def __str__(self) -> str:
        return f"{self.time_us}-{self.flow_no}-{self.journal_id}"


def timestamp_us(row: Cdr) -> int:
    """When the row was recorded, UTC microseconds, exact."""
    whole = int(row.recorded_at.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + row.recorded_at.microsecond


@dataclass(frozen=True, slots=True, kw_only=True)
class CdrQuery:
    """Which rows; all conditions hold together.

    Shape: no `kinds` means every kind. `since_us` is included, `until_us` is not. `caller` and `callee` match
    the billed number or the number as it came in, whole or, ending in `*`, by what stands before it. `source`
    matches rows whose source address lies in the network. `dialled` is how the number begins at its country
    code, whatever access codes stand before that. `country` is that of the source address, `dialled_country`
    that of the number, both as `geography` has them. `tool` is what the sender calls itself (`User-Agent`);
    it may end in `*` like a number. `gateway` is the name of either side's gateway, `gateway_id` the number
    of the caller's. Both ends of the duration are included. `pending` adds challenges that may still be
    answered and so are no rows yet.
    """

    kinds: frozenset[str] = frozenset()
    billing_mode: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    source: Network | None = None
    caller: str | None = None
    callee: str | None = None
    account: str | None = None
    reason: str | None = None
    min_duration_s: int | None = None
    max_duration_s: int | None = None
    dialled: str | None = None
    country: str | None = None
    dialled_country: str | None = None
    tool: str | None = None
    method: str | None = None
    call_id: str | None = None
    gateway: str | None = None
    gateway_id: int | None = None
    pending: bool = False

    def wants(self, kind: str) -> bool:
        """Whether rows of a kind can match: only calls last, have an account or a gateway by name."""
        if self.kinds and kind not in self.kinds:
            return False
        if kind != "call" and (self.account or self.min_duration_s or self.gateway):
            return False
        if self.billing_mode is None:
            return True
        if kind == "call":
            return self.billing_mode != BillingMode.ILLEGAL_CALL
        return self.billing_mode == _UNBILLED[kind]

    def wants_reasons(self, reasons: tuple[str, ...]) -> bool:
        """Whether rows can match whose reasons are among these; none means that they are not known."""
        return not reasons or self.reason is None or self.reason in reasons

    def wants_alike(self, alike: tuple[tuple[str, str | int | bool], ...]) -> bool:
        """Whether rows can match that have these values in common."""
        return self.method is None or dict(alike).get("method", self.method) == self.method

    def narrowed(self) -> "CdrQuery | None":
        """The conditions that few rows meet, alone; None if there are none."""
        narrow = replace(
            self, kinds=frozenset(), billing_mode=None, since_us=None, until_us=None, pending=False
        )
        return None if narrow == CdrQuery() else narrow

    def overlaps(self, min_time_us: int, max_time_us: int) -> bool:
        """Whether rows of a time span (both ends included) can match."""
        return (self.since_us is None or max_time_us >= self.since_us) and (
            self.until_us is None or min_time_us < self.until_us
        )

    def is_only_time(self) -> bool:
        """Whether kind and time are the only conditions."""
        return self.billing_mode is None and self.narrowed() is None

    def contains(self, min_time_us: int, max_time_us: int) -> bool:
        """Whether every moment of a time span (both ends included) is asked for."""
        return (self.since_us is None or min_time_us >= self.since_us) and (
            self.until_us is None or max_time_us < self.until_us
        )


def parse_source(text: str) -> Network:
    """Read an address or a network.

    Shape: an IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is the IPv4 address, as in the records.
    Raises: ConfigError("bad_value") if it is neither.
    """
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise ConfigError(
            sentence("{text!r} is no IP address and no network", text=text),
            hint="for example 198.51.100.7 or 198.51.100.0/24",
            code="bad_value",
        ) from error
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def parse_country(text: str) -> str:
    """Read a country.

    Raises: ConfigError("bad_value") if it is none that an address or a number can have.
    """
    if text.upper() not in COUNTRIES:
        raise ConfigError(
            sentence("there is no country {given}", given=repr(text[:_SHOWN])),
            hint="two letters (ISO 3166-1), such as NL",
            code="bad_value",
        )
    return text.upper()


def parse_dialled(text: str) -> str:
    """Read how a number begins at its country code.

    Raises: ConfigError("bad_value") if no number does.
    """
    if not _DIGITS.fullmatch(text):
        raise ConfigError(
            sentence("{given} begins no number at its country code", given=repr(text[:_SHOWN])),
            hint="digits only, such as 44",
            code="bad_value",
        )
    return text


INTERNATIONAL_SQL: Final = " || ".join(
    f"regexp_extract({quoted('calleeAccessE164')}, '{INTERNATIONAL}', {group})" for group in (1, 2)
)
"""The dialled number from its country code on, as SQL; empty if it was not dialled with one."""

COUNTRY_SOURCES: Final = "country_sources"
"""The relation of the sources that have the country asked for; whoever runs the query puts it there."""

_TESTS: Final = {
    "billing_mode": f"{quoted('billingMode')} = $billing_mode",
    "since_us": "recorded_at >= make_timestamp($since_us)",
    "until_us": "recorded_at < make_timestamp($until_us)",
    "account": "account = $account",
    "reason": "reason = $reason",
    "min_duration_s": f"{quoted('holdTime')} >= $min_duration_s",
    "max_duration_s": f"{quoted('holdTime')} <= $max_duration_s",
    "method": "method = $method",
    "call_id": "call_id = $call_id",
    "gateway": f"({quoted('callerGateway')} = $gateway OR {quoted('calleeGateway')} = $gateway)",
    "gateway_id": "gateway_id = $gateway_id",
    "dialled": f"starts_with({INTERNATIONAL_SQL}, $dialled)",
}
"""What must hold where one value of a query is given, bound under its name."""


def conditions(
    query: CdrQuery, below: Cursor | None = None, *, is_call: bool = True
) -> tuple[str, Parameters]:
    """The WHERE clause of a query, and what to bind.

    Shape: the clause is `TRUE` for a query without conditions; it names columns of the record only. Rows that
    are no calls have one number each, so one column is looked at where `is_call` is false.
    """
    clauses: list[str] = []
    bound: Parameters = {}

    def need(clause: str, **values: object) -> None:
        clauses.append(clause)
        bound.update(values)

    if query.kinds:
        need("list_contains($kinds, kind)", kinds=sorted(query.kinds))
    for name, test in _TESTS.items():
        value = getattr(query, name)
        if value is not None:
            need(test, **{name: value})
    if query.country is not None:
        need(f"callerip IN (SELECT address FROM {COUNTRY_SOURCES})")
    if query.dialled_country is not None:
        need(
            f"left({INTERNATIONAL_SQL}, {AREA_DIGITS}) IN (SELECT unnest($dialled_areas))",
            dialled_areas=list(areas_of_country(query.dialled_country)),
        )
    if query.tool is not None:
        test = "starts_with(user_agent, $tool)" if query.tool.endswith("*") else "user_agent = $tool"
        need(test, tool=query.tool.removesuffix("*"))
    for side, number in (("caller", query.caller), ("callee", query.callee)):
        if number is not None:
            names = (f"{side}AccessE164", f"{side}E164") if is_call else (f"{side}AccessE164",)
            test = "starts_with({}, ${})" if number.endswith("*") else "{} = ${}"
            tests = " OR ".join(test.format(quoted(name), side) for name in names)
            need(f"({tests})", **{side: number.removesuffix("*")})
    if query.source is not None:
        clause, values = _in_network(query.source)
        need(clause, **values)
    if below is not None:
        need(
            f"(recorded_at < make_timestamp($below_us) OR (recorded_at = make_timestamp($below_us) "
            f"AND ({_FLOW} < $below_flow OR ({_FLOW} = $below_flow AND journal_id < $below_journal))))",
            below_us=below.time_us,
            below_flow=below.flow_no,
            below_journal=below.journal_id,
        )
    return " AND ".join(clauses) or "TRUE", bound


def _in_network(network: Network) -> tuple[str, Parameters]:
    """A test of the text in `callerip`: records hold addresses as RFC 5952 and dotted decimal text."""
    if network.prefixlen == network.max_prefixlen:
        return "callerip = $source", {"source": str(network.network_address)}
    if isinstance(network, ipaddress.IPv4Network):
        return _in_ipv4(network)
    low, high = (f"{int(end):032x}" for end in (network.network_address, network.broadcast_address))
    # "::" stands for as many zero groups as are missing (RFC 4291 §2.2).
    expanded = (
        "list_aggregate(list_transform(list_concat(list_concat("
        "list_filter(string_split(split_part(callerip, '::', 1), ':'), g -> g <> ''), "
        "list_transform(range(8 - length(list_filter(string_split(callerip, ':'), g -> g <> ''))), "
        "n -> '0')), "
        "list_filter(string_split(split_part(callerip, '::', 2), ':'), g -> g <> '')), "
        "g -> lpad(g, 4, '0')), 'string_agg', '')"
    )
    return (
        f"(contains(callerip, ':') AND {expanded} BETWEEN $source_low AND $source_high)",
        {"source_low": low, "source_high": high},
    )


def _in_ipv4(network: ipaddress.IPv4Network) -> tuple[str, Parameters]:
    """Whole octets are compared as a prefix of the text, the octet that the mask cuts as a number."""
    whole, cut = divmod(network.prefixlen, 8)
    low = network.network_address.packed
    high = network.broadcast_address.packed
    bound: Parameters = {"source_prefix": "".join(f"{octet}." for octet in low[:whole])}
    clause = "(NOT contains(callerip, ':') AND starts_with(callerip, $source_prefix)"
    if cut:
        octet = f"TRY_CAST(split_part(callerip, '.', {whole + 1}) AS USMALLINT)"
        clause += f" AND {octet} BETWEEN $source_low AND $source_high"
        bound |= {"source_low": low[whole], "source_high": high[whole]}
    else:
        clause += " AND callerip <> ''"
    return clause + ")", bound
