# SPDX-License-Identifier: Apache-2.0
"""How the tail is read: its epochs at one moment, and the SQL for their rows.

Names and literals of ours alone: asking takes a cursor of the engine and the text from here. An epoch becomes
rows by `sql/rows.sql`, the same text for a page of the newest calls and for sealing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringfence.ledger.engine import literal, sql_text
from ringfence.ledger.frames import CHALLENGE
from ringfence.ledger.schema import STORED_LIST

# From frames to what becomes a record, and from that to the record.
_JUDGED_SQL, _RECORD_SQL = sql_text("rows").removesuffix("FROM judged").split("\n)\nSELECT\n")
_JUDGED_SQL += "\n)"
_RECORD_SQL = f"SELECT\n{_RECORD_SQL}"
_HINTS: Final = """
    callerip, "callerAccessE164", "callerE164", "calleeAccessE164", "calleeE164", reason, account, "holdTime",
    user_agent, method, gateway_id, "callerGateway", "calleeGateway", call_id, dialled_area
"""
_HINTS_SQL: Final = """
SELECT source AS callerip, caller AS "callerAccessE164", caller AS "callerE164", callee AS "calleeAccessE164",
    callee AS "calleeE164", reason_of(a.reason) AS reason, '' AS account, 0 AS "holdTime", user_agent,
    CASE WHEN method_text <> '' THEN method_text ELSE method_of(a.method) END AS method, gateway_id,
    '' AS "callerGateway", '' AS "calleeGateway", call_id, dialled_area
"""
# What reports count of a row, as `sql/rows.sql` has it: to plan that takes several times as long.
_COUNTED: Final = """
    kind, reason, callerip, "calleeAccessE164", user_agent, fingerprint, attempts, recorded_at, proven,
    dialled_area
"""
_COUNTED_SQL: Final = """
SELECT
    CASE
        WHEN method <> 1 OR flags & 32 <> 0 THEN 'event'
        WHEN flags & 8 <> 0 THEN 'call'
        ELSE 'illegal'
    END AS kind,
    reason_of(reason) AS reason, source AS callerip, callee AS "calleeAccessE164", user_agent, fingerprint,
    1::BIGINT AS attempts, make_timestamp(time_us::BIGINT) AS recorded_at, flags & 4 <> 0 AS proven,
    dialled_area
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A run of frames in the tail.

    Shape: sequence ranges of both streams, 0 to 0 while a stream gave nothing; times span the frames of both
    streams that may leave rows; `frames` counts what is held; `ready_kinds` are the kinds of rows that came
    whole. `head_seq` begins the last few thousand frames of the edge stream, so that the newest rows can be
    found without a look at the rest. Grows only while it is the newest.
    """

    number: int
    edge_first: int = 0
    edge_last: int = 0
    calls_first: int = 0
    calls_last: int = 0
    min_time_us: int = 0
    max_time_us: int = 0
    calls_max_time_us: int = 0
    frames: int = 0
    increments: int = 0
    challenges: int = 0
    ready_kinds: frozenset[str] = frozenset()
    head_seq: int = 0
    head_frames: int = 0
    head_min_time_us: int = 0
    rest_max_time_us: int = 0

    def table(self, schema: str, name: str) -> str:
        """The engine's name of one of its tables."""
        return f"{schema}.{name}_{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRows:
    """Rows of an epoch, of its newest frames or of all others, and the span of their times."""

    epoch: Epoch
    min_time_us: int
    max_time_us: int
    is_head: bool = False
    is_rest: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows of the epoch."""
        return not self.is_head and not self.is_rest


@dataclass(frozen=True, slots=True, kw_only=True)
class TailView:
    """The tail at one moment, as SQL; holds no more than names and literals of ours.

    Shape: a challenge is *pending* while it may still be answered, for `window_us` up to `now_us`. Readers
    see it as a row only if they ask for that; whoever seals has waited for the answer.
    """

    schema: str
    answers: str
    epochs: tuple[Epoch, ...]
    journal_id: str
    node: str
    window_us: int
    now_us: int

    def parts(self, *, whole: bool = False) -> list[LiveRows]:
        """What rows there are, each row in one part; with `whole` no epoch is parted."""
        parts = []
        for epoch in self.epochs:
            if not epoch.frames:
                continue
            every = LiveRows(epoch=epoch, min_time_us=epoch.min_time_us, max_time_us=epoch.max_time_us)
            if epoch is self.epochs[-1] and epoch.rest_max_time_us and not whole:
                # Rows that came whole go with the head, whatever their time.
                head_min_us = epoch.min_time_us if epoch.ready_kinds else epoch.head_min_time_us
                parts.append(replace(every, min_time_us=head_min_us, is_head=True))
                parts.append(replace(every, max_time_us=epoch.rest_max_time_us, is_rest=True))
            else:
                parts.append(every)
        return parts

    def sql(self, parts: Sequence[LiveRows], *, pending: bool) -> str:
        """The rows of one part, or of several that are whole epochs."""
        epochs = [part.epoch for part in parts]
        if parts[0].is_whole:
            return self.rows_sql(epochs, pending=pending)
        attempts = self._attempts(parts[0])
        return self.rows_sql(epochs, pending=pending, attempts=attempts, has_ready=parts[0].is_head)

    def rows_sql(
        self,
        epochs: Sequence[Epoch],
        *,
        pending: bool,
        attempts: str | None = None,
        has_ready: bool = True,
    ) -> str:
        """SQL for the rows of some epochs, with pending challenges or without."""
        text = self._judged_of(epochs, attempts, pending=pending)
        text += f" {self._record('judged')}"
        ready = [epoch for epoch in epochs if epoch.ready_kinds]
        if not ready or not has_ready:
            return f"({text})"
        return f"({text} UNION ALL SELECT {STORED_LIST} FROM {self.union(ready, 'ready')})"

    def plain_sql(self, epochs: Sequence[Epoch]) -> str:
        """What reports count of the rows of some epochs, as if there were no challenges and no increments."""
        text = f"{_COUNTED_SQL} FROM {self.union(epochs, 'attempts')} a WHERE a.kind <> {CHALLENGE}"
        ready = [epoch for epoch in epochs if epoch.ready_kinds]
        if not ready:
            return f"({text})"
        return f"({text} UNION ALL SELECT {_COUNTED} FROM {self.union(ready, 'ready')})"

    def added_sql(self, epoch: Epoch, others: Sequence[Epoch]) -> str:
        """Those of `plain_sql` of other epochs that the increments of an epoch add to, with these alone."""
        increments = self.table(epoch, "increments")
        attempts = (
            f"(SELECT * FROM {self.union(others, 'attempts')} "
            f"WHERE kind <> {CHALLENGE} AND seq IN (SELECT base_seq FROM {increments}))"
        )
        text = self._judged(attempts, increments, is_settled=False)
        return f"({text} {self._record('judged')} WHERE standing + repeated > 1)"

    def challenges_sql(self, epochs: Sequence[Epoch], *, pending: bool) -> str:
        """The rows of some epochs that challenges are."""
        decided = "" if pending else f" AND time_us <= {self.now_us - self.window_us}"
        attempts = f"(SELECT * FROM {self.union(epochs, 'attempts')} WHERE kind = {CHALLENGE}{decided})"
        return self.rows_sql(epochs, pending=pending, attempts=attempts, has_ready=False)

    def has_challenges(self, epoch: Epoch, *, pending: bool) -> bool:
        """Whether challenges of an epoch may be rows."""
        return epoch.challenges > 0 and (pending or epoch.min_time_us <= self.now_us - self.window_us)

    def hints_sql(self, part: LiveRows) -> str:
        """SQL for what tells that a part has no row that a narrow query wants.

        Shape: the columns that `CdrQuery.narrowed` names, for every attempt whether it becomes a row or not,
        and for every row that came whole. To plan how rows are made takes several times as long as this.
        """
        text = f"{_HINTS_SQL} FROM {self._attempts(part)} a"
        if part.epoch.ready_kinds and not part.is_rest:
            text += f" UNION ALL SELECT {_HINTS} FROM {self.table(part.epoch, 'ready')}"
        return f"({text})"

    def _attempts(self, part: LiveRows) -> str:
        """The attempts of a part."""
        table = self.table(part.epoch, "attempts")
        if part.is_whole:
            return table
        return f"(SELECT * FROM {table} WHERE seq {'>=' if part.is_head else '<'} {part.epoch.head_seq})"

    def judged_sql(self, epoch: Epoch) -> str:
        """SQL for what is to become records of an epoch, in the order of time.

        Shape: sorting before the many constant columns come on costs a third of sorting after.
        """
        return f"{self._judged_of([epoch], None, pending=True)} SELECT * FROM judged ORDER BY time_us, seq"

    def records_sql(self, judged: str, epoch: Epoch, kind: str | None) -> str:
        """SQL for the records made of a table that `judged_sql` filled; of one kind, or of all.

        Shape: with a kind the relation has all its rows, and others; it is in the order of the table unless
        rows of that kind came whole.
        """
        text = self._record(judged)
        if not epoch.ready_kinds or (kind is not None and kind not in epoch.ready_kinds):
            return f"({text})"
        return f"({text} UNION ALL SELECT {STORED_LIST} FROM {self.table(epoch, 'ready')})"

    def _judged_of(self, epochs: Sequence[Epoch], attempts: str | None, *, pending: bool) -> str:
        first = min(epoch.number for epoch in epochs)
        counted = [epoch for epoch in self.epochs if epoch.number >= first and epoch.increments]
        return self._judged(
            attempts or self.union(epochs, "attempts"),
            self.union(counted or epochs[:1], "increments"),
            pending=pending,
        )

    def _judged(
        self, attempts: str, increments: str, *, pending: bool = True, is_settled: bool = True
    ) -> str:
        text = _JUDGED_SQL
        for name, value in (
            ("{attempts}", attempts),
            ("{increments}", increments),
            ("{settles}", self.answers if is_settled else f"(SELECT * FROM {self.answers} WHERE false)"),
            ("{decided}", "" if pending else f" AND c.time_us <= {self.now_us - self.window_us}"),
            ("{window_us}", str(self.window_us)),
        ):
            text = text.replace(name, value)
        return text

    def _record(self, judged: str) -> str:
        text = _RECORD_SQL.replace("{journal_id}", literal(self.journal_id)).replace(
            "{node}", literal(self.node)
        )
        return f"{text} FROM {judged}"

    def table(self, epoch: Epoch, name: str) -> str:
        """The engine's name of one of an epoch's tables."""
        return epoch.table(self.schema, name)

    def union(self, epochs: Sequence[Epoch], name: str) -> str:
        """One of the tables of several epochs, put together."""
        if len(epochs) == 1:
            return self.table(epochs[0], name)
        return "(" + " UNION ALL ".join(f"SELECT * FROM {self.table(epoch, name)}" for epoch in epochs) + ")"


NO_TAIL: Final = TailView(schema="", answers="", epochs=(), journal_id="", node="", window_us=0, now_us=0)
