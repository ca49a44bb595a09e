# SPDX-License-Identifier: Apache-2.0
"""The operator's switches: what each one is called, may be, and means.

Operators who know VOS3000 find its parameters under its names; ours start with `RF_`. All values are whole
numbers. They are hot: the switch has a new value in force within a second.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence.errors import ConfigError
from ringfence.settings.spelling import did_you_mean
from ringfence.text import Sentence, sentence

_MIB: Final = 1024 * 1024
_GIB: Final = 1024 * _MIB

BILLING: Final = "Billing parameters"
SECURITY: Final = "Security parameters"
REGISTRATION: Final = "Registration parameters"
ROUTING: Final = "Routing parameters"
SIP: Final = "SIP parameters"
FLOOD: Final = "Flood limits"
JOURNAL: Final = "Journal and retention"
TRACE: Final = "Trace"

_OURS: Final = "Ringfence"
_VOS: Final = "VOS3000"

_WORDS: Final = {"on": 1, "true": 1, "yes": 1, "off": 0, "false": 0, "no": 0}


class Kind(Enum):
    """What sort of number a parameter takes."""

    BOOL = "bool"
    INT = "int"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Shape: a value is allowed if minimum <= value <= maximum, or if it is 0 and `zero` says what 0 means.
    `for_edge` marks those that the native edge reads from its snapshot.
    """

    name: str
    group: str
    kind: Kind
    default: int
    minimum: int
    maximum: int
    unit: str
    meaning: str
    source: str
    zero: str | None = None
    for_edge: bool = False

    def allows(self, value: int) -> bool:
        """Whether the value is one the parameter may take."""
        return self.minimum <= value <= self.maximum or (value == 0 and self.zero is not None)

    def range_text(self) -> Sentence:
        """What is allowed, in words.

        >>> lookup("RF_BLOCKED_CODE").range_text()
        '400 to 699, or 0 (silence)'
        """
        if self.kind is Kind.BOOL:
            return sentence("0 (off) or 1 (on)")
        text = sentence("{lowest} to {highest}", lowest=self.minimum, highest=self.maximum)
        if self.unit not in {"", "SIP code"}:
            text = sentence("{range} {unit}", range=text, unit=sentence(self.unit))
        if self.zero is None:
            return text
        zero = sentence(self.zero)
        if self.minimum == 0:
            return sentence("{range}; 0 = {zero}", range=text, zero=zero)
        return sentence("{range}, or 0 ({zero})", range=text, zero=zero)

    def check(self, value: int) -> int:
        """Return the value if it is allowed.

        Raises: ConfigError("out_of_range") that names the range.
        """
        if not self.allows(value):
            raise ConfigError(
                sentence("{name} cannot be {value}", name=self.name, value=value),
                hint=sentence("allowed: {range}", range=self.range_text()),
                code="out_of_range",
            )
        return value

    def parse(self, text: str) -> int:
        """Read a value as a person types it: digits, or on/off, yes/no, true/false for a switch.

        Raises: ConfigError("out_of_range") or ConfigError("not_a_number"), both naming the range.
        """
        word = text.strip().casefold()
        if self.kind is Kind.BOOL and word in _WORDS:
            return _WORDS[word]
        try:
            # Only plain digits: int() would also take "1_000" and other scripts' digits.
            if not word.removeprefix("-").isascii():
                raise ValueError
            value = int(word.replace("_", "x"))
        except ValueError as error:
            raise ConfigError(
                sentence("{name} cannot be {text!r}: not a whole number", name=self.name, text=text),
                hint=sentence("allowed: {range}", range=self.range_text()),
                code="not_a_number",
            ) from error
        return self.check(value)

    def in_force(self, stored: int | None) -> int:
        """The value that counts: the stored one if it is still allowed, else the default."""
        return self.default if stored is None or not self.allows(stored) else stored


def _switch(
    name: str, group: str, default: int, *, meaning: str, source: str, for_edge: bool = False
) -> Parameter:
    return Parameter(
        name=name,
        group=group,
        kind=Kind.BOOL,
        default=default,
        minimum=0,
        maximum=1,
        unit="",
        meaning=meaning,
        source=source,
        for_edge=for_edge,
    )


def _number(
    name: str,
    group: str,
    default: int,
    allowed: tuple[int, int],
    *,
    unit: str,
    meaning: str,
    source: str = _OURS,
    zero: str | None = None,
    for_edge: bool = False,
) -> Parameter:
    return Parameter(
        name=name,
        group=group,
        kind=Kind.INT,
        default=default,
        minimum=allowed[0],
        maximum=allowed[1],
        unit=unit,
        meaning=meaning,
        source=source,
        zero=zero,
        for_edge=for_edge,
    )


PARAMETERS: Final[tuple[Parameter, ...]] = (
    _switch(
        "SERVER_BILLING_RECORD_ILLEGAL_CALL",
        BILLING,
        1,
        meaning=(
            "Keep a call record for each call from an unauthorised source. When off, only totals per "
            "second are kept: counters, books and defence go on, rows stop."
        ),
        source=_VOS,
        for_edge=True,
    ),
    _switch(
        "SERVER_BILLING_RECORD_ZERO_HOLD_TIME",
        BILLING,
        1,
        meaning="Keep a call record for a call that was never answered, so its talk time is zero.",
        source=_VOS,
    ),
    _switch(
        "SERVER_BILLING_RECORD_SERVER_HANG_UP",
        BILLING,
        1,
        meaning="Keep a call record for a call that this server ended.",
        source=_VOS,
    ),
    _number(
        "SERVER_BILLING_HOLD_TIME_PRECISION",
        BILLING,
        50,
        (0, 999),
        unit="ms",
        meaning=(
            "From how many milliseconds on a begun second of talk counts as a whole one; less is dropped."
        ),
        source=_VOS,
    ),
    _switch(
        "SS_REPLY_UNAUTHORIZED",
        SECURITY,
        1,
        meaning=(
            "Answer requests from unauthorised sources. When off they get silence; they are recorded all "
            "the same."
        ),
        source=_VOS,
        for_edge=True,
    ),
    _number(
        "RF_UNAUTHORIZED_CODE",
        SECURITY,
        403,
        (400, 699),
        unit="SIP code",
        meaning=(
            "The answer to a call from an unauthorised source while SS_REPLY_UNAUTHORIZED is on. 407 "
            "asks for credentials instead of refusing at once."
        ),
        for_edge=True,
    ),
    _switch(
        "RF_ROAMING",
        SECURITY,
        0,
        meaning=(
            "Ask for credentials on a call from any address, so that a phone may call without a "
            "registration. When off, only addresses with a recent registration are asked; others are "
            "refused."
        ),
        source=_OURS,
        for_edge=True,
    ),
    _number(
        "SS_AUTHENTICATION_MAX_RETRY",
        SECURITY,
        6,
        (0, 999),
        unit="wrong answers",
        meaning=(
            "Wrong answers to fresh challenges, from one source for one number, before that pair is "
            "locked out. Live registrations are never touched."
        ),
        source=_VOS,
        zero="no lock-out",
        for_edge=True,
    ),
    _number(
        "SS_AUTHENTICATION_FAILED_SUSPEND",
        SECURITY,
        180,
        (60, 3600),
        unit="s",
        meaning="How long a source stays locked out of a number after too many wrong answers.",
        source=_VOS,
        for_edge=True,
    ),
    _number(
        "RF_BLOCKED_CODE",
        SECURITY,
        0,
        (400, 699),
        unit="SIP code",
        meaning=(
            "The answer to a request that a black list refuses. What a blocked source tries is counted "
            "either way."
        ),
        zero="silence",
        for_edge=True,
    ),
    _number(
        "RF_MUTE_ATTEMPTS_PER_S",
        FLOOD,
        0,
        (0, 100_000),
        unit="attempts/s",
        meaning=(
            "A source that tries more often than this is muted: still recorded or counted, no longer "
            "answered. Authorised sources, white entries and addresses from which a phone has registered "
            "are never muted."
        ),
        zero="never mute",
        for_edge=True,
    ),
    _number(
        "RF_MUTE_S",
        FLOOD,
        60,
        (1, 86_400),
        unit="s",
        meaning="How long a muted source stays muted after it was last above the limit.",
        for_edge=True,
    ),
    _number(
        "RF_CHALLENGE_BYTES_PER_S",
        FLOOD,
        2_000_000,
        (0, 1_000_000_000),
        unit="bytes/s",
        meaning=(
            "By how many bytes per second all challenges to unproven UDP sources together may exceed the "
            "requests they answer. It bounds what a forger of addresses can make this server send to "
            "others."
        ),
        zero="no challenge larger than its request",
        for_edge=True,
    ),
    _number(
        "RF_CHALLENGE_NETWORK_BYTES_PER_S",
        FLOOD,
        20_000,
        (0, 1_000_000_000),
        unit="bytes/s",
        meaning="The same bound for one network: an IPv4 /24 or an IPv6 /48.",
        zero="no challenge larger than its request",
        for_edge=True,
    ),
    _number(
        "SS_ENDPOINT_EXPIRE",
        REGISTRATION,
        3600,
        (60, 86_400),
        unit="s",
        meaning="The longest life of a registration; a phone that asks for more gets this.",
        source=_VOS,
        for_edge=True,
    ),
    _number(
        "RF_MIN_EXPIRES",
        REGISTRATION,
        60,
        (1, 3600),
        unit="s",
        meaning=(
            "The shortest life of a registration; a phone that asks for less is told 423 with this value "
            "in Min-Expires."
        ),
        for_edge=True,
    ),
    _number(
        "RF_REGISTRATION_MEMORY_DAYS",
        REGISTRATION,
        30,
        (0, 365),
        unit="days",
        meaning=(
            "How long an address stays known after its last valid registration. A call from a known "
            "address is asked for credentials instead of being refused, so a phone whose router changed "
            "its port is no criminal."
        ),
        zero="forget at once",
        for_edge=True,
    ),
    _number(
        "SS_SIP_TIMEOUT_INVITE",
        ROUTING,
        10,
        (1, 600),
        unit="s",
        meaning=(
            "How long a routing gateway may take to answer an INVITE at all before the call goes on to the "
            "next. Each routing gateway may have its own."
        ),
        source=_VOS,
    ),
    _number(
        "SS_SIP_TIMEOUT_TRYING",
        ROUTING,
        20,
        (1, 600),
        unit="s",
        meaning="The same after 100 Trying.",
        source=_VOS,
    ),
    _number(
        "SS_SIP_TIMEOUT_SESSION_PROGRESS",
        ROUTING,
        20,
        (1, 600),
        unit="s",
        meaning="The same after 183 Session Progress without SDP.",
        source=_VOS,
    ),
    _number(
        "SS_SIP_TIMEOUT_SESSION_PROGRESS_SDP",
        ROUTING,
        120,
        (1, 600),
        unit="s",
        meaning="The same after 183 Session Progress with SDP.",
        source=_VOS,
    ),
    _number(
        "SS_SIP_TIMEOUT_RINGING",
        ROUTING,
        120,
        (1, 600),
        unit="s",
        meaning="The same after 180 Ringing.",
        source=_VOS,
    ),
    _number(
        "SS_GATEWAY_SWITCH_LIMIT",
        ROUTING,
        0,
        (1, 100),
        unit="gateways",
        meaning="How often a call may go on to another routing gateway after a failure.",
        source=_VOS,
        zero="no limit",
    ),
    _switch(
        "SS_GATEWAY_SWITCH_UNTIL_CONNECT",
        ROUTING,
        0,
        meaning=(
            "Let a call go on to another routing gateway until it is answered, whatever the caller has "
            "heard before. A routing gateway's own switches count before it."
        ),
        source=_VOS,
    ),
    _switch(
        "SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START",
        ROUTING,
        1,
        meaning="Let no call go on to another routing gateway once the caller has heard sound of one.",
        source=_VOS,
    ),
    _switch(
        "SS_SIP_STOP_SWITCH_AFTER_SDP",
        ROUTING,
        1,
        meaning="Let no call go on to another routing gateway once the caller has been given SDP of one.",
        source=_VOS,
    ),
    _number(
        "SS_SIP_SESSION_TTL",
        SIP,
        600,
        (90, 86_400),
        unit="s",
        meaning="How long a session lasts unless it is refreshed (RFC 4028), on each side of a call.",
        source=_VOS,
        zero="no session timers",
    ),
    _number(
        "SS_SIP_SESSION_UPDATE_SEGMENT",
        SIP,
        2,
        (2, 10),
        unit="",
        meaning="Into how many parts a session is divided; at the end of each a refresh is sent.",
        source=_VOS,
    ),
    _number(
        "SS_SIP_SESSION_TIMEOUT_EARLY_HANGUP",
        SIP,
        0,
        (1, 300),
        unit="s",
        meaning="How long before the end of a session that nobody refreshed the call is hung up.",
        source=_VOS,
        zero="a third of the session, at most 32 s",
    ),
    _number(
        "SS_SIP_NO_TIMER_REINVITE_INTERVAL",
        SIP,
        7200,
        (60, 604_800),
        unit="s",
        meaning="The longest call of a caller without session timers: it is hung up then.",
        source=_VOS,
        zero="no limit",
    ),
    _number(
        "RF_JOURNAL_BYTES_PER_S",
        JOURNAL,
        16_000_000,
        (100_000, 2_000_000_000),
        unit="bytes/s",
        meaning=(
            "What the journal of strangers may grow by per second in the long run. Above it attempts are "
            "counted together, by stated steps, and never lost."
        ),
        for_edge=True,
    ),
    _number(
        "RF_JOURNAL_BURST_BYTES",
        JOURNAL,
        256 * _MIB,
        (_MIB, 100 * _GIB),
        unit="bytes",
        meaning=(
            "How much unused journal budget is saved up for a burst. Counting together starts when half "
            "of it is spent."
        ),
        for_edge=True,
    ),
    _number(
        "RF_RAW_SAMPLE_S",
        JOURNAL,
        600,
        (0, 86_400),
        unit="s",
        meaning=(
            "The raw message of a source is kept with its record once in this many seconds, credentials "
            "masked."
        ),
        zero="never",
        for_edge=True,
    ),
    _number(
        "RF_JOURNAL_SYNC_MS",
        JOURNAL,
        1000,
        (10, 60_000),
        unit="ms",
        meaning=(
            "How often the journal of strangers is forced to disk. A crash of the process loses nothing "
            "either way; a power cut may lose this much."
        ),
        for_edge=True,
    ),
    _number(
        "RF_RETENTION_ILLEGAL_DAYS",
        JOURNAL,
        90,
        (1, 3650),
        unit="days",
        meaning="How long records of illegal calls are kept. What is let go is summed up first.",
    ),
    _number(
        "RF_RETENTION_ILLEGAL_BYTES",
        JOURNAL,
        20 * _GIB,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning="How much disk records of illegal calls may take; the oldest go first.",
        zero="no limit",
    ),
    _number(
        "RF_RETENTION_EVENT_DAYS",
        JOURNAL,
        30,
        (1, 3650),
        unit="days",
        meaning="How long security events are kept: what strangers sent other than calls.",
    ),
    _number(
        "RF_RETENTION_EVENT_BYTES",
        JOURNAL,
        5 * _GIB,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning="How much disk security events may take; the oldest go first.",
        zero="no limit",
    ),
    _number(
        "RF_RETENTION_CALL_DAYS",
        JOURNAL,
        730,
        (1, 3650),
        unit="days",
        meaning="How long records of authorised calls are kept.",
    ),
    _number(
        "RF_RETENTION_CALL_BYTES",
        JOURNAL,
        0,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning="How much disk records of authorised calls may take; the oldest go first.",
        zero="no limit",
    ),
    _number(
        "RF_RETENTION_JOURNAL_DAYS",
        JOURNAL,
        90,
        (1, 3650),
        unit="days",
        meaning=(
            "How long sealed journal segments are kept; those of the calls stream at least as long as "
            "RF_REGISTRATION_MEMORY_DAYS. Records can be rebuilt only as far back as the journal reaches."
        ),
    ),
    _number(
        "RF_RETENTION_JOURNAL_BYTES",
        JOURNAL,
        20 * _GIB,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning=(
            "How much disk sealed segments of the edge stream may take; the oldest go first. The calls "
            "stream goes by days only: no flood costs a paid call its record."
        ),
        zero="no limit",
    ),
    _number(
        "RF_ARCHIVE_LEVEL",
        JOURNAL,
        3,
        (1, 19),
        unit="zstd level",
        meaning="How hard sealed journal segments are compressed: higher is smaller and slower.",
    ),
    _number(
        "RF_TRACE_BYTES",
        TRACE,
        64 * _MIB,
        (_MIB, 16 * _GIB),
        unit="bytes",
        meaning=(
            "How much memory the last messages of authorised sources take, for `ringfence trace`; the oldest "
            "go first. Another value lets go of what was kept."
        ),
        zero="keep none",
        for_edge=True,
    ),
    _switch(
        "RF_HEP_EXPORT",
        TRACE,
        1,
        meaning=(
            "Send a copy of each traced message to the Homer server that the node's configuration names; "
            "without one there this does nothing."
        ),
        source=_OURS,
        for_edge=True,
    ),
)

BY_NAME: Final[dict[str, Parameter]] = {parameter.name: parameter for parameter in PARAMETERS}


def lookup(name: str) -> Parameter:
    """Find a parameter by its exact name, letter case ignored.

    Raises: ConfigError("unknown_parameter") with the nearest spelling as hint.
    """
    found = BY_NAME.get(name.strip().upper())
    if found is None:
        raise ConfigError(
            sentence("there is no parameter {name!r}", name=name),
            hint=did_you_mean(name, BY_NAME) or "`ringfence param list` shows them all",
            code="unknown_parameter",
        )
    return found


def defaults() -> dict[str, int]:
    """Every parameter at its default."""
    return {parameter.name: parameter.default for parameter in PARAMETERS}
