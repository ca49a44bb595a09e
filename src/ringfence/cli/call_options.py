# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, on the command line: one table of fields for options, columns and output.

Each field is an option of `add` and `set`, a column of `import`, and a line of `show`, under one name.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, TypeVar

import click

from ringfence.cli.output import Value
from ringfence.cli.tables import whole_number, yes_or_no
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

Calls = TypeVar("Calls", GatewayCalls, RouteCalls)


@dataclass(frozen=True, slots=True)
class CallField:
    """One field.

    Shape: `path` leads to it through `GatewayCalls` or `RouteCalls`. `kind` is what it holds: tuple (texts),
    int, bool, str (a text or nothing), Decimal, or an Enum.
    """

    name: str
    path: str
    kind: type
    help: str

    @property
    def option(self) -> str:
        """The name of its option."""
        return f"--{self.name.replace('_', '-')}"


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
    CallField("groups", "groups", tuple, "Groups of routing gateways that --group-rule is about."),
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


def call_options(fields: Iterable[CallField]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field; it gets them all as the mapping `given`, None = not given."""
    known = tuple(fields)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*args: object, **kwargs: object) -> None:
            given = {field.name: kwargs.pop(f"field_{field.name}") for field in known}
            function(*args, given=given, **kwargs)

        optioned: Callable[..., None] = command
        for field in reversed(known):
            optioned = _option(field)(optioned)
        return optioned

    return decorate


def _option(field: CallField) -> Callable[[Callable[..., None]], Callable[..., None]]:
    parameter = f"field_{field.name}"
    if field.kind is tuple:
        text = f'{field.help} Several by blanks or repeated; "" = none.'
        return click.option(field.option, parameter, multiple=True, help=text)
    if field.kind is bool:
        off = "--unlocked" if field.name == "locked" else f"--no-{field.option[2:]}"
        return click.option(f"{field.option}/{off}", parameter, default=None, help=field.help)
    if issubclass(field.kind, Enum):
        choices = click.Choice([choice.value for choice in field.kind])
        return click.option(field.option, parameter, type=choices, help=field.help)
    if field.kind is int:
        return click.option(field.option, parameter, type=int, help=field.help)
    return click.option(field.option, parameter, help=field.help)


def with_given(calls: Calls, fields: Iterable[CallField], given: Mapping[str, object]) -> Calls:
    """The calls with the options that were given.

    Raises: ConfigError("bad_value").
    """
    for field in fields:
        value = given[field.name]
        if value is None or value == ():
            continue
        calls = _put(calls, field.path, _read(field, value))
    return calls


def with_cells(calls: Calls, fields: Iterable[CallField], cells: Mapping[str, str]) -> Calls:
    """The calls with the columns of a row of CSV.

    Raises: ConfigError("bad_value").
    """
    for field in fields:
        cell = cells.get(field.name)
        if cell is not None:
            calls = _put(calls, field.path, _read_cell(field, cell))
    return calls


def shown(calls: GatewayCalls | RouteCalls, fields: Iterable[CallField]) -> dict[str, Value]:
    """The calls as one flat object, field by field."""
    return {field.name: _value(functools.reduce(getattr, field.path.split("."), calls)) for field in fields}


def _put(record: Any, path: str, value: object) -> Any:
    """A copy of a record with another value at the end of a path."""
    head, _, rest = path.partition(".")
    return replace(record, **{head: _put(getattr(record, head), rest, value) if rest else value})


def _read(field: CallField, value: Any) -> object:
    """What click gave for an option, as the field holds it."""
    if field.kind is tuple:
        return tuple(word for text in value for word in str(text).split())
    if field.kind is Decimal:
        return _decimal(str(value), field.name)
    if field.kind is str:
        return str(value) or None
    return field.kind(value) if issubclass(field.kind, Enum) else value


def _read_cell(field: CallField, cell: str) -> object:
    if field.kind is int:
        return whole_number(cell, field.name)
    if field.kind is bool:
        return yes_or_no(cell, field.name)
    if issubclass(field.kind, Enum):
        choices = [choice.value for choice in field.kind]
        if cell.lower() not in choices:
            raise ConfigError(
                f"{field.name} cannot be {cell!r}",
                hint=did_you_mean(cell, choices) or f"allowed: {', '.join(choices)}",
                code="bad_value",
            )
        return field.kind(cell.lower())
    return _read(field, [cell] if field.kind is tuple else cell)


def _decimal(text: str, name: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ConfigError(
            f"{name} has to be a number, not {text!r}", hint="write 0.0125", code="bad_value"
        ) from None


def _value(found: object) -> Value:
    if isinstance(found, Enum):
        return str(found.value)
    if isinstance(found, Decimal):
        return f"{found:f}"
    if found is None or isinstance(found, bool | int | str):
        return found
    return tuple(map(str, found)) if isinstance(found, tuple) else str(found)
