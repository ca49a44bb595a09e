# SPDX-License-Identifier: Apache-2.0
"""Who may call: the mapping gateways and phones of one version of the settings, ready to be asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ringfence.ids import GatewayId, PhoneNumber, SettingsVersion
from ringfence.policy.number_filter import NumberFilter
from ringfence.policy.sources import Sources
from ringfence.settings.call_rules import FailureCodes, TimeWindow
from ringfence.settings.calls_model import GatewayCalls
from ringfence.settings.model import Gateway, SettingsState


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingGateway:
    """A mapping gateway with its rules read; switches that need no reading are in `calls`."""

    id: GatewayId
    name: str
    username: str | None
    calls: GatewayCalls
    windows: tuple[TimeWindow, ...]
    caller: NumberFilter
    callee: NumberFilter
    failure_codes: FailureCodes
    sources: Sources

    @classmethod
    def read(cls, gateway: Gateway) -> Self:
        """Read a gateway's rules."""
        return cls(
            id=gateway.id,
            name=gateway.name,
            username=gateway.username,
            calls=gateway.calls,
            windows=tuple(map(TimeWindow.parse, gateway.calls.windows)),
            caller=NumberFilter.read("caller", gateway.calls.caller),
            callee=NumberFilter.read("callee", gateway.calls.callee),
            failure_codes=FailureCodes.parse(gateway.calls.failure_codes),
            sources=Sources.read(gateway.addresses),
        )


@dataclass(frozen=True, slots=True)
class PhoneCaller:
    """A phone of ours that calls."""

    number: PhoneNumber


Caller = MappingGateway | PhoneCaller


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """Every gateway and phone that may call. Immutable: built once for each version of the settings."""

    version: SettingsVersion
    gateways: Mapping[GatewayId, MappingGateway]
    by_username: Mapping[str, MappingGateway]
    phones: frozenset[PhoneNumber]
    disabled_phones: frozenset[PhoneNumber]

    @classmethod
    def build(cls, state: SettingsState) -> Self:
        """Read the settings.

        Raises: ConfigError if a rule cannot be read; those that are stored were checked.
        """
        gateways = {gateway.id: MappingGateway.read(gateway) for gateway in state.gateways}
        return cls(
            version=state.version,
            gateways=gateways,
            by_username={
                gateway.username: gateway for gateway in gateways.values() if gateway.username is not None
            },
            phones=frozenset(phone.number for phone in state.phones),
            disabled_phones=frozenset(state.disabled_phones),
        )

    def caller_of(self, gateway_id: int | None, number: str | None) -> Caller | None:
        """Who sent an admitted request: by the gateway that its address is, or the number it registered as.

        None if the settings have changed since it was admitted and it is nobody any more.
        """
        if gateway_id:
            return self.gateways.get(GatewayId(gateway_id))
        if number is None:
            return None
        gateway = self.by_username.get(number)
        if gateway is not None:
            return gateway
        phone = PhoneNumber(number)
        return PhoneCaller(phone) if phone in self.phones else None

    def caller_named(self, name: str) -> Caller | None:
        """The gateway or phone that an operator means; a gateway's name counts before a phone's number."""
        for gateway in self.gateways.values():
            if gateway.name == name:
                return gateway
        return self.caller_of(None, name)
