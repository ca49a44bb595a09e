# SPDX-License-Identifier: Apache-2.0
"""Alarms as frozen values: what can be watched, the rules for it, the incidents, and where they are told.

Codes, the four levels and the two bounds are those of VOS3000; the shipped bounds are ours.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence.ids import AlarmId, ChannelId, WebhookId
from ringfence.settings.model import Change
from ringfence.text import Sentence


class Level(Enum):
    """How much an alarm matters, from least to most."""

    GENERAL = "general"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"

    @property
    def number(self) -> int:
        """The number that VOS3000 gives the level: 0 general to 3 critical."""
        return _LEVELS.index(self)

    def reaches(self, least: "Level") -> bool:
        """Whether it matters at least as much."""
        return self.number >= least.number


_LEVELS: Final = tuple(Level)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmKind:
    """Something that is watched, and the rule that is shipped for it.

    Shape: an alarm opens when the value reaches `upper` and is cleared when it is down at `lower`. No bound
    may be above `most`. `unit` stands behind the value.
    """

    code: int
    name: str
    meaning: str
    unit: str
    level: Level
    lower: int
    upper: int
    most: int


ILLEGAL_CALL: Final = 20020
CPU: Final = 20003
MEMORY: Final = 20004
DISK: Final = 20005
RECORDS_PENDING: Final = 20006
PROCESS_EXIT: Final = 20018

ALARM_KINDS: Final[tuple[AlarmKind, ...]] = (
    AlarmKind(
        code=ILLEGAL_CALL,
        name="Illegal calls",
        meaning="Calls from unauthorised sources that were refused in the last minute.",
        unit="calls",
        level=Level.MINOR,
        lower=0,
        upper=1,
        most=1_000_000_000,
    ),
    AlarmKind(
        code=CPU,
        name="CPU",
        meaning="Use of all processors of this machine, average of the last minute.",
        unit="%",
        level=Level.MAJOR,
        lower=75,
        upper=90,
        most=100,
    ),
    AlarmKind(
        code=MEMORY,
        name="Memory",
        meaning="Memory of this machine that programs cannot have any more.",
        unit="%",
        level=Level.MAJOR,
        lower=80,
        upper=90,
        most=100,
    ),
    AlarmKind(
        code=DISK,
        name="Disk",
        meaning="Use of the disk that holds the data directory.",
        unit="%",
        level=Level.CRITICAL,
        lower=80,
        upper=90,
        most=100,
    ),
    AlarmKind(
        code=RECORDS_PENDING,
        name="Records pending",
        meaning="Journal frames that the ledger has not made into call records yet.",
        unit="frames",
        level=Level.MAJOR,
        lower=100_000,
        upper=1_000_000,
        most=1_000_000_000_000,
    ),
    AlarmKind(
        code=PROCESS_EXIT,
        name="Process exit",
        meaning="A part of Ringfence ended in the last minute, or does not run: the switch or the ledger.",
        unit="exits",
        level=Level.CRITICAL,
        lower=0,
        upper=1,
        most=1_000,
    ),
)
ALARM_KIND_BY_CODE: Final[dict[int, AlarmKind]] = {kind.code: kind for kind in ALARM_KINDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRule:
    """When an alarm opens and clears; `is_set` tells a stored rule from the shipped one."""

    code: int
    enabled: bool
    level: Level
    lower: int
    upper: int
    is_set: bool

    @property
    def kind(self) -> AlarmKind:
        """What is watched."""
        return ALARM_KIND_BY_CODE[self.code]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRuleEdit:
    """What is to change on a rule; None leaves a field as it is."""

    enabled: bool | None = None
    level: Level | None = None
    lower: int | None = None
    upper: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An incident: from the moment when a bound was reached until the value is down again.

    Shape: `node` is whose incident it is, None if that was not kept yet when it opened. `subject` is what it
    is about where there are several ("switch", "ledger"), else empty. `value` is the highest since it opened.
    `told` are sentences that say what happened; strangers' text in them is inert. `link` is a path with a
    query within the portal ("/cdrs?kind=illegal"), empty if no records stand behind it.
    Units: microseconds since 1970, UTC.
    """

    id: AlarmId
    node: str | None
    code: int
    level: Level
    subject: str
    value: int
    told: tuple[Sentence, ...]
    link: str
    opened_at_us: int
    changed_at_us: int
    cleared_at_us: int | None = None
    acknowledged_at_us: int | None = None
    acknowledged_by: str | None = None
    note: str | None = None

    @property
    def kind(self) -> AlarmKind:
        """What is watched."""
        return ALARM_KIND_BY_CODE[self.code]

    @property
    def message(self) -> str:
        """What happened, in English."""
        return " ".join(self.told)

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.cleared_at_us is None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmDraft:
    """An incident that begins; the fields are those of `Alarm`."""

    node: str
    code: int
    level: Level
    subject: str
    value: int
    told: tuple[Sentence, ...]
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmChannel:
    """Where alarms are told to people.

    Shape: `address` is masked ("slack://***"): what stands behind the scheme may be a secret. Alarms below
    `least_level` are not told here.
    """

    id: ChannelId
    name: str
    address: str
    enabled: bool
    least_level: Level


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChannelAddress:
    """A channel with its whole address, as apprise reads it; for those who send."""

    channel: AlarmChannel
    url: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChannelDraft:
    """A channel to be added; `url` is an address as apprise reads it ("mailto://...", "slack://...")."""

    name: str
    url: str
    enabled: bool = True
    least_level: Level = Level.GENERAL


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChannelEdit:
    """What is to change on a channel; None leaves a field as it is."""

    name: str | None = None
    url: str | None = None
    enabled: bool | None = None
    least_level: Level | None = None


class HookEvent(Enum):
    """What a webhook can be sent."""

    CDR_ILLEGAL = "cdr.illegal"
    CDR_EVENT = "cdr.event"
    CDR_CALL = "cdr.call"
    ALARM = "alarm"

    @property
    def cdr_kind(self) -> str | None:
        """The kind of call record that it stands for; None if it is none."""
        return self.value.removeprefix("cdr.") if self.value.startswith("cdr.") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A program that is told by HTTP.

    Shape: `address` is masked ("https://host:8443/***"): path and query may be a secret. `events` in the
    order of `HookEvent`, at least one.
    """

    id: WebhookId
    name: str
    address: str
    enabled: bool
    events: tuple[HookEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WebhookTarget:
    """A webhook with its whole address and its secret (64 hex digits); for those who send."""

    webhook: Webhook
    url: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WebhookDraft:
    """A webhook to be added; its secret is made by the store."""

    name: str
    url: str
    events: tuple[HookEvent, ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WebhookEdit:
    """What is to change on a webhook; None leaves a field as it is."""

    name: str | None = None
    url: str | None = None
    events: tuple[HookEvent, ...] | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WebhookSecret:
    """A secret just made: the one time that it is shown, with the change that made it."""

    change: Change[Webhook]
    secret: str
