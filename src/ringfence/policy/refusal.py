# SPDX-License-Identifier: Apache-2.0
"""Why a call of a known source goes nowhere; names are VOS3000's where it has one."""

from enum import Enum


class Refusal(Enum):
    """A reason of ours to refuse a call.

    Shape: the value is the name of an `EndReason` in `ledger.reasons`, which says what is answered.
    """

    NUMBER_BLACKLISTED = "NumberBlacklisted"
    LOCKED = "AccountLocked"
    OUTSIDE_HOURS = "OutsideHours"
    LINES_IN_USE = "ConnectionLimitExceeded"
    CALLER_DENIED = "CallerDenied"
    CALLEE_DENIED = "CalleeDenied"
    INVALID_NUMBER = "InvalidNumber"
    CALLED_NOT_ONLINE = "CalledNotOnline"
    NOT_FOUND = "NotFound"
    NO_AVAILABLE_ROUTER = "NoAvailableRouter"
