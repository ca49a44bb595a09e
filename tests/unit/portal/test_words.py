# SPDX-License-Identifier: Apache-2.0
"""The catalogues say every sentence of the pages, and no other."""

import pytest

from kit.words import placeholders, sentences
from ringfence.portal.words import CATALOGUES, LANGUAGES, grouped, preferred, translator


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_every_sentence_is_translated_and_none_is_left_over(language: str) -> None:
    said, words = sentences(), CATALOGUES[language]
    assert not said - words.keys(), "not translated"
    assert not words.keys() - said, "said nowhere"
    assert all(words.values())


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_translations_fill_in_what_the_sentence_fills_in(language: str) -> None:
    wrong = [
        english
        for english, other in CATALOGUES[language].items()
        if placeholders(english) != placeholders(other)
    ]
    assert not wrong


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert set(CATALOGUES) == set(LANGUAGES) - {"en"}


def test_what_is_filled_in_is_not_read_as_a_placeholder_again() -> None:
    assert translator("en")("{name} may call now.", name="{x}") == "{x} may call now."


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("es", "zh", "es"),
        ("", "zh-CN,zh;q=0.9", "zh"),
        ("xx", "fr;q=1, de", "en"),
        ("", "", "en"),
        ("", "," * 5000, "en"),
    ],
)
def test_the_language_is_the_one_chosen_or_accepted(asked: str, accepted: str, language: str) -> None:
    assert preferred(asked, accepted) == language


def test_thousands_stand_apart_as_the_language_writes_them() -> None:
    assert (grouped(1234567, "en"), grouped(1234567, "es"), grouped(1234.5, "es")) == (
        "1,234,567",
        "1.234.567",
        "1.234,5",
    )
