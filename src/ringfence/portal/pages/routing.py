# SPDX-License-Identifier: Apache-2.0
"""Where calls go: routing gateways, their groups, and why a call goes where it does."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from ringfence.call.explanation import Question, explain, where
from ringfence.errors import ConfigError, NotFoundError, RingfenceError
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.policy.refusal import Refusal
from ringfence.portal.pages import vendors
from ringfence.portal.pages.call_forms import MOST_TYPED, sections, with_form
from ringfence.portal.pages.people import differences
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit, link
from ringfence.routing.plan import Plan, ToGateways, ToPhone
from ringfence.routing.table import Phase
from ringfence.settings.calls_model import (
    GatewayGroup,
    Registration,
    RouteCalls,
    RoutingGateway,
    RoutingGatewayDraft,
    RoutingGatewayEdit,
)
from ringfence.settings.model import Change
from ringfence.settings.typed import whole_number

_HISTORY: Final = 20


def routes(site: Site) -> list[GuardedRoute]:
    """Routing gateways, groups, and the explanation of a call."""
    gateways, groups, explained = _Vendors(site), _Groups(site), _Explained(site)
    return [
        site.route("/routes", gateways.all, Right.LOOK),
        site.route("/live/routes", gateways.now, Right.LOOK),
        site.route("/live/routes/{id:int}", gateways.state, Right.LOOK),
        site.route("/routes/add", gateways.add, Right.SETTINGS, methods=["POST"]),
        site.route("/routes/{id:int}", gateways.one, Right.LOOK),
        site.route("/routes/{id:int}/edit", gateways.edit, Right.SETTINGS, methods=["POST"]),
        site.route("/routes/{id:int}/calls", gateways.calls, Right.SETTINGS, methods=["POST"]),
        site.route("/routes/{id:int}/remove", gateways.remove, Right.SETTINGS, methods=["POST"]),
        site.route("/groups", groups.all, Right.LOOK),
        site.route("/groups/add", groups.add, Right.SETTINGS, methods=["POST"]),
        site.route("/groups/set", groups.set_remark, Right.SETTINGS, methods=["POST"]),
        site.route("/groups/remove", groups.remove, Right.SETTINGS, methods=["POST"]),
        site.route("/route-explain", explained.page, Right.LOOK),
    ]


class _Vendors:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """Every routing gateway, and a form for another."""
        return self._all(visit)

    def _all(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        settings = self._site.office.settings
        return self._site.page(
            visit,
            "routes.html",
            status=400 if problem else 200,
            problem=problem,
            **self._table(visit),
            groups=[group.name for group in settings.groups.all()],
            dynamic=_dynamic(self._site),
            form=visit.form if problem else {},
        )

    def now(self, visit: Visit) -> Response:
        """The table of routing gateways; a part of the page."""
        return self._site.page(visit, "routes_part.html", **self._table(visit))

    def _table(self, visit: Visit) -> dict[str, Any]:
        """The routing gateways, and how we stand with each."""
        routes = self._site.office.settings.routing_gateways.all()
        return {"routes": routes, **self._states(visit, routes)}

    def _states(self, visit: Visit, routes: Sequence[RoutingGateway]) -> dict[str, Any]:
        return {
            "states": vendors.states(self._site.office, routes),
            "why": lambda ours: vendors.why(visit, ours),
        }

    def state(self, visit: Visit) -> Response:
        """How we stand with one vendor; a part of its page."""
        route = self._asked(visit)
        return self._site.page(visit, "route_state.html", route=route, **self._states(visit, [route]))

    def add(self, visit: Visit) -> Response:
        """Have a vendor to send calls to."""
        form = visit.form
        try:
            calls = RouteCalls(
                prefixes=tuple(form.get("prefixes", "").split()),
                priority=whole_number(form.get("priority", "").strip() or "0", "priority"),
                group=form.get("group") or None,
            )
            draft = RoutingGatewayDraft(
                name=form.get("name", "").strip(),
                address=form.get("address", "").strip() or None,
                registered_as=form.get("registered_as") or None,
                calls=calls,
            )
            change = self._site.office.settings.routing_gateways.add(draft, actor=visit.actor)
        except (ConfigError, NotFoundError) as error:
            return self._all(visit, error)
        return self._site.done(
            _path(change.after), visit.say("Calls may go to {name} now.", name=draft.name), change
        )

    def one(self, visit: Visit) -> Response:
        """One routing gateway, with all that it may be sent."""
        return self._one(visit, self._asked(visit))

    def _one(
        self,
        visit: Visit,
        route: RoutingGateway,
        problem: RingfenceError | None = None,
        *,
        calls_typed: bool = False,
    ) -> Response:
        settings = self._site.office.settings
        rows = (
            settings.audit(kind="route", name=route.name, limit=_HISTORY) if visit.may(Right.PEOPLE) else ()
        )
        return self._site.page(
            visit,
            "route.html",
            status=400 if problem else 200,
            problem=problem,
            route=route,
            **self._states(visit, [route]),
            sections=sections(
                visit,
                route.calls,
                groups=[group.name for group in settings.groups.all()],
                typed=calls_typed,
            ),
            most_typed=MOST_TYPED,
            dynamic=_dynamic(self._site),
            form=visit.form if problem and not calls_typed else {},
            history=[(row, differences(row)) for row in rows],
        )

    def edit(self, visit: Visit) -> Response:
        """Change where a vendor is and how we register with it."""
        form, route = visit.form, self._asked(visit)
        try:
            user = form.get("register_as", "").strip()
            expires_s = whole_number(form.get("register_expires_s", "").strip() or "3600", "expires")
            edit = RoutingGatewayEdit(
                name=form.get("name", route.name).strip(),
                address=form.get("address", "").strip() or None,
                registered_as=form.get("registered_as") or None,
                registration=Registration(user=user, expires_s=expires_s) if user else None,
                secret=form.get("secret") or None,
                unregister=route.registration is not None and not user,
                enabled="enabled" in form,
            )
            change = self._site.office.settings.routing_gateways.edit(route.name, edit, actor=visit.actor)
        except (ConfigError, NotFoundError) as error:
            return self._one(visit, route, error)
        return self._changed(visit, change.after or route, change)

    def calls(self, visit: Visit) -> Response:
        """Change what a vendor may be sent."""
        route = self._asked(visit)
        try:
            edit = RoutingGatewayEdit(calls=with_form(visit, route.calls))
            change = self._site.office.settings.routing_gateways.edit(route.name, edit, actor=visit.actor)
        except ConfigError as error:
            return self._one(visit, route, error, calls_typed=True)
        return self._changed(visit, route, change)

    def _changed(self, visit: Visit, route: RoutingGateway, change: Change[RoutingGateway]) -> Response:
        return self._site.done(_path(route), visit.say("{name} is changed.", name=route.name), change)

    def remove(self, visit: Visit) -> Response:
        """Send a vendor no calls any more."""
        name = self._asked(visit).name
        change = self._site.office.settings.routing_gateways.remove(name, actor=visit.actor)
        return self._site.done("/routes", visit.say("{name} gets no calls any longer.", name=name), change)

    def _asked(self, visit: Visit) -> RoutingGateway:
        for route in self._site.office.settings.routing_gateways.all():
            if route.id == visit.request.path_params["id"]:
                return route
        raise NotFoundError(
            visit.say("there is no such routing gateway"),
            hint=visit.say("it may have been removed meanwhile"),
        )


class _Groups:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """Every group, who names it, and a form for another."""
        return self._all(visit)

    def _all(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        settings = self._site.office.settings
        vendors, customers = settings.routing_gateways.all(), settings.gateways.all()
        groups = [
            (
                group,
                [route for route in vendors if route.calls.group == group.name],
                [gateway for gateway in customers if group.name in gateway.calls.groups],
            )
            for group in settings.groups.all()
        ]
        return self._site.page(
            visit,
            "groups.html",
            status=400 if problem else 200,
            problem=problem,
            groups=groups,
            form=visit.form if problem else {},
        )

    def add(self, visit: Visit) -> Response:
        """Make a group."""
        name = visit.form.get("name", "").strip()
        try:
            group = GatewayGroup(name=name, remark=visit.form.get("remark", ""))
            change = self._site.office.settings.groups.add(group, actor=visit.actor)
        except ConfigError as error:
            return self._all(visit, error)
        return self._site.done("/groups", visit.say("The group {name} is made.", name=name), change)

    def set_remark(self, visit: Visit) -> Response:
        """Change what a group's remark says."""
        name = visit.form.get("name", "")
        try:
            change = self._site.office.settings.groups.set_remark(
                name, visit.form.get("remark", ""), actor=visit.actor
            )
        except ConfigError as error:
            return self._all(visit, error)
        return self._site.done("/groups", visit.say("{name} is changed.", name=name), change)

    def remove(self, visit: Visit) -> Response:
        """Forget a group that nobody names any more."""
        name = visit.form.get("name", "")
        try:
            change = self._site.office.settings.groups.remove(name, actor=visit.actor)
        except ConfigError as error:
            return self._all(visit, error)
        return self._site.done("/groups", visit.say("The group {name} is gone.", name=name), change)


class _Explained:
    def __init__(self, site: Site) -> None:
        self._site = site

    def page(self, visit: Visit) -> Response:
        """Where a call would go, and each rule on the way."""
        asked = visit.asked
        made: Plan | None = None
        problem: RingfenceError | None = None
        state = self._site.office.settings.state()
        if "via" in asked:
            try:
                question = Question(
                    caller=asked.get("from", ""),
                    callee=asked.get("to", ""),
                    via=asked["via"],
                    at_us=_moment_us(visit),
                )
                made = explain(state, question)
            except (ConfigError, NotFoundError) as error:
                problem = error
        return self._site.page(
            visit,
            "route_explain.html",
            status=400 if problem else 200,
            problem=problem,
            made=made,
            verdict=None if made is None else _verdict(visit, made),
            is_refused=made is not None and isinstance(made.destination, Refusal),
            senders=[
                *(gateway.name for gateway in state.gateways),
                *(phone.number for phone in state.phones),
            ],
            where=where,
            phases=list(Phase),
            api=link("/api/v1/route-explain", asked),
        )


def _moment_us(visit: Visit) -> int:
    """The moment asked for, in the person's own zone unless it names one.

    Raises: ConfigError("bad_value").
    """
    text = visit.asked.get("at", "")
    if not text:
        return visit.site.office.clock.utc_us()
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=visit.zone)).timestamp()) * 1_000_000
    except (ValueError, OverflowError):
        raise ConfigError(
            visit.say("“{text}” is no time", text=text[:40]),
            hint=visit.say("for example {example}", example="2026-11-22T08:00"),
            code="bad_value",
        ) from None


def _verdict(visit: Visit, made: Plan) -> str:
    """What comes of the call, in a sentence."""
    match made.destination:
        case ToPhone(number=number):
            return visit.say("The call goes to our phone {number}.", number=number)
        case ToGateways(candidates=candidates):
            names = [candidate.route.name for candidate in candidates]
            if len(names) == 1:
                return visit.say("The call goes to {name}.", name=names[0])
            return visit.say(
                "The call goes to {name}, and if that fails to {others}.",
                name=names[0],
                others=", ".join(names[1:]),
            )
        case Refusal(value=name):
            reason = END_REASON_BY_NAME[name]
            why, sip, q850 = visit.say(reason.text), reason.sip, reason.q850
            return visit.say(
                "The call is refused: {why} ({name}, SIP {sip}, Q.850 {q850}).",
                why=why,
                name=name,
                sip=sip,
                q850=q850,
            )


def _dynamic(site: Site) -> list[str]:
    """Mapping gateways that register, so that calls may go to where they are."""
    return [gateway.name for gateway in site.office.settings.gateways.all() if gateway.username]


def _path(route: RoutingGateway | None) -> str:
    return "/routes" if route is None else f"/routes/{route.id}"
