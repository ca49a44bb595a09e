# SPDX-License-Identifier: Apache-2.0
"""The filters of a page as chips: what each says in the person's words, and the address without it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.datastructures import QueryParams

from ringfence.ledger.reasons import BILLING_MODE_TEXT, REASON_BY_NAME, BillingMode
from ringfence.ledger.schema import KINDS
from ringfence.portal.site import Visit, link

RANGES: Final = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
"""What spans of time are called."""

FLAGS: Final = {"0": "no", "1": "yes"}
"""What switches are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One filter: `name` and `value` as this person reads them, `address` the page without it."""

    name: str
    value: str
    address: str


def chips(visit: Visit, path: str, asked: QueryParams, *, besides: Collection[str]) -> list[Chip]:
    """A chip for all that was asked for besides some names."""
    pairs = asked.multi_items()
    return [
        Chip(
            name=visit.say(name).replace("_", " "),
            value=_value(visit, name, value),
            address=link(path, QueryParams([*pairs[:index], *pairs[index + 1 :]])),
        )
        for index, (name, value) in enumerate(pairs)
        if name not in besides
    ]


def _value(visit: Visit, name: str, value: str) -> str:
    """What a filter asks for, in words; what is no value of it stays as it was typed."""
    words = _WORDS.get(name)
    return value if words is None else words(visit, value)


def _reason(visit: Visit, value: str) -> str:
    reason = REASON_BY_NAME.get(value)
    return value if reason is None else visit.say(reason.title)


def _billing_mode(visit: Visit, value: str) -> str:
    for mode in BillingMode:
        if value.casefold() in (str(mode.value), mode.name.casefold()):
            return f"{mode.value}: {visit.say(BILLING_MODE_TEXT[mode])}"
    return value


def _moment(visit: Visit, value: str) -> str:
    try:
        return f"{visit.local(datetime.fromisoformat(value)):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return value


def _seconds(visit: Visit, value: str) -> str:
    is_whole = value.isascii() and value.isdigit()
    return f"{visit.number(int(value))} s" if is_whole else value


def _gateway(visit: Visit, value: str) -> str:
    for gateway in visit.site.office.settings.gateways.all():
        if str(gateway.id) == value:
            return f"{value}: {gateway.name}"
    return value


_WORDS: Final[Mapping[str, Callable[[Visit, str], str]]] = {
    "kind": lambda visit, value: visit.say(value) if value in KINDS else value,
    "reason": _reason,
    "billing_mode": _billing_mode,
    "gateway_id": _gateway,
    "range": lambda visit, value: visit.say(RANGES.get(value, value)),
    "since": _moment,
    "until": _moment,
    "min_duration": _seconds,
    "max_duration": _seconds,
    "pending": lambda visit, value: visit.say(FLAGS.get(value, value)),
}
"""How the values of each filter are said; all others are names and numbers of their own."""
