# SPDX-License-Identifier: Apache-2.0
"""Acts on routing gateways: the vendors that calls are sent to."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import RoutingGatewayId
from ringfence.settings import call_checks, checks, schema
from ringfence.settings.calls_model import (
    Registration,
    RouteCalls,
    RoutingGateway,
    RoutingGatewayDraft,
    RoutingGatewayEdit,
)
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Change
from ringfence.settings.objects.groups import group_names
from ringfence.settings.secret_box import SecretBox
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

_KIND = "route"
_PREFIXES_AUDITED: Final = 100
_CALLS: Final = msgspec.json.Decoder(RouteCalls)


def all_routing_gateways(connection: Connection) -> tuple[RoutingGateway, ...]:
    """Every routing gateway, by id."""
    table, mapping = schema.routing_gateway, schema.gateway
    query = (
        select(table, mapping.c.name.label("registered_as"))
        .join(mapping, mapping.c.id == table.c.gateway_id, isouter=True)
        .order_by(table.c.id)
    )
    return tuple(
        RoutingGateway(
            id=RoutingGatewayId(row.id),
            name=row.name,
            enabled=row.enabled,
            address=row.address,
            registered_as=row.registered_as,
            registration=(
                None
                if row.register_user is None
                else Registration(user=row.register_user, expires_s=row.register_expires_s)
            ),
            calls=_CALLS.decode(row.calls),
        )
        for row in connection.execute(query)
    )


class RoutingGateways:
    """The routing gateways."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    def all(self) -> tuple[RoutingGateway, ...]:
        """Every routing gateway, by id."""
        with self._database.read() as connection:
            return all_routing_gateways(connection)

    def get(self, name: str) -> RoutingGateway:
        """One routing gateway.

        Raises: NotFoundError with the nearest spelling as hint, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, name)

    def secret(self, gateway_id: RoutingGatewayId) -> str:
        """The secret of our registration with a vendor, for whoever is about to send its digest.

        Raises: NotFoundError if there is none, StoreError("secret") if it cannot be decrypted.
        """
        table = schema.routing_gateway
        with self._database.read() as connection:
            row = connection.execute(
                select(table.c.name, table.c.register_secret).where(table.c.id == gateway_id)
            ).first()
        if row is None or row.register_secret is None:
            raise NotFoundError(
                sentence("routing gateway {id} has no secret to register with", id=gateway_id),
                hint="`ringfence route set NAME --register-as USER` gives it one",
            )
        return self._box.open(row.register_secret, sentence("route {name}", name=row.name))

    def add(self, draft: RoutingGatewayDraft, *, actor: str) -> Change[RoutingGateway]:
        """Have a vendor to send calls to.

        Raises: ConfigError("bad_value", "out_of_range" or "duplicate"), NotFoundError for a mapping gateway
            that does not exist, StoreError.
        """
        return self.add_all([draft], actor=actor)[0]

    def add_all(
        self, drafts: Iterable[RoutingGatewayDraft], *, actor: str
    ) -> tuple[Change[RoutingGateway], ...]:
        """Have several vendors: all of them, or none if one is refused.

        Raises: as `add`.
        """
        with self._database.change(actor) as act:
            done = [self._add(act, draft) for draft in drafts]
        return tuple(Change(version=act.version, before=None, after=made, changed=True) for made in done)

    def edit(self, name: str, edit: RoutingGatewayEdit, *, actor: str) -> Change[RoutingGateway]:
        """Change a routing gateway.

        Raises: NotFoundError, ConfigError as `add`, StoreError; the gateway stays as it was then.
        """
        table = schema.routing_gateway
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            draft = _checked(_edited(before, edit), group_names(act.connection))
            after = _routing_gateway(before.id, draft)
            if after != before or draft.secret is not None:
                if after.name != before.name:
                    _require_free_name(act.connection, after.name)
                if after.registration is not None and before.registration is None:
                    _require_secret(draft)
                act.connection.execute(
                    update(table)
                    .where(table.c.id == before.id)
                    .values(_columns(act.connection, draft) | self._sealed(draft))
                )
                action = "set" if after != before else "set_secret"
                act.record(action, _KIND, after.name, _audited(before), _audited(after))
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    def remove(self, name: str, *, actor: str) -> Change[RoutingGateway]:
        """Send a vendor no calls any more; its id is never given again.

        Raises: NotFoundError, StoreError.
        """
        table = schema.routing_gateway
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            act.connection.execute(delete(table).where(table.c.id == before.id))
            act.record("remove", _KIND, before.name, _audited(before), None)
        return Change(version=act.version, before=before, after=None, changed=True)

    def _add(self, act: Act, draft: RoutingGatewayDraft) -> RoutingGateway:
        checked = _checked(draft, group_names(act.connection))
        if checked.registration is not None:
            _require_secret(checked)
        _require_free_name(act.connection, checked.name)
        columns = _columns(act.connection, checked) | self._sealed(checked)
        statement = insert(schema.routing_gateway).values(columns).returning(schema.routing_gateway.c.id)
        made = _routing_gateway(RoutingGatewayId(act.connection.execute(statement).scalar_one()), checked)
        act.record("add", _KIND, made.name, None, _audited(made))
        return made

    def _sealed(self, draft: RoutingGatewayDraft) -> dict[str, str | None]:
        """The column of a new secret; empty if the old one stays."""
        if draft.registration is None:
            return {"register_secret": None}
        return {} if draft.secret is None else {"register_secret": self._box.seal(draft.secret)}


def _audited(gateway: RoutingGateway) -> RoutingGateway:
    """The gateway as the audit keeps it: a list of 100,000 prefixes would be kept with each small change."""
    prefixes = gateway.calls.prefixes
    if len(prefixes) <= _PREFIXES_AUDITED:
        return gateway
    digest = sha256(" ".join(prefixes).encode()).hexdigest()
    rest = f"and {len(prefixes) - _PREFIXES_AUDITED} more; SHA-256 of all, joined by blanks: {digest}"
    kept = (*prefixes[:_PREFIXES_AUDITED], rest)
    return replace(gateway, calls=replace(gateway.calls, prefixes=kept))


def _get(connection: Connection, name: str) -> RoutingGateway:
    gateways = all_routing_gateways(connection)
    for gateway in gateways:
        if gateway.name == name:
            return gateway
    raise NotFoundError(
        sentence("there is no routing gateway {name!r}", name=name),
        hint=did_you_mean(name, (gateway.name for gateway in gateways))
        or "`ringfence route list` shows them",
    )


def _edited(before: RoutingGateway, edit: RoutingGatewayEdit) -> RoutingGatewayDraft:
    draft = RoutingGatewayDraft(
        name=before.name if edit.name is None else edit.name,
        address=before.address,
        registered_as=before.registered_as,
        registration=before.registration if edit.registration is None else edit.registration,
        secret=edit.secret,
        enabled=before.enabled if edit.enabled is None else edit.enabled,
        calls=before.calls if edit.calls is None else edit.calls,
    )
    if edit.unregister:
        if edit.registration is not None or edit.secret is not None:
            raise ConfigError(
                "a registration cannot be ended and given at once", hint="choose one", code="bad_value"
            )
        draft = replace(draft, registration=None)
    if edit.address is not None or edit.registered_as is not None:
        draft = replace(draft, address=edit.address, registered_as=edit.registered_as)
    return draft


def _checked(draft: RoutingGatewayDraft, groups: Sequence[str]) -> RoutingGatewayDraft:
    if (draft.address is None) is (draft.registered_as is None):
        raise ConfigError(
            sentence(
                "routing gateway {name!r} has to be either at an address or where a gateway registers",
                name=draft.name,
            ),
            hint="give one of the two",
            code="bad_value",
        )
    if draft.secret is not None and draft.registration is None:
        raise ConfigError(
            sentence("routing gateway {name!r} has a secret and no user to register as", name=draft.name),
            hint="give the user that the vendor knows us as",
            code="bad_value",
        )
    if draft.registration is not None and draft.address is None:
        raise ConfigError(
            sentence(
                "routing gateway {name!r} registers with us, so we cannot register with it", name=draft.name
            ),
            hint="give it an address, or no registration",
            code="bad_value",
        )
    calls = call_checks.route_calls(draft.calls)
    call_checks.require_groups(() if calls.group is None else (calls.group,), groups)
    return RoutingGatewayDraft(
        name=checks.gateway_name(draft.name),
        address=None if draft.address is None else call_checks.route_address(draft.address),
        registered_as=draft.registered_as,
        registration=None if draft.registration is None else call_checks.registration(draft.registration),
        secret=None if draft.secret is None else call_checks.secret(draft.secret),
        enabled=draft.enabled,
        calls=calls,
    )


def _require_secret(draft: RoutingGatewayDraft) -> None:
    if draft.secret is None:
        raise ConfigError(
            sentence("routing gateway {name!r} has a user to register as and no secret", name=draft.name),
            hint="give the secret that the vendor gave us",
            code="bad_value",
        )


def _require_free_name(connection: Connection, name: str) -> None:
    table = schema.routing_gateway
    if connection.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
        raise ConfigError(
            sentence("there is a routing gateway {name!r} already", name=name),
            hint=sentence("`ringfence route set {name!r}` changes it", name=name),
            code="duplicate",
        )


def _columns(connection: Connection, draft: RoutingGatewayDraft) -> dict[str, object]:
    registration = draft.registration
    return {
        "name": draft.name,
        "enabled": draft.enabled,
        "address": draft.address,
        "gateway_id": _gateway_id(connection, draft.registered_as),
        "register_user": None if registration is None else registration.user,
        "register_expires_s": None if registration is None else registration.expires_s,
        "calls": msgspec.json.encode(draft.calls).decode(),
    }


def _gateway_id(connection: Connection, name: str | None) -> int | None:
    """The id of the mapping gateway that registers.

    Raises: NotFoundError, ConfigError("bad_value") if it is none that registers.
    """
    if name is None:
        return None
    table = schema.gateway
    row = connection.execute(select(table.c.id, table.c.username).where(table.c.name == name)).first()
    if row is None:
        known = connection.execute(select(table.c.name).where(table.c.username.is_not(None))).scalars()
        raise NotFoundError(
            sentence("there is no gateway {name!r}", name=name),
            hint=did_you_mean(name, known) or "`ringfence gateway list` shows them",
        )
    if row.username is None:
        raise ConfigError(
            sentence("gateway {name!r} does not register", name=name),
            hint="give the routing gateway an address, or the gateway a user name",
            code="bad_value",
        )
    found: int = row.id
    return found


def _routing_gateway(gateway_id: RoutingGatewayId, draft: RoutingGatewayDraft) -> RoutingGateway:
    return RoutingGateway(
        id=gateway_id,
        name=draft.name,
        enabled=draft.enabled,
        address=draft.address,
        registered_as=draft.registered_as,
        registration=draft.registration,
        calls=draft.calls,
    )
