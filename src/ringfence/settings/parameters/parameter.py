# SPDX-License-Identifier: Apache-2.0
"""One parameter: its range, how a value is read, and the two sorts there are."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence.errors import ConfigError
from ringfence.text import Sentence, sentence

RINGFENCE: Final = "Ringfence"
VOS3000: Final = "VOS3000"

_WORDS: Final = {"on": 1, "true": 1, "yes": 1, "off": 0, "false": 0, "no": 0}


class Kind(Enum):
    """What sort of number a parameter takes."""

    BOOL = "bool"
    INT = "int"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Shape: a value is allowed if minimum <= value <= maximum and, where `only` names some, it is one of them;
    or if it is 0 and `zero` says what 0 means.
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
    only: tuple[int, ...] = ()
    for_edge: bool = False

    def allows(self, value: int) -> bool:
        """Whether the value is one the parameter may take."""
        if value == 0 and self.zero is not None:
            return True
        return self.minimum <= value <= self.maximum and (not self.only or value in self.only)

    def range_text(self) -> Sentence:
        """What is allowed, in words.

        >>> from ringfence.settings.parameters import lookup
        >>> lookup("RF_BLOCKED_CODE").range_text()
        '400 to 699, or 0 (silence)'
        """
        if self.kind is Kind.BOOL:
            return sentence("0 (off) or 1 (on)")
        if self.only:
            return sentence("{lowest} or {highest}", lowest=self.minimum, highest=self.maximum)
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


def switch(
    name: str, group: str, default: int, *, meaning: str, source: str, for_edge: bool = False
) -> Parameter:
    """A parameter that is on or off."""
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


def number(
    name: str,
    group: str,
    default: int,
    allowed: tuple[int, int],
    *,
    unit: str,
    meaning: str,
    source: str = RINGFENCE,
    zero: str | None = None,
    is_either: bool = False,
    for_edge: bool = False,
) -> Parameter:
    """A parameter that is a whole number between two, or (`is_either`) one of the two."""
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
        only=allowed if is_either else (),
        for_edge=for_edge,
    )
