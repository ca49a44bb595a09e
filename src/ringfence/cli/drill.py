# SPDX-License-Identifier: Apache-2.0
"""`ringfence drill`: attack the local switch and see that every attempt is recorded."""

import secrets
import sys
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final

import click
import msgspec

from ringfence.cli.cdr import opened
from ringfence.cli.output import Format, note
from ringfence.cli.session import Session, with_session
from ringfence.control.client import ControlClient
from ringfence.drill import scenarios
from ringfence.drill.report import StepReport, as_text, statuses
from ringfence.drill.runner import MOST_ASKED, Recorded, run
from ringfence.drill.scenarios import SCENARIOS, Scenario
from ringfence.drill.target import Target, parse_target, target_among
from ringfence.ledger.query import CdrQuery

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_COLUMNS: Final = (
    "attacker",
    "tool",
    "class",
    "first_source",
    "sources",
    "requests",
    "sent",
    "acks",
    "answers",
    "by_status",
    "rows",
    "attempts",
)


@click.command()
@click.argument("scenario", type=click.Choice(SCENARIOS), default="mixed")
@click.option("--target", metavar="udp:ADDRESS:PORT", help="Where to aim.  [default: the running switch]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Repeat a run.  [default: never the same]")
@click.option("--count", type=int, default=300, show_default=True, help="scan: attempts of each sweep.")
@click.option("--number", default="100", show_default=True, help="crack: whose password is guessed.")
@click.option("--guesses", type=int, default=100, show_default=True, help="crack: how many guesses.")
@click.option(
    "--rate", type=float, default=5000.0, show_default=True, help="flood: per second; 0 = all it can."
)
@click.option("--seconds", type=float, help="flood, scan: how long.  [default: 5 and 6]")
@click.option("--sources", type=int, default=4096, show_default=True, help="flood: source addresses.")
@with_session
def command(
    session: Session,
    *,
    scenario: str,
    target: str | None,
    seed: int | None,
    count: int,
    number: str,
    guesses: int,
    rate: float,
    seconds: float | None,
    sources: int,
) -> None:
    """Attack the local switch, and say what was sent and what was recorded.

    SCENARIO: scan (sweeps), crack (password guessing), flood (a load), mixed (a bit of everything, 12 s).
    Only loopback addresses can be attacked. Exit code 1 if the switch's books do not balance afterwards.
    """

    def records(since_us: int, until_us: int) -> Mapping[str, Recorded]:
        found = {}
        with opened(session) as reader:
            for network in LOOPBACK:
                query = CdrQuery(source=network, since_us=since_us, until_us=until_us, pending=True)
                report = reader.store.report("top_sources", query, limit=MOST_ASKED)
                for row in report.rows:
                    named = dict(zip(report.columns, row, strict=True))
                    found[named["source"]] = Recorded(rows=named["rows"], attempts=int(named["attempts"]))
        return found

    def plan(aim: Target, chosen: int) -> Scenario:
        match scenario:
            case "scan":
                duration_s = 6.0 if seconds is None else seconds
                return scenarios.scan(chosen, count=count, seconds=duration_s, is_ipv6=aim.is_ipv6)
            case "crack":
                return scenarios.crack(number=number, guesses=guesses, is_ipv6=aim.is_ipv6)
            case "flood":
                duration_s = 5.0 if seconds is None else seconds
                return scenarios.flood(rate=rate, seconds=duration_s, sources=sources)
            case _:
                return scenarios.mixed(chosen, is_ipv6=aim.is_ipv6)

    with ControlClient(session.data_dir) as switch:
        aim = parse_target(target) if target else target_among(switch.status().listeners)
        chosen = seed if seed is not None else secrets.randbits(48)
        wanted = plan(aim, chosen)
        note(f"{scenario} against udp:{aim} ...")
        report = run(wanted, aim, chosen, switch, records=records)
    match session.output.form:
        case Format.TABLE:
            click.echo(as_text(report))
        case Format.JSON:
            click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        case Format.CSV:
            session.output.rows(_COLUMNS, (_cells(step) for step in report.steps))
    if not (report.is_balanced and report.is_all_read):
        sys.exit(1)


def _cells(step: StepReport) -> tuple[str | int | None, ...]:
    return (
        step.name,
        step.tool,
        step.attack_class,
        step.first_source,
        step.sources,
        step.requests,
        step.sent,
        step.acks,
        step.answers,
        statuses(step.by_status),
        step.rows,
        step.attempts,
    )
