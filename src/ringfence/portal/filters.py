# SPDX-License-Identifier: Apache-2.0
"""What is asked of the records, as an address says it: pages, API and saved views share this.

`?kind=illegal&range=24h&source=198.51.100.0/24` is read into a `Filter` and written back; what is written
reads as the same. A condition more is a line in `_CONDITIONS`.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError
from ringfence.ledger.query import CdrQuery, Cursor, Network, parse_country, parse_dialled, parse_source
from ringfence.ledger.reasons import BILLING_MODE_TEXT, REASON_BY_NAME, BillingMode
from ringfence.ledger.schema import KINDS
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

RANGES: Final[dict[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
"""Spans of time that end now."""

LONGEST: Final = 128
"""Characters of a value."""

_MOST_PAIRS: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_WHOLE: Final = re.compile(r"-?[0-9]{1,10}")
_MOST_GATEWAYS: Final = 2**32 - 1
_LONGEST_CALL_S: Final = 2**31 - 1
_UNNAMED_REASON: Final = re.compile(r"reason_[0-9]{1,3}")
"""How the ledger calls a reason that a newer switch wrote and this program does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What an address asks for.

    Shape: `range` is one of `RANGES` if the time is relative; `query.since_us` is then worked out for the
    moment of reading. `below` is where a page goes on.
    """

    query: CdrQuery = field(default_factory=CdrQuery)
    range: str | None = None
    below: Cursor | None = None

    def first_page(self) -> "Filter":
        """The same conditions from the newest record on: what a link or a saved view keeps."""
        return replace(self, below=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """A condition: its name in addresses, its field of `CdrQuery`, how it is read and written.

    Shape: `read` raises ConfigError; `shown` gives one text for each time the name stands in the address,
    none if the condition is not set.
    """

    name: str
    field: str
    read: Callable[[str], object]
    shown: Callable[[Any], list[str]]


def parse(
    pairs: Iterable[tuple[str, str]], *, now_us: int, also: Collection[str] = ("columns", "limit")
) -> Filter:
    """Read the names and values of an address.

    Shape: empty values are as good as none. `also` are names that mean something to the caller; they are
    passed over. `kind` may stand several times, every other name once.
    Units: `now_us` is UTC in microseconds; `range` ends there.
    Raises: ConfigError("bad_value") in words for the person who typed it.
    """
    kinds: set[str] = set()
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in also or not value:
            continue
        if name not in NAMES:
            raise _wrong(sentence("there is no filter {given}", given=_short(name)), _hint(name, NAMES))
        _check_text(name, value)
        if name == "kind":
            kinds.add(_kind(value))
        elif name in given:
            raise _wrong(
                sentence("{name} is given twice", name=name), sentence("give {name} once", name=name)
            )
        else:
            given[name] = value
    fields: dict[str, Any] = {
        condition.field: condition.read(given[condition.name])
        for condition in _CONDITIONS
        if condition.name in given
    }
    below, relative = given.get("below"), given.get("range")
    if relative is not None:
        if "since" in given or "until" in given:
            raise _wrong("range and since or until are given together", "give range, or since and until")
        fields["since_us"] = now_us - _range(relative) // timedelta(microseconds=1)
    query = CdrQuery(kinds=frozenset(kinds), **fields)
    _check_order(query)
    return Filter(query=query, range=relative, below=None if below is None else Cursor.parse(below))


def parse_address(text: str, *, now_us: int, also: Collection[str] = ("columns", "limit")) -> Filter:
    """Read the part of an address behind the question mark, percent-encoded, as saved views keep it.

    Raises: ConfigError("bad_value"), as `parse`.
    """
    return parse(read_pairs(text), now_us=now_us, also=also)


def read_pairs(text: str) -> list[tuple[str, str]]:
    """The names and values of the part of an address behind the question mark.

    Raises: ConfigError("bad_value") if there are too many.
    """
    try:
        return parse_qsl(text.removeprefix("?"), keep_blank_values=True, max_num_fields=_MOST_PAIRS)
    except ValueError as error:
        raise _wrong(
            "the address has too many parts", sentence("at most {count}", count=_MOST_PAIRS)
        ) from error


def pairs_of(asked: Filter) -> list[tuple[str, str]]:
    """The names and values that `parse` reads as the same filter, in a fixed order.

    Shape: of a relative range only `range` is written, so that it stays relative.
    Raises: ConfigError("bad_value") for a query that no address can say: empty or over-long texts, unknown
    kinds, reasons and billing modes, times outside 1970 to 9999.
    """
    pairs = [("kind", kind) for kind in sorted(asked.query.kinds)]
    for condition in _CONDITIONS:
        value = getattr(asked.query, condition.field)
        if asked.range is not None and condition.field == "since_us":
            pairs.append(("range", asked.range))
        elif value is not None:
            pairs += [(condition.name, text) for text in condition.shown(value)]
    if asked.below is not None:
        pairs.append(("below", str(asked.below)))
    # Whatever reads as something else has to be found here, and not by whoever follows the link.
    found = parse(pairs, now_us=_END_US).query
    if asked.range is not None:
        found = replace(found, since_us=asked.query.since_us)
    if found != asked.query:
        raise _wrong("no address can say this", "leave empty conditions out")
    return pairs


def address(asked: Filter) -> str:
    """The filter as the part of an address behind the question mark; empty without conditions.

    >>> address(Filter(query=CdrQuery(kinds=frozenset({"illegal"}), caller="+49*"), range=None))
    'kind=illegal&caller=%2B49%2A'
    """
    return urlencode(pairs_of(asked))


def _kind(text: str) -> str:
    if text not in KINDS:
        raise _wrong(sentence("there is no kind of record {given}", given=_short(text)), _hint(text, KINDS))
    return text


def _billing_mode(text: str) -> int:
    try:
        return BillingMode(int(text)).value if _WHOLE.fullmatch(text) else BillingMode[text.upper()].value
    except (ValueError, KeyError) as error:
        modes = {
            f"mode{index}": sentence("{mode} ({who})", mode=mode.value, who=sentence(who))
            for index, (mode, who) in enumerate(BILLING_MODE_TEXT.items())
        }
        known = sentence(", ".join(f"{{{name}}}" for name in modes), **modes)
        raise _wrong(
            sentence("there is no billing mode {given}", given=_short(text)),
            sentence("one of {known}", known=known),
        ) from error


def _moment_us(text: str) -> int:
    # A plus that was not encoded arrives as a blank: "T08:00:00+01:00" as "T08:00:00 01:00".
    repaired = text.replace(" ", "+") if "T" in text else text
    try:
        moment = datetime.fromisoformat(repaired)
    except ValueError as error:
        raise _wrong(
            sentence("{given} is no time", given=_short(text)),
            "for example 2026-11-22T08:00:00Z, or range=24h",
        ) from error
    at_us = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
    return _in_calendar(at_us)


def _in_calendar(at_us: int) -> int:
    if not 0 <= at_us <= _END_US:
        raise _wrong("the time lies outside the years 1970 to 9999", "for example 2026-11-22T08:00:00Z")
    return at_us


def _source_text(network: Network) -> str:
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def _source(text: str) -> Network:
    if "%" in text:
        # A zone (RFC 4007) means something on one machine only, and records hold none.
        raise _wrong(
            sentence("{given} names a network interface", given=_short(text)), "leave out % and what follows"
        )
    return parse_source(text)


def _reason(text: str) -> str:
    if text not in REASON_BY_NAME and not _UNNAMED_REASON.fullmatch(text):
        raise _wrong(sentence("there is no reason {given}", given=_short(text)), _hint(text, REASON_BY_NAME))
    return text


def _seconds(text: str) -> int:
    if not _WHOLE.fullmatch(text) or not 0 <= int(text) <= _LONGEST_CALL_S:
        raise _wrong(
            sentence("{given} is no number of seconds", given=_short(text)), "a whole number such as 30"
        )
    return int(text)


def _gateway_id(text: str) -> int:
    if not _WHOLE.fullmatch(text) or not 0 <= int(text) <= _MOST_GATEWAYS:
        raise _wrong(
            sentence("{given} is no number of a gateway", given=_short(text)),
            "`ringfence gateway list` shows them",
        )
    return int(text)


def _range(text: str) -> timedelta:
    if text not in RANGES:
        raise _wrong(
            sentence("there is no range {given}", given=_short(text)),
            sentence("one of {ranges}; or give since and until", ranges=", ".join(RANGES)),
        )
    return RANGES[text]


def _flag(text: str) -> bool:
    if text not in {"1", "0"}:
        raise _wrong(sentence("{given} is neither 1 nor 0", given=_short(text)), "1 means yes, 0 means no")
    return text == "1"


def _text(value: object) -> list[str]:
    return [str(value)]


_CONDITIONS: Final = (
    _Condition(
        name="billing_mode", field="billing_mode", read=_billing_mode, shown=lambda mode: [str(int(mode))]
    ),
    _Condition(name="since", field="since_us", read=_moment_us, shown=lambda us: [iso_utc(_in_calendar(us))]),
    _Condition(name="until", field="until_us", read=_moment_us, shown=lambda us: [iso_utc(_in_calendar(us))]),
    _Condition(name="source", field="source", read=_source, shown=lambda network: [_source_text(network)]),
    _Condition(name="caller", field="caller", read=str, shown=_text),
    _Condition(name="callee", field="callee", read=str, shown=_text),
    _Condition(name="account", field="account", read=str, shown=_text),
    _Condition(name="reason", field="reason", read=_reason, shown=_text),
    _Condition(name="min_duration", field="min_duration_s", read=_seconds, shown=_text),
    _Condition(name="max_duration", field="max_duration_s", read=_seconds, shown=_text),
    _Condition(name="dialled", field="dialled", read=parse_dialled, shown=_text),
    _Condition(name="country", field="country", read=parse_country, shown=_text),
    _Condition(name="dialled_country", field="dialled_country", read=parse_country, shown=_text),
    _Condition(name="tool", field="tool", read=str, shown=_text),
    _Condition(name="method", field="method", read=str, shown=_text),
    _Condition(name="call_id", field="call_id", read=str, shown=_text),
    _Condition(name="gateway", field="gateway", read=str, shown=_text),
    _Condition(name="gateway_id", field="gateway_id", read=_gateway_id, shown=_text),
    _Condition(name="pending", field="pending", read=_flag, shown=lambda is_set: ["1"] if is_set else []),
)

NAMES: Final = ("kind", *(condition.name for condition in _CONDITIONS), "range", "below")
"""Every name that an address may use."""


def _check_text(name: str, value: str) -> None:
    if len(value) > LONGEST:
        raise _wrong(
            sentence("{name} is longer than {longest} characters", name=name, longest=LONGEST),
            "give its beginning and * behind it",
        )
    # Anything else a stranger may have sent, NUL included, and its record is a link of this kind.
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise _wrong(
            sentence("{name} holds a character that no text has", name=name), "remove what is no UTF-8"
        )


def _check_order(query: CdrQuery) -> None:
    if query.since_us is not None and query.until_us is not None and query.since_us > query.until_us:
        raise _wrong("since is later than until", "exchange the two")


def _short(text: str) -> str:
    return repr(text[:40])


def _hint(word: str, known: Collection[str]) -> str:
    return did_you_mean(word[:40], known) or sentence("one of {known}", known=", ".join(known))


def _wrong(message: str, hint: str) -> ConfigError:
    return ConfigError(message, hint=hint, code="bad_value")
