# SPDX-License-Identifier: Apache-2.0
"""The black and white lists of numbers, which the edge has judged by; here for rewritten numbers too."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ringfence.policy.steps import Step, refused
from ringfence.routing.prefix_table import PrefixTable
from ringfence.settings.model import Block, Color, ListName
from ringfence.text import sentence


@dataclass(frozen=True, slots=True)
class NumberLists:
    """Entries for callers and for callees by prefix; of one prefix there may be several, expired ones too."""

    callers: PrefixTable[tuple[Block, ...]]
    callees: PrefixTable[tuple[Block, ...]]

    @classmethod
    def build(cls, blocks: Iterable[Block]) -> Self:
        """Sort the entries that nobody removed."""
        known = tuple(blocks)
        return cls(_by_prefix(known, ListName.CALLER), _by_prefix(known, ListName.CALLEE))

    def refusal(self, caller: str, callee: str, *, now_us: int) -> Step | None:
        """Why a call between these numbers is refused; None if no list refuses it."""
        for whose, table, number in (("callee", self.callees, callee), ("caller", self.callers, caller)):
            entry = _in_force(table, number, now_us)
            if entry is not None and entry.color is Color.BLACK:
                return refused(
                    "black_list",
                    "{whose} {number} begins with {prefix}, on the black list as entry {id}",
                    whose=sentence(whose),
                    number=number,
                    prefix=entry.value,
                    id=entry.id,
                )
        return None


def _by_prefix(blocks: tuple[Block, ...], name: ListName) -> PrefixTable[tuple[Block, ...]]:
    found: dict[str, tuple[Block, ...]] = {}
    for block in blocks:
        if block.list is name:
            found[block.value] = (*found.get(block.value, ()), block)
    return PrefixTable(found.items())


def _in_force(table: PrefixTable[tuple[Block, ...]], number: str, now_us: int) -> Block | None:
    """The entry of the longest prefix that has one in force; that one decides, as in the edge."""
    for _, entries in table.matches(number):
        for entry in entries:
            if entry.in_force(now_us):
                return entry
    return None
