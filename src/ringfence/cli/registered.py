# SPDX-License-Identifier: Apache-2.0
"""`ringfence phone state` and `gateway state`: who is registered and what goes on, as the switch says."""

import click

from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.control.client import ControlClient
from ringfence.control.messages import FLOWS_LIMIT, Flow, GatewayLoad
from ringfence.settings.model import Gateway

_PHONE_COLUMNS = ("number", "source", "transport", "since", "expires_at", "user_agent", "contact", "local")
_PHONES_SHOWN = 6
"""So many of the columns are in the table; JSON and CSV have all."""


@click.command("state")
@click.argument("number", required=False)
@with_session
def phone_state(session: Session, *, number: str | None) -> None:
    """Say which phones are registered now, from where and since when. With NUMBER that one only."""
    with session.reading() as store:
        phones = store.phones.all() if number is None else (store.phones.get(number),)
    with ControlClient(session.data_dir) as client:
        flows = _flows(client)
    known = {phone.number for phone in phones}
    columns = _PHONE_COLUMNS[:_PHONES_SHOWN] if session.output.form is Format.TABLE else _PHONE_COLUMNS
    rows = [[_phone_fields(flow)[column] for column in columns] for flow in flows if flow.number in known]
    session.output.rows(
        columns, rows, empty="no phone is registered" if number is None else "it is not registered"
    )


@click.command("state")
@click.argument("name", required=False)
@with_session
def gateway_state(session: Session, *, name: str | None) -> None:
    """Say where gateways are registered, and their lines and calls now. With NAME that one only."""
    with session.reading() as store:
        gateways = store.gateways.all() if name is None else (store.gateways.get(name),)
    with ControlClient(session.data_dir) as client:
        loads = {load.id: load for load in client.call_counts().gateways}
        flows = _flows(client) if any(gateway.username for gateway in gateways) else ()
    found = [_gateway_fields(gateway, loads.get(gateway.id), flows) for gateway in gateways]
    if name is not None:
        session.output.record(found[0])
        return
    rows = [list(fields.values()) for fields in found]
    session.output.rows(
        tuple(found[0]) if found else ("name",),
        rows,
        empty="no gateway yet: `ringfence gateway add NAME ADDRESS` adds one",
    )


def _flows(client: ControlClient) -> tuple[Flow, ...]:
    found = client.flows(FLOWS_LIMIT)
    if found.total > len(found.flows):
        note(f"{found.total - len(found.flows)} more registrations are in force and not looked at")
    return found.flows


def _phone_fields(flow: Flow) -> dict[str, Value]:
    return {
        "number": flow.number,
        "source": flow.source,
        "transport": flow.transport.lower(),
        "since": iso_utc(flow.since_at_us),
        "expires_at": iso_utc(flow.expires_at_us),
        "user_agent": flow.user_agent or None,
        "contact": flow.contact,
        "local": flow.local,
    }


def _gateway_fields(gateway: Gateway, load: GatewayLoad | None, flows: tuple[Flow, ...]) -> dict[str, Value]:
    own = [flow for flow in flows if flow.number == gateway.username]
    return {
        "name": gateway.name,
        "id": gateway.id,
        "registered_from": tuple(flow.source for flow in own),
        "registered_until": iso_utc(max(flow.expires_at_us for flow in own)) if own else None,
        "lines_in_use": 0 if load is None else load.lines,
        "calls_this_second": 0 if load is None else load.calls_this_second,
        "calls_today": 0 if load is None else load.calls_today,
        "asr_percent": load.asr_percent if load is not None and load.calls_today else None,
        "acd_s": load.acd_s if load is not None and load.answered_today else None,
    }
