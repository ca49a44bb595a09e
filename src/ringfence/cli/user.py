# SPDX-License-Identifier: Apache-2.0
"""`ringfence user`: let people log in to the portal."""

import click

from ringfence.cli.output import Format, Value, note
from ringfence.cli.secret_input import Password, obtain, password_options
from ringfence.cli.session import Session, with_session
from ringfence.settings import checks
from ringfence.settings.model import Role, User

_COLUMNS = ("name", "role")
_ROLES = click.Choice([role.value for role in Role])


@click.group()
def command() -> None:
    """Let people log in to the portal: as admin, analyst or viewer."""


@command.command("list")
@with_session
def list_users(session: Session) -> None:
    """List all users."""
    with session.reading() as store:
        users = store.users.all()
    rows = [list(_fields(user).values()) for user in users]
    session.output.rows(_COLUMNS, rows, empty="no user yet: `ringfence user add NAME --role admin` adds one")


@command.command()
@click.argument("name")
@with_session
def show(session: Session, *, name: str) -> None:
    """Show one user."""
    with session.reading() as store:
        session.output.record(_fields(store.users.get(name)))


@command.command()
@click.argument("name")
@click.option(
    "--role", type=_ROLES, default=Role.VIEWER.value, show_default=True, help="What the user may do."
)
@password_options
@with_session
def add(session: Session, *, name: str, role: str, password_stdin: bool, generate: bool) -> None:
    """Let someone log in."""
    checks.user_name(name)
    password = obtain(password_stdin=password_stdin, generate=generate)
    with session.changing() as store:
        change = store.users.add(name, Role(role), password.text, actor=session.actor)
    note(f"added user {name}")
    if change.after is not None:
        _tell(session, change.after, password)


@command.command("set")
@click.argument("name")
@click.option("--role", type=_ROLES, help="What the user may do.")
@click.option("--password", "new_password", is_flag=True, help="Ask for a new password.")
@password_options
@with_session
def set_user(
    session: Session, *, name: str, role: str | None, new_password: bool, password_stdin: bool, generate: bool
) -> None:
    """Change a user."""
    if not (new_password or password_stdin or generate) and role is None:
        raise click.UsageError("nothing to change was named")
    with session.changing() as store:
        user = store.users.get(name)
        password = Password("", is_made=False)
        if new_password or password_stdin or generate:
            password = obtain(password_stdin=password_stdin, generate=generate)
            store.users.set_password(name, password.text, actor=session.actor)
        if role is not None:
            user = store.users.set_role(name, Role(role), actor=session.actor).after or user
    _tell(session, user, password)


@command.command()
@click.argument("name")
@with_session
def remove(session: Session, *, name: str) -> None:
    """Let a user log in no longer."""
    with session.changing() as store:
        store.users.remove(name, actor=session.actor)
    note(f"removed user {name}")


def _tell(session: Session, user: User, password: Password) -> None:
    fields = _fields(user)
    if password.is_made:
        fields["password"] = password.text
    if password.is_made and session.output.form is Format.TABLE:
        click.echo(password.text)
    else:
        session.output.outcome(fields)


def _fields(user: User) -> dict[str, Value]:
    return {"name": user.name, "role": user.role.value}
