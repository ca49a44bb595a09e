# SPDX-License-Identifier: Apache-2.0
"""`ringfence route explain`: each rule, each gateway, and why it was or was not taken."""

from collections.abc import Iterator
from typing import assert_never

import click

from ringfence.cli.moment import MomentType
from ringfence.cli.output import Format, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import SystemClock, iso_utc
from ringfence.ledger.cells import json_text
from ringfence.ledger.reasons import ANSWERS
from ringfence.policy.refusal import Refusal
from ringfence.policy.steps import Outcome, Step
from ringfence.routing.explanation import Question, document, where
from ringfence.routing.explanation import explain as explained
from ringfence.routing.plan import Destination, Plan, ToGateways, ToPhone
from ringfence.routing.table import Phase, Route
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
    moment_us = SystemClock().utc_us() if at_us is None else at_us
    made = explained(state, Question(caller=caller, callee=callee, via=via, at_us=moment_us))
    if session.output.form is Format.JSON:
        click.echo(json_text(document(made, via, iso_utc(moment_us), ANSWERS)))
    elif session.output.form is Format.CSV:
        session.output.rows(_CSV_COLUMNS, list(_rows(made)))
    else:
        _print(made, via, moment_us)
    note("not known here, and left out: lines in use, calls a second, pauses, health and ASR")


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
            click.echo(f"{order:>2}. {each.route.name} ({prefix}) at {where(each.route)}")
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


def _waits(route: Route) -> str:
    return ", ".join(f"{phase.value} {route.timeouts.after(phase)} s" for phase in Phase)


def _verdict(destination: Destination) -> str:
    match destination:
        case ToPhone(number=number):
            return f"goes to phone {number}"
        case ToGateways(candidates=candidates):
            return f"goes to {', then '.join(candidate.route.name for candidate in candidates)}"
        case Refusal(value=name):
            sip, q850 = ANSWERS[name]
            return f"is refused: {name}, SIP {sip}, Q.850 {q850}"
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
