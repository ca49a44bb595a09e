# SPDX-License-Identifier: Apache-2.0
"""What the settings say of vendors."""

from typing import Any

from kit.call_world import LOCAL
from kit.routes import a_gateway, a_state, a_vendor
from ringfence.call.credentials import credentials_of
from ringfence.call.digest import Credentials
from ringfence.call.engine import Target
from ringfence.carrier.carrier import Carrier, read_carriers
from ringfence.carrier.carriers import Board
from ringfence.ids import RoutingGatewayId
from ringfence.routing.counters import LiveCounters
from ringfence.routing.table import Address, RoutingTable
from ringfence.settings.calls_model import RegisterRules, Registration, Transport


def way(address: Address, local: str | None) -> tuple[Target, ...]:
    here = (local or LOCAL[0], 5060)
    remote = (address.host, address.port)
    return (Target(transport=address.transport.name, remote=remote, local=here, shown=here),)


def read(*parts: Any, secrets: dict[RoutingGatewayId, str] | None = None, **parameters: Any) -> list[Carrier]:
    state = a_state(*parts, **parameters)
    known = {RoutingGatewayId(1): "s"} if secrets is None else secrets
    return list(read_carriers(RoutingTable.build(state), state.parameters, known, way))


def test_a_vendor_without_account_and_options_wants_nothing() -> None:
    assert read(a_vendor()) == []


def test_a_registration_is_where_and_who_the_settings_say() -> None:
    rules = RegisterRules(registrar="reg.example.com:5070", contact_user="49", auth_user="me", retry_s=45)
    (carrier,) = read(
        a_vendor(
            registration=Registration(user="us@example.com", expires_s=600),
            registering=rules,
            transport=Transport.TCP,
            local_address="192.0.2.7",
        )
    )
    account = carrier.account
    assert account is not None
    assert account.target.remote == ("reg.example.com", 5070)
    assert (account.target.transport, account.target.local[0]) == ("TCP", "192.0.2.7")
    assert (account.user, account.domain, account.contact_user) == ("us", "example.com", "49")
    assert account.credentials == Credentials(user="me", secret="s")
    assert (account.expires_s, account.retry_s, account.is_left) == (600, 45, True)
    assert carrier.probe is None


def test_defaults_are_the_gateway_s_address_and_the_parameters() -> None:
    (carrier,) = read(
        a_vendor(address="[2001:db8::9]:5061", registration=Registration(user="us")),
        SS_SIP_USER_AGENT_RETRY_DELAY=90,
        SS_SIP_USER_AGENT_SEND_UNREGISTER=0,
    )
    account = carrier.account
    assert account is not None
    assert account.target.remote == ("2001:db8::9", 5061)
    assert (account.user, account.domain, account.contact_user) == ("us", "[2001:db8::9]", "us")
    assert (account.retry_s, account.is_left) == (90, False)


def test_a_user_that_only_answers_challenges_registers_nowhere() -> None:
    vendor = a_vendor(registration=Registration(user="us"), registering=RegisterRules(register=False))
    assert read(vendor) == []
    (route,) = RoutingTable.build(a_state(vendor)).routes.values()
    assert credentials_of(route, {route.id: "s"}) == Credentials(user="us", secret="s")


def test_a_secret_that_cannot_be_read_leaves_no_credentials() -> None:
    (carrier,) = read(a_vendor(registration=Registration(user="us")), secrets={})
    assert carrier.account is not None
    assert carrier.account.credentials is None


def test_options_are_sent_where_they_are_asked_for() -> None:
    (carrier,) = read(a_vendor(options=True, options_period_s=10), RF_OPTIONS_FAILURES=5)
    assert carrier.account is None
    assert carrier.probe is not None
    assert (carrier.probe.period_s, carrier.probe.failures) == (10, 5)


def test_a_vendor_that_registers_with_us_is_not_asked() -> None:
    customer = a_gateway("branch", number=3, username="b")
    assert read(customer, a_vendor(registered_as="branch", options=True)) == []


def test_routing_s_counters_are_a_board() -> None:
    board: Board = LiveCounters()
    board.registered(RoutingGatewayId(1), is_registered=False)
