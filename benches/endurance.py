# SPDX-License-Identifier: Apache-2.0
"""Many calls of every fate over a bad network, and hours of calls beside attacks: one true record for each.

`benches/endurance.py seeded` makes 100,000 calls twice with the same seed: answered, busy, cancelled in
each state, left without an answer, vendors that crash, datagrams lost and doubled. `benches/endurance.py
mixed` has calls and attacks go on for two hours. Both end with what was found, and with exit 1 if a record is
missing, doubled or wrong, a call stays in the tables, memory grows, or the books do not balance.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import call_subjects
import calls
import machine
import subjects

FATES = (
    "caller_hangs_up=50,callee_hangs_up=20,busy=10,declined=4,cancelled_ringing=8,cancelled_trying=4,"
    "silent=2,crashes=2"
)
CALLS = 100_000
RATE = 300.0
HOLD_S = (0.5, 4.0)
LOSS = 0.005
DUPLICATION = 0.01
SETTLE_S = 120.0
MOST_GROWTH_PERCENT = 5.0
MOST_APART_S = 1.5
"""Records have whole seconds, rounded up from 50 ms on; the rest: a switch may wait for the processor."""

MIXED_S = 7_200.0
MIXED_RATE = 30.0
ATTACKS_PER_S = 2_000
LOOK_EVERY_S = 60.0


@dataclass
class Findings:
    """What is wrong; empty if nothing is."""

    faults: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(otherwise)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("seeded", "mixed"))
    parser.add_argument("--calls", type=int, default=CALLS, help="calls of a seeded run (default 100,000)")
    parser.add_argument("--rate", type=float, default=RATE, help="new calls per second of a seeded run")
    parser.add_argument("--seconds", type=float, default=MIXED_S, help="length of a mixed run (default 7200)")
    arguments = parser.parse_args()
    build = ["cargo", "build", "-q", "--release", "--locked", "-p", "drill", "--bins"]
    subprocess.run(build, check=True, cwd=subjects.ROOT)
    found = Findings()
    if arguments.what == "seeded":
        seeded(arguments.calls, arguments.rate, found)
    else:
        mixed(arguments.seconds, found)
    for fault in found.faults:
        print(f"wrong: {fault}", file=sys.stderr)
    print("nothing is wrong" if not found.faults else f"{len(found.faults)} faults")
    return 1 if found.faults else 0


# --- many calls of every fate ---


def seeded(count: int, rate: float, found: Findings) -> None:
    """The same calls twice; memory after the second time is that after the first."""
    with calls.started(call_subjects.CallSwitch.name) as (subject, process, port):
        assert isinstance(subject, call_subjects.CallSwitch)
        resident: list[int] = []
        for turn in (1, 2):
            file = subject.data.parent / f"calls-{turn}.csv"
            began = time.time()
            report = load(port, subject.vendor_port, rate, file, "--count", str(count), "--fates", FATES)
            found.expect(
                report["failed"] == 0, f"run {turn}: {report['failed']} calls did not end as they should"
            )
            found.expect(report["unexpected"] == 0, f"run {turn}: {report['unexpected']} unexpected messages")
            emptied(subject, found)
            resident.append(machine.resident_bytes(process.pid))
            apart = compare(subject, file, began, found)
            print(
                f"run {turn}: {report['started']:,} calls at {report['started_per_s']:.0f}/s, outcomes "
                f"{report['outcomes']}, {report['retransmissions']:,} messages sent again, talk time at most "
                f"{apart:.2f} s apart, {resident[-1] / 2**20:.1f} MiB"
            )
        growth = 100.0 * (resident[1] / resident[0] - 1.0)
        found.expect(growth <= MOST_GROWTH_PERCENT, f"memory grew by {growth:.1f} %")
        books = subject.books()
        found.expect(books["difference"] == 0, f"the books are off by {books['difference']}")
        print(f"memory {growth:+.1f} % in the second run; books: {books}")


def load(port: int, vendor_port: int, rate: float, file: Path, *options: str) -> dict[str, Any]:
    """Calls of customer and vendor, with a line in the file for each."""
    command = [
        *(str(subjects.BIN / "callload"), "--target", f"127.0.0.1:{port}", "--seconds", "10800"),
        *("--customer", f"{call_subjects.CUSTOMER}:0", "--vendor", f"{call_subjects.VENDOR}:{vendor_port}"),
        *("--rate", f"{rate:g}", "--hold-s", f"{HOLD_S[0]:g}", "--hold-at-most-s", f"{HOLD_S[1]:g}"),
        *("--ring-ms", "100", "--loss", f"{LOSS:g}", "--duplication", f"{DUPLICATION:g}"),
        *("--linger-s", f"{SETTLE_S:g}", "--seed", "7", "--calls-file", str(file), *options),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def emptied(subject: call_subjects.CallSwitch, found: Findings) -> None:
    """Wait until no call is live any more."""
    deadline = time.monotonic() + SETTLE_S
    while (live := subject.live_calls()) and time.monotonic() < deadline:
        time.sleep(0.5)
    found.expect(live == 0, f"{live} calls are still live {SETTLE_S:g} s after the last one began")


def compare(subject: call_subjects.CallSwitch, file: Path, since: float, found: Findings) -> float:
    """Hold each record against what the customer saw; the longest that talk times are apart, in seconds.

    Talk time is from the first 200 to the first BYE that reached the switch: what is lost does not count.
    """
    with file.open() as lines:
        wanted = {row["call_id"]: row for row in csv.DictReader(lines)}
    rows = subject.call_records(since)
    counts = Counter(row["call_id"] for row in rows)
    doubled = sum(count > 1 for count in counts.values())
    found.expect(doubled == 0, f"{doubled} calls have more than one record")
    missing = len(wanted.keys() - counts.keys())
    found.expect(missing == 0, f"{missing} calls have no record")
    found.expect(
        not counts.keys() - wanted.keys(), f"{len(counts.keys() - wanted.keys())} records of no call"
    )
    most = 0.0
    for row in rows:
        call = wanted.get(row["call_id"])
        if call is not None and int(call["answered_us"]):
            most = max(most, abs(row["holdTime"] - int(call["talked_us"]) / 1e6))
    found.expect(most <= MOST_APART_S, f"a talk time is {most:.2f} s from that between 200 and BYE")
    return most


# --- hours of calls beside attacks ---


def mixed(seconds: float, found: Findings) -> None:
    """Calls, and scanners and floods beside them; memory of switch and office is looked at every minute."""
    with (
        calls.started(call_subjects.CallSwitchWithOffice.name) as (subject, process, port),
        tempfile.TemporaryFile() as sink,
    ):
        assert isinstance(subject, call_subjects.CallSwitchWithOffice)
        halves = {"switch": process.pid, "office": subject.office.pid}
        file = subject.data.parent / "calls.csv"
        began = time.time()
        attack = subprocess.Popen(
            [
                *(
                    str(subjects.BIN / "sipload"),
                    "--target",
                    f"127.0.0.1:{port}",
                    "--rate",
                    str(ATTACKS_PER_S),
                ),
                *("--seconds", f"{min(seconds, 3600.0):g}", "--sources", "random"),
                *("--mix", "invite=80,register=10,options=9,random=1"),
            ],
            stdout=sink,
        )
        looks: list[tuple[float, dict[str, int]]] = []
        try:
            calling = subprocess.Popen(
                [
                    *(str(subjects.BIN / "callload"), "--target", f"127.0.0.1:{port}"),
                    *("--customer", f"{call_subjects.CUSTOMER}:0"),
                    *("--vendor", f"{call_subjects.VENDOR}:{subject.vendor_port}"),
                    *("--rate", f"{MIXED_RATE:g}", "--seconds", f"{seconds:g}", "--fates", FATES),
                    *("--hold-s", "1", "--hold-at-most-s", "60", "--ring-ms", "500", "--seed", "11"),
                    *("--linger-s", f"{SETTLE_S:g}", "--calls-file", str(file)),
                ],
                stdout=subprocess.PIPE,
            )
            while calling.poll() is None:
                if attack.poll() is not None and time.time() - began < seconds - 60:
                    attack = subprocess.Popen(attack.args, stdout=sink)
                peaks = {half: machine.peak_bytes(pid) for half, pid in halves.items()}
                looks.append((time.time() - began, peaks))
                shown = ", ".join(f"{half} {size / 2**20:.1f} MiB" for half, size in peaks.items())
                print(f"  {looks[-1][0]:7.0f} s  {shown}", file=sys.stderr)
                time.sleep(LOOK_EVERY_S)
            assert calling.stdout is not None
            report = json.loads(calling.stdout.read())
        finally:
            attack.terminate()
            attack.wait()
        emptied(subject, found)
        apart = compare(subject, file, began, found)
        books = subject.books()
        found.expect(report["failed"] == 0, f"{report['failed']} calls did not end as they should")
        found.expect(books["difference"] == 0, f"the books are off by {books['difference']}")
        growth = {half: grown_percent([(at_s, sizes[half]) for at_s, sizes in looks]) for half in halves}
        for half, percent in growth.items():
            grew = f"memory of the {half} grew by {percent:.1f} % from the first half to the second"
            found.expect(percent <= MOST_GROWTH_PERCENT, grew)
        print(
            f"{report['started']:,} calls, outcomes {report['outcomes']}; "
            f"talk time at most {apart:.2f} s apart; memory from the first half to the second: "
            f"{', '.join(f'{half} {percent:+.1f} %' for half, percent in growth.items())}, "
            f"peak of the switch {max(sizes['switch'] for _, sizes in looks) / 2**20:.1f} MiB; books: {books}"
        )


def grown_percent(looks: list[tuple[float, int]]) -> float:
    """How much the largest of the last third is above the largest of the third that lies half a run before.

    The office works by the hour: it merges the hour's files as they grow. In a run of two hours both thirds
    are the same minutes of an hour.
    """
    over_s = looks[-1][0]

    def most(until: float) -> int:
        return max(size for at_s, size in looks if until - 1 / 3 <= at_s / over_s <= until)

    return 100.0 * (most(1.0) / most(0.5) - 1.0)


if __name__ == "__main__":
    sys.exit(main())
