# SPDX-License-Identifier: Apache-2.0
"""Strangers' text, made harmless."""

import re
from typing import Any, Final

# What chat programs read as markup, mention, emoji or link. A dot or a colon counts only where a link or an
# emoji would need it, so that versions and times stay readable.
_ACTIVE: Final = re.compile(r"[<>&@#*_~`|\[\]{}\\]|\.(?=[^\W\d])|:(?=[^\s\d])|//+")


def visible(text: str) -> str:
    r"""The text with everything escaped that is not seen or that turns writing around.

    Shape: markup is left to the template, which escapes all of it.

    >>> visible("100\r\nVia: x")
    '100\\r\\nVia: x'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def inert(text: str, longest: int = 80) -> str:
    r"""The text for messages whose readers are programs of others: no markup, mention or link is left in it.

    Shape: what could be one stands as `\xNN`; at most so many characters of the text are told.

    >>> inert("<!channel> www.example.com v1.2.3")
    '\\x3c!channel\\x3e www\\x2eexample\\x2ecom v1.2.3'
    """
    cut = text if len(text) <= longest else f"{text[:longest]}…"
    return visible(_ACTIVE.sub(lambda found: "".join(f"\\x{ord(char):02x}" for char in found[0]), cut))


class Sentence(str):
    """A sentence of ours in English that can still be said in another language.

    Shape: `template` with `values` filled in is the text; values may be sentences themselves.
    """

    template: str
    values: dict[str, object]

    def packed(self) -> dict[str, object]:
        """As JSON holds it; `unpacked` reads it."""
        values = {
            name: value.packed() if isinstance(value, Sentence) else value
            for name, value in self.values.items()
        }
        return {"say": self.template, "with": values}


def sentence(template: str, /, **values: object) -> Sentence:
    """Fill in a sentence, and remember what it was made of.

    >>> told = sentence("there is no user {name!r}", name="ann")
    >>> told, told.template
    ("there is no user 'ann'", 'there is no user {name!r}')
    """
    made = Sentence(template.format(**values) if values else template)
    made.template, made.values = template, values
    return made


def unpacked(told: dict[str, Any]) -> Sentence:
    """A sentence as `Sentence.packed` gave it.

    >>> unpacked(sentence("{a} and {b}", a=1, b=sentence("others")).packed())
    '1 and others'
    """
    values = {
        name: unpacked(value) if isinstance(value, dict) else value for name, value in told["with"].items()
    }
    return sentence(told["say"], **values)
