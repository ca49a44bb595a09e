# SPDX-License-Identifier: Apache-2.0
"""The ladder of a call: who sent what to whom, in time order, both legs, with what the switch decided.

A call is what its Call-IDs hold together: the edge links the Call-ID of each outgoing leg to the caller's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence.control.messages import TracedEntry
from ringfence.ledger.schema import Cdr
from ringfence.text import Sentence, visible
from ringfence.trace import decisions

PARTIES: Final = 6
"""Columns at most: the caller, the switch and so many gateways; further ones share the last column."""

_LABEL: Final = 40
_FIRST_FINAL: Final = 200


class Role(Enum):
    """What a column stands for."""

    CALLER = "caller"
    SWITCH = "switch"
    GATEWAY = "gateway"
    OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A column. `address` is host and port as one word; `name` is empty where none is known."""

    role: Role
    address: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A message.

    Shape: `number` counts the messages of the ladder from 1; `came` and `went` are columns; `label` is method
    or status, harmless and short; `is_repeat` = the same bytes went the same way before (a retransmission).
    """

    at_us: int
    number: int
    came: int
    went: int
    label: str
    is_repeat: bool
    entry: TracedEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What the switch decided."""

    at_us: int
    said: Sentence


Step = Arrow | Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """A call.

    Shape: `call_ids` the caller's first; `is_begun_before` = what began the call is not in memory any more;
    `outcome` is the last final answer to an INVITE, else the last message. `caller` and `callee` are the
    users of From and Request-URI, as sent.
    """

    call_ids: tuple[str, ...]
    parties: tuple[Party, ...]
    steps: tuple[Step, ...]
    began_us: int
    ended_us: int
    method: str
    caller: str
    callee: str
    outcome: str
    is_begun_before: bool

    @property
    def arrows(self) -> tuple[Arrow, ...]:
        """The messages alone."""
        return tuple(step for step in self.steps if isinstance(step, Arrow))

    def after_s(self, step: Step) -> float:
        """Seconds since the call began; what was decided before its first message counts as then."""
        return max(step.at_us - self.began_us, 0) / 1e6


def ladders(entries: Iterable[TracedEntry], records: Iterable[Cdr] = ()) -> tuple[Ladder, ...]:
    """The calls that the entries belong to, in the order in which they began.

    Shape: `records` of these calls, where there are any, add what the switch decided.
    """
    of_call: dict[str, Cdr] = {}
    for each in records:
        of_call.setdefault(each.call_id, each)
    made = []
    for group in _grouped(sorted(entries, key=lambda entry: entry.seq)):
        messages = [entry for entry in group if entry.kind in {"received", "sent"}]
        if messages:
            ids = dict.fromkeys(entry.call_id for entry in messages)
            record = next((of_call[call_id] for call_id in ids if call_id in of_call), None)
            made.append(_ladder(group, messages, tuple(ids), record))
    return tuple(made)


def _grouped(entries: Sequence[TracedEntry]) -> list[list[TracedEntry]]:
    """Entries by call: Call-IDs that a link names together are one."""
    leader: dict[str, str] = {}

    def first(call_id: str) -> str:
        while leader.setdefault(call_id, call_id) != call_id:
            call_id = leader[call_id]
        return call_id

    for entry in entries:
        own = first(entry.call_id)
        if entry.kind == "link":
            other = first(entry.content.decode("utf-8", "backslashreplace"))
            leader[other] = own
    groups: dict[str, list[TracedEntry]] = {}
    for entry in entries:
        groups.setdefault(first(entry.call_id), []).append(entry)
    return list(groups.values())


class _Columns:
    """Which address stands in which column: the caller, we, then each far end in the order it comes up."""

    def __init__(self, messages: Sequence[TracedEntry], names: dict[str, str]) -> None:
        first = messages[0]
        self._names = names
        self._caller_id = first.call_id if first.kind == "received" else ""
        self._places: dict[tuple[bool, str, int], int] = {}
        local = host_port(*first.local)
        self.parties = [Party(role=Role.SWITCH, address=local)]
        if self._caller_id:
            self.parties.insert(0, Party(role=Role.CALLER, address=host_port(*first.remote)))
            self._places[(True, *first.remote)] = 0
        self.switch = len(self.parties) - 1

    def of(self, entry: TracedEntry) -> int:
        """The column of the far end."""
        key = (entry.call_id == self._caller_id, *entry.remote)
        place = self._places.get(key)
        if place is None:
            place = self._add(key)
            self._places[key] = place
        return place

    def _add(self, key: tuple[bool, str, int]) -> int:
        if len(self.parties) < PARTIES:
            _, host, port = key
            name = self._names.get(host, "") if not key[0] else ""
            role = Role.CALLER if key[0] else Role.GATEWAY
            self.parties.append(Party(role=role, address=host_port(host, port), name=name))
        else:
            self.parties[-1] = Party(role=Role.OTHERS)
        return len(self.parties) - 1


def _ladder(
    group: Sequence[TracedEntry],
    messages: Sequence[TracedEntry],
    call_ids: tuple[str, ...],
    record: Cdr | None,
) -> Ladder:
    names = {} if record is None or not record.calleeip else {record.calleeip: record.calleeGateway}
    columns = _Columns(messages, names)
    steps: list[Step] = []
    seen: set[tuple[object, ...]] = set()
    for number, entry in enumerate(messages, 1):
        far = columns.of(entry)
        way = (entry.kind, entry.local, entry.remote, entry.content)
        came, went = (far, columns.switch) if entry.kind == "received" else (columns.switch, far)
        steps.append(
            Arrow(
                at_us=entry.at_us,
                number=number,
                came=came,
                went=went,
                label=label(entry),
                is_repeat=way in seen,
                entry=entry,
            )
        )
        seen.add(way)
    remarks = [
        Remark(at_us=entry.at_us, said=decisions.decode(entry.content))
        for entry in group
        if entry.kind == "note"
    ]
    if record is not None:
        told = {remark.said for remark in remarks}
        finals = _final_at(messages)
        remarks += [
            Remark(at_us=at_us, said=said)
            for at_us, said in decisions.of_record(record, finals)
            if said not in told
        ]
    # A stable sort: what was decided on a message stands below it.
    steps = sorted([*steps, *remarks], key=lambda step: step.at_us)
    first = messages[0]
    return Ladder(
        call_ids=call_ids,
        parties=tuple(columns.parties),
        steps=tuple(steps),
        began_us=first.at_us,
        ended_us=messages[-1].at_us,
        method=first.method,
        caller=first.users[0] if first.users else "",
        callee=first.users[-1] if first.users else "",
        outcome=_outcome(messages),
        is_begun_before=first.status != 0,
    )


def _final_at(messages: Iterable[TracedEntry]) -> dict[str, int]:
    """When the final answer to the INVITE of each Call-ID came."""
    return {
        entry.call_id: entry.at_us
        for entry in messages
        if entry.kind == "received" and entry.status >= _FIRST_FINAL and entry.method == "INVITE"
    }


def _outcome(messages: Sequence[TracedEntry]) -> str:
    finals = [
        entry
        for entry in messages
        if entry.status >= _FIRST_FINAL and entry.method == "INVITE" and entry.call_id == messages[0].call_id
    ]
    return label(finals[-1] if finals else messages[-1])


def label(entry: TracedEntry) -> str:
    """What a message is, in a few harmless words: "INVITE (SDP)", "180 Ringing", "200 OK (BYE)"."""
    if entry.status:
        phrase = entry.start_line.partition(" ")[2] or str(entry.status)
        said = _short(phrase)
        if entry.method not in {"", "INVITE"}:
            said += f" ({_short(entry.method)})"
    else:
        said = _short(entry.method or entry.start_line) or "?"
    return f"{said} (SDP)" if entry.has_sdp else said


def _short(text: str) -> str:
    safe = visible(text[: _LABEL + 1])
    return safe if len(safe) <= _LABEL else f"{safe[: _LABEL - 1]}…"


def host_port(host: str, port: int) -> str:
    """An address as one word, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def text_of(entry: TracedEntry) -> str:
    r"""The message as text: bytes that are no UTF-8 stand as `\xNN`."""
    return entry.content.decode("utf-8", "backslashreplace")
