# SPDX-License-Identifier: Apache-2.0
"""The tail: frames whose rows may still change, held in the engine's memory.

Frames lie in *epochs*, runs of the journal a few seconds long, each with native tables of its own. One thread
adds, cuts and drops; any thread may ask for rows with a cursor of its own, as `tail_view` says.

An increment adds to the frame it names if it came within `WINDOW_US` of it. One whose frame is not there (an
unreadable segment, or a frame that came too late) becomes a row of its own, `lost_record`, so that sums stay
exact. Whether it is lost depends on frames alone and is settled when it is added: until then every frame that
it may name is still held, or is known as *context* from before a restart.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ringfence.ledger import reasons
from ringfence.ledger.dialled import area_sql
from ringfence.ledger.frames import ATTEMPTS, CHALLENGE, INCREMENTS, SETTLES, SUMMARIES, Frames
from ringfence.ledger.schema import (
    CALL_ENDED_FRAME,
    CALLS,
    COLUMN_NAMES,
    COLUMNS,
    DIALLED_AREA,
    EDGE,
    CallEnded,
    call_row,
    decode_call_ended,
    quoted,
)
from ringfence.ledger.tail_view import Epoch, TailView

WINDOW_US: Final = 34_000_000
"""How long a row may change: 64 x T1 (RFC 3261 §17.2.1), and 2 s from judging a message to its frame."""

_ARROW: Final = {
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "DECIMAL(18,6)": pa.decimal128(18, 6),
    "BIGINT": pa.int64(),
    "UBIGINT": pa.uint64(),
    "INTEGER": pa.int32(),
    "UINTEGER": pa.uint32(),
    "SMALLINT": pa.int16(),
    "USMALLINT": pa.uint16(),
}
_ANSWERS: Final = pa.schema([("stream", pa.uint8()), *SETTLES])
ROW_SCHEMA: Final = pa.schema([(column.name, _ARROW[column.sql]) for column in COLUMNS])
"""Rows as Arrow holds them, in the order of `schema.COLUMNS`."""

_HEAD_FRAMES: Final = 8192
_TABLES: Final = {"attempts": ATTEMPTS, "increments": INCREMENTS, "summaries": SUMMARIES}
# A column that is made of the others when rows are put into a table.
_MORE: Final = {
    "attempts": f", {area_sql('callee')} AS {DIALLED_AREA}",
    "ready": f", {area_sql(quoted('calleeAccessE164'))} AS {DIALLED_AREA}",
}


class Tail:
    """Recent frames, foldable into rows.

    Shape: one writer (the thread that made it); `epochs` is replaced, never changed, so that readers may take
    it.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        *,
        node: str,
        window_us: int = WINDOW_US,
        schema: str = "tail",
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._node = node
        self._window_us = window_us
        self._next_number = 1
        self._journal_id = ""
        self.undecodable = 0
        self.lost_increments = 0
        self.epochs: tuple[Epoch, ...] = ()
        self._connection.execute(f"CREATE SCHEMA {schema}")
        self._connection.execute(f"CREATE TABLE {schema}.context (seq UBIGINT, time_us UBIGINT)")
        self._context_until_us = 0
        # Answers may be read before the challenge that they answer, so they belong to no epoch.
        self._answers = 0
        self._insert(self._answers_table, _ANSWERS.empty_table(), is_new=True)

    @property
    def _answers_table(self) -> str:
        return f"{self._schema}.answers_{self._answers}"

    def view(self, now_us: int) -> TailView:
        """The tail as it is now, for readers."""
        return TailView(
            schema=self._schema,
            answers=self._answers_table,
            epochs=self.epochs,
            journal_id=self._journal_id,
            node=self._node,
            window_us=self._window_us,
            now_us=now_us,
        )

    @property
    def frames(self) -> int:
        """How many frames are held."""
        return sum(epoch.frames for epoch in self.epochs)

    def add(self, stream: int, frames: Frames, *, sealed: int = 0) -> None:
        """Take in a run of frames of one stream, whole or not at all.

        Shape: frames up to `sealed` have their rows in segments; they only explain later ones.
        """
        epoch = self._newest()
        self._connection.begin()
        try:
            if stream == EDGE:
                epoch = self._add_edge(epoch, frames, sealed)
            else:
                epoch = self._add_calls(epoch, frames, sealed)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        self.epochs = (*self.epochs[:-1], epoch)

    def cut(self) -> None:
        """Close the newest epoch; what comes next opens another."""
        if self.epochs and self.epochs[-1].frames:
            self._open()

    def drop(self, epoch: Epoch) -> None:
        """Let the tables of an epoch go that was forgotten."""
        for name in (*_TABLES, "ready"):
            self._connection.execute(f"DROP TABLE IF EXISTS {epoch.table(self._schema, name)}")

    def first_call_needed(self, edge_sealed: int) -> int | None:
        """The first frame of the calls stream that answers a challenge above `edge_sealed`, if one does."""
        [(seq,)] = self._connection.execute(
            f"SELECT min(seq)::BIGINT FROM {self._answers_table} WHERE stream = $calls AND settles > $sealed",
            {"calls": CALLS, "sealed": edge_sealed},
        ).fetchall()
        return cast("int | None", seq)

    def forget_answers(self, edge_sealed: int) -> str:
        """Keep only answers to challenges above `edge_sealed`; the old table's name, for `drop_table`."""
        old = self._answers_table
        self._answers += 1
        self._connection.execute(
            f"CREATE TABLE {self._answers_table} AS SELECT * FROM {old} WHERE settles > $sealed",
            {"sealed": edge_sealed},
        )
        return old

    def drop_table(self, name: str) -> None:
        """Let one table go."""
        self._connection.execute(f"DROP TABLE IF EXISTS {name}")

    def forget(self, epoch: Epoch) -> None:
        """Take the oldest epoch off the list; its tables stay until `drop`."""
        self.epochs = tuple(held for held in self.epochs if held.number != epoch.number)

    def _newest(self) -> Epoch:
        if not self.epochs:
            self._open()
        return self.epochs[-1]

    def _open(self) -> None:
        epoch = Epoch(number=self._next_number)
        for name, schema in (*_TABLES.items(), ("ready", ROW_SCHEMA)):
            self._insert(
                epoch.table(self._schema, name), schema.empty_table(), is_new=True, more=_MORE.get(name, "")
            )
        self._next_number += 1
        self.epochs = (*self.epochs, epoch)

    def _insert_ready(self, epoch: Epoch, rows: list[dict[str, Any]]) -> None:
        self._insert(epoch.table(self._schema, "ready"), _row_table(rows), more=_MORE["ready"])

    def _insert(self, table: str, rows: pa.Table, *, is_new: bool = False, more: str = "") -> None:
        if not rows.num_rows and not is_new:
            return
        self._connection.register("incoming", rows)
        try:
            verb = f"CREATE TABLE {table} AS" if is_new else f"INSERT INTO {table}"
            self._connection.execute(f"{verb} SELECT *{more} FROM incoming")
        finally:
            self._connection.unregister("incoming")

    def _add_edge(self, epoch: Epoch, frames: Frames, sealed: int) -> Epoch:
        self._journal_id = frames.journal_id
        if frames.first_seq <= sealed:
            later = self._take_context(frames, sealed)
            if later is None:
                return epoch
            frames = later
        self._insert(epoch.table(self._schema, "attempts"), frames.attempts, more=_MORE["attempts"])
        self._insert(epoch.table(self._schema, "increments"), frames.increments)
        self._insert(epoch.table(self._schema, "summaries"), frames.summaries)
        self._add_answers(EDGE, frames.settles)
        if frames.increments.num_rows and self._keep_lost(epoch, frames):
            epoch = replace(epoch, ready_kinds=epoch.ready_kinds | {"event"})
        if epoch.head_frames + frames.count > _HEAD_FRAMES or not epoch.head_frames:
            epoch = replace(
                epoch,
                head_seq=frames.first_seq,
                head_frames=0,
                head_min_time_us=frames.min_time_us,
                # All that was there until now; 0 while there was nothing.
                rest_max_time_us=epoch.max_time_us if epoch.head_frames else 0,
            )
        return replace(
            epoch,
            edge_first=epoch.edge_first or frames.first_seq,
            edge_last=frames.last_seq,
            frames=epoch.frames + frames.count,
            increments=epoch.increments + frames.increments.num_rows,
            challenges=epoch.challenges + _challenges(frames.attempts),
            min_time_us=_earlier(epoch, frames.min_time_us),
            max_time_us=max(epoch.max_time_us, frames.max_time_us),
            head_frames=epoch.head_frames + frames.count,
            head_min_time_us=min(epoch.head_min_time_us, frames.min_time_us),
        )

    def _add_answers(self, stream: int, settles: pa.Table) -> None:
        if settles.num_rows:
            streams = pa.array([stream] * settles.num_rows, pa.uint8())
            self._insert(self._answers_table, settles.add_column(0, "stream", streams))

    def _take_context(self, frames: Frames, sealed: int) -> Frames | None:
        """Keep what explains later frames of a run sealed in part; return the part that is not, if any."""
        keys = frames.attempts.select(["seq", "time_us"])
        old = keys if frames.last_seq <= sealed else _where(keys, up_to=sealed)
        self._insert(f"{self._schema}.context", old)
        if old.num_rows:
            self._context_until_us = max(self._context_until_us, pc.max(old["time_us"]).as_py())
        if frames.last_seq <= sealed:
            return None
        return replace(
            frames,
            first_seq=sealed + 1,
            attempts=_where(frames.attempts, above=sealed),
            increments=_where(frames.increments, above=sealed),
            summaries=_where(frames.summaries, above=sealed),
        )

    def _keep_lost(self, epoch: Epoch, frames: Frames) -> int:
        """Give increments without a frame to add to a row of their own; how many."""
        known = " UNION ALL ".join(
            f"SELECT seq, time_us FROM {name}"
            for name in (
                f"{self._schema}.context",
                *(held.table(self._schema, "attempts") for held in self.epochs),
            )
        )
        self._connection.register("incoming", frames.increments)
        try:
            found = self._connection.execute(
                f"""
                WITH known AS ({known}),
                found AS (
                    SELECT i.seq FROM known k JOIN incoming i ON k.seq = i.base_seq
                    WHERE i.time_us <= k.time_us + $window_us
                )
                SELECT seq, time_us, count FROM incoming WHERE seq NOT IN (SELECT seq FROM found)
                """,
                {"window_us": self._window_us},
            ).fetchall()
        finally:
            self._connection.unregister("incoming")
        if found:
            self.lost_increments += len(found)
            rows = [self._lost_row(*increment) for increment in found]
            self._insert_ready(epoch, rows)
        if self._context_until_us and frames.min_time_us > self._context_until_us + self._window_us:
            self._connection.execute(f"DELETE FROM {self._schema}.context")
            self._context_until_us = 0
        return len(found)

    def _lost_row(self, seq: int, time_us: int, count: int) -> dict[str, Any]:
        lost = reasons.REASONS[reasons.LOST_RECORD]
        ended = CallEnded(
            started_us=time_us,
            ended_us=time_us,
            end_reason=reasons.SECURITY_EVENT,
            billing_mode=reasons.BillingMode.UNBILLED,
            reason=lost.name,
            q850_cause=lost.q850,
            source="",
            transport="",
            method="",
        )
        row = call_row(ended, journal_id=self._journal_id, seq=seq, time_us=time_us, node=self._node)
        row.update(kind="event", attempts=count, flowNo=seq * 2 + EDGE)
        return row

    def _add_calls(self, epoch: Epoch, frames: Frames, sealed: int) -> Epoch:
        rows = []
        times = []
        settles = [frames.settles]
        for frame in frames.opaque:
            if frame.kind != CALL_ENDED_FRAME:
                continue
            try:
                ended = decode_call_ended(frame.payload)
            except msgspec.MsgspecError:
                self.undecodable += 1
                continue
            if ended.settles:
                answer = {"seq": [frame.seq], "time_us": [frame.time_us], "settles": [ended.settles]}
                settles.append(pa.table(answer, schema=SETTLES))
            if frame.seq > sealed and ended.is_recorded:
                times.append(frame.time_us)
                rows.append(
                    call_row(
                        ended,
                        journal_id=frames.journal_id,
                        seq=frame.seq,
                        time_us=frame.time_us,
                        node=self._node,
                    )
                )
        self._add_answers(CALLS, pa.concat_tables(settles))
        if rows:
            self._insert_ready(epoch, rows)
        if frames.last_seq <= sealed:
            return epoch
        changed = replace(
            epoch,
            calls_first=epoch.calls_first or max(frames.first_seq, sealed + 1),
            calls_last=frames.last_seq,
            calls_max_time_us=max(epoch.calls_max_time_us, frames.max_time_us),
            frames=epoch.frames + frames.count,
        )
        if times:
            changed = replace(
                changed,
                ready_kinds=epoch.ready_kinds | {"call"},
                min_time_us=_earlier(epoch, min(times)),
                max_time_us=max(epoch.max_time_us, *times),
            )
        return changed


def _earlier(epoch: Epoch, time_us: int) -> int:
    return min(epoch.min_time_us, time_us) if epoch.max_time_us else time_us


def _challenges(attempts: pa.Table) -> int:
    return pc.sum(pc.equal(attempts["kind"], CHALLENGE)).as_py() or 0


def _where(table: pa.Table, *, above: int = 0, up_to: int | None = None) -> pa.Table:
    seq = table["seq"]
    return table.filter(pc.greater(seq, above) if up_to is None else pc.less_equal(seq, up_to))


def _row_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in COLUMN_NAMES}
    return pa.table(columns, schema=ROW_SCHEMA)
