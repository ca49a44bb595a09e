# SPDX-License-Identifier: Apache-2.0
"""Who calls, and whether they may: bearer tokens, one right per route.

A token comes with each request. Someone logged in to the portal may read through the API as well; a change
wants a token, which no other site can make a browser send.
"""

from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from fastapi import Depends, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ringfence.clock import Clock
from ringfence.errors import StoreError
from ringfence.portal.api.errors import CODES, ApiError, ErrorAnswer, error_answer, unauthenticated
from ringfence.portal.office import Office
from ringfence.portal.rights import Caller, Right

WRONG_TOKENS: Final = 10
WRONG_WINDOW_S: Final = 60.0
WRONG_SOURCES: Final = 4096

READS: Final = frozenset({"GET", "HEAD"})

_CALLER: Final = "api_caller"
_IPV6_HOST_BITS: Final = 64

_BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="A token made with `ringfence token add`."
)
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Chosen by the client, different for each change: a repeated request is made once.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
_ALWAYS: Final = (401, 403, 422, 429, 503)


class WrongTokens:
    """How many wrong tokens came from where, lately.

    Shape: an IPv4 address or an IPv6 /64 each; at most `WRONG_SOURCES`, the one longest silent goes first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, host: str) -> float | None:
        """Note one more; for how many seconds the source gets no other answer, None = not yet too many."""
        source, now_s = _network(host), self._clock.monotonic_s()
        since_s, count = self._seen.pop(source, (now_s, 0))
        if now_s - since_s >= WRONG_WINDOW_S:
            since_s, count = now_s, 0
        self._seen[source] = (since_s, count + 1)
        if len(self._seen) > WRONG_SOURCES:
            self._seen.popitem(last=False)
        return WRONG_WINDOW_S - (now_s - since_s) if count >= WRONG_TOKENS else None

    def __len__(self) -> int:
        return len(self._seen)


def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> _IPV6_HOST_BITS)
    return host


class Gate:
    """Finds out who calls, before anything is read; turns wrong tokens away."""

    def __init__(self, app: ASGIApp, office: Office) -> None:
        self._app = app
        self._office = office
        self._wrong = WrongTokens(office.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with who calls in the scope, or turn away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        try:
            state[_CALLER] = await self._caller(scope)
        except (ApiError, StoreError) as error:
            await error_answer(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if not sent:
            person = scope["state"].get("caller")
            return person if isinstance(person, Caller) and scope["method"] in READS else None
        scheme, _, secret = sent[0].decode("latin-1").partition(" ")
        token = None
        if len(sent) == 1 and scheme.lower() == "bearer":
            token = await run_in_threadpool(self._office.settings.tokens.find, secret.strip())
        if token is not None:
            return Caller(name=token.name, role=token.role, is_token=True)
        client = HTTPConnection(scope).client
        wait_s = self._wrong.note("" if client is None else client.host)
        if wait_s is not None:
            raise ApiError(
                "rate_limited",
                "too many wrong tokens came from your address",
                hint="wait, then send a token that is good",
                headers={"Retry-After": str(int(wait_s) + 1)},
            )
        raise unauthenticated("the token is not good", "`ringfence token list` shows which there are")


class Needs:
    """A dependency that lets through those who have a right."""

    def __init__(self, right: Right) -> None:
        self.right = right

    def __call__(self, request: Request) -> None:
        """Raises: ApiError("unauthenticated" or "forbidden")."""
        caller = caller_in(request.scope)
        if caller is None:
            raise unauthenticated(
                "this takes a token", "send Authorization: Bearer SECRET; `ringfence token add` makes one"
            )
        if not caller.may(self.right):
            raise ApiError(
                "forbidden",
                f"a token of role {caller.role.value} may not do this",
                hint=f"it takes a role with the right {self.right.value!r}",
            )


def caller_in(scope: Scope) -> Caller | None:
    """Who calls; None if nobody said."""
    found: Caller | None = scope.get("state", {}).get(_CALLER)
    return found


def caller_of(request: Request) -> Caller:
    """Who calls a route that needs a right.

    Raises: ApiError("unauthenticated").
    """
    caller = caller_in(request.scope)
    if caller is None:
        raise unauthenticated("this takes a token", "send Authorization: Bearer SECRET")
    return caller


def needs(
    right: Right,
    *also: int,
    writes: bool = False,
    also_models: Mapping[int, type[BaseModel]] | None = None,
    documented: Mapping[int | str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What a route that asks for a right is declared with.

    Shape: `also` are more statuses that it answers with an error, `also_models` those with something else,
    `documented` what OpenAPI says of others.
    """
    extra: dict[str, Any] = {"x-right": right.value}
    dependencies = []
    statuses = set(also)
    if right is not Right.OPEN:
        dependencies = [Security(_BEARER), Depends(Needs(right))]
        statuses.update(_ALWAYS)
    if writes:
        statuses.update((400, 409, 413))
        extra["parameters"] = [_KEY_PARAMETER]
    responses = _responses(statuses)
    responses |= {status: {"model": model} for status, model in (also_models or {}).items()}
    responses |= documented or {}
    return {"dependencies": dependencies, "openapi_extra": extra, "responses": responses}


def _responses(statuses: set[int]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "model": ErrorAnswer,
            "description": "; ".join(f"`{code}`" for code, each in CODES.items() if each.status == status),
        }
        for status in sorted(statuses)
    }
