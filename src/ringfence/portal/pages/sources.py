# SPDX-License-Identifier: Apache-2.0
"""Who may call: mapping gateways by address, phones by registration."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from ringfence.control.messages import Flow, GatewayLoad
from ringfence.errors import ConfigError, RingfenceError
from ringfence.portal.pages.call_forms import MOST_TYPED, sections, with_form
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit, link
from ringfence.settings.checks import network_of
from ringfence.settings.model import Block, Gateway, GatewayDraft, GatewayEdit, PhoneDraft


def routes(site: Site) -> list[GuardedRoute]:
    """Gateways and phones."""
    gateways, phones = _Gateways(site), _Phones(site)
    return [
        site.route("/gateways", gateways.all, Right.LOOK),
        site.route("/live/gateways", gateways.now, Right.LOOK),
        site.route("/live/gateways/{name:path}", gateways.state, Right.LOOK),
        site.route("/gateways/add", gateways.add, Right.SETTINGS, methods=["POST"]),
        site.route("/gateways/address", gateways.add_address, Right.SETTINGS, methods=["POST"]),
        site.route("/gateways/{name:path}", gateways.one, Right.LOOK),
        site.route("/gateways/{name:path}/edit", gateways.edit, Right.SETTINGS, methods=["POST"]),
        site.route("/gateways/{name:path}/calls", gateways.calls, Right.SETTINGS, methods=["POST"]),
        site.route("/gateways/{name:path}/remove", gateways.remove, Right.SETTINGS, methods=["POST"]),
        site.route("/phones", phones.all, Right.LOOK),
        site.route("/live/phones", phones.now, Right.LOOK),
        site.route("/phones/add", phones.add, Right.SETTINGS, methods=["POST"]),
        site.route("/phones/{number}", phones.one, Right.LOOK),
        site.route("/phones/{number}/edit", phones.edit, Right.SETTINGS, methods=["POST"]),
        site.route("/phones/{number}/remove", phones.remove, Right.SETTINGS, methods=["POST"]),
    ]


class _Gateways:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """Every gateway, and a form for another."""
        return self._all(visit)

    def _all(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        return self._site.page(
            visit,
            "gateways.html",
            status=400 if problem else 200,
            problem=problem,
            **self._table(),
            form=visit.form if problem else visit.asked,
        )

    def now(self, visit: Visit) -> Response:
        """The table of gateways; a part of the page."""
        return self._site.page(visit, "gateways_part.html", **self._table())

    def _table(self) -> dict[str, Any]:
        gateways = self._site.office.settings.gateways.all()
        return {"gateways": gateways, **self._at_work(gateways)}

    def _at_work(self, gateways: Sequence[Gateway]) -> dict[str, Any]:
        """What gateways carry, and where those that register are; nothing if no switch answers."""
        counts = self._site.office.switch.call_counts()
        known = {} if counts is None else {load.id: load for load in counts.gateways}
        loads = {gateway.id: known.get(gateway.id, _idle(gateway)) for gateway in gateways}
        is_asked = any(gateway.username for gateway in gateways)
        return {
            "loads": None if counts is None else loads,
            "flows": registered(self._site) if is_asked else {},
        }

    def state(self, visit: Visit) -> Response:
        """How a gateway stands; a part of its page."""
        gateway = self._site.office.settings.gateways.get(visit.request.path_params["name"])
        return self._site.page(visit, "gateway_state.html", gateway=gateway, **self._at_work([gateway]))

    def add(self, visit: Visit) -> Response:
        """Authorise a source."""
        try:
            usual = GatewayDraft(name="", addresses=())
            draft = GatewayDraft(
                name=visit.form.get("name", "").strip(),
                addresses=_addresses(visit.form),
                calls_per_second=_whole(visit, "calls_per_second", usual.calls_per_second),
                burst=_whole(visit, "burst", usual.burst),
                in_flight=_whole(visit, "in_flight", usual.in_flight),
                username=visit.form.get("username", "").strip() or None,
                password=visit.form.get("password") or None,
            )
            change = self._site.office.settings.gateways.add(draft, actor=visit.actor)
        except ConfigError as error:
            return self._all(visit, error)
        said = visit.say("{name} may call now.", name=draft.name) + _lifted(visit, change.lifted)
        return self._site.done("/gateways", said, change)

    def add_address(self, visit: Visit) -> Response:
        """Give an address to a gateway that is there: “this is my customer”."""
        gateway = self._site.office.settings.gateways.get(visit.form.get("name", ""))
        addresses = (*gateway.addresses, visit.form.get("address", "").strip())
        edit = GatewayEdit(addresses=addresses)
        change = self._site.office.settings.gateways.edit(gateway.name, edit, actor=visit.actor)
        said = visit.say("{address} belongs to {name} now.", address=addresses[-1], name=gateway.name)
        return self._site.done(_path(gateway.name), said + _lifted(visit, change.lifted), change)

    def one(self, visit: Visit) -> Response:
        """One gateway."""
        return self._one(visit, self._site.office.settings.gateways.get(visit.request.path_params["name"]))

    def _one(
        self,
        visit: Visit,
        gateway: Gateway,
        problem: RingfenceError | None = None,
        *,
        calls_typed: bool = False,
    ) -> Response:
        settings = self._site.office.settings
        return self._site.page(
            visit,
            "gateway.html",
            status=400 if problem else 200,
            problem=problem,
            gateway=gateway,
            **self._at_work([gateway]),
            # Records have no filter for a source's port.
            records=[(each, link("/cdrs", source=str(network_of(each)))) for each in gateway.addresses],
            form=visit.form if problem and not calls_typed else {},
            sections=sections(
                visit,
                gateway.calls,
                groups=[group.name for group in settings.groups.all()],
                typed=calls_typed,
            ),
            most_typed=MOST_TYPED,
            history=settings.audit(kind="gateway", name=gateway.name, limit=20),
        )

    def edit(self, visit: Visit) -> Response:
        """Change a gateway."""
        settings = self._site.office.settings
        gateway = settings.gateways.get(visit.request.path_params["name"])
        try:
            edit = GatewayEdit(
                name=visit.form.get("name", gateway.name).strip(),
                addresses=_addresses(visit.form),
                enabled="enabled" in visit.form,
                calls_per_second=_whole(visit, "calls_per_second", gateway.calls_per_second),
                burst=_whole(visit, "burst", gateway.burst),
                in_flight=_whole(visit, "in_flight", gateway.in_flight),
                username=visit.form.get("username", "").strip() if "username" in visit.form else None,
                password=visit.form.get("password") or None,
            )
            change = settings.gateways.edit(gateway.name, edit, actor=visit.actor)
        except ConfigError as error:
            return self._one(visit, gateway, error)
        name = change.after.name if change.after else gateway.name
        said = visit.say("{name} is changed.", name=name) + _lifted(visit, change.lifted)
        return self._site.done(_path(name), said, change)

    def calls(self, visit: Visit) -> Response:
        """Change what a gateway may do with calls."""
        settings = self._site.office.settings
        gateway = settings.gateways.get(visit.request.path_params["name"])
        try:
            edit = GatewayEdit(calls=with_form(visit, gateway.calls))
            change = settings.gateways.edit(gateway.name, edit, actor=visit.actor)
        except ConfigError as error:
            return self._one(visit, gateway, error, calls_typed=True)
        return self._site.done(
            _path(gateway.name), visit.say("{name} is changed.", name=gateway.name), change
        )

    def remove(self, visit: Visit) -> Response:
        """Authorise a source no longer."""
        gateway = self._site.office.settings.gateways.get(visit.request.path_params["name"])
        name = gateway.name
        try:
            change = self._site.office.settings.gateways.remove(name, actor=visit.actor)
        except ConfigError as error:
            return self._one(visit, gateway, error)
        return self._site.done("/gateways", visit.say("{name} may not call any longer.", name=name), change)


class _Phones:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self, visit: Visit) -> Response:
        """Every phone, who is registered, and a form for another."""
        return self._all(visit)

    def _all(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        return self._site.page(
            visit,
            "phones.html",
            status=400 if problem else 200,
            problem=problem,
            **self._table(),
            form=visit.form if problem else {},
        )

    def now(self, visit: Visit) -> Response:
        """The table of phones; a part of the page."""
        return self._site.page(visit, "phones_part.html", **self._table())

    def _table(self) -> dict[str, Any]:
        return {"phones": self._site.office.settings.phones.all(), "flows": registered(self._site)}

    def add(self, visit: Visit) -> Response:
        """Let a phone register."""
        number = visit.form.get("number", "").strip()
        try:
            draft = PhoneDraft(number=number, password=visit.form.get("password", ""))
            change = self._site.office.settings.phones.add(draft, actor=visit.actor)
        except ConfigError as error:
            return self._all(visit, error)
        return self._site.done("/phones", visit.say("{name} may register now.", name=number), change)

    def one(self, visit: Visit) -> Response:
        """One phone."""
        return self._one(visit)

    def _one(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        settings = self._site.office.settings
        phone = settings.phones.get(visit.request.path_params["number"])
        flows = registered(self._site)
        return self._site.page(
            visit,
            "phone.html",
            status=400 if problem else 200,
            problem=problem,
            phone=phone,
            flows=None if flows is None else flows.get(phone.number, ()),
            history=settings.audit(kind="phone", name=phone.number, limit=20),
        )

    def edit(self, visit: Visit) -> Response:
        """Give a phone another password, or let it register or not."""
        phones = self._site.office.settings.phones
        number = visit.request.path_params["number"]
        try:
            change = phones.set_enabled(number, enabled="enabled" in visit.form, actor=visit.actor)
            if visit.form.get("password"):
                change = phones.set_password(number, visit.form["password"], actor=visit.actor)
        except ConfigError as error:
            return self._one(visit, error)
        return self._site.done(f"/phones/{number}", visit.say("{name} is changed.", name=number), change)

    def remove(self, visit: Visit) -> Response:
        """Let a phone register no longer."""
        number = visit.request.path_params["number"]
        change = self._site.office.settings.phones.remove(number, actor=visit.actor)
        return self._site.done(
            "/phones", visit.say("{name} may not register any longer.", name=number), change
        )


def registered(site: Site) -> dict[str, tuple[Flow, ...]] | None:
    """Where the registered numbers are, each newest first; None if no switch answers."""
    found = site.office.switch.flows()
    if found is None:
        return None
    flows: dict[str, tuple[Flow, ...]] = {}
    for flow in sorted(found.flows, key=lambda flow: -flow.since_at_us):
        flows[flow.number] = (*flows.get(flow.number, ()), flow)
    return flows


def _idle(gateway: Gateway) -> GatewayLoad:
    """A gateway that has not called since the start of the switch."""
    names = ("lines", "calls_this_second", "calls_today", "answered_today", "asr_percent", "acd_s")
    return GatewayLoad(
        id=gateway.id, name=gateway.name, most_lines=gateway.calls.lines, **dict.fromkeys(names, 0)
    )


def _addresses(form: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(form.get("addresses", "").replace(",", " ").split())


def _whole(visit: Visit, name: str, usual: int) -> int:
    """A whole number of a form.

    Raises: ConfigError("not_a_number").
    """
    text = visit.form.get(name, "").strip()
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ConfigError(
            visit.say("“{text}” is no whole number", text=text[:20]),
            hint=visit.say("write digits only"),
            code="not_a_number",
        )
    return int(text)


def _lifted(visit: Visit, blocks: tuple[Block, ...]) -> str:
    if not blocks:
        return ""
    values = ", ".join(block.value for block in blocks)
    return " " + visit.say("Taken off the black list because it covered it: {values}.", values=values)


def _path(name: str) -> str:
    return link(f"/gateways/{name}")
