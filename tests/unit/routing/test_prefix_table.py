# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from ringfence.routing.prefix_table import PrefixTable

DIGITS = st.text("0123+a", max_size=6)


def test_longest_prefix_wins() -> None:
    table = PrefixTable([("44", 1), ("4420", 2), ("1", 3)])
    assert table.longest("44207946") == ("4420", 2)
    assert table.longest("4421") == ("44", 1)
    assert table.longest("33") is None
    assert table.longest("") is None


def test_empty_prefix_fits_every_number_and_comes_last() -> None:
    table = PrefixTable([("", 0), ("4", 1)])
    assert list(table.matches("44")) == [("4", 1), ("", 0)]
    assert table.longest("") == ("", 0)


@given(entries=st.dictionaries(DIGITS, st.integers(), max_size=40), number=DIGITS)
def test_table_finds_what_brute_force_finds(entries: dict[str, int], number: str) -> None:
    expected = sorted(
        ((prefix, value) for prefix, value in entries.items() if number.startswith(prefix)),
        key=lambda found: -len(found[0]),
    )
    table = PrefixTable(entries.items())
    assert list(table.matches(number)) == expected
    assert table.longest(number) == (expected[0] if expected else None)
    assert len(table) == len(entries)
