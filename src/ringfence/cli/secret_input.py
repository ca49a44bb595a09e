# SPDX-License-Identifier: Apache-2.0
"""Where a password comes from: asked for, read from stdin, or made here; others can see arguments."""

import functools
import secrets
import string
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

import click

_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 20  # 119 bits


class Password(NamedTuple):
    """A password, and whether it was made here and has to be shown once."""

    text: str
    is_made: bool


def password_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --password-stdin and --generate; it gets `password_stdin` and `generate`."""

    @click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
    @click.option("--generate", is_flag=True, help="Make a password and print it once.")
    @functools.wraps(function)
    def command(*args: object, **kwargs: object) -> None:
        function(*args, **kwargs)

    return command


def obtain(*, password_stdin: bool, generate: bool) -> Password:
    """Get a password in the way that was asked for; at a terminal ask, elsewhere one way has to be named.

    Raises: click.UsageError.
    """
    if password_stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude each other")
    if generate:
        return Password("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)), is_made=True)
    if password_stdin:
        return Password(sys.stdin.readline().rstrip("\r\n"), is_made=False)
    if not sys.stdin.isatty():
        raise click.UsageError("no password: give --password-stdin or --generate")
    return Password(
        click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True), is_made=False
    )
