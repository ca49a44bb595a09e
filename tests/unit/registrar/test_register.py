# SPDX-License-Identifier: Apache-2.0
"""The registrar's decision (RFC 3261 §10.3)."""

import pytest

from ringfence.registrar.contact import Contact, read_contact
from ringfence.registrar.register import Clear, Decision, Limits, Query, Refuse, Update, decide

LIMITS = Limits(longest_s=3600, shortest_s=60)
DEVICE = ';+sip.instance="<urn:x>"'


def bound(*contacts: tuple[str, int]) -> Update:
    return Update(bound=tuple((read_contact(text), s) for text, s in contacts))


@pytest.mark.parametrize(
    ("contacts", "expires_s", "decision"),
    [
        ([], None, Query()),
        (["<sip:a>"], None, bound(("<sip:a>", 3600))),
        (["<sip:a>"], 120, bound(("<sip:a>", 120))),
        (["<sip:a>;expires=90"], 120, bound(("<sip:a>;expires=90", 90))),
        (["<sip:a>;expires=99999"], None, bound(("<sip:a>;expires=99999", 3600))),
        (
            ["<sip:a>;expires=0", "<sip:b>;expires=90", "<SIPS:c>"],
            None,
            Update(
                ended=(Contact(uri="sip:a", expires_s=0),),
                bound=((Contact(uri="sip:b", expires_s=90), 90), (Contact(uri="SIPS:c"), 3600)),
            ),
        ),
        (["<sip:a>;expires=0"], None, Update(ended=(Contact(uri="sip:a", expires_s=0),))),
        (["<sip:a>;expires=59"], None, Refuse(status=423, min_expires_s=60)),
        (["<sip:a>", "<sip:b>;expires=59"], None, Refuse(status=423, min_expires_s=60)),
        (["<sip:a>", "<mailto:a@b>"], None, bound(("<sip:a>", 3600))),
        (["<mailto:a@b>"], None, Refuse(status=400)),
        (["<sip:a>", "<sip:b>", "<sip:c>", "<sip:d>"], None, Refuse(status=403)),
        ([f"<sip:a>{DEVICE};reg-id=1", "<sip:b>"], None, Refuse(status=400)),
        (["*"], 0, Clear()),
        (["*"], 60, Refuse(status=400)),
        (["*", "<sip:a>"], 0, Refuse(status=400)),
    ],
)
def test_what_a_register_means(contacts: list[str], expires_s: int | None, decision: Decision) -> None:
    assert decide([read_contact(text) for text in contacts], expires_s, LIMITS, 3) == decision


def test_a_shortest_life_above_the_longest_keeps_nobody_out() -> None:
    crossed = Limits(longest_s=60, shortest_s=3600)
    for asked, decision in (
        ("<sip:a>;expires=3600", bound(("<sip:a>;expires=3600", 60))),
        ("<sip:a>", bound(("<sip:a>", 60))),
        ("<sip:a>;expires=59", Refuse(status=423, min_expires_s=60)),
    ):
        assert decide([read_contact(asked)], None, crossed, 3) == decision
