# SPDX-License-Identifier: Apache-2.0
"""Who may do what: each route names one right, each role has some."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ringfence.settings.model import Role


class Right(Enum):
    """What a route asks of those who call it."""

    OPEN = "open"
    """Nothing: the way in, health, style."""
    OWN = "own"
    """Whoever is logged in, on what is their own: session, second factor, saved views."""
    LOOK = "look"
    """See records, lists, gateways, parameters, alarms; export records."""
    TRACE = "trace"
    """See the messages of calls as they went over the wire, and take them out as a capture."""
    LISTS = "lists"
    """Change the black and white lists."""
    ACKNOWLEDGE = "acknowledge"
    """Acknowledge alarms."""
    SETTINGS = "settings"
    """Change gateways, phones, parameters, alarm rules and channels."""
    HANG_UP = "hang_up"
    """End live calls."""
    PEOPLE = "people"
    """See and change users, sessions of others, tokens, webhooks; read the audit."""


# A viewer has no TRACE: messages hold what no record does, such as text that people send, digits they type.
RIGHTS: Final[dict[Role, frozenset[Right]]] = {
    Role.VIEWER: frozenset({Right.OPEN, Right.OWN, Right.LOOK}),
    Role.ANALYST: frozenset({Right.OPEN, Right.OWN, Right.LOOK, Right.TRACE, Right.LISTS, Right.ACKNOWLEDGE}),
    Role.ADMIN: frozenset(Right),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: a user with a session, or a program with a token.

    Shape: `actor` is how the audit names them, "user:NAME" or "token:NAME".
    """

    name: str
    role: Role
    is_token: bool = False

    @property
    def actor(self) -> str:
        """How the audit names them."""
        return f"{'token' if self.is_token else 'user'}:{self.name}"

    def may(self, right: Right) -> bool:
        """Whether the role has the right."""
        return right in RIGHTS[self.role]
