# SPDX-License-Identifier: Apache-2.0
"""What is to be kept up with one vendor, read from the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from ringfence.call.credentials import credentials_of
from ringfence.call.digest import Credentials
from ringfence.call.engine import Target
from ringfence.ids import RoutingGatewayId
from ringfence.routing.table import Address, Route, RoutingTable, address_of
from ringfence.settings.calls_model import Registration

Way = Callable[[Address, str | None], tuple[Target, ...]]
"""The ways to all places of an address, in the order to be tried, from a local address of ours (None = any).

Empty = its name is not found yet, or we do not listen for it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A registration with a vendor that is to be kept up.

    Shape: we are `user` at `domain`, and called as `contact_user`. `host` is the registrar as the operator
    wrote it; `others` are further places of it (RFC 3263 §4.3). `credentials` None = the secret cannot be
    read. `is_left` = it is ended when the switch stops.
    Units: `expires_s` is what we ask for; `retry_s` is the wait after the first failure.
    """

    target: Target
    domain: str
    user: str
    contact_user: str
    credentials: Credentials | None
    host: str = ""
    expires_s: int = 3600
    retry_s: int = 60
    is_left: bool = True
    others: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A vendor that is asked by OPTIONS whether it is there; down after so many `failures` in a row.

    Shape: `others` are further places of it.
    """

    target: Target
    host: str
    period_s: int = 30
    failures: int = 3
    others: tuple[Target, ...] = ()


P = TypeVar("P", Account, Probe)


def places_of(wanted: Account | Probe) -> tuple[Target, ...]:
    """Where a vendor is, in the order to be tried."""
    return (wanted.target, *wanted.others)


def place_in(wanted: P | None, at: Target, before: P) -> int | None:
    """Which of the places is the one where things stand; None if it is none, or more than places has changed.

    Shape: name servers change the order of places at will, and that is no change.
    """
    if wanted is None or replace(wanted, target=before.target, others=before.others) != before:
        return None
    places = places_of(wanted)
    return places.index(at) if at in places else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """One vendor. Shape: `account` None = we do not register, `probe` None = it is not asked."""

    id: RoutingGatewayId
    name: str
    account: Account | None = None
    probe: Probe | None = None


def read_carriers(
    table: RoutingTable, parameters: Mapping[str, int], secrets: Mapping[RoutingGatewayId, str], way: Way
) -> tuple[Carrier, ...]:
    """The vendors that want something of us between calls, by id.

    Shape: `secrets` are decrypted, by id; one that cannot be read is not in it. A vendor that registers with
    us is where its registration says, and not asked.
    """
    found = (
        Carrier(
            id=route.id,
            name=route.name,
            account=_account(route, parameters, secrets, way),
            probe=_probe(route, parameters, way),
        )
        for route in table.routes.values()
    )
    return tuple(carrier for carrier in found if carrier.account is not None or carrier.probe is not None)


def _account(
    route: Route, parameters: Mapping[str, int], secrets: Mapping[RoutingGatewayId, str], way: Way
) -> Account | None:
    registration, rules, calls = route.registration, route.calls.registering, route.calls
    if registration is None or not route.registers or not isinstance(route.where, Address):
        return None
    registrar = route.where
    if rules.registrar is not None:
        registrar = address_of(rules.registrar, calls.transport)
    user, domain = _identity(registration, registrar)
    targets = way(registrar, calls.local_address)
    if not targets:
        return None
    return Account(
        target=targets[0],
        others=targets[1:],
        domain=domain,
        user=user,
        contact_user=rules.contact_user or user,
        credentials=credentials_of(route, secrets),
        host=registrar.host,
        expires_s=registration.expires_s,
        retry_s=rules.retry_s or parameters["SS_SIP_USER_AGENT_RETRY_DELAY"],
        is_left=bool(parameters["SS_SIP_USER_AGENT_SEND_UNREGISTER"]),
    )


def _identity(registration: Registration, registrar: Address) -> tuple[str, str]:
    """Who we are there: the user, and the domain behind it or that of the registrar."""
    user, _, domain = registration.user.partition("@")
    return user, domain or _in_uri(registrar.host)


def _probe(route: Route, parameters: Mapping[str, int], way: Way) -> Probe | None:
    if not route.calls.options or not isinstance(route.where, Address):
        return None
    targets = way(route.where, route.calls.local_address)
    if not targets:
        return None
    return Probe(
        target=targets[0],
        others=targets[1:],
        host=_in_uri(route.where.host),
        period_s=route.calls.options_period_s,
        failures=parameters["RF_OPTIONS_FAILURES"],
    )


def _in_uri(host: str) -> str:
    return f"[{host}]" if ":" in host else host
