# SPDX-License-Identifier: Apache-2.0
"""Programs that are told of records and alarms. Their secrets are shown once, their addresses never."""

from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from ringfence.clock import iso_utc
from ringfence.defence.webhooks import KEPT, Posted, Retry
from ringfence.ids import WebhookId
from ringfence.portal.api.access import needs
from ringfence.portal.api.models import (
    LARGEST_ID,
    CallerOf,
    Changed,
    LimitQuery,
    Moment,
    OfficeOf,
    Sent,
    TestOut,
    change_fields,
    office_change,
    part_of,
)
from ringfence.portal.rights import Right
from ringfence.settings.alarms_model import HookEvent, Webhook, WebhookDraft, WebhookEdit, WebhookSecret

router: Final = APIRouter(prefix="/webhooks", tags=["webhooks"])

EventWord = Literal["cdr.illegal", "cdr.event", "cdr.call", "alarm"]
WebhookNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Events = Annotated[list[EventWord], Field(min_length=1, max_length=len(HookEvent))]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="http or https; its path and query are never shown again.",
        json_schema_extra={"writeOnly": True},
    ),
]


class WebhookOut(BaseModel):
    """A program that is told by HTTP."""

    id: int
    name: str
    address: str = Field(description="Scheme and host; what stands behind may be a secret.")
    enabled: bool
    events: list[EventWord]

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        """As the API shows it."""
        return cls(
            id=webhook.id,
            name=webhook.name,
            address=webhook.address,
            enabled=webhook.enabled,
            events=[event.value for event in webhook.events],
        )


class WebhookPage(BaseModel):
    """Webhooks, by id."""

    webhooks: list[WebhookOut]
    next: str | None


class NewWebhook(Sent):
    """A webhook to be added."""

    name: Name
    url: Url
    events: Events
    enabled: bool = True


class WebhookChange(Sent):
    """What is to change on a webhook; what is left out, or null, stays."""

    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    enabled: bool | None = None


class MadeSecretOut(Changed[WebhookOut]):
    """A webhook whose secret was just made."""

    secret: str | None = Field(
        description="What signs the messages; shown only now, null when an answer is repeated."
    )

    @classmethod
    def made(cls, made: WebhookSecret) -> Self:
        """As the API shows it, once."""
        return cls(
            version=made.change.version,
            in_force=True,
            note=None,
            secret=made.secret,
            **change_fields(made.change, WebhookOut.of),
        )


class DeliveryOut(BaseModel):
    """A delivery that was tried."""

    id: str = Field(description="As the header `Ringfence-Delivery` has it, the same each time it is sent.")
    event: EventWord
    at: Moment
    is_delivered: bool = Field(description="Whether the other side took it.")
    problem: str | None = Field(description="What failed.")

    @classmethod
    def of(cls, posted: Posted) -> Self:
        """As the API shows it."""
        return cls(
            id=posted.id,
            event=posted.event.value,
            at=iso_utc(posted.at_us),
            is_delivered=posted.outcome.is_delivered,
            problem=posted.outcome.problem,
        )


class RetryOut(BaseModel):
    """What a webhook did not take so far."""

    event: EventWord
    failing_since: Moment
    due_at: Moment = Field(description="When it is tried again.")

    @classmethod
    def of(cls, retry: Retry) -> Self:
        """As the API shows it."""
        return cls(
            event=retry.event.value,
            failing_since=iso_utc(retry.failing_since_us),
            due_at=iso_utc(retry.due_us),
        )


class DeliveriesOut(BaseModel):
    """How a webhook fared since the office started."""

    deliveries: list[DeliveryOut] = Field(description=f"The last {KEPT}, newest first.")
    retries: list[RetryOut]


@router.get("", **needs(Right.PEOPLE))
def list_webhooks(office: OfficeOf, asked: LimitQuery) -> WebhookPage:
    """Every webhook, its address masked."""
    page, following = part_of(office.settings.webhooks.all(), asked, lambda webhook: webhook.id)
    return WebhookPage(webhooks=[WebhookOut.of(webhook) for webhook in page], next=following)


@router.get("/{webhook_id}", **needs(Right.PEOPLE, 404))
def get_webhook(office: OfficeOf, webhook_id: WebhookNumber) -> WebhookOut:
    """One webhook, its address masked."""
    return WebhookOut.of(office.settings.webhooks.get(WebhookId(webhook_id)))


@router.post("", status_code=201, **needs(Right.PEOPLE, writes=True))
def add_webhook(office: OfficeOf, caller: CallerOf, webhook: NewWebhook) -> MadeSecretOut:
    """Tell a program."""
    draft = WebhookDraft(
        name=webhook.name, url=webhook.url, events=_events(webhook.events), enabled=webhook.enabled
    )
    return MadeSecretOut.made(office.settings.webhooks.add(draft, actor=caller.actor))


@router.patch("/{webhook_id}", **needs(Right.PEOPLE, 404, writes=True))
def change_webhook(
    office: OfficeOf, caller: CallerOf, webhook_id: WebhookNumber, edit: WebhookChange
) -> Changed[WebhookOut]:
    """Change a webhook; its secret stays."""
    wanted = WebhookEdit(
        name=edit.name,
        url=edit.url,
        events=None if edit.events is None else _events(edit.events),
        enabled=edit.enabled,
    )
    change = office.settings.webhooks.edit(WebhookId(webhook_id), wanted, actor=caller.actor)
    return office_change(change, WebhookOut.of)


@router.post("/{webhook_id}/secret", **needs(Right.PEOPLE, 404, writes=True))
def renew_secret(office: OfficeOf, caller: CallerOf, webhook_id: WebhookNumber) -> MadeSecretOut:
    """Make a new secret; what is sent from now on is signed with it."""
    made = office.settings.webhooks.renew_secret(WebhookId(webhook_id), actor=caller.actor)
    return MadeSecretOut.made(made)


@router.get("/{webhook_id}/deliveries", **needs(Right.PEOPLE, 404))
def list_deliveries(office: OfficeOf, webhook_id: WebhookNumber) -> DeliveriesOut:
    """The last deliveries, and what is tried again."""
    webhook = office.settings.webhooks.get(WebhookId(webhook_id))
    return DeliveriesOut(
        deliveries=[DeliveryOut.of(posted) for posted in office.alarms.posted(webhook.id)],
        retries=[RetryOut.of(retry) for retry in office.alarms.retries(webhook.id)],
    )


@router.post("/{webhook_id}/test", **needs(Right.PEOPLE, 404, writes=True))
def test_webhook(office: OfficeOf, webhook_id: WebhookNumber) -> TestOut:
    """POST an alarm event with the action "test" now; that it was not taken is an answer and no error."""
    outcome = office.alarms.send_test_webhook(WebhookId(webhook_id))
    return TestOut(is_delivered=outcome.is_delivered, problem=outcome.problem)


@router.delete("/{webhook_id}", **needs(Right.PEOPLE, 404, writes=True))
def remove_webhook(office: OfficeOf, caller: CallerOf, webhook_id: WebhookNumber) -> Changed[WebhookOut]:
    """Tell a program no longer."""
    change = office.settings.webhooks.remove(WebhookId(webhook_id), actor=caller.actor)
    return office_change(change, WebhookOut.of)


def _events(words: list[EventWord]) -> tuple[HookEvent, ...]:
    return tuple(HookEvent(word) for word in words)
