# SPDX-License-Identifier: Apache-2.0
"""The credentials that go with a routing gateway."""

from collections.abc import Mapping

from ringfence.call.digest import Credentials
from ringfence.ids import RoutingGatewayId
from ringfence.routing.table import Route


def credentials_of(route: Route, secrets: Mapping[RoutingGatewayId, str]) -> Credentials | None:
    """What a vendor gave us; None if it gave us nothing, or its secret cannot be read.

    Shape: `secrets` are decrypted, by id.
    """
    secret = secrets.get(route.id)
    if route.registration is None or secret is None:
        return None
    own = route.calls.registering.auth_user
    return Credentials(user=own or route.registration.user.partition("@")[0], secret=secret)
