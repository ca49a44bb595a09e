# SPDX-License-Identifier: Apache-2.0
"""What calls are sent through: the switch with a customer and a vendor, Kamailio as a stateful proxy."""

import json
import subprocess
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import subjects

from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import open_reader

CUSTOMER = "127.0.0.2"
VENDOR = "127.0.0.3"

# Stateful, with Record-Route, dialogs, and a line for each call's begin and end in a file.
KAMAILIO_CFG = """\
debug=0
log_stderror=yes
children=2
auto_aliases=no
disable_tcp=yes
dns=no
rev_dns=no
maxbuffer=33554432
listen=udp:127.0.0.1:{port}
mpath="{modules}"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "dialog.so"
loadmodule "acc.so"
modparam("dialog", "hash_size", 4096)
modparam("acc", "log_level", 0)
modparam("acc", "log_flag", 1)
modparam("acc", "log_missed_flag", 2)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{
            if (is_method("BYE")) setflag(1);
            t_relay();
            exit;
        }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    t_check_trans();
    if (is_method("INVITE")) {{
        record_route();
        setflag(1);
        setflag(2);
        dlg_manage();
        $du = "sip:{vendor}";
        t_relay();
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}
"""


class CallSubject(subjects.Subject):
    """A server that lets the customer's calls through to the vendor."""

    vendor_port = 0

    @abstractmethod
    def records(self) -> int | None:
        """Calls that it holds a record of since it was started; None if it keeps none."""

    def recorded(self) -> int | None:
        return self.records()


class KamailioProxy(CallSubject):
    """Kamailio at its quickest here: tlsf allocator, two children, accounting into a file."""

    name: ClassVar[str] = "kamailio"

    def __init__(self) -> None:
        self._log = Path()

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        program = subjects.Kamailio.program
        assert program is not None
        modules = next(Path("/usr/lib").rglob("kamailio/modules"))
        config = scratch / "kamailio.cfg"
        vendor = f"{VENDOR}:{self.vendor_port}"
        config.write_text(KAMAILIO_CFG.format(port=port, modules=modules, vendor=vendor))
        self._log = scratch / "kamailio.log"
        memory = ["-X", "tlsf", "-x", "tlsf", "-m", "4096", "-M", "64"]
        process = subjects.launch([program, "-DD", "-E", "-f", str(config), *memory], stdout=self._log)
        subjects.wait_for_answer(port, process)
        return process

    def records(self) -> int | None:
        with self._log.open("rb") as log:
            return sum(b"ACC: transaction answered" in line and b"method=INVITE" in line for line in log)


class CallSwitch(subjects.Switch, CallSubject):
    """The switch, whole: customer and vendor by their addresses, a durable record for each call."""

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        self.data = scratch / "data"
        limits = ("--cps", "100000", "--burst", "100000", "--in-flight", "100000")
        self._ask("gateway", "add", "customer", CUSTOMER, *limits)
        self._ask("route", "add", "vendor", f"{VENDOR}:{self.vendor_port}", "--prefixes", "44")
        return super().start(port, scratch)

    def records(self) -> int | None:
        counted = json.loads(self._ask("cdr", "count", "--billing-mode", "1", "--format", "json"))
        return int(counted["records"])

    def live_calls(self) -> int:
        """Calls that are up now, as far as one answer shows them."""
        return len(json.loads(self._ask("call", "list", "--format", "json")))

    def call_records(self, since: float) -> list[dict[str, Any]]:
        """Call-ID and talk time (s) of each record of a call since a time, in seconds since 1970."""
        query = CdrQuery(kinds=frozenset({"call"}), since_us=int(since * 1_000_000))
        with open_reader(self.data, node="n1", report=lambda *_: None) as reader:
            batches = reader.store.export(query)
            return [row for batch in batches for row in batch.select(["call_id", "holdTime"]).to_pylist()]


class CallSwitchWithOffice(subjects.SwitchWithOffice, CallSwitch):
    """The switch with customer and vendor, and the office that follows its journal."""


class CallSwitchWithPhones(CallSwitch):
    """The switch with customer and vendor, and phones with passwords."""

    name = "ringfence+phones"
    first_phone = 2001
    phones = 24

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        self.data = scratch / "data"
        numbers = [str(self.first_phone + place) for place in range(self.phones)]
        self.passwords = {number: f"opens {number}" for number in numbers}
        listed = scratch / "phones.csv"
        lines = [f"{number},{password}" for number, password in self.passwords.items()]
        listed.write_text("\n".join(["number,password", *lines]))
        self._ask("phone", "import", str(listed))
        return super().start(port, scratch)


SUBJECTS: dict[str, type[CallSubject]] = {
    subject.name: subject
    for subject in (KamailioProxy, CallSwitch, CallSwitchWithOffice, CallSwitchWithPhones)
}


def available() -> list[str]:
    """Subjects that can be measured here."""
    found = [KamailioProxy.name] if subjects.Kamailio.program is not None else []
    return [*found, CallSwitch.name] if CallSwitch.command.exists() else found
