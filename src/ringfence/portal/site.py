# SPDX-License-Identifier: Apache-2.0
"""What all pages share: who is looking, what they may do, how a page is made.

A handler is a plain function of a `Visit`; it runs in a worker thread. Its route names the right that it
asks for, and forms are read, measured and checked for their token before it is called.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ringfence.errors import ConfigError, ControlError, NotFoundError, RingfenceError, StoreError
from ringfence.portal.access import Access, AccessError, form_token, is_form_token
from ringfence.portal.audit_words import OBJECTS, VERBS
from ringfence.portal.office import Office
from ringfence.portal.rights import Caller, Right
from ringfence.portal.text import ago, visible
from ringfence.portal.words import LANGUAGES, Translate, grouped, preferred, translator
from ringfence.settings.model import Change
from ringfence.settings.objects.sessions import LONGEST_US
from ringfence.text import sentence

COOKIE: Final = "ringfence_session"
_FLASH: Final = "ringfence_said"
_FORM_LIMIT_BYTES: Final = 4 * 1024 * 1024
_FIELDS: Final = 200
_ZONE_LENGTH: Final = 64
_THEMES: Final = ("light", "dark")

Handler = Callable[["Visit"], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of one person.

    Shape: `caller` is None on open pages only. `form` has the fields of a form that was sent, each once;
    `files` what was sent as a file, as text.
    """

    site: "Site"
    request: Request
    caller: Caller | None
    cookie: str
    session_id: str
    language: str
    zone: ZoneInfo
    theme: str
    now: datetime
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    ticked: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def say(self) -> Translate:
        """How a sentence of ours reads to this person."""
        return translator(self.language)

    @property
    def known(self) -> Caller:
        """Who it is, on pages that are not open."""
        if self.caller is None:
            raise HTTPException(401)
        return self.caller

    @property
    def actor(self) -> str:
        """Who it is, for the audit."""
        return self.known.actor

    @property
    def asked(self) -> QueryParams:
        """The query part of the address, each value of each name; what is empty is left out."""
        return QueryParams(
            [(name, value) for name, value in self.request.query_params.multi_items() if value]
        )

    @property
    def address(self) -> str:
        """Where the request came from."""
        return self.request.client.host if self.request.client else ""

    def number(self, number: float) -> str:
        """A number for eyes."""
        return grouped(number, self.language)

    def local(self, at: datetime) -> datetime:
        """A moment in the person's own time zone."""
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(self.zone)

    @staticmethod
    def moment(at_us: int) -> datetime:
        """A moment of the settings or the journal, UTC microseconds, as templates take it."""
        return datetime.fromtimestamp(at_us // 1_000_000, UTC).replace(microsecond=at_us % 1_000_000)

    def may(self, right: Right) -> bool:
        """Whether the person has a right."""
        return self.caller is not None and self.caller.may(right)


class GuardedRoute(Route):
    """A route that knows the right it asks for."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]],
        right: Right,
        methods: Sequence[str],
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.right = right


class Site:
    """Makes pages."""

    def __init__(self, office: Office, access: Access) -> None:
        self.office = office
        self.access = access
        self._templates = Environment(
            loader=PackageLoader("ringfence.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["visible"] = visible
        self._templates.globals |= {
            "verbs": VERBS,
            "objects": OBJECTS,
            "pairs": lambda words: [(word, word) for word in words],
        }

    def page(self, visit: Visit, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page, or a part of one, in the person's language and time zone."""
        text = self._templates.get_template(template).render(
            visit=visit,
            _=visit.say,
            Right=Right,
            number=visit.number,
            languages=LANGUAGES,
            node=self.office.node,
            csrf=form_token(visit.cookie) if visit.cookie else "",
            said=unquote_plus(visit.request.cookies.get(_FLASH, "")),
            link=link,
            when=lambda at: ago(visit.local(at), visit.now, visit.say),
            exact=lambda at: f"{visit.local(at):%Y-%m-%d %H:%M:%S}",
            utc=lambda at: f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC",
            **self._frame(visit) if visit.caller else {},
            **values,
        )
        response = HTMLResponse(text, status)
        if _FLASH in visit.request.cookies and visit.request.headers.get("x-part") is None:
            response.delete_cookie(_FLASH)
        return response

    def _frame(self, visit: Visit) -> dict[str, Any]:
        """What the top bar of every page shows."""
        if visit.request.headers.get("x-part") is not None:
            return {}
        return {
            "books": self.office.switch.books(),
            "stats": self.office.ledger.stats,
            "open_alarms": len(self.office.settings.alarms.open()),
        }

    def problem(self, visit: Visit, error: RingfenceError) -> Response:
        """What went wrong, in words, with what to do about it."""
        return self._told(visit, error, _status(error))

    def _told(self, visit: Visit, error: RingfenceError, status: int) -> Response:
        if visit.caller is not None:
            # The top bar asks the settings too, and they may be what does not answer.
            with suppress(StoreError):
                return self.page(visit, "problem.html", status=status, problem=error)
            visit = replace(visit, caller=None)
        return self.page(visit, "problem_open.html", status=status, problem=error)

    def missing(self, request: Request, status: int) -> Response:
        """What is answered where there is no page, or not in this way."""
        try:
            visit = self._visit(request, None)
        except StoreError:
            visit = self._visit(request, None, is_known=False)
        message = (
            visit.say("There is no such page") if status == 404 else visit.say("This cannot be done here")
        )
        problem = NotFoundError(message, hint=visit.say("go on from the overview"))
        return self._told(visit, problem, status)

    def done(self, where: str, sentence: str, change: Change[Any] | None = None) -> Response:
        """Have a change taken by the switch, then go on to a page that says what was done."""
        if change is not None and change.changed:
            self.take(change.version)
        response = RedirectResponse(where, 303)
        response.set_cookie(_FLASH, _cookie_text(sentence), max_age=30, httponly=True, samesite="strict")
        return response

    def take(self, version: int) -> None:
        """Have the switch judge by a version of the settings.

        Raises: ControlError if it runs and does not take it; the change is stored all the same.
        """
        try:
            self.office.switch.take(version)
        except ControlError as error:
            raise ControlError(
                sentence("the change is stored, but the switch did not take it: {why}", why=error.told),
                hint=error.advice,
                code=error.code,
            ) from error

    def route(
        self, path: str, handler: Handler, right: Right, *, methods: Sequence[str] = ("GET",)
    ) -> GuardedRoute:
        """A route that only those with the right reach, and whose forms come from our own pages."""

        async def endpoint(request: Request) -> Response:
            form = await _form(request)
            try:
                return await run_in_threadpool(self._serve, request, handler, right, form)
            finally:
                if form is not None:
                    await form.close()

        return GuardedRoute(path, endpoint, right, methods)

    def _serve(self, request: Request, handler: Handler, right: Right, form: FormData | None) -> Response:
        try:
            visit = self._visit(request, form)
        except StoreError as error:
            # Nobody can be told apart while the settings cannot be read, so nobody is known.
            return self.problem(self._visit(request, form, is_known=False), error)
        try:
            if form is not None and request.headers.get("sec-fetch-site") == "cross-site":
                raise AccessError(
                    visit.say("This form came from another site"),
                    hint=visit.say("open the page again and repeat it"),
                    code="form",
                )
            if right is not Right.OPEN and visit.caller is None:
                return _to_login(request)
            if right is not Right.OPEN and not visit.may(right):
                raise AccessError(
                    visit.say("Your role does not allow this"),
                    hint=visit.say("ask somebody with the role admin"),
                    code="forbidden",
                )
            if form is not None and visit.cookie and right is not Right.OPEN:
                _require_token(visit)
            return handler(visit)
        except RingfenceError as error:
            return self.problem(visit, error)

    def _visit(self, request: Request, form: FormData | None, *, is_known: bool = True) -> Visit:
        cookie = request.cookies.get(COOKIE, "") if is_known else ""
        session = self.office.settings.sessions.find(cookie) if cookie else None
        fields, files, ticked = _read(form)
        theme = request.cookies.get("ringfence_theme", "")
        return Visit(
            site=self,
            request=request,
            caller=None if session is None else Caller(name=session.user.name, role=session.user.role),
            cookie=cookie if session else "",
            session_id=session.id if session else "",
            language=preferred(
                request.cookies.get("ringfence_language", ""), request.headers.get("accept-language", "")
            ),
            zone=_zone(request.cookies.get("ringfence_zone", "")),
            theme=theme if theme in _THEMES else "",
            now=datetime.fromtimestamp(self.office.clock.utc_us() / 1e6, UTC),
            form=fields,
            files=files,
            ticked=ticked,
        )


def link(path: str, asked: Mapping[str, str] | None = None, /, **changed: str | None) -> str:
    """An address of ours; None or nothing takes a name away, with all its values."""
    parts: dict[str, list[str]] = {}
    for name, value in asked.multi_items() if isinstance(asked, QueryParams) else (asked or {}).items():
        parts.setdefault(name, []).append(value)
    parts |= {name: [value] if value else [] for name, value in changed.items()}
    query = urlencode(parts, doseq=True)
    return f"{path}?{query}" if query else path


def without(asked: QueryParams, *names: str) -> QueryParams:
    """What was asked for but for some names."""
    return QueryParams([(name, value) for name, value in asked.multi_items() if name not in names])


def log_in(response: Response, cookie: str, request: Request) -> Response:
    """Give somebody the cookie of their session."""
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=LONGEST_US // 1_000_000,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _to_login(request: Request) -> Response:
    if request.headers.get("x-part") is not None:
        return Response(status_code=401)
    following = request.url.path if request.method == "GET" else ""
    if request.url.query and following:
        following += f"?{request.url.query}"
    return RedirectResponse(link("/login", following=following if following != "/" else None), 303)


def _require_token(visit: Visit) -> None:
    if not is_form_token(visit.cookie, visit.form.get("csrf", "")):
        raise AccessError(
            visit.say("This form is too old or came from elsewhere"),
            hint=visit.say("open the page again and repeat it"),
            code="form",
        )


async def _form(request: Request) -> FormData | None:
    if request.method not in ("POST", "PUT", "DELETE", "PATCH"):
        return None
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > _FORM_LIMIT_BYTES:
        raise HTTPException(413 if length.isdigit() else 411)
    return await request.form(max_fields=_FIELDS, max_files=1, max_part_size=_FORM_LIMIT_BYTES)


def _read(form: FormData | None) -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    fields: dict[str, str] = {}
    files: dict[str, str] = {}
    ticked: dict[str, list[str]] = {}
    for name, value in form.multi_items() if form is not None else ():
        if isinstance(value, str):
            fields[name] = value.replace("\x00", "")
            ticked.setdefault(name, []).append(fields[name])
        else:
            files[name] = value.file.read().decode("utf-8", "replace")
    return fields, files, ticked


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name) if 0 < len(name) <= _ZONE_LENGTH else ZoneInfo("UTC")
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")


def _cookie_text(sentence: str) -> str:
    """A sentence as a cookie may hold it: percent-encoded, short."""
    return urlencode({"": sentence[:300]})[1:]


_STATUS: Final[tuple[tuple[type[RingfenceError], str | None, int], ...]] = (
    (AccessError, "slow", 429),
    (AccessError, None, 403),
    (NotFoundError, None, 404),
    (StoreError, "conflict", 409),
    (StoreError, None, 503),
    (ControlError, None, 503),
    (ConfigError, None, 400),
)


def _status(error: RingfenceError) -> int:
    for kind, code, status in _STATUS:
        if isinstance(error, kind) and code in (None, error.code):
            return status
    return 500
