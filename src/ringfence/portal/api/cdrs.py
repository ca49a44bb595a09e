# SPDX-License-Identifier: Apache-2.0
"""Call records: pages, counts, one record.

Strangers' text goes out as JSON strings, whatever it is; the one list of columns is `ledger.schema`.
"""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError, NotFoundError
from ringfence.ledger.query import CdrQuery, Cursor, timestamp_us
from ringfence.ledger.schema import COLUMN_NAMES, COLUMNS, Cdr, Column
from ringfence.portal import filters
from ringfence.portal.api.access import needs
from ringfence.portal.api.errors import ApiError
from ringfence.portal.api.models import LARGEST_ID, Asked, OfficeOf, PageQuery
from ringfence.portal.rights import Right

router: Final = APIRouter(tags=["call records"])

KindWord = Literal["illegal", "event", "call"]
Word = Annotated[str | None, Field(min_length=1, max_length=50)]
Country = Annotated[str | None, Field(min_length=2, max_length=2)]
Number = Annotated[str | None, Field(max_length=1000)]

_NULLABLE: Final = frozenset({"route_attempts", "price_breakdown", "raw"})
_SAME_MOMENT: Final = 16


class CdrFilter(Asked):
    """Which records; all conditions hold together."""

    kind: list[KindWord] = Field([], max_length=3, description="Kinds of record; none = every kind.")
    billing_mode: int | None = Field(None, ge=-99, le=99, description="-9 illegal call, -1 nobody pays.")
    since: Word = Field(None, description="From this moment on: ISO 8601, UTC unless it says otherwise.")
    until: Word = Field(None, description="Before this moment.")
    source: Word = Field(None, description="Source address or network.")
    caller: Number = Field(None, description="Caller number; with * at the end, its beginning.")
    callee: Number = Field(None, description="Callee number; with * at the end, its beginning.")
    account: Number = Field(None, description="Account, whole.")
    reason: Word = Field(None, description="Why it was refused: a name of the reasons.")
    min_duration_s: int | None = Field(None, ge=0, le=LARGEST_ID, description="Talk time, at least.")
    max_duration_s: int | None = Field(None, ge=0, le=LARGEST_ID, description="Talk time, at most.")
    dialled: str | None = Field(
        None, pattern=r"^[0-9]{1,15}$", description="How the number begins at its country code."
    )
    country: Country = Field(None, description="Of the source address: ISO 3166-1 alpha-2.")
    dialled_country: Country = Field(None, description="Of the number called: ISO 3166-1 alpha-2.")
    tool: Number = Field(None, description="What the sender calls itself; with * at the end, its beginning.")
    method: Number = Field(None, description="SIP method, whole.")
    gateway: Number = Field(None, description="Name of either side's gateway, whole.")
    gateway_id: int | None = Field(None, ge=0, le=2**32 - 1, description="Number of the caller's gateway.")
    pending: bool = Field(False, description="Also challenges that may still be answered.")

    def query(self) -> CdrQuery:
        """What to ask the store.

        Raises: ApiError("bad_value") that names the field.
        """
        return CdrQuery(
            kinds=frozenset(self.kind),
            billing_mode=self.billing_mode,
            since_us=_read("since", self.since).since_us,
            until_us=_read("until", self.until).until_us,
            source=_read("source", self.source).source,
            caller=self.caller,
            callee=self.callee,
            account=self.account,
            reason=_read("reason", self.reason).reason,
            min_duration_s=self.min_duration_s,
            max_duration_s=self.max_duration_s,
            dialled=self.dialled,
            country=_read("country", self.country).country,
            dialled_country=_read("dialled_country", self.dialled_country).dialled_country,
            tool=self.tool,
            method=self.method,
            gateway=self.gateway,
            gateway_id=self.gateway_id,
            pending=self.pending,
        )


class CdrPageQuery(CdrFilter, PageQuery):
    """Which records, and which part of them."""


def _read(name: str, text: str | None) -> CdrQuery:
    """One condition, read as an address of a page is.

    Raises: ApiError("bad_value") that names the field.
    """
    try:
        return filters.parse([(name, text or "")], now_us=0).query
    except ConfigError as error:
        raise ApiError("bad_value", error.message, hint=error.hint, field=name) from error


def below(text: str | None) -> Cursor | None:
    """The place that a page goes on below.

    Raises: ApiError("bad_value").
    """
    if text is None:
        return None
    try:
        return Cursor.parse(text)
    except ConfigError as error:
        raise ApiError("bad_value", error.message, hint=error.hint, field="cursor") from error


_TYPES: Final[dict[str, Any]] = {
    "VARCHAR": str,
    "BLOB": str,
    "BOOLEAN": bool,
    "TIMESTAMP": Annotated[str, Field(json_schema_extra={"format": "date-time"})],
    "DECIMAL(18,6)": Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?(E[+-]?\d+)?$")],
}


def _model_field(column: Column) -> tuple[Any, Any]:
    kind = str if column.name == "fingerprint" else _TYPES.get(column.sql, int)
    meaning = Field(description=column.meaning)
    return (kind | None if column.name in _NULLABLE else kind), meaning


_FIELDS: Final[dict[str, Any]] = {
    "id": (str, Field(description="What `GET /cdrs/{id}` takes; a cursor as well.")),
    **{column.name: _model_field(column) for column in COLUMNS},
}
CdrOut: Final[type[BaseModel]] = create_model("CdrOut", __doc__="One call detail record.", **_FIELDS)


class CdrPage(BaseModel):
    """Records, newest first."""

    cdrs: list[CdrOut]  # type: ignore[valid-type]  # made from the columns
    next: str | None = Field(description="`cursor` of the next, older page; null = there is none.")


class CdrCount(BaseModel):
    """How much matches, exactly."""

    rows: int
    attempts: int = Field(description="How many messages the rows stand for.")


def shown(row: Cdr) -> dict[str, Any]:
    """A record as JSON holds it without loss."""
    return {"id": str(Cursor.of(row)), **{name: _value(name, row) for name in COLUMN_NAMES}}


def _value(name: str, row: Cdr) -> Any:
    value = getattr(row, name)
    if name == "recorded_at":
        return iso_utc(timestamp_us(row))
    if name == "fingerprint":
        return f"{value:016x}"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value


def as_json(answer: object) -> Response:
    """An answer that is made of plain values already."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


@router.get("/cdrs", response_model=CdrPage, **needs(Right.LOOK))
def list_cdrs(office: OfficeOf, asked: Annotated[CdrPageQuery, Query()]) -> Response:
    """The newest records that match, with every column, newest first."""
    page = office.ledger.store.page(asked.query(), limit=asked.limit, below=below(asked.cursor))
    rows = [shown(row) for row in page.rows]
    return as_json({"cdrs": rows, "next": None if page.older is None else str(page.older)})


@router.get("/cdrs/count", **needs(Right.LOOK))
def count_cdrs(office: OfficeOf, asked: Annotated[CdrFilter, Query()]) -> CdrCount:
    """How many records match, and how many messages they stand for."""
    found = office.ledger.store.count(asked.query())
    return CdrCount(rows=found.rows, attempts=found.attempts)


@router.get("/cdrs/{cdr_id}", response_model=CdrOut, **needs(Right.LOOK, 404))
def get_cdr(office: OfficeOf, cdr_id: str) -> Response:
    """One record, with the first raw message if it was kept."""
    try:
        place = Cursor.parse(cdr_id)
    except ConfigError:
        raise _no_record(cdr_id) from None
    # Just above the place: rows of the same moment and number, by journal, come first.
    above = Cursor(time_us=place.time_us, flow_no=place.flow_no + 1, journal_id="")
    query = CdrQuery(since_us=place.time_us, until_us=place.time_us + 1, pending=True)
    page = office.ledger.store.page(query, limit=_SAME_MOMENT, below=above)
    for row in page.rows:
        if Cursor.of(row) == place:
            return as_json(shown(row))
    raise _no_record(cdr_id)


def _no_record(cdr_id: str) -> NotFoundError:
    return NotFoundError(f"there is no record {cdr_id[:80]!r}", hint="GET /cdrs lists them, each with its id")
