# SPDX-License-Identifier: Apache-2.0
"""`ringfence token`: let programs call the API."""

import click

from ringfence.cli.duration import DurationType
from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.settings.model import Role
from ringfence.settings.objects.tokens import ApiToken

_COLUMNS = ("name", "role", "actor", "created_at", "expires_at", "used_at")
_ROLES = click.Choice([role.value for role in Role])


@click.group()
def command() -> None:
    """Let programs call the API: as admin, analyst or viewer."""


@command.command("list")
@with_session
def list_tokens(session: Session) -> None:
    """List all tokens, without their secrets."""
    with session.reading() as store:
        tokens = store.tokens.all()
    rows = [list(_fields(token).values()) for token in tokens]
    session.output.rows(_COLUMNS, rows, empty="no token yet: `ringfence token add NAME` adds one")


@command.command()
@click.argument("name")
@click.option(
    "--role", type=_ROLES, default=Role.VIEWER.value, show_default=True, help="What the program may do."
)
@click.option("--for", "for_s", type=DurationType(), help="For how long, such as 90d; else until removed.")
@with_session
def add(session: Session, *, name: str, role: str, for_s: int | None) -> None:
    """Make a token and print its secret, once."""
    with session.changing() as store:
        made = store.tokens.add(name, Role(role), for_s=for_s, actor=session.actor)
    note(f"added token {name}; its secret is shown only now")
    if session.output.form is Format.TABLE:
        click.echo(made.secret)
    elif made.change.after is not None:
        session.output.outcome(_fields(made.change.after) | {"secret": made.secret})


@command.command()
@click.argument("name")
@with_session
def remove(session: Session, *, name: str) -> None:
    """Take a token away; calls with it are refused from now on."""
    with session.changing() as store:
        store.tokens.remove(name, actor=session.actor)
    note(f"removed token {name}")


def _fields(token: ApiToken) -> dict[str, Value]:
    return {
        "name": token.name,
        "role": token.role.value,
        "actor": token.actor,
        "created_at": iso_utc(token.created_at_us),
        "expires_at": None if token.expires_at_us is None else iso_utc(token.expires_at_us),
        "used_at": None if token.used_at_us is None else iso_utc(token.used_at_us),
    }
