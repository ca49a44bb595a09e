# SPDX-License-Identifier: Apache-2.0
"""Finds what belongs to the beginnings of a number.

One dictionary holds all prefixes; a number is cut to each length that any prefix has, longest first. A
look-up costs as many probes as there are lengths, however many prefixes there are.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class PrefixTable(Generic[T]):
    """Prefixes with a value each; of equal prefixes the last one counts. Immutable once built."""

    __slots__ = ("_by_prefix", "_lengths")

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._by_prefix = dict(entries)
        self._lengths = tuple(sorted({len(prefix) for prefix in self._by_prefix}, reverse=True))

    def __len__(self) -> int:
        return len(self._by_prefix)

    def matches(self, number: str) -> list[tuple[str, T]]:
        """Every prefix of the number, longest first; the empty one, if there is one, last."""
        longest, by_prefix = len(number), self._by_prefix
        found = []
        for length in self._lengths:
            # A slice that is cut short would find the whole number once more.
            if length <= longest and (prefix := number[:length]) in by_prefix:
                found.append((prefix, by_prefix[prefix]))
        return found

    def longest(self, number: str) -> tuple[str, T] | None:
        """The longest prefix of the number; None if there is none."""
        by_prefix = self._by_prefix
        for length in self._lengths:
            prefix = number[:length]
            if prefix in by_prefix:
                return prefix, by_prefix[prefix]
        return None
