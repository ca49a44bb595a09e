# SPDX-License-Identifier: Apache-2.0
"""The registrar's decision (RFC 3261 §10.3)."""

import pytest

from ringfence.registrar.register import Bind, Decision, Limits, Query, Refuse, Unbind, decide

LIMITS = Limits(longest_s=3600, shortest_s=60)


@pytest.mark.parametrize(
    ("contacts", "expires_s", "decision"),
    [
        ([], None, Query()),
        ([(b"sip:a", None)], None, Bind(contact=b"sip:a", expires_s=3600)),
        ([(b"sip:a", None)], 120, Bind(contact=b"sip:a", expires_s=120)),
        ([(b"sip:a", 90)], 120, Bind(contact=b"sip:a", expires_s=90)),
        ([(b"sip:a", 99_999)], None, Bind(contact=b"sip:a", expires_s=3600)),
        ([(b"sip:a", 0), (b"sip:b", 90)], None, Bind(contact=b"sip:b", expires_s=90)),
        ([(b"sip:a", 0)], None, Unbind(contact=b"sip:a")),
        ([(b"sip:a", 59)], None, Refuse(status=423, min_expires_s=60)),
        ([(b"*", None)], 0, Unbind(contact=None)),
        ([(b"*", None)], 60, Refuse(status=400)),
        ([(b"*", None), (b"sip:a", None)], 0, Refuse(status=400)),
    ],
)
def test_what_a_register_means(
    contacts: list[tuple[bytes, int | None]], expires_s: int | None, decision: Decision
) -> None:
    assert decide(contacts, expires_s, LIMITS) == decision
