# SPDX-License-Identifier: Apache-2.0
"""The black and white lists: what is on them, why, until when, and what blocked sources still tried."""

import csv
import io
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError, RingfenceError
from ringfence.ids import BlockId
from ringfence.ledger.cells import csv_text, read_csv_text
from ringfence.ledger.query import CdrQuery, parse_source
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit
from ringfence.settings import checks
from ringfence.settings.duration import parse_duration
from ringfence.settings.model import Block, BlockDraft, Color, ListName
from ringfence.text import sentence

_PAST: Final = 200
_COUNTED: Final = 10_000
_COUNTED_S: Final = 30.0
_IMPORTED: Final = 100_000
_DURATIONS: Final = ("1h", "24h", "7d", "30d", "")
_IMPORTABLE: Final = ("value", "list", "color", "reason", "for")
COLUMNS: Final = ("id", "list", "color", "value", "reason", "created_at", "expires_at", "actor")


def routes(site: Site) -> list[GuardedRoute]:
    """The lists, and what may be done to them."""
    pages = _Firewall(site)
    return [
        site.route("/firewall", pages.lists, Right.LOOK),
        site.route("/firewall/hits", pages.hits, Right.LOOK),
        site.route("/firewall/export", pages.export, Right.LOOK),
        site.route("/firewall/add", pages.add, Right.LISTS, methods=["POST"]),
        site.route("/firewall/remove", pages.remove, Right.LISTS, methods=["POST"]),
        site.route("/firewall/again", pages.again, Right.LISTS, methods=["POST"]),
        site.route("/firewall/import", pages.load, Right.LISTS, methods=["POST"]),
    ]


class _Firewall:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._counted: dict[int, tuple[float, int]] = {}

    def lists(self, visit: Visit) -> Response:
        """Entries in force, or past ones."""
        return self._lists(visit)

    def _lists(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        lists = self._site.office.settings.lists
        is_past = visit.asked.get("show") == "past"
        wanted = visit.asked.get("list", "")
        entries = lists.past(_PAST) if is_past else tuple(reversed(lists.in_force()))
        chosen = [block for block in entries if not wanted or block.list.value == wanted]
        in_edge = self._site.office.switch.lists()
        acting = {(entry.list, entry.value) for entry in in_edge.entries} if in_edge else set()
        return self._site.page(
            visit,
            "firewall.html",
            status=400 if problem else 200,
            problem=problem,
            blocks=chosen,
            is_past=is_past,
            wanted=wanted,
            lists=[name.value for name in ListName],
            durations=_DURATIONS,
            acting=acting if in_edge else None,
            form=visit.form if problem else visit.asked,
        )

    def hits(self, visit: Visit) -> Response:
        """How often something that an entry holds was tried since it is there; a part of the page."""
        block = self._site.office.settings.lists.get(_id(visit.asked.get("id", "")))
        now_s = self._site.office.clock.monotonic_s()
        at_s, attempts = self._counted.get(block.id, (float("-inf"), 0))
        if now_s - at_s > _COUNTED_S:
            attempts = self._site.office.ledger.store.count(_tried(block)).attempts
            if len(self._counted) >= _COUNTED:
                self._counted.clear()
            self._counted[block.id] = (now_s, attempts)
        return Response(visit.number(attempts), media_type="text/html")

    def add(self, visit: Visit) -> Response:
        """Put a value on a list."""
        form = visit.form
        try:
            draft = _draft(form)
            change = self._site.office.settings.lists.add(draft, actor=visit.actor)
        except ConfigError as error:
            return self._lists(visit, error)
        where = _back(form.get("back", ""), "/firewall")
        verb = "{value} is blocked." if draft.color is Color.BLACK else "{value} is on the white list."
        return self._site.done(where, visit.say(verb, value=draft.value), change)

    def remove(self, visit: Visit) -> Response:
        """Take an entry off its list."""
        change = self._site.office.settings.lists.remove(_id(visit.form.get("id", "")), actor=visit.actor)
        value = change.before.value if change.before else ""
        return self._site.done(
            _back(visit.form.get("back", ""), "/firewall"),
            visit.say("{value} is off the list. Under “Past” it can be put back.", value=value),
            change,
        )

    def again(self, visit: Visit) -> Response:
        """Undo: put an entry back that was removed or has expired, until somebody removes it."""
        lists = self._site.office.settings.lists
        old = lists.get(_id(visit.form.get("id", "")))
        draft = BlockDraft(list=old.list, value=old.value, color=old.color, reason=old.reason)
        change = lists.add(draft, actor=visit.actor)
        return self._site.done(
            "/firewall", visit.say("{value} is back on the list.", value=old.value), change
        )

    def export(self, _: Visit) -> Response:
        """The entries in force as CSV, as `ringfence block import` and the form below take them."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for block in self._site.office.settings.lists.in_force():
            expires = "" if block.expires_at_us is None else iso_utc(block.expires_at_us)
            row = (block.id, block.list.value, block.color.value, block.value, block.reason)
            writer.writerow(
                [csv_text(str(each)) for each in (*row, iso_utc(block.created_at_us), expires, block.actor)]
            )
        return Response(
            text.getvalue(),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="ringfence-lists.csv"'},
        )

    def load(self, visit: Visit) -> Response:
        """Put all values of a file on a list, or none if one of them cannot be."""
        form = visit.form
        lists = self._site.office.settings.lists
        try:
            drafts = _read(visit.files.get("file", "") or form.get("values", ""), form)
            there = {(block.list, block.value) for block in lists.in_force()}
            wanted = [draft for draft in drafts if (draft.list, draft.value) not in there]
            changes = lists.add_all(wanted, actor=visit.actor)
        except ConfigError as error:
            return self._lists(visit, error)
        said = visit.say(
            "{count} values added, {passed} were on the list already.",
            count=len(changes),
            passed=len(drafts) - len(wanted),
        )
        return self._site.done("/firewall", said, changes[-1] if changes else None)


def _tried(block: Block) -> CdrQuery:
    """What an entry has refused since it is there."""
    number = f"{block.value}*"
    return CdrQuery(
        since_us=block.created_at_us,
        reason="blacklisted",
        source=parse_source(block.value) if block.list is ListName.SOURCE else None,
        caller=number if block.list is ListName.CALLER else None,
        callee=number if block.list is ListName.CALLEE else None,
    )


def _draft(form: Mapping[str, str], value: str | None = None) -> BlockDraft:
    length = form.get("for", "")
    try:
        for_s = parse_duration(length) if length else None
    except ValueError:
        raise ConfigError(
            sentence("{length!r} is no length of time", length=length),
            hint="such as 90s, 30m, 2h, 1d12h or 2w",
            code="bad_value",
        ) from None
    list_name = _list(form.get("list", "source"))
    return BlockDraft(
        list=list_name,
        value=checks.list_value(list_name, (form.get("value", "") if value is None else value).strip()),
        color=Color.WHITE if form.get("color") == "white" else Color.BLACK,
        reason=form.get("reason", "").strip(),
        for_s=for_s,
    )


def _list(text: str) -> ListName:
    try:
        return ListName(text)
    except ValueError:
        raise ConfigError(
            "there is no such list", hint="source, caller or callee", code="bad_value"
        ) from None


def _id(text: str) -> BlockId:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ConfigError("this is no entry of a list", hint="open the page again", code="bad_value")
    return BlockId(int(text))


def _back(path: str, usual: str) -> str:
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else usual


def _read(text: str, form: Mapping[str, str]) -> list[BlockDraft]:
    """Drafts of a file: CSV with a heading, or a value a line with # before remarks."""
    lines = text.lstrip("\ufeff").splitlines()
    if len(lines) > _IMPORTED:
        raise ConfigError(
            sentence("the file has more than {count} lines", count=_IMPORTED),
            hint="split it",
            code="bad_value",
        )
    heading = [name.strip().lower() for name in lines[0].split(",")] if lines else []
    rows: list[tuple[int, Mapping[str, str]]] = []
    if "value" in heading:
        for number, cells in enumerate(csv.reader(lines[1:]), 2):
            named = dict(zip(heading, map(read_csv_text, cells), strict=False))
            kept = {name: named[name] for name in _IMPORTABLE if named.get(name)}
            rows.append((number, {**form, **kept}))
    else:
        for number, line in enumerate(lines, 1):
            if value := line.partition("#")[0].strip():
                rows.append((number, {**form, "value": value}))
    if not rows:
        raise ConfigError(
            "there is no value in it", hint="one address or number a line, or CSV", code="bad_value"
        )
    drafts = []
    for number, fields in rows:
        try:
            drafts.append(_draft(fields))
        except ConfigError as error:
            raise ConfigError(
                sentence("line {number}: {what}", number=number, what=error.told),
                hint=error.advice,
                code=error.code,
            ) from error
    return drafts
