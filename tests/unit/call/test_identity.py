# SPDX-License-Identifier: Apache-2.0
"""Who is said to call."""

import pytest

from kit.call_world import World, said
from ringfence.call.identity import identity_headers, read_identity, uri_of, written
from ringfence.core import read_address
from ringfence.policy.identity import Identity, Party

BASE = [
    ("Via", b"SIP/2.0/UDP h;branch=z9hG4bK1"),
    ("From", b'"The \\"Boss\\"" <sip:+4930@h>;tag=1'),
    ("To", b"<sip:x@h>"),
    ("Call-ID", b"c"),
    ("CSeq", b"1 INVITE"),
]


def test_every_header_that_says_who_calls_is_read() -> None:
    message = said(
        "INVITE sip:x@h SIP/2.0",
        [
            *BASE,
            ("P-Asserted-Identity", b'"Acme" <sip:+4940@h>, <tel:+4940>'),
            ("P-Preferred-Identity", b"<sip:77@h>"),
            ("Remote-Party-ID", b"<sip:88@h>;party=calling"),
            ("Privacy", b"id"),
        ],
    )
    assert read_identity(message) == Identity(
        caller=Party("+4930", 'The \\"Boss\\"'),
        pai=Party("+4940", "Acme"),
        ppi=Party("77"),
        rpid=Party("88", marks=";party=calling"),
        privacy="id",
    )


@pytest.mark.parametrize(
    ("value", "marks", "privacy"),
    [
        ("<sip:88@h>;party=calling;Privacy=FULL;screen=yes", ";party=calling;privacy=full;screen=yes", "id"),
        ('<sip:88@h>;privacy=off;screen="no";x=y', ";privacy=off", None),
        ("<sip:88@h;privacy=full>", "", None),
    ],
)
def test_what_a_remote_party_id_says_of_privacy_passes_and_counts(
    value: str, marks: str, privacy: str | None
) -> None:
    lines = [*BASE, ("Remote-Party-ID", value.encode())]
    identity = read_identity(said("INVITE sip:x@h SIP/2.0", lines))
    assert (identity.rpid, identity.privacy) == (Party("88", marks=marks), privacy)
    assert ("Remote-Party-ID", f"<sip:88@us>{marks}".encode()) in identity_headers(identity, "us")
    lines.append(("Privacy", b"none"))
    assert read_identity(said("INVITE sip:x@h SIP/2.0", lines)).privacy == "none"


@pytest.mark.parametrize(
    ("values", "rpid"),
    [
        (["<sip:99@h>;party=called;privacy=full, <sip:88@h>;party=calling"], "88"),
        (["<sip:99@h>;Party=CALLED", "<sip:88@h>"], "88"),
        (["<sip:99@h>;party=called;privacy=full"], None),
    ],
)
def test_a_remote_party_id_of_who_is_called_says_nothing_of_the_caller(
    values: list[str], rpid: str | None
) -> None:
    lines = [*BASE, *(("Remote-Party-ID", value.encode()) for value in values)]
    identity = read_identity(said("INVITE sip:x@h SIP/2.0", lines))
    assert identity.rpid is None or identity.rpid.number == rpid
    assert (identity.rpid is None, identity.privacy) == (rpid is None, None)


def test_what_is_not_there_or_cannot_be_read_is_none() -> None:
    message = said("INVITE sip:x@h SIP/2.0", [*BASE, ("P-Asserted-Identity", b"<nothing")])
    identity = read_identity(message)
    assert (identity.pai, identity.ppi, identity.rpid, identity.privacy) == (None, None, None, None)


def test_numbers_are_written_with_our_host_and_names_survive() -> None:
    value = written(Party("+4930", 'The \\"Boss\\"'), "192.0.2.1")
    assert value == '"The \\"Boss\\"" <sip:+4930@192.0.2.1>'
    assert read_address(value).display == 'The \\"Boss\\"'
    assert uri_of("*21*7#", "h") == "sip:*21*7#@h"
    assert uri_of("a@b;c", "h").count("@") == 1


@pytest.mark.parametrize("display", ["a\r\nX: y", "a\0b", 'q"q', "back\\slash\\"])
def test_no_display_name_breaks_out_of_its_header(display: str) -> None:
    value = written(Party("7", display), "h")
    assert not set(value) & set("\r\n\0")
    assert read_address(value).uri == "sip:7@h"


def test_a_route_says_who_calls() -> None:
    world = World()
    world.identity = Identity(
        caller=Party("anonymous", "Anonymous"), pai=Party("1001"), rpid=Party("5"), privacy="id"
    )
    world.alice.invite()
    asked = world.bob.expect("INVITE")
    assert (asked.header("From") or "").startswith('"Anonymous" <sip:anonymous@192.0.2.1>;tag=')
    assert asked.header("P-Asserted-Identity") == "<sip:1001@192.0.2.1>"
    assert asked.header("Remote-Party-ID") == "<sip:5@192.0.2.1>"
    assert asked.header("Privacy") == "id"
    assert asked.header("P-Preferred-Identity") is None
    assert identity_headers(Identity(caller=Party("")), "h") == []
