# SPDX-License-Identifier: Apache-2.0
"""`ringfence phone`: let phones register."""

from collections.abc import Mapping
from pathlib import Path

import click

from ringfence.cli.output import Format, Value, note
from ringfence.cli.registered import phone_state
from ringfence.cli.secret_input import Password, obtain, password_options
from ringfence.cli.session import Session, with_session
from ringfence.cli.tables import read_lines, read_rows, shown_name
from ringfence.settings import checks
from ringfence.settings.model import Phone, PhoneDraft
from ringfence.settings.typed import yes_or_no

_COLUMNS = ("number", "enabled")


@click.group()
def command() -> None:
    """Let phones register: a number, which is also the user name, and a password."""


command.add_command(phone_state)


@command.command("list")
@with_session
def list_phones(session: Session) -> None:
    """List all phones."""
    with session.reading() as store:
        phones = store.phones.all()
    rows = [list(_fields(phone).values()) for phone in phones]
    session.output.rows(_COLUMNS, rows, empty="no phone yet: `ringfence phone add NUMBER` adds one")


@command.command()
@click.argument("number")
@with_session
def show(session: Session, *, number: str) -> None:
    """Show one phone."""
    with session.reading() as store:
        session.output.record(_fields(store.phones.get(number)))


@command.command()
@click.argument("number")
@click.option("--disabled", is_flag=True, help="Do not let it in yet.")
@password_options
@with_session
def add(session: Session, *, number: str, disabled: bool, password_stdin: bool, generate: bool) -> None:
    """Let a phone register. The password is kept as a digest only."""
    checks.phone_number(number)
    password = obtain(password_stdin=password_stdin, generate=generate)
    draft = PhoneDraft(number=number, password=password.text, enabled=not disabled)
    with session.changing() as store:
        change = store.phones.add(draft, actor=session.actor)
    note(f"added phone {number}")
    if change.after is not None:
        _tell(session, change.after, password)
    session.announce(change.version)


@command.command("set")
@click.argument("number")
@click.option("--password", "new_password", is_flag=True, help="Ask for a new password.")
@click.option("--enable/--disable", "enabled", default=None, help="Let it in, or shut it out.")
@password_options
@with_session
def set_phone(
    session: Session,
    *,
    number: str,
    new_password: bool,
    enabled: bool | None,
    password_stdin: bool,
    generate: bool,
) -> None:
    """Change a phone."""
    if not (new_password or password_stdin or generate) and enabled is None:
        raise click.UsageError("nothing to change was named")
    with session.changing() as store:
        phone = store.phones.get(number)
        version, changed = store.version(), False
        password = Password("", is_made=False)
        if new_password or password_stdin or generate:
            password = obtain(password_stdin=password_stdin, generate=generate)
            version = store.phones.set_password(number, password.text, actor=session.actor).version
            changed = True
        if enabled is not None:
            change = store.phones.set_enabled(number, enabled=enabled, actor=session.actor)
            version, changed = change.version, changed or change.changed
            phone = change.after or phone
    _tell(session, phone, password)
    session.announce(version, changed=changed)


@command.command()
@click.argument("number")
@with_session
def remove(session: Session, *, number: str) -> None:
    """Forget a phone."""
    with session.changing() as store:
        change = store.phones.remove(number, actor=session.actor)
    note(f"removed phone {number}")
    session.announce(change.version)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@with_session
def import_phones(session: Session, *, file: Path) -> None:
    """Let all phones in a CSV FILE register, or none if one of them is refused ("-" = stdin).

    The first line names the columns: number, and where wanted password and enabled. A password that is left
    out is made here; those made are printed once.
    """
    read = read_rows(
        read_lines(file),
        shown_name(file),
        required=("number",),
        optional=("password", "enabled"),
        read=_from_cells,
    )
    with session.changing() as store, read.naming_lines():
        changes = store.phones.add_all((draft for draft, _ in read), actor=session.actor)
    note(f"added {len(changes)} phones")
    made = [[draft.number, password.text] for draft, password in read if password.is_made]
    if made:
        session.output.rows(("number", "password"), made)
    if changes:
        session.announce(changes[-1].version)


def _from_cells(cells: Mapping[str, str]) -> tuple[PhoneDraft, Password]:
    given = cells.get("password")
    password = (
        obtain(password_stdin=False, generate=True) if given is None else Password(given, is_made=False)
    )
    number = checks.phone_number(cells["number"])
    checks.password(password.text, number)
    enabled = yes_or_no(cells.get("enabled", "true"), "enabled")
    return PhoneDraft(number=number, password=password.text, enabled=enabled), password


def _tell(session: Session, phone: Phone, password: Password) -> None:
    fields = _fields(phone)
    if password.is_made:
        fields["password"] = password.text
    if password.is_made and session.output.form is Format.TABLE:
        click.echo(password.text)
    else:
        session.output.outcome(fields)


def _fields(phone: Phone) -> dict[str, Value]:
    return {"number": phone.number, "enabled": phone.enabled}
