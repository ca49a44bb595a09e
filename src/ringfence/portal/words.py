# SPDX-License-Identifier: Apache-2.0
"""Languages: English is written in the pages, the other catalogues translate it, sentence by sentence."""

import json
from collections.abc import Callable
from importlib import resources
from typing import Final

LANGUAGES: Final = {"en": "English", "es": "Español", "zh": "中文"}
_POINTS_GROUP: Final = frozenset({"es"})

Translate = Callable[..., str]


def _catalogue(language: str) -> dict[str, str]:
    text = resources.files("ringfence.portal").joinpath(f"catalogues/{language}.json").read_text("utf-8")
    words: dict[str, str] = json.loads(text)
    return words


CATALOGUES: Final[dict[str, dict[str, str]]] = {
    language: _catalogue(language) for language in LANGUAGES if language != "en"
}


def translator(language: str) -> Translate:
    """How a sentence of ours reads in a language; names in braces are filled in.

    >>> translator("en")("{count} new", count=3)
    '3 new'
    """
    words = CATALOGUES.get(language, {})

    def translate(text: str, /, **values: object) -> str:
        said = words.get(text, text)
        return said.format(**values) if values else said

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
    """A number with its thousands apart.

    >>> grouped(1234567, "es")
    '1.234.567'
    """
    whole = f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"
    return whole.translate(str.maketrans(",.", ".,")) if language in _POINTS_GROUP else whole
