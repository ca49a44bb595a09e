# SPDX-License-Identifier: Apache-2.0
"""Overview left open on a wall while refusals arrive: the browser's heap and DOM nodes, minute by minute.

Run by hand: `.venv/bin/python benches/heap.py --minutes 31`. It needs Chromium.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import subjects
from playwright.sync_api import CDPSession, Page, sync_playwright

from ringfence.portal.site import COOKIE
from ringfence.settings.model import Role
from ringfence.settings.store import SettingsStore

PASSWORD = "made for a measurement"  # noqa: S105 - guards nothing
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
COUNTED = ("JSHeapUsedSize", "Nodes", "Documents", "JSEventListeners")
TITLES = ("heap KiB", "nodes", "documents", "listeners")
READY_S = 60.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=31, help="how long (default 31)")
    parser.add_argument("--rate", type=int, default=50, help="refusals a second (default 50)")
    return parser.parse_args()


@contextmanager
def node(scratch: Path, rate: int, seconds: int) -> Iterator[tuple[str, str]]:
    """Switch and office under a load; the portal's address, and the cookie of somebody logged in."""
    data = scratch / "data"
    port, portal = subjects.free_port(), f"127.0.0.1:{subjects.free_tcp_port()}"
    with SettingsStore.open_or_create(data) as settings:
        settings.users.add("bench", Role.ADMIN, PASSWORD, actor="bench")
        user = settings.users.get("bench")
        cookie = settings.sessions.open(user, address="127.0.0.1", user_agent="bench")
    log = scratch / "run.log"
    started: list[subprocess.Popen[bytes]] = []
    try:
        listening = ["--sip", f"udp:127.0.0.1:{port}", "--portal", portal]
        started.append(start([str(subjects.Switch.command), "run", "--data", str(data), *listening], log))
        wait_until_ready(log)
        load = ["--target", f"127.0.0.1:{port}", "--rate", str(rate), "--seconds", str(seconds)]
        started.append(start([str(subjects.BIN / "sipload"), *load], scratch / "load.log"))
        yield f"http://{portal}", cookie
    finally:
        for process in reversed(started):
            subjects.end(process)


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as sink:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )


def wait_until_ready(log: Path) -> None:
    until = time.monotonic() + READY_S
    while "ringfence ready" not in log.read_text():
        if time.monotonic() > until:
            raise RuntimeError(f"the node did not start: {log.read_text()}")
        time.sleep(0.2)


def counted(chrome: CDPSession) -> list[int]:
    """What the page holds after a garbage collection, in the order of `TITLES`."""
    chrome.send("HeapProfiler.collectGarbage")
    found = {each["name"]: each["value"] for each in chrome.send("Performance.getMetrics")["metrics"]}
    heap, *others = (int(found[name]) for name in COUNTED)
    return [heap // 1024, *others]


def watch(page: Page, minutes: int) -> list[list[int]]:
    """A line a minute, the first after a minute: pages settle before that."""
    chrome = page.context.new_cdp_session(page)
    chrome.send("Performance.enable")
    print(f"{'minute':>6} " + " ".join(f"{title:>10}" for title in TITLES) + f" {'read':>10}", flush=True)
    lines = []
    for minute in range(1, minutes + 1):
        page.wait_for_timeout(60_000)
        line = counted(chrome)
        read = page.locator("[data-figure=read]").inner_text()
        print(f"{minute:>6} " + " ".join(f"{value:>10,}" for value in line) + f" {read:>10}", flush=True)
        lines.append(line)
    return lines


def main() -> int:
    arguments = read_arguments()
    if CHROMIUM is None:
        print("there is no Chromium here (Debian: chromium)", file=sys.stderr)
        return 2
    build = ["cargo", "build", "-q", "--release", "--locked", "-p", "drill", "--bins"]
    subprocess.run(build, check=True, cwd=subjects.ROOT)
    seconds = arguments.minutes * 60 + 120
    with (
        tempfile.TemporaryDirectory(prefix="ringfence-heap-") as scratch,
        node(Path(scratch), arguments.rate, seconds) as (address, cookie),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.add_cookies([{"name": COOKIE, "value": cookie, "url": address}])
        page = context.new_page()
        page.goto(address)
        lines = watch(page, arguments.minutes)
        browser.close()
    for title, values in zip(TITLES, zip(*lines, strict=True), strict=True):
        print(f"{title}: first {values[0]:,}, last {values[-1]:,}, most {max(values):,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
