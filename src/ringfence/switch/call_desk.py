# SPDX-License-Identifier: Apache-2.0
"""Live calls and their counts, as control.sock tells them."""

from ringfence.call.calls import CallView
from ringfence.call.service import GatewayAtWork
from ringfence.carrier.carriers import CarrierView
from ringfence.control.messages import (
    CallCounts,
    GatewayLoad,
    HungUp,
    LiveCall,
    LiveCalls,
    Vendor,
    VendorHealth,
    VendorRegistration,
    Vendors,
)
from ringfence.errors import NotFoundError
from ringfence.switch.call_loop import CallLoop


class CallDesk:
    """Answers about calls. Shape: `run` is the number of this run of the switch."""

    def __init__(self, loop: CallLoop, *, run: int) -> None:
        self._loop = loop
        self._run = run

    def list(self, limit: int, call_id: int | None) -> LiveCalls:
        """Live calls, oldest first; with an id that one.

        Raises: NotFoundError.
        """
        service = self._loop.service
        if call_id is None:
            views = service.calls.list(limit)
            total = service.counts.live
        else:
            view = service.calls.show(call_id)
            if view is None:
                raise no_call(call_id)
            views, total = [view], 1
        return LiveCalls(at_us=self._loop.now().utc_us, total=total, calls=tuple(map(_live, views)))

    def counts(self) -> CallCounts:
        """Calls of this run, counted, and gateways at work."""
        now, service = self._loop.now(), self._loop.service
        counts = service.counts
        return CallCounts(
            run=self._run,
            at_us=now.utc_us,
            started=counts.started,
            answered=counts.answered,
            live=counts.live,
            talking=counts.talking,
            failed=dict(counts.failed),
            messages_delivered=counts.messages_delivered,
            messages_failed=counts.messages_failed,
            gateways=tuple(map(_load, service.gateways(now))),
            routes=tuple(map(_load, service.routes(now))),
        )

    def vendors(self) -> Vendors:
        """How we stand with vendors, by id."""
        views = self._loop.carriers.list()
        return Vendors(at_us=self._loop.now().utc_us, vendors=tuple(map(_vendor, views)))

    def hang_up(self, call_id: int) -> HungUp:
        """End a call.

        Raises: NotFoundError.
        """
        if not self._loop.hang_up(call_id):
            raise no_call(call_id)
        return HungUp(id=call_id)


def no_call(call_id: int) -> NotFoundError:
    """There is no such call."""
    return NotFoundError(f"there is no live call {call_id}", hint="`ringfence call list` shows live calls")


def _live(view: CallView) -> LiveCall:
    fields = {name: getattr(view, name) for name in LiveCall.__struct_fields__ if name != "state"}
    return LiveCall(state=view.state.value, **fields)


def _vendor(view: CarrierView) -> Vendor:
    ours, health = view.registration, view.health
    return Vendor(
        id=view.id,
        name=view.name,
        registration=None
        if ours is None
        else VendorRegistration(
            standing=ours.standing.value,
            registrar=ours.registrar,
            user=ours.user,
            until_us=ours.until_us,
            next_us=ours.next_us,
            failures=ours.failures,
            status=ours.status,
            why=ours.why,
        ),
        health=None
        if health is None
        else VendorHealth(
            is_alive=health.is_alive,
            failures=health.failures,
            status=health.status,
            answered_us=health.answered_us,
            since_us=health.since_us,
        ),
    )


def _load(gateway: GatewayAtWork) -> GatewayLoad:
    standing = gateway.standing
    return GatewayLoad(
        id=gateway.id,
        name=gateway.name,
        lines=standing.lines,
        most_lines=gateway.most_lines,
        calls_this_second=standing.calls_this_second,
        calls_today=standing.today.calls,
        answered_today=standing.today.answered,
        asr_percent=standing.today.asr_percent,
        acd_s=standing.today.acd_s,
    )
