# SPDX-License-Identifier: Apache-2.0
"""Where phones are reached."""

from dataclasses import dataclass, replace

from ringfence.registrar.bindings import MOST_CONTACTS, Bindings, Contact

A = Contact(
    uri="sip:1@10.0.0.1",
    transport="UDP",
    source=("192.0.2.1", 1000),
    local=("192.0.2.9", 5060),
    since_us=10,
    expires_at_us=1000,
)
B = replace(A, uri="sip:1@10.0.0.2", source=("192.0.2.2", 1000), since_us=20)


@dataclass(frozen=True)
class Row:
    """A flow as the edge lists it."""

    number: str = "1"
    transport: str = "udp"
    source: str = "192.0.2.1:1000"
    local: str = "[2001:db8::1]:5060"
    contact: str = "sip:1@10.0.0.1"
    since_us: int = 10
    expires_at_us: int = 1000


def test_contacts_are_there_newest_first_until_they_run_out() -> None:
    bindings = Bindings()
    bindings.bound("1", A)
    bindings.bound("1", replace(B, expires_at_us=50))
    assert [contact.uri for contact in bindings.of("1", now_us=30)] == [B.uri, A.uri]
    assert bindings.of("1", now_us=50) == (A,)
    assert bindings.of("2", now_us=30) == ()


def test_a_refresh_changes_no_order() -> None:
    bindings = Bindings()
    bindings.bound("1", A)
    bindings.bound("1", B)
    bindings.bound("1", replace(A, since_us=30, expires_at_us=2000))
    assert bindings.of("1", now_us=40) == (B, replace(A, expires_at_us=2000))


def test_a_contact_that_moved_is_no_second_one() -> None:
    bindings = Bindings()
    bindings.bound("1", A)
    moved = replace(A, source=("192.0.2.1", 2000), since_us=30)
    bindings.bound("1", moved)
    assert bindings.of("1", now_us=40) == (moved,)
    renamed = replace(moved, uri="sip:1@10.0.0.77", since_us=35)
    bindings.bound("1", renamed)
    assert bindings.of("1", now_us=40) == (replace(renamed, since_us=30),)


def test_contacts_are_ended_one_by_one_or_all_at_once() -> None:
    bindings = Bindings()
    for uri, left in ((A.uri, (B,)), ("sip:other@h", (B, A)), (None, ())):
        bindings.bound("1", A)
        bindings.bound("1", B)
        bindings.unbound("1", uri)
        assert bindings.of("1", now_us=30) == left
    bindings.unbound("2", None)


def test_a_number_has_only_so_many() -> None:
    bindings = Bindings()
    for n in range(MOST_CONTACTS + 5):
        bindings.bound("1", replace(A, uri=f"sip:{n}@h", source=("192.0.2.1", n), since_us=n))
    known = bindings.of("1", now_us=100)
    assert [contact.source[1] for contact in known] == list(range(MOST_CONTACTS + 4, 4, -1))


def test_what_the_edge_has_let_go_is_let_go_but_nothing_newer() -> None:
    bindings = Bindings()
    bindings.bound("1", A)
    bindings.bound("2", B)
    bindings.reload([Row(), Row(number="3", source="[2001:db8::7]:5061")], asked_us=15)
    [one] = bindings.of("1", now_us=30)
    assert (one.transport, one.source, one.local) == ("UDP", ("192.0.2.1", 1000), ("2001:db8::1", 5060))
    assert bindings.of("2", now_us=30) == (B,)
    assert [contact.source for contact in bindings.of("3", now_us=30)] == [("2001:db8::7", 5061)]
    newer = replace(A, since_us=40)
    bindings.bound("3", newer)
    bindings.reload([Row(number="3")], asked_us=35)
    assert bindings.of("2", now_us=30) == ()
    assert bindings.of("3", now_us=45) == (newer,)
