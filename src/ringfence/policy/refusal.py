# SPDX-License-Identifier: Apache-2.0
"""Why a call of a known source goes nowhere, and what is answered; names are VOS3000's where it has one."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason of ours to refuse a call: its name in records, SIP status and Q.850 cause (RFC 3398)."""

    name: str
    sip: int
    q850: int


NUMBER_BLACKLISTED: Final = Refusal("NumberBlacklisted", 403, 21)
LOCKED: Final = Refusal("AccountLocked", 403, 21)
OUTSIDE_HOURS: Final = Refusal("OutsideHours", 403, 21)
LINES_IN_USE: Final = Refusal("ConnectionLimitExceeded", 503, 34)
CALLER_DENIED: Final = Refusal("CallerDenied", 403, 21)
CALLEE_DENIED: Final = Refusal("CalleeDenied", 403, 21)
INVALID_NUMBER: Final = Refusal("InvalidNumber", 484, 28)
CALLED_NOT_ONLINE: Final = Refusal("CalledNotOnline", 480, 20)
NOT_FOUND: Final = Refusal("NotFound", 404, 1)
NO_AVAILABLE_ROUTER: Final = Refusal("NoAvailableRouter", 503, 34)

REFUSALS: Final = (
    NUMBER_BLACKLISTED,
    LOCKED,
    OUTSIDE_HOURS,
    LINES_IN_USE,
    CALLER_DENIED,
    CALLEE_DENIED,
    INVALID_NUMBER,
    CALLED_NOT_ONLINE,
    NOT_FOUND,
    NO_AVAILABLE_ROUTER,
)
"""Every refusal, for whoever gives them codes in records."""
