# SPDX-License-Identifier: Apache-2.0
"""Languages: English is written in the pages, the other catalogues translate it, sentence by sentence."""

import json
from collections.abc import Callable
from importlib import resources
from typing import Final

from ringfence.text import Sentence

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

    Shape: a `Sentence` brings what is filled in, and that is translated too as far as it is a sentence. Text
    that no catalogue has stays as it is.

    >>> translator("en")("{count} new", count=3)
    '3 new'
    """
    words = CATALOGUES.get(language, {})

    def translate(text: str, /, **values: object) -> str:
        template = text
        if isinstance(text, Sentence):
            template, values = text.template, text.values
        said = words.get(template, template)
        filled = {name: translate(it) if isinstance(it, Sentence) else it for name, it in values.items()}
        return said.format(**filled) if filled else said

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
