# SPDX-License-Identifier: Apache-2.0
"""Saved views: the filters of a page, kept under a name by whoever looks at it."""

from typing import Final

from starlette.responses import Response

from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit

PAGES: Final = ("cdrs", "illegal")
"""Pages that keep views; `/NAME` is where each is."""


def routes(site: Site) -> list[GuardedRoute]:
    """Save and remove, on each page that has views."""
    return [
        route
        for page in PAGES
        for view in (_Views(site, page),)
        for route in (
            site.route(f"/{page}/views", view.save, Right.OWN, methods=["POST"]),
            site.route(f"/{page}/views/remove", view.remove, Right.OWN, methods=["POST"]),
        )
    ]


class _Views:
    def __init__(self, site: Site, page: str) -> None:
        self._site = site
        self._page = page

    def save(self, visit: Visit) -> Response:
        """Keep the filters under a name."""
        query = visit.form.get("query", "")
        views = self._site.office.settings.views
        views.save(visit.known.name, self._page, visit.form.get("name", ""), query)
        address = f"/{self._page}?{query}" if query else f"/{self._page}"
        return self._site.done(address, visit.say("The view is saved."))

    def remove(self, visit: Visit) -> Response:
        """Let a saved view go."""
        text = visit.form.get("id", "")
        number = int(text) if text.isascii() and text.isdigit() else 0
        self._site.office.settings.views.remove(visit.known.name, number)
        return self._site.done(f"/{self._page}", visit.say("The view is removed."))
