# SPDX-License-Identifier: Apache-2.0
"""What the documents say exists: commands with their options, links, parameters, pages, rights, alarms."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from kit.journal import Journal
from kit.site import site_over
from ringfence.cli.application import application
from ringfence.core import COUNTERS
from ringfence.defence.webhooks import signature
from ringfence.portal import filters
from ringfence.portal.rights import RIGHTS, Right
from ringfence.settings.alarms_model import ALARM_KINDS, HookEvent
from ringfence.settings.model import Role
from ringfence.settings.parameters import BY_NAME

ROOT = Path(__file__).parents[2]
COMMAND_PAGES = (
    "README.md",
    "docs/operations.md",
    "docs/portal.md",
    "docs/api.md",
    "docs/routing.md",
    "docs/trace.md",
)
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))

_PROGRAM = r"(?:\.venv/bin/|/opt/ringfence/\.venv/bin/)?ringfence"
_SHOWN = re.compile(rf"^(?:ExecStart=)?{_PROGRAM} .+$", re.MULTILINE)
_INLINE = re.compile(r"`(ringfence [^`]+)`")
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
_ITEM = re.compile(r'<a class="item" href="[^"]*" title="([^"]+)"')
_PARAMETER = re.compile(r"\b(?:RF|SS|SERVER_BILLING)_[A-Z0-9_*]+\b\*?")
# What the program itself prints.
_PRINTED = ("ringfence ready",)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def shown_commands(text: str) -> Iterator[str]:
    """Every command line in a fenced block, a unit file or between backticks, from "ringfence" on."""
    fences = "\n".join(re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL))
    prose = re.sub(r"```[a-z]*\n.*?```", "", text, flags=re.DOTALL)
    for line in (*_SHOWN.findall(fences), *_INLINE.findall(prose)):
        command = line[line.index("ringfence ") :]
        if not command.startswith(_PRINTED):
            yield command


def fault_of(command: str) -> str | None:
    """What is wrong with a command line; None if the program would take it."""
    words = shlex.split(command)[1:]
    current: click.Command = application
    while isinstance(current, click.Group) and words:
        context = click.Context(current)
        found = current.get_command(context, words[0])
        if found is None:
            return f"there is no command {words[0]!r}"
        current, words = found, words[1:]
    known = {
        option for parameter in current.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    return f"no such option: {', '.join(unknown)}" if unknown else None


def is_parameter(name: str) -> bool:
    """Whether a parameter is called so; with * in it, whether any is."""
    pattern = re.compile(re.escape(name).replace(r"\*", ".*"))
    return any(pattern.fullmatch(known) for known in BY_NAME)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", COMMAND_PAGES)
def test_every_command_that_is_shown_exists_with_its_options(page: str) -> None:
    commands = list(shown_commands(text_of(page)))
    assert commands
    assert {command: fault for command in commands if (fault := fault_of(command))} == {}


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("ringfence cdr list --ilegal", "no such option: --ilegal"),
        ("ringfence cdr lst", "there is no command 'lst'"),
        ("ringfence block add 192.0.2.1 --for 2d", None),
        ('ringfence block add 192.0.2.1 --reason "scans us"', None),
    ],
)
def test_a_command_that_does_not_exist_is_found_out(command: str, fault: str | None) -> None:
    assert fault_of(command) == fault


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_tree_leads_somewhere(page: str) -> None:
    text = text_of(page)
    lost = []
    for target, anchor in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        is_lost = not path.exists()
        if not is_lost and anchor and path.is_file():
            is_lost = anchor[1:] not in anchors(path.read_text(encoding="utf-8"))
        if is_lost:
            lost.append(target + anchor)
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_parameter_that_does_not_exist(page: str) -> None:
    text = text_of(page)
    # The tables that lead from VOS3000's names to ours hold names that only VOS3000 has.
    theirs = {
        name
        for row in re.findall(r"^\| (.+?) \|.*$", text.partition("## VOS3000's names")[2], re.MULTILINE)
        for name in _PARAMETER.findall(row)
    }
    named = set(_PARAMETER.findall(text)) - theirs
    assert {name for name in named if not is_parameter(name)} == set()


def test_operations_explain_every_counter() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/operations.md"), re.MULTILINE))
    assert [counter for counter in COUNTERS if counter not in named] == []


def rows_of(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by their first cell."""
    below = text_of(page).partition(f"\n## {heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]
    return {first: rest for first, *rest in rows}


def test_every_page_of_the_side_bar_is_explained(tmp_path: Path) -> None:
    with site_over(Journal(), tmp_path) as site:
        site.log_in()
        shown = _ITEM.findall(site.get("/").text)
    assert "Overview" in shown
    assert [name for name in shown if f"*{name}*" not in rows_of("docs/portal.md", "Pages")] == []


def test_the_table_of_rights_is_that_of_the_roles() -> None:
    rows = rows_of("docs/portal.md", "Roles")
    said = {re.findall(r"`(\w+)`", first)[0]: cells for first, cells in rows.items()}
    roles = (Role.VIEWER, Role.ANALYST, Role.ADMIN)
    assert said == {
        right.value: ["yes" if right in RIGHTS[role] else "" for role in roles]
        for right in Right
        if right is not Right.OPEN
    }


def test_every_filter_of_an_address_is_explained() -> None:
    rows = rows_of("docs/portal.md", "Filters in the address")
    named = [name for first in rows for name in re.findall(r"`(\w+)`", first)]
    assert sorted(named) == sorted(filters.NAMES)


def test_the_content_security_policy_is_the_one_that_is_sent(tmp_path: Path) -> None:
    with site_over(Journal(), tmp_path) as site:
        sent = site.client.get("/login").headers["content-security-policy"]
    assert f"\n{sent}\n" in text_of("docs/portal.md")


def test_every_alarm_is_explained_with_the_bounds_that_are_shipped() -> None:
    rows = rows_of("docs/operations.md", "Alarms")
    assert {code: cells[1:] for code, cells in rows.items()} == {
        str(kind.code): [
            kind.level.value,
            *(f"{bound:,}{' %' if kind.unit == '%' and bound else ''}" for bound in (kind.upper, kind.lower)),
        ]
        for kind in ALARM_KINDS
    }


def test_every_event_of_a_webhook_is_explained() -> None:
    named = re.findall(r"`([\w.]+)`", " ".join(rows_of("docs/operations.md", "Webhooks")))
    assert sorted(named) == sorted(event.value for event in HookEvent)


def test_the_example_that_checks_a_signature_knows_ours_from_all_others() -> None:
    example = re.search(r"```python\n(.*?)```", text_of("docs/operations.md"), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example[1], names)  # noqa: S102 - the example is ours
    is_ours: Callable[[str, str, bytes, float], bool] = names["is_from_ringfence"]
    secret, body, at_s = "5e" * 32, b'{"id":"1"}', 1_795_341_656
    header = signature(secret, body, at_s)
    assert is_ours(secret, header, body, at_s + 1.5)
    assert not is_ours(secret, header, body + b" ", at_s)
    assert not is_ours("00" * 32, header, body, at_s)
    assert not is_ours(secret, header, body, at_s + 301)
    assert not is_ours(secret, header.replace(str(at_s), str(at_s + 300)), body, at_s + 300)
    assert not is_ours(secret, "no signature \u00e9", body, at_s)
