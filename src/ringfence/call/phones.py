# SPDX-License-Identifier: Apache-2.0
"""A call to a phone of ours: contacts of equal q at once, those of lower q once all of them have failed."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import structs

from ringfence.call.engine import Target
from ringfence.call.plan import Fork, Route, Stop
from ringfence.registrar.bindings import Binding
from ringfence.routing.failover import Answered, Failure, TimedOut
from ringfence.routing.table import Phase

FLOW_FAILED: Final = 430


def phone_route(like: Route, binding: Binding, shown: tuple[str, int]) -> Route:
    """The attempt at one contact.

    Shape: `like` has the numbers, identity and time-outs. The INVITE is for the contact that was registered,
    by the proxies of its Path (RFC 3327 §5.4), over the flow that its REGISTER came on. `shown` is how others
    see our end of it.
    """
    flow = binding.flow
    return structs.replace(
        like,
        id=0,
        side=structs.replace(like.side, to_source=True, phone=binding.number),
        target=Target(
            transport=flow.transport, remote=flow.source, local=flow.local, shown=shown, is_flow=True
        ),
        uri=binding.contact,
        route_set=binding.path,
        credentials=None,
        device=binding.instance,
    )


def rounds(bindings: Iterable[Binding]) -> Iterator[list[Binding]]:
    """Which contacts are rung at once (RFC 3261 §16.6, §20.10).

    Shape: `bindings` in the order of `Bindings.of`, by q. Of a device with several flows one at a time is in
    a round: the others lead to the same bell (RFC 5626 §7). A number has `RF_CONTACTS_PER_NUMBER` at most.
    """
    together: list[Binding] = []
    for binding in bindings:
        devices = {each.instance for each in together} - {None}
        if together and (binding.q != together[0].q or binding.instance in devices):
            yield together
            together = []
        together.append(binding)
    if together:
        yield together


class PhoneHunt:
    """The rounds of one call that are left.

    Any failure but a 6xx goes on to the next one: a device that is busy, or off, or asked not to disturb says
    nothing of the others, and a 6xx speaks for the person (RFC 3261 §16.7 step 5). Another flow of
    the same device is for where the first did not lead to it: who turned a call down is not rung again
    (RFC 5626 §5.3).
    """

    def __init__(self, forks: Iterable[Fork]) -> None:
        self._left = list(forks)[::-1]
        self._reached: set[str | None] = set()

    def failed(self, route: Route, outcome: Failure) -> None:
        """What came of one contact."""
        if route.device is not None and _is_reached(outcome):
            self._reached.add(route.device)

    def next(self, last: Failure | None) -> Fork | Stop:
        """Where to go first (`last` None), or after a round that came to a failure."""
        if isinstance(last, Answered) and last.status >= 600:
            return Stop(why="the person called refused it")
        while self._left:
            routes = tuple(route for route in self._left.pop().routes if route.device not in self._reached)
            if routes:
                return Fork(routes)
        return Stop(why="")


def _is_reached(outcome: Failure) -> bool:
    """Whether the device itself has heard of the call; a 100 may be a proxy's on the way."""
    if isinstance(outcome, Answered):
        return outcome.status != FLOW_FAILED
    return isinstance(outcome, TimedOut) and outcome.phase not in {Phase.INVITE, Phase.TRYING}
