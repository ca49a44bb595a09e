# SPDX-License-Identifier: Apache-2.0
"""`ringfence run`: switch and office together, supervised."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from ringfence.cli.output import note
from ringfence.cli.ready import Ready
from ringfence.cli.session import config_option, data_option
from ringfence.cli.supervise import READY_FD, Half, Patience, Supervisor
from ringfence.drill.target import target_among
from ringfence.errors import ConfigError, RingfenceError
from ringfence.settings.node import NodeConfig, Overrides, load

_STOP_MARGIN_S = 15


def node_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --config, --data, --sip and --portal, as `run`, `switch` and `office` have them."""
    for option in (
        click.option(
            "--portal", metavar="ADDRESS:PORT", help="Where to answer HTTP.  [default: 127.0.0.1:8080]"
        ),
        click.option(
            "--sip",
            multiple=True,
            metavar="TRANSPORT:ADDRESS:PORT",
            help="Where to take in SIP. Repeatable; behind 1:1 NAT "
            '"udp:10.0.0.5:5060 advertise 203.0.113.7".'
            "  [default: udp:127.0.0.1:5060 and tcp:127.0.0.1:5060]",
        ),
        data_option,
        config_option,
    ):
        function = option(function)
    return function


@click.command()
@node_options
def command(config: Path | None, data: Path | None, sip: tuple[str, ...], portal: str | None) -> None:
    """Run switch and office, and start again whichever dies.

    Prints one line "ringfence ready ..." on stderr when both serve. SIGTERM or an interrupt ends both: live
    calls may end by themselves for the drain time first.
    """
    node = load(config, Overrides(data=data, sip=sip, portal=portal))
    halves = (
        _half("switch", config, node, [word for listen in sip for word in ("--sip", listen)]),
        _half("office", config, node, [] if portal is None else ["--portal", portal]),
    )
    if not asyncio.run(_supervise(node, halves)):
        raise RingfenceError("Ringfence did not end well", hint="the lines above say why", code="run_failed")


def _half(name: str, config: Path | None, node: NodeConfig, options: list[str]) -> Half:
    """A half with what was said on this command line."""
    common = ["--data", str(node.data_dir), *([] if config is None else ["--config", str(config)])]
    program = (sys.executable, "-m", "ringfence.cli", name)
    return Half(name=name, command=(*program, *common, *options, "--ready-fd", READY_FD))


async def _supervise(node: NodeConfig, halves: tuple[Half, ...]) -> bool:
    def on_ready(said: Mapping[str, Ready]) -> None:
        note(ready_line(said, node.data_dir))
        if offer := drills(said, node.data_dir):
            note(offer)

    return await Supervisor(
        halves, on_ready=on_ready, note=note, patience=Patience(stop_s=node.drain_s + _STOP_MARGIN_S)
    ).run()


def ready_line(said: Mapping[str, Ready], data_dir: Path) -> str:
    """The one line that says that sockets answer, and where."""
    sip = ",".join(address for ready in said.values() for address in ready.sip)
    portal = next((ready.portal for ready in said.values() if ready.portal), "none")
    return f"ringfence ready sip={sip} portal={portal} data={data_dir}"


def drills(said: Mapping[str, Ready], data_dir: Path) -> str:
    """What a newcomer may try in another terminal; empty where no drill could reach the switch."""
    try:
        target_among(address for ready in said.values() for address in ready.sip)
    except ConfigError:
        return ""
    # The name as it was typed: after `make run` it is on no path.
    typed = sys.argv[0] if Path(sys.argv[0]).name == "ringfence" else "ringfence"
    here = "" if data_dir.resolve() == Path("ringfence-data").resolve() else f" --data {data_dir}"
    return (
        "in another terminal, on loopback only: "
        f"`{typed} drill mixed{here}` attacks it, `{typed} drill calls{here}` calls through it"
    )
