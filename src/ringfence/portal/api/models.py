# SPDX-License-Identifier: Apache-2.0
"""What the API takes and gives, except for call records: those are made from their schema in `cdrs`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ringfence.clock import iso_utc
from ringfence.errors import ControlError
from ringfence.portal.api.access import caller_of
from ringfence.portal.api.errors import ApiError
from ringfence.portal.office import Office
from ringfence.portal.rights import Caller
from ringfence.settings.model import Block, Change, Phone, User
from ringfence.settings.objects.tokens import ApiToken

T = TypeVar("T")
Out = TypeVar("Out")
Model = TypeVar("Model", bound=BaseModel)

PAGE: Final = 100
MOST: Final = 1000
LARGEST_ID: Final = 2**31 - 1
LARGEST: Final = 2**63 - 1

Moment = Annotated[
    str, Field(description="UTC, ISO 8601, microseconds.", json_schema_extra={"format": "date-time"})
]
RoleName = Literal["admin", "analyst", "viewer"]
ListWord = Literal["source", "caller", "callee"]
ColorWord = Literal["black", "white"]
Duration = Annotated[int | None, Field(description="Seconds; null = until removed.", ge=1, le=315_360_000)]

UserName = Annotated[str, Field(pattern=r"^[0-9A-Za-z._@-]{1,64}$")]
PhoneName = Annotated[str, Field(pattern=r"^[0-9A-Za-z+*._-]{1,64}$")]
Password = Annotated[str, Field(min_length=8, max_length=128, description="Kept only as a digest.")]


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


OfficeOf = Annotated[Office, Depends(_office)]
CallerOf = Annotated[Caller, Depends(caller_of)]


class Sent(BaseModel):
    """A body that a client sends: nothing unknown in it, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Asked(BaseModel):
    """The query part of an address: nothing unknown in it."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Asked):
    """Which part of a list."""

    limit: int = Field(PAGE, ge=1, le=MOST, description="So many at most.")
    cursor: str | None = Field(None, max_length=200, description="`next` of the page before.")


def moment(us: int | None) -> str | None:
    """A moment as the API writes it."""
    return None if us is None else iso_utc(us)


class PhoneOut(BaseModel):
    """A phone that may register."""

    number: str
    enabled: bool

    @classmethod
    def of(cls, phone: Phone) -> Self:
        """As the API shows it."""
        return cls(number=phone.number, enabled=phone.enabled)


class UserOut(BaseModel):
    """Someone who may log in to the portal."""

    name: str
    role: RoleName

    @classmethod
    def of(cls, user: User) -> Self:
        """As the API shows it."""
        return cls(name=user.name, role=user.role.value)


class TokenOut(BaseModel):
    """A token that a program calls the API with, without its secret."""

    name: str
    role: RoleName
    actor: str = Field(description="Who made it.")
    created_at: Moment
    expires_at: Moment | None
    used_at: Moment | None = Field(description="Right to a minute; null = never used.")

    @classmethod
    def of(cls, token: ApiToken) -> Self:
        """As the API shows it."""
        return cls(
            name=token.name,
            role=token.role.value,
            actor=token.actor,
            created_at=iso_utc(token.created_at_us),
            expires_at=moment(token.expires_at_us),
            used_at=moment(token.used_at_us),
        )


class BlockOut(BaseModel):
    """An entry of the black or white lists."""

    id: int
    list: ListWord
    color: ColorWord
    value: str
    reason: str
    actor: str
    created_at: Moment
    expires_at: Moment | None
    removed_at: Moment | None
    removed_by: str | None

    @classmethod
    def of(cls, block: Block) -> Self:
        """As the API shows it."""
        return cls(
            id=block.id,
            list=block.list.value,
            color=block.color.value,
            value=block.value,
            reason=block.reason,
            actor=block.actor,
            created_at=iso_utc(block.created_at_us),
            expires_at=moment(block.expires_at_us),
            removed_at=moment(block.removed_at_us),
            removed_by=block.removed_by,
        )


class TestOut(BaseModel):
    """How a test message went."""

    is_delivered: bool = Field(description="Whether the other side took it.")
    problem: str | None = Field(description="What failed.")


class Effect(BaseModel):
    """Whether a change acts, and since which version of the settings it is there."""

    version: int = Field(description="The version of the settings that has the change.")
    in_force: bool = Field(description="False: it is stored, and acts as soon as the switch takes it.")
    note: str | None = Field(description="Why it does not act yet.")

    @classmethod
    def at(cls, office: Office, version: int) -> Self:
        """Have a running switch judge by a version, and say whether it does."""
        try:
            taken = office.switch.take(version)
        except ControlError as error:
            return cls(
                version=version, in_force=False, note=f"stored; the switch did not take it: {error.message}"
            )
        note = None if taken else "stored; no switch runs here, it acts from its start on"
        return cls(version=version, in_force=taken, note=note)


class Changed(Effect, Generic[Model]):
    """What a change did."""

    changed: bool = Field(description="False: it was so already.")
    before: Model | None = Field(description="Null: it did not exist.")
    after: Model | None = Field(description="Null: it is gone.")
    lifted: list[BlockOut] = Field(description="Black entries that had to go: they covered a gateway.")


def change_fields(change: Change[T], shown: Callable[[T], Model]) -> dict[str, Any]:
    """The part of `Changed` that a change itself tells."""
    return {
        "changed": change.changed,
        "before": None if change.before is None else shown(change.before),
        "after": None if change.after is None else shown(change.after),
        "lifted": [BlockOut.of(block) for block in change.lifted],
    }


def switch_change(office: Office, change: Change[T], shown: Callable[[T], Model]) -> Changed[Model]:
    """A change that the switch works by, brought into force."""
    act = Effect.at(office, change.version)
    return Changed(version=act.version, in_force=act.in_force, note=act.note, **change_fields(change, shown))


def office_change(change: Change[T], shown: Callable[[T], Model]) -> Changed[Model]:
    """A change that only the office works by; it acts at once."""
    return Changed(version=change.version, in_force=True, note=None, **change_fields(change, shown))


def place(cursor: str | None) -> int | None:
    """Where a list goes on that is sorted by a number.

    Raises: ApiError("bad_value") if the cursor can be none.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and int(cursor) <= LARGEST):
        raise ApiError(
            "bad_value", "this is no place in the list", hint="start again at the first page", field="cursor"
        )
    return int(cursor)


def part_of(
    items: Sequence[T], query: PageQuery, key: Callable[[T], str | int], *, descending: bool = False
) -> tuple[Sequence[T], str | None]:
    """One page of a list, sorted by a key that no two share, and the cursor of the next one.

    Raises: ApiError("bad_value") if the cursor can be none.
    """
    after: str | int | None = query.cursor
    if items and isinstance(key(items[0]), int):
        after = place(query.cursor)
    if after is not None:
        items = [item for item in items if _follows(key(item), after, descending)]
    # Databases sort text each in their own way; cursors go by ours.
    items = sorted(items, key=key, reverse=descending)
    page = items[: query.limit]
    return page, str(key(page[-1])) if len(items) > len(page) else None


def _follows(key: Any, after: Any, descending: bool) -> bool:
    return bool(key < after if descending else key > after)


LimitQuery = Annotated[PageQuery, Query()]
