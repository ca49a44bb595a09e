# SPDX-License-Identifier: Apache-2.0
"""Which contacts are in force."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ringfence.registrar.bindings import SPARE_EXPIRIES, Binding, Bindings, Flow

FLOW = Flow(transport="UDP", source=("198.51.100.1", 5060), local=("192.0.2.1", 5060))


def a_binding(contact: str = "sip:1001@a", **changed: Any) -> Binding:
    values: dict[str, Any] = {
        "number": "1001",
        "contact": contact,
        "flow": FLOW,
        "since_us": 0,
        "expires_us": 60_000_000,
    }
    return Binding(**(values | changed))


def contacts(bindings: Bindings, now_us: int = 0) -> list[str]:
    return [each.contact for each in bindings.of("1001", now_us)]


def test_several_contacts_are_tried_by_q_and_then_the_newest_first() -> None:
    bindings = Bindings(5)
    bindings.bind(a_binding("old", since_us=1))
    bindings.bind(a_binding("new", since_us=2))
    bindings.bind(a_binding("last", since_us=3, q=100))
    assert contacts(bindings) == ["new", "old", "last"]
    assert len(bindings) == 3


def test_one_more_than_the_limit_takes_the_place_of_the_oldest() -> None:
    bindings = Bindings(2)
    bindings.bind(a_binding("a", since_us=1))
    bindings.bind(a_binding("b", since_us=2))
    gone = bindings.bind(a_binding("c", since_us=3))
    assert [each.contact for each in gone] == ["a"]
    assert contacts(bindings) == ["c", "b"]
    assert len(bindings) == 2


def test_a_renewed_contact_is_no_second_one() -> None:
    bindings = Bindings(5)
    bindings.bind(a_binding("a", since_us=1, expires_us=10))
    assert bindings.bind(a_binding("a", since_us=2, expires_us=90)) == ()
    assert len(bindings) == 1
    assert bindings.next_expiry_us() == 90


def test_a_device_that_comes_back_replaces_what_it_left() -> None:
    # RFC 5626 §6
    bindings = Bindings(5)
    bindings.bind(a_binding("port1", instance="urn:x", reg_id=1, since_us=1))
    bindings.bind(a_binding("second flow", instance="urn:x", reg_id=2, since_us=2))
    assert bindings.bind(a_binding("port2", instance="urn:x", reg_id=1, since_us=3)) == ()
    # One of a device's flows is tried first; the other stands by.
    bindings.bind(a_binding("other", since_us=0))
    assert contacts(bindings) == ["port2", "other", "second flow"]


def test_a_device_without_flow_numbers_has_one_binding() -> None:
    bindings = Bindings(5)
    bindings.bind(a_binding("port1", instance="urn:x"))
    bindings.bind(a_binding("port2", instance="urn:x"))
    assert contacts(bindings) == ["port2"]


def test_what_has_run_out_is_let_go() -> None:
    bindings = Bindings(5)
    bindings.bind(a_binding("a", expires_us=10))
    bindings.bind(a_binding("b", expires_us=20))
    assert contacts(bindings, 10) == ["b"]
    assert [each.contact for each in bindings.expire(10)] == ["a"]
    assert bindings.expire(10) == ()
    assert bindings.next_expiry_us() == 20
    assert [each.contact for each in bindings.expire(99)] == ["b"]
    assert bindings.next_expiry_us() is None
    assert list(bindings.numbers()) == []


def test_contacts_are_ended_one_by_one_or_all() -> None:
    bindings = Bindings(5)
    for contact in ("a", "b", "c"):
        bindings.bind(a_binding(contact))
    assert [each.contact for each in bindings.unbind("1001", "b")] == ["b"]
    assert bindings.unbind("1001", "b") == ()
    assert bindings.unbind("1002", None) == ()
    assert len(bindings.unbind("1001", None)) == 2
    assert len(bindings) == 0


def test_what_is_let_go_is_what_was_meant_and_nothing_that_took_its_place() -> None:
    bindings = Bindings(5)
    old, other = a_binding("a", since_us=1), a_binding("b")
    bindings.bind(old)
    bindings.bind(other)
    bindings.bind(a_binding("a", since_us=2))
    bindings.end([old, other])
    assert [(each.contact, each.since_us) for each in bindings] == [("a", 2)]


TCP = Flow(transport="TCP", source=("198.51.100.1", 40_000), local=("192.0.2.1", 5060))
MOVED = Flow(transport="UDP", source=("198.51.100.1", 9999), local=("192.0.2.1", 5060))


def test_a_phone_that_moved_leaves_nothing_at_the_flow_that_it_had() -> None:
    bindings = Bindings(5)
    bindings.bind(a_binding("a", call_id="c"))
    bindings.bind(a_binding("b", call_id="c"))
    bindings.bind(a_binding("tcp", call_id="c", flow=TCP))
    bindings.bind(a_binding("other", call_id="d"))
    gone = bindings.bind(a_binding("moved", call_id="c", flow=MOVED))
    assert {each.contact for each in gone} == {"a", "b"}
    assert set(contacts(bindings)) == {"tcp", "other", "moved"}


def test_a_register_that_was_overtaken_is_told() -> None:
    bindings = Bindings(5)
    bindings.bind(a_binding(call_id="c", cseq=5))
    assert bindings.is_late(a_binding(call_id="c", cseq=5))
    assert bindings.is_late(a_binding(call_id="c", cseq=4))
    assert not bindings.is_late(a_binding(call_id="c", cseq=6))
    assert not bindings.is_late(a_binding(call_id="d", cseq=1))
    # After a restart nobody knows.
    bindings.bind(a_binding("x"))
    assert not bindings.is_late(a_binding("x"))


def test_what_was_in_force_before_a_restart_is_again() -> None:
    bindings = Bindings(2)
    left = [a_binding(name, since_us=at, expires_us=100) for at, name in enumerate("abc")]
    bindings.restore([*reversed(left), a_binding("gone", expires_us=5)], 10)
    assert contacts(bindings, 10) == ["c", "b"]


def test_renewing_for_ever_keeps_the_list_of_expiries_short() -> None:
    bindings = Bindings(5)
    for turn in range(10_000):
        bindings.bind(a_binding(since_us=turn, expires_us=60_000_000 + turn))
    assert len(bindings._expiries) <= SPARE_EXPIRIES + 4


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bind", "unbind", "all", "expire"]),
            st.sampled_from("12"),
            st.sampled_from("abcd"),
            st.integers(1, 30),
        ),
        max_size=60,
    )
)
def test_counts_and_limits_hold_whatever_comes(acts: list[tuple[str, str, str, int]]) -> None:
    bindings = Bindings(3)
    for now_us, (act, number, contact, life_us) in enumerate(acts):
        if act == "bind":
            bindings.bind(a_binding(contact, number=number, since_us=now_us, expires_us=now_us + life_us))
        elif act == "expire":
            bindings.expire(now_us)
        else:
            bindings.unbind(number, contact if act == "unbind" else None)
        held = {name: bindings.of(name, -1) for name in bindings.numbers()}
        assert all(1 <= len(each) <= 3 for each in held.values())
        assert sum(map(len, held.values())) == len(bindings)
    bindings.expire(10**9)
    assert len(bindings) == 0
