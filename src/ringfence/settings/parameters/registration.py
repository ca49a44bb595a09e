# SPDX-License-Identifier: Apache-2.0
"""How long registrations last, and addresses stay known."""

from typing import Final

from ringfence.settings.parameters.parameter import VOS3000, Parameter, number

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
            "in Min-Expires."
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
)
