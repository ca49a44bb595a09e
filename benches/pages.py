# SPDX-License-Identifier: Apache-2.0
"""How long the portal's pages take on millions of records while new ones arrive, and how many it makes."""

import http.client
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import subjects
from query import CALLERS, INGEST_PER_S, percentile, source
from verdict import Verdict

from ringfence.portal.site import COOKIE
from ringfence.settings.model import Role
from ringfence.settings.store import SettingsStore

PASSWORD = "made for a measurement"  # noqa: S105 - guards nothing
COUNTED_WITHIN_S = 900
VISITORS = 4
MIXED_S = 10.0
LIST_PAGES_MS = 500
PARTS = ("sources", "numbers", "tools", "areas", "reasons", "hours")


@dataclass
class Pages:
    """Milliseconds of every page; pages a second for a few visitors at once."""

    ingest_per_s: float = 0.0
    counted_after_s: float = 0.0
    per_second: float = 0.0
    milliseconds: dict[str, list[float]] = field(default_factory=dict)


class Visitor:
    """Somebody who is logged in, on one connection."""

    def __init__(self, port: int, cookie: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Cookie": f"{COOKIE}={cookie}"}

    def get(self, path: str) -> str:
        """A page, whole."""
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text[:500]}")
        return text


def addresses(chance: random.Random) -> dict[str, Callable[[], str]]:
    """Each page, with another filter every time where it has some."""
    return {
        "overview": lambda: "/",
        "overview, live part": lambda: "/overview/now",
        "overview, last hour": lambda: "/overview/hour",
        "illegal, 1 hour": lambda: "/illegal?range=1h",
        "illegal, 24 hours": lambda: "/illegal?range=24h",
        "illegal, 7 days": lambda: "/illegal?range=7d",
        "illegal, 30 days": lambda: "/illegal?range=30d",
        "illegal, one source": lambda: f"/illegal?range=24h&source={source(chance)}",
        **{f"illegal, {part}, {days} d": _part(part, days) for part in PARTS for days in (7, 30)},
        "cdrs": lambda: "/cdrs",
        "cdrs, illegal": lambda: "/cdrs?kind=illegal",
        "cdrs, source": lambda: f"/cdrs?source={source(chance)}",
        "cdrs, caller": lambda: f"/cdrs?caller={1000 + chance.randrange(CALLERS)}",
        "cdrs, callee prefix": lambda: (
            f"/cdrs?callee=00{chance.randrange(30, 60)}{chance.randrange(100):02d}*"
        ),
        "firewall": lambda: "/firewall",
        "alarms": lambda: "/alarms",
        "gateways": lambda: "/gateways",
        "phones": lambda: "/phones",
        "parameters": lambda: "/parameters",
        "users": lambda: "/users",
        "audit": lambda: "/audit",
    }


def _part(name: str, days: int) -> Callable[[], str]:
    return lambda: f"/illegal/{name}?range={days}d"


def ask(data: Path, count: int) -> Pages:
    """Run switch and office on the records, a load beside them, and look at page after page."""
    switch = subjects.Switch()
    port, portal = subjects.free_port(), subjects.free_tcp_port()
    process = switch.start(port, data.parent)
    with SettingsStore.open_or_create(data) as settings:
        settings.users.add("bench", Role.ADMIN, PASSWORD, actor="bench")
        user = settings.users.get("bench")
        cookie = settings.sessions.open(user, address="127.0.0.1", user_agent="bench")
    log = (data.parent / "office.log").open("wb")
    office = subprocess.Popen(
        [str(subjects.Switch.command), "office", "--data", str(data), "--portal", f"127.0.0.1:{portal}"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    sender: subprocess.Popen[bytes] | None = None
    pages = Pages()
    try:
        visitor = Visitor(portal, cookie)
        pages.counted_after_s = until_counted(visitor)
        say(f"every record is counted after {pages.counted_after_s:.0f} s")
        sender = subprocess.Popen(
            [
                *(str(subjects.BIN / "sipload"), "--target", f"127.0.0.1:{port}"),
                *("--rate", str(INGEST_PER_S), "--seconds", "3600", "--train", "16"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(45)  # until epochs are sealed as fast as frames arrive
        visitor = Visitor(portal, cookie)  # the office has closed a connection that was idle so long
        read_before, began = visitor.get("/metrics"), time.perf_counter()
        chance = random.Random(13)  # noqa: S311 - repeatable, guards nothing
        for name, make in addresses(chance).items():
            times = []
            for _ in range(count):
                asked = time.perf_counter()
                visitor.get(make())
                times.append((time.perf_counter() - asked) * 1000)
            pages.milliseconds[name] = times
            say(f"{name:<20} p95 {percentile(times, 0.95):7.1f} ms")
        pages.ingest_per_s = (recorded(visitor.get("/metrics")) - recorded(read_before)) / (
            time.perf_counter() - began
        )
        pages.per_second = mixed(portal, cookie)
    finally:
        if sender is not None:
            subjects.end(sender)
        subjects.end(office)
        switch.stop(process)
    return pages


def until_counted(visitor: Visitor) -> float:
    """Wait for the office to serve and to have counted old records; how long it took, s."""
    began = time.perf_counter()
    while time.perf_counter() - began < COUNTED_WITHIN_S:
        try:
            if "older records are not counted" not in visitor.get("/illegal/sources?range=30d"):
                return time.perf_counter() - began
        except (OSError, http.client.HTTPException, RuntimeError):
            pass
        time.sleep(1)
    raise RuntimeError("the office never counted all records")


def recorded(metrics: str) -> float:
    """What the switch has recorded so far."""
    return next(
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith('ringfence_edge_total{counter="recorded"}')
    )


def mixed(portal: int, cookie: str) -> float:
    """Pages a second for some visitors who go from page to page."""
    done = [0] * VISITORS
    until = time.perf_counter() + MIXED_S

    def walk(number: int) -> None:
        visitor = Visitor(portal, cookie)
        paths = ["/", "/cdrs", "/illegal?range=1h", "/firewall", "/alarms", "/gateways", "/parameters"]
        while time.perf_counter() < until:
            visitor.get(paths[(done[number] + number) % len(paths)])
            done[number] += 1

    threads = [threading.Thread(target=walk, args=(number,)) for number in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / MIXED_S


def say(text: str) -> None:
    """Progress, for who waits."""
    print(f"  pages: {text}", file=sys.stderr)


def table(pages: Pages) -> str:
    """Milliseconds by page."""
    lines = [f"{'page':<22} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8}"]
    for name, times in pages.milliseconds.items():
        middle, high = percentile(times, 0.5), percentile(times, 0.95)
        lines.append(f"{name:<22} {middle:>8.1f} {high:>8.1f} {max(times):>8.1f}")
    lines.append(
        f"{pages.per_second:.1f} pages/s for {VISITORS} visitors, "
        f"{pages.ingest_per_s:,.0f} records/s arriving"
    )
    return "\n".join(lines)


def verdicts(pages: Pages) -> list[Verdict]:
    """The bound that the project has set itself, for the slowest page."""
    slowest = max(percentile(times, 0.95) for times in pages.milliseconds.values())
    return [
        Verdict(
            "slowest page, p95", slowest, "ms", floor=f"< {LIST_PAGES_MS}", is_met=slowest < LIST_PAGES_MS
        ),
        Verdict("pages of a mixed walk", pages.per_second, "/s"),
    ]
