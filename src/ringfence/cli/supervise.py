# SPDX-License-Identifier: Apache-2.0
"""Keeps the two halves running: starts them, starts again what dies, and brings both to an end.

A half that ends before it ever served is not started again: it has said on stderr what is wrong (a port in
use, a bad key), and it would say so for ever.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ringfence.cli.ready import Ready

_LONGEST_LINE: Final = 65536

READY_FD: Final = "{ready_fd}"
"""Stands in a half's arguments for the descriptor that it is to write its readiness to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """A process to keep running: its name, and its command with READY_FD in it."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds: before a restart (doubled each time, up to a limit), and for a stop.

    Shape: a half that served for `steady_s` starts again with the shortest wait.
    """

    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    steady_s: float = 60.0
    stop_s: float = 45.0


class Supervisor:
    """Runs the halves until it is told to stop, or one of them cannot start.

    `on_ready` is called once, when all have said that they serve, with what each of them said.
    """

    def __init__(
        self,
        halves: Sequence[Half],
        *,
        on_ready: Callable[[Mapping[str, Ready]], None],
        note: Callable[[str], None],
        patience: Patience | None = None,
    ) -> None:
        self._halves = halves
        self._on_ready = on_ready
        self._note = note
        self._patience = Patience() if patience is None else patience
        self._said: dict[str, Ready] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = asyncio.Event()
        self._has_failed = False

    async def run(self) -> bool:
        """Run to the end.

        Shape: True if every half ended because it was told to, and without an error.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        kept = [loop.create_task(self._keep(half)) for half in self._halves]
        for task in kept:
            task.add_done_callback(self._kept_no_more)
        try:
            await self._stopping.wait()
            _, late = await asyncio.wait(kept, timeout=self._patience.stop_s)
            if late:
                self._kill()
                await asyncio.wait(late)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        for task in kept:
            task.result()
        return not self._has_failed

    def stop(self) -> None:
        """Tell every half to end; a further call tells them again."""
        self._stopping.set()
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def _kept_no_more(self, _: asyncio.Task[None]) -> None:
        if not self._stopping.is_set():
            self.stop()

    def _kill(self) -> None:
        self._has_failed = True
        for name, process in self._processes.items():
            if process.poll() is None:
                self._note(f"{name} did not end within {self._patience.stop_s:g} s: killing it")
                process.kill()

    async def _keep(self, half: Half) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._patience.first_wait_s
        while not self._stopping.is_set():
            started_s = loop.time()
            has_served, code = await self._once(half)
            if self._stopping.is_set():
                # SIGTERM itself ends a half that has not got round to handling it yet.
                self._has_failed |= code not in {0, -signal.SIGTERM}
                return
            if half.name not in self._said:
                self._note(f"{half.name} could not start ({_ending(code)})")
                self._has_failed = True
                self.stop()
                return
            if has_served and loop.time() - started_s >= self._patience.steady_s:
                wait_s = self._patience.first_wait_s
            self._note(f"{half.name} ended by itself ({_ending(code)}): starting it again in {wait_s:g} s")
            try:
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
            except TimeoutError:
                wait_s = min(wait_s * 2, self._patience.longest_wait_s)

    async def _once(self, half: Half) -> tuple[bool, int]:
        """Run a half to its end: whether it served, and its exit code (negative = the ending signal)."""
        reading, writing = os.pipe()
        try:
            process = self._start(half, writing)
            if process is None:
                return False, 127
            self._processes[half.name] = process
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
            has_served = await self._hear(half, reading)
        finally:
            os.close(reading)
        return has_served, await _exit_code(process)

    def _start(self, half: Half, writing: int) -> "subprocess.Popen[bytes] | None":
        command = [argument.replace(READY_FD, str(writing)) for argument in half.command]
        try:
            # A group of its own: an interrupt at the terminal comes to this process, which passes it on.
            return subprocess.Popen(command, pass_fds=(writing,), process_group=0)
        except OSError as error:
            self._note(f"{half.name}: {command[0]} cannot be run: {error.strerror}")
            return None
        finally:
            os.close(writing)

    async def _hear(self, half: Half, reading: int) -> bool:
        """Wait until the half says that it serves, or ends without having said so."""
        line = b""
        while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            await _readable(reading)
            part = os.read(reading, _LONGEST_LINE)
            if not part:
                return False
            line += part
        try:
            said = msgspec.json.decode(line, type=Ready)
        except msgspec.MsgspecError:
            return False
        was_complete = len(self._said) == len(self._halves)
        self._said[half.name] = said
        if was_complete:
            self._note(f"{half.name} serves again")
        elif len(self._said) == len(self._halves):
            self._on_ready(self._said)
        return True


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor can be read, or is at its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process to end; negative = the signal that ended it."""
    # Through a pidfd: asyncio's own watcher reports a wrong code if a signal is sent to a process that has
    # just ended.
    descriptor = os.pidfd_open(process.pid)
    try:
        await _readable(descriptor)
    finally:
        os.close(descriptor)
    return process.wait()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in signal.Signals.__members__.values() else f"signal {-code}"
