# SPDX-License-Identifier: Apache-2.0
"""Set-up, login, logout, and what people keep about themselves: password, second factor, sessions."""

from typing import Any, Final
from urllib.parse import urlsplit

import pyotp
import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from ringfence.errors import ConfigError, RingfenceError
from ringfence.portal.access import AccessError
from ringfence.portal.rights import Right
from ringfence.portal.site import COOKIE, GuardedRoute, Site, Visit, log_in

_ISSUER: Final = "Ringfence"


def routes(site: Site) -> list[GuardedRoute]:
    """The ways in and out."""
    door = _Door(site)
    return [
        site.route("/setup/{token}", door.setup, Right.OPEN),
        site.route("/setup/{token}", door.set_up, Right.OPEN, methods=["POST"]),
        site.route("/login", door.login, Right.OPEN),
        site.route("/login", door.log_in, Right.OPEN, methods=["POST"]),
        site.route("/logout", door.log_out, Right.OWN, methods=["POST"]),
        site.route("/account", door.account, Right.OWN),
        site.route("/account/password", door.change_password, Right.OWN, methods=["POST"]),
        site.route("/account/factor", door.add_factor, Right.OWN, methods=["POST"]),
        site.route("/account/factor/remove", door.remove_factor, Right.OWN, methods=["POST"]),
        site.route("/account/sessions/close", door.close_session, Right.OWN, methods=["POST"]),
    ]


class _Door:
    def __init__(self, site: Site) -> None:
        self._site = site

    def setup(self, visit: Visit) -> Response:
        """Where the one-time link leads."""
        if not self._site.access.is_setup(visit.request.path_params["token"]):
            raise AccessError(
                visit.say("This link was used already, or the office was started anew since"),
                hint=visit.say("log in, or start the office again: without users it prints a new link"),
                code="setup",
            )
        return self._site.page(visit, "setup.html", name="admin", problem=None)

    def set_up(self, visit: Visit) -> Response:
        """Make the first user and log them in."""
        name, password = visit.form.get("name", "").strip(), visit.form.get("password", "")
        try:
            _same(visit, password, visit.form.get("again", ""))
            user = self._site.access.set_up(visit.request.path_params["token"], name, password)
        except ConfigError as error:
            return self._site.page(visit, "setup.html", status=400, name=name, problem=error)
        cookie = self._site.office.settings.sessions.open(
            user, address=visit.address, user_agent=visit.request.headers.get("user-agent", "")
        )
        return log_in(self._site.done("/", visit.say("Welcome.")), cookie, visit.request)

    def login(self, visit: Visit) -> Response:
        """Ask for name and password."""
        if visit.caller is not None:
            return RedirectResponse(_path(visit.asked.get("following", "")), 303)
        return self._login(visit, None, 200)

    def log_in(self, visit: Visit) -> Response:
        """Let somebody in, or say what is wrong."""
        try:
            cookie = self._site.access.log_in(
                visit.form.get("name", "").strip(),
                visit.form.get("password", ""),
                visit.form.get("code", ""),
                address=visit.address,
                user_agent=visit.request.headers.get("user-agent", ""),
            )
        except AccessError as error:
            status = {"slow": 429, "second_factor": 401}.get(error.code, 403)
            return self._login(visit, error, status)
        return log_in(RedirectResponse(_path(visit.form.get("following", "")), 303), cookie, visit.request)

    def _login(self, visit: Visit, error: RingfenceError | None, status: int) -> Response:
        return self._site.page(
            visit,
            "login.html",
            status=status,
            is_new=self._site.access.is_new,
            problem=error,
            name=visit.form.get("name", ""),
            following=visit.form.get("following", visit.asked.get("following", "")),
            wants_code=(error is not None and error.code == "second_factor") or "code" in visit.form,
        )

    def log_out(self, visit: Visit) -> Response:
        """End the session."""
        self._site.office.settings.sessions.close(visit.session_id, actor=visit.actor)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    def account(self, visit: Visit) -> Response:
        """One's own page."""
        return self._account(visit)

    def _account(self, visit: Visit, problem: RingfenceError | None = None, secret: str = "") -> Response:
        settings = self._site.office.settings
        name = visit.known.name
        has_factor = settings.users.second_factor(name) is not None
        values: dict[str, Any] = {}
        if not has_factor:
            secret = secret or pyotp.random_base32()
            address = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=_ISSUER)
            drawn = segno.make(address, error="m").svg_inline(border=2, omitsize=True)
            values = {"secret": secret, "drawn": Markup(drawn)}  # noqa: S704 - made by us of our own letters
        return self._site.page(
            visit,
            "account.html",
            status=400 if problem else 200,
            problem=problem,
            has_factor=has_factor,
            sessions=settings.sessions.of(name),
            **values,
        )

    def change_password(self, visit: Visit) -> Response:
        """Change one's own password; all other sessions end."""
        settings, name = self._site.office.settings, visit.known.name
        try:
            new = visit.form.get("new", "")
            _same(visit, new, visit.form.get("again", ""))
            if settings.users.verify(name, visit.form.get("old", "")) is None:
                raise ConfigError(visit.say("The present password is wrong"), code="bad_value")
            change = settings.users.set_password(name, new, actor=visit.actor, keep_session=visit.session_id)
        except ConfigError as error:
            return self._account(visit, error)
        return self._site.done(
            "/account", visit.say("The password is changed. Other sessions were ended."), change
        )

    def add_factor(self, visit: Visit) -> Response:
        """Begin to ask for a code at login, once one was shown."""
        secret = visit.form.get("secret", "")
        name = visit.known.name
        if not (secret.isalnum() and secret.isascii() and len(secret) == 32) or not self._site.access.proves(
            name, secret, visit.form.get("code", "")
        ):
            wrong = ConfigError(
                visit.say("The code does not fit"),
                hint=visit.say("scan the picture, then type the six digits that your app shows now"),
                code="bad_value",
            )
            return self._account(visit, wrong, secret if len(secret) == 32 and secret.isalnum() else "")
        change = self._site.office.settings.users.set_second_factor(name, secret, actor=visit.actor)
        return self._site.done("/account", visit.say("From now on a code is asked for at login."), change)

    def remove_factor(self, visit: Visit) -> Response:
        """Ask for no code any longer; needs the password."""
        settings, name = self._site.office.settings, visit.known.name
        if settings.users.verify(name, visit.form.get("old", "")) is None:
            wrong = ConfigError(visit.say("The present password is wrong"), code="bad_value")
            return self._account(visit, wrong)
        change = settings.users.set_second_factor(name, None, actor=visit.actor)
        return self._site.done("/account", visit.say("No code is asked for at login any longer."), change)

    def close_session(self, visit: Visit) -> Response:
        """End one of one's own sessions."""
        settings = self._site.office.settings
        settings.sessions.close(visit.form.get("session", ""), actor=visit.actor, user=visit.known.name)
        return self._site.done("/account", visit.say("The session is ended."))


def _same(visit: Visit, password: str, again: str) -> None:
    if password != again:
        raise ConfigError(
            visit.say("The two passwords differ"), hint=visit.say("type them again"), code="bad_value"
        )


def _path(following: str) -> str:
    """Where to go on: a path of ours, never another host."""
    parts = urlsplit(following)
    is_ours = following.startswith("/") and not following.startswith(("//", "/\\"))
    return following if is_ours and not parts.netloc and not parts.scheme else "/"
