# SPDX-License-Identifier: Apache-2.0
"""Places: in which rows of a segment an address, a number or a Call-ID stands.

Rows are sorted by time, so the newest few of an address that comes seldom lie scattered over millions of
them. A file of places beside the segment lists (question, value, place), sorted, so that a look into a few
thousand lines names the rows. A place is a row's number in its segment: later rows have higher ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from ringfence.ledger.beside import PLACES, BesideWriter
from ringfence.ledger.dialled import international_sql
from ringfence.ledger.engine import literal
from ringfence.ledger.geography import areas_of_country
from ringfence.ledger.manifest import Segment
from ringfence.ledger.query import CdrQuery, Network, Parameters
from ringfence.ledger.schema import quoted

LEAST_ROWS: Final = 20_000
"""A smaller segment is read as quickly as its places."""

DIALLED: Final = "dialled"
"""The question of which number was dialled, from its country code on."""

MOMENT: Final = "moment"
"""The question of which row came when: the values are times as 16 digits, of every so many rows."""

_ROWS_BETWEEN_MOMENTS: Final = 4096
_BEYOND: Final = "\U0010ffff" * 17
"""Sorts after all that can follow in a text of 64 bytes, the longest that is kept of a number."""

_FORMAT: Final = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 16384"
)
_CALL_ID_HASH: Final = "lpad(lower(hex(hash({}) >> 32)), 8, '0')"


def moment(time_us: int) -> str:
    """How a time stands among the values of `MOMENT`."""
    return f"{time_us:016d}"


class PlaceWriter(BesideWriter):
    """Writes files of places."""

    suffix = PLACES

    def is_needed(self, segment: Segment) -> bool:
        """Whether looking up is quicker than reading."""
        return segment.rows >= LEAST_ROWS

    def make(self, segment: Segment, path: Path) -> None:
        """Write where each value stands that a query may name.

        Shape: each question is sorted by itself and in a file of its own until all are: together they would
        take several times the memory.
        """
        rows = f"read_parquet({literal(str(self.directory / segment.path))}, file_row_number = true)"
        place = "file_row_number::UINTEGER AS place"
        asked = {
            question: f"SELECT {value} AS value, {place} FROM {rows}" for question, value in _values(segment)
        }
        dialled = international_sql(quoted("calleeAccessE164"))
        asked[DIALLED] = f"SELECT * FROM (SELECT {dialled} AS value, {place} FROM {rows}) WHERE value <> ''"
        asked[MOMENT] = (
            f"SELECT printf('%016d', epoch_us(recorded_at)) AS value, {place} "
            f"FROM {rows} WHERE file_row_number % {_ROWS_BETWEEN_MOMENTS} = 0"
        )
        parts = {question: path.with_name(f"{path.name}.{question}") for question in sorted(asked)}
        try:
            for question, part in parts.items():
                named = f"SELECT '{question}' AS question, * FROM ({asked[question]})"
                self.connection.execute(
                    f"COPY ({named} ORDER BY value, place) TO {literal(str(part))} (FORMAT parquet)"
                )
            self.connection.execute(
                f"COPY (SELECT * FROM read_parquet($parts)) TO {literal(str(path))} ({_FORMAT})",
                {"parts": [str(part) for part in parts.values()]},
            )
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)


def _values(segment: Segment) -> list[tuple[str, str]]:
    """Each question and SQL for its value in a row; a call may have two numbers on a side."""
    values = [("source", "callerip"), ("call_id", _CALL_ID_HASH.format("call_id"))]
    for side in ("caller", "callee"):
        access, billed = quoted(f"{side}AccessE164"), quoted(f"{side}E164")
        both = f"unnest(list_distinct([{access}, {billed}]))"
        values.append((side, both if segment.kind == "call" else access))
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What to look up for a query: SQL that every row which matches meets, and what to bind."""

    sql: str
    bound: Parameters


def lookup(query: CdrQuery) -> Lookup | None:
    """What is looked up for a query: its condition that the fewest rows meet, as far as one can tell.

    Shape: None if no condition of the query can be looked up.
    """
    if query.call_id is not None:
        value = _CALL_ID_HASH.format("$value")
        return Lookup(sql=f"question = 'call_id' AND value = {value}", bound={"value": query.call_id})
    named = [("source", _address(query.source)), ("callee", query.callee), ("caller", query.caller)]
    asked = [(question, text) for question, text in named if text is not None and text != "*"]
    for question, text in sorted(asked, key=lambda named: named[1].endswith("*")):
        if not text.endswith("*"):
            return Lookup(sql=f"question = '{question}' AND value = $value", bound={"value": text})
        low = text.removesuffix("*")
        return Lookup(
            sql=f"question = '{question}' AND value BETWEEN $low AND $high",
            bound={"low": low, "high": low + _BEYOND},
        )
    if query.dialled is not None:
        return _dialled([query.dialled])
    if query.dialled_country is not None:
        return _dialled(areas_of_country(query.dialled_country))
    return None


def _dialled(beginnings: Sequence[str]) -> Lookup | None:
    """What to look up for numbers that begin in one of these ways, in order, at their country code."""
    if not beginnings:
        return None
    # The engine passes over what lies outside the first and the last one; of the rest it looks at each.
    length = len(beginnings[0])
    each = f"left(value, {length}) IN (SELECT unnest($beginnings))"
    return Lookup(
        sql=f"question = '{DIALLED}' AND value BETWEEN $low AND $high AND {each}",
        bound={"low": beginnings[0], "high": beginnings[-1] + _BEYOND, "beginnings": list(beginnings)},
    )


def _address(network: Network | None) -> str | None:
    """How the text of addresses of a network begins, as a number is asked for; None if that is not told."""
    if network is None:
        return None
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    whole = network.prefixlen // 8
    if not whole or not isinstance(network, IPv4Network):
        return None
    return ".".join(str(octet) for octet in network.network_address.packed[:whole]) + ".*"
