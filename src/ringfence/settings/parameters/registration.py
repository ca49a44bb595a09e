# SPDX-License-Identifier: Apache-2.0
"""How long registrations last, and addresses stay known."""

from typing import Final

from ringfence.settings.parameters.parameter import VOS3000, Parameter, number, switch

REGISTRATION: Final = "Registration parameters"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    number(
        "SS_ENDPOINT_EXPIRE",
        REGISTRATION,
        3600,
        (60, 86_400),
        unit="s",
        meaning="The longest life of a registration; a phone that asks for more gets this.",
        source=VOS3000,
        for_edge=True,
    ),
    number(
        "RF_MIN_EXPIRES",
        REGISTRATION,
        60,
        (1, 3600),
        unit="s",
        meaning=(
            "The shortest life of a registration; a phone that asks for less is told 423 with this value "
            "in Min-Expires. Above SS_ENDPOINT_EXPIRE it counts as that."
        ),
        for_edge=True,
    ),
    number(
        "RF_REGISTRATION_MEMORY_DAYS",
        REGISTRATION,
        30,
        (0, 365),
        unit="days",
        meaning=(
            "How long an address stays known after its last valid registration. A call from a known "
            "address is asked for credentials instead of being refused, so a phone whose router changed "
            "its port is no criminal."
        ),
        zero="forget at once",
        for_edge=True,
    ),
    number(
        "RF_CONTACTS_PER_NUMBER",
        REGISTRATION,
        5,
        (1, 20),
        unit="contacts",
        meaning=(
            "How many contacts of one number are in force at once. One more takes the place of the oldest."
        ),
    ),
    number(
        "SS_SIP_USER_AGENT_RETRY_DELAY",
        REGISTRATION,
        60,
        (30, 600),
        unit="s",
        meaning=(
            "How long to wait after a registration of ours with a routing gateway failed. Each further "
            "failure doubles it, up to half an hour. Each routing gateway may have its own."
        ),
        source=VOS3000,
    ),
    switch(
        "SS_SIP_USER_AGENT_SEND_UNREGISTER",
        REGISTRATION,
        1,
        meaning="End our registrations with routing gateways when the switch stops.",
        source=VOS3000,
    ),
)
