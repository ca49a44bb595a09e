# SPDX-License-Identifier: Apache-2.0
"""Strangers' text, made harmless."""

import re
from typing import Final

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
