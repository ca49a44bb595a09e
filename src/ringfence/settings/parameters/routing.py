# SPDX-License-Identifier: Apache-2.0
"""How long gateways are waited for, and when a call goes on to the next."""

from typing import Final

from ringfence.settings.parameters.parameter import VOS3000, Parameter, number, switch

ROUTING: Final = "Routing parameters"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    number(
        "RF_OPTIONS_FAILURES",
        ROUTING,
        3,
        (1, 20),
        unit="OPTIONS",
        meaning=(
            "After how many OPTIONS without an answer, one after the other, a routing gateway gets no "
            "calls. The first answer brings it back."
        ),
    ),
    number(
        "SS_SIP_TIMEOUT_INVITE",
        ROUTING,
        10,
        (1, 600),
        unit="s",
        meaning=(
            "How long a routing gateway may take to answer an INVITE at all before the call goes on to the "
            "next. Each routing gateway may have its own."
        ),
        source=VOS3000,
    ),
    number(
        "SS_SIP_TIMEOUT_TRYING",
        ROUTING,
        20,
        (1, 600),
        unit="s",
        meaning="The same after 100 Trying.",
        source=VOS3000,
    ),
    number(
        "SS_SIP_TIMEOUT_SESSION_PROGRESS",
        ROUTING,
        20,
        (1, 600),
        unit="s",
        meaning="The same after 183 Session Progress without SDP.",
        source=VOS3000,
    ),
    number(
        "SS_SIP_TIMEOUT_SESSION_PROGRESS_SDP",
        ROUTING,
        120,
        (1, 600),
        unit="s",
        meaning="The same after 183 Session Progress with SDP.",
        source=VOS3000,
    ),
    number(
        "SS_SIP_TIMEOUT_RINGING",
        ROUTING,
        120,
        (1, 600),
        unit="s",
        meaning="The same after 180 Ringing.",
        source=VOS3000,
    ),
    number(
        "SS_GATEWAY_SWITCH_LIMIT",
        ROUTING,
        0,
        (1, 100),
        unit="gateways",
        meaning="How often a call may go on to another routing gateway after a failure.",
        source=VOS3000,
        zero="no limit",
    ),
    switch(
        "SS_GATEWAY_SWITCH_UNTIL_CONNECT",
        ROUTING,
        0,
        meaning=(
            "Let a call go on to another routing gateway until it is answered, whatever the caller has "
            "heard before. A routing gateway's own switches count before it."
        ),
        source=VOS3000,
    ),
    switch(
        "SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START",
        ROUTING,
        1,
        meaning=(
            "Let no call go on to another routing gateway once the caller has heard sound of one. As long as "
            "sound does not pass through the switch it knows nothing of it, and this has no effect."
        ),
        source=VOS3000,
    ),
    switch(
        "SS_SIP_STOP_SWITCH_AFTER_SDP",
        ROUTING,
        1,
        meaning="Let no call go on to another routing gateway once the caller has been given SDP of one.",
        source=VOS3000,
    ),
)
