# SPDX-License-Identifier: Apache-2.0
"""The nearest known spelling of a word that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches

from ringfence.text import sentence


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like the given one, letter case ignored; None if none is alike.

    >>> nearest("SS_REPLY_UNAUTHORISED", ["SS_REPLY_UNAUTHORIZED", "RF_ROAMING"])
    'SS_REPLY_UNAUTHORIZED'
    """
    by_fold = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest spelling; None if none is alike."""
    found = nearest(word, known)
    return None if found is None else sentence("did you mean {word}?", word=found)
