# SPDX-License-Identifier: Apache-2.0
"""Tokens of programs that call the API."""

from starlette.responses import Response

from ringfence.errors import ConfigError, RingfenceError
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit
from ringfence.settings.duration import parse_duration
from ringfence.settings.model import Role


def routes(site: Site) -> list[GuardedRoute]:
    """The list and its changes."""
    pages = _Tokens(site)
    return [
        site.route("/tokens", pages.all, Right.PEOPLE),
        site.route("/tokens/add", pages.add, Right.PEOPLE, methods=["POST"]),
        site.route("/tokens/remove", pages.remove, Right.PEOPLE, methods=["POST"]),
    ]


class _Tokens:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """Every token, without its secret."""
        return self._all(visit)

    def _all(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        return self._site.page(
            visit,
            "tokens.html",
            status=400 if problem else 200,
            problem=problem,
            tokens=self._site.office.settings.tokens.all(),
            form=visit.form if problem else {},
        )

    def add(self, visit: Visit) -> Response:
        """Make a token; it is shown once."""
        name = visit.form.get("name", "").strip()
        try:
            length = visit.form.get("for", "")
            made = self._site.office.settings.tokens.add(
                name,
                Role(visit.form.get("role", "viewer")),
                for_s=parse_duration(length) if length else None,
                actor=visit.actor,
            )
        except ConfigError as error:
            return self._all(visit, error)
        except ValueError:
            wrong = ConfigError(visit.say("role or length of time is wrong"), code="bad_value")
            return self._all(visit, wrong)
        self._site.take(made.change.version)
        return self._site.page(visit, "secret.html", title=name, secret=made.secret, back="/tokens")

    def remove(self, visit: Visit) -> Response:
        """Let a program in no longer."""
        name = visit.form.get("name", "")
        change = self._site.office.settings.tokens.remove(name, actor=visit.actor)
        return self._site.done(
            "/tokens", visit.say("The token {name} opens nothing any longer.", name=name), change
        )
