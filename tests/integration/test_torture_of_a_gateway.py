# SPDX-License-Identifier: Apache-2.0
"""The 49 messages of RFC 4475, each sent by a gateway: who is let in is answered as the RFC says."""

from pathlib import Path

import pytest

from kit.node import Node
from kit.sip import Answer, Peer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "rfc4475"
NO_NUMBER = 484
"""A user part that no number has is no address that calls go to."""

ANSWERS: dict[str, int | None] = {
    "wsinv": 481, "intmeth": 405, "esc01": NO_NUMBER, "escnull": 401, "esc02": 405, "lwsdisp": 200,
    "longreq": NO_NUMBER, "dblreq": 401, "semiuri": 200, "transports": 200, "mpart01": 404,
    "unreason": None, "noreason": None,
    "badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": None, "quotbal": 400,
    "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "baddate": 400,
    "regbadct": 401, "badaspec": 400, "baddn": 400, "badvers": 505, "mismatch01": 400, "mismatch02": 400,
    "bigcode": None,
    "badbranch": 200,
    "insuf": None, "unkscm": 416, "novelsc": 416, "unksm2": None, "bext01": 420, "invut": 415,
    "regaut01": 401, "multi01": 400, "mcl01": 400, "bcast": None, "zeromf": 200, "cparam01": 401,
    "cparam02": 401, "regescrt": 401, "sdp01": 406,
    "inv2543": 400,
}  # fmt: skip
"""None = no answer: responses, `insuf` which nobody could match, and `unksm2`: a REGISTER is a stranger's
until it has answered a challenge, and any answer would be longer than it (no reflector). `inv2543` has no
Contact."""

SAID = {
    "bext01": ("unsupported", ["nothingSupportsThis, nothingSupportsThisEither"]),
    "invut": ("accept", ["application/sdp"]),
}


def test_each_torture_message_of_a_gateway_is_answered_as_the_rfc_says(node: Node) -> None:
    """RFC 4475 §3; RFC 3261 §8.2."""
    node.cli.ok("gateway", "add", "customer", "127.0.5.0/24", "--cps", "1000", "--burst", "1000")
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    assert {path.stem for path in FIXTURES.glob("*.dat")} == ANSWERS.keys()
    wrong = []
    for number, (tag, status) in enumerate(ANSWERS.items()):
        with Peer(switch.address("udp"), f"127.0.5.{number + 1}") as gateway:
            gateway.send((FIXTURES / f"{tag}.dat").read_bytes())
            answer = final(gateway) if status is not None else None
            node.balanced(read=number + 1)
            more = gateway.waiting()
        if (status, 0) != (None if answer is None else answer.status, len(more)):
            wrong.append(f"{tag}: {None if answer is None else answer.status} and {len(more)} more")
        if answer is not None and tag in SAID:
            name, values = SAID[tag]
            assert answer.headers[name] == values
    assert "; ".join(wrong) == ""
    assert node.cli.json("call", "list") == []
    assert switch.logged("panicked") == []


def final(gateway: Peer) -> Answer:
    """The final answer; a 100 is passed over."""
    answer = gateway.receive()
    while answer.status < 200:
        answer = gateway.receive()
    return answer
