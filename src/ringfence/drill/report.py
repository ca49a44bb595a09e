# SPDX-License-Identifier: Apache-2.0
"""What a drill did, and what the switch says about it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from ringfence.control.messages import Books


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one attacker sent and got back.

    Shape: `sent` counts datagrams, `acks` among them; `answers` are final answers, `by_status` the same by
    status. `rows` and `attempts` are what the call records hold for its sources; None where nobody was asked.
    """

    name: str
    tool: str
    attack_class: str
    first_source: str
    sources: int
    requests: int
    sent: int
    acks: int
    answers: int
    by_status: dict[str, int]
    rows: int | None = None
    attempts: int | None = None


class BooksChange(msgspec.Struct, frozen=True, kw_only=True):
    """How the switch's books moved during the drill. Unit: a datagram or a framed message."""

    read: int
    admitted: int
    recorded: int
    challenged: int
    folded: int
    absorbed: int
    unrecordable: int
    socket_drops: int

    @property
    def difference(self) -> int:
        """What was read and is not accounted for; 0 = the books balance."""
        ways = (
            self.admitted + self.recorded + self.challenged + self.folded + self.absorbed + self.unrecordable
        )
        return self.read - ways


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. Times are microseconds since 1970 in UTC; the seed repeats the run."""

    scenario: str
    target: str
    seed: int
    began_us: int
    ended_us: int
    steps: tuple[StepReport, ...]
    sent: int
    answers: int
    by_status: dict[str, int]
    books: BooksChange
    is_balanced: bool
    is_all_read: bool


_COUNTED: Final = (
    "read",
    "admitted",
    "recorded",
    "challenged",
    "folded",
    "absorbed",
    "unrecordable",
    "socket_drops",
)


def books_change(before: Books, after: Books) -> BooksChange:
    """The difference of two balances of the same run of a switch."""
    return BooksChange(**{name: getattr(after, name) - getattr(before, name) for name in _COUNTED})


def as_text(report: DrillReport) -> str:
    """The report for people: a table of the attackers, then the books."""
    has_rows = any(step.rows is not None for step in report.steps)
    heads = ["attacker", "class", "from", "sent", "answers", "by status"]
    if has_rows:
        heads += ["rows", "attempts"]
    table = [heads]
    for step in report.steps:
        more = f" +{step.sources - 1}" if step.sources > 1 else ""
        line = [
            step.name,
            step.attack_class,
            step.first_source + more,
            f"{step.sent}",
            f"{step.answers}",
            statuses(step.by_status),
        ]
        if has_rows:
            line += [
                "-" if step.rows is None else f"{step.rows}",
                "-" if step.attempts is None else f"{step.attempts}",
            ]
        table.append(line)
    total = ["total", "", "", f"{report.sent}", f"{report.answers}", statuses(report.by_status)]
    table.append(total + [""] * (len(heads) - len(total)))
    books = report.books
    seconds = (report.ended_us - report.began_us) / 1e6
    verdict = books_verdict(books)
    if has_rows and books.challenged:
        verdict += "\nA challenge and the message that answers it are one row."
    if not report.is_all_read:
        lost = report.sent - books.read - books.socket_drops
        verdict += f"\n{lost} datagrams were sent that the switch has neither read nor seen dropped."
    return "\n".join(
        [
            *aligned(table, right={3, 4, 6, 7}),
            "",
            f"{report.scenario} against udp:{report.target}, seed {report.seed}, {seconds:.1f} s",
            books_line(books),
            verdict,
        ]
    )


def books_line(books: BooksChange) -> str:
    """Which way everything went that the switch read."""
    read = f"read {books.read}" + (
        f", {books.socket_drops} dropped by the kernel" if books.socket_drops else ""
    )
    ways = ", ".join(f"{name} {getattr(books, name)}" for name in _COUNTED[1:-1])
    return f"switch: {read}: {ways}"


def books_verdict(books: BooksChange) -> str:
    """Whether all of it is accounted for, as a sentence."""
    if books.difference == 0:
        return "The books balance: everything that was read is accounted for."
    return f"THE BOOKS DO NOT BALANCE: {books.difference} messages were read and are not accounted for."


def statuses(by_status: dict[str, int]) -> str:
    """`403: 12, 401: 3`, the most frequent first."""
    most_first = sorted(by_status.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{status}: {count}" for status, count in most_first)


def aligned(table: Sequence[Sequence[str]], *, right: set[int]) -> list[str]:
    """Lines of a table; the columns `right` are read from the right."""
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
