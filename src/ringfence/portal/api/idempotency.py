# SPDX-License-Identifier: Apache-2.0
"""Bodies are read whole before they are looked at, and a change that is asked for twice is made once.

A client that does not know whether its change arrived sends it again with the same `Idempotency-Key` and gets
the first answer again. The answer is kept after the change was made: if the office dies between the two, the
repetition is judged afresh, and what can be there only once is refused as a duplicate.
"""

import hashlib
import json
import re
from contextlib import suppress
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.errors import StoreError
from ringfence.portal.api.access import READS, caller_in
from ringfence.portal.api.errors import ApiError, error_answer
from ringfence.portal.office import Office
from ringfence.settings.objects.answers import Answer

BODY_LIMIT_BYTES: Final = 1024 * 1024
ONLY_READ: Final = "/vos/"
"""POSTs whose path holds this change nothing, so nothing is kept of them."""

_KEY: Final = re.compile(rb"[!-~]{1,128}")
_NOT_KEPT: Final = frozenset({401, 403, 429})


class WholeBody:
    """Reads the body of whatever is no plain read, as far as it may go, and hands it on in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with the body read, or refuse it."""
        if scope["type"] != "http" or scope["method"] in READS:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_LIMIT_BYTES:
                error = ApiError("too_large", "the body is larger than 1 MiB", hint="send it in parts")
                await error_answer(error)(scope, receive, send)
                return
        await self._app(scope, _replaying(bytes(body), receive), send)


def _replaying(body: bytes, receive: Receive) -> Receive:
    is_read = False

    async def replay() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class Once:
    """Answers a repeated change with what was answered the first time."""

    def __init__(self, app: ASGIApp, office: Office) -> None:
        self._app = app
        self._answers = office.settings.answers
        self._under_way: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer as before."""
        caller = caller_in(scope)
        if (
            scope["type"] != "http"
            or caller is None
            or scope["method"] in READS
            or ONLY_READ in scope["path"]
        ):
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if not sent:
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, receive, caller.actor, sent)
        except (ApiError, StoreError) as error:
            answer = error_answer(error)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, actor: str, sent: list[bytes]) -> Response:
        if len(sent) != 1 or not _KEY.fullmatch(sent[0]):
            raise ApiError(
                "bad_request",
                "this can be no idempotency key",
                hint="send one, of 1 to 128 printable ASCII characters without blanks",
                field="Idempotency-Key",
            )
        key = sent[0].decode("ascii")
        message = await receive()
        body: bytes = message.get("body", b"")
        if (actor, key) in self._under_way:
            raise ApiError(
                "key_in_use", "a request with this idempotency key is under way", hint="wait, then repeat it"
            )
        self._under_way.add((actor, key))
        try:
            request_hash = await run_in_threadpool(_hash, scope, body, f"{actor} {key}")
            kept = await run_in_threadpool(self._answers.get, actor, key)
            if kept is None:
                answer = await self._made(scope, _replaying(body, receive))
                if answer.status_code < 500 and answer.status_code not in _NOT_KEPT:
                    made = Answer(
                        request_hash=request_hash,
                        status=answer.status_code,
                        body=_without_secret(bytes(answer.body)),
                    )
                    # The change is made: that its answer cannot be kept is no reason not to give it.
                    with suppress(StoreError):
                        await run_in_threadpool(self._answers.put, actor, key, made)
                return answer
        finally:
            self._under_way.discard((actor, key))
        if kept.request_hash != request_hash:
            raise ApiError(
                "key_reused",
                "this idempotency key was used for another request",
                hint="choose a new key for each change",
            )
        headers = {"Idempotent-Replayed": "true"}
        return Response(kept.body, kept.status, headers=headers, media_type="application/json")

    async def _made(self, scope: Scope, receive: Receive) -> Response:
        """Have the change made, and the answer whole."""
        found = Response()
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                found.status_code = message["status"]
                found.raw_headers = list(message["headers"])
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, collect)
        found.body = bytes(body)
        return found


def _hash(scope: Scope, body: bytes, salt: str) -> str:
    """A digest of a request; slow, because there may be a password in it."""
    content_type = [value for name, value in scope["headers"] if name == b"content-type"]
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], *content_type, body)
    text = b"".join(len(part).to_bytes(4) + part for part in parts)
    return hashlib.scrypt(text, salt=salt.encode(), n=1 << 12, r=8, p=1).hex()


def _without_secret(body: bytes) -> str:
    """An answer as it may be kept: what is shown only once is left out."""
    answer = json.loads(body)
    if isinstance(answer, dict) and "secret" in answer:
        answer["secret"] = None
    return json.dumps(answer)
