# SPDX-License-Identifier: Apache-2.0
"""What the callers of a drill saw, beside what the call records hold."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from ringfence.call.record import hold_s
from ringfence.drill.report import BooksChange, aligned, books_line, books_verdict, statuses

CUSTOMER: Final = "customer"
PHONES: Final = "phones"

SLACK_MS: Final = 500
"""Between a call's times at the caller and in the switch lie the ways of messages and a busy machine."""

MOST_TOLD: Final = 10

_MEANT: Final = {
    "caller_hangs_up": "answered, caller hangs up",
    "callee_hangs_up": "answered, callee hangs up",
    "busy": "busy",
    "cancelled_ringing": "cancelled",
    "fails_over": "first vendor fails",
}
_OUTCOMES: Final = {
    "completed": "caller hung up",
    "hung up": "callee hung up",
    "refused 486": "busy",
    "refused 487": "cancelled",
}
_ENDED_BY: Final = ("caller hung up", "callee hung up", "switch hung up")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A call as its caller saw it; `held_ms` from the answer to the end, 0 = not answered."""

    call_id: str
    caller: str
    fate: str
    outcome: str
    is_as_fated: bool
    held_ms: int

    @property
    def end(self) -> str:
        """How it ended, in the words of the table."""
        return _OUTCOMES.get(self.outcome, self.outcome)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What matters here of the record of a call; `routes` is how many gateways were tried."""

    call_id: str
    sip_status: int
    end_direction: int
    hold_s: int
    routes: int

    @property
    def end(self) -> str:
        """How it ended, in the words of the table."""
        if self.sip_status == 200:
            return _ENDED_BY[self.end_direction]
        return _OUTCOMES.get(f"refused {self.sip_status}", f"refused {self.sip_status}")


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """Calls with the same end in mind.

    Shape: `saw` and `recorded` count ends. `agreed` calls have exactly one record, which says what the
    caller saw.
    Units: `talk_s` as the callers measured it, `recorded_talk_s` in the whole seconds of the records.
    """

    caller: str
    meant: str
    begun: int
    as_meant: int
    saw: dict[str, int]
    records: int
    recorded: dict[str, int]
    talk_s: float
    recorded_talk_s: int
    agreed: int


class CallsReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. Times are microseconds since 1970 in UTC; `differences` are sentences, a few of them."""

    target: str
    seed: int
    began_us: int
    ended_us: int
    begun: int
    as_meant: int
    agreed: int
    lines: tuple[CallLine, ...]
    differences: tuple[str, ...]
    books: BooksChange

    @property
    def is_right(self) -> bool:
        """Whether every call has ended as it should, has its one true record, and the books balance."""
        return self.begun == self.as_meant == self.agreed and self.books.difference == 0


def compare(
    seen: Sequence[Seen],
    records: Sequence[Record],
    *,
    target: str,
    seed: int,
    times_us: tuple[int, int],
    books: BooksChange,
    precision_ms: int,
) -> CallsReport:
    """Hold every call against its record; `precision_ms` is SERVER_BILLING_HOLD_TIME_PRECISION."""
    by_call: dict[str, list[Record]] = {}
    for record in records:
        by_call.setdefault(record.call_id, []).append(record)
    differences = {
        call.call_id: why
        for call in seen
        if (why := _difference(call, by_call.get(call.call_id, []), precision_ms))
    }
    lines = []
    for kind in dict.fromkeys((call.caller, call.fate) for call in sorted(seen, key=_order)):
        calls = [call for call in seen if (call.caller, call.fate) == kind]
        found = [record for call in calls for record in by_call.get(call.call_id, [])]
        lines.append(
            CallLine(
                caller=kind[0],
                meant=_MEANT.get(kind[1], kind[1]),
                begun=len(calls),
                as_meant=sum(call.is_as_fated for call in calls),
                saw=Counter(call.end for call in calls),
                records=len(found),
                recorded=Counter(record.end for record in found),
                talk_s=round(sum(call.held_ms for call in calls) / 1000, 1),
                recorded_talk_s=sum(record.hold_s for record in found),
                agreed=sum(call.call_id not in differences for call in calls),
            )
        )
    return CallsReport(
        target=target,
        seed=seed,
        began_us=times_us[0],
        ended_us=times_us[1],
        begun=len(seen),
        as_meant=sum(call.is_as_fated for call in seen),
        agreed=len(seen) - len(differences),
        lines=tuple(lines),
        differences=tuple(f"{call_id}: {why}" for call_id, why in differences.items())[:MOST_TOLD],
        books=books,
    )


def _order(call: Seen) -> tuple[str, int]:
    return call.caller, list(_MEANT).index(call.fate) if call.fate in _MEANT else len(_MEANT)


def _difference(call: Seen, records: Sequence[Record], precision_ms: int) -> str:
    """What its records say otherwise; empty if there is one, and it is true."""
    if len(records) != 1:
        return f"{len(records)} records"
    (record,) = records
    if record.end != call.end:
        return f"the caller saw {call.end!r}, the record says {record.end!r}"
    if call.fate == "fails_over" and record.routes < 2:
        return "the record tells of one vendor only"
    least, most = (hold_s(max(0, call.held_ms + by_ms), precision_ms) for by_ms in (-SLACK_MS, SLACK_MS))
    if call.held_ms and not least <= record.hold_s <= most:
        return f"the caller talked {call.held_ms / 1000:.1f} s, the record says {record.hold_s} s"
    if not call.held_ms and record.hold_s:
        return f"nobody talked, the record says {record.hold_s} s"
    return ""


def as_text(report: CallsReport) -> str:
    """The report for people: a table by what was meant, what differs, then the books."""
    table = [
        ["calls of", "meant", "begun", "callers saw", "records", "records say", "talk s", "recorded s"],
        *(
            [
                line.caller,
                line.meant,
                f"{line.begun}",
                statuses(line.saw),
                f"{line.records}",
                statuses(line.recorded),
                f"{line.talk_s:.1f}",
                f"{line.recorded_talk_s}",
            ]
            for line in report.lines
        ),
        [
            "total",
            "",
            f"{report.begun}",
            "",
            f"{sum(line.records for line in report.lines)}",
            "",
            f"{sum(line.talk_s for line in report.lines):.1f}",
            f"{sum(line.recorded_talk_s for line in report.lines)}",
        ],
    ]
    seconds = (report.ended_us - report.began_us) / 1e6
    return "\n".join(
        [
            *aligned(table, right={2, 4, 6, 7}),
            "",
            f"calls through udp:{report.target}, seed {report.seed}, {seconds:.1f} s",
            _verdict(report),
            *report.differences,
            books_line(report.books),
            books_verdict(report.books),
        ]
    )


def _verdict(report: CallsReport) -> str:
    said = (
        "Each call has exactly one record, which says what the caller saw. Begun seconds of talk count whole."
        if report.agreed == report.begun
        else f"THE RECORDS DIFFER: {report.begun - report.agreed} of {report.begun} calls lack a true record."
    )
    if report.as_meant < report.begun:
        said += f"\n{report.begun - report.as_meant} calls did not end as they should."
    return said
