# SPDX-License-Identifier: Apache-2.0
"""Policy and routing, asked for a call: who calls, with which numbers, and to whom it may go."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote

from msgspec import structs

from ringfence.call.engine import Moment, Request
from ringfence.call.identity import read_identity
from ringfence.call.plan import Account, Plan, Refused, Side, as_it_is
from ringfence.call.routes import GatewayPlan, Origin, PhonePlan, PlacePlan
from ringfence.call.table import CallSettings
from ringfence.call.ways import Ways
from ringfence.core import Message, read_address, read_uri
from ringfence.ids import RoutingGatewayId
from ringfence.ledger.reasons import END_REASON_BY_NAME, BillingMode, EndReason
from ringfence.policy.identity import Identity, Party, callee_number, caller_number, switched
from ringfence.policy.refusal import Refusal
from ringfence.policy.sources import Sources
from ringfence.policy.table import MappingGateway, PhoneCaller, PolicyTable
from ringfence.registrar.bindings import Bindings
from ringfence.routing.counters import LiveCounters
from ringfence.routing.plan import Live, ToGateways, ToPhone, plan
from ringfence.routing.table import RoutingTable
from ringfence.settings.calls_model import CalleeFrom, CallerFrom
from ringfence.settings.model import SettingsState

Doubt = Callable[[RoutingGatewayId, Moment], None]

UNAVAILABLE: Final = END_REASON_BY_NAME["ProcessingUnavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What calls are decided by, of one version of the settings.

    Shape: `secrets` are what vendors gave us, decrypted; one that cannot be read is not in it.
    """

    policy: PolicyTable
    routes: RoutingTable
    calls: CallSettings
    secrets: Mapping[RoutingGatewayId, str]
    parameters: Mapping[str, int]

    @classmethod
    def build(cls, state: SettingsState, secrets: Mapping[RoutingGatewayId, str]) -> Self:
        """Read the settings; takes a second where there are hundreds of thousands of prefixes.

        Raises: ConfigError if a rule cannot be read; those that are stored were checked.
        """
        return cls(
            policy=PolicyTable.build(state),
            routes=RoutingTable.build(state),
            calls=CallSettings.read(state.parameters),
            secrets=secrets,
            parameters=state.parameters,
        )


class SettingsRouter:
    """The router that decides by the settings.

    Shape: `tables` are exchanged as a whole when the settings change; counters and bindings stay. `doubt` is
    told of a routing gateway that did not answer, or with 503.
    """

    def __init__(
        self, tables: Tables, *, counters: LiveCounters, bindings: Bindings, ways: Ways, doubt: Doubt
    ) -> None:
        self.tables = tables
        self.counters = counters
        self.bindings = bindings
        self.ways = ways
        self.doubt = doubt
        self._turns = itertools.count()

    def admit(self, request: Request, now: Moment) -> Plan | Refused:
        """Decide on a call that comes in."""
        decided = self._decide(request, now, self.counters.live(now_us=now.utc_us))
        if isinstance(decided, Refused):
            return decided
        origin, destination = decided
        if isinstance(destination, ToPhone):
            return self._to_phone(origin, destination, now)
        return GatewayPlan(self, origin, destination)

    def deliver(self, request: Request, now: Moment) -> Plan | Refused:
        """Decide on a text message: it takes no line, and no vendor is asked to deliver it."""
        decided = self._decide(request, now, None)
        if isinstance(decided, Refused):
            return decided
        origin, destination = decided
        if isinstance(destination, ToPhone):
            return self._to_phone(origin, destination, now)
        return _refused(Refusal.NOT_FOUND, origin)

    def _decide(
        self, request: Request, now: Moment, live: Live | None
    ) -> tuple[Origin, ToPhone | ToGateways] | Refused:
        """Who asks, and where it goes. Shape: `live` as `routing.plan.plan` has it."""
        tables, message = self.tables, request.message
        caller = tables.policy.caller_of(request.gateway_id, request.number)
        came = read_identity(message)
        if caller is None:
            # It was somebody when the edge let it through; the settings have changed since.
            return Refused(reason=UNAVAILABLE, account=_nobody(request, came))
        who, number = _number_calling(came, caller), _number_called(message, caller)
        made = plan(
            tables.policy,
            tables.routes,
            caller,
            who,
            number,
            now_us=now.utc_us,
            live=live,
            turn=next(self._turns),
        )
        account = Account(
            caller=made.numbers.caller,
            caller_access=made.numbers.caller_access,
            callee=made.numbers.callee,
            callee_access=made.numbers.callee_access,
            billing_mode=BillingMode.PHONE
            if isinstance(caller, PhoneCaller)
            else BillingMode.MAPPING_GATEWAY,
            gateway_id=caller.id if isinstance(caller, MappingGateway) else 0,
            gateway=caller.name if isinstance(caller, MappingGateway) else "",
        )
        destination = made.destination
        if isinstance(destination, Refusal):
            return Refused(
                reason=_reason(destination), account=account, failure_status=_failure_status(caller)
            )
        return self._origin(request, caller, account, came), destination

    def _to_phone(self, origin: Origin, to: ToPhone, now: Moment) -> PhonePlan | Refused:
        bindings = self.bindings.of(to.number, now.utc_us)
        if not bindings:
            return _refused(Refusal.CALLED_NOT_ONLINE, origin)
        return PhonePlan(self, origin, bindings)

    def party(self, request: Request, now: Moment) -> Plan | Refused:  # noqa: ARG002 - as others decide
        """Who sends an INVITE that takes a place in another call."""
        policy, message = self.tables.policy, request.message
        caller = policy.caller_of(request.gateway_id, request.number)
        came = read_identity(message)
        if caller is None:
            return Refused(reason=UNAVAILABLE, account=_nobody(request, came))
        who, number = _number_calling(came, caller), _number_called(message, caller)
        if isinstance(caller, PhoneCaller):
            who = caller.number
        account = Account(
            caller=who,
            caller_access=who,
            callee=number,
            callee_access=number,
            billing_mode=BillingMode.UNBILLED,
            gateway_id=caller.id if isinstance(caller, MappingGateway) else 0,
            gateway=caller.name if isinstance(caller, MappingGateway) else "",
        )
        if isinstance(caller, MappingGateway) and caller.calls.locked:
            return Refused(
                reason=_reason(Refusal.LOCKED), account=account, failure_status=_failure_status(caller)
            )
        return PlacePlan(self, self._origin(request, caller, account, came))

    def _origin(
        self, request: Request, caller: MappingGateway | PhoneCaller, account: Account, came: Identity
    ) -> Origin:
        # Whoever registers may be behind NAT: what its Contact says is of no use then.
        side = Side(name=account.gateway, to_source=request.number is not None, gateway_id=account.gateway_id)
        if isinstance(caller, PhoneCaller):
            # A phone may say how it is called, and that it wants to be hidden; not who vouches for it.
            identity = Identity(caller=Party(account.caller, came.caller.display), privacy=came.privacy)
            return Origin(
                side=structs.replace(side, phone=caller.number),
                target=request.came,
                account=account,
                identity=identity,
                failure_status=_failure_status(caller),
            )
        calls = caller.calls
        side = structs.replace(side, session_timer=calls.session_timer, rel100=calls.rel100)
        if not calls.in_dialog_from_anywhere:
            sources = caller.sources if caller.sources.networks else Sources.read([request.came.remote[0]])
            side = structs.replace(side, sources=sources)
        return Origin(
            side=side,
            target=self.ways.back(request.came, local_address=calls.local_address),
            account=account,
            identity=switched(came, calls.identity, account.caller),
            failure_status=_failure_status(caller),
        )


def _reason(refusal: Refusal) -> EndReason:
    return END_REASON_BY_NAME[refusal.value]


def _refused(refusal: Refusal, origin: Origin) -> Refused:
    return Refused(reason=_reason(refusal), account=origin.account, failure_status=origin.failure_status)


def _failure_status(caller: MappingGateway | PhoneCaller) -> Callable[[int], int]:
    return caller.failure_codes.told if isinstance(caller, MappingGateway) else as_it_is


def _number_calling(came: Identity, caller: MappingGateway | PhoneCaller) -> str:
    taken_from = caller.calls.caller_from if isinstance(caller, MappingGateway) else CallerFrom.FROM
    # As of the number called: a rule for +49 is one for %2B49 too.
    return unquote(caller_number(came, taken_from))


def _number_called(message: Message, caller: MappingGateway | PhoneCaller) -> str:
    taken_from = caller.calls.callee_from if isinstance(caller, MappingGateway) else CalleeFrom.REQUEST
    number = callee_number(_user(message.uri), message.to.user, _diverted_from(message), taken_from)
    # RFC 3261 §19.1.4: an escape is the character that it stands for.
    return unquote(number)


def _user(uri: str) -> str:
    try:
        return read_uri(uri).user
    except ValueError:
        return ""


def _diverted_from(message: Message) -> str | None:
    """Who the call was for before it was diverted last (RFC 5806)."""
    value = message.header("Diversion")
    try:
        return None if value is None else read_address(value).user
    except ValueError:
        return None


def _nobody(request: Request, came: Identity) -> Account:
    caller, callee = came.caller.number, _user(request.message.uri)
    return Account(
        caller=caller,
        caller_access=caller,
        callee=callee,
        callee_access=callee,
        billing_mode=BillingMode.PHONE if request.number is not None else BillingMode.MAPPING_GATEWAY,
        gateway_id=request.gateway_id or 0,
    )
