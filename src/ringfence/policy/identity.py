# SPDX-License-Identifier: Apache-2.0
"""Who is said to call: where numbers are taken from, and what becomes of the headers that say so.

A mapping gateway's switches act on what comes in, then the routing gateway's on what goes out: `switched`,
twice.
"""

from typing import assert_never

import msgspec

from ringfence.settings.calls_model import Asserted, CalleeFrom, CallerFrom, IdentitySwitches, Privacy


class Party(msgspec.Struct, frozen=True):
    """A number and a display name, as one header field has them.

    Shape: `marks` are parameters of the field that say something of the caller, each with a semicolon before.
    """

    number: str
    display: str = ""
    marks: str = ""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of its caller. Shape: None = the header is not there; `privacy` is its value."""

    caller: Party
    rpid: Party | None = None
    pai: Party | None = None
    ppi: Party | None = None
    privacy: str | None = None


def caller_number(identity: Identity, taken_from: CallerFrom) -> str:
    """The caller's number; From counts where the header that is asked for is not there."""
    match taken_from:
        case CallerFrom.FROM:
            found = ""
        case CallerFrom.RPID:
            found = identity.rpid.number if identity.rpid else ""
        case CallerFrom.DISPLAY:
            found = identity.caller.display
        case CallerFrom.PAI:
            found = identity.pai.number if identity.pai else ""
        case CallerFrom.PPI:
            found = identity.ppi.number if identity.ppi else ""
        case _:
            assert_never(taken_from)
    return found or identity.caller.number


def callee_number(request: str, to: str, diversion: str | None, taken_from: CalleeFrom) -> str:
    """The number called; the Request-URI counts where the header that is asked for is not there."""
    match taken_from:
        case CalleeFrom.REQUEST:
            return request
        case CalleeFrom.TO:
            return to or request
        case CalleeFrom.DIVERSION:
            return diversion or request
        case _:
            assert_never(taken_from)


def switched(identity: Identity, switches: IdentitySwitches, number: str) -> Identity:
    """What a gateway's switches leave of an identity; `number` is the caller's from here on."""
    return Identity(
        caller=Party(number, identity.caller.display if switches.display else ""),
        rpid=identity.rpid if switches.rpid else None,
        pai=_asserted(identity.pai, switches.pai, number),
        ppi=_asserted(identity.ppi, switches.ppi, number),
        privacy=_privacy(identity.privacy, switches.privacy),
    )


def _asserted(came: Party | None, switch: Asserted, number: str) -> Party | None:
    match switch:
        case Asserted.REMOVE:
            return None
        case Asserted.PASS:
            return came
        case Asserted.CALLER:
            return Party(number)
        case _:
            assert_never(switch)


def _privacy(came: str | None, switch: Privacy) -> str | None:
    match switch:
        case Privacy.REMOVE:
            return None
        case Privacy.PASS:
            return came
        case Privacy.ID:
            return "id"
        case Privacy.NONE:
            return "none"
        case _:
            assert_never(switch)
