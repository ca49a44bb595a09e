# SPDX-License-Identifier: Apache-2.0
"""A TOML text read into a struct; what is wrong in it is said in words, with file and line."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from ringfence.errors import ConfigError
from ringfence.settings.spelling import did_you_mean

Struct = TypeVar("Struct", bound=msgspec.Struct)

_WORDS: Final = (
    (r"Expected `int` [<>]= .*", "this is out of range"),
    (r"Expected `str` matching regex.*", "this cannot be a name"),
    (r"Expected `array` of length >= 1", "at least one is needed"),
    (r"Expected `array` of length (?:<=|\d+ <=).*", "these are too many"),
    (r"Expected `str` of length >= 1", "it cannot be empty"),
    (r"Expected `(\w+)(?: \| null)?`, got `(\w+)`", r"this has to be \1, not \2"),
)

_TOML_NAMES: Final = {
    "int": "a whole number",
    "str": "a text in quotes",
    "array": "a list in [brackets]",
    "object": "a [table]",
    "float": "a number with a point",
    "bool": "true or false",
}


def _in_words(message: str) -> str:
    for pattern, words in _WORDS:
        found = re.fullmatch(pattern, message)
        if found is not None:
            said = found.expand(words)
            return re.sub(
                r"\b(int|str|array|object|float|bool)\b", lambda name: _TOML_NAMES[name.group()], said
            )
    return message


class Lines:
    """Finds the line of a key, which the TOML reader does not tell."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._line_of: dict[str, int] = {}
        table = "$"
        for number, line in enumerate(text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                table = f"$.{_plain(header.group(1))}"
                self._line_of.setdefault(table, number)
            elif key := re.match(r"\s*([A-Za-z0-9_\"'. -]+?)\s*=", line):
                self._line_of.setdefault(f"{table}.{_plain(key.group(1))}", number)

    def line_of(self, path: str) -> int | None:
        """The line of a key such as "$.tcp.idle_s" or "$.sip[1]", or of the table it is in."""
        key = re.sub(r"\[\d+\]$", "", path)
        while key not in self._line_of and "." in key:
            key = key.rpartition(".")[0]
        return self._line_of.get(key)

    def error(self, path: str, message: str, *, hint: str | None) -> ConfigError:
        """An error in the value of a key."""
        key = re.sub(r"\[\d+\]$", "", path).removeprefix("$").removeprefix(".")
        return self.error_at(self.line_of(path), f"{key}: {message}" if key else message, hint=hint)

    def error_at(self, line: int | None, message: str, *, hint: str | None) -> ConfigError:
        """An error at a line; None = nowhere in particular."""
        where = "" if not self._name else f"{self._name}: " if line is None else f"{self._name}:{line}: "
        return ConfigError(f"{where}{message}", hint=hint)


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def parse(text: str, kind: type[Struct], lines: Lines, allowed: Mapping[str, str]) -> Struct:
    """Read a text.

    Shape: `allowed` says of a key such as "tcp.idle_s" what its values may be, or nothing.
    Raises: ConfigError that names the line, and the nearest spelling of an unknown key.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        message = str(error).partition(" (at ")[0]
        line = len(text.splitlines()) if found is None else int(found.group(1))
        raise lines.error_at(line, message, hint="see https://toml.io for the format") from error
    _refuse_unknown(table, kind, "$", lines)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        path = path.rstrip("`") or "$"
        range_of_key = allowed.get(re.sub(r"\[\d+\]$", "", path).removeprefix("$."))
        hint = f"allowed: {range_of_key}" if range_of_key else None
        raise lines.error(path, _in_words(message), hint=hint) from error


def _refuse_unknown(table: Mapping[str, Any], kind: type[msgspec.Struct], path: str, lines: Lines) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            where = "" if path == "$" else f" in [{path.removeprefix('$.')}]"
            raise lines.error_at(
                lines.line_of(f"{path}.{key}"),
                f"unknown key {key!r}{where}",
                hint=did_you_mean(key, fields) or _known(fields),
            )
        inner = fields[key]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
            _refuse_unknown(value, inner, f"{path}.{key}", lines)


def _known(fields: Mapping[str, object]) -> str:
    return f"known here: {', '.join(fields)}" if fields else "no key is known here"
