# SPDX-License-Identifier: Apache-2.0
"""Every sentence that the pages may say, collected from templates and code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import extract_from_ast

from ringfence.defence.readings import LEDGER, SWITCH
from ringfence.ledger.reasons import BILLING_MODE_TEXT, END_REASONS, REASONS, SCOPES
from ringfence.ledger.schema import COLUMNS, KINDS
from ringfence.portal import audit_words, filters
from ringfence.portal.exports import JobState
from ringfence.portal.pages import call_forms, calls, chips, records, vendors, watch
from ringfence.settings import call_fields, database
from ringfence.settings.alarms_model import ALARM_KINDS, Level
from ringfence.settings.model import Color, ListName, Role
from ringfence.settings.parameters import PARAMETERS

SOURCE = Path("src/ringfence")
PORTAL = SOURCE / "portal"

# Whose errors a page may show.
_SHOWN = (
    *("control/client.py", "defence/delivery.py", "defence/webhooks.py", "ledger/country_sources.py"),
    *("ledger/exports.py", "ledger/query.py", "ledger/service.py", "ledger/store.py"),
    *("settings/call_*.py", "settings/checks.py", "settings/database.py", "settings/parameters/*.py"),
    *("settings/objects/*.py", "settings/secret_box.py"),
    *("portal/*.py", "portal/pages/*.py"),
)
_ERRORS = {"ConfigError", "StoreError", "NotFoundError", "ControlError", "AccessError", "Outcome"} | {
    # Helpers that make one of a message and a hint.
    *("_bad", "_wrong"),
}


def sentences() -> set[str]:
    """All of them, in English."""
    return _in_templates() | _in_code() | _named() | _in_errors() | _made() | _steps()


def placeholders(sentence: str) -> set[str]:
    """What is filled in, and how it is written."""
    return set(re.findall(r"\{(\w+(?:![rs])?(?::[^}]*)?)\}", sentence))


def unsayable() -> list[str]:
    """Where an error that a page may show is told in a way that no catalogue can know."""
    return [
        f"{path}:{part.lineno}"
        for path, told in _told_by_errors()
        for part in ast.walk(told)
        if isinstance(part, ast.JoinedStr)
    ]


def _in_templates() -> set[str]:
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    found: set[str] = set()
    for path in PORTAL.glob("templates/*.html"):
        for _, _, message in extract_from_ast(environment.parse(path.read_text(encoding="utf-8"))):
            parts = (message,) if isinstance(message, str) else message or ()
            found.update(part for part in parts if isinstance(part, str))
    return found


def _in_code() -> set[str]:
    found = set()
    for path in PORTAL.rglob("*.py"):
        for call in _calls(path):
            first = call.args[0] if call.args else None
            if _name(call) == "say" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    return found


def _in_errors() -> set[str]:
    """Messages and hints that are given as they are."""
    return {text for _, told in _told_by_errors() for text in _constants(told)}


def _told_by_errors() -> Iterator[tuple[Path, ast.expr]]:
    """Each message and each hint, as it stands in the code."""
    for path in (path for pattern in _SHOWN for path in sorted(SOURCE.glob(pattern))):
        for call in _calls(path):
            if _name(call) in _ERRORS:
                told = call.args[:2] + [
                    word.value for word in call.keywords if word.arg in ("hint", "problem")
                ]
                yield from ((path, each) for each in told)


def _constants(told: ast.expr) -> Iterator[str]:
    match told:
        case ast.Constant(value=str() as text):
            yield text
        case ast.BoolOp(values=choices):
            for choice in choices:
                yield from _constants(choice)
        case ast.IfExp(body=body, orelse=other):
            yield from (*_constants(body), *_constants(other))


def _made() -> set[str]:
    """Sentences that are made where they are not said."""
    return {
        call.args[0].value
        for path in sorted(SOURCE.rglob("*.py"))
        for call in _calls(path)
        if _name(call) == "sentence"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def _steps() -> set[str]:
    """What `route explain` says of each rule."""
    return {
        call.args[1].value
        for package in ("policy", "routing")
        for path in sorted((SOURCE / package).glob("*.py"))
        for call in _calls(path)
        if _name(call) in {"passed", "changed", "refused", "verdict"}
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant)
        and isinstance(call.args[1].value, str)
    }


def _calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _named() -> set[str]:
    """What is said by a name in the code that only looks it up."""
    found: set[str] = set()
    found |= {text for reason in REASONS for text in (reason.title, reason.text)}
    found |= {reason.text for reason in END_REASONS}
    found |= set(BILLING_MODE_TEXT.values()) | {scope for scope in SCOPES if scope != "own"} | set(KINDS)
    found |= {column.meaning for column in COLUMNS if column.name != "raw"}
    for each in PARAMETERS:
        found |= {each.meaning, each.group, each.unit, each.zero or ""}
    found |= {message for _, message, _ in database.SQLITE_SIGNS} | {
        hint for *_, hint in database.SQLITE_SIGNS
    }
    for kind in ALARM_KINDS:
        found |= {kind.name, kind.meaning, kind.unit, kind.unit.removesuffix("s")}
    for words in (Level, Role, Color, ListName, JobState):
        found |= {word.value for word in words}
    found |= set(records.TITLES.values()) | set(records.FORMATS.values()) | set(watch.DAYS)
    found |= set(filters.NAMES) | {SWITCH, LEDGER}
    found |= set(chips.RANGES.values()) | set(chips.FLAGS.values())
    found |= {*call_forms.GATEWAY_SECTIONS, *call_forms.ROUTE_SECTIONS, *call_forms.CHOICES.values()}
    found |= {each.help for each in (*call_fields.GATEWAY_FIELDS, *call_fields.ROUTE_FIELDS)}
    found |= set(calls.STATES.values()) | set(vendors.WHY)
    found |= set(audit_words.VERBS.values()) | set(audit_words.OBJECTS.values())
    return {sentence for sentence in found if sentence}
