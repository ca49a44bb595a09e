# SPDX-License-Identifier: Apache-2.0
"""The runs that `ringfence drill` knows, as values."""

from dataclasses import dataclass
from typing import Final

from ringfence.drill.corpus import AttackClass, Fields, Step, Steps, corpus
from ringfence.errors import ConfigError

SCENARIOS: Final = ("scan", "crack", "flood", "mixed")
"""Attacks; `calls` is the one scenario whose callers are known to the switch."""

MAX_SECONDS: Final = 3600.0
MAX_ATTEMPTS: Final = 100_000
MAX_GUESSES: Final = 10_000
MAX_SOURCES: Final = 254 << 16
MAX_CALLS_PER_S: Final = 100.0
MAX_CALLING_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crack:
    """Guessing the password of one number: a REGISTER, then an answer to each challenge, wrong every time."""

    source: str
    number: str
    guesses: int
    every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load from the native sender; rate 0 = as fast as it goes."""

    rate: float
    seconds: float
    sources: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a run sends."""

    name: str
    steps: tuple[Step, ...] = ()
    crack: Crack | None = None
    load: Load | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls that are let in: begun at `rate` per second for `seconds`, and by the phones in turn."""

    rate: float
    seconds: float


def scan(seed: int, *, count: int = 300, seconds: float = 6.0, is_ipv6: bool = False) -> Scenario:
    """Sweeps with OPTIONS, REGISTER and INVITE, `count` attempts each."""
    _within("count", count, 1, MAX_ATTEMPTS // 3)
    _within("seconds", seconds, 0.1, MAX_SECONDS)
    steps = Steps(seed=seed, seconds=seconds, is_ipv6=is_ipv6)
    steps.add(
        "svmap OPTIONS sweep", AttackClass.PROBE, [Fields() for _ in range(count)], template="svmap/options"
    )
    for name, template in (
        ("svwar REGISTER sweep", "svwar/register"),
        ("svwar INVITE sweep", "svwar/invite"),
    ):
        fields = [Fields(extension=str(100 + n)) for n in range(count)]
        steps.add(name, AttackClass.ENUMERATION, fields, template=template)
    return Scenario(name="scan", steps=tuple(steps.made))


def crack(*, number: str = "100", guesses: int = 100, is_ipv6: bool = False) -> Scenario:
    """Password guessing against one number, in svcrack's way."""
    _within("guesses", guesses, 1, MAX_GUESSES)
    source = "::1" if is_ipv6 else "127.67.0.1"
    return Scenario(name="crack", crack=Crack(source=source, number=number, guesses=guesses, every_s=0.02))


def flood(*, rate: float = 5000.0, seconds: float = 5.0, sources: int = 4096) -> Scenario:
    """INVITEs from many addresses; rate 0 = as fast as it goes."""
    _within("seconds", seconds, 0.1, MAX_SECONDS)
    _within("sources", sources, 1, MAX_SOURCES)
    if rate != 0:
        _within("rate", rate, 0.1, 10_000_000.0)
    return Scenario(name="flood", load=Load(rate=rate, seconds=seconds, sources=sources))


def mixed(seed: int, *, is_ipv6: bool = False) -> Scenario:
    """A bit of everything in about twelve seconds, each attacker from addresses of its own."""
    return Scenario(
        name="mixed",
        steps=corpus(seed, is_ipv6=is_ipv6, seconds=8.0),
        crack=Crack(source="::1" if is_ipv6 else "127.67.0.1", number="100", guesses=20, every_s=0.25),
        load=Load(rate=300.0, seconds=2.5, sources=64),
    )


def calls(*, rate: float = 10.0, seconds: float = 16.0) -> Calls:
    """Calls of a customer to a vendor and between two phones; the last ones end seconds later."""
    _within("rate", rate, 0.1, MAX_CALLS_PER_S)
    _within("seconds", seconds, 0.1, MAX_CALLING_S)
    return Calls(rate=rate, seconds=seconds)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"{name} must be {_plain(low)} to {_plain(high)}, not {_plain(value)}",
            hint=f"give another --{name}",
            code="bad_value",
        )


def _plain(value: float) -> str:
    """A number as people write it: without a point that says nothing, and without a power of ten."""
    return str(int(value)) if value == int(value) else str(value)


def datagrams(steps: tuple[Step, ...]) -> int:
    """How many datagrams the steps send, ACKs apart."""
    return sum(attempt.copies for step in steps for attempt in step.attempts)
