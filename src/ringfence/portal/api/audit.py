# SPDX-License-Identifier: Apache-2.0
"""What was done, by whom."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ringfence.clock import iso_utc
from ringfence.portal.api.access import needs
from ringfence.portal.api.models import Moment, OfficeOf, PageQuery, place
from ringfence.portal.office import Office
from ringfence.portal.rights import Right
from ringfence.settings.model import AuditRow

router: Final = APIRouter(tags=["audit"])

_WORD: Final = r"^[^\x00]*$"


class AuditQuery(PageQuery):
    """Which acts."""

    kind: str | None = Field(
        None,
        max_length=40,
        pattern=_WORD,
        description="parameter, gateway, phone, user, login, token, block, ...",
    )
    name: str | None = Field(None, max_length=200, pattern=_WORD, description="What it was done to.")


class AuditRowOut(BaseModel):
    """One act on one object."""

    id: int
    version: int
    at: Moment
    actor: str
    action: str
    kind: str
    name: str
    before: dict[str, Any] | None = Field(description="Null: it did not exist.")
    after: dict[str, Any] | None = Field(description="Null: it is gone.")

    @classmethod
    def of(cls, row: AuditRow) -> "AuditRowOut":
        """As the API shows it."""
        return cls(
            id=row.id,
            version=row.version,
            at=iso_utc(row.at_us),
            actor=row.actor,
            action=row.action,
            kind=row.kind,
            name=row.name,
            before=None if row.before is None else msgspec.json.decode(row.before),
            after=None if row.after is None else msgspec.json.decode(row.after),
        )


class AuditPage(BaseModel):
    """Acts, newest first."""

    acts: list[AuditRowOut]
    next: str | None


@router.get("/audit", **needs(Right.PEOPLE))
def list_acts(office: OfficeOf, asked: Annotated[AuditQuery, Query()]) -> AuditPage:
    """What was done, newest first."""
    return acts(office, asked, kind=asked.kind, name=asked.name)


def acts(office: Office, asked: PageQuery, *, kind: str | None, name: str | None) -> AuditPage:
    """One page of the audit.

    Raises: ApiError("bad_value"), StoreError.
    """
    below_id = place(asked.cursor)
    rows = office.settings.audit(kind=kind, name=name, below_id=below_id, limit=asked.limit + 1)
    page = rows[: asked.limit]
    return AuditPage(
        acts=[AuditRowOut.of(row) for row in page], next=str(page[-1].id) if len(rows) > len(page) else None
    )
