# SPDX-License-Identifier: Apache-2.0
"""How far a call is."""

from enum import Enum


class State(Enum):
    """How far a call is."""

    SETUP = "setup"
    """An attempt is out; the caller's INVITE has no final answer."""
    ANSWERED = "answered"
    """The caller's INVITE is answered with 200, and its ACK has not come."""
    UP = "up"
    ENDED = "ended"
    """The record is written; transactions run out."""
