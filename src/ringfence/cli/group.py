# SPDX-License-Identifier: Apache-2.0
"""Click groups that import a command only when it is called, and errors as one line and a hint."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

import click
from click.exceptions import NoArgsIsHelpError, NoSuchCommand, NoSuchOption
from click.shell_completion import CompletionItem

from ringfence.errors import ConfigError, RingfenceError
from ringfence.settings.spelling import nearest

DONE: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2

# What click calls numbers.
_IN_WORDS: Final = (
    (r"is not a valid integer( range)?$", "is not a whole number"),
    (r"is not a valid float( range)?$", "is not a number"),
)
# What a ConfigError says about something that was typed, rather than about the state of things.
_TYPED: Final = frozenset({"bad_value", "not_a_number", "out_of_range", "unknown_parameter"})


class Place(NamedTuple):
    """Where a command lives ("module:attribute") and what it does in one sentence."""

    target: str
    summary: str


class Application(click.Group):
    """The root group.

    Shape: `sections` has, per heading of the help, the commands by name.
    """

    def __init__(self, sections: Mapping[str, Mapping[str, Place]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._sections = sections
        self._places = {name: place for section in sections.values() for name, place in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries, without importing the commands."""
        for heading, section in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, place.summary) for name, place in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name, without importing the commands."""
        return [
            CompletionItem(name, help=place.summary)
            for name, place in self._places.items()
            if name.startswith(incomplete)
        ]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and turn errors into a line, a hint and an exit code."""

        def run() -> Any:
            return super(Application, self).main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        if not standalone_mode:
            return run()
        sys.exit(exit_code_of(run))


def exit_code_of(run: Callable[[], Any]) -> int:
    """Run something; tell its error, if any, on stderr."""
    try:
        code = run()
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BAD_USAGE
    except click.ClickException as error:
        complain(_message(error), _hint(error))
        return BAD_USAGE if isinstance(error, click.UsageError) else FAILED
    except click.Abort:
        complain("interrupted", None)
        return FAILED
    except PermissionError as error:
        # Wherever it is met: a data directory of another user is the usual reason.
        complain(f"{error.filename}: {error.strerror}", "run this as the user who owns the data directory")
        return FAILED
    except RingfenceError as error:
        complain(error.message, error.hint)
        return BAD_USAGE if isinstance(error, ConfigError) and error.code in _TYPED else FAILED
    return code if isinstance(code, int) else DONE


def complain(message: str, hint: str | None) -> None:
    """Say on stderr what went wrong and how to mend it."""
    click.echo(f"error: {message}", err=True)
    if hint is not None:
        click.echo(f"hint: {hint}", err=True)


def _message(error: click.ClickException) -> str:
    if isinstance(error, NoSuchOption):
        return f"no such option: {error.option_name}"
    if isinstance(error, NoSuchCommand):
        return f"no such command: {error.command_name}"
    text = " ".join(error.format_message().split()).rstrip(".")
    for pattern, words in _IN_WORDS:
        text = re.sub(pattern, words, text)
    return text[:1].lower() + text[1:]


def _hint(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return None
    found = None
    if isinstance(error, NoSuchOption):
        names = [name for parameter in context.command.get_params(context) for name in parameter.opts]
        found = nearest(error.option_name, [name for name in names if name.startswith("-")])
        if found is None and isinstance(context.command, click.Group):
            example = f"{context.command_path} COMMAND {error.option_name} ..."
            return f"options stand behind the command: `{example}`"
    elif isinstance(error, NoSuchCommand) and isinstance(context.command, click.Group):
        found = nearest(error.command_name, context.command.list_commands(context))
    return (
        f"did you mean {found}?"
        if found is not None
        else f"`{context.command_path} --help` shows what there is"
    )
