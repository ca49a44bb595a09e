# SPDX-License-Identifier: Apache-2.0
"""The guard's snapshot: all that the edge needs of the settings, as one JSON document.

The switch swaps a new one in as a whole; registrations are not in it, they live in the edge's own table.
"""

import msgspec

from ringfence.settings.model import SettingsState
from ringfence.settings.parameters import PARAMETERS


class SnapshotKey(msgspec.Struct, frozen=True, kw_only=True):
    """A nonce key; `key` is 64 hex digits."""

    id: int
    key: str


class SnapshotGateway(msgspec.Struct, frozen=True, kw_only=True):
    """An authorised source, by address or by registration; units as in `settings.model.Gateway`."""

    id: int
    name: str
    addresses: tuple[str, ...]
    calls_per_second: int
    burst: int
    in_flight: int


class SnapshotPhone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A phone, or a gateway that registers, and its HA1 digests, lower-case hex.

    Shape: `gateway` is the id of the gateway, whose limits hold for its calls; None for a phone.
    """

    number: str
    md5: str
    sha256: str
    gateway: int | None = None


class SnapshotEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A list entry; the edge lets go of it at `expires_at_us`, 0 = never."""

    list: str
    color: str
    value: str
    expires_at_us: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The document. Shape: `nonce_keys` current first; `parameters` only those that the edge reads."""

    version: int
    node: str
    realm: str
    nonce_keys: tuple[SnapshotKey, ...]
    tag_key: str
    gateways: tuple[SnapshotGateway, ...]
    phones: tuple[SnapshotPhone, ...]
    lists: tuple[SnapshotEntry, ...]
    parameters: dict[str, int]


def snapshot(state: SettingsState, *, node: str, now_us: int) -> Snapshot:
    """Pick what the edge needs from the settings; list entries that have expired by `now_us` are left out."""
    registering = {gateway.username: gateway.id for gateway in state.gateways if gateway.username is not None}
    return Snapshot(
        version=state.version,
        node=node,
        realm=state.realm,
        nonce_keys=tuple(SnapshotKey(id=key.id, key=key.key) for key in state.nonce_keys),
        tag_key=state.tag_key,
        gateways=tuple(
            SnapshotGateway(
                id=gateway.id,
                name=gateway.name,
                addresses=gateway.addresses,
                calls_per_second=gateway.calls_per_second,
                burst=gateway.burst,
                in_flight=gateway.in_flight,
            )
            for gateway in state.gateways
        ),
        phones=tuple(
            SnapshotPhone(
                number=phone.number,
                md5=phone.md5,
                sha256=phone.sha256,
                gateway=registering.get(phone.number),
            )
            for phone in (*state.phones, *state.gateway_secrets)
        ),
        lists=tuple(
            SnapshotEntry(
                list=block.list.value,
                color=block.color.value,
                value=block.value,
                expires_at_us=block.expires_at_us or 0,
            )
            for block in state.blocks
            if block.in_force(now_us)
        ),
        parameters={
            parameter.name: state.parameters[parameter.name] for parameter in PARAMETERS if parameter.for_edge
        },
    )


def snapshot_json(state: SettingsState, *, node: str, now_us: int) -> bytes:
    """The document as the native edge takes it."""
    return msgspec.json.encode(snapshot(state, node=node, now_us=now_us))
