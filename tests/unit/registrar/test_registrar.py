# SPDX-License-Identifier: Apache-2.0
"""A REGISTER from its message to its answer."""

import itertools

import pytest

from kit.call_world import said
from ringfence.call.engine import Headers
from ringfence.core import Message
from ringfence.registrar.bindings import Flow
from ringfence.registrar.register import Limits
from ringfence.registrar.registrar import RegisterAnswer, Registrar

FLOW = Flow(transport="UDP", source=("198.51.100.1", 5060), local=("192.0.2.1", 5060))
LIMITS = Limits(longest_s=3600, shortest_s=60)
_NUMBERS = itertools.count(1)


@pytest.fixture
def registrar() -> Registrar:
    return Registrar(LIMITS, 3)


def a_register(*headers: tuple[str, str], cseq: int | None = None, via: int = 1) -> Message:
    lines: Headers = [
        *[("Via", f"SIP/2.0/UDP 198.51.100.{n};branch=z9hG4bK{n}".encode()) for n in range(1, via + 1)],
        ("From", b"<sip:1001@example.com>;tag=1"),
        ("To", b"<sip:1001@example.com>"),
        ("Call-ID", b"boot1"),
        ("CSeq", f"{cseq or next(_NUMBERS)} REGISTER".encode()),
        *[(name, value.encode()) for name, value in headers],
    ]
    return said("REGISTER sip:example.com SIP/2.0", lines)


def register(
    registrar: Registrar, *headers: tuple[str, str], now_us: int = 0, cseq: int | None = None, via: int = 1
) -> RegisterAnswer:
    return registrar.register(a_register(*headers, cseq=cseq, via=via), "1001", FLOW, now_us)


def values(answer: RegisterAnswer, name: str) -> list[str]:
    return [value.decode() for each, value in answer.headers if each == name]


def ended(answer: RegisterAnswer) -> list[str]:
    return [each.contact for each in answer.ended]


def test_every_contact_in_force_is_in_the_answer(registrar: Registrar) -> None:
    register(registrar, ("Contact", "<sip:a@x>;expires=100;q=0.5"))
    answer = register(registrar, ("Contact", "<sip:b@x>"), ("Expires", "200"), now_us=40_000_000)
    assert answer.status == 200
    assert [(each.contact, each.expires_us) for each in answer.bound] == [("sip:b@x", 240_000_000)]
    assert values(answer, "Contact") == ["<sip:b@x>;expires=200", "<sip:a@x>;expires=60;q=0.500"]
    assert values(register(registrar, now_us=40_000_000), "Contact") == values(answer, "Contact")


@pytest.mark.parametrize(
    "headers",
    [
        [("Contact", "<sip:a@x>;expires=soon"), ("Expires", "60")],
        [("Contact", "<sip:a@x>"), ("Expires", "soon")],
        [("Contact", "<sip:a@x>"), ("Expires", "-1")],
    ],
)
def test_an_expiry_that_cannot_be_read_is_an_hour(headers: list[tuple[str, str]]) -> None:
    """RFC 3261 §10.2.1.1, §20.10."""
    answer = register(Registrar(Limits(longest_s=7200, shortest_s=60), 3), *headers)
    assert values(answer, "Contact") == ["<sip:a@x>;expires=3600"]


def test_one_contact_or_all_are_ended(registrar: Registrar) -> None:
    register(registrar, ("Contact", "<sip:a@x>"))
    register(registrar, ("Contact", "<sip:b@x>"))
    answer = register(registrar, ("Contact", "<sip:a@x>;expires=0"))
    assert ended(answer) == ["sip:a@x"]
    assert values(answer, "Contact") == ["<sip:b@x>;expires=3600"]
    answer = register(registrar, ("Contact", "*"), ("Expires", "0"))
    assert ended(answer) == ["sip:b@x"]
    assert values(answer, "Contact") == []


def test_the_oldest_goes_where_there_are_too_many(registrar: Registrar) -> None:
    for at_us, name in enumerate("abcd"):
        answer = register(registrar, ("Contact", f"<sip:{name}@x>"), now_us=at_us)
    assert ended(answer) == ["sip:a@x"]
    assert len(values(answer, "Contact")) == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Contact", "<sip:a@x>;expires=5")], 423),
        ([("Contact", "<sip:a@x>;q=7")], 400),
        ([("Contact", "*")], 400),
        ([("Contact", "<sip:a@x>"), ("Require", "gruu")], 420),
        ([("Contact", "<sip:a@x>"), *[("Path", "<sip:p;lr>")] * 9], 400),
        ([("Contact", "<sip:a@x>"), ("Path", f"<sip:{1100 * 'p'};lr>")], 400),
        ([("Contact", f"<sip:{1100 * 'a'}@x>")], 400),
        ([("Contact", '<sip:a@x>;+sip.instance="<urn:x>";reg-id=0')], 400),
        ([("Contact", "<sip:a@x>, <sip:b@x>, <sip:c@x>, <sip:d@x>")], 403),
        ([("Contact", "<sip:a@x>, <sip:b@x>;expires=5")], 423),
    ],
)
def test_what_is_refused_changes_nothing(
    registrar: Registrar, headers: list[tuple[str, str]], status: int
) -> None:
    answer = register(registrar, *headers)
    assert (answer.status, answer.ended, answer.bound, len(registrar.bindings)) == (status, (), (), 0)
    if status == 423:
        assert values(answer, "Min-Expires") == ["60"]


def test_a_register_that_was_overtaken_is_answered_500(registrar: Registrar) -> None:
    register(registrar, ("Contact", "<sip:a@x>"), cseq=900)
    late = ("Contact", "<sip:b@x>, <sip:a@x>;expires=100")
    answer = register(registrar, late, cseq=899)
    assert (answer.status, answer.ended, answer.bound) == (500, (), ())
    # RFC 3261 §10.3 step 6
    assert register(registrar, ("Contact", "*"), ("Expires", "0"), cseq=899).status == 500
    assert [each.contact for each in registrar.bindings.of("1001", 0)] == ["sip:a@x"]


def test_the_path_is_kept_and_told_to_whoever_knows_it(registrar: Registrar) -> None:
    # RFC 3327 §5.3
    path = ("Path", "<sip:edge.example.com;lr>, <sip:inner.example.com;lr>")
    answer = register(registrar, ("Contact", "<sip:a@x>"), path, ("Supported", "path"))
    kept = ("<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>")
    assert registrar.bindings.of("1001", 0)[0].path == kept
    assert tuple(values(answer, "Path")) == kept
    assert values(register(registrar, ("Contact", "<sip:a@x>"), path), "Path") == []


OUTBOUND = ("Contact", '<sip:a@x>;+sip.instance="<urn:uuid:1>";reg-id=1')


@pytest.mark.parametrize(
    ("more", "via", "is_outbound"),
    [
        ([], 1, True),
        ([], 2, False),
        ([("Path", "<sip:p;lr;ob>")], 2, True),
        ([("Path", "<sip:p;lr>")], 2, False),
    ],
)
def test_a_flow_of_its_own_is_granted_where_the_first_hop_keeps_it(
    registrar: Registrar, more: list[tuple[str, str]], via: int, is_outbound: bool
) -> None:
    # RFC 5626 §6
    answer = register(registrar, OUTBOUND, ("Supported", "path, outbound"), *more, via=via)
    assert values(answer, "Require") == (["outbound"] if is_outbound else [])
    assert (registrar.bindings.of("1001", 0)[0].reg_id == 1) is is_outbound
    written = values(answer, "Contact")[0]
    assert '+sip.instance="<urn:uuid:1>"' in written
    assert ("reg-id=1" in written) is is_outbound


def test_new_limits_count_from_the_next_register_on(registrar: Registrar) -> None:
    register(registrar, ("Contact", "<sip:a@x>"))
    registrar.configure(Limits(longest_s=100, shortest_s=60), 1)
    answer = register(registrar, ("Contact", "<sip:b@x>"), now_us=1)
    assert values(answer, "Contact") == ["<sip:b@x>;expires=100"]


def test_several_contacts_of_one_register_are_in_force_each_with_its_own_life(registrar: Registrar) -> None:
    # RFC 3261 §10.3
    register(registrar, ("Contact", "<sip:old@x>"))
    told = ("Contact", "<sip:a@x>;q=0.2;expires=100, <sip:b@x>;q=0.9, <sip:old@x>;expires=0")
    answer = register(registrar, told, ("Expires", "200"))
    assert values(answer, "Contact") == ["<sip:b@x>;expires=200;q=0.900", "<sip:a@x>;expires=100;q=0.200"]
    assert [each.contact for each in answer.bound] == ["sip:a@x", "sip:b@x"]
    assert ended(answer) == ["sip:old@x"]


def test_one_flow_of_a_device_is_ended_by_its_number_though_the_uri_is_that_of_both(
    registrar: Registrar,
) -> None:
    # RFC 5626 §6
    contact = '<sip:a@x>;+sip.instance="<urn:uuid:1>";reg-id='
    for reg_id in "12":
        register(registrar, ("Contact", contact + reg_id))
    answer = register(registrar, ("Contact", contact + "1;expires=0"))
    assert [each.reg_id for each in answer.ended] == [1]
    assert [each.reg_id for each in registrar.bindings.of("1001", 0)] == [2]
