# SPDX-License-Identifier: Apache-2.0
"""`ringfence drill calls`: settings for the time of the drill, calls, and a table of what they left."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Final, NamedTuple

import click
import msgspec

from ringfence.cli.cdr import opened
from ringfence.cli.lock import hold_lock
from ringfence.cli.output import Format, note
from ringfence.cli.secret_input import obtain
from ringfence.cli.session import Session
from ringfence.control.client import ControlClient
from ringfence.drill import demo
from ringfence.drill.calls import callable_target, free_vendor_address, run
from ringfence.drill.calls_report import CallLine, Record, as_text
from ringfence.drill.report import statuses
from ringfence.drill.scenarios import Calls
from ringfence.ledger.query import CdrQuery

_LOOPBACK: Final = ip_network("127.0.0.0/8")
_COLUMNS: Final = CallLine.__struct_fields__


def drill_calls(session: Session, plan: Calls, seed: int, *, keep: bool) -> None:
    """Make the settings, call, say what came of it, and take the settings away unless they are to stay."""
    passwords = {number: obtain(password_stdin=False, generate=True).text for number in demo.NUMBERS}
    with ControlClient(session.data_dir) as switch:
        target = callable_target(switch.status().listeners)
        with _guests(session, switch, passwords, keep=keep) as guests:
            note(f"calls through udp:{target} ... `ringfence call list` shows those that are live")
            report = run(
                plan,
                target,
                seed,
                passwords,
                switch=switch,
                records=lambda since_us: _records(session, since_us),
                vendor=guests.vendor,
                precision_ms=guests.precision_ms,
            )
    match session.output.form:
        case Format.TABLE:
            click.echo(as_text(report))
        case Format.JSON:
            click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        case Format.CSV:
            session.output.rows(
                _COLUMNS,
                (
                    [
                        statuses(cell) if isinstance(cell, dict) else cell
                        for cell in (getattr(line, column) for column in _COLUMNS)
                    ]
                    for line in report.lines
                ),
            )
    if not report.is_right:
        sys.exit(1)


class _Guests(NamedTuple):
    """Where the vendors are, and SERVER_BILLING_HOLD_TIME_PRECISION."""

    vendor: str
    precision_ms: int


@contextmanager
def _guests(
    session: Session, switch: ControlClient, passwords: dict[str, str], *, keep: bool
) -> Iterator[_Guests]:
    """Customer, vendors and phones in force, for so long."""
    # Two at once would take each other's settings away.
    with hold_lock(session.data_dir / "drill.lock", "a drill of calls"), session.changing() as store:
        was = demo.present(store)
        vendor = was.vendor_address or free_vendor_address()
        note(
            f"settings for the drill: gateway {demo.CUSTOMER.name} {demo.CUSTOMER_ADDRESS}, routes "
            f"{', '.join(demo.VENDOR_NAMES)} {vendor} for {demo.PREFIX}, group {demo.GROUP.name}, "
            f"phones {', '.join(demo.NUMBERS)}"
        )
        try:
            version = demo.make(store, was, vendor_address=vendor, passwords=passwords, actor=session.actor)
            switch.settings_changed(version)
            precision_ms = store.parameters.get("SERVER_BILLING_HOLD_TIME_PRECISION").value
            yield _Guests(vendor, precision_ms)
        finally:
            if keep:
                note("the settings stay; the next drill without --keep takes them away")
                for number, password in passwords.items():
                    note(f"phone {number} has the password {password}")
            else:
                switch.settings_changed(demo.remove(store, actor=session.actor))
                note("the settings for the drill are removed")


def _records(session: Session, since_us: int) -> Sequence[Record]:
    query = CdrQuery(kinds=frozenset({"call"}), since_us=since_us, source=_LOOPBACK)
    with opened(session) as reader:
        return [
            Record(
                call_id=row["call_id"],
                sip_status=row["sip_status"],
                end_direction=row["endDirection"],
                hold_s=row["holdTime"],
                routes=len(msgspec.json.decode(row["route_attempts"] or "[]")),
            )
            for batch in reader.store.export(query)
            for row in batch.to_pylist()
        ]
