# SPDX-License-Identifier: Apache-2.0
"""`ringfence drill`: attack the local switch and see that every attempt is recorded."""

import secrets
import sys
from pathlib import Path

import click
import msgspec

from ringfence.control.client import ControlClient
from ringfence.drill import scenarios
from ringfence.drill.report import as_text
from ringfence.drill.runner import run
from ringfence.drill.scenarios import SCENARIOS, Scenario
from ringfence.drill.target import parse_target, target_among


@click.command()
@click.argument("scenario", type=click.Choice(SCENARIOS), default="mixed")
@click.option("--target", help="Where to aim, such as udp:127.0.0.1:5060; without it, at the running switch.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Repeats a run; without it every run is different."
)
@click.option("--count", type=int, default=300, show_default=True, help="scan: attempts of each sweep.")
@click.option(
    "--number", default="100", show_default=True, help="crack: the number whose password is guessed."
)
@click.option("--guesses", type=int, default=100, show_default=True, help="crack: how many guesses.")
@click.option(
    "--rate", type=float, default=5000.0, show_default=True, help="flood: INVITEs per second; 0 = all it can."
)
@click.option("--seconds", type=float, help="flood, scan: how long.  [default: 5 and 6]")
@click.option(
    "--sources",
    type=int,
    default=4096,
    show_default=True,
    help="flood: source addresses, in 127.1.0.0 and up.",
)
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path),
    default=Path("ringfence-data"),
    show_default=True,
    help="The switch's data directory.",
)
@click.option("--format", "output", type=click.Choice(("table", "json")), default="table", show_default=True)
def command(
    scenario: str,
    *,
    target: str | None,
    seed: int | None,
    count: int,
    number: str,
    guesses: int,
    rate: float,
    seconds: float | None,
    sources: int,
    data_dir: Path,
    output: str,
) -> None:
    """Attack the local switch and say what was sent and what was recorded.

    SCENARIO: scan (sweeps), crack (password guessing), flood (a load), mixed (a bit of everything, about 12
    s). Only loopback addresses can be attacked. Exit code 1 if the switch's books do not balance afterwards.
    """
    with ControlClient(data_dir) as switch:
        aim = parse_target(target) if target else target_among(switch.status().listeners)
        chosen = seed if seed is not None else secrets.randbits(48)
        wanted: Scenario
        match scenario:
            case "scan":
                wanted = scenarios.scan(
                    chosen, count=count, seconds=6.0 if seconds is None else seconds, is_ipv6=aim.is_ipv6
                )
            case "crack":
                wanted = scenarios.crack(number=number, guesses=guesses, is_ipv6=aim.is_ipv6)
            case "flood":
                wanted = scenarios.flood(
                    rate=rate, seconds=5.0 if seconds is None else seconds, sources=sources
                )
            case _:
                wanted = scenarios.mixed(chosen, is_ipv6=aim.is_ipv6)
        report = run(wanted, aim, chosen, switch)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        click.echo(as_text(report))
    if not (report.is_balanced and report.is_all_read):
        sys.exit(1)
