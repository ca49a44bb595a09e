# SPDX-License-Identifier: Apache-2.0
"""Kamailio as a proxy of somebody else's, between a switch and what is behind it."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.sipp import free_port, is_udp_open
from kit.waiting import eventually

STOP_S = 10.0

# Stateful, with Record-Route; calls from the switch go inside, all others to the switch.
_CONFIG = """\
debug=1
log_stderror=yes
children=1
auto_aliases=no
disable_tcp=yes
dns=no
rev_dns=no
listen=udp:{host}:{port}
mpath="{modules}"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    xlog("L_NOTICE", "took $rm from $si\\n");
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route() || (is_method("ACK") && t_check_trans())) {{ t_relay(); exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    t_check_trans();
    remove_hf("Route");
    record_route();
    if ($si == "{switch_host}" && $sp == {switch_port}) {{ $du = "sip:{inside}"; }}
    else {{ $du = "sip:{switch_host}:{switch_port}"; }}
    t_relay();
}}
"""


class Kamailio:
    """A proxy; ends with the block. Shape: `inside` empty = it has nobody for calls from the switch."""

    def __init__(self, root: Path, *, host: str, switch: tuple[str, int], inside: str = "") -> None:
        self.host = host
        self.port = free_port(host)
        config = root / f"kamailio-{host}.cfg"
        self._log = root / f"kamailio-{host}.log"
        config.write_text(
            _CONFIG.format(
                host=host,
                port=self.port,
                modules=next(Path("/usr/lib").rglob("kamailio/modules")),
                switch_host=switch[0],
                switch_port=switch[1],
                inside=inside,
            )
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["kamailio", "-DD", "-E", "-f", str(config), "-m", "16", "-M", "4"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        try:
            eventually(self._is_listening)
        except AssertionError:
            self.end()
            raise

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def took(self) -> list[tuple[str, str]]:
        """Each request that it took, in order: the method, and the address that it came from."""
        lines = [line.partition("took ")[2] for line in self._log.read_text().splitlines() if "took " in line]
        return [(method, source) for method, _, source in (line.split() for line in lines)]

    def _is_listening(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return is_udp_open(self.port)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.end()
