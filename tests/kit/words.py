# SPDX-License-Identifier: Apache-2.0
"""Every sentence that the pages may say, collected from templates and code."""

import ast
import re
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import extract_from_ast

from ringfence.ledger.reasons import BILLING_MODE_TEXT, END_REASONS, REASONS, SCOPES
from ringfence.ledger.schema import COLUMNS, KINDS
from ringfence.portal import filters
from ringfence.portal.exports import JobState
from ringfence.portal.pages import records, watch
from ringfence.settings.alarms_model import ALARM_KINDS, Level
from ringfence.settings.model import Color, ListName, Role
from ringfence.settings.parameters import PARAMETERS

PORTAL = Path("src/ringfence/portal")


def sentences() -> set[str]:
    """All of them, in English."""
    return _in_templates() | _in_code() | _named()


def placeholders(sentence: str) -> set[str]:
    """What is filled in."""
    return set(re.findall(r"\{(\w+)\}", sentence))


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
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name == "say" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    return found


def _named() -> set[str]:
    """What is said by a name in the code that only looks it up."""
    found: set[str] = set()
    found |= {text for reason in REASONS for text in (reason.title, reason.text)}
    found |= {reason.text for reason in END_REASONS}
    found |= set(BILLING_MODE_TEXT.values()) | {scope for scope in SCOPES if scope != "own"} | set(KINDS)
    found |= {column.meaning for column in COLUMNS if column.name != "raw"}
    for each in PARAMETERS:
        found |= {each.meaning, each.group, each.unit, each.zero or ""}
    for kind in ALARM_KINDS:
        found |= {kind.name, kind.meaning, kind.unit}
    for words in (Level, Role, Color, ListName, JobState):
        found |= {word.value for word in words}
    found |= set(records.TITLES.values()) | set(records.FORMATS.values()) | set(watch.DAYS)
    found |= set(filters.NAMES)
    return {sentence for sentence in found if sentence}
