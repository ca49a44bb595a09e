# SPDX-License-Identifier: Apache-2.0
"""One shape for all that goes wrong: `{"error": {"code", "message", "hint", "field"}}`.

What a client sent never comes back in it unescaped, and no error of ours is told beyond its code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ringfence.errors import ConfigError, NotFoundError, RingfenceError

_log = structlog.get_logger("ringfence.api")

_FIELD_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A stable code: the status it comes with, and what it means."""

    status: int
    meaning: str


CODES: Final[dict[str, Code]] = {
    "bad_json": Code(status=400, meaning="The body is not JSON."),
    "bad_request": Code(status=400, meaning="The request cannot be read."),
    "unauthenticated": Code(status=401, meaning="No token came, or one that is not good (any more)."),
    "forbidden": Code(status=403, meaning="The role of the token does not have the right."),
    "not_found": Code(status=404, meaning="There is no such object, or no such address."),
    "unknown_parameter": Code(status=404, meaning="No parameter has that name."),
    "method_not_allowed": Code(status=405, meaning="The address does not take that method."),
    "authorised_source": Code(
        status=409, meaning="A black entry would cover a gateway; an authorised source is never blocked."
    ),
    "conflict": Code(status=409, meaning="Someone else made the same change at the same moment."),
    "duplicate": Code(status=409, meaning="It is there already."),
    "in_use": Code(status=409, meaning="Others name it: take it away from them first."),
    "last_admin": Code(status=409, meaning="Somebody has to stay who may let others in."),
    "export_not_done": Code(
        status=409, meaning="The export has no file: it is not done, or came to nothing."
    ),
    "export_not_over": Code(status=409, meaning="The export waits or runs: cancel it first."),
    "key_in_use": Code(status=409, meaning="A request with this idempotency key is under way."),
    "key_reused": Code(status=409, meaning="This idempotency key was used for another request."),
    "too_many": Code(status=409, meaning="There are as many of them as there may be."),
    "too_large": Code(status=413, meaning="The body is larger than 1 MiB."),
    "bad_value": Code(status=422, meaning="A value is not what it has to be; `field` names it."),
    "not_a_number": Code(status=422, meaning="A value has to be a whole number."),
    "out_of_range": Code(status=422, meaning="A number is outside its range; `hint` names the range."),
    "exports_busy": Code(status=429, meaning="Too many exports wait already."),
    "rate_limited": Code(status=429, meaning="Too many wrong tokens from this address; see Retry-After."),
    "too_many_streams": Code(status=429, meaning="As many live streams as there may be are open."),
    "internal": Code(status=500, meaning="A fault of Ringfence: please report it."),
    "control": Code(status=503, meaning="The switch runs and does not answer as it should."),
    "no_switch": Code(status=503, meaning="No switch runs here."),
    "starting": Code(status=503, meaning="The call records are being opened."),
    "store": Code(status=503, meaning="A store cannot be read or written; `message` says why."),
}
"""Every code that the API answers with."""

_OF_STATUS: Final = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    code: str = Field(description="Stable; see the list of codes.", json_schema_extra={"enum": [*CODES]})
    message: str = Field(description="What happened, in words.")
    hint: str | None = Field(description="What to do about it.")
    field: str | None = Field(default=None, description="Which value of the request it is about.")


class ErrorAnswer(BaseModel):
    """The answer to a request that was not carried out."""

    error: Problem


class ApiError(RingfenceError):
    """A request that is not carried out, by one of `CODES`."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.field = field
        self.headers = headers


def error_answer(error: RingfenceError) -> Response:
    """The answer that tells of an error."""
    code = code_of(error)
    field = error.field if isinstance(error, ApiError) else None
    problem = {"code": code, "message": error.message, "hint": error.hint}
    if field is not None:
        problem["field"] = field[:_FIELD_LENGTH]
    headers = dict(error.headers or {}) if isinstance(error, ApiError) else {}
    # ASCII with escapes: a name that a client made up may hold what no UTF-8 can say.
    body = json.dumps({"error": problem})
    return Response(body, CODES[code].status, headers=headers, media_type="application/json")


def code_of(error: RingfenceError) -> str:
    """The code that an error goes by in the API."""
    if error.code in CODES:
        return error.code
    if isinstance(error, ConfigError):
        return "bad_value"
    if isinstance(error, NotFoundError):
        return "not_found"
    return type(error).code if type(error).code in CODES else "store"


def unauthenticated(message: str, hint: str) -> ApiError:
    """Nobody who may call, or nobody known."""
    return ApiError("unauthenticated", message, hint=hint, headers={"WWW-Authenticate": "Bearer"})


def no_switch() -> ApiError:
    """No switch answers on this node."""
    return ApiError("no_switch", "no switch answers here", hint="start it: `ringfence run`")


def take_errors(app: FastAPI) -> None:
    """Have every error of an application answered in the one shape."""
    app.add_exception_handler(RingfenceError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _by_status)
    app.add_exception_handler(duckdb.Error, _records_failed)
    app.add_exception_handler(Exception, _failed)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RingfenceError)  # noqa: S101 - registered for it
    return error_answer(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first: Mapping[str, Any] = error.errors()[0]
    if first["type"] == "json_invalid":
        return error_answer(
            ApiError("bad_json", "the body is not JSON", hint=f"look at character {first['loc'][-1]}")
        )
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    hint = None
    if where == "body":
        hint = "send a JSON object with Content-Type: application/json"
    elif first["type"] == "extra_forbidden":
        hint = "leave it out, or look up how it is spelt in openapi.json"
    return error_answer(ApiError("bad_value", str(first["msg"]), hint=hint, field=where))


async def _by_status(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    code = _OF_STATUS.get(error.status_code, "bad_request")
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    hint = "openapi.json lists every address" if code in {"not_found", "method_not_allowed"} else None
    return error_answer(ApiError(code, str(error.detail), hint=hint, headers=headers))


async def _records_failed(_: Request, error: Exception) -> Response:
    _log.error("api.records_failed", error=str(error), kind=type(error).__name__)
    return error_answer(ApiError("store", "the call records cannot be read", hint="try again in a moment"))


async def _failed(_: Request, error: Exception) -> Response:
    _log.error("api.failed", error=str(error), kind=type(error).__name__)
    return error_answer(ApiError("internal", "this is a fault of Ringfence", hint="please report it"))
