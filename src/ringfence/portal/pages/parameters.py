# SPDX-License-Identifier: Apache-2.0
"""The operator's parameters: grouped, searchable, with default, range, meaning and history."""

from itertools import groupby

from starlette.responses import Response

from ringfence.errors import ConfigError, RingfenceError
from ringfence.portal.pages.people import differences
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit
from ringfence.settings.parameters import PARAMETERS, lookup

_SHOWN = 50


def routes(site: Site) -> list[GuardedRoute]:
    """The list, each parameter, and changes."""
    pages = _Parameters(site)
    return [
        site.route("/parameters", pages.all, Right.LOOK),
        site.route("/parameters/{name}", pages.one, Right.LOOK),
        site.route("/parameters/{name}/set", pages.set, Right.SETTINGS, methods=["POST"]),
        site.route("/parameters/{name}/reset", pages.reset, Right.SETTINGS, methods=["POST"]),
    ]


class _Parameters:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """Every parameter that the search finds, by group."""
        words = visit.asked.get("q", "").casefold().split()
        values = {value.name: value for value in self._site.office.settings.parameters.all()}
        found = [
            each
            for each in PARAMETERS
            if all(
                word in f"{each.name} {each.group} {each.meaning} {visit.say(each.meaning)}".casefold()
                for word in words
            )
            and not ("changed" in visit.asked and not values[each.name].is_set)
        ]
        groups = [(name, list(members)) for name, members in groupby(found, key=lambda each: each.group)]
        return self._site.page(visit, "parameters.html", groups=groups, values=values, total=len(PARAMETERS))

    def one(self, visit: Visit) -> Response:
        """One parameter and who changed it."""
        return self._one(visit)

    def _one(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        name = visit.request.path_params["name"]
        settings = self._site.office.settings
        parameter = lookup(name)
        rows = settings.audit(kind="parameter", name=parameter.name, limit=_SHOWN)
        return self._site.page(
            visit,
            "parameter.html",
            status=400 if problem else 200,
            problem=problem,
            parameter=parameter,
            value=settings.parameters.get(parameter.name),
            typed=visit.form.get("value"),
            history=[(row, differences(row)) for row in rows],
        )

    def set(self, visit: Visit) -> Response:
        """Give a parameter a value."""
        parameter = lookup(visit.request.path_params["name"])
        try:
            value = parameter.parse(visit.form.get("value", ""))
            change = self._site.office.settings.parameters.set(parameter.name, value, actor=visit.actor)
        except ConfigError as error:
            return self._one(visit, error)
        said = visit.say("{name} is {value} now.", name=parameter.name, value=value)
        return self._site.done(f"/parameters/{parameter.name}", said, change)

    def reset(self, visit: Visit) -> Response:
        """Back to the default."""
        parameter = lookup(visit.request.path_params["name"])
        change = self._site.office.settings.parameters.reset(parameter.name, actor=visit.actor)
        said = visit.say("{name} is back at its default.", name=parameter.name)
        return self._site.done(f"/parameters/{parameter.name}", said, change)
