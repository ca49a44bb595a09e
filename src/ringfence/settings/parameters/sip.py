# SPDX-License-Identifier: Apache-2.0
"""Session timers and early hang-ups."""

from typing import Final

from ringfence.settings.parameters.parameter import VOS3000, Parameter, number

SIP: Final = "SIP parameters"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    number(
        "SS_SIP_SESSION_TTL",
        SIP,
        600,
        (90, 86_400),
        unit="s",
        meaning="How long a session lasts unless it is refreshed (RFC 4028), on each side of a call.",
        source=VOS3000,
        zero="no session timers",
    ),
    number(
        "SS_SIP_SESSION_UPDATE_SEGMENT",
        SIP,
        2,
        (2, 10),
        unit="",
        meaning="Into how many parts a session is divided; at the end of each a refresh is sent.",
        source=VOS3000,
    ),
    number(
        "SS_SIP_SESSION_TIMEOUT_EARLY_HANGUP",
        SIP,
        0,
        (1, 300),
        unit="s",
        meaning="How long before the end of a session that nobody refreshed the call is hung up.",
        source=VOS3000,
        zero="a third of the session, at most 32 s",
    ),
    number(
        "SS_SIP_NO_TIMER_REINVITE_INTERVAL",
        SIP,
        7200,
        (60, 604_800),
        unit="s",
        meaning="The longest call of a caller without session timers: it is hung up then.",
        source=VOS3000,
        zero="no limit",
    ),
)
