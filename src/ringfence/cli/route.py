# SPDX-License-Identifier: Apache-2.0
"""`ringfence route`: the routing gateways that calls go to, and why a call goes where it does."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from ringfence.cli.call_options import call_options, is_given, with_given
from ringfence.cli.output import Format, Value, note
from ringfence.cli.route_explain import explain
from ringfence.cli.route_state import live_vendors, state, state_fields
from ringfence.cli.session import Session, with_session
from ringfence.cli.tables import read_lines, read_rows, shown_name
from ringfence.errors import ConfigError
from ringfence.settings import call_checks, checks
from ringfence.settings.call_fields import ROUTE_FIELDS, shown, with_cells
from ringfence.settings.calls_model import (
    Registration,
    RouteCalls,
    RoutingGateway,
    RoutingGatewayDraft,
    RoutingGatewayEdit,
)
from ringfence.settings.typed import whole_number, yes_or_no

_COLUMNS = (
    "name",
    "address",
    "registered_as",
    "prefixes",
    "prefix_mode",
    "priority",
    "group",
    "lines",
    "cost_per_minute",
    "locked",
    "enabled",
)
"""Columns of the table, before those of the state; JSON and CSV have all settings."""

_STATE_COLUMNS = ("registration", "health")

_OWN_COLUMNS = ("name", "address", "registered_as", "enabled", "id", "register_as", "register_expires_s")
_ALL_COLUMNS = (*_OWN_COLUMNS, *(field.name for field in ROUTE_FIELDS))

# A list of thousands of prefixes would fill a terminal.
_PREFIXES_SHOWN = 5

_register_as = click.option("--register-as", metavar="USER", help="Register with it, as this user.")
_register_expires = click.option(
    "--register-expires", type=int, metavar="SECONDS", help="Expiry that we ask it for.  [default: 3600]"
)
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password that it gave us from stdin."
)
_prefixes_from = click.option(
    "--prefixes-from",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help='Serve the prefixes in this file, separated by blanks or lines ("-" = stdin).',
)


@click.group()
def command() -> None:
    """Say where calls go: the routing gateways of vendors."""


command.add_command(explain)
command.add_command(state)


@command.command("list")
@with_session
def list_routes(session: Session) -> None:
    """List all routing gateways: for people with their state, else as `route import` reads them."""
    with session.reading() as store:
        routes = store.routing_gateways.all()
    is_table = session.output.form is Format.TABLE
    columns = _COLUMNS if is_table else _ALL_COLUMNS
    rows = [[_fields(route)[column] for column in columns] for route in routes]
    if is_table and routes:
        live = live_vendors(session)
        place = columns.index("prefixes")
        for row, route in zip(rows, routes, strict=True):
            row[place] = _some(route.calls.prefixes)
            row += [state_fields(route, live)[column] for column in _STATE_COLUMNS]
        columns += _STATE_COLUMNS
    session.output.rows(
        columns, rows, empty="no routing gateway yet: `ringfence route add NAME ADDRESS` adds one"
    )


@command.command()
@click.argument("name")
@with_session
def show(session: Session, *, name: str) -> None:
    """Show one routing gateway, for people with its state; programs ask `route state` for that."""
    with session.reading() as store:
        route = store.routing_gateways.get(name)
    fields = _fields(route)
    if session.output.form is Format.TABLE:
        fields |= state_fields(route, live_vendors(session))
    session.output.record(fields)


@command.command()
@click.argument("name")
@click.argument("address", required=False)
@click.option(
    "--registered-as", metavar="GATEWAY", help="Send calls to where this mapping gateway registers."
)
@_register_as
@_register_expires
@_password_stdin
@_prefixes_from
@click.option("--disabled", is_flag=True, help="Do not use it yet.")
@call_options(ROUTE_FIELDS)
@with_session
def add(
    session: Session,
    *,
    name: str,
    address: str | None,
    registered_as: str | None,
    register_as: str | None,
    register_expires: int | None,
    password_stdin: bool,
    prefixes_from: Path | None,
    disabled: bool,
    given: Mapping[str, object],
) -> None:
    """Add a routing gateway.

    ADDRESS is 192.0.2.10, 192.0.2.10:5080, [2001:db8::1]:5080 or sip.example.com. Give it, or
    --registered-as.
    """
    if (address is None) is (registered_as is None):
        raise click.UsageError("give either ADDRESS or --registered-as")
    calls = with_given(RouteCalls(), ROUTE_FIELDS, given)
    draft = RoutingGatewayDraft(
        name=name,
        address=address,
        registered_as=registered_as,
        registration=_registration(None, register_as, register_expires),
        secret=_secret(needed=register_as is not None, password_stdin=password_stdin),
        enabled=not disabled,
        calls=_with_prefixes(calls, prefixes_from),
    )
    with session.changing() as store:
        change = store.routing_gateways.add(draft, actor=session.actor)
    if change.after is not None:
        note(f"added route {change.after.name} with id {change.after.id}")
        session.output.outcome(_fields(change.after))
    session.announce(change.version)


@command.command("set")
@click.argument("name")
@click.option("--name", "new_name", help="Call it so from now on.")
@click.option("--address", help="Be at this address from now on.")
@click.option(
    "--registered-as", metavar="GATEWAY", help="Send calls to where this mapping gateway registers."
)
@_register_as
@_register_expires
@click.option("--unregister", is_flag=True, help="Register with it no more, and forget the password.")
@click.option("--password", "new_password", is_flag=True, help="Ask for the new password that it gave us.")
@_password_stdin
@_prefixes_from
@click.option("--enable/--disable", "enabled", default=None, help="Use it, or no more.")
@call_options(ROUTE_FIELDS)
@with_session
def set_route(
    session: Session,
    *,
    name: str,
    new_name: str | None,
    address: str | None,
    registered_as: str | None,
    register_as: str | None,
    register_expires: int | None,
    unregister: bool,
    new_password: bool,
    password_stdin: bool,
    prefixes_from: Path | None,
    enabled: bool | None,
    given: Mapping[str, object],
) -> None:
    """Change a routing gateway."""
    if address is not None and registered_as is not None:
        raise click.UsageError("--address and --registered-as exclude each other")
    with session.changing() as store:
        route = store.routing_gateways.get(name)
        calls = _with_prefixes(with_given(route.calls, ROUTE_FIELDS, given), prefixes_from)
        registration = _registration(route.registration, register_as, register_expires)
        is_new = registration is not None and route.registration is None
        edit = RoutingGatewayEdit(
            name=new_name,
            address=address,
            registered_as=registered_as,
            registration=None if registration == route.registration else registration,
            secret=_secret(needed=is_new or new_password, password_stdin=password_stdin),
            unregister=unregister,
            enabled=enabled,
            calls=None if calls == route.calls else calls,
        )
        is_named = is_given(given) or prefixes_from is not None
        if edit == RoutingGatewayEdit() and not is_named and register_as is None:
            raise click.UsageError("nothing to change was named")
        change = store.routing_gateways.edit(name, edit, actor=session.actor)
    if change.after is not None:
        session.output.outcome(_fields(change.after))
    session.announce(change.version, changed=change.changed)


@command.command()
@click.argument("name")
@with_session
def remove(session: Session, *, name: str) -> None:
    """Send it no calls any more."""
    with session.changing() as store:
        change = store.routing_gateways.remove(name, actor=session.actor)
    note(f"removed route {name}")
    session.announce(change.version)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@with_session
def import_routes(session: Session, *, file: Path) -> None:
    """Add all routing gateways in a CSV FILE, or none if one of them is refused ("-" = stdin).

    The first line names the columns: name, address or registered_as, and where wanted what `route list
    --format csv` has, which can be read again. Where register_as is given, password is needed; it is never
    written out.
    """
    drafts = read_rows(
        read_lines(file),
        shown_name(file),
        required=("name",),
        optional=(*_ALL_COLUMNS[1:], "password"),
        read=_from_cells,
    )
    with session.changing() as store, drafts.naming_lines():
        changes = store.routing_gateways.add_all(drafts, actor=session.actor)
    note(f"added {len(changes)} routes")
    session.output.outcomes(
        _ALL_COLUMNS, [list(_fields(change.after).values()) for change in changes if change.after]
    )
    if changes:
        session.announce(changes[-1].version)


def _from_cells(cells: Mapping[str, str]) -> RoutingGatewayDraft:
    address, registered_as = cells.get("address"), cells.get("registered_as")
    if (address is None) is (registered_as is None):
        raise ConfigError(
            "either address or registered_as has to be there",
            hint="the one is where it is, the other the mapping gateway that registers",
            code="bad_value",
        )
    user, password = cells.get("register_as"), cells.get("password")
    if (user is None) is not (password is None):
        raise ConfigError("register_as and password go together", hint="give both or none", code="bad_value")
    expires = cells.get("register_expires_s")
    registration = _registration(None, user, None if expires is None else whole_number(expires, "expires"))
    return RoutingGatewayDraft(
        name=checks.gateway_name(cells["name"]),
        address=None if address is None else call_checks.route_address(address),
        registered_as=registered_as,
        registration=None if registration is None else call_checks.registration(registration),
        secret=None if password is None else call_checks.secret(password),
        enabled=yes_or_no(cells.get("enabled", "true"), "enabled"),
        calls=call_checks.route_calls(with_cells(RouteCalls(), ROUTE_FIELDS, cells)),
    )


def _registration(
    before: Registration | None, user: str | None, expires_s: int | None
) -> Registration | None:
    """Our registration after the options; None if there is none."""
    if user is not None:
        before = Registration(user=user) if before is None else replace(before, user=user)
    if expires_s is None:
        return before
    if before is None:
        raise click.UsageError("--register-expires needs --register-as")
    return replace(before, expires_s=expires_s)


def _secret(*, needed: bool, password_stdin: bool) -> str | None:
    """The password that a vendor gave us, read from stdin or asked for; None if there is none to set."""
    if password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not needed:
        return None
    if not sys.stdin.isatty():
        raise click.UsageError("no password: give --password-stdin")
    asked: str = click.prompt("Password", hide_input=True, err=True)
    return asked


def _with_prefixes(calls: RouteCalls, file: Path | None) -> RouteCalls:
    """The calls with the prefixes of a file.

    Raises: ConfigError that names the file.
    """
    if file is None:
        return calls
    return replace(calls, prefixes=tuple(word for line in read_lines(file) for word in line.split()))


def _some(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    if len(prefixes) <= _PREFIXES_SHOWN:
        return prefixes
    return (*prefixes[:_PREFIXES_SHOWN], f"and {len(prefixes) - _PREFIXES_SHOWN} more")


def _fields(route: RoutingGateway) -> dict[str, Value]:
    registration = route.registration
    return {
        "name": route.name,
        "address": route.address,
        "registered_as": route.registered_as,
        "enabled": route.enabled,
        "id": route.id,
        "register_as": None if registration is None else registration.user,
        "register_expires_s": None if registration is None else registration.expires_s,
        **shown(route.calls, ROUTE_FIELDS),
    }
