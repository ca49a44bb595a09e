# SPDX-License-Identifier: Apache-2.0
"""baresip as a phone: a process without sound hardware, told what to do over its control connection."""

import json
import select
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kit.sipp import free_port
from kit.waiting import eventually

HEARD_WITHIN_S = 10.0
STOP_S = 10.0

# Sound is a sine (ausine has 48 kHz stereo only) into nothing: no device is opened. Its ports are below those
# that the system gives out.
_CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
net_interface {host}
rtp_ports 16000-16999
audio_source ausine,440
audio_player aubridge,nothing
audio_alert aubridge,nothing
ausrc_srate 48000
ausrc_channels 2
module_path {modules}
module g711.so
module ausine.so
module aubridge.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
"""

_ACCOUNT = "<sip:{number}@{domain}>{more}\n"
_REGISTERS = ";auth_user={number};auth_pass={password};regint=600"
_BEHIND = ";regint=0;outbound=sip:{proxy}"


class Baresip:
    """A phone; ends with the block, and unregisters before.

    It registers with its `domain` as it starts, with the password; or, without one, it does not and makes its
    calls by a proxy.
    """

    def __init__(
        self, root: Path, number: str, *, host: str, domain: str, password: str = "", proxy: str = ""
    ) -> None:
        self.number = number
        self.host = host
        self.port = free_port(host)
        self._control = (host, _free_tcp_port(host))
        directory = root / f"baresip-{number}-{host}"
        directory.mkdir()
        more = (_REGISTERS if password else _BEHIND).format(number=number, password=password, proxy=proxy)
        (directory / "accounts").write_text(_ACCOUNT.format(number=number, domain=domain, more=more))
        modules = next(Path("/usr/lib").rglob("baresip/modules"))
        (directory / "config").write_text(
            _CONFIG.format(host=host, port=self.port, modules=modules, control=self._control[1])
        )
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(directory), "-s"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._line = socket.socket()
        self._line.settimeout(STOP_S)
        self._read = b""
        self._heard: list[dict[str, Any]] = []
        try:
            eventually(self._connect)
        except AssertionError:
            self.quit()
            raise

    def _connect(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return self._line.connect_ex(self._control) == 0

    def tell(self, command: str, parameters: str = "") -> None:
        """Have it do something that its menu knows; it must be willing."""
        said = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._line.sendall(b"%d:%s," % (len(said), said))
        answer = self._until("token", command)
        assert answer["ok"], answer

    def expect(self, event: str) -> str:
        """Wait for an event, whatever comes before it; what it says of it."""
        return str(self._until("type", event).get("param", ""))

    def _until(self, key: str, value: str) -> dict[str, Any]:
        """The next message with this value; those of the other kind are kept."""
        deadline = time.monotonic() + HEARD_WITHIN_S
        while True:
            for place, message in enumerate(self._heard):
                if message.get(key) == value:
                    del self._heard[place]
                    return message
            left_s = deadline - time.monotonic()
            readable, _, _ = select.select([self._line], [], [], max(0.0, left_s))
            assert readable, f"{self.number} never heard {value}: {self._heard}\n{self.log.read_text()}"
            self._take_in(self._line.recv(65_536))

    def _take_in(self, part: bytes) -> None:
        """Netstrings with JSON in them."""
        assert part, self.log.read_text()
        self._read += part
        while b":" in self._read:
            length, _, rest = self._read.partition(b":")
            if len(rest) <= int(length):
                return
            self._heard.append(json.loads(rest[: int(length)]))
            self._read = rest[int(length) + 1 :]

    def quit(self) -> None:
        """Have it go as a person would: it unregisters first."""
        self._line.close()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
            raise

    def __enter__(self) -> Self:
        return self

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.quit()


def _free_tcp_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
