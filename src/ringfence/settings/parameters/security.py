# SPDX-License-Identifier: Apache-2.0
"""What strangers and blocked sources are answered, and how guessing is stopped."""

from typing import Final

from ringfence.settings.parameters.parameter import RINGFENCE, VOS3000, Parameter, number, switch

SECURITY: Final = "Security parameters"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    switch(
        "SS_REPLY_UNAUTHORIZED",
        SECURITY,
        1,
        meaning=(
            "Answer requests from unauthorised sources. When off they get silence; they are recorded all "
            "the same."
        ),
        source=VOS3000,
        for_edge=True,
    ),
    number(
        "RF_UNAUTHORIZED_CODE",
        SECURITY,
        403,
        (400, 699),
        unit="SIP code",
        meaning=(
            "The answer to a call from an unauthorised source while SS_REPLY_UNAUTHORIZED is on. 407 "
            "asks for credentials instead of refusing at once."
        ),
        for_edge=True,
    ),
    switch(
        "RF_ROAMING",
        SECURITY,
        0,
        meaning=(
            "Ask for credentials on a call from any address, so that a phone may call without a "
            "registration. When off, only addresses with a recent registration are asked; others are "
            "refused."
        ),
        source=RINGFENCE,
        for_edge=True,
    ),
    switch(
        "RF_DIGEST_SHA256",
        SECURITY,
        1,
        meaning=(
            "Offer SHA-256 before MD5 in challenges. When off only MD5 is offered: for phones that give up "
            "at an algorithm that they do not know (baresip 1.0, as in Debian 12)."
        ),
        source=RINGFENCE,
        for_edge=True,
    ),
    number(
        "SS_AUTHENTICATION_MAX_RETRY",
        SECURITY,
        6,
        (0, 999),
        unit="wrong answers",
        meaning=(
            "Wrong answers to fresh challenges, from one source for one number, before that pair is "
            "locked out. Live registrations are never touched."
        ),
        source=VOS3000,
        zero="no lock-out",
        for_edge=True,
    ),
    number(
        "SS_AUTHENTICATION_FAILED_SUSPEND",
        SECURITY,
        180,
        (60, 3600),
        unit="s",
        meaning="How long a source stays locked out of a number after too many wrong answers.",
        source=VOS3000,
        for_edge=True,
    ),
    number(
        "SS_SIP_AUTHENTICATION_RETRY",
        SECURITY,
        6,
        (0, 999),
        unit="wrong answers",
        meaning=(
            "How many wrong answers in one attempt to register or to call (source, number, Call-ID) are "
            "asked again; the next one is refused with 403. It holds for live registrations too, which are "
            "never locked out."
        ),
        source=VOS3000,
        zero="the first wrong answer is refused",
        for_edge=True,
    ),
    number(
        "SS_SIP_AUTHENTICATION_TIMEOUT",
        SECURITY,
        10,
        (1, 32),
        unit="s",
        meaning=(
            "How long a challenge waits for its first answer. A right answer that is late is asked for once "
            "more and is no offence; a nonce that was answered in time serves for an hour."
        ),
        source=VOS3000,
        for_edge=True,
    ),
    number(
        "SS_SIP_AUTHENTICATION_CODE",
        SECURITY,
        407,
        (401, 407),
        unit="SIP code",
        meaning=(
            "With which answer a call is asked for credentials: 401 (they come in Authorization) or 407 "
            "(Proxy-Authorization). A registration is always asked with 401."
        ),
        source=VOS3000,
        is_either=True,
        for_edge=True,
    ),
    number(
        "RF_BLOCKED_CODE",
        SECURITY,
        0,
        (400, 699),
        unit="SIP code",
        meaning=(
            "The answer to a request that a black list refuses. What a blocked source tries is counted "
            "either way."
        ),
        zero="silence",
        for_edge=True,
    ),
)
