# SPDX-License-Identifier: Apache-2.0
"""Alarms: the incidents, acknowledgements, the rules by which they open, the channels that tell of them.

An address of a channel goes in and never comes out: it may hold a password.
"""

from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from ringfence.clock import iso_utc
from ringfence.ids import AlarmId, ChannelId
from ringfence.portal.api.access import needs
from ringfence.portal.api.models import (
    LARGEST,
    LARGEST_ID,
    CallerOf,
    Changed,
    LimitQuery,
    Moment,
    OfficeOf,
    PageQuery,
    Sent,
    TestOut,
    moment,
    office_change,
    part_of,
    place,
)
from ringfence.portal.rights import Right
from ringfence.settings.alarms_model import (
    Alarm,
    AlarmChannel,
    AlarmRule,
    AlarmRuleEdit,
    ChannelDraft,
    ChannelEdit,
    Level,
)

router: Final = APIRouter(prefix="/alarms", tags=["alarms"])

LevelWord = Literal["general", "minor", "major", "critical"]
AlarmNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
RuleCode = Annotated[int, Path(ge=1, le=LARGEST_ID)]
ChannelNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Bound = Annotated[int, Field(ge=0, le=LARGEST)]
ChannelName = Annotated[str, Field(min_length=1, max_length=64)]
ChannelUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="As apprise writes addresses (mailto://, slack://, ...); it is never shown again.",
        json_schema_extra={"writeOnly": True},
    ),
]


class AlarmQuery(PageQuery):
    """Which incidents."""

    state: Literal["open", "all"] = Field("open", description="`all`: those that are over as well.")
    code: int | None = Field(None, ge=1, le=LARGEST_ID, description="20020 illegal calls, ...")
    level: LevelWord | None = None


class AlarmOut(BaseModel):
    """An incident: from the moment when a bound was reached until the value is down again."""

    id: int
    node: str | None = Field(description="Whose it is; null for one that opened before this was kept.")
    code: int
    name: str
    level: LevelWord
    subject: str = Field(description="What it is about where there are several; else empty.")
    value: int = Field(description="The highest since it opened.")
    unit: str
    message: str
    link: str = Field(description="Path in the portal of the records behind it; empty if there are none.")
    opened_at: Moment
    changed_at: Moment
    cleared_at: Moment | None = Field(description="Null: it is open.")
    acknowledged_at: Moment | None
    acknowledged_by: str | None
    note: str | None

    @classmethod
    def of(cls, alarm: Alarm) -> Self:
        """As the API shows it."""
        return cls(
            id=alarm.id,
            node=alarm.node,
            code=alarm.code,
            name=alarm.kind.name,
            level=alarm.level.value,
            subject=alarm.subject,
            value=alarm.value,
            unit=alarm.kind.unit,
            message=alarm.message,
            link=alarm.link,
            opened_at=iso_utc(alarm.opened_at_us),
            changed_at=iso_utc(alarm.changed_at_us),
            cleared_at=moment(alarm.cleared_at_us),
            acknowledged_at=moment(alarm.acknowledged_at_us),
            acknowledged_by=alarm.acknowledged_by,
            note=alarm.note,
        )


class AlarmPage(BaseModel):
    """Incidents, newest first."""

    alarms: list[AlarmOut]
    next: str | None


class Acknowledgement(Sent):
    """That somebody has seen to it."""

    note: str = Field("", max_length=200, description="What was done about it; one line.")


class RuleOut(BaseModel):
    """When an alarm opens and clears."""

    code: int
    name: str
    meaning: str
    unit: str
    enabled: bool
    level: LevelWord
    lower: int = Field(description="It clears when the value is down here.")
    upper: int = Field(description="It opens when the value reaches this.")
    most: int = Field(description="No bound may be above this.")
    is_set: bool = Field(description="False: the rule is as shipped.")
    shipped_level: LevelWord
    shipped_lower: int
    shipped_upper: int

    @classmethod
    def of(cls, rule: AlarmRule) -> Self:
        """As the API shows it."""
        return cls(
            code=rule.code,
            name=rule.kind.name,
            meaning=rule.kind.meaning,
            unit=rule.kind.unit,
            enabled=rule.enabled,
            level=rule.level.value,
            lower=rule.lower,
            upper=rule.upper,
            most=rule.kind.most,
            is_set=rule.is_set,
            shipped_level=rule.kind.level.value,
            shipped_lower=rule.kind.lower,
            shipped_upper=rule.kind.upper,
        )


class RuleList(BaseModel):
    """Every rule."""

    rules: list[RuleOut]


class RuleChange(Sent):
    """What is to change on a rule; what is left out, or null, stays."""

    enabled: bool | None = None
    level: LevelWord | None = None
    lower: Bound | None = None
    upper: Bound | None = None


class ChannelOut(BaseModel):
    """Where people are told of alarms."""

    id: int
    name: str
    address: str = Field(description="Its scheme; what stands behind may be a secret.")
    enabled: bool
    least_level: LevelWord = Field(description="Alarms below are not told here.")

    @classmethod
    def of(cls, channel: AlarmChannel) -> Self:
        """As the API shows it."""
        return cls(
            id=channel.id,
            name=channel.name,
            address=channel.address,
            enabled=channel.enabled,
            least_level=channel.least_level.value,
        )


class ChannelPage(BaseModel):
    """Channels, by id."""

    channels: list[ChannelOut]
    next: str | None


class NewChannel(Sent):
    """A channel to be added."""

    name: ChannelName
    url: ChannelUrl
    enabled: bool = True
    least_level: LevelWord = "general"


class ChannelChange(Sent):
    """What is to change on a channel; what is left out, or null, stays."""

    name: ChannelName | None = None
    url: ChannelUrl | None = None
    enabled: bool | None = None
    least_level: LevelWord | None = None


def _level(word: LevelWord | None) -> Level | None:
    return None if word is None else Level(word)


# Addresses that are words come before those that are numbers: the first that fits is taken.


@router.get("/rules", **needs(Right.LOOK))
def list_rules(office: OfficeOf) -> RuleList:
    """Every rule."""
    return RuleList(rules=[RuleOut.of(rule) for rule in office.settings.alarms.rules()])


@router.get("/rules/{code}", **needs(Right.LOOK, 404))
def get_rule(office: OfficeOf, code: RuleCode) -> RuleOut:
    """One rule."""
    return RuleOut.of(office.settings.alarms.rule(code))


@router.patch("/rules/{code}", **needs(Right.SETTINGS, 404, writes=True))
def change_rule(office: OfficeOf, caller: CallerOf, code: RuleCode, edit: RuleChange) -> Changed[RuleOut]:
    """Change when an alarm opens and clears."""
    wanted = AlarmRuleEdit(enabled=edit.enabled, level=_level(edit.level), lower=edit.lower, upper=edit.upper)
    return office_change(office.settings.alarms.set_rule(code, wanted, actor=caller.actor), RuleOut.of)


@router.delete("/rules/{code}", **needs(Right.SETTINGS, 404, writes=True))
def reset_rule(office: OfficeOf, caller: CallerOf, code: RuleCode) -> Changed[RuleOut]:
    """Give a rule its shipped values again."""
    return office_change(office.settings.alarms.reset_rule(code, actor=caller.actor), RuleOut.of)


@router.get("/channels", **needs(Right.LOOK))
def list_channels(office: OfficeOf, asked: LimitQuery) -> ChannelPage:
    """Every channel, its address masked."""
    page, following = part_of(office.settings.channels.all(), asked, lambda channel: channel.id)
    return ChannelPage(channels=[ChannelOut.of(channel) for channel in page], next=following)


@router.get("/channels/{channel_id}", **needs(Right.LOOK, 404))
def get_channel(office: OfficeOf, channel_id: ChannelNumber) -> ChannelOut:
    """One channel, its address masked."""
    return ChannelOut.of(office.settings.channels.get(ChannelId(channel_id)))


@router.post("/channels", status_code=201, **needs(Right.SETTINGS, writes=True))
def add_channel(office: OfficeOf, caller: CallerOf, channel: NewChannel) -> Changed[ChannelOut]:
    """Tell of alarms here too."""
    draft = ChannelDraft(
        name=channel.name,
        url=channel.url,
        enabled=channel.enabled,
        least_level=Level(channel.least_level),
    )
    return office_change(office.settings.channels.add(draft, actor=caller.actor), ChannelOut.of)


@router.patch("/channels/{channel_id}", **needs(Right.SETTINGS, 404, writes=True))
def change_channel(
    office: OfficeOf, caller: CallerOf, channel_id: ChannelNumber, edit: ChannelChange
) -> Changed[ChannelOut]:
    """Change a channel."""
    wanted = ChannelEdit(
        name=edit.name, url=edit.url, enabled=edit.enabled, least_level=_level(edit.least_level)
    )
    change = office.settings.channels.edit(ChannelId(channel_id), wanted, actor=caller.actor)
    return office_change(change, ChannelOut.of)


@router.delete("/channels/{channel_id}", **needs(Right.SETTINGS, 404, writes=True))
def remove_channel(office: OfficeOf, caller: CallerOf, channel_id: ChannelNumber) -> Changed[ChannelOut]:
    """Tell of alarms here no longer."""
    change = office.settings.channels.remove(ChannelId(channel_id), actor=caller.actor)
    return office_change(change, ChannelOut.of)


@router.post("/channels/{channel_id}/test", **needs(Right.SETTINGS, 404, writes=True))
def test_channel(office: OfficeOf, channel_id: ChannelNumber) -> TestOut:
    """Send a test message now; that it was not taken is an answer and no error."""
    outcome = office.alarms.send_test(ChannelId(channel_id))
    return TestOut(is_delivered=outcome.is_delivered, problem=outcome.problem)


@router.get("", **needs(Right.LOOK))
def list_alarms(office: OfficeOf, asked: Annotated[AlarmQuery, Query()]) -> AlarmPage:
    """Incidents, newest first."""
    alarms = office.settings.alarms
    if asked.state == "open":
        found = [
            alarm
            for alarm in alarms.open()
            if asked.code in {None, alarm.code} and asked.level in {None, alarm.level.value}
        ]
        page, following = part_of(found, asked, lambda alarm: alarm.id, descending=True)
    else:
        below = place(asked.cursor)
        rows = alarms.history(
            limit=asked.limit + 1,
            below=None if below is None else AlarmId(below),
            code=asked.code,
            level=_level(asked.level),
        )
        page = rows[: asked.limit]
        following = str(page[-1].id) if len(rows) > len(page) else None
    return AlarmPage(alarms=[AlarmOut.of(alarm) for alarm in page], next=following)


@router.get("/{alarm_id}", **needs(Right.LOOK, 404))
def get_alarm(office: OfficeOf, alarm_id: AlarmNumber) -> AlarmOut:
    """One incident."""
    return AlarmOut.of(office.settings.alarms.get(AlarmId(alarm_id)))


@router.post("/{alarm_id}/acknowledge", **needs(Right.ACKNOWLEDGE, 404, writes=True))
def acknowledge_alarm(
    office: OfficeOf, caller: CallerOf, alarm_id: AlarmNumber, said: Acknowledgement
) -> Changed[AlarmOut]:
    """Say that somebody has seen to it; said again, the later note and name stand."""
    change = office.alarms.acknowledge(AlarmId(alarm_id), note=said.note, actor=caller.actor)
    return office_change(change, AlarmOut.of)
