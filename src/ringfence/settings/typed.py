# SPDX-License-Identifier: Apache-2.0
"""What people type into cells of CSV and into forms, as values."""

from ringfence.errors import ConfigError
from ringfence.text import sentence


def whole_number(text: str, name: str) -> int:
    """A whole number, 0 or more.

    Raises: ConfigError("bad_value").
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ConfigError(
            sentence("{name} has to be a whole number, not {text!r}", name=name, text=text[:40]),
            hint="write digits only",
            code="bad_value",
        )
    return int(text)


def yes_or_no(text: str, name: str) -> bool:
    """A truth.

    Raises: ConfigError("bad_value").
    """
    word = text.lower()
    if word in {"true", "yes", "1", "on"}:
        return True
    if word in {"false", "no", "0", "off"}:
        return False
    raise ConfigError(
        sentence("{name} has to be true or false, not {text!r}", name=name, text=text[:40]), code="bad_value"
    )
