# SPDX-License-Identifier: Apache-2.0
"""The black and white lists: what is on them, add, import, undo."""

from typing import Annotated, Final, Literal, Self, cast

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from ringfence.control.messages import ListEntry
from ringfence.ids import BlockId
from ringfence.portal.api.access import needs
from ringfence.portal.api.errors import no_switch
from ringfence.portal.api.models import (
    LARGEST_ID,
    BlockOut,
    CallerOf,
    Changed,
    ColorWord,
    Duration,
    Effect,
    LimitQuery,
    ListWord,
    Moment,
    OfficeOf,
    PageQuery,
    Sent,
    moment,
    part_of,
    switch_change,
)
from ringfence.portal.rights import Right
from ringfence.settings import checks
from ringfence.settings.model import BlockDraft, Color, ListName

router: Final = APIRouter(prefix="/lists", tags=["black and white lists"])

IMPORT_LIMIT: Final = 5000
EntryId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


class ListQuery(PageQuery):
    """Which entries."""

    list: ListWord | None = None
    color: ColorWord | None = None
    state: Literal["in_force", "past"] = Field(
        "in_force", description="`past`: removed or expired, newest first; the newest 1,000."
    )


class BlockPage(BaseModel):
    """Entries, by id."""

    entries: list[BlockOut]
    next: str | None


class EdgeEntry(BaseModel):
    """An entry that the running switch judges by."""

    list: ListWord
    color: ColorWord
    value: str
    expires_at: Moment | None = Field(description="Null: until removed.")

    @classmethod
    def of(cls, entry: ListEntry) -> Self:
        """As the API shows it."""
        return cls(
            list=cast("ListWord", entry.list),
            color=cast("ColorWord", entry.color),
            value=entry.value,
            expires_at=moment(entry.expires_at_us or None),
        )


class EdgePage(BaseModel):
    """Entries that the running switch judges by, by list, colour, value."""

    total: int = Field(description="On all pages.")
    entries: list[EdgeEntry]
    next: str | None


class NewEntry(Sent):
    """An entry to be put on a list."""

    list: ListWord = "source"
    color: ColorWord = "black"
    value: str = Field(max_length=64, description="Address, network, or number prefix.")
    reason: str = Field("", max_length=200, description="Why, for those who come after.")
    for_s: Duration = None

    def draft(self) -> BlockDraft:
        """What the settings take."""
        return BlockDraft(
            list=ListName(self.list),
            value=self.value,
            color=Color(self.color),
            reason=self.reason,
            for_s=self.for_s,
        )


class Import(Sent):
    """Entries to be put on their lists: all of them, or none if one is refused."""

    entries: list[NewEntry] = Field(min_length=1, max_length=IMPORT_LIMIT)
    skip_existing: bool = Field(False, description="Pass over values that are on the list already.")


class Imported(Effect):
    """What an import did."""

    added: list[int] = Field(description="The ids of the new entries.")
    skipped: int


@router.get("", **needs(Right.LOOK))
def list_entries(office: OfficeOf, asked: Annotated[ListQuery, Query()]) -> BlockPage:
    """The entries in force, or those that were."""
    lists = office.settings.lists
    is_past = asked.state == "past"
    blocks = [
        block
        for block in (lists.past() if is_past else lists.in_force())
        if (asked.list is None or block.list.value == asked.list)
        and (asked.color is None or block.color.value == asked.color)
    ]
    page, following = part_of(blocks, asked, lambda block: block.id, descending=is_past)
    return BlockPage(entries=[BlockOut.of(block) for block in page], next=following)


@router.get("/in-force", **needs(Right.LOOK))
def entries_in_edge(office: OfficeOf, asked: LimitQuery) -> EdgePage:
    """The entries that the running switch judges by, whatever is stored."""
    found = office.switch.lists()
    if found is None:
        raise no_switch()
    page, following = part_of(found.entries, asked, lambda entry: f"{entry.list} {entry.color} {entry.value}")
    return EdgePage(total=len(found.entries), entries=[EdgeEntry.of(entry) for entry in page], next=following)


@router.get("/{entry_id}", **needs(Right.LOOK, 404))
def get_entry(office: OfficeOf, entry_id: EntryId) -> BlockOut:
    """One entry, in force or not."""
    return BlockOut.of(office.settings.lists.get(BlockId(entry_id)))


@router.post("", status_code=201, **needs(Right.LISTS, writes=True))
def add_entry(office: OfficeOf, caller: CallerOf, entry: NewEntry) -> Changed[BlockOut]:
    """Put an entry on a list."""
    change = office.settings.lists.add(entry.draft(), actor=caller.actor)
    return switch_change(office, change, BlockOut.of)


@router.post("/import", status_code=201, **needs(Right.LISTS, writes=True))
def import_entries(office: OfficeOf, caller: CallerOf, entries: Import) -> Imported:
    """Put many entries on their lists."""
    lists = office.settings.lists
    drafts = [entry.draft() for entry in entries.entries]
    asked = len(drafts)
    if entries.skip_existing:
        there = {(block.list, block.value) for block in lists.in_force()}
        drafts = [
            draft for draft in drafts if (draft.list, checks.list_value(draft.list, draft.value)) not in there
        ]
    changes = lists.add_all(drafts, actor=caller.actor)
    act = Effect.at(office, changes[0].version if changes else office.settings.version())
    return Imported(
        version=act.version,
        in_force=act.in_force,
        note=act.note,
        added=[change.after.id for change in changes if change.after is not None],
        skipped=asked - len(drafts),
    )


@router.delete("/{entry_id}", **needs(Right.LISTS, 404, writes=True))
def remove_entry(office: OfficeOf, caller: CallerOf, entry_id: EntryId) -> Changed[BlockOut]:
    """Take an entry off its list; it stays in the history."""
    change = office.settings.lists.remove(BlockId(entry_id), actor=caller.actor)
    return switch_change(office, change, BlockOut.of)
