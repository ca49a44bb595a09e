# SPDX-License-Identifier: Apache-2.0
"""Which contacts of which numbers are in force. Pure: the moment comes in.

Only phones that proved who they are get in, and each number has a limit: one contact more takes the place of
the oldest, so that a phone that lost its state is not locked out by what it left behind.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.registrar.contact import BEST_Q

SPARE_EXPIRIES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The way that a REGISTER came, and requests to the phone go back: transport, its address, and ours."""

    transport: str
    source: tuple[str, int]
    local: tuple[str, int]


Key = tuple[str, int, str]
"""What a binding replaces and is replaced by: a device's instance and flow, or a contact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One contact of a number.

    Shape: `q` in thousandths. `path` are the values of Path (RFC 3327), nearest to us first. `reg_id` None =
    the phone did not ask for an outbound flow. `call_id` and `cseq` are of the last REGISTER, and `since_us`
    is when it came.
    Units: UTC microseconds.
    """

    number: str
    contact: str
    flow: Flow
    since_us: int
    expires_us: int
    q: int = BEST_Q
    path: tuple[str, ...] = ()
    instance: str | None = None
    reg_id: int | None = None
    user_agent: str = ""
    call_id: str = ""
    cseq: int = 0

    @property
    def key(self) -> Key:
        """What it is told apart by."""
        return key_of(self.contact, self.instance, self.reg_id)


def key_of(contact: str, instance: str | None, reg_id: int | None) -> Key:
    """What a binding is told apart by (RFC 3261 §10.3 step 7, RFC 5626 §6)."""
    # Without reg-id a device has one binding: after a reboot it comes from another port.
    return ("", 0, contact) if instance is None else (instance, reg_id or 0, "")


def _is_later(held: Binding, call_id: str, cseq: int) -> bool:
    return held.call_id == call_id != "" and held.cseq >= cseq


def _is_left_by(binding: Binding, held: Binding) -> bool:
    """Whether a phone moved to another flow, so that what it had at the other one leads nowhere.

    It keeps its Call-ID over all of its REGISTERs (RFC 3261 §10.2.4). One that has several flows at once says
    so by reg-id, or has them over several transports.
    """
    return (
        held.call_id == binding.call_id != ""
        and held.flow != binding.flow
        and held.flow.transport == binding.flow.transport
        and held.reg_id is None
        and binding.reg_id is None
    )


class Bindings:
    """The bindings of all numbers; `most` of one number at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_number: dict[str, dict[Key, Binding]] = {}
        self._expiries: list[tuple[int, str, Key]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_late(self, binding: Binding) -> bool:
        """Whether a newer REGISTER of the same phone was taken already (RFC 3261 §10.3 step 7)."""
        held = self._by_number.get(binding.number, {}).get(binding.key)
        return held is not None and _is_later(held, binding.call_id, binding.cseq)

    def is_overtaken(self, number: str, call_id: str, cseq: int) -> bool:
        """Whether a REGISTER that ends all contacts of a number is older than one of them (step 6)."""
        return any(_is_later(held, call_id, cseq) for held in self._held(number))

    def bind(self, binding: Binding) -> tuple[Binding, ...]:
        """Put a binding in force in the place of its own older self; the others that ended by it.

        Shape: over the limit the oldest of the number goes.
        """
        others = [each for each in self._held(binding.number) if each.key != binding.key]
        gone = [each for each in others if _is_left_by(binding, each)]
        stay = sorted((each for each in others if each not in gone), key=lambda each: each.since_us)
        gone += stay[: max(0, len(stay) + 1 - self.most)]
        for each in gone:
            self._remove(each)
        held = self._by_number.setdefault(binding.number, {})
        self._count += held.pop(binding.key, None) is None
        held[binding.key] = binding
        self._push(binding)
        return tuple(gone)

    def _held(self, number: str) -> Iterable[Binding]:
        return self._by_number.get(number, {}).values()

    def unbind(self, number: str, contact: str | None, key: Key | None = None) -> tuple[Binding, ...]:
        """End one contact of a number, or all of them for None; those that ended.

        Shape: `key` is what it is told apart by where its instance is known, which counts for more.
        """
        held = self._by_number.get(number, {})
        if key is not None and key in held:
            return (self._remove(held[key]),)
        ended = [each for each in held.values() if contact is None or each.contact == contact]
        return tuple(map(self._remove, ended))

    def end(self, bindings: Iterable[Binding]) -> None:
        """Let go of those of them that are in force just as they are."""
        for binding in bindings:
            if self._by_number.get(binding.number, {}).get(binding.key) == binding:
                self._remove(binding)

    def __iter__(self) -> Iterator[Binding]:
        """Every binding, whether or not it has run out."""
        return (each for held in self._by_number.values() for each in held.values())

    def of(self, number: str, now_us: int) -> tuple[Binding, ...]:
        """Where a number is, in the order to be tried: by q, then the newest first.

        Shape: of several flows of one device the newest only (RFC 5626 §7); the others stand by.
        """
        live = [each for each in self._held(number) if each.expires_us > now_us]
        live.sort(key=lambda each: (-each.q, -each.since_us))
        seen: set[str] = set()
        first: list[Binding] = []
        spare: list[Binding] = []
        for each in live:
            is_again = each.instance is not None and each.instance in seen
            (spare if is_again else first).append(each)
            if each.instance is not None:
                seen.add(each.instance)
        return (*first, *spare)

    def numbers(self) -> Iterable[str]:
        """The numbers that have bindings."""
        return self._by_number.keys()

    def restore(self, bindings: Iterable[Binding], now_us: int) -> None:
        """Take over what was in force before a restart, oldest first."""
        for binding in sorted(bindings, key=lambda each: each.since_us):
            if binding.expires_us > now_us:
                self.bind(binding)

    # --- time ---

    def next_expiry_us(self) -> int | None:
        """When `expire` has something to do, in UTC microseconds; None = there is no binding."""
        while self._expiries and not self._is_current(self._expiries[0]):
            heapq.heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None

    def expire(self, now_us: int) -> tuple[Binding, ...]:
        """Let go of what has run out; those that ended."""
        ended: list[Binding] = []
        while (at_us := self.next_expiry_us()) is not None and at_us <= now_us:
            _, number, key = heapq.heappop(self._expiries)
            ended.append(self._remove(self._by_number[number][key]))
        return tuple(ended)

    def _push(self, binding: Binding) -> None:
        if len(self._expiries) > 2 * self._count + SPARE_EXPIRIES:
            self._expiries = [each for each in self._expiries if self._is_current(each)]
            heapq.heapify(self._expiries)
        heapq.heappush(self._expiries, (binding.expires_us, binding.number, binding.key))

    def _is_current(self, expiry: tuple[int, str, Key]) -> bool:
        at_us, number, key = expiry
        held = self._by_number.get(number, {}).get(key)
        return held is not None and held.expires_us == at_us

    def _remove(self, binding: Binding) -> Binding:
        held = self._by_number[binding.number]
        del held[binding.key]
        self._count -= 1
        if not held:
            del self._by_number[binding.number]
        return binding
