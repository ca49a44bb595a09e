# SPDX-License-Identifier: Apache-2.0
import pytest

from ringfence.drill.answers import (
    Answer,
    Challenge,
    acknowledgement,
    credentials,
    read_answer,
    read_challenge,
)

INVITE = (
    b"INVITE sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.0.0:5;branch=z9hG4bK1\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\n\r\n"
)


def test_an_answer_is_read_with_its_headers_in_order() -> None:
    answer = read_answer(b"SIP/2.0 403 Forbidden\r\nTo: a\r\nVIA : b\r\nto: c\r\n\r\nTo: body")
    assert answer == Answer(403, (("to", "a"), ("via", "b"), ("to", "c")))


@pytest.mark.parametrize("datagram", [b"", b"INVITE sip:x SIP/2.0\r\n", b"SIP/2.0 999 x\r\n", b"SIP/2.0 40"])
def test_what_is_no_response_is_none(datagram: bytes) -> None:
    assert read_answer(datagram) is None


def test_an_ack_takes_its_to_from_the_answer_and_the_rest_from_the_invite() -> None:
    """RFC 3261 §17.1.1.3."""
    ack = acknowledgement(INVITE, Answer(403, (("to", "<sip:100@127.0.0.1>;tag=t"),)))
    assert ack.decode().split("\r\n") == [
        "ACK sip:100@127.0.0.1 SIP/2.0",
        "Via: SIP/2.0/UDP 127.1.0.0:5;branch=z9hG4bK1",
        "Max-Forwards: 70",
        "From: <sip:a@b>;tag=1",
        "To: <sip:100@127.0.0.1>;tag=t",
        "Call-ID: x@y",
        "CSeq: 7 ACK",
        "Content-Length: 0",
        "",
        "",
    ]


def test_the_md5_challenge_is_chosen_among_several() -> None:
    """RFC 8760: a server offers SHA-256 first."""
    answer = Answer(
        401,
        (
            ("www-authenticate", 'Digest realm="r", nonce="strong", algorithm=SHA-256, qop="auth"'),
            (
                "www-authenticate",
                'Digest realm="r", nonce="n,1", algorithm=MD5, qop="auth,auth-int", opaque="o"',
            ),
        ),
    )
    assert read_challenge(answer) == Challenge(
        realm="r", nonce="n,1", opaque="o", is_qop_auth=True, header="Authorization"
    )


def test_a_proxys_challenge_is_answered_under_the_proxys_name() -> None:
    challenge = read_challenge(Answer(407, (("proxy-authenticate", 'Digest realm="r", nonce="n"'),)))
    assert challenge == Challenge(
        realm="r", nonce="n", opaque=None, is_qop_auth=False, header="Proxy-Authorization"
    )


@pytest.mark.parametrize("value", ["", "Basic realm=r", "Digest realm=r", 'Digest nonce="n"'])
def test_what_is_no_challenge_is_none(value: str) -> None:
    assert read_challenge(Answer(401, (("www-authenticate", value),))) is None


def test_credentials_are_those_of_the_rfcs_example() -> None:
    """RFC 2617 §3.5."""
    challenge = Challenge(
        realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        opaque="5ccc069c403ebaf9f0171e9517f40e41",
        is_qop_auth=True,
        header="Authorization",
    )
    line = credentials(
        challenge,
        user="Mufasa",
        password="Circle Of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="0a4f113b",
    )
    assert 'response="6629fae49393a05397450978507c4ef1"' in line
    assert line.startswith('Authorization: Digest username="Mufasa", realm="testrealm@host.com"')
    assert line.endswith(
        'opaque="5ccc069c403ebaf9f0171e9517f40e41", qop=auth, nc=00000001, cnonce="0a4f113b"'
    )
