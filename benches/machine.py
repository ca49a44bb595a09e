# SPDX-License-Identifier: Apache-2.0
"""What the figures were taken on, and how much of it other programs used meanwhile."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def description() -> dict[str, str]:
    """Processor, cores, memory, kernel."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "largest receive buffer": Path("/proc/sys/net/core/rmem_max").read_text().strip(),
    }


def _busy_s() -> float:
    """Processor time that everything on this machine has used since it was started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = fields
    return (user + nice + system + irq + softirq) * TICK_S


def cpu_s(pid: int) -> float:
    """Processor time of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * TICK_S


def tree(pid: int) -> list[int]:
    """A process and its living descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def resident_bytes(pid: int) -> int:
    """Memory of a process and its descendants; what they share counts once (PSS)."""
    total = 0
    for member in tree(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def peak_bytes(pid: int) -> int:
    """The most memory that a process and its descendants had since this was asked last.

    Shape: pages that they share count for each of them.
    """
    total = 0
    for member in tree(pid):
        process = Path(f"/proc/{member}")
        try:
            lines = (process / "status").read_text().splitlines()
            (process / "clear_refs").write_text("5")  # the peak begins anew
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return total


@dataclass
class Noise:
    """Measures what programs other than ours use of the machine."""

    ours: tuple[int, ...]

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy_s()
        self._own = self._own_s()

    def _own_s(self) -> float:
        return sum(cpu_s(member) for pid in self.ours for member in tree(pid)) + cpu_s(os.getpid())

    def cores(self) -> float:
        """Cores kept busy by others since this was made."""
        seconds = time.monotonic() - self._began
        foreign = (_busy_s() - self._busy) - (self._own_s() - self._own)
        return max(0.0, foreign / seconds)


def go_first(pid: int, core: int) -> None:
    """Have a process of little work run on this core whenever it has something to do (sched(7), SCHED_FIFO).

    Raises: PermissionError if this user may not.
    """
    os.sched_setaffinity(pid, {core})
    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def go_as_others(pid: int) -> None:
    """Undo `go_first`."""
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(pid, range(os.cpu_count() or 1))


def favour(pid: int) -> None:
    """Let a process go before others, as far as this user may."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, -10)
        # Sessions are weighed against each other before processes are (sched(7), autogroup).
        Path(f"/proc/{pid}/autogroup").write_text("-10")
    except OSError:
        return
