# SPDX-License-Identifier: Apache-2.0
"""Text messages outside calls (RFC 3428): passed on to phones of ours, and what they answer passed back.

None is kept: a phone that is not registered gets none, and its sender hears so. None goes to a vendor, who
would want to be paid for it. There are as many on their way as the engine has room for.
"""

from typing import Final

from ringfence.call.engine import Ended, Event, Headers, Moment, Request, Response, Why
from ringfence.call.headers import number, passed, reason, unsupported
from ringfence.call.identity import identity_headers, uri_of, written
from ringfence.call.plan import Fork, Plan, Refused, Route, Stop, concluded, more_telling
from ringfence.call.table import Table
from ringfence.core import Message
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.routing.failover import Answered, Failure, Heard, TimedOut, Unreachable
from ringfence.routing.table import Phase

TOO_MANY_HOPS: Final = END_REASON_BY_NAME["TooManyHops"]
INTERNAL: Final = END_REASON_BY_NAME["InternalError"]
_UNHEARD: Final = Heard()
_OF_MESSAGES: Final = frozenset({"date", "expires", "in-reply-to"})
"""What passes here beside what always does (RFC 3428 §8)."""


class Messages:
    """The messages of a node that are on their way."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._out: dict[int, tuple[_Delivery, Route]] = {}

    def __len__(self) -> int:
        """Requests that wait for an answer."""
        return len(self._out)

    def pass_on(self, request: Request, now: Moment) -> None:
        """A message that came in."""
        message = request.message
        missing = unsupported(message)
        if missing:
            self._answer(request, 420, [("Unsupported", ", ".join(missing).encode())])
        elif number(message.header("Max-Forwards")) == 0:
            self._answer(request, TOO_MANY_HOPS.sip, [])
        else:
            decided = self._table.router.deliver(request, now)
            if isinstance(decided, Refused):
                why = decided.reason
                status = decided.failure_status(why.sip or 503)
                self._answer(request, status, [reason(why.q850, why.name)])
            else:
                self._next(_Delivery(request, decided), None, now)

    def take(self, event: Event, now: Moment) -> None:
        """What a transaction brings, if it is one of a message."""
        match event:
            case Response(message=message) if message.status >= 300:
                self._over(event.transaction, Answered(message.status), now)
            case Response(message=message) if message.status >= 200:
                self._over(event.transaction, message, now)
            case Ended(why=why):
                self._over(event.transaction, _outcome(why), now)
            case _:
                pass

    def _over(self, transaction: int, brought: Message | Failure, now: Moment) -> None:
        """One phone has taken the message, or has not."""
        known = self._out.pop(transaction, None)
        if known is None:
            return
        delivery, route = known
        delivery.out -= 1
        if delivery.is_answered:
            return
        try:
            if isinstance(brought, Message):
                delivery.is_answered = True
                # Without a body (RFC 3428 §7), so without what belongs to one.
                self._answer(delivery.request, brought.status, [])
                return
            delivery.plan.failed(route, brought)
            delivery.lost = more_telling(delivery.lost, brought)
            if not delivery.out:
                self._next(delivery, delivery.lost, now)
        except Exception:
            # A fault of ours: its sender hears so, and whoever drives us is told.
            delivery.is_answered = True
            self._answer(delivery.request, INTERNAL.sip, [])
            raise

    def _next(self, delivery: "_Delivery", last: Failure | None, now: Moment) -> None:
        """The next contacts, all at once; or the end, with what the last ones came to."""
        chosen = delivery.plan.next_route(last, _UNHEARD, now)
        if isinstance(chosen, Stop):
            said = concluded(chosen, last)
            status = delivery.plan.failure_status(said.status)
            delivery.is_answered = True
            self._answer(delivery.request, status, [reason(said.q850, said.text)])
            return
        delivery.lost = None
        for route in chosen.routes if isinstance(chosen, Fork) else (chosen,):
            delivery.out += 1
            self._out[self._send(delivery.request, route)] = delivery, route

    def _send(self, request: Request, route: Route) -> int:
        message, chance = request.message, self._table.chance
        shown = route.target.shown_host
        to = uri_of(route.callee_number, route.host)
        headers: Headers = [
            *[("Route", value.encode()) for value in route.route_set],
            ("From", f"{written(route.identity.caller, shown)};tag={chance.token()}".encode()),
            ("To", f"<{to}>".encode()),
            ("Call-ID", f"{chance.token()}@{route.target.shown[0]}".encode()),
            ("CSeq", b"1 MESSAGE"),
            *identity_headers(route.identity, shown),
            *passed(message, _OF_MESSAGES),
        ]
        hops = number(message.header("Max-Forwards"))
        return self._table.engine.send(
            route.target,
            "MESSAGE",
            route.uri or to,
            headers,
            message.body,
            max_forwards=(70 if hops is None else min(hops, 70)) - 1,
        )

    def _answer(self, request: Request, status: int, headers: Headers) -> None:
        self._table.counts.messaged(is_delivered=200 <= status < 300)
        self._table.engine.respond(request.transaction, status, headers, tag=self._table.chance.token())


class _Delivery:
    """One message.

    Shape: `out` counts requests of this round without an answer, `lost` is the most telling failure of it.
    """

    def __init__(self, request: Request, plan: Plan) -> None:
        self.request = request
        self.plan = plan
        self.out = 0
        self.lost: Failure | None = None
        self.is_answered = False


def _outcome(why: Why) -> Failure:
    if why.is_ours:
        return Answered(503)
    return Unreachable() if why is Why.TRANSPORT else TimedOut(Phase.INVITE)
