# SPDX-License-Identifier: Apache-2.0
"""`ringfence route explain`: each rule, each gateway, and why it was or was not taken."""

from collections.abc import Iterator
from typing import Any, assert_never

import click

from ringfence.cli.moment import MomentType
from ringfence.cli.output import Format, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import SystemClock, iso_utc
from ringfence.errors import NotFoundError
from ringfence.ledger.cells import json_text
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.policy.refusal import Refusal
from ringfence.policy.steps import Outcome, Step
from ringfence.policy.table import Caller, PolicyTable
from ringfence.routing.plan import Destination, Plan, ToGateways, ToPhone, plan
from ringfence.routing.selection import Considered
from ringfence.routing.table import Address, Phase, Route, RoutingTable
from ringfence.settings.model import SettingsState
from ringfence.settings.spelling import did_you_mean
from ringfence.text import visible

_CSV_COLUMNS = ("about", "order", "name", "outcome", "rule", "text")

_SIGNS = {Outcome.PASSED: "ok", Outcome.CHANGED: "->", Outcome.REFUSED: "no"}


@click.command()
@click.option("--from", "caller", required=True, metavar="NUMBER", help="The caller's number as it comes in.")
@click.option("--to", "callee", required=True, metavar="NUMBER", help="The number called as it comes in.")
@click.option("--via", required=True, metavar="GATEWAY|PHONE", help="Who sends the call.")
@click.option(
    "--at", "at_us", type=MomentType(), metavar="TIME", help="When, UTC or so long ago.  [default: now]"
)
@with_session
def explain(session: Session, *, caller: str, callee: str, via: str, at_us: int | None) -> None:
    """Show where a call would go: each rule, each routing gateway, and why it is or is not taken.

    Nothing is sent. The settings decide; what only live counters tell (lines in use, calls a second, pauses,
    health, ASR) is left out.
    """
    with session.reading() as store:
        state = store.state()
    policy = PolicyTable.build(state)
    moment_us = SystemClock().utc_us() if at_us is None else at_us
    made = plan(
        policy, RoutingTable.build(state), _caller(policy, state, via), caller, callee, now_us=moment_us
    )
    if session.output.form is Format.JSON:
        click.echo(json_text(_document(made, via, moment_us)))
    elif session.output.form is Format.CSV:
        session.output.rows(_CSV_COLUMNS, list(_rows(made)))
    else:
        _print(made, via, moment_us)
    note("not known here, and left out: lines in use, calls a second, pauses, health and ASR")


def _caller(policy: PolicyTable, state: SettingsState, name: str) -> Caller:
    """Who is meant.

    Raises: NotFoundError with the nearest spelling.
    """
    found = policy.caller_named(name)
    if found is not None:
        return found
    known = [*(gateway.name for gateway in state.gateways), *(phone.number for phone in state.phones)]
    raise NotFoundError(
        f"there is no gateway or phone {name!r} that is enabled",
        hint=did_you_mean(name, known) or "`ringfence gateway list` and `ringfence phone list` show them",
    )


def _print(made: Plan, via: str, moment_us: int) -> None:
    numbers = made.numbers
    call = f"{visible(numbers.caller_access)} calls {visible(numbers.callee_access)}"
    click.echo(f"{call} via {via}, {iso_utc(moment_us)}")
    for step in made.steps:
        _print_step(step)
    if (numbers.caller, numbers.callee) != (numbers.caller_access, numbers.callee_access):
        click.echo(f"routed and billed as {visible(numbers.caller)} to {visible(numbers.callee)}")
    order = 0
    for each in made.considered:
        prefix = f"prefix {each.prefix}" if each.prefix else "every number"
        if each.candidate is None:
            click.echo(f" -  {each.route.name} ({prefix})")
        else:
            order += 1
            click.echo(f"{order:>2}. {each.route.name} ({prefix}) at {_where(each.route)}")
        for step in each.steps:
            _print_step(step)
        if each.candidate is not None:
            sent = (
                f"{visible(each.candidate.caller_to_gateway)} to {visible(each.candidate.callee_to_gateway)}"
            )
            click.echo(f"    sent {sent}; waits {_waits(each.route)}")
    click.echo(_verdict(made.destination))


def _print_step(step: Step) -> None:
    click.echo(f"    {_SIGNS[step.outcome]}  {visible(step.text)}")


def _where(route: Route) -> str:
    match route.where:
        case Address(host=host, port=port, transport=transport):
            shown = f"[{host}]" if ":" in host and port else host
            return f"{transport.value}:{shown}{f':{port}' if port else ''}"
        case registered:
            return f"where gateway {registered.gateway} registers"


def _waits(route: Route) -> str:
    return ", ".join(f"{phase.value} {route.timeouts.after(phase)} s" for phase in Phase)


def _verdict(destination: Destination) -> str:
    match destination:
        case ToPhone(number=number):
            return f"goes to phone {number}"
        case ToGateways(candidates=candidates):
            return f"goes to {', then '.join(candidate.route.name for candidate in candidates)}"
        case Refusal():
            reason = END_REASON_BY_NAME[destination.value]
            return f"is refused: {reason.name}, SIP {reason.sip}, Q.850 {reason.q850}"
        case _:
            assert_never(destination)


def _rows(made: Plan) -> Iterator[tuple[str, int | None, str, str, str, str]]:
    for step in made.steps:
        yield "caller", None, "", step.outcome.value, step.rule, step.text
    order = 0
    for each in made.considered:
        order += each.candidate is not None
        place = None if each.candidate is None else order
        for step in each.steps:
            yield "route", place, each.route.name, step.outcome.value, step.rule, step.text
    yield "verdict", None, "", "", "", _verdict(made.destination)


def _document(made: Plan, via: str, moment_us: int) -> dict[str, Any]:
    """The plan as JSON; `docs/routing.md` names its fields."""
    numbers = made.numbers
    return {
        "via": via,
        "at": iso_utc(moment_us),
        "live": False,
        "caller_access": numbers.caller_access,
        "caller": numbers.caller,
        "callee_access": numbers.callee_access,
        "callee": numbers.callee,
        "steps": [_step(step) for step in made.steps],
        "routes": [_considered(each) for each in made.considered],
        "destination": _destination(made.destination),
    }


def _step(step: Step) -> dict[str, str]:
    return {"rule": step.rule, "outcome": step.outcome.value, "text": step.text}


def _considered(each: Considered) -> dict[str, Any]:
    candidate = each.candidate
    return {
        "name": each.route.name,
        "id": each.route.id,
        "prefix": each.prefix,
        "taken": candidate is not None,
        "where": _where(each.route),
        "caller_to_gateway": None if candidate is None else candidate.caller_to_gateway,
        "callee_to_gateway": None if candidate is None else candidate.callee_to_gateway,
        "timeouts_s": {phase.value: each.route.timeouts.after(phase) for phase in Phase},
        "steps": [_step(step) for step in each.steps],
    }


def _destination(destination: Destination) -> dict[str, Any]:
    match destination:
        case ToPhone(number=number):
            return {"kind": "phone", "phone": number}
        case ToGateways(candidates=candidates):
            return {"kind": "routes", "routes": [candidate.route.name for candidate in candidates]}
        case Refusal():
            reason = END_REASON_BY_NAME[destination.value]
            return {"kind": "refused", "reason": reason.name, "sip": reason.sip, "q850": reason.q850}
        case _:
            assert_never(destination)
