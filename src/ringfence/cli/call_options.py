# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, on the command line: the options that the table of fields makes."""

import functools
from collections.abc import Callable, Iterable, Mapping
from enum import Enum

import click

from ringfence.settings.call_fields import CallField, Calls, read, with_values


def call_options(fields: Iterable[CallField]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field; it gets them all as the mapping `given`, None = not given."""
    known = tuple(fields)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*args: object, **kwargs: object) -> None:
            given = {field.name: kwargs.pop(f"field_{field.name}") for field in known}
            function(*args, given=given, **kwargs)

        optioned: Callable[..., None] = command
        for field in reversed(known):
            optioned = _option(field)(optioned)
        return optioned

    return decorate


def _option(field: CallField) -> Callable[[Callable[..., None]], Callable[..., None]]:
    parameter, option = f"field_{field.name}", f"--{field.name.replace('_', '-')}"
    if field.kind is tuple:
        text = f'{field.help} Several by blanks or repeated; "" = none.'
        return click.option(option, parameter, multiple=True, help=text)
    if field.kind is bool:
        off = "--unlocked" if field.name == "locked" else f"--no-{option[2:]}"
        return click.option(f"{option}/{off}", parameter, default=None, help=field.help)
    if issubclass(field.kind, Enum):
        choices = click.Choice([choice.value for choice in field.kind])
        return click.option(option, parameter, type=choices, help=field.help)
    if field.kind is int:
        return click.option(option, parameter, type=int, help=field.help)
    return click.option(option, parameter, help=field.help)


def is_given(given: Mapping[str, object]) -> bool:
    """Whether any option was given."""
    return any(value not in {None, ()} for value in given.values())


def with_given(calls: Calls, fields: Iterable[CallField], given: Mapping[str, object]) -> Calls:
    """The calls with the options that were given.

    Raises: ConfigError("bad_value").
    """
    known = tuple(fields)
    values = {
        field.name: _read(field, given[field.name]) for field in known if given[field.name] not in (None, ())
    }
    return with_values(calls, known, values)


def _read(field: CallField, value: object) -> object:
    """What click gave for an option, as the field holds it."""
    if isinstance(value, tuple):
        return read(field, " ".join(map(str, value)))
    return read(field, value) if isinstance(value, str) else value
