# SPDX-License-Identifier: Apache-2.0
"""Session timers (RFC 4028), as functions."""

import pytest

from kit.call_world import said
from ringfence.call.session_timer import Agreed, TimerSettings, TooSmall, answer, answered, asked
from ringfence.core import Message

OURS = TimerSettings()


def saying(**headers: str) -> Message:
    return said(
        "INVITE sip:x@h SIP/2.0",
        [
            ("Via", b"SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", b"<sip:a@h>;tag=1"),
            ("To", b"<sip:x@h>"),
            ("Call-ID", b"c"),
            ("CSeq", b"1 INVITE"),
            *[(name.replace("_", "-"), value.encode()) for name, value in headers.items()],
        ],
    )


@pytest.mark.parametrize(
    ("headers", "is_supported", "expected"),
    [
        ({}, False, None),
        ({}, True, Agreed(interval_s=600, is_ours=True)),
        ({"Min_SE": "1800"}, True, Agreed(interval_s=1800, is_ours=True)),
        ({"Session_Expires": "300"}, True, Agreed(interval_s=300, is_ours=True)),
        ({"x": "300;refresher=uac"}, True, Agreed(interval_s=300, is_ours=False)),
        ({"Session_Expires": "300;refresher=uas"}, True, Agreed(interval_s=300, is_ours=True)),
        ({"Session_Expires": "300;refresher=uac"}, False, Agreed(interval_s=300, is_ours=True)),
        ({"Session_Expires": "7200"}, True, Agreed(interval_s=600, is_ours=True)),
        ({"Session_Expires": "7200", "Min_SE": "3600"}, True, Agreed(interval_s=3600, is_ours=True)),
        ({"Session_Expires": "60"}, True, TooSmall(90)),
        ({"Session_Expires": "60"}, False, Agreed(interval_s=90, is_ours=True)),
        ({"Session_Expires": "soon"}, True, Agreed(interval_s=600, is_ours=True)),
    ],
)
def test_what_we_answer(
    headers: dict[str, str], is_supported: bool, expected: Agreed | TooSmall | None
) -> None:
    """RFC 4028 §9, table 2."""
    assert answer(saying(**headers), OURS, is_supported=is_supported) == expected


def test_without_an_interval_there_are_no_session_timers() -> None:
    off = TimerSettings(interval_s=0)
    assert asked(off) == []
    assert answer(saying(Session_Expires="300"), off, is_supported=True) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("600;refresher=uac", Agreed(interval_s=600, is_ours=True)),
        ("600;refresher=uas", Agreed(interval_s=600, is_ours=False)),
        ("600", Agreed(interval_s=600, is_ours=True)),
        ("10;refresher=uas", Agreed(interval_s=90, is_ours=False)),
    ],
)
def test_what_a_2xx_means(value: str | None, expected: Agreed | None) -> None:
    """RFC 4028 §7.2."""
    message = saying() if value is None else saying(Session_Expires=value)
    assert answered(message) == expected


def test_roles_are_named_by_who_asks() -> None:
    ours = Agreed(interval_s=600, is_ours=True)
    theirs = Agreed(interval_s=600, is_ours=False)
    assert ours.header(is_caller=True) == ("Session-Expires", b"600;refresher=uac")
    assert ours.header(is_caller=False) == ("Session-Expires", b"600;refresher=uas")
    assert theirs.header(is_caller=True) == ("Session-Expires", b"600;refresher=uas")
    assert theirs.header(is_caller=False) == ("Session-Expires", b"600;refresher=uac")


@pytest.mark.parametrize(
    ("interval_s", "early_s", "expected"),
    [(600, 0, 568), (90, 0, 60), (600, 20, 580), (90, 80, 60), (600, 300, 332)],
)
def test_when_to_give_up(interval_s: int, early_s: int, expected: int) -> None:
    """RFC 4028 §10; never before a refresh that is due at half of the interval has had its time."""
    settings = TimerSettings(early_s=early_s)
    assert Agreed(interval_s=interval_s, is_ours=False).give_up_after_s(settings) == expected
