# SPDX-License-Identifier: Apache-2.0
"""Calls whose far ends talk with each other: one call carries the talk, and all records go on with it.

Each far end is still there, and so is each account that pays for it. A call that gave its far end to another
one has no dialogs any more; it keeps its record, its line and the longest time that it may be talked.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfence.call.engine import Moment
from ringfence.call.leg import Leg
from ringfence.ledger.reasons import EndDirection

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


@dataclass(slots=True, eq=False)
class Joined:
    """The calls of one talk; when one ends, all do.

    Shape: `far_ends` by the id of each call that gave its far end away: that leg, and the side it was on.
    """

    calls: "list[Call]" = field(default_factory=list)
    far_ends: dict[int, tuple[Leg, EndDirection]] = field(default_factory=dict)

    def take_in(self, call: "Call") -> None:
        """A call is of this talk from now on, and so are those that were joined with it before."""
        before, call.joined = call.joined, self
        if before is None:
            self.calls.append(call)
        elif before is not self:
            for other in before.calls:
                other.joined = self
            self.calls += before.calls
            self.far_ends |= before.far_ends

    def end(self, call: "Call") -> "list[Call]":
        """A call ends; those that have to end with it."""
        others = [other for other in self.calls if other is not call]
        self.calls = []
        for other in others:
            other.joined = None
        return others

    def replace(self, far_end: Leg, new: Leg) -> None:
        """Another leg is where a far end was."""
        self.far_ends = {
            call_id: (new if leg is far_end else leg, side) for call_id, (leg, side) in self.far_ends.items()
        }

    def direction(self, call: "Call", leg: Leg | None) -> EndDirection:
        """On which side of a call a leg is that hung up; whoever is not its far end is on the other side."""
        far_end, side = self.far_ends.get(call.id, (call.a, EndDirection.CALLER))
        if leg is far_end:
            return side
        return EndDirection.CALLEE if side is EndDirection.CALLER else EndDirection.CALLER


def join(call: "Call", other: "Call", far_end: Leg, side: EndDirection) -> None:
    """Have the records of two calls end together; the first one has given away what was on that side."""
    joined = call.joined or other.joined or Joined()
    joined.take_in(call)
    joined.take_in(other)
    joined.far_ends[call.id] = far_end, side


def move(leg: Leg, place: Leg, now: Moment) -> None:
    """A far end leaves its call for another one, where it takes the place of a leg that is to be hung up."""
    old, call = leg.call, place.call
    join(old, call, leg, EndDirection.CALLER if leg.is_caller else EndDirection.CALLEE)
    if call.joined is not None:
        call.joined.replace(place, leg)
    old.watch_nothing()
    # What is left is a side without a far end.
    old.seat(Leg(call=old, is_caller=leg.is_caller, side=leg.side, target=leg.target, number=leg.number))
    old.give(leg, call)
    leg.call, leg.is_caller = call, place.is_caller
    call.seat(leg)
    call.watch(leg, now)
    for one in (old, call):
        if one.answered_at is not None and not one.is_over:
            one.table.engine.append(one.answered_frame(is_durable=False))
