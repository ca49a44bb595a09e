# SPDX-License-Identifier: Apache-2.0
"""The catalogues say every sentence of the pages, and no other."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.words import placeholders, sentences, unsayable
from ringfence.errors import RingfenceError
from ringfence.ids import AlarmId
from ringfence.portal import audit_words, filters
from ringfence.portal.words import CATALOGUES, LANGUAGES, grouped, preferred, translator
from ringfence.settings.alarms_model import AlarmRuleEdit
from ringfence.settings.calls_model import (
    GatewayCalls,
    GatewayGroup,
    NumberRules,
    RouteCalls,
    RoutingGatewayDraft,
)
from ringfence.settings.model import BlockDraft, Color, GatewayDraft, ListName, PhoneDraft, Role
from ringfence.settings.objects.logins import Failure
from ringfence.settings.parameters import lookup
from ringfence.settings.store import SettingsStore
from ringfence.text import Sentence, sentence


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_every_sentence_is_translated_and_none_is_left_over(language: str) -> None:
    said, words = sentences(), CATALOGUES[language]
    assert not said - words.keys(), "not translated"
    assert not words.keys() - said, "said nowhere"
    assert all(words.values())


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_translations_fill_in_what_the_sentence_fills_in(language: str) -> None:
    wrong = [
        english
        for english, other in CATALOGUES[language].items()
        if placeholders(english) != placeholders(other)
    ]
    assert not wrong


def test_errors_that_a_page_may_show_are_told_in_sentences_that_catalogues_can_know() -> None:
    assert unsayable() == []


def test_a_sentence_is_said_in_each_language_with_the_sentences_in_it() -> None:
    told = sentence(
        "{name} cannot be {value}",
        name=sentence("the upper bound of {name!r}", name=sentence("Disk")),
        value=7,
    )
    assert told == "the upper bound of 'Disk' cannot be 7"
    assert translator("en")(told) == told
    assert translator("es")(told).startswith("el límite superior de 'Disco' ")
    assert translator("zh")(told) == "'磁盘' 的上限 不能是 7"


def test_what_people_typed_is_neither_translated_nor_filled_in_again() -> None:
    told = sentence("there is no user {name!r}", name="Disk {x}")
    assert translator("es")(told) == "no hay ningún usuario 'Disk {x}'"
    assert translator("es")("{no} sentence {of} ours") == "{no} sentence {of} ours"


TWICE = NumberRules(dial=("00:+", "00:9"))


def remove_a_group_in_use(store: SettingsStore) -> None:
    store.groups.add(GatewayGroup(name="europe"), actor="t")
    calls = RouteCalls(group="europe")
    store.routing_gateways.add(RoutingGatewayDraft(name="r", address="192.0.2.1", calls=calls), actor="t")
    store.groups.remove("europe", actor="t")


MISTAKES: tuple[Callable[[SettingsStore], object], ...] = (
    lambda store: store.users.add("a b", Role.ADMIN, "x" * 12, actor="t"),
    lambda store: store.users.add("ann", Role.ADMIN, "short", actor="t"),
    lambda store: store.users.get("nobody"),
    lambda store: store.gateways.add(GatewayDraft(name="g", addresses=()), actor="t"),
    lambda store: store.gateways.add(GatewayDraft(name="g", addresses=("10.0.0.0/2",)), actor="t"),
    lambda store: store.gateways.add(GatewayDraft(name="g", addresses=("192.0.2.1",), burst=0), actor="t"),
    lambda store: store.gateways.get("no gateway"),
    lambda store: store.phones.add(PhoneDraft(number="1 2", password="x" * 12), actor="t"),
    lambda store: store.lists.add(
        BlockDraft(list=ListName.SOURCE, color=Color.BLACK, value="198.51.100.1/24"), actor="t"
    ),
    lambda store: store.alarms.set_rule(20020, AlarmRuleEdit(lower=5, upper=5), actor="t"),
    lambda store: store.alarms.set_rule(20005, AlarmRuleEdit(upper=1000), actor="t"),
    lambda store: store.alarms.get(AlarmId(9)),
    lambda store: store.gateways.add(
        GatewayDraft(name="g", addresses=("192.0.2.1",), calls=GatewayCalls(windows=("monday",))), actor="t"
    ),
    lambda store: store.routing_gateways.add(RoutingGatewayDraft(name="r"), actor="t"),
    lambda store: store.routing_gateways.add(
        RoutingGatewayDraft(name="r", address="192.0.2.1", calls=RouteCalls(caller=TWICE)), actor="t"
    ),
    lambda store: store.groups.get("nobody"),
    remove_a_group_in_use,
    lambda store: store.views.save("ann", "cdrs", "", ""),
    lambda store: store.tokens.add("t", Role.VIEWER, for_s=-1, actor="t"),
    lambda _: lookup("RF_BLOCKED_CODE").parse("7"),
    lambda _: lookup("RF_BLOCKED_COD"),
    lambda _: filters.parse_address("kind=x", now_us=0),
    lambda _: filters.parse_address("source=x", now_us=0),
    lambda _: filters.parse_address("billing_mode=7", now_us=0),
    lambda _: filters.parse_address("country=XX&range=9", now_us=0),
)


@pytest.mark.parametrize("language", sorted(CATALOGUES))
@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_what_people_get_wrong_is_told_in_their_language(tmp_path: Path, number: int, language: str) -> None:
    say = translator(language)
    with SettingsStore.open_or_create(tmp_path) as store, pytest.raises(RingfenceError) as told:
        MISTAKES[number](store)
    error = told.value
    for english, given in ((error.message, error.told), (error.hint, error.advice)):
        assert given is None or say(given) != english
        template = given.template if isinstance(given, Sentence) else given
        assert template is None or template in CATALOGUES[language]


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert set(CATALOGUES) == set(LANGUAGES) - {"en"}


def test_what_is_filled_in_is_not_read_as_a_placeholder_again() -> None:
    assert translator("en")("{name} may call now.", name="{x}") == "{x} may call now."


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("es", "zh", "es"),
        ("", "zh-CN,zh;q=0.9", "zh"),
        ("xx", "fr;q=1, de", "en"),
        ("", "", "en"),
        ("", "," * 5000, "en"),
    ],
)
def test_the_language_is_the_one_chosen_or_accepted(asked: str, accepted: str, language: str) -> None:
    assert preferred(asked, accepted) == language


def test_thousands_stand_apart_as_the_language_writes_them() -> None:
    numbers = (1234567, 12345.5, 1234, -9999)
    assert [grouped(number, "en") for number in numbers] == ["1,234,567", "12,345.5", "1,234", "-9,999"]
    assert [grouped(number, "zh") for number in numbers] == ["1,234,567", "12,345.5", "1,234", "-9,999"]
    assert [grouped(number, "es") for number in numbers] == ["1.234.567", "12.345,5", "1234", "-9999"]


def test_numbers_in_a_sentence_stand_apart_as_its_language_writes_them() -> None:
    told = sentence("{count:,} calls from unauthorised sources were refused within a minute.", count=12345)
    assert told.startswith("12,345 calls")
    assert "12.345" in translator("es")(told)
    assert "12,345" in translator("zh")(told)


def test_what_the_audit_keeps_has_a_word_for_pages() -> None:
    recorded = {
        argument.value
        for path in sorted(Path("src/ringfence/settings").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in {"record", "note"} and call.args
        for argument in ast.walk(call.args[0])
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    assert {"add", "rotate", "log_in", "set_second_factor"} <= recorded
    assert recorded | {failure.value for failure in Failure} <= audit_words.VERBS.keys()
