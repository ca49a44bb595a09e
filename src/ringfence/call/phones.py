# SPDX-License-Identifier: Apache-2.0
"""A call to a phone of ours: its contacts one after the other, by q and then the newest first."""

from collections.abc import Sequence
from dataclasses import replace

from ringfence.call.engine import Target
from ringfence.call.plan import Route, Stop
from ringfence.registrar.bindings import Binding
from ringfence.routing.failover import Answered, Failure


def phone_route(like: Route, binding: Binding, shown: tuple[str, int]) -> Route:
    """The attempt at one contact.

    Shape: `like` has the numbers, identity and time-outs. The INVITE is for the contact that was registered,
    by the proxies of its Path (RFC 3327 §5.4), over the flow that its REGISTER came on. `shown` is how others
    see our end of it.
    """
    flow = binding.flow
    return replace(
        like,
        id=0,
        side=replace(like.side, to_source=True),
        target=Target(
            transport=flow.transport, remote=flow.source, local=flow.local, shown=shown, is_flow=True
        ),
        uri=binding.contact,
        route_set=binding.path,
        credentials=None,
    )


class PhoneHunt:
    """The contacts of one call that are left.

    Any failure but a 6xx goes on to the next one: a device that is busy or off says nothing of the others,
    and a 6xx speaks for the person (RFC 3261 §16.7).
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._left = list(reversed(routes))

    def next(self, last: Failure | None) -> Route | Stop:
        """Where to go first (`last` None), or after a failure."""
        if isinstance(last, Answered) and last.status >= 600:
            return Stop(why="the person called refused it")
        return self._left.pop() if self._left else Stop(why="")
