# SPDX-License-Identifier: Apache-2.0
"""Attempts that carry their truth: who would have sent them, and which class of attack they are.

The grammars are those of `crates/drill`; here is what the tools do with them. Numbers are ones set aside for
fiction.
"""

import base64
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, TypedDict

from ringfence.core import drill_message


class AttackClass(Enum):
    """What an attempt is, whatever the switch makes of it."""

    PROBE = "probe"
    ENUMERATION = "enumeration"
    CREDENTIAL = "credential"
    PREFIX_SWEEP = "prefix_sweep"
    RANGE_SWEEP = "range_sweep"
    TOLL_FRAUD_CALL = "toll_fraud_call"
    FLOOD = "flood"
    MALFORMED = "malformed"
    INJECTION = "injection"
    SPOOF_SUSPECT = "spoof_suspect"
    PROTOCOL_ABUSE = "protocol_abuse"
    MISCONFIGURED_PEER = "misconfigured_peer"
    BENIGN_SCANNER = "benign_scanner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to be sent.

    Shape: `index` is unique in a run; `template` is empty where `raw` is the whole message. It is sent
    `copies` times, `COPY_AFTER_S` apart. `at_s` counts from the start of the run. `acknowledge`: the final
    answer gets its ACK.
    """

    at_s: float
    source: str
    index: int
    template: str = ""
    raw: bytes = b""
    callee: str | None = None
    caller: str | None = None
    extension: str | None = None
    authorization: str | None = None
    copies: int = 1
    acknowledge: bool = False

    def message(self, *, target: str, source_port: int, seed: int) -> bytes:
        """The bytes to send from `source:source_port` to `target`."""
        if self.raw:
            return self.raw
        return drill_message(
            self.template,
            target=target,
            source=f"{host(self.source)}:{source_port}",
            seed=seed,
            index=self.index,
            callee=self.callee,
            caller=self.caller,
            extension=self.extension,
            authorization=self.authorization,
        )


class Fields(TypedDict, total=False):
    """What an attempt of a step has of its own; see `Attempt`."""

    raw: bytes
    callee: str
    caller: str
    extension: str
    authorization: str
    copies: int
    acknowledge: bool


COPY_AFTER_S: Final = 0.5
"""Timer A of RFC 3261 §17.1.1.2 begins with T1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one attacker does. No other step of the run uses any of its sources, so rows lead back to it."""

    name: str
    tool: str
    attack_class: AttackClass
    attempts: tuple[Attempt, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Addresses that it sends from, each once, in order of first use."""
        return tuple(dict.fromkeys(attempt.source for attempt in self.attempts))


def host(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


class Steps:
    """Lays out steps: gives each its own sources and each attempt its time and number."""

    def __init__(self, *, seed: int, seconds: float, network: int = 66, is_ipv6: bool = False) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        self._seconds = seconds
        self._network = network
        self._is_ipv6 = is_ipv6
        self._next_source = 0
        self._next_index = 0
        self.made: list[Step] = []

    def source(self) -> str:
        """An address that no other step has."""
        self._next_source += 1
        if self._is_ipv6:
            return "::1"
        return f"127.{self._network}.{self._next_source >> 8}.{self._next_source & 255}"

    def add(
        self,
        name: str,
        attack_class: AttackClass,
        attempts: Sequence[Fields],
        *,
        template: str = "",
        sources: int = 1,
    ) -> None:
        """Add a step of these attempts, spread evenly over the run, from `sources` addresses in turn."""
        addresses = [self.source() for _ in range(sources)]
        gap_s = self._seconds / len(attempts)
        begin_s = self._random.uniform(0, min(gap_s, 0.5))
        laid_out = [
            Attempt(
                at_s=begin_s + place * gap_s,
                source=addresses[place % sources],
                index=self._next_index + place,
                template=template,
                **fields,
            )
            for place, fields in enumerate(attempts)
        ]
        self._next_index += len(attempts)
        tool = template.partition("/")[0] or "none"
        self.made.append(Step(name=name, tool=tool, attack_class=attack_class, attempts=tuple(laid_out)))

    def digits(self, count: int) -> str:
        """Random digits, the first not 0."""
        return str(self._random.randrange(10 ** (count - 1), 10**count))

    def sample(self, low: int, high: int, count: int) -> list[int]:
        """Different numbers in rising order."""
        return sorted(self._random.sample(range(low, high), count))

    def noise(self, length: int) -> bytes:
        """Random bytes."""
        return self._random.randbytes(length)


# Digits that dialling programs try before a number, hoping for an outside line.
ACCESS_CODES: Final = (
    "00",
    "011",
    "9011",
    "900",
    "+",
    "810",
    "0",
    "9810",
    "000",
    "00900",
    "7",
    "8",
    "99",
    "1",
    "2",
)
# London and Stockholm numbers set aside for fiction, and an area of the reserved country code 999.
TARGET: Final = "441632960"
OTHER_TARGET: Final = "46846500"
PREMIUM: Final = "99990"


def probes(steps: Steps, count: int) -> None:
    """Who is there? Asked by svmap, sippts, nmap, and a research scanner that says who it is."""
    steps.add("svmap probe", AttackClass.PROBE, [Fields() for _ in range(count)], template="svmap/options")
    steps.add("sippts probe", AttackClass.PROBE, [Fields() for _ in range(count)], template="sippts/options")
    steps.add("nmap probe", AttackClass.PROBE, [Fields()], template="nmap/options")
    steps.add(
        "research probe",
        AttackClass.BENIGN_SCANNER,
        [Fields() for _ in range(3)],
        template="research/options",
    )


def enumerations(steps: Steps, count: int) -> None:
    """Which extensions exist?"""
    for name, template in (
        ("svwar REGISTER sweep", "svwar/register"),
        ("svwar INVITE sweep", "svwar/invite"),
        ("sippts REGISTER sweep", "sippts/register"),
    ):
        extensions = steps.sample(100, 1000, count)
        steps.add(
            name,
            AttackClass.ENUMERATION,
            [Fields(extension=str(extension)) for extension in extensions],
            template=template,
        )


def calls(steps: Steps, count: int) -> None:
    """Calls that would cost money: swept prefixes and ranges, priced numbers, one number from many hosts."""
    tail = TARGET + steps.digits(3)
    swept: list[Fields] = [
        {"callee": f"{ACCESS_CODES[n % len(ACCESS_CODES)]}{steps.digits(2)}{tail}"} for n in range(count)
    ]
    steps.add("sippts prefix sweep", AttackClass.PREFIX_SWEEP, swept, template="sippts/invite")
    first = int(steps.digits(4)) * 1000
    neighbours: list[Fields] = [{"callee": f"00{OTHER_TARGET}{first + n}"} for n in range(count)]
    steps.add("dialler range sweep", AttackClass.RANGE_SWEEP, neighbours, template="pbx/dialer")
    priced: list[Fields] = [{"callee": f"00{PREMIUM}{steps.digits(6)}"} for _ in range(count)]
    steps.add("gateway toll fraud", AttackClass.TOLL_FRAUD_CALL, priced, template="pbx/gateway")
    slow: list[Fields] = [{"callee": f"+{PREMIUM}123456"} for _ in range(20)]
    steps.add("one number, many hosts", AttackClass.TOLL_FRAUD_CALL, slow, template="pbx/sipcli", sources=20)
    steps.add(
        "textbook message",
        AttackClass.TOLL_FRAUD_CALL,
        [Fields() for _ in range(5)],
        template="textbook/invite",
    )


def peers(steps: Steps) -> None:
    """A customer's PBX whose address has changed, and a phone that repeats what it gets no answer to."""
    regular: list[Fields] = [
        {"callee": f"{TARGET}{steps.digits(3)}", "caller": "441632960001"} for _ in range(6)
    ]
    steps.add("misconfigured trunk", AttackClass.MISCONFIGURED_PEER, regular, template="pbx/trunk")
    repeated: list[Fields] = [{"callee": f"{TARGET}{steps.digits(3)}", "copies": 3} for _ in range(4)]
    steps.add("retransmitting phone", AttackClass.MISCONFIGURED_PEER, repeated, template="pbx/softphone")
    called: list[Fields] = [{"acknowledge": True} for _ in range(20)]
    steps.add("SIPp caller", AttackClass.FLOOD, called, template="sipp/invite")


def oddities(steps: Steps) -> None:
    """Messages that are wrong in one way each, and what is no SIP at all."""
    steps.add("no Call-ID", AttackClass.MALFORMED, [Fields(), Fields()], template="odd/no-call-id")
    steps.add(
        "branch without cookie", AttackClass.TOLL_FRAUD_CALL, [Fields(), Fields()], template="odd/no-cookie"
    )
    steps.add("Via of 0.0.0.0", AttackClass.SPOOF_SUSPECT, [Fields(), Fields()], template="odd/zero-via")
    steps.add("oversize Call-ID", AttackClass.MALFORMED, [Fields(), Fields()], template="odd/long-call-id")
    steps.add(
        "line break in the number",
        AttackClass.INJECTION,
        [Fields(callee=f"00%0D%0A%0D%0A{TARGET}{steps.digits(3)}") for _ in range(2)],
        template="pbx/dialer",
    )
    user = '100\\"; DROP TABLE cdr; --'
    quoted = f'Authorization: Digest username="{user}", realm="x", nonce="0", uri="sip:x", response="0"'
    steps.add(
        "quotes in the digest user",
        AttackClass.INJECTION,
        [Fields(authorization=quoted) for _ in range(2)],
        template="pbx/register",
    )
    noise: list[Fields] = [{"raw": steps.noise(n)} for n in (1, 40, 700)]
    steps.add("random bytes", AttackClass.MALFORMED, noise)
    web = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    steps.add("HTTP on the SIP port", AttackClass.PROTOCOL_ABUSE, [Fields(raw=web), Fields(raw=web)])


def corpus(seed: int, *, is_ipv6: bool = False, seconds: float = 10.0) -> tuple[Step, ...]:
    """A bit of everything, in the order in which it is defined; the same seed gives the same attempts."""
    steps = Steps(seed=seed, seconds=seconds, is_ipv6=is_ipv6)
    probes(steps, 10)
    enumerations(steps, 30)
    calls(steps, 30)
    peers(steps)
    oddities(steps)
    return tuple(steps.made)


def labelled_messages(seed: int, *, target: str = "127.0.0.1:5060") -> Iterator[dict[str, str]]:
    """The corpus as messages with their truth: `step tool attack_class source message` (base64)."""
    for step in corpus(seed):
        for attempt in step.attempts:
            message = attempt.message(target=target, source_port=5060, seed=seed)
            yield {
                "step": step.name,
                "tool": step.tool,
                "attack_class": step.attack_class.value,
                "source": attempt.source,
                "message": base64.b64encode(message).decode(),
            }


def write_corpus(path: Path, seed: int, *, target: str = "127.0.0.1:5060") -> int:
    """Write the labelled messages as one JSON object a line; returns how many there are."""
    lines = [json.dumps(entry) for entry in labelled_messages(seed, target=target)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)
