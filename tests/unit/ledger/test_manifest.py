# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from kit.ledgers import all_rows, ledger_of, seal_all
from ringfence.errors import StoreError
from ringfence.ledger import manifest
from ringfence.ledger.manifest import Coverage, Manifest, covered


def test_no_manifest_is_an_empty_one(tmp_path: Path) -> None:
    assert manifest.load(tmp_path) == Manifest()


def test_a_manifest_is_read_back_as_written_and_counts_its_generations(tmp_path: Path) -> None:
    first = manifest.replace(tmp_path, Manifest())
    second = manifest.replace(tmp_path, first)
    assert (first.generation, second.generation) == (1, 2)
    assert manifest.load(tmp_path) == second


def test_a_half_written_manifest_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    kept = manifest.replace(tmp_path, Manifest())
    (tmp_path / ".manifest.json.tmp").write_bytes(b'{"version": 1, "gener')
    assert manifest.load(tmp_path) == kept


@pytest.mark.parametrize("content", [b"", b"{", b'{"segments": 1}', b'{"version": 2}'])
def test_a_manifest_that_cannot_be_read_says_how_to_mend_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / manifest.NAME).write_bytes(content)
    with pytest.raises(StoreError, match=r"manifest\.json") as raised:
        manifest.load(tmp_path)
    assert "rebuild" in (raised.value.hint or "")


def test_coverage_joins_what_follows_on_and_keeps_holes() -> None:
    def run(first: int, last: int, stream: int = 0, journal_id: str = "a") -> Coverage:
        return Coverage(journal_id=journal_id, stream=stream, first=first, last=last)

    ranges: tuple[Coverage, ...] = ()
    for added in (run(1, 5), run(1, 2, stream=1), run(6, 9), run(12, 13), run(1, 4, journal_id="b")):
        ranges = covered(ranges, added)
    assert set(ranges) == {run(1, 9), run(1, 2, stream=1), run(12, 13), run(1, 4, journal_id="b")}


def test_files_that_no_manifest_names_are_removed_at_the_start(tmp_path: Path) -> None:
    journal = Journal()
    clock = ManualClock(T0_US)
    journal.refuse(T0_US)
    with ledger_of(journal, tmp_path, clock) as ledger:
        seal_all(ledger, clock)
        [segment] = ledger.manifest.segments
    named = tmp_path / segment.path
    stray = named.with_name("illegal-00000000000000000009.7.parquet")
    unfinished = named.with_name("illegal-00000000000000000009.8.parquet.tmp")
    stray.write_bytes(named.read_bytes())
    unfinished.write_bytes(b"PAR1")
    with ledger_of(journal, tmp_path, clock) as ledger:
        assert len(ledger.removed) == 2
        assert len(all_rows(ledger.store)) == 1
    assert named.exists()
    assert not stray.exists()
    assert not unfinished.exists()


def test_rows_of_two_days_lie_in_two_directories(tmp_path: Path) -> None:
    journal = Journal()
    midnight_us = T0_US + 86_400_000_000
    clock = ManualClock(midnight_us)
    journal.refuse(midnight_us - 1)
    journal.refuse(midnight_us)
    with ledger_of(journal, tmp_path, clock) as ledger:
        seal_all(ledger, clock)
        paths = [segment.path.split("/")[0] for segment in ledger.manifest.segments]
        assert paths == ["dt=2024-11-22", "dt=2024-11-23"]


def test_another_journal_in_the_directory_is_taken_up_from_its_start(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    old = Journal()
    for _ in range(3):
        old.refuse(T0_US)
    with ledger_of(old, tmp_path, clock) as ledger:
        seal_all(ledger, clock)
    new = Journal(journal_id="f" * 32)
    new.refuse(T0_US + 9)
    with ledger_of(new, tmp_path, clock) as ledger:
        assert len(all_rows(ledger.store)) == 4
        seal_all(ledger, clock)
        assert len(all_rows(ledger.store)) == 4
        assert ledger.manifest.edge.journal_id == "f" * 32
    with ledger_of(new, tmp_path, clock) as ledger:
        assert len(all_rows(ledger.store)) == 4
