# SPDX-License-Identifier: Apache-2.0
"""Languages: English is written in the pages, the other catalogues translate it, sentence by sentence."""

import json
import string
from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from ringfence.text import Sentence

LANGUAGES: Final = {"en": "English", "es": "Español", "zh": "中文"}
_POINTS_GROUP: Final = frozenset({"es"})
_LEAST_GROUPED: Final = 10_000
"""What is smaller has no separator where points group (CLDR `minimumGroupingDigits` 2)."""

Translate = Callable[..., str]


def _catalogue(language: str) -> dict[str, str]:
    text = resources.files("ringfence.portal").joinpath(f"catalogues/{language}.json").read_text("utf-8")
    words: dict[str, str] = json.loads(text)
    return words


CATALOGUES: Final[dict[str, dict[str, str]]] = {
    language: _catalogue(language) for language in LANGUAGES if language != "en"
}


class _Filler(string.Formatter):
    """Fills in a sentence; numbers that stand there with their thousands apart are written as `grouped`."""

    def __init__(self, language: str) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        """One value."""
        if format_spec == ",":
            return grouped(value, self._language)
        formatted: str = super().format_field(value, format_spec)
        return formatted


def translator(language: str) -> Translate:
    """How a sentence of ours reads in a language; names in braces are filled in.

    Shape: a `Sentence` brings what is filled in, and that is translated too as far as it is a sentence. Text
    that no catalogue has stays as it is.

    >>> translator("en")("{count} new", count=3)
    '3 new'
    """
    words, filler = CATALOGUES.get(language, {}), _Filler(language)

    def translate(text: str, /, **values: object) -> str:
        template = text
        if isinstance(text, Sentence):
            template, values = text.template, text.values
        said = words.get(template, template)
        filled = {name: translate(it) if isinstance(it, Sentence) else it for name, it in values.items()}
        return filler.format(said, **filled) if filled else said

    return translate


def preferred(asked: str, accepted: str) -> str:
    """The language to speak: the one chosen, else the first that the browser accepts and we know.

    >>> preferred("", "fr-FR, es;q=0.8, en;q=0.5")
    'es'
    """
    if asked in LANGUAGES:
        return asked
    for part in accepted.split(",")[:20]:
        language = part.split(";")[0].strip().lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return "en"


def grouped(number: int | float, language: str) -> str:
    """A number with its thousands apart, as CLDR writes the language's numbers.

    >>> grouped(1234567, "es"), grouped(1234, "es")
    ('1.234.567', '1234')
    """
    whole = f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"
    if language not in _POINTS_GROUP:
        return whole
    if abs(number) < _LEAST_GROUPED:
        whole = whole.replace(",", "")
    return whole.translate(str.maketrans(",.", ".,"))
