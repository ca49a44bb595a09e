# SPDX-License-Identifier: Apache-2.0
"""What becomes a record of a call, and how its time counts."""

from typing import Final

from ringfence.settings.parameters.parameter import VOS3000, Parameter, number, switch

BILLING: Final = "Billing parameters"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    switch(
        "SERVER_BILLING_RECORD_ILLEGAL_CALL",
        BILLING,
        1,
        meaning=(
            "Keep a call record for each call from an unauthorised source. When off, only totals per "
            "second are kept: counters, books and defence go on, rows stop."
        ),
        source=VOS3000,
        for_edge=True,
    ),
    switch(
        "SERVER_BILLING_RECORD_ZERO_HOLD_TIME",
        BILLING,
        1,
        meaning="Keep a call record for a call that was never answered, so its talk time is zero.",
        source=VOS3000,
    ),
    switch(
        "SERVER_BILLING_RECORD_SERVER_HANG_UP",
        BILLING,
        1,
        meaning="Keep a call record for a call that this server ended.",
        source=VOS3000,
    ),
    number(
        "SERVER_BILLING_HOLD_TIME_PRECISION",
        BILLING,
        50,
        (0, 999),
        unit="ms",
        meaning=(
            "From how many milliseconds on a begun second of talk counts as a whole one; less is dropped."
        ),
        source=VOS3000,
    ),
)
