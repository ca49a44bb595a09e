# SPDX-License-Identifier: Apache-2.0
"""`make bench`: every figure that the project has set itself a bound for; see docs/performance.md."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import calls
import edge
import floods
import ledger
import machine
import pages
import query
import routing
import subjects
from verdict import Verdict, verdict_lines

PARTS = ("edge", "ledger", "query", "pages", "routing", "calls", "floods")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default all)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind and subject (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="length of a run after its warm-up (default 3)"
    )
    parser.add_argument("--only", help="subjects of the edge part, such as bare403,kamailio,ringfence")
    parser.add_argument(
        "--rows", type=int, default=10_000_000, help="rows of the query and pages parts (default 10 million)"
    )
    parser.add_argument(
        "--call-rounds",
        type=int,
        default=3,
        help="runs of each kind in the calls and floods parts (default 3)",
    )
    parser.add_argument(
        "--flood-seconds", type=float, default=20.0, help="length of a run beside a flood (default 20)"
    )
    parser.add_argument(
        "--live-calls", type=int, default=10_000, help="calls that are up at once (default 10,000)"
    )
    parser.add_argument(
        "--pages", type=int, default=40, help="pages asked for per filter or page (default 40)"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts.split(",")) - set(PARTS):
        parser.error(f"there is no part {unknown.pop()!r}")
    return arguments


def main() -> int:
    arguments = read_arguments()
    if (os.cpu_count() or 1) < 2:
        print("two cores are needed: one for the subject, one for the sender", file=sys.stderr)
        return 2
    build = ["cargo", "build", "-q", "--release", "--locked", "-p", "drill", "--bins"]
    subprocess.run(build, check=True, cwd=subjects.ROOT)
    parts = arguments.parts.split(",")
    verdicts: list[Verdict] = []
    results: dict[str, Any] = {
        "machine": machine.description(),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
    }
    if "edge" in parts:
        names = subjects.available()
        if arguments.only:
            wanted = [subjects.Bare.name, *arguments.only.split(",")]
            names = [name for name in names if name in wanted]
        series = edge.run(names, arguments.rounds, arguments.seconds)
        print(edge.table(series) + "\n")
        results["samples"] = [asdict(sample) for sample in series.samples]
        verdicts += edge.verdicts(series)
    if "ledger" in parts:
        figures = ledger.run(arguments.rounds)
        results["ledger"] = asdict(figures)
        verdicts += ledger.verdicts(figures)
    if {"query", "pages"} & set(parts):
        with query.made(arguments.rows) as (data, sealed):
            if "query" in parts:
                answers = query.ask(data, sealed, arguments.pages)
                print(query.table(answers) + "\n")
                results["query"] = asdict(answers)
                verdicts += query.verdicts(answers)
            if "pages" in parts:
                looked = pages.ask(data, arguments.pages)
                print(pages.table(looked) + "\n")
                results["pages"] = asdict(looked)
                verdicts += pages.verdicts(looked)
    if "routing" in parts:
        costs = routing.run(arguments.rounds)
        results["routing"] = asdict(costs)
        verdicts += routing.verdicts(costs)
    verdicts += called(parts, arguments, results)
    print(verdict_lines(verdicts))
    results["verdicts"] = [asdict(verdict) for verdict in verdicts]
    written = subjects.ROOT / "benches" / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    written.write_text(json.dumps(results, indent=1))
    print(f"written to {written.relative_to(subjects.ROOT)}", file=sys.stderr)
    return 0 if all(verdict.is_met for verdict in verdicts) else 1


def called(parts: list[str], arguments: argparse.Namespace, results: dict[str, Any]) -> list[Verdict]:
    """The parts of calls: how many there can be, and how they fare beside floods."""
    verdicts: list[Verdict] = []
    if "calls" in parts:
        figures = calls.run(arguments.call_rounds, arguments.seconds, arguments.live_calls)
        print(calls.table(figures) + "\n")
        results["calls"] = asdict(figures)
        verdicts += calls.verdicts(figures)
    if "floods" in parts:
        flooded = floods.run(arguments.call_rounds, arguments.flood_seconds)
        print(floods.table(flooded) + "\n")
        results["floods"] = asdict(flooded)
        verdicts += floods.verdicts(flooded)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
