# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, field by field: one table for options, columns, forms and the API.

Each field has one name everywhere: an option of `gateway` and `route`, a column of their CSV, an input of a
form, a key of the API.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, TypeVar

from ringfence.errors import ConfigError
from ringfence.settings.calls_model import (
    Asserted,
    CalleeFrom,
    CallerFrom,
    Choice,
    GatewayCalls,
    GroupRule,
    PrefixMode,
    Privacy,
    RouteCalls,
    RoutePolicy,
    Transport,
)
from ringfence.settings.spelling import did_you_mean
from ringfence.settings.typed import whole_number, yes_or_no
from ringfence.text import sentence

Calls = TypeVar("Calls", GatewayCalls, RouteCalls)

FieldValue = str | int | bool | tuple[str, ...] | None
"""A field as it is shown: an Enum by its word, a Decimal by its digits."""


@dataclass(frozen=True, slots=True)
class CallField:
    """One field.

    Shape: `path` leads to it through `GatewayCalls` or `RouteCalls`. `kind` is what it holds: tuple (texts),
    int, bool, str (a text or nothing), Decimal, or an Enum. `help` says in one sentence what it means.
    """

    name: str
    path: str
    kind: type
    help: str


def _numbers(whose: str) -> tuple[CallField, ...]:
    return (
        CallField(f"{whose}_allow", f"{whose}.allow", tuple, f"Prefixes that a {whose} may have."),
        CallField(f"{whose}_deny", f"{whose}.deny", tuple, f"Prefixes that a {whose} may not have."),
        CallField(f"{whose}_length", f"{whose}.lengths", tuple, f"Lengths of a {whose}: 11 or 7-15."),
        CallField(f"{whose}_rule", f"{whose}.dial", tuple, f"Dial rules for the {whose}: PATTERN:TARGET."),
    )


_IDENTITY: Final = (
    CallField("privacy", "identity.privacy", Privacy, "What becomes of Privacy."),
    CallField("pai", "identity.pai", Asserted, "What becomes of P-Asserted-Identity."),
    CallField("ppi", "identity.ppi", Asserted, "What becomes of P-Preferred-Identity."),
    CallField("rpid", "identity.rpid", bool, "Pass Remote-Party-ID on."),
    CallField("display", "identity.display", bool, "Pass the display name on."),
)

_DIALOG: Final = (
    CallField("session_timer", "session_timer", bool, "Use session timers (RFC 4028)."),
    CallField("100rel", "rel100", bool, "Use reliable provisional responses (RFC 3262)."),
    CallField("local_address", "local_address", str, "Address of ours to speak from."),
)

_WINDOW: Final = CallField(
    "window", "windows", tuple, "Times of the week: mon-fri/08:00-18:00, /Europe/Madrid behind it if not UTC."
)

GATEWAY_FIELDS: Final = (
    CallField("locked", "locked", bool, "Know it, and refuse its calls."),
    CallField("lines", "lines", int, "Calls at once; 0 = no limit."),
    _WINDOW,
    *_numbers("caller"),
    *_numbers("callee"),
    CallField("groups", "groups", tuple, "Groups of routing gateways that it may use, or may not."),
    CallField("group_rule", "group_rule", GroupRule, "Whether it may use those groups only, or not at all."),
    CallField("first_policy", "first_policy", RoutePolicy, "What routing gateways are sorted by first."),
    CallField("second_policy", "second_policy", RoutePolicy, "What they are sorted by then."),
    CallField("caller_from", "caller_from", CallerFrom, "Where the caller's number is taken from."),
    CallField("callee_from", "callee_from", CalleeFrom, "Where the number called is taken from."),
    *_IDENTITY,
    CallField(
        "failure_codes", "failure_codes", tuple, "ORIGINAL:TARGET; original 0 = others, target 0 = same."
    ),
    *_DIALOG,
    CallField(
        "in_dialog_from_anywhere",
        "in_dialog_from_anywhere",
        bool,
        "Take requests inside its calls from other addresses.",
    ),
)
"""The fields of `GatewayCalls`."""

ROUTE_FIELDS: Final = (
    CallField("locked", "locked", bool, "Keep it, and send it no calls."),
    CallField("transport", "transport", Transport, "How it is spoken to."),
    CallField("prefixes", "prefixes", tuple, "Prefixes that it serves; none = all numbers."),
    CallField("prefix_mode", "prefix_mode", PrefixMode, "Whether gateways of shorter prefixes follow."),
    CallField("priority", "priority", int, "Small comes first."),
    CallField("group", "group", str, "The group that it is in."),
    CallField("lines", "lines", int, "Calls at once; 0 = no limit."),
    CallField("calls_per_second", "calls_per_second", int, "New calls a second; 0 = no limit."),
    _WINDOW,
    CallField("cost_per_minute", "cost_per_minute", Decimal, "What a minute costs, for least-cost routing."),
    *_numbers("caller"),
    *_numbers("callee"),
    CallField("timeout_invite", "timeouts.invite_s", int, "Seconds without any answer; 0 = the system's."),
    CallField("timeout_trying", "timeouts.trying_s", int, "Seconds after 100."),
    CallField("timeout_progress", "timeouts.progress_s", int, "Seconds after 183 without SDP."),
    CallField("timeout_progress_sdp", "timeouts.progress_sdp_s", int, "Seconds after 183 with SDP."),
    CallField("timeout_ringing", "timeouts.ringing_s", int, "Seconds after 180."),
    CallField("after_ring", "failover.after_ring", Choice, "Whether calls go on after it rang."),
    CallField("after_sdp", "failover.after_sdp", Choice, "Whether calls go on after its SDP."),
    CallField("after_rtp", "failover.after_rtp", Choice, "Whether calls go on after its sound."),
    CallField("after_busy", "failover.after_busy", bool, "Let calls go on after busy (486, 600)."),
    CallField(
        "follow_redirects", "failover.follow_redirects", bool, "Follow its redirections (3xx) to gateways."
    ),
    CallField("failover_codes", "failover.codes", tuple, "Answers after which calls go on: 503 or 500-599."),
    *_IDENTITY,
    CallField("register", "registering.register", bool, "Register with it, if it gave us a user."),
    CallField(
        "register_required", "registering.required", bool, "Send it no calls while we are not registered."
    ),
    CallField("registrar", "registering.registrar", str, "Where we register, if not at its address."),
    CallField("contact_user", "registering.contact_user", str, "User in our Contact, if another one."),
    CallField("auth_user", "registering.auth_user", str, "User in our credentials, if another one."),
    CallField("register_retry_s", "registering.retry_s", int, "Seconds after a failure; 0 = the system's."),
    CallField("options", "options", bool, "Ask it by OPTIONS whether it is there."),
    CallField("options_period_s", "options_period_s", int, "Seconds between two OPTIONS."),
    *_DIALOG,
)
"""The fields of `RouteCalls`."""


def with_values(calls: Calls, fields: Iterable[CallField], values: Mapping[str, object]) -> Calls:
    """The calls with other values in the fields that are named; each as its field's kind holds it."""
    for field in fields:
        if field.name in values:
            calls = _put(calls, field.path, values[field.name])
    return calls


def with_cells(calls: Calls, fields: Iterable[CallField], cells: Mapping[str, str]) -> Calls:
    """The calls with the columns of a row of CSV, or the inputs of a form.

    Raises: ConfigError("bad_value").
    """
    known = tuple(fields)
    values = {field.name: read(field, cells[field.name]) for field in known if field.name in cells}
    return with_values(calls, known, values)


def shown(calls: GatewayCalls | RouteCalls, fields: Iterable[CallField]) -> dict[str, FieldValue]:
    """The calls as one flat object, field by field."""
    return {field.name: _value(functools.reduce(getattr, field.path.split("."), calls)) for field in fields}


def read(field: CallField, text: str) -> object:
    """What somebody typed for a field, as it holds it.

    Raises: ConfigError("bad_value").
    """
    if field.kind is tuple:
        return tuple(text.split())
    if field.kind is int:
        return whole_number(text, field.name)
    if field.kind is bool:
        return yes_or_no(text, field.name)
    if field.kind is Decimal:
        return _decimal(text, field.name)
    if issubclass(field.kind, Enum):
        return _choice(field.name, field.kind, text)
    return text or None


def _choice(name: str, kind: type[Enum], text: str) -> Enum:
    choices = [choice.value for choice in kind]
    if text.lower() not in choices:
        raise ConfigError(
            sentence("{name} cannot be {text!r}", name=name, text=text),
            hint=did_you_mean(text, choices) or sentence("one of {known}", known=", ".join(choices)),
            code="bad_value",
        )
    return kind(text.lower())


def _decimal(text: str, name: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ConfigError(
            sentence("{name} has to be a number, not {text!r}", name=name, text=text),
            hint="write 0.0125",
            code="bad_value",
        ) from None


def _put(record: Any, path: str, value: object) -> Any:
    """A copy of a record with another value at the end of a path."""
    head, _, rest = path.partition(".")
    return replace(record, **{head: _put(getattr(record, head), rest, value) if rest else value})


def _value(found: object) -> FieldValue:
    if isinstance(found, Enum):
        return str(found.value)
    if isinstance(found, Decimal):
        return f"{found:f}"
    if found is None or isinstance(found, bool | int | str):
        return found
    return tuple(map(str, found)) if isinstance(found, tuple) else str(found)
