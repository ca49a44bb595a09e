# SPDX-License-Identifier: Apache-2.0
"""The small languages of gateways' rules: dial rules, lengths, times, SIP codes.

Each type reads what an operator types (`parse`), writes its one normal form (`str`) and applies itself. They
are read when settings are changed, to refuse what is wrong, and when a table is built, to be applied.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

from ringfence.errors import ConfigError
from ringfence.text import sentence

DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""The names of days, Sunday is 0 as in VOS3000."""

DAY_S: Final = 86_400

_PATTERN: Final = re.compile(r"[0-9A-Za-z+#?*]{1,64}", re.ASCII)
_TARGET: Final = re.compile(r"[0-9A-Za-z+#$*]{0,64}", re.ASCII)
_LENGTHS: Final = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?", re.ASCII)
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)
_CODES: Final = re.compile(r"([1-6][0-9]{2})(?:-([1-6][0-9]{2}))?", re.ASCII)
_CODE_PAIR: Final = re.compile(r"(0|[3-6][0-9]{2}):(0|[3-6][0-9]{2})", re.ASCII)


def _bad(message: str, hint: str) -> ConfigError:
    return ConfigError(message, hint=hint, code="bad_value")


@dataclass(frozen=True, slots=True)
class DialRule:
    """Rewrites a number.

    Shape: in `pattern`, `?` is one digit and one `*` any characters, none included; without `*` it is the
    beginning of a number and the rest follows unchanged. In a target, `*` is what the pattern's `*` (or the
    rest) was, and `$` is the character that the number had at this position. Of several targets each call
    takes the next.
    """

    pattern: str
    targets: tuple[str, ...]
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        written = self.whole_pattern
        wild = {"*": "(.*)", "?": "[0-9]"}
        text = "".join(wild.get(char) or re.escape(char) for char in written)
        # DOTALL: a number is whatever stood in a SIP URI, and no character of it may escape a rule.
        object.__setattr__(self, "_regex", re.compile(text, re.DOTALL))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "PATTERN:TARGET", or with several targets "PATTERN:TARGET|TARGET".

        >>> DialRule.parse("0134:$$$").rewrite("0134131")
        '013131'

        Raises: ConfigError("bad_value").
        """
        pattern, colon, written = text.strip().partition(":")
        targets = tuple(written.split("|"))
        hint = sentence("write PATTERN:TARGET, for example 00:+ or *:9* or 0134:$$$")
        if not colon or not _PATTERN.fullmatch(pattern):
            raise _bad(sentence("{text!r} is not a dial rule", text=text), hint)
        if pattern.count("*") > 1:
            raise _bad(sentence("{text!r} has more than one * in its pattern", text=text), hint)
        for target in targets:
            if not _TARGET.fullmatch(target):
                raise _bad(
                    sentence("{text!r} has a target with a character that no number has", text=text), hint
                )
            if target.count("*") > 1:
                raise _bad(sentence("{text!r} has more than one * in a target", text=text), hint)
            if "$" in target.partition("*")[2]:
                raise _bad(
                    sentence("{text!r} has a $ behind the *", text=text),
                    "$ stands for a position, which is not known there",
                )
        if not all(targets) and "*" in pattern:
            raise _bad(sentence("{text!r} would leave nothing of a number", text=text), hint)
        return cls(pattern, targets)

    @property
    def whole_pattern(self) -> str:
        """The pattern with the `*` that stands for the rest of a number where it is left out."""
        return self.pattern if "*" in self.pattern else f"{self.pattern}*"

    def __str__(self) -> str:
        return f"{self.pattern}:{'|'.join(self.targets)}"

    def rewrite(self, number: str, turn: int = 0) -> str | None:
        """The number after the rule; None if the pattern is another's. `turn` counts calls."""
        found = self._regex.fullmatch(number)
        if found is None:
            return None
        target = self.targets[turn % len(self.targets)]
        rest = found[1]
        if "*" not in target and "*" not in self.pattern:
            target = f"{target}*"
        written = [
            rest if char == "*" else number[position : position + 1] if char == "$" else char
            for position, char in enumerate(target)
        ]
        return "".join(written)


@dataclass(frozen=True, slots=True)
class DialRules:
    """Several dial rules: the longest pattern that fits counts, of equal ones the first given.

    >>> rules = DialRules.parse(["*:9*", "00:+"])
    >>> rules.rewrite("0044207"), rules.rewrite("4420")
    ('+44207', '94420')
    """

    rules: tuple[DialRule, ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read the rules in any order.

        Raises: ConfigError("bad_value").
        """
        rules = [DialRule.parse(text) for text in texts]
        # 00 is as long as 00*, which is the same; else 0* would be as good.
        return cls(tuple(sorted(rules, key=lambda rule: -len(rule.whole_pattern))))

    def apply(self, number: str, turn: int = 0) -> tuple[DialRule, str] | None:
        """The rule that counts for the number, and the number after it; None if no rule fits."""
        for rule in self.rules:
            rewritten = rule.rewrite(number, turn)
            if rewritten is not None:
                return rule, rewritten
        return None

    def rewrite(self, number: str, turn: int = 0) -> str:
        """The number after the rule that counts; unchanged if there is none."""
        applied = self.apply(number, turn)
        return number if applied is None else applied[1]


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many characters a number may have, from and to."""

    shortest: int
    longest: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "11" or "7-15".

        >>> str(Lengths.parse("07-15"))
        '7-15'

        Raises: ConfigError("bad_value").
        """
        found = _LENGTHS.fullmatch(text.strip())
        shortest = int(found[1]) if found else 0
        longest = int(found[2] or found[1]) if found else 0
        if not 1 <= shortest <= longest <= 64:
            raise _bad(sentence("{text!r} is not a length", text=text), "write 11 or 7-15, between 1 and 64")
        return cls(shortest, longest)

    def __str__(self) -> str:
        return str(self.shortest) if self.shortest == self.longest else f"{self.shortest}-{self.longest}"

    def allows(self, number: str) -> bool:
        """Whether the number is as long as it may be."""
        return self.shortest <= len(number) <= self.longest


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Some hours on some days of the week; over midnight they belong to the day on which they begin.

    Shape: `days` 0 = Sunday, in order. `end_s` below or at `start_s` is on the next day.
    Units: seconds of the day, 0 to 86400, on the clock of `zone`.
    """

    days: tuple[int, ...]
    start_s: int
    end_s: int
    zone: str = "UTC"
    _clock: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_clock", _zone(self.zone))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "mon-fri/08:00-18:00", with "/ZONE" behind it where the hours are not UTC.

        >>> str(TimeWindow.parse("Sat,Sun 00:00-24:00 Europe/Madrid"))
        'sun,sat/00:00-24:00/Europe/Madrid'

        Raises: ConfigError("bad_value").
        """
        parts = [*re.split(r"[/ ]+", text.strip(), maxsplit=2), ""]
        hint = sentence(
            "write DAYS/FROM-TO, for example mon-fri/08:00-18:00 or sat,sun/00:00-24:00/Europe/Madrid"
        )
        if len(parts) < 3:
            raise _bad(sentence("{text!r} is not a time of the week", text=text), hint)
        start, dash, end = parts[1].partition("-")
        days, start_s, end_s = _days(parts[0]), _seconds(start), _seconds(end)
        if not dash or days is None or start_s is None or end_s is None or start_s == DAY_S or not end_s:
            raise _bad(sentence("{text!r} is not a time of the week", text=text), hint)
        return cls(days, start_s, end_s, parts[2] or "UTC")

    def __str__(self) -> str:
        zone = "" if self.zone == "UTC" else f"/{self.zone}"
        return f"{_days_text(self.days)}/{_clock_text(self.start_s)}-{_clock_text(self.end_s)}{zone}"

    def holds(self, now_us: int) -> bool:
        """Whether the moment (UTC microseconds since 1970) is inside."""
        now = datetime.fromtimestamp(now_us // 1_000_000, UTC).astimezone(self._clock)
        second = now.hour * 3600 + now.minute * 60 + now.second
        today = (now.weekday() + 1) % 7
        yesterday = (now - timedelta(days=1)).isoweekday() % 7
        if self.start_s < self.end_s:
            return today in self.days and self.start_s <= second < self.end_s
        return (today in self.days and second >= self.start_s) or (
            yesterday in self.days and second < self.end_s
        )


def any_holds(windows: Sequence[TimeWindow], now_us: int) -> bool:
    """Whether one of the windows holds; without a window every moment is fine."""
    return not windows or any(window.holds(now_us) for window in windows)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise _bad(
            sentence("there is no time zone {name!r}", name=name),
            "write it as Europe/Madrid, or leave it out for UTC",
        ) from error


def _days(text: str) -> tuple[int, ...] | None:
    """Days out of "mon-fri", "sat,sun" or "daily", in order; None if it is none of them."""
    if text.lower() == "daily":
        return tuple(range(7))
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            return None
        start, stop = DAYS.index(first), DAYS.index(last)
        found.update((start + step) % 7 for step in range((stop - start) % 7 + 1))
    return tuple(sorted(found))


def _days_text(days: tuple[int, ...]) -> str:
    if len(days) == 7:
        return "daily"
    is_run = len(days) > 2 and days[-1] - days[0] == len(days) - 1
    return f"{DAYS[days[0]]}-{DAYS[days[-1]]}" if is_run else ",".join(DAYS[day] for day in days)


def _seconds(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3] or 0)
    total = hours * 3600 + minutes * 60 + seconds
    return total if minutes < 60 and seconds < 60 and total <= DAY_S else None


def _clock_text(seconds: int) -> str:
    hour, rest = divmod(seconds, 3600)
    minute, second = divmod(rest, 60)
    return f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"


@dataclass(frozen=True, slots=True)
class CodeRange:
    """SIP status codes, from and to."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "503" or "500-599".

        Raises: ConfigError("bad_value").
        """
        found = _CODES.fullmatch(text.strip())
        first = int(found[1]) if found else 0
        last = int(found[2] or found[1]) if found else 0
        if not 300 <= first <= last:
            raise _bad(
                sentence("{text!r} is not a code of a failure", text=text),
                "write 503 or 500-599, between 300 and 699",
            )
        return cls(first, last)

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def holds(self, status: int) -> bool:
        """Whether the status is one of them."""
        return self.first <= status <= self.last


@dataclass(frozen=True, slots=True)
class FailureCodes:
    """What a caller is told for a failure: pairs of the status that it was and the status that it becomes.

    Shape: an original 0 stands for all that have no pair of their own, a target 0 leaves it as it was.
    """

    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read "ORIGINAL:TARGET" pairs.

        >>> codes = FailureCodes.parse(["486:0", "0:480"])
        >>> codes.told(486), codes.told(503)
        (486, 480)

        Raises: ConfigError("bad_value").
        """
        pairs: dict[int, int] = {}
        for text in texts:
            found = _CODE_PAIR.fullmatch(text.strip())
            if found is None:
                raise _bad(
                    sentence("{text!r} is not ORIGINAL:TARGET", text=text),
                    "write 503:480; original 0 = all others, target 0 = as it was; else 300 to 699",
                )
            if int(found[1]) in pairs:
                raise _bad(sentence("{code} has two targets", code=found[1]), "name each original code once")
            pairs[int(found[1])] = int(found[2])
        return cls(tuple(pairs.items()))

    def texts(self) -> tuple[str, ...]:
        """The normal forms of the pairs."""
        return tuple(f"{original}:{target}" for original, target in self.pairs)

    def told(self, status: int) -> int:
        """The status that the caller is told."""
        pairs = dict(self.pairs)
        return pairs.get(status, pairs.get(0, 0)) or status
