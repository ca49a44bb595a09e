# SPDX-License-Identifier: Apache-2.0
"""Exports of records: started, watched, fetched. Who asked for one sees it, and admins do.

They change no settings, so whoever may look at records may have them written to a file.
"""

from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse

from ringfence.clock import iso_utc
from ringfence.ledger.exports import Form
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import COLUMN_NAMES
from ringfence.portal.api.access import needs
from ringfence.portal.api.cdrs import CdrFilter
from ringfence.portal.api.models import CallerOf, Moment, Sent, moment
from ringfence.portal.exports import ExportJob, ExportJobs
from ringfence.portal.rights import Right

router: Final = APIRouter(prefix="/exports", tags=["exports"])

FormWord = Literal["csv", "json", "jsonl", "xlsx", "parquet", "vos", "vos-hourly"]
StateWord = Literal["queued", "running", "done", "failed", "cancelled"]
ExportId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
ColumnName = Annotated[str, Field(max_length=64)]


def _jobs(request: Request) -> ExportJobs:
    jobs: ExportJobs = request.app.state.jobs
    return jobs


JobsOf = Annotated[ExportJobs, Depends(_jobs)]


class ExportFilter(CdrFilter):
    """Which records, as `GET /cdrs` takes them."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NewExport(Sent):
    """An export to be started."""

    format: FormWord
    columns: list[ColumnName] = Field(
        [],
        max_length=len(COLUMN_NAMES),
        description="In this order; none = all. The formats `vos` and `vos-hourly` have their own.",
    )
    filter: ExportFilter | None = Field(None, description="Null: all records.")


class ExportOut(BaseModel):
    """An export as it is now."""

    id: str
    owner: str = Field(description="Who asked for it.")
    format: FormWord
    columns: list[str]
    state: StateWord
    rows_done: int
    rows_total: int | None = Field(description="Null: not counted yet.")
    size_bytes: int = Field(description="Of the file, once it is done.")
    file_name: str
    created_at: Moment
    ended_at: Moment | None
    expires_at: Moment | None = Field(description="When the file goes.")
    problem: str | None = Field(description="Why it failed.")
    hint: str | None = Field(description="What to do about it.")

    @classmethod
    def of(cls, job: ExportJob) -> Self:
        """As the API shows it."""
        return cls(
            id=job.id,
            owner=job.owner,
            format=job.form.value,
            columns=list(job.columns),
            state=job.state.value,
            rows_done=job.rows_done,
            rows_total=job.rows_total,
            size_bytes=job.size_bytes,
            file_name=job.file_name,
            created_at=iso_utc(job.created_us),
            ended_at=moment(job.ended_us),
            expires_at=moment(job.expires_us),
            problem=job.problem,
            hint=job.hint,
        )


class ExportList(BaseModel):
    """Exports of the caller, newest first; of everyone for an admin."""

    exports: list[ExportOut]


_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {
            form.media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for form in Form
        },
    }
}


@router.get("", **needs(Right.LOOK))
def list_exports(jobs: JobsOf, caller: CallerOf) -> ExportList:
    """The exports that are kept."""
    return ExportList(exports=[ExportOut.of(job) for job in jobs.jobs(caller)])


@router.post("", status_code=202, **needs(Right.LOOK, writes=True))
def start_export(jobs: JobsOf, caller: CallerOf, export: NewExport) -> ExportOut:
    """Have records written to a file; exports are worked off one after the other."""
    query = CdrQuery() if export.filter is None else export.filter.query()
    job_id = jobs.start(query, Form(export.format), export.columns, caller)
    return ExportOut.of(jobs.job(job_id, caller))


@router.get("/{export_id}", **needs(Right.LOOK, 404))
def get_export(jobs: JobsOf, caller: CallerOf, export_id: ExportId) -> ExportOut:
    """How far an export is."""
    return ExportOut.of(jobs.job(export_id, caller))


@router.get(
    "/{export_id}/file",
    response_class=FileResponse,
    status_code=200,
    **needs(Right.LOOK, 404, 409, documented=_FILE),
)
def get_file(jobs: JobsOf, caller: CallerOf, export_id: ExportId) -> FileResponse:
    """The file of an export that is done."""
    job = jobs.job(export_id, caller)
    path = jobs.file(export_id, caller)
    return FileResponse(path, filename=job.file_name, media_type=job.form.media_type)


@router.post("/{export_id}/cancel", **needs(Right.LOOK, 404, writes=True))
def cancel_export(jobs: JobsOf, caller: CallerOf, export_id: ExportId) -> ExportOut:
    """Have an export end without a file; a running one ends a moment later, one that is over stays."""
    return ExportOut.of(jobs.cancel(export_id, caller))


@router.delete("/{export_id}", **needs(Right.LOOK, 404, writes=True))
def remove_export(jobs: JobsOf, caller: CallerOf, export_id: ExportId) -> ExportOut:
    """Forget an export that is over, and its file; what it was is the answer."""
    job = jobs.job(export_id, caller)
    jobs.remove(export_id, caller)
    return ExportOut.of(job)
