# SPDX-License-Identifier: Apache-2.0
"""Bringing far ends of two calls together: offers to them, one at a time, again if they cannot be taken."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ringfence.call.engine import Moment
from ringfence.call.leg import Leg, Session
from ringfence.call.offer import LONGEST_S, MOST_TRIES, RETRY_S, Offer
from ringfence.call.timers import Timer
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


class Joining(ABC):
    """Far ends that are being brought together.

    Shape: `timed` is the call that keeps the time until an offer is made again, or taken back. `_asked` is
    the offer that has no answer yet; `_owed` one whose 2xx has an offer itself, and no ACK yet.
    """

    def __init__(self, timed: "Call") -> None:
        self._timed = timed
        self._asked: Offer | None = None
        self._owed: Offer | None = None
        self._tries = 0
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self._is_over

    def ask_again(self, now: Moment) -> None:
        """The time is over: take an offer back that has no answer, or else ask whoever is next."""
        if self._asked is not None:
            self._asked.cancel()
        elif not self._is_over:
            self._ask_next(now)

    @abstractmethod
    def _ask_next(self, now: Moment) -> None:
        """Ask whoever is next."""

    @abstractmethod
    def taken(self, offer: Offer, message: Message, now: Moment) -> None:
        """A side has answered."""

    @abstractmethod
    def _lose(self, status: int, now: Moment, *, gone: Leg | None = None) -> None:
        """They do not come together; `gone` no longer knows its call."""

    def not_taken(self, offer: Offer, status: int, now: Moment) -> None:
        """A side refuses, or says nothing."""
        self._heard()
        if status == 491 and not self._is_over:
            self._ask_later(now)
        else:
            self._lose(status, now, gone=offer.leg if status in {408, 481} else None)

    def _ask(self, leg: Leg, session: Session | None, now: Moment, *, unless_busy: set[Leg]) -> None:
        """Make a side an offer, or have it make one, once no other offer is open at any of some sides."""
        if leg.dialog is None:
            self._lose(481, now)
        elif any(side.call.is_busy(side) for side in unless_busy):
            self._ask_later(now)
        else:
            self._asked = Offer(leg.call, leg, leg.dialog, session, self)
            self._timed.set_timer(Timer.TRANSFER, LONGEST_S, now)

    def _heard(self) -> None:
        """The offer has its answer."""
        self._asked = None
        self._timed.stop_timer(Timer.TRANSFER)

    def _ask_later(self, now: Moment) -> None:
        self._tries += 1
        if self._tries > MOST_TRIES:
            self._lose(491, now)
        else:
            self._timed.set_timer(Timer.TRANSFER, RETRY_S, now)

    def _settle(self, answer: Session | None) -> bool:
        """Answer the offer of a side that was asked for one; False = no side waits for an answer."""
        if self._owed is None:
            return False
        self._owed.acknowledge(answer)
        self._owed = None
        return True

    def _finish(self) -> None:
        self._is_over = True
        self._timed.stop_timer(Timer.TRANSFER)
