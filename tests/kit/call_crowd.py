# SPDX-License-Identifier: Apache-2.0
"""Many calls at once, by far ends that do what a seed says: right, wrong, late, or nothing at all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from kit.call_world import FarEnd, World
from ringfence.core import Message
from ringfence.ledger.schema import CallEnded

OUT_OF_LUCK = 0.15
"""How often a far end does not do what it should."""


@dataclass(slots=True)
class Crowd:
    """Calls of one seed.

    Shape: `answered_at` and `byes` are what far ends saw, by their Call-ID, in UTC microseconds. Callees are
    up to `most_phones` phones that ring at once; 0 = they are called in turn.
    """

    seed: int
    most_phones: int = 0
    lag_s: float | None = None
    world: World = field(default_factory=lambda: World(keeps_ladder=False))
    random: Random = field(init=False)
    asked: int = 0
    answered_at: dict[str, int] = field(default_factory=dict)
    byes: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a test's dice
        self.world.rings_at_once = self.most_phones > 0
        if self.lag_s is not None:
            most_s = self.lag_s
            self.world.lag_s = lambda: self.random.random() * most_s

    def run(self, calls: int, *, over_s: float) -> list[CallEnded]:
        """Begin so many calls in that time, and let all come to an end; the records."""
        for index in range(calls):
            self.world.later(self.random.random() * over_s, partial(self._call, index))
        self.world.pass_time(over_s)
        self.world.pass_time(200.0)
        # Those where both sides went on refreshing, and neither hung up.
        self.world.calls.stop(self.world.now)
        self.world.pass_time(200.0)
        return self.world.ended

    def _call(self, index: int) -> None:
        world, dice = self.world, self.random
        caller = world.far_end(f"a{index}", f"a{index}.example", gateway_id=1 + index % 5)
        count = dice.randint(1, self.most_phones) if self.most_phones else dice.choice((1, 1, 2))
        callees = [world.far_end(f"b{index}x{n}", f"b{index}x{n}.example") for n in range(count)]
        for far in (caller, *callees):
            far.on_message = self._callee if far is not caller else self._caller
            far.is_reachable = dice.random() > 0.03
            far.is_deaf = dice.random() < 0.03
        caller.is_reachable = True
        world.routes = [world.route(far, n + 1) for n, far in enumerate(callees)]
        headers = [("Require", "100rel")] if dice.random() < 0.1 else []
        if dice.random() < 0.3:
            headers.append(("Session-Expires", "90"))
        self.asked += 1
        caller.invite(late=dice.random() < 0.15, headers=headers)
        if dice.random() < 0.25:
            self._soon(caller, 12.0, caller.cancel)

    def _soon(self, far: FarEnd, most_s: float, act: Callable[[], object]) -> None:
        self.world.later(self.random.random() * most_s, lambda: act() if far.is_reachable else None)

    def _fails(self) -> bool:
        return self.random.random() < OUT_OF_LUCK

    # what far ends do

    def _caller(self, far: FarEnd, message: Message, transaction: int) -> None:
        self._note(far, message)
        is_answer = message.status and message.cseq_method == "INVITE" and 200 <= message.status < 300
        if message.status and message.cseq == far.last_invite_seq and is_answer:
            first = far.call_id not in self.answered_at
            if first:
                self.answered_at[far.call_id] = self.world.now.utc_us
            far.note(message, transaction)
            if not self._fails():
                far.ack(far.sdp() if self.random.random() < 0.5 else b"")
            if first:
                self._talk(far)
        elif message.header("RSeq") and not self._fails():
            far.note(message, transaction)
            far.ask("PRACK", headers=[("RAck", f"{message.header('RSeq')} {message.cseq} INVITE")])
        elif message.method:
            self._answer_request(far, message, transaction)

    def _callee(self, far: FarEnd, message: Message, transaction: int) -> None:
        self._note(far, message)
        if message.method == "INVITE" and not message.to_tag:
            far.note(message, transaction)
            self._ring(far)
        elif message.method == "CANCEL":
            if not self._fails():
                far.answer(self.random.choice((487, 487, 487, 200)))
        elif message.method == "ACK":
            if self.random.random() < 0.6:
                self._talk(far)
        elif message.method:
            self._answer_request(far, message, transaction)
        elif message.cseq_method == "INVITE" and 200 <= message.status < 300 and not self._fails():
            far.ack()

    def _ring(self, far: FarEnd) -> None:
        dice = self.random
        at_s = 0.0
        for status in dice.choice(((100,), (100, 180), (180,), (183, 180), (181, 183), (), (100, 183, 183))):
            at_s += dice.random() * 3
            tag = f"{far.tag}f{dice.randrange(2)}" if dice.random() < 0.2 else None
            reliable = [("Require", "100rel"), ("RSeq", str(status))] if dice.random() < 0.1 else []
            self.world.later(at_s, partial(far.answer, status, tag=tag, headers=reliable))
        if self._fails():
            return
        final = dice.choice((200, 200, 200, 200, 486, 503, 404, 302, 408, 600, 422))
        at_s += dice.random() * 15
        timer = [("Session-Expires", f"90;refresher={dice.choice(('uac', 'uas'))}")]
        self.world.later(at_s, lambda: far.answer(final, headers=timer if final == 200 else []))
        if final == 200 and dice.random() < 0.1:
            self.world.later(at_s + dice.random(), lambda: far.answer(200, tag=f"{far.tag}other"))

    def _talk(self, far: FarEnd) -> None:
        dice = self.random
        if dice.random() < 0.2:
            self._soon(far, 20.0, lambda: far.ask("INVITE", far.sdp("2")))
        if dice.random() < 0.2:
            self._soon(far, 20.0, lambda: far.ask(dice.choice(("INFO", "UPDATE", "OPTIONS")), b""))
        if dice.random() < 0.7:
            self._soon(far, 60.0, lambda: self._bye(far))

    def _bye(self, far: FarEnd) -> None:
        self._note_bye(far)
        far.ask("BYE")

    def _answer_request(self, far: FarEnd, message: Message, transaction: int) -> None:
        if message.method in {"ACK", "CANCEL"} or self._fails():
            return
        far.asked[message.method] = (message, transaction)
        usual = (200,) * 8
        statuses = usual if message.method in {"BYE", "PRACK"} else (*usual, 488, 491, 481, 500)
        far.answer(self.random.choice(statuses), to=message.method)

    def _note(self, far: FarEnd, message: Message) -> None:
        if message.method == "BYE":
            self._note_bye(far)

    def _note_bye(self, far: FarEnd) -> None:
        self.byes.setdefault(far.call_id, []).append(self.world.now.utc_us)
