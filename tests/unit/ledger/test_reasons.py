# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from ringfence import core
from ringfence.ledger import reasons


def test_the_page_about_reasons_is_up_to_date() -> None:
    assert Path("docs/reasons.md").read_text(encoding="utf-8") == reasons.as_markdown()


def test_reasons_are_those_of_the_journal() -> None:
    ours = {reason.code: reason.name for reason in reasons.REASONS if reason.code != reasons.LOST_RECORD}
    assert ours == dict(core.REASONS)


def test_methods_transports_and_scopes_are_those_of_the_journal() -> None:
    assert dict(enumerate(reasons.METHODS))[0] == ""
    assert {code: name for code, name in enumerate(reasons.METHODS) if code} == dict(core.METHODS)
    assert {code: name.upper() for code, name in core.TRANSPORTS.items()} == dict(
        enumerate(reasons.TRANSPORTS)
    )
    assert dict(enumerate(reasons.SCOPES)) == dict(core.SCOPES)


def test_codes_and_names_are_unique() -> None:
    for table in (reasons.REASONS, reasons.END_REASONS):
        assert len({entry.code for entry in table}) == len({entry.name for entry in table}) == len(table)


def test_our_end_reasons_are_negative_and_only_one_means_an_illegal_call() -> None:
    assert all(reason.code < 0 for reason in reasons.END_REASONS)
    assert [r.name for r in reasons.END_REASONS if r.code == -9] == ["IllegalCall"]
