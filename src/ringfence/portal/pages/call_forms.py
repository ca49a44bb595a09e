# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, as forms: which fields stand together, what their choices are called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence.portal.site import Visit
from ringfence.settings.call_fields import (
    GATEWAY_FIELDS,
    ROUTE_FIELDS,
    CallField,
    Calls,
    FieldValue,
    shown,
    with_cells,
)
from ringfence.settings.calls_model import (
    Asserted,
    CalleeFrom,
    CallerFrom,
    Choice,
    GroupRule,
    PrefixMode,
    Privacy,
    RoutePolicy,
    Transport,
)

MOST_TYPED: Final = 2000
"""Prefixes that are shown to be changed one by one; longer lists come as a file."""

_IDENTITY: Final = ("privacy", "pai", "ppi", "rpid", "display")

GATEWAY_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Limits and hours": ("locked", "lines", "window"),
    "Which routing gateways": ("group_rule", "groups", "first_policy", "second_policy"),
    "Caller's number": ("caller_from", "caller_allow", "caller_deny", "caller_length", "caller_rule"),
    "Number called": ("callee_from", "callee_allow", "callee_deny", "callee_length", "callee_rule"),
    "Identity and privacy": _IDENTITY,
    "Inside a call": (
        *("session_timer", "100rel", "in_dialog_from_anywhere"),
        *("local_address", "failure_codes"),
    ),
}
"""The fields of a mapping gateway, as they stand together."""

ROUTE_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Which calls it gets": ("locked", "prefixes", "prefix_mode", "priority", "group", "cost_per_minute"),
    "Limits and hours": ("lines", "calls_per_second", "window"),
    "Caller's number": ("caller_allow", "caller_deny", "caller_length", "caller_rule"),
    "Number called": ("callee_allow", "callee_deny", "callee_length", "callee_rule"),
    "How long it is waited for": (
        *("timeout_invite", "timeout_trying", "timeout_progress"),
        *("timeout_progress_sdp", "timeout_ringing"),
    ),
    "When it fails": (
        *("after_ring", "after_sdp", "after_rtp", "after_busy"),
        *("follow_redirects", "failover_codes"),
    ),
    "Identity and privacy": _IDENTITY,
    "Our registration": (
        *("register", "register_required", "registrar"),
        *("contact_user", "auth_user", "register_retry_s"),
    ),
    "How it is spoken to": (
        *("transport", "local_address", "options", "options_period_s"),
        *("session_timer", "100rel"),
    ),
}
"""The fields of a routing gateway, as they stand together."""

CHOICES: Final[Mapping[Enum, str]] = {
    CallerFrom.FROM: "From",
    CallerFrom.RPID: "Remote-Party-ID",
    CallerFrom.DISPLAY: "the display name of From",
    CallerFrom.PAI: "P-Asserted-Identity",
    CallerFrom.PPI: "P-Preferred-Identity",
    CalleeFrom.TO: "To",
    CalleeFrom.REQUEST: "the address of the request",
    CalleeFrom.DIVERSION: "Diversion",
    Privacy.REMOVE: "remove",
    Privacy.PASS: "pass on",
    Privacy.ID: "say “id”",
    Privacy.NONE: "say “none”",
    Asserted.REMOVE: "remove",
    Asserted.PASS: "pass on",
    Asserted.CALLER: "say the caller's number",
    RoutePolicy.NONE: "nothing",
    RoutePolicy.ASR: "most answered first (ASR)",
    RoutePolicy.COST: "lowest cost first",
    GroupRule.ALLOW: "these only",
    GroupRule.DENY: "all but these",
    PrefixMode.TERMINATE: "terminate: none follows",
    PrefixMode.CONTINUE: "continue: they follow",
    Transport.UDP: "UDP",
    Transport.TCP: "TCP",
    Transport.TLS: "TLS",
    Choice.SYSTEM: "as the parameters say",
    Choice.ON: "yes",
    Choice.OFF: "no",
}
"""What each choice is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One field of a form.

    Shape: `kind` is tick, choice, groups, list, number or text; `value` what is set, or what was typed and
    refused; `said` what is set, in words; `choices` word and text each.
    """

    name: str
    label: str
    kind: str
    value: FieldValue
    said: str
    is_usual: bool
    choices: Sequence[tuple[str, str]] = ()


def sections(
    visit: Visit, calls: Calls, *, groups: Iterable[str] = (), typed: bool = False
) -> list[tuple[str, list[Input]]]:
    """The fields of a gateway, section by section; `typed` = with what the form sent, which was refused."""
    fields, known = fields_of(calls)
    names = {field.name: field for field in fields}
    values, usual = shown(calls, fields), shown(type(calls)(), fields)
    if typed:
        values |= {name: _typed(visit, names[name], values[name]) for name in values}
    return [
        (
            visit.say(title),
            [
                _input(visit, names[name], values[name], values[name] == usual[name], tuple(groups))
                for name in members
            ],
        )
        for title, members in known.items()
    ]


def fields_of(calls: Calls) -> tuple[tuple[CallField, ...], Mapping[str, tuple[str, ...]]]:
    """The fields of a kind of gateway, and how they stand together."""
    is_route = hasattr(calls, "prefixes")
    return (ROUTE_FIELDS, ROUTE_SECTIONS) if is_route else (GATEWAY_FIELDS, GATEWAY_SECTIONS)


def with_form(visit: Visit, calls: Calls) -> Calls:
    """The calls as the form of `sections` says them; what is not in the form stays.

    Raises: ConfigError("bad_value").
    """
    fields, _ = fields_of(calls)
    cells = {field.name: visit.form[field.name].strip() for field in fields if field.name in visit.form}
    cells |= {
        field.name: "yes" if field.name in visit.form else "no" for field in fields if field.kind is bool
    }
    if "groups" in (field.name for field in fields):
        cells["groups"] = " ".join(visit.ticked.get("groups", ()))
    if visit.files.get("prefixes_file", "").strip():
        cells["prefixes"] = visit.files["prefixes_file"]
    return with_cells(calls, fields, cells)


def _typed(visit: Visit, field: CallField, value: FieldValue) -> FieldValue:
    """What the form sent for a field."""
    if field.kind is bool:
        return field.name in visit.form
    if field.name == "groups":
        return tuple(visit.ticked.get("groups", ()))
    text = visit.form.get(field.name)
    if text is None:
        return value
    return tuple(text.split()) if field.kind is tuple else text


def _input(
    visit: Visit, field: CallField, value: FieldValue, is_usual: bool, groups: tuple[str, ...]
) -> Input:
    label = visit.say(field.help).rstrip(".。")
    choices: list[tuple[str, str]] = []
    kind = {bool: "tick", int: "number", tuple: "list"}.get(field.kind, "text")
    if issubclass(field.kind, Enum):
        kind, choices = "choice", [(each.value, visit.say(CHOICES[each])) for each in field.kind]
    elif field.name == "group":
        kind, choices = "choice", [("", visit.say("none")), *((group, group) for group in groups)]
    elif field.name == "groups":
        kind, choices = "groups", [(group, group) for group in groups]
    return Input(
        name=field.name,
        label=label,
        kind=kind,
        value=value,
        said=_said(visit, value, dict(choices) if kind == "choice" else {}),
        is_usual=is_usual,
        choices=choices,
    )


def _said(visit: Visit, value: FieldValue, words: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return visit.say("yes") if value else visit.say("no")
    if isinstance(value, int):
        return visit.number(value)
    if isinstance(value, tuple):
        more = len(value) - MOST_TYPED
        said = " ".join(value[:MOST_TYPED])
        return (
            said if more <= 0 else visit.say("{said} and {count} more", said=said, count=visit.number(more))
        )
    return words.get(value or "", value or "")
