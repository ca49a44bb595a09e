# SPDX-License-Identifier: Apache-2.0
"""A portal with a little of everything that strangers send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.journal import OPTIONS, SOURCE_IS_AUTHORISED, T0_US, Journal
from kit.site import Site, site_over

ATTACKS = {
    "caller": "<script>alert(1)</script>",
    "callee": "\u202e001\r\nX: y\x00",
    "user_agent": '"><img src=x onerror=alert(1)>',
    "call_id": "{{ 7 * 7 }}",
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """120 refusals of three sources, one message full of attacks; nobody is logged in."""
    journal = Journal()
    for n in range(120):
        journal.refuse(
            T0_US + n, source=f"198.51.100.{n % 3}", callee=f"00{n:03d}", method=OPTIONS if n % 2 else 1
        )
    raw = b"INVITE sip:1@x SIP/2.0\r\n<script>alert(2)</script>\x1b[2J\xff"
    journal.refuse(T0_US + 150, raw=raw, **ATTACKS)
    journal.refuse(T0_US + 200, flags=SOURCE_IS_AUTHORISED, **ATTACKS)
    with site_over(journal, tmp_path) as made:
        yield made


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Site]:
    """A portal that nobody has set up."""
    with site_over(Journal(), tmp_path, is_new=True) as made:
        yield made
