# SPDX-License-Identifier: Apache-2.0
"""A reader for programs that know VOS3000's `GetCdr`: its names, its shape, its kinds of time.

Unlike the original it answers calls that belong to no account, illegal ones first of all, takes seconds as
well as days, and goes on where a page ended.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import COLUMNS, VOS_COLUMNS, Cdr
from ringfence.portal.api.access import needs
from ringfence.portal.api.cdrs import as_json, below
from ringfence.portal.api.errors import ApiError
from ringfence.portal.api.models import MOST, OfficeOf, Sent
from ringfence.portal.rights import Right

router: Final = APIRouter(prefix="/vos", tags=["VOS3000"])

_TIME: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2}))?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: Final[dict[str, Any]] = {"VARCHAR": str, "DECIMAL(18,6)": float}


class GetCdrRequest(Sent):
    """What `GetCdr` is asked, in VOS3000's names."""

    accounts: list[str] = Field(
        [], max_length=1, description="None: records of every account, and those that belong to none."
    )
    callerE164: str | None = Field(None, max_length=1000)  # noqa: N815 - VOS3000's names
    calleeE164: str | None = Field(None, max_length=1000)  # noqa: N815
    beginTime: str = Field(description="yyyyMMdd, or yyyyMMddHHmmss; UTC.", max_length=14)  # noqa: N815
    endTime: str = Field(  # noqa: N815
        description="The same; a whole day is included to its end, a second is not.", max_length=14
    )
    billingMode: int | None = Field(  # noqa: N815
        None, ge=-99, le=99, description="-9 illegal calls, -1 security events; none: all calls."
    )
    limit: int = Field(MOST, ge=1, le=MOST)
    cursor: str | None = Field(None, max_length=200, description="`next` of the answer before.")


_INFO_CDR: Final[dict[str, Any]] = {
    column.name: (_TYPES.get(column.sql, int), Field(description=column.meaning))
    for column in COLUMNS
    if column.name in VOS_COLUMNS
}
InfoCdr: Final[type[BaseModel]] = create_model(
    "InfoCdr", __doc__="One record, with the 35 names of VOS3000 in its order.", **_INFO_CDR
)


class GetCdrAnswer(BaseModel):
    """What `GetCdr` answers."""

    retCode: int = Field(description="0.")  # noqa: N815
    infoCdrs: list[InfoCdr]  # type: ignore[valid-type]  # noqa: N815 - made from the columns
    next: str | None = Field(description="`cursor` of the next, older part; null = that was all.")


@router.post("/GetCdr", response_model=GetCdrAnswer, **needs(Right.LOOK, 400, 413))
def get_cdr(office: OfficeOf, asked: GetCdrRequest) -> Response:
    """Records of a span of time, newest first: all calls, illegal ones included."""
    query = CdrQuery(
        kinds=frozenset({"illegal", "call"} if asked.billingMode is None else ()),
        billing_mode=asked.billingMode,
        since_us=_us(asked.beginTime, "beginTime"),
        until_us=_us(asked.endTime, "endTime", is_end=True),
        caller=asked.callerE164,
        callee=asked.calleeE164,
        account=asked.accounts[0] if asked.accounts else None,
    )
    page = office.ledger.store.page(query, limit=asked.limit, below=below(asked.cursor), columns=VOS_COLUMNS)
    rows = [_shown(row) for row in page.rows]
    return as_json({"retCode": 0, "infoCdrs": rows, "next": str(page.older) if page.older else None})


def _shown(row: Cdr) -> dict[str, Any]:
    row_as_vos = {name: getattr(row, name) for name in VOS_COLUMNS}
    return {
        name: float(value) if _INFO_CDR[name][0] is float else value for name, value in row_as_vos.items()
    }


def _us(text: str, field: str, *, is_end: bool = False) -> int:
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        parts = [int(part) for part in match.groups() if part is not None]
        at = datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]  # three or six numbers
        if is_end and len(parts) == 3:
            at += timedelta(days=1)
        return (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise ApiError(
            "bad_value", "this is no time", hint="write yyyyMMdd or yyyyMMddHHmmss, UTC", field=field
        ) from error
