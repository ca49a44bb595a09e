# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, checked and brought to its one normal form; see `calls_model`."""

import re
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from decimal import Decimal
from ipaddress import ip_address
from typing import Final

from ringfence.errors import ConfigError
from ringfence.settings import checks
from ringfence.settings.call_rules import CodeRange, DialRule, FailureCodes, Lengths, TimeWindow
from ringfence.settings.calls_model import (
    GatewayCalls,
    NumberRules,
    RegisterRules,
    Registration,
    RouteCalls,
    RoutePolicy,
    RouteTimeouts,
)
from ringfence.settings.spelling import did_you_mean
from ringfence.text import Sentence, sentence

LONGEST_RULE_LIST: Final = 1000
LONGEST_PREFIX_LIST: Final = 100_000

_PREFIX: Final = re.compile(r"[0-9A-Za-z+#*]{1,32}", re.ASCII)
_LABEL: Final = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_USERNAME: Final = re.compile(r"[0-9A-Za-z+*._-]{1,64}", re.ASCII)
_REGISTER_USER: Final = re.compile(r"[0-9A-Za-z+*._-]{1,64}(@[0-9A-Za-z.-]{1,128})?", re.ASCII)

_MOST_CALLS: Final = 1_000_000
_LONGEST_TIMEOUT_S: Final = 600
_HIGHEST_COST: Final = Decimal(10_000)


def _bad(message: str, hint: str | None = None) -> ConfigError:
    return ConfigError(message, hint=hint, code="bad_value")


def route_prefix(text: str) -> str:
    """The beginning of numbers: digits, letters, +, # and *.

    Raises: ConfigError("bad_value").
    """
    stripped = text.strip()
    if not _PREFIX.fullmatch(stripped):
        raise _bad(
            sentence("{text!r} is not a number prefix", text=text), "write 1 to 32 of: digits, letters, + # *"
        )
    return stripped


def route_address(text: str) -> str:
    """The normal form of where a vendor is: an IP address or a host name, with a port if one is meant.

    Without a port a host name is looked up with its SRV records (RFC 3263).

    >>> route_address("[2001:DB8::1]:5080"), route_address("SIP.Example.com")
    ('[2001:db8::1]:5080', 'sip.example.com')

    Raises: ConfigError("bad_value").
    """
    stripped = text.strip()
    hint = sentence("write 192.0.2.1, 192.0.2.1:5080, [2001:db8::1]:5080 or sip.example.com")
    host, colon, port = stripped.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = stripped, ""
    if colon and port and (not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535):
        raise _bad(sentence("{text!r} has a port that is not 1 to 65535", text=text), hint)
    if colon and not port and stripped.endswith(":"):
        raise _bad(sentence("{text!r} is not an address", text=text), hint)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    normal = _ip_text(bare, is_bracketed=bool(port)) or _host_name(host)
    if normal is None:
        raise _bad(sentence("{text!r} is not an address", text=text), hint)
    return f"{normal}:{int(port)}" if port else normal


def _ip_text(text: str, *, is_bracketed: bool) -> str | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if found.is_unspecified or found.is_multicast or "%" in text:
        return None
    return f"[{found}]" if found.version == 6 and is_bracketed else str(found)


def _host_name(text: str) -> str | None:
    labels = text.removesuffix(".").split(".")
    is_name = len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    # A last label of digits would make it a broken IPv4 address.
    return ".".join(labels).lower() if is_name and not labels[-1].isdigit() else None


def local_address(text: str | None) -> str | None:
    """The normal form of an address of ours; an empty text is none.

    Raises: ConfigError("bad_value").
    """
    if text is None or not text.strip():
        return None
    normal = _ip_text(text.strip(), is_bracketed=False)
    if normal is None:
        raise _bad(
            sentence("{text!r} is not an IP address of this machine", text=text),
            "write one that SIP is listened on",
        )
    return normal


def username(text: str) -> str:
    """The user name that a gateway registers with here, which a SIP URI and a digest can carry as it is.

    Raises: ConfigError("bad_value").
    """
    if not _USERNAME.fullmatch(text):
        raise _bad(
            sentence("{text!r} cannot be a user name", text=text),
            "write 1 to 64 of: digits, letters, + * . _ -",
        )
    return text


def register_user(text: str) -> str:
    """The user that a vendor knows us as; with "@domain" behind it where the vendor wants that.

    Raises: ConfigError("bad_value").
    """
    if not _REGISTER_USER.fullmatch(text):
        raise _bad(
            sentence("{text!r} cannot be a user that registers", text=text),
            "write 1 to 64 of: digits, letters, + * . _ -, and @domain behind them if the vendor wants it",
        )
    return text


def secret(text: str) -> str:
    """A secret that a vendor gave us.

    Raises: ConfigError("bad_value"), without the secret in it.
    """
    if not 1 <= len(text) <= 128 or not text.isprintable():
        raise _bad("the secret has to be 1 to 128 printable characters")
    return text


def group_name(text: str) -> str:
    """The name of a group of routing gateways.

    Raises: ConfigError("bad_value").
    """
    if not 1 <= len(text) <= 64 or not text.isprintable() or " " in text or "," in text:
        raise _bad(
            sentence("{text!r} cannot be a group's name", text=text),
            "write 1 to 64 printable characters, no blanks or commas",
        )
    checks.require_page(text)
    return text


def require_groups(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a group that does not exist.

    Raises: ConfigError("bad_value") with the nearest spelling.
    """
    existing = set(known)
    for name in names:
        if name not in existing:
            raise _bad(
                sentence("there is no group {name!r}", name=name),
                did_you_mean(name, existing) or sentence("`ringfence group add {name}` makes it", name=name),
            )


def gateway_calls(calls: GatewayCalls) -> GatewayCalls:
    """The normal form of what a mapping gateway may do; whether its groups exist is not looked at.

    Raises: ConfigError("bad_value" or "out_of_range").
    """
    if calls.second_policy is not RoutePolicy.NONE and calls.second_policy is calls.first_policy:
        raise _bad(
            sentence(
                "the first and the second route policy are both {policy}", policy=calls.first_policy.value
            ),
            "name two different ones, or none as the second",
        )
    if calls.second_policy is not RoutePolicy.NONE and calls.first_policy is RoutePolicy.NONE:
        raise _bad("there is a second route policy and no first one", "name it as the first")
    return replace(
        calls,
        lines=checks.limit(sentence("lines"), calls.lines, 0, _MOST_CALLS),
        windows=_each(sentence("windows"), calls.windows, _window),
        caller=_number_rules(sentence("caller"), calls.caller),
        callee=_number_rules(sentence("callee"), calls.callee),
        groups=_each(sentence("groups"), calls.groups, group_name),
        failure_codes=FailureCodes.parse(_each(sentence("failure codes"), calls.failure_codes, str)).texts(),
        local_address=local_address(calls.local_address),
    )


def route_calls(calls: RouteCalls) -> RouteCalls:
    """The normal form of what a routing gateway may be sent; whether its group exists is not looked at.

    Raises: ConfigError("bad_value" or "out_of_range").
    """
    for each in fields(RouteTimeouts):
        name = sentence("the time-out {state}", state=each.name.removesuffix("_s").replace("_", " "))
        checks.limit(name, getattr(calls.timeouts, each.name), 0, _LONGEST_TIMEOUT_S)
    return replace(
        calls,
        prefixes=_each(sentence("prefixes"), calls.prefixes, route_prefix, LONGEST_PREFIX_LIST),
        priority=checks.limit(sentence("priority"), calls.priority, 0, 1_000_000),
        group=None if not calls.group else group_name(calls.group),
        lines=checks.limit(sentence("lines"), calls.lines, 0, _MOST_CALLS),
        calls_per_second=checks.limit(sentence("calls per second"), calls.calls_per_second, 0, 100_000),
        windows=_each(sentence("windows"), calls.windows, _window),
        cost_per_minute=_cost(calls.cost_per_minute),
        caller=_number_rules(sentence("caller"), calls.caller),
        callee=_number_rules(sentence("callee"), calls.callee),
        failover=replace(
            calls.failover, codes=_each(sentence("fail-over codes"), calls.failover.codes, _codes)
        ),
        registering=_registering(calls.registering),
        options_period_s=checks.limit(sentence("the period of OPTIONS"), calls.options_period_s, 5, 3600),
        local_address=local_address(calls.local_address),
    )


def registration(found: Registration) -> Registration:
    """The normal form of our registration with a vendor.

    Raises: ConfigError("bad_value" or "out_of_range").
    """
    expires_s = checks.limit(sentence("the expiry of our registration"), found.expires_s, 20, 7200)
    return Registration(user=register_user(found.user), expires_s=expires_s)


def _registering(rules: RegisterRules) -> RegisterRules:
    return replace(
        rules,
        registrar=None if not rules.registrar else route_address(rules.registrar),
        contact_user=None if not rules.contact_user else username(rules.contact_user),
        auth_user=None if not rules.auth_user else register_user(rules.auth_user),
        retry_s=checks.limit(
            sentence("the wait after a failed registration"), rules.retry_s, 0, _LONGEST_TIMEOUT_S
        ),
    )


def _number_rules(whose: Sentence, rules: NumberRules) -> NumberRules:
    return NumberRules(
        allow=_each(sentence("{whose} prefixes allowed", whose=whose), rules.allow, route_prefix),
        deny=_each(sentence("{whose} prefixes denied", whose=whose), rules.deny, route_prefix),
        lengths=_each(
            sentence("{whose} lengths", whose=whose), rules.lengths, lambda text: str(Lengths.parse(text))
        ),
        dial=_dial_rules(whose, rules.dial),
    )


def _dial_rules(whose: Sentence, texts: tuple[str, ...]) -> tuple[str, ...]:
    normal = _each(sentence("{whose} dial rules", whose=whose), texts, lambda text: str(DialRule.parse(text)))
    patterns: set[str] = set()
    for rule in map(DialRule.parse, normal):
        if rule.pattern in patterns:
            raise _bad(
                sentence(
                    "two {whose} dial rules have the pattern {pattern}", whose=whose, pattern=rule.pattern
                ),
                sentence(
                    "write several targets as {pattern}:{target}|...",
                    pattern=rule.pattern,
                    target=rule.targets[0],
                ),
            )
        patterns.add(rule.pattern)
    return normal


def _each(
    what: Sentence, texts: tuple[str, ...], read: Callable[[str], str], most: int = LONGEST_RULE_LIST
) -> tuple[str, ...]:
    """Every text in its normal form, without doubles, in the order given."""
    if len(texts) > most:
        raise _bad(
            sentence("{count} {what} are too many", count=len(texts), what=what),
            sentence("at most {most} are taken", most=most),
        )
    return tuple(dict.fromkeys(read(text) for text in texts))


def _window(text: str) -> str:
    return str(TimeWindow.parse(text))


def _codes(text: str) -> str:
    return str(CodeRange.parse(text))


def _cost(cost: Decimal) -> Decimal:
    exponent = cost.as_tuple().exponent
    if (
        not cost.is_finite()
        or not 0 <= cost <= _HIGHEST_COST
        or not isinstance(exponent, int)
        or exponent < -8
    ):
        raise _bad(
            sentence("the cost per minute cannot be {cost}", cost=cost),
            sentence("write 0 to {highest} with at most 8 decimals", highest=_HIGHEST_COST),
        )
    return cost
