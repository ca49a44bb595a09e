# SPDX-License-Identifier: Apache-2.0
"""From when on a source is muted, and how much answers may cost."""

from typing import Final

from ringfence.settings.parameters.parameter import Parameter, number

FLOOD: Final = "Flood limits"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    number(
        "RF_MUTE_ATTEMPTS_PER_S",
        FLOOD,
        0,
        (0, 100_000),
        unit="attempts/s",
        meaning=(
            "A source that tries more often than this is muted: still recorded or counted, no longer "
            "answered. Authorised sources, white entries and addresses from which a phone has registered "
            "are never muted."
        ),
        zero="never mute",
        for_edge=True,
    ),
    number(
        "RF_MUTE_S",
        FLOOD,
        60,
        (1, 86_400),
        unit="s",
        meaning="How long a muted source stays muted after it was last above the limit.",
        for_edge=True,
    ),
    number(
        "RF_CHALLENGE_BYTES_PER_S",
        FLOOD,
        2_000_000,
        (0, 1_000_000_000),
        unit="bytes/s",
        meaning=(
            "By how many bytes per second all challenges to unproven UDP sources together may exceed the "
            "requests they answer. It bounds what a forger of addresses can make this server send to "
            "others."
        ),
        zero="no challenge larger than its request",
        for_edge=True,
    ),
    number(
        "RF_CHALLENGE_NETWORK_BYTES_PER_S",
        FLOOD,
        20_000,
        (0, 1_000_000_000),
        unit="bytes/s",
        meaning="The same bound for one network: an IPv4 /24 or an IPv6 /48.",
        zero="no challenge larger than its request",
        for_edge=True,
    ),
)
