# SPDX-License-Identifier: Apache-2.0
"""The way of one call: along the gateways that may take it, or to the contacts of a phone of ours."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from ringfence.call.credentials import credentials_of
from ringfence.call.engine import Moment, Target
from ringfence.call.identity import uri_of
from ringfence.call.phones import PhoneHunt, phone_route, rounds
from ringfence.call.plan import Account, Fork, Route, Side, Stop, more_telling
from ringfence.call.redirects import Redirects
from ringfence.call.ways import Ways
from ringfence.core import read_uri
from ringfence.ids import GatewayId
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.policy.identity import Identity, Party, switched
from ringfence.registrar.bindings import Binding
from ringfence.routing import table as routing
from ringfence.routing.failover import Answered, Failure, Heard, TimedOut, Unreachable, after_failure
from ringfence.routing.locations import Place, name_of
from ringfence.routing.plan import ToGateways
from ringfence.routing.quality import Result
from ringfence.routing.selection import Candidate, busy

if TYPE_CHECKING:
    from ringfence.call.router import SettingsRouter

CALLED_NOT_ONLINE: Final = END_REASON_BY_NAME["CalledNotOnline"]
ANONYMOUS: Final = Party("anonymous", "Anonymous")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call comes from. Shape: `identity` is what the caller's switches left of it."""

    side: Side
    target: Target
    account: Account
    identity: Identity
    failure_status: Callable[[int], int]


class _Plan:
    """What both ways have in common: the caller, and its line."""

    longest_s = 0

    def __init__(self, router: "SettingsRouter", origin: Origin) -> None:
        self._router = router
        self.side = origin.side
        self.target = origin.target
        self.account = origin.account
        self.failure_status = origin.failure_status
        self._identity = origin.identity

    def began(self, now: Moment) -> None:
        """The call is taken on."""
        if self.account.gateway_id:
            self._router.counters.call_began(GatewayId(self.account.gateway_id), now_us=now.utc_us)

    def answered(self, now: Moment) -> None:
        """The call was answered."""

    def ended(self, talk_s: int | None, now: Moment) -> None:
        """The call is over."""
        if self.account.gateway_id:
            self._router.counters.call_ended(
                GatewayId(self.account.gateway_id), now_us=now.utc_us, talk_s=talk_s
            )


class GatewayPlan(_Plan):
    """Routing gateways, one after the other (`routing.failover`)."""

    def __init__(self, router: "SettingsRouter", origin: Origin, to: ToGateways) -> None:
        super().__init__(router, origin)
        self._left = deque(to.candidates)
        self._redirects = Redirects(to.wanted)
        self._on: routing.Route | None = None
        self._taken: Candidate | None = None
        self._place: Place | None = None
        self._tried: set[Place] = set()
        self._switches = 0

    def failed(self, route: Route, outcome: Failure) -> None:
        """Gateways are tried one by one: `next_route` is told."""

    def next_route(self, last: Failure | None, heard: Heard, now: Moment) -> Route | Stop:
        """The next gateway that can take the call at this moment, if it may go on at all."""
        if last is not None and _is_elsewhere(last):
            self._leave_place(now)
        if isinstance(last, Answered) and last.contacts:
            last = self._redirected(last, now)
        found = self._next(now)
        if self._on is not None and last is not None:
            # Another place of a gateway is no other gateway.
            is_there_still = found is not None and found[0] is self._taken
            decision = after_failure(
                self._on,
                last,
                heard,
                self._router.tables.routes.rules,
                switches=0 if is_there_still else self._switches,
                has_next=found is not None,
            )
            if decision.result is Result.NETWORK_FAILED or (
                isinstance(last, Answered) and last.status == 503
            ):
                self._router.doubt(self._on.id, now)
            self._leave(decision.result, now, pause_s=decision.pause_s)
            if not decision.goes_on:
                return Stop(why=decision.why)
            self._switches += not is_there_still
        if found is None:
            return Stop(why="")
        self._left.popleft()
        candidate, route = found
        self._on, self._taken, self._place = candidate.route, candidate, _place_of(route.target)
        self._router.counters.attempt_began(candidate.route.id, now_us=now.utc_us)
        return route

    def _leave_place(self, now: Moment) -> None:
        """A gateway with several places is tried at the next one before others are (RFC 3263 §4.3)."""
        if (
            self._taken is None
            or self._place is None
            or not isinstance(self._taken.route.where, routing.Address)
        ):
            return
        if name_of(self._taken.route.where) is not None:
            self._router.ways.locations.doubt(self._place, now.mono_s)
            self._tried.add(self._place)
            self._left.appendleft(self._taken)

    def _redirected(self, last: Answered, now: Moment) -> Answered:
        """Have a redirection be followed next, if it may be; the answer with what the record says of it."""
        taken = self._taken
        if taken is None or not taken.route.calls.failover.follow_redirects:
            return last
        now_us = now.utc_us
        found = self._redirects.follow(
            last.contacts,
            taken,
            self._place,
            routes=self._router.tables.routes,
            loads=self._router.counters.live(now_us=now_us).routes,
            now_us=now_us,
        )
        if found is None:
            return structs.replace(last, why="it redirects to where this call may not go")
        self._left.appendleft(found)
        return last

    def _next(self, now: Moment) -> tuple[Candidate, Route] | None:
        """The first candidate left that takes calls now; those before it are let go."""
        while self._left:
            route = self._route(self._left[0], now)
            if route is not None:
                return self._left[0], route
            self._left.popleft()
        return None

    def _route(self, candidate: Candidate, now: Moment) -> Route | None:
        """The way to a candidate as the settings are now; None if it takes no calls."""
        router = self._router
        known = router.tables.routes.routes.get(candidate.route.id)
        if known is None or known.calls.locked:
            return None
        load = router.counters.live(now_us=now.utc_us).routes[known.id]
        if self._on is not None and self._on.id == known.id:
            load = structs.replace(load, lines=load.lines - 1)  # the one that this call has there
        if busy(known, load, now_us=now.utc_us) is not None:
            return None
        way = self._way(known, now)
        if way is None:
            return None
        calls = known.calls
        return Route(
            id=known.id,
            side=Side(
                name=known.name,
                session_timer=calls.session_timer,
                rel100=calls.rel100,
                to_source=isinstance(known.where, routing.Registered),
            ),
            target=way.target,
            host=way.host,
            caller_number=candidate.caller_to_gateway,
            callee_number=candidate.callee_to_gateway,
            uri=f"{uri_of(candidate.callee_to_gateway, way.host)}{way.parameters}",
            identity=switched(self._identity, calls.identity, candidate.caller_to_gateway),
            timeouts=known.timeouts,
            credentials=credentials_of(known, router.tables.secrets),
            route_set=way.route_set,
        )

    def _way(self, route: routing.Route, now: Moment) -> "_Way | None":
        """The way to a gateway; None if it is not registered, not found, or out of our reach."""
        ways, where = self._router.ways, route.where
        if isinstance(where, routing.Address):
            target = ways.to_vendor(
                where, now.mono_s, local_address=route.calls.local_address, tried=self._tried
            )
            if target is None:
                return None
            # RFC 3608 §6.1. The next hop stays the one that the operator set.
            route_set = self._router.counters.service_route(route.id)
            return _Way(_host_port(where.host, where.port), target, route_set)
        bindings = self._router.bindings.of(where.username or "", now.utc_us)
        if not bindings:
            return None
        registered = bindings[0]
        # By the proxies of its Path (RFC 3327 §5.4), to a URI that it knows for what it registered: Asterisk
        # tells its trunks apart by the `line` of their Contacts, FreeSWITCH its gateways by `gw`.
        return _Way(
            _host_of(registered), _over(registered, ways), registered.path, _parameters_of(registered.contact)
        )

    def _leave(self, result: Result, now: Moment, *, pause_s: int = 0, talk_s: int = 0) -> None:
        if self._on is not None:
            self._router.counters.attempt_ended(
                self._on.id, result, now_us=now.utc_us, talk_s=talk_s, pause_s=pause_s
            )
            self._on = None

    def answered(self, now: Moment) -> None:
        """The call was answered by the gateway that it is at."""
        if self._on is not None:
            self._router.counters.attempt_answered(self._on.id, now_us=now.utc_us)

    def ended(self, talk_s: int | None, now: Moment) -> None:
        """The call is over."""
        if talk_s is None:
            self._leave(Result.CALLER_GAVE_UP, now)
        else:
            self._leave(Result.ANSWERED, now, talk_s=talk_s)
        super().ended(talk_s, now)


class _Way(msgspec.Struct, frozen=True):
    """Where calls to a gateway go. Shape: `parameters` stand behind the host in the Request-URI."""

    host: str
    target: Target
    route_set: tuple[str, ...] = ()
    parameters: str = ""


class PhonePlan(_Plan):
    """The contacts of a phone, round after round (`call.phones`)."""

    def __init__(self, router: "SettingsRouter", origin: Origin, bindings: Sequence[Binding]) -> None:
        super().__init__(router, origin)
        self._hunt = PhoneHunt(Fork(tuple(map(self._route, together))) for together in rounds(bindings))
        self._told: Failure | None = None

    def failed(self, route: Route, outcome: Failure) -> None:
        """A contact did not take the call."""
        self._hunt.failed(route, outcome)

    def next_route(self, last: Failure | None, heard: Heard, now: Moment) -> Fork | Stop:  # noqa: ARG002
        """The next round; after the last one the failure that says most counts (RFC 3261 §16.7)."""
        if last is not None:
            self._told = more_telling(self._told, last)
        found = self._hunt.next(last)
        if isinstance(found, Fork):
            return found
        if self._told is not None and _is_silence(self._told):
            return Stop(why=found.why, reason=CALLED_NOT_ONLINE)
        return Stop(why=found.why, outcome=self._told)

    def _route(self, binding: Binding) -> Route:
        target = _over(binding, self._router.ways)
        like = Route(
            id=0,
            side=Side(name=""),
            target=target,
            host=_host_port(*target.shown),
            caller_number=self.account.caller,
            callee_number=self.account.callee,
            identity=shown_to_phone(self._identity),
            timeouts=self._router.tables.routes.timeouts,
        )
        return phone_route(like, binding, target.shown)


class PlacePlan(_Plan):
    """A call that takes a place in another one, which has the line and pays."""

    def began(self, now: Moment) -> None:
        """Nothing."""

    def failed(self, route: Route, outcome: Failure) -> None:
        """Nothing is tried."""

    def next_route(self, last: Failure | None, heard: Heard, now: Moment) -> Route | Stop:  # noqa: ARG002
        """Nowhere."""
        return Stop(why="")

    def ended(self, talk_s: int | None, now: Moment) -> None:
        """Nothing."""


def _is_elsewhere(outcome: Failure) -> bool:
    """Whether another place of the same gateway may do better (RFC 3263 §4.3)."""
    return _is_silence(outcome) or (isinstance(outcome, Answered) and outcome.status == 503)


def _place_of(target: Target) -> Place | None:
    host, port = target.remote
    return None if port is None else (host, port)


def _is_silence(outcome: Failure) -> bool:
    """Whether nothing at all came back."""
    return isinstance(outcome, Unreachable) or outcome == TimedOut(routing.Phase.INVITE)


def shown_to_phone(identity: Identity) -> Identity:
    """What a phone is told of its caller: nothing of one that wants to be hidden (RFC 3325 §7)."""
    is_hidden = identity.privacy is not None and identity.privacy.strip().lower() != "none"
    shown = structs.replace(identity, rpid=None, pai=None, ppi=None)
    return structs.replace(shown, caller=ANONYMOUS) if is_hidden else shown


def _over(binding: Binding, ways: Ways) -> Target:
    flow = binding.flow
    shown = ways.shown(flow.transport, flow.local)
    return Target(transport=flow.transport, remote=flow.source, local=flow.local, shown=shown, is_flow=True)


def _host_of(binding: Binding) -> str:
    """The host that a registered gateway calls itself; where it sends from, if it says none."""
    try:
        parts = read_uri(binding.contact)
    except ValueError:
        return _host_port(*binding.flow.source)
    return _host_port(parts.host.strip("[]"), parts.port) if parts.host else _host_port(*binding.flow.source)


def _parameters_of(uri: str) -> str:
    """The parameters of a URI with their semicolons; headers behind them are no part of a Request-URI.

    >>> _parameters_of("sip:us;x@10.1.1.1:5060;line=abc;transport=udp?a=b"), _parameters_of("sip:10.1.1.1")
    (';line=abc;transport=udp', '')
    """
    host = uri.partition("?")[0].rpartition("@")[2]
    return "".join(host.partition(";")[1:])


def _host_port(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
