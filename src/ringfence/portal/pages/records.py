# SPDX-License-Identifier: Apache-2.0
"""Call records: the list with its filters, columns and saved views, one record whole, and exports."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.responses import FileResponse, RedirectResponse, Response

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError, ControlError, NotFoundError, RingfenceError
from ringfence.ledger.exports import Form
from ringfence.ledger.geography import country_of_address, country_of_number
from ringfence.ledger.query import CdrQuery, Cursor, timestamp_us
from ringfence.ledger.reasons import BILLING_MODE_TEXT, END_REASON_BY_CODE, REASON_BY_NAME, REASONS
from ringfence.ledger.schema import COLUMN_NAMES, COLUMNS, KINDS, VOS_COLUMNS, Cdr
from ringfence.portal import filters, traces
from ringfence.portal.exports import ExportJobs
from ringfence.portal.pages.chips import chips
from ringfence.portal.pages.trace import Shown
from ringfence.portal.pages.trace import shown as shown_call
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit, link, without

ROWS: Final = 50
_NEW_SHOWN: Final = 1000
_CALL_ID: Final = 16
_TIMES: Final = ("since", "until")

SHOWN: Final = (
    "recorded_at",
    "kind",
    "callerip",
    "method",
    "callerAccessE164",
    "calleeAccessE164",
    "user_agent",
    "reason",
    "sip_status",
    "attempts",
)
"""The columns of the list until somebody chooses others."""

_ALWAYS: Final = (
    "kind",
    "callerip",
    "callerAccessE164",
    "calleeAccessE164",
    "reason",
    "endReason",
    "callerGateway",
    "gateway_id",
    "proven",
    "scope",
)
FORMATS: Final = {
    "csv": "CSV",
    "xlsx": "XLSX",
    "json": "JSON",
    "jsonl": "JSON lines",
    "parquet": "Parquet",
    "vos": "VOS3000 text",
    "vos-hourly": "VOS3000 text, a file per hour",
}
TITLES: Final = {
    "recorded_at": "Time",
    "kind": "Record",
    "callerip": "Source",
    "method": "Method",
    "callerAccessE164": "Caller",
    "calleeAccessE164": "Callee",
    "user_agent": "Tool",
    "reason": "Why",
    "sip_status": "Answer",
    "attempts": "Attempts",
    "holdTime": "Duration, s",
    "callerGateway": "Caller's gateway",
    "calleeGateway": "Callee's gateway",
    "account": "Account",
    "transport": "Transport",
    "source_port": "Source port",
    "endReason": "End reason",
    "billingMode": "Billing mode",
}
_NUMBERS: Final = frozenset(
    column.name
    for column in COLUMNS
    if column.sql in ("BIGINT", "INTEGER", "UINTEGER", "SMALLINT", "USMALLINT")
)


def routes(site: Site, jobs: ExportJobs) -> list[GuardedRoute]:
    """List, record, counts, views and exports."""
    pages = _Records(site, jobs)
    return [
        site.route("/cdrs", pages.records, Right.LOOK),
        site.route("/cdrs/count", pages.count, Right.LOOK),
        site.route("/cdrs/new", pages.new, Right.LOOK),
        site.route("/cdrs/export", pages.export, Right.LOOK, methods=["POST"]),
        site.route("/cdrs/{place}", pages.record, Right.LOOK),
        site.route("/exports", pages.exports, Right.LOOK),
        site.route("/exports/jobs", pages.jobs, Right.LOOK),
        site.route("/exports/{job}/file", pages.file, Right.LOOK),
        site.route("/exports/{job}/cancel", pages.cancel, Right.LOOK, methods=["POST"]),
        site.route("/search", pages.search, Right.LOOK),
    ]


class _Records:
    def __init__(self, site: Site, jobs: ExportJobs) -> None:
        self._site = site
        self._jobs = jobs

    def records(self, visit: Visit) -> Response:
        """The newest records that match."""
        asked = local_times(visit, visit.asked)
        columns = _chosen(asked.get("columns", ""))
        problem: RingfenceError | None = None
        rows: tuple[Cdr, ...] = ()
        older: Cursor | None = None
        try:
            found = filters.parse(asked.multi_items(), now_us=self._site.office.clock.utc_us())
            page = self._site.office.ledger.store.page(
                found.query, limit=ROWS, below=found.below, columns=(*_ALWAYS, *columns)
            )
            rows, older = page.rows, page.older
        except ConfigError as error:
            problem = error
        kept = without(asked, "below")
        names = gateway_names(visit)
        return self._site.page(
            visit,
            "records.html",
            status=400 if problem else 200,
            problem=problem,
            rows=[shown(visit, row, names) for row in rows],
            older=link("/cdrs", kept, below=str(older)) if older else None,
            newest=link("/cdrs", kept) if "below" in asked else None,
            kept=kept,
            chips=chips(visit, "/cdrs", kept, besides=("columns",)),
            columns=[(name, TITLES.get(name, name)) for name in columns],
            numbers=_NUMBERS,
            choices=[
                (name, TITLES.get(name, name), name in columns) for name in COLUMN_NAMES if name != "raw"
            ],
            kinds=KINDS,
            modes=[(mode.value, text) for mode, text in BILLING_MODE_TEXT.items()],
            reasons=[(reason.name, reason.title) for reason in REASONS],
            views=self._site.office.settings.views.of(visit.known.name, "cdrs"),
            counting=link("/cdrs/count", kept),
            arriving=link("/cdrs/new", kept, above=str(Cursor.of(rows[0])))
            if rows and "below" not in asked
            else None,
            formats=FORMATS,
        )

    def count(self, visit: Visit) -> Response:
        """How many records match, exactly; a part of the page."""
        found = filters.parse(
            local_times(visit, visit.asked).multi_items(), now_us=self._site.office.clock.utc_us()
        )
        counted = self._site.office.ledger.store.count(found.query)
        said = visit.say("{rows} records", rows=visit.number(counted.rows))
        if counted.attempts != counted.rows:
            said += ", " + visit.say("{attempts} attempts", attempts=visit.number(counted.attempts))
        return Response(said, media_type="text/html")

    def new(self, visit: Visit) -> Response:
        """How many records have come above the newest one shown; a part of the page."""
        asked = without(visit.asked, "above")
        above = Cursor.parse(visit.asked.get("above", ""))
        found = filters.parse(
            local_times(visit, asked).multi_items(), now_us=self._site.office.clock.utc_us()
        )
        page = self._site.office.ledger.store.page(
            replace(found.query, since_us=max(above.time_us + 1, found.query.since_us or 0)),
            limit=_NEW_SHOWN,
            columns=(),
        )
        count = len(page.rows)
        if not count:
            return Response("", media_type="text/html")
        return self._site.page(
            visit,
            "new.html",
            address=link("/cdrs", asked),
            count=visit.number(count) + ("+" if page.older else ""),
        )

    def record(self, visit: Visit) -> Response:
        """One record, every field explained."""
        place = Cursor.parse(visit.request.path_params["place"])
        # A page below the next higher place begins with the row itself.
        page = self._site.office.ledger.store.page(
            CdrQuery(since_us=place.time_us, until_us=place.time_us + 1, pending=True),
            limit=1,
            below=replace(place, flow_no=place.flow_no + 1),
        )
        if not page.rows or Cursor.of(page.rows[0]) != place:
            raise NotFoundError(
                visit.say("there is no such record"),
                hint=visit.say("it was let go by retention, or a challenge was answered meanwhile"),
            )
        row = page.rows[0]
        is_part = visit.request.headers.get("x-part") is not None
        names = gateway_names(visit)
        return self._site.page(
            visit,
            "record_part.html" if is_part else "record.html",
            item=shown(visit, row, names),
            row=row,
            place=str(place),
            sentence=sentence(visit, row),
            fields=[(column, _value(row, column.name)) for column in COLUMNS if column.name != "raw"],
            vos=VOS_COLUMNS,
            raw=None if row.raw is None else row.raw.decode("utf-8", "backslashreplace"),
            call=self._traced(visit, row),
            gateways=list(names.values()) if visit.may(Right.SETTINGS) else [],
        )

    def _traced(self, visit: Visit, row: Cdr) -> Shown | None:
        """The call's messages, if they are still in memory; a switch that does not answer hides no record."""
        if not visit.may(Right.TRACE):
            return None
        try:
            ladder = traces.of_record(self._site.office, row)
        except ControlError:
            return None
        return None if ladder is None else shown_call(visit, ladder)

    def export(self, visit: Visit) -> Response:
        """Begin to write all records that match into a file."""
        asked = local_times(visit, QueryParams(filters.read_pairs(visit.form.get("query", ""))))
        found = filters.parse(asked.multi_items(), now_us=self._site.office.clock.utc_us())
        try:
            form = Form(visit.form.get("format", "csv"))
        except ValueError:
            raise ConfigError(visit.say("there is no such format"), code="bad_value") from None
        self._jobs.start(found.query, form, COLUMN_NAMES, visit.known)
        return self._site.done("/exports", visit.say("The export has begun."))

    def exports(self, visit: Visit) -> Response:
        """Exports under way and done."""
        return self._site.page(visit, "exports.html", jobs=self._jobs.jobs(visit.known))

    def jobs(self, visit: Visit) -> Response:
        """The table of exports; a part of the page."""
        return self._site.page(visit, "exports_part.html", jobs=self._jobs.jobs(visit.known))

    def file(self, visit: Visit) -> Response:
        """What an export has written."""
        job = self._jobs.job(visit.request.path_params["job"], visit.known)
        path = self._jobs.file(job.id, visit.known)
        return FileResponse(path, filename=job.file_name, media_type=job.form.media_type)

    def cancel(self, visit: Visit) -> Response:
        """Stop an export, or let its file go."""
        job = self._jobs.job(visit.request.path_params["job"], visit.known)
        if job.state.is_over:
            self._jobs.remove(job.id, visit.known)
        else:
            self._jobs.cancel(job.id, visit.known)
        return self._site.done("/exports", visit.say("The export is gone."))

    def search(self, visit: Visit) -> Response:
        """From a number, an address or a Call-ID to the records of it."""
        text = visit.asked.get("q", "").strip()[:200]
        if not text:
            return RedirectResponse("/cdrs", 303)
        try:
            filters.parse([("source", text)], now_us=0)
        except ConfigError:
            return RedirectResponse(link("/cdrs", {_meant(text): text}), 303)
        return RedirectResponse(link("/cdrs", source=text), 303)


def _meant(text: str) -> str:
    """What somebody looks for who typed no address: a number, or the Call-ID of a message."""
    is_number = text.rstrip("*").lstrip("+").isdigit()
    if is_number:
        return "callee"
    return "call_id" if len(text) >= _CALL_ID or "@" in text else "caller"


def local_times(visit: Visit, asked: QueryParams) -> QueryParams:
    """What was asked, times without a zone taken as the person's own."""

    def zoned(text: str) -> str:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=visit.zone)
        return iso_utc(int(moment.timestamp()) * 1_000_000 + moment.microsecond)

    return QueryParams(
        [(name, zoned(value) if name in _TIMES else value) for name, value in asked.multi_items()]
    )


def gateway_names(visit: Visit) -> dict[int, str]:
    """What mapping gateways are called now, by the number that records have."""
    return {gateway.id: gateway.name for gateway in visit.site.office.settings.gateways.all()}


def shown(visit: Visit, row: Cdr, gateways: Mapping[int, str]) -> dict[str, Any]:
    """A record as lists and details show it.

    Shape: where the edge refused a gateway it wrote its number only; `gateway` is the name it has now, or the
    number if it is gone.
    """
    reason = REASON_BY_NAME.get(row.reason)
    ended = END_REASON_BY_CODE.get(row.endReason)
    return {
        "row": row,
        "place": str(Cursor.of(row)),
        "title": visit.say(reason.title if reason else ended.text if ended else ""),
        "why": visit.say(reason.text if reason else ended.text if ended else ""),
        "country": country_of_address(row.callerip),
        "gateway": row.callerGateway
        or (gateways.get(row.gateway_id, f"#{row.gateway_id}") if row.gateway_id else ""),
        "dialled": country_of_number(row.calleeAccessE164),
        "value": lambda name: _value(row, name),
    }


def sentence(visit: Visit, row: Cdr) -> str:
    """What we did, in a sentence."""
    say = visit.say
    reason = REASON_BY_NAME.get(row.reason)
    why = say(reason.text) if reason else ""
    if row.kind == "call":
        said = say("Call of an authorised source, ended with {code}.", code=row.endReason)
    elif row.kind == "illegal":
        said = say("Refused: {why}.", why=why)
    else:
        said = say(
            "Not a call: {method} refused: {why}.", method=row.method or say("no SIP message"), why=why
        )
    if row.kind != "call":
        said += " " + (
            say("Recorded before {status} was answered.", status=row.sip_status)
            if row.sip_status
            else say("Recorded; nothing was answered.")
        )
    if row.attempts > 1:
        said += " " + say("This record stands for {count} messages.", count=visit.number(row.attempts))
    return said


def _chosen(text: str) -> tuple[str, ...]:
    known = tuple(name for name in text.split(",") if name in COLUMN_NAMES and name != "raw")
    return tuple(dict.fromkeys(known)) or SHOWN


def _value(row: Cdr, name: str) -> str:
    value = getattr(row, name)
    if value is None:
        return ""
    if name == "recorded_at":
        return iso_utc(timestamp_us(row))
    if name == "fingerprint":
        return f"{value:016x}"
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)
