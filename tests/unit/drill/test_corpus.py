# SPDX-License-Identifier: Apache-2.0
import base64
import json
from pathlib import Path

import pytest

from ringfence.core import drill_templates
from ringfence.drill.corpus import AttackClass, corpus, labelled_messages, write_corpus
from ringfence.drill.scenarios import MAX_GUESSES, SCENARIOS, crack, datagrams, flood, mixed, scan
from ringfence.errors import ConfigError


def test_the_same_seed_gives_the_same_messages_and_another_seed_others() -> None:
    first = list(labelled_messages(7))
    assert first == list(labelled_messages(7))
    assert first != list(labelled_messages(8))


def test_no_two_attackers_share_an_address() -> None:
    owners: dict[str, str] = {}
    for step in mixed(1).steps:
        for source in step.sources:
            assert owners.setdefault(source, step.name) == step.name
    assert len(owners) > len(mixed(1).steps)
    planned = mixed(1).crack
    assert planned is not None
    assert planned.source not in owners


def test_every_class_of_attack_occurs() -> None:
    plan = mixed(1)
    seen = {step.attack_class for step in plan.steps}
    assert plan.crack is not None
    assert seen | {AttackClass.CREDENTIAL} == set(AttackClass)


def test_every_template_of_a_step_exists_and_is_its_tools() -> None:
    templates = drill_templates()
    for step in corpus(1):
        for attempt in step.attempts:
            assert attempt.raw or attempt.template in templates
            assert step.tool == (attempt.template.partition("/")[0] or "none")


def test_a_prefix_sweep_dials_one_number_behind_many_prefixes() -> None:
    (step,) = (step for step in corpus(3) if step.attack_class is AttackClass.PREFIX_SWEEP)
    dialled = [attempt.callee or "" for attempt in step.attempts]
    assert len({number[-12:] for number in dialled}) == 1
    assert len(set(dialled)) > 20


def test_a_range_sweep_dials_neighbours() -> None:
    (step,) = (step for step in corpus(3) if step.attack_class is AttackClass.RANGE_SWEEP)
    dialled = [int(attempt.callee or "") for attempt in step.attempts]
    assert dialled == list(range(dialled[0], dialled[0] + len(dialled)))


def test_attempts_are_spread_over_the_time_given() -> None:
    for step in scan(1, count=50, seconds=3.0).steps:
        times = [attempt.at_s for attempt in step.attempts]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < 3.5


def test_the_written_corpus_holds_each_message_with_its_truth(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    count = write_corpus(path, 5)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(entries) == count == sum(len(step.attempts) for step in corpus(5))
    guess = next(entry for entry in entries if entry["step"] == "svwar INVITE sweep")
    assert (guess["tool"], guess["attack_class"]) == ("svwar", "enumeration")
    assert base64.b64decode(guess["message"]).startswith(b"INVITE sip:")


def test_copies_are_counted_as_datagrams() -> None:
    plan = mixed(1)
    requests = sum(len(step.attempts) for step in plan.steps)
    assert datagrams(plan.steps) == requests + 8


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: scan(1, count=0),
        lambda: scan(1, seconds=3601),
        lambda: crack(guesses=MAX_GUESSES + 1),
        lambda: flood(rate=-1),
        lambda: flood(seconds=3601),
        lambda: flood(sources=0),
    ],
)
def test_a_run_out_of_bounds_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ConfigError, match="must be"):
        wrong()


def test_there_are_four_scenarios() -> None:
    assert SCENARIOS == ("scan", "crack", "flood", "mixed")
