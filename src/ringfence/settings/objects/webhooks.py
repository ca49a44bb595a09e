# SPDX-License-Identifier: Apache-2.0
"""Acts on webhooks. Their secrets are made here, shown once, and never in the audit; nor are addresses."""

import secrets
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import WebhookId
from ringfence.settings import checks, schema
from ringfence.settings.alarms_model import (
    HookEvent,
    Webhook,
    WebhookDraft,
    WebhookEdit,
    WebhookSecret,
    WebhookTarget,
)
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Change
from ringfence.text import sentence

MOST: Final = 50
"""How many webhooks there may be."""

_KIND: Final = "webhook"


class Webhooks:
    """Programs that are told by HTTP."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Webhook, ...]:
        """Every webhook, by name.

        Raises: StoreError.
        """
        return tuple(target.webhook for target in self.targets())

    def get(self, webhook_id: WebhookId) -> Webhook:
        """One webhook.

        Raises: NotFoundError, StoreError.
        """
        return self.target(webhook_id).webhook

    def targets(self) -> tuple[WebhookTarget, ...]:
        """Every webhook with its whole address and its secret, by name; for those who send.

        Raises: StoreError.
        """
        table = schema.webhook
        with self._database.read() as connection:
            return tuple(_target(row) for row in connection.execute(select(table).order_by(table.c.name)))

    def target(self, webhook_id: WebhookId) -> WebhookTarget:
        """One webhook with its whole address and its secret; for those who send.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, webhook_id)

    def add(self, draft: WebhookDraft, *, actor: str) -> WebhookSecret:
        """Tell a program; the secret that signs is made here and comes back this once.

        Raises: ConfigError("bad_value", "duplicate" or "too_many"), without the address in it; StoreError.
        """
        table = schema.webhook
        name, url = checks.display_name(draft.name), checks.webhook_url(draft.url)
        events, secret = _events(draft.events), secrets.token_hex(32)
        with self._database.change(actor) as act:
            if len(act.connection.execute(select(table.c.id)).all()) >= MOST:
                raise ConfigError(
                    sentence("there are {most} webhooks already", most=MOST),
                    hint="remove one first",
                    code="too_many",
                )
            _require_free_name(act.connection, name)
            statement = (
                insert(table)
                .values(name=name, url=url, secret=secret, enabled=draft.enabled, events=events)
                .returning(table.c.id)
            )
            after = _get(act.connection, WebhookId(act.connection.execute(statement).scalar_one())).webhook
            act.record("add", _KIND, name, None, after)
        change = Change(version=act.version, before=None, after=after, changed=True)
        return WebhookSecret(change=change, secret=secret)

    def edit(self, webhook_id: WebhookId, edit: WebhookEdit, *, actor: str) -> Change[Webhook]:
        """Change a webhook.

        Raises: NotFoundError, ConfigError as `add`, StoreError; the webhook stays as it was then.
        """
        values: dict[str, object] = {}
        if edit.name is not None:
            values["name"] = checks.display_name(edit.name)
        if edit.url is not None:
            values["url"] = checks.webhook_url(edit.url)
        if edit.events is not None:
            values["events"] = _events(edit.events)
        if edit.enabled is not None:
            values["enabled"] = edit.enabled
        with self._database.change(actor) as act:
            before = after = _get(act.connection, webhook_id)
            if values:
                if values.get("name", before.webhook.name) != before.webhook.name:
                    _require_free_name(act.connection, str(values["name"]))
                _update(act, webhook_id, values)
                after = _get(act.connection, webhook_id)
            if after.url != before.url:
                act.record("set_url", _KIND, after.webhook.name, before.webhook, after.webhook)
            elif after.webhook != before.webhook:
                act.record("set", _KIND, after.webhook.name, before.webhook, after.webhook)
        return Change(version=act.version, before=before.webhook, after=after.webhook, changed=act.changed)

    def renew_secret(self, webhook_id: WebhookId, *, actor: str) -> WebhookSecret:
        """Make a new secret; what is sent from now on is signed with it.

        Raises: NotFoundError, StoreError.
        """
        secret = secrets.token_hex(32)
        with self._database.change(actor) as act:
            webhook = _get(act.connection, webhook_id).webhook
            _update(act, webhook_id, {"secret": secret})
            act.record("renew_secret", _KIND, webhook.name, webhook, webhook)
        change = Change(version=act.version, before=webhook, after=webhook, changed=True)
        return WebhookSecret(change=change, secret=secret)

    def remove(self, webhook_id: WebhookId, *, actor: str) -> Change[Webhook]:
        """Tell a program no longer.

        Raises: NotFoundError, StoreError.
        """
        table = schema.webhook
        with self._database.change(actor) as act:
            before = _get(act.connection, webhook_id).webhook
            act.connection.execute(delete(table).where(table.c.id == webhook_id))
            act.record("remove", _KIND, before.name, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)


def _events(events: tuple[HookEvent, ...]) -> str:
    if not events:
        raise ConfigError(
            "the webhook is to be sent nothing",
            hint=sentence(
                "name at least one of {events}", events=", ".join(event.value for event in HookEvent)
            ),
            code="bad_value",
        )
    return ",".join(event.value for event in HookEvent if event in events)


def _require_free_name(connection: Connection, name: str) -> None:
    table = schema.webhook
    if connection.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
        raise ConfigError(
            sentence("there is a webhook {name!r} already", name=name),
            hint="choose another name",
            code="duplicate",
        )


def _get(connection: Connection, webhook_id: WebhookId) -> WebhookTarget:
    table = schema.webhook
    row = connection.execute(select(table).where(table.c.id == webhook_id)).first()
    if row is None:
        raise NotFoundError(
            sentence("there is no webhook with the number {webhook_id}", webhook_id=webhook_id),
            hint="it may be gone",
        )
    return _target(row)


def _update(act: Act, webhook_id: WebhookId, values: dict[str, object]) -> None:
    table = schema.webhook
    act.connection.execute(update(table).where(table.c.id == webhook_id).values(values))


def _target(row: Row[Any]) -> WebhookTarget:
    parts = urlsplit(row.url)
    has_more = parts.path not in {"", "/"} or parts.query
    return WebhookTarget(
        webhook=Webhook(
            id=WebhookId(row.id),
            name=row.name,
            address=f"{parts.scheme}://{parts.netloc}/{'***' if has_more else ''}",
            enabled=row.enabled,
            events=tuple(HookEvent(name) for name in row.events.split(",")),
        ),
        url=row.url,
        secret=row.secret,
    )
