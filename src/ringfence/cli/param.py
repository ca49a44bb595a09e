# SPDX-License-Identifier: Apache-2.0
"""`ringfence param`: show and change the operator's parameters."""

import json

import click
from click.shell_completion import CompletionItem

from ringfence.cli.output import Format, Value
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.settings.model import ParameterValue
from ringfence.settings.parameters import PARAMETERS, Parameter, lookup


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(parameter.name, help=parameter.meaning)
        for parameter in PARAMETERS
        if parameter.name.startswith(incomplete.upper())
    ]


_name = click.argument("name", shell_complete=_complete)


@click.group()
def command() -> None:
    """Show and change parameters: the operator's switches, in force within a second."""


@command.command("list")
@click.option("--group", help="Only groups whose name contains this.")
@click.option("--set", "only_set", is_flag=True, help="Only those that were set.")
@with_session
def list_parameters(session: Session, *, group: str | None, only_set: bool) -> None:
    """List parameters with value, default and range."""
    with session.reading() as store:
        values = store.parameters.all()
    chosen = [
        _fields(value)
        for value in values
        if (value.is_set or not only_set)
        and (group is None or group.casefold() in lookup(value.name).group.casefold())
    ]
    shown = ["name", "value", "default", "allowed", "is_set"]
    if session.output.form is not Format.TABLE:
        shown = list(_fields(values[0]))
    session.output.rows(
        shown, [[fields[name] for name in shown] for fields in chosen], empty="no such parameter"
    )


@command.command()
@_name
@with_session
def get(session: Session, *, name: str) -> None:
    """Print the value of a parameter; with --format json, all about it."""
    lookup(name)
    with session.reading() as store:
        value = store.parameters.get(name)
    if session.output.form is Format.TABLE:
        click.echo(value.value)
    else:
        session.output.record(_fields(value))


@command.command()
@_name
@with_session
def show(session: Session, *, name: str) -> None:
    """Show all about a parameter."""
    lookup(name)
    with session.reading() as store:
        session.output.record(_fields(store.parameters.get(name)))


@command.command("set", context_settings={"ignore_unknown_options": True})
@_name
@click.argument("value")
@with_session
def set_parameter(session: Session, *, name: str, value: str) -> None:
    """Give a parameter a value: a number, or on/off for a switch."""
    number = lookup(name).parse(value)
    with session.changing() as store:
        change = store.parameters.set(name, number, actor=session.actor)
    if change.after is not None:
        session.output.outcome(_fields(change.after))
    session.announce(change.version, changed=change.changed)


@command.command()
@_name
@with_session
def reset(session: Session, *, name: str) -> None:
    """Give a parameter its default again."""
    lookup(name)
    with session.changing() as store:
        change = store.parameters.reset(name, actor=session.actor)
    if change.after is not None:
        session.output.outcome(_fields(change.after))
    session.announce(change.version, changed=change.changed)


@command.command()
@click.argument("name", required=False, shell_complete=_complete)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many."
)
@with_session
def history(session: Session, *, name: str | None, limit: int) -> None:
    """Show who changed parameters, newest first."""
    wanted = None if name is None else lookup(name).name
    with session.reading() as store:
        rows = store.audit(kind="parameter", name=wanted, limit=limit)
    session.output.rows(
        ["at", "version", "actor", "action", "name", "before", "after"],
        [
            [
                iso_utc(row.at_us),
                row.version,
                row.actor,
                row.action,
                row.name,
                _old(row.before),
                _old(row.after),
            ]
            for row in rows
        ],
        empty="no parameter was ever changed" if name is None else f"{wanted} was never changed",
    )


def _old(text: str | None) -> Value:
    value: int | None = None if text is None else json.loads(text)["value"]
    return value


def _fields(value: ParameterValue) -> dict[str, Value]:
    parameter: Parameter = lookup(value.name)
    return {
        "name": parameter.name,
        "value": value.value,
        "default": parameter.default,
        "allowed": str(parameter.range_text()),
        "is_set": value.is_set,
        "unit": parameter.unit,
        "group": parameter.group,
        "meaning": parameter.meaning,
        "source": parameter.source,
    }
