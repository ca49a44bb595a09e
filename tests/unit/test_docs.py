# SPDX-License-Identifier: Apache-2.0
"""What the documents say exists: commands with their options, links, parameters."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ringfence.cli.application import application
from ringfence.core import COUNTERS
from ringfence.settings.parameters import BY_NAME

ROOT = Path(__file__).parents[2]
COMMAND_PAGES = ("README.md", "docs/operations.md")
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))

_PROGRAM = r"(?:\.venv/bin/|/opt/ringfence/\.venv/bin/)?ringfence"
_SHOWN = re.compile(rf"^(?:ExecStart=)?{_PROGRAM} .+$", re.MULTILINE)
_INLINE = re.compile(r"`(ringfence [^`]+)`")
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
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
    assert len(commands) > 5
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
    assert {name for name in _PARAMETER.findall(text_of(page)) if not is_parameter(name)} == set()


def test_operations_explain_every_counter() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/operations.md"), re.MULTILINE))
    assert [counter for counter in COUNTERS if counter not in named] == []
