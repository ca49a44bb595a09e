# SPDX-License-Identifier: Apache-2.0
"""`ringfence drill`: attack the local switch, or call through it, and see that all of it is recorded."""

import secrets
import sys
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final

import click
import msgspec

from ringfence.cli.cdr import opened
from ringfence.cli.drill_calls import drill_calls
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
@click.argument("scenario", type=click.Choice((*SCENARIOS, "calls")), default="mixed")
@click.option("--target", metavar="udp:ADDRESS:PORT", help="Where to aim.  [default: the running switch]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Repeat a run.  [default: never the same]")
@click.option("--count", type=int, default=300, show_default=True, help="scan: attempts of each sweep.")
@click.option("--number", default="100", show_default=True, help="crack: whose password is guessed.")
@click.option("--guesses", type=int, default=100, show_default=True, help="crack: how many guesses.")
@click.option(
    "--rate", type=float, help="flood, calls: per second; flood 0 = all it can.  [default: 5000 and 10]"
)
@click.option("--seconds", type=float, help="flood, scan, calls: how long.  [default: 5, 6 and 16]")
@click.option("--sources", type=int, default=4096, show_default=True, help="flood: source addresses.")
@click.option("--keep", is_flag=True, help="calls: leave the settings that it makes for itself.")
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
    rate: float | None,
    seconds: float | None,
    sources: int,
    keep: bool,
) -> None:
    """Attack the local switch or call through it, and say what was sent and what was recorded.

    SCENARIO: scan (sweeps), crack (password guessing), flood (a load), mixed (a bit of everything, 12 s);
    calls (a customer, a vendor and two phones, 20 s), which makes settings for itself and takes them away.
    Only loopback addresses take part. Exit code 1 if the switch's books do not balance afterwards, or the
    records of calls differ from what the callers saw.
    """
    if scenario == "calls":
        if target is not None:
            raise click.UsageError("calls go through the running switch: leave --target out")
        calling = scenarios.calls(
            rate=10.0 if rate is None else rate, seconds=16.0 if seconds is None else seconds
        )
        drill_calls(session, calling, secrets.randbits(48) if seed is None else seed, keep=keep)
        return

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
                return scenarios.flood(
                    rate=5000.0 if rate is None else rate, seconds=duration_s, sources=sources
                )
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
