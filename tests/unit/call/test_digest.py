# SPDX-License-Identifier: Apache-2.0
"""Credentials of ours (RFC 7616, RFC 8760)."""

import hashlib
import re

import pytest

from kit.call_world import said
from ringfence.call.digest import (
    ALGORITHMS,
    MOST_TRIES,
    Challenge,
    Credentials,
    DigestClient,
    read_challenge,
    response,
    strongest,
)
from ringfence.call.engine import Headers
from ringfence.core import Message

MUFASA = Credentials(user="Mufasa", secret="Circle of Life")
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
URI = "/dir/index.html"


def challenge(**changed: str | bool | None) -> Challenge:
    values: dict[str, str | bool | None] = {
        "name": "WWW-Authenticate",
        "realm": "http-auth@example.org",
        "nonce": NONCE,
        "algorithm": "md5",
        "algorithm_text": "MD5",
        "opaque": None,
        "has_qop": True,
        "is_stale": False,
    }
    return Challenge(**(values | changed))  # type: ignore[arg-type]


def refusal(*values: str, status: int = 401) -> Message:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    lines: Headers = [
        ("Via", b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
        ("From", b"<sip:a@b>;tag=1"),
        ("To", b"<sip:a@b>;tag=2"),
        ("Call-ID", b"x"),
        ("CSeq", b"1 INVITE"),
        *[(name, value.encode()) for value in values],
    ]
    return said(f"SIP/2.0 {status} No", lines)


def test_the_examples_of_rfc_7616_section_3_9_1() -> None:
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    common = {"cnonce": cnonce, "count": "00000001", "method": "GET", "uri": URI}
    assert response(challenge(), MUFASA, **common) == "8ca523f5e9506fed4657c9700eebdbec"
    sha = response(challenge(algorithm="sha-256"), MUFASA, **common)
    assert sha == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def test_sha_512_256_is_the_one_with_its_own_start_values() -> None:
    # Erratum 4897 of RFC 7616: the hash of its user and realm.
    made = hashlib.new(ALGORITHMS["sha-512-256"], "Jäsøn Doe:api@example.org".encode()).hexdigest()
    assert made == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    known = challenge(algorithm="sha-512-256")
    answer = response(known, MUFASA, cnonce="c", count="00000001", method="BYE", uri="sip:b@c")
    assert re.fullmatch(r"[0-9a-f]{64}", answer)


def test_without_qop_there_is_neither_count_nor_cnonce() -> None:
    # RFC 2617 §3.5 has the same user with a challenge as RFC 2069 made them.
    client = DigestClient(MUFASA, "c")
    assert client.takes(refusal('Digest realm="r", nonce="n"'), 0)
    ((name, value),) = client.headers("INVITE", "sip:b@c")
    assert name == "Authorization"
    assert b"cnonce" not in value
    assert b"nc=" not in value
    assert b"algorithm" not in value


def test_the_strongest_that_we_know_is_answered() -> None:
    offered = refusal(
        'Digest realm="r", nonce="1", algorithm=MD5, qop="auth"',
        'Digest realm="r", nonce="2", algorithm=SHA-999, qop="auth"',
        'Digest realm="r", nonce="3", algorithm=SHA-256, qop="auth,auth-int"',
        'Digest realm="r", nonce="4", algorithm=SHA-512-256, qop="auth-int"',
        'Basic realm="r"',
    )
    assert [(c.algorithm, c.nonce) for c in strongest(offered)] == [("sha-256", "3")]


def test_each_use_of_a_nonce_counts() -> None:
    client = DigestClient(MUFASA, "c")
    assert client.headers("INVITE", "sip:b@c") == []
    assert client.takes(refusal('Digest realm="r", nonce="n", qop="auth", opaque="o"', status=407), 0)
    counts = []
    for _ in range(3):
        ((name, value),) = client.headers("INVITE", "sip:b@c")
        assert name == "Proxy-Authorization"
        assert b'opaque="o"' in value
        counts.append(re.findall(rb"nc=(\w+)", value)[0])
    assert counts == [b"00000001", b"00000002", b"00000003"]


def test_credentials_that_were_refused_are_not_sent_again() -> None:
    client = DigestClient(MUFASA, "c")
    assert client.takes(refusal('Digest realm="r", nonce="n"'), 0)
    assert not client.takes(refusal('Digest realm="r", nonce="m"'), 1)
    assert client.headers("INVITE", "sip:b@c") == []


def test_a_stale_nonce_is_renewed_a_bounded_number_of_times() -> None:
    client = DigestClient(MUFASA, "c")
    assert client.takes(refusal('Digest realm="r", nonce="n", qop="auth"'), 0)
    client.headers("INVITE", "sip:b@c")
    assert client.takes(refusal('Digest realm="r", nonce="m", qop="auth", stale=TRUE'), 1)
    ((_, value),) = client.headers("INVITE", "sip:b@c")
    assert b'nonce="m"' in value
    assert b"nc=00000001" in value
    assert not client.takes(refusal('Digest realm="r", nonce="o", stale=true'), MOST_TRIES)


def test_a_nonce_of_an_earlier_request_may_run_out_in_silence() -> None:
    client = DigestClient(MUFASA, "c")
    assert client.takes(refusal('Digest realm="r", nonce="n"'), 0)
    client.headers("INVITE", "sip:b@c")
    assert client.takes(refusal('Digest realm="r", nonce="m"'), 0)
    assert not client.takes(refusal('Digest realm="r", nonce="m"'), 0)


def test_a_proxy_and_the_callee_may_both_ask() -> None:
    client = DigestClient(MUFASA, "c")
    assert client.takes(refusal('Digest realm="p", nonce="n"', status=407), 0)
    assert client.takes(refusal('Digest realm="u", nonce="n"'), 1)
    names = [name for name, _ in client.headers("INVITE", "sip:b@c")]
    assert names == ["Proxy-Authorization", "Authorization"]


def test_quotes_in_what_a_far_end_says_stay_inside_their_quotes() -> None:
    client = DigestClient(MUFASA, "c")
    assert client.takes(refusal(r'Digest realm="a\"b\\c, d", nonce="n"'), 0)
    ((_, value),) = client.headers("INVITE", "sip:b@c")
    assert rb'realm="a\"b\\c, d"' in value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce=""',
        'Digest realm="r, nonce="n"',
        'Digest realm="r" nonce="n"',
        'Digest realm="r", nonce="n", algorithm=MD5-sess',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r\x00", nonce="n"',
        f'Digest realm="r", nonce="{"n" * 3000}"',
        'Negotiate realm="r", nonce="n"',
    ],
)
def test_what_cannot_be_answered_is_none(value: str) -> None:
    assert read_challenge("WWW-Authenticate", value) is None


def test_more_realms_than_anyone_has_are_left_out() -> None:
    client = DigestClient(MUFASA, "c")
    for number in range(20):
        client.takes(refusal(f'Digest realm="r{number}", nonce="n"'), 0)
    assert len(client.headers("INVITE", "sip:b@c")) == 4


def test_the_secret_is_in_no_text() -> None:
    assert "Circle" not in repr(MUFASA)
    assert "Circle" not in f"{MUFASA}"
