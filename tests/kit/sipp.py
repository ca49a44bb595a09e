# SPDX-License-Identifier: Apache-2.0
"""sipp as customer, vendor and phone: scenarios by name, on loopback addresses of their own."""

import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

LONGEST_S = 60.0

_ACK = """
<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
CSeq: [cseq] ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
"""

_ANSWER = """
<send><![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:];tag=[pid]sipp[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Content-Length: 0

]]></send>
"""

_INVITE = """
<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:4930@[local_ip]:[local_port]>;tag=[pid]sipp[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: [cseq] INVITE
Contact: <sip:4930@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=a 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8

]]></send>
"""


def _scenario(*parts: str) -> str:
    return f'<?xml version="1.0"?><scenario name="s">{"".join(parts)}</scenario>'


SCENARIOS = {
    "busy": _scenario(
        '<recv request="INVITE"/>', _ANSWER.format(status="486 Busy Here"), '<recv request="ACK"/>'
    ),
    "unavailable": _scenario(
        '<recv request="INVITE"/>', _ANSWER.format(status="503 No"), '<recv request="ACK"/>'
    ),
    "ring": _scenario(
        '<recv request="INVITE"/>',
        _ANSWER.format(status="180 Ringing"),
        '<recv request="CANCEL"/>',
        _ANSWER.format(status="200 OK"),
        _ANSWER.format(status="487 Gone").replace("[last_CSeq:]", "CSeq: 1 INVITE"),
        '<recv request="ACK"/>',
    ),
    "give-up": _scenario(
        _INVITE,
        '<recv response="100" optional="true"/><recv response="180"/>',
        """
<send retrans="500"><![CDATA[
CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
[last_From:]
To: <sip:[service]@[remote_ip]:[remote_port]>
[last_Call-ID:]
CSeq: [cseq] CANCEL
Max-Forwards: 70
Content-Length: 0

]]></send>
""",
        '<recv response="200"/><recv response="487"/>',
        _ACK,
    ),
    "refused": _scenario(
        _INVITE,
        '<recv response="100" optional="true"/><recv response="180" optional="true"/>'
        '<recv response="{status}"/>',
        _ACK,
    ),
}


def free_port(host: str) -> int:
    """A port that is free on an address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind((host, 0))
        port: int = asked.getsockname()[1]
        return port


def is_udp_open(port: int) -> bool:
    """Whether a UDP socket has this port (proc_net_udp(5))."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)


class Sipp:
    """One sipp at an address; ended with the block at the latest."""

    def __init__(
        self,
        root: Path,
        scenario: str,
        *,
        host: str,
        port: int | None = None,
        target: str = "",
        calls: int = 1,
        options: tuple[str, ...] = (),
        **filled: str,
    ) -> None:
        self.host = host
        self.port = free_port(host) if port is None else port
        name = ["-sn", scenario]
        if scenario in SCENARIOS:
            text = SCENARIOS[scenario]
            for key, value in filled.items():
                text = text.replace("{" + key + "}", value)
            file = root / f"{scenario}-{self.port}.xml"
            file.write_text(text)
            name = ["-sf", str(file)]
        self._log = root / f"sipp-{scenario}-{self.port}.log"
        self._out = self._log.open("wb")
        self._process = subprocess.Popen(
            [
                "sipp", *name, "-i", host, "-p", str(self.port), "-m", str(calls), "-nostdin",
                "-timeout", f"{LONGEST_S:g}s", "-timeout_error", "-trace_err",
                "-error_file", str(self._log.with_suffix(".err")), *options, *([target] if target else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            cwd=root,
            env={"TERM": "dumb", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def wait(self) -> int:
        """Its exit code: 0 = every call went as the scenario has it."""
        return self._process.wait(LONGEST_S + 5)

    def succeed(self) -> None:
        """Every call went as the scenario has it."""
        code = self.wait()
        errors = self._log.with_suffix(".err")
        assert code == 0, f"sipp ended with {code}\n{errors.read_text() if errors.exists() else ''}"

    @property
    def is_listening(self) -> bool:
        return is_udp_open(self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._out.close()
