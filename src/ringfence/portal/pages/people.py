# SPDX-License-Identifier: Apache-2.0
"""Who may come in: users, their sessions, and what everybody did."""

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.errors import ConfigError, RingfenceError
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit
from ringfence.settings.model import AuditRow, Role

_AUDITED = 200


def routes(site: Site) -> list[GuardedRoute]:
    """Users and audit."""
    people = _People(site)
    return [
        site.route("/users", people.users, Right.PEOPLE),
        site.route("/users/add", people.add, Right.PEOPLE, methods=["POST"]),
        site.route("/users/set", people.change, Right.PEOPLE, methods=["POST"]),
        site.route("/users/remove", people.remove, Right.PEOPLE, methods=["POST"]),
        site.route("/users/sessions/close", people.close_session, Right.PEOPLE, methods=["POST"]),
        site.route("/audit", people.audit, Right.PEOPLE),
    ]


class _People:
    def __init__(self, site: Site) -> None:
        self._site = site

    def users(self, visit: Visit) -> Response:
        """Every user and every session."""
        return self._users(visit)

    def _users(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        settings = self._site.office.settings
        users = settings.users.all()
        return self._site.page(
            visit,
            "users.html",
            status=400 if problem else 200,
            problem=problem,
            users=users,
            factors={user.name for user in users if settings.users.second_factor(user.name)},
            sessions=settings.sessions.of(),
            roles=[role.value for role in Role],
            form=visit.form if problem else {},
        )

    def add(self, visit: Visit) -> Response:
        """Let somebody in."""
        name = visit.form.get("name", "").strip()
        try:
            role = _role(visit)
            change = self._site.office.settings.users.add(
                name, role, visit.form.get("password", ""), actor=visit.actor
            )
        except ConfigError as error:
            return self._users(visit, error)
        return self._site.done("/users", visit.say("{name} may log in now.", name=name), change)

    def change(self, visit: Visit) -> Response:
        """Give a user another role, another password, or take away a second factor that was lost."""
        settings, name = self._site.office.settings, visit.form.get("name", "")
        try:
            role = _role(visit)
            change = settings.users.set_role(name, role, actor=visit.actor)
            if visit.form.get("password"):
                change = settings.users.set_password(
                    name, visit.form["password"], actor=visit.actor, keep_session=visit.session_id
                )
            if "forget_factor" in visit.form:
                change = settings.users.set_second_factor(name, None, actor=visit.actor)
        except ConfigError as error:
            return self._users(visit, error)
        return self._site.done("/users", visit.say("{name} is changed.", name=name), change)

    def remove(self, visit: Visit) -> Response:
        """Let a user in no longer; their sessions end."""
        name = visit.form.get("name", "")
        try:
            change = self._site.office.settings.users.remove(name, actor=visit.actor)
        except ConfigError as error:
            return self._users(visit, error)
        return self._site.done("/users", visit.say("{name} may not log in any longer.", name=name), change)

    def close_session(self, visit: Visit) -> Response:
        """End anybody's session."""
        self._site.office.settings.sessions.close(visit.form.get("session", ""), actor=visit.actor)
        return self._site.done("/users", visit.say("The session is ended."))

    def audit(self, visit: Visit) -> Response:
        """What was changed, by whom, from what to what."""
        rows = self._site.office.settings.audit(
            kind=visit.asked.get("kind"), name=visit.asked.get("name"), limit=_AUDITED
        )
        return self._site.page(visit, "audit.html", rows=[(row, differences(row)) for row in rows])


def differences(row: AuditRow) -> list[tuple[str, str, str]]:
    """What an act changed: name, before, after."""
    before = _fields(row.before)
    after = _fields(row.after)
    return [
        (name, before.get(name, ""), after.get(name, ""))
        for name in dict.fromkeys([*before, *after])
        if before.get(name, "") != after.get(name, "")
    ]


def _fields(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    found: Any = json.loads(text)
    if not isinstance(found, dict):
        return {"": json.dumps(found, ensure_ascii=False)}
    return {name: _for_eyes(name, value) for name, value in _flat(found, "")}


def _flat(found: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """Each value with its name; those of an object inside by its name, a dot, and theirs."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _for_eyes(name: str, value: Any) -> str:
    """A value of the audit: nothing as nothing, a moment as one, lists without brackets."""
    if value is None:
        return ""
    if name.endswith("_at_us") and isinstance(value, int):
        return iso_utc(value)
    if isinstance(value, list):
        return ", ".join(_for_eyes("", each) for each in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _role(visit: Visit) -> Role:
    try:
        return Role(visit.form.get("role", ""))
    except ValueError:
        raise ConfigError(
            visit.say("there is no such role"), hint="admin, analyst, viewer", code="bad_value"
        ) from None
