# SPDX-License-Identifier: Apache-2.0
"""`ringfence gateway`: authorise sources by their address or their password."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from ringfence.cli.call_options import call_options, is_given, with_given
from ringfence.cli.output import Format, Value, note
from ringfence.cli.registered import gateway_state
from ringfence.cli.secret_input import Password, obtain, password_options
from ringfence.cli.session import Session, with_session
from ringfence.cli.tables import read_lines, read_rows, shown_name
from ringfence.errors import ConfigError
from ringfence.settings import call_checks, checks
from ringfence.settings.call_fields import GATEWAY_FIELDS, shown, with_cells
from ringfence.settings.calls_model import GatewayCalls
from ringfence.settings.model import Gateway, GatewayDraft, GatewayEdit
from ringfence.settings.typed import whole_number, yes_or_no

_COLUMNS = ("name", "addresses", "username", "calls_per_second", "burst", "in_flight", "enabled", "id")
"""Columns of the table; JSON and CSV have what each may do with calls too."""

_ALL_COLUMNS = (*_COLUMNS, *(field.name for field in GATEWAY_FIELDS))

_calls_per_second = click.option(
    "--calls-per-second", "--cps", type=int, help="New calls a second on average."
)
_burst = click.option("--burst", type=int, help="New calls at once.")
_in_flight = click.option(
    "--in-flight",
    type=int,
    help="Requests that wait for their first answer at a time; a call that rings has had it.",
)


@click.group()
def command() -> None:
    """Authorise sources by address or password: the mapping gateways of carriers and customers."""


command.add_command(gateway_state)


@command.command("list")
@with_session
def list_gateways(session: Session) -> None:
    """List all gateways."""
    with session.reading() as store:
        gateways = store.gateways.all()
    columns = _COLUMNS if session.output.form is Format.TABLE else _ALL_COLUMNS
    rows = [[_fields(gateway)[column] for column in columns] for gateway in gateways]
    session.output.rows(columns, rows, empty="no gateway yet: `ringfence gateway add NAME ADDRESS` adds one")


@command.command()
@click.argument("name")
@with_session
def show(session: Session, *, name: str) -> None:
    """Show one gateway."""
    with session.reading() as store:
        session.output.record(_fields(store.gateways.get(name)))


@command.command()
@click.argument("name")
@click.argument("addresses", nargs=-1, metavar="[ADDRESS...]")
@click.option("--username", help="Have it register with this user name and a password.")
@password_options
@_calls_per_second
@_burst
@_in_flight
@click.option("--disabled", is_flag=True, help="Do not authorise it yet.")
@call_options(GATEWAY_FIELDS)
@with_session
def add(
    session: Session,
    *,
    name: str,
    addresses: tuple[str, ...],
    username: str | None,
    password_stdin: bool,
    generate: bool,
    calls_per_second: int | None,
    burst: int | None,
    in_flight: int | None,
    disabled: bool,
    given: Mapping[str, object],
) -> None:
    """Authorise a source.

    An ADDRESS is 192.0.2.1, 198.51.100.0/24, 192.0.2.3:5060 or [2001:db8::1]:5060. A gateway whose address
    changes registers with --username instead; its password is kept as a digest only.
    """
    if not addresses and username is None:
        raise click.UsageError("missing argument 'ADDRESS...', or --username of a gateway that registers")
    draft = _draft(name, addresses, calls_per_second, burst, in_flight, enabled=not disabled)
    draft = replace(draft, username=username, calls=with_given(draft.calls, GATEWAY_FIELDS, given))
    password = _password(needed=username is not None, password_stdin=password_stdin, generate=generate)
    if password is not None:
        draft = replace(draft, password=password.text)
    with session.changing() as store:
        change = store.gateways.add(draft, actor=session.actor)
    if change.after is not None:
        note(f"added gateway {change.after.name} with id {change.after.id}")
        _tell(session, change.after, password)
    session.tell_lifted(change.lifted)
    session.announce(change.version)


@command.command("set")
@click.argument("name")
@click.option("--name", "new_name", help="Call it so from now on.")
@click.option("--address", "addresses", multiple=True, help="Have these addresses and no others. Repeatable.")
@click.option("--add-address", "added", multiple=True, help="Have this address too. Repeatable.")
@click.option("--remove-address", "removed", multiple=True, help="Have this address no more. Repeatable.")
@click.option("--username", help='Have it register with this user name and a password; "" = no more.')
@click.option("--password", "new_password", is_flag=True, help="Ask for a new password.")
@password_options
@_calls_per_second
@_burst
@_in_flight
@click.option("--enable/--disable", "enabled", default=None, help="Authorise it, or no more.")
@call_options(GATEWAY_FIELDS)
@with_session
def set_gateway(
    session: Session,
    *,
    name: str,
    new_name: str | None,
    addresses: tuple[str, ...],
    added: tuple[str, ...],
    removed: tuple[str, ...],
    username: str | None,
    new_password: bool,
    password_stdin: bool,
    generate: bool,
    calls_per_second: int | None,
    burst: int | None,
    in_flight: int | None,
    enabled: bool | None,
    given: Mapping[str, object],
) -> None:
    """Change a gateway."""
    with session.changing() as store:
        gateway = store.gateways.get(name)
        calls = with_given(gateway.calls, GATEWAY_FIELDS, given)
        edit = GatewayEdit(
            name=new_name,
            addresses=_addresses(gateway, addresses, added, removed),
            enabled=enabled,
            calls_per_second=calls_per_second,
            burst=burst,
            in_flight=in_flight,
            username=username,
            calls=calls if is_given(given) else None,
        )
        is_new_user = bool(username) and username != gateway.username
        password = _password(
            needed=new_password or is_new_user, password_stdin=password_stdin, generate=generate
        )
        if password is not None:
            edit = replace(edit, password=password.text)
        if edit == GatewayEdit():
            raise click.UsageError("nothing to change was named")
        change = store.gateways.edit(name, edit, actor=session.actor)
    if change.after is not None:
        _tell(session, change.after, password)
    session.tell_lifted(change.lifted)
    session.announce(change.version, changed=change.changed)


@command.command()
@click.argument("name")
@with_session
def remove(session: Session, *, name: str) -> None:
    """Authorise a source no longer."""
    with session.changing() as store:
        change = store.gateways.remove(name, actor=session.actor)
    note(f"removed gateway {name}")
    session.announce(change.version)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@with_session
def import_gateways(session: Session, *, file: Path) -> None:
    """Authorise all sources in a CSV FILE, or none if one of them is refused ("-" = stdin).

    The first line names the columns: name and addresses (several separated by blanks), and where wanted what
    `gateway list --format csv` has, which can be read again. A gateway that registers needs username and
    password; a password is never written out.
    """
    drafts = read_rows(
        read_lines(file),
        shown_name(file),
        required=("name",),
        optional=(*_ALL_COLUMNS[1:], "password"),
        read=_from_cells,
    )
    with session.changing() as store, drafts.naming_lines():
        changes = store.gateways.add_all(drafts, actor=session.actor)
    note(f"added {len(changes)} gateways")
    session.output.outcomes(
        _ALL_COLUMNS, [list(_fields(change.after).values()) for change in changes if change.after]
    )
    for change in changes:
        session.tell_lifted(change.lifted)
    if changes:
        session.announce(changes[-1].version)


def _draft(
    name: str,
    addresses: tuple[str, ...],
    calls_per_second: int | None,
    burst: int | None,
    in_flight: int | None,
    *,
    enabled: bool,
) -> GatewayDraft:
    usual = GatewayDraft(name=name, addresses=addresses)
    return GatewayDraft(
        name=name,
        addresses=addresses,
        enabled=enabled,
        calls_per_second=usual.calls_per_second if calls_per_second is None else calls_per_second,
        burst=usual.burst if burst is None else burst,
        in_flight=usual.in_flight if in_flight is None else in_flight,
    )


def _from_cells(cells: Mapping[str, str]) -> GatewayDraft:
    def number(column: str) -> int | None:
        return whole_number(cells[column], column) if column in cells else None

    addresses = tuple(
        checks.gateway_address(address) for address in cells.get("addresses", "").replace(",", " ").split()
    )
    username, password = cells.get("username"), cells.get("password")
    if not addresses and username is None:
        raise ConfigError("addresses is empty", hint="or name a username and password", code="bad_value")
    if username is not None and password is None:
        raise ConfigError("password is empty", hint="a username needs one", code="bad_value")
    calls = call_checks.gateway_calls(with_cells(GatewayCalls(), GATEWAY_FIELDS, cells))
    draft = _draft(
        checks.gateway_name(cells["name"]),
        addresses,
        number("calls_per_second"),
        number("burst"),
        number("in_flight"),
        enabled=yes_or_no(cells.get("enabled", "true"), "enabled"),
    )
    return replace(draft, username=username, password=password, calls=calls)


def _password(*, needed: bool, password_stdin: bool, generate: bool) -> Password | None:
    """The password to be set, asked for where one is needed; None if there is none to set."""
    if not needed and not (password_stdin or generate):
        return None
    return obtain(password_stdin=password_stdin, generate=generate)


def _tell(session: Session, gateway: Gateway, password: Password | None) -> None:
    fields = _fields(gateway)
    if password is not None and password.is_made:
        if session.output.form is Format.TABLE:
            click.echo(password.text)
            return
        fields["password"] = password.text
    session.output.outcome(fields)


def _addresses(
    gateway: Gateway, only: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...]
) -> tuple[str, ...] | None:
    if not (only or added or removed):
        return None
    start = only or gateway.addresses
    gone = {checks.gateway_address(address) for address in removed}
    unknown = gone.difference(checks.gateway_address(address) for address in start)
    if unknown:
        raise ConfigError(
            f"gateway {gateway.name!r} does not have {', '.join(sorted(unknown))}",
            hint=f"it has {', '.join(gateway.addresses)}",
            code="bad_value",
        )
    return tuple(address for address in (*start, *added) if checks.gateway_address(address) not in gone)


def _fields(gateway: Gateway) -> dict[str, Value]:
    return {
        "name": gateway.name,
        "addresses": gateway.addresses,
        "username": gateway.username,
        "calls_per_second": gateway.calls_per_second,
        "burst": gateway.burst,
        "in_flight": gateway.in_flight,
        "enabled": gateway.enabled,
        "id": gateway.id,
        **shown(gateway.calls, GATEWAY_FIELDS),
    }
