# SPDX-License-Identifier: Apache-2.0
"""`ringfence group`: names for several routing gateways, by which they are allowed or denied to callers."""

import click

from ringfence.cli.output import Value, note
from ringfence.cli.session import Session, with_session
from ringfence.settings.calls_model import GatewayGroup

_COLUMNS = ("name", "remark", "used_by")


@click.group()
def command() -> None:
    """Group routing gateways, to allow or deny them to mapping gateways together."""


@command.command("list")
@with_session
def list_groups(session: Session) -> None:
    """List all groups."""
    with session.reading() as store:
        groups = [(group, store.groups.users_of(group.name)) for group in store.groups.all()]
    rows = [list(_fields(group, users).values()) for group, users in groups]
    session.output.rows(_COLUMNS, rows, empty="no group yet: `ringfence group add NAME` makes one")


@command.command()
@click.argument("name")
@with_session
def show(session: Session, *, name: str) -> None:
    """Show one group and who names it."""
    with session.reading() as store:
        session.output.record(_fields(store.groups.get(name), store.groups.users_of(name)))


@command.command()
@click.argument("name")
@click.option("--remark", default="", help="What it is for.")
@with_session
def add(session: Session, *, name: str, remark: str) -> None:
    """Make a group."""
    with session.changing() as store:
        change = store.groups.add(GatewayGroup(name=name, remark=remark), actor=session.actor)
    note(f"added group {name}: `ringfence route set ROUTE --group {name}` puts a routing gateway into it")
    if change.after is not None:
        session.output.outcome(_fields(change.after, ()))
    session.announce(change.version)


@command.command("set")
@click.argument("name")
@click.option("--remark", required=True, help="What it is for.")
@with_session
def set_group(session: Session, *, name: str, remark: str) -> None:
    """Change what a group's remark says."""
    with session.changing() as store:
        change = store.groups.set_remark(name, remark, actor=session.actor)
        users = store.groups.users_of(name)
    if change.after is not None:
        session.output.outcome(_fields(change.after, users))
    session.announce(change.version, changed=change.changed)


@command.command()
@click.argument("name")
@with_session
def remove(session: Session, *, name: str) -> None:
    """Forget a group that nobody names any more."""
    with session.changing() as store:
        change = store.groups.remove(name, actor=session.actor)
    note(f"removed group {name}")
    session.announce(change.version)


def _fields(group: GatewayGroup, users: tuple[str, ...]) -> dict[str, Value]:
    return {"name": group.name, "remark": group.remark, "used_by": users}
