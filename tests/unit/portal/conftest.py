# SPDX-License-Identifier: Apache-2.0
"""A portal with a little of everything that strangers send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.clock import ManualClock
from kit.journal import OPTIONS, SOURCE_IS_AUTHORISED, T0_US, Journal
from kit.ledgers import ledger_of
from kit.site import Site, site_over
from ringfence.ledger.pipeline import Ledger

ATTACKS = {
    "caller": "<script>alert(1)</script>",
    "callee": "\u202e001\r\nX: y\x00",
    "user_agent": '"><img src=x onerror=alert(1)>',
    "call_id": "{{ 7 * 7 }}",
}


def attacked_journal() -> Journal:
    """120 refusals of three sources, one message full of attacks."""
    journal = Journal()
    for n in range(120):
        journal.refuse(
            T0_US + n, source=f"198.51.100.{n % 3}", callee=f"00{n:03d}", method=OPTIONS if n % 2 else 1
        )
    raw = b"INVITE sip:1@x SIP/2.0\r\n<script>alert(2)</script>\x1b[2J\xff"
    journal.refuse(T0_US + 150, raw=raw, **ATTACKS)
    journal.refuse(T0_US + 200, flags=SOURCE_IS_AUTHORISED, **ATTACKS)
    return journal


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """The ledger of all sites here; no test adds to it."""
    directory, clock = tmp_path_factory.mktemp("attacked"), ManualClock(T0_US + 20_000_000)
    with ledger_of(attacked_journal(), directory, clock) as made:
        yield made


@pytest.fixture
def site(attacked: Ledger, tmp_path: Path) -> Iterator[Site]:
    """A portal over what was attacked, with settings of its own; nobody is logged in."""
    with site_over(attacked, tmp_path) as made:
        yield made


@pytest.fixture
def new_site(attacked: Ledger, tmp_path: Path) -> Iterator[Site]:
    """A portal that nobody has set up."""
    with site_over(attacked, tmp_path, is_new=True) as made:
        yield made
