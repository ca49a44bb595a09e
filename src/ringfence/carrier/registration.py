# SPDX-License-Identifier: Apache-2.0
"""Our registration with one vendor (RFC 3261 §10.2): begun, kept up, tried again, ended.

It is refreshed after four fifths of what was granted. A failure is tried again after a while that doubles
with each further one; what was granted stays in force until it runs out.

A registrar with several places that says nothing, or 503, is tried at the next one (RFC 3263 §4.3).

A 3xx is followed within the bounds of `answers.redirected`. Where it led is where the registration is kept up
and ended; after a failure it begins at the registrar of the settings again.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

from ringfence.call.digest import DigestClient
from ringfence.call.engine import Ended, Engine, Event, Headers, Moment, Response, Target, Why
from ringfence.call.headers import ALLOW, number
from ringfence.call.identity import uri_of
from ringfence.call.table import Chance
from ringfence.carrier.answers import REDIRECTS, granted_s, redirected, service_route
from ringfence.carrier.carrier import Account, place_in, places_of
from ringfence.carrier.desk import Desk
from ringfence.core import Message

REFRESH_AT: Final = 0.8
"""The share of a registration's life after which it is refreshed."""

JITTER: Final = 0.2
"""By so much of itself a wait is longer at most, so that many registrations do not come at once."""

LONGEST_RETRY_S: Final = 1800
LONGEST_RETRY_AFTER_S: Final = 3600
LONGEST_EXPIRES_S: Final = 86_400
"""More is neither asked for nor believed."""

SHORTEST_WAIT_S: Final = 1.0
MOST_RAISES: Final = 2
"""So often an expiry is raised because a registrar wants a longer one (423)."""

MOST_REDIRECTS: Final = 3
"""So often one REGISTER is sent elsewhere (3xx)."""


class Standing(Enum):
    """How we stand with a vendor."""

    TRYING = "trying"
    """Not registered, and a REGISTER is on its way."""
    REGISTERED = "registered"
    WAITING = "waiting"
    """Not registered, and waiting for the next try."""
    LEAVING = "leaving"
    """The REGISTER that ends it is on its way."""
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationView:
    """A registration as people see it.

    Shape: `status` is the last final answer, 0 = the last try had none. `why` is about the last try, empty =
    it worked. `service_route` are the proxies that calls go by. Times in UTC microseconds, 0 = there is none.
    """

    standing: Standing
    registrar: str
    user: str
    until_us: int
    next_us: int
    failures: int
    status: int
    why: str
    service_route: tuple[str, ...] = ()


class Registration:
    """One registration. `tick` is to be called at `next_s`; it is over once `standing` is GONE."""

    def __init__(self, engine: Engine, desk: Desk, account: Account, chance: Chance) -> None:
        self.account = account
        self.next_s = -inf
        self._engine = engine
        self._desk = desk
        self._chance = chance
        self._digest: DigestClient | None = None
        if account.credentials is not None:
            self._digest = DigestClient(account.credentials, chance.token())
        # RFC 3261 §10.2: one Call-ID for all registrations with a registrar, and rising numbers.
        self._call_id = f"{chance.token()}@{account.target.shown[0]}"
        self._tag = chance.token()
        self._seq = 0
        self._transaction = 0
        self._tries = 0
        self._raises = 0
        self._moves = 0
        self._expires_s = account.expires_s
        self._due_s = -inf
        self._until_s = -inf
        self._until_us = 0
        self._next_us = 0
        self._failures = 0
        self._status = 0
        self._why = ""
        self._is_leaving = False
        self._is_gone = False
        self._service_route: tuple[str, ...] = ()
        self._begin()

    def _begin(self, place: int = 0) -> None:
        """At the registrar of the settings, at one of its places."""
        places = places_of(self.account)
        self._place = place % len(places)
        self._target = places[self._place]
        self._uri = f"sip:{self.account.domain}"
        self._been: list[Target] = []

    @property
    def is_registered(self) -> bool:
        """Whether the vendor knows where we are."""
        return self._until_s > -inf and not self._is_leaving

    @property
    def service_route(self) -> tuple[str, ...]:
        """The proxies that our calls go by (RFC 3608), nearest to us first, while we are registered."""
        return self._service_route if self.is_registered else ()

    @property
    def standing(self) -> Standing:
        """How we stand."""
        if self._is_gone:
            return Standing.GONE
        if self._is_leaving:
            return Standing.LEAVING
        if self.is_registered:
            return Standing.REGISTERED
        return Standing.TRYING if self._transaction else Standing.WAITING

    def view(self) -> RegistrationView:
        """It as people see it."""
        return RegistrationView(
            standing=self.standing,
            registrar=self.account.domain,
            user=self.account.user,
            until_us=self._until_us if self.is_registered else 0,
            next_us=0 if self._transaction or self._is_leaving else self._next_us,
            failures=self._failures,
            status=self._status,
            why=self._why,
            service_route=self.service_route,
        )

    # --- time ---

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        if self._is_leaving:
            return
        if self._until_s <= now.mono_s:
            self._until_s = -inf
        if not self._transaction and self._due_s <= now.mono_s:
            self._try(now)
        self._set_next()

    def _wait(self, seconds: float, now: Moment) -> None:
        """Try again, or refresh, in so many seconds."""
        self._due_s = now.mono_s + seconds
        self._next_us = now.utc_us + round(seconds * 1_000_000)
        self._set_next()

    def _set_next(self) -> None:
        due_s = inf if self._transaction else self._due_s
        self.next_s = min(due_s, self._until_s if self._until_s > -inf else inf)

    # --- orders ---

    def goes_on(self, account: Account | None) -> bool:
        """Take over what the settings say now; False = it has to begin anew, or to end."""
        place = place_in(account, places_of(self.account)[self._place], self.account)
        if account is None or place is None:
            return False
        self.account, self._place = account, place
        return True

    def _try(self, now: Moment) -> None:
        if self.account.credentials is None:
            self._fail("its secret cannot be read", now)
            return
        self._moves = 0
        self._send_first()

    def _send_first(self) -> None:
        self._tries = self._raises = 0
        self._been = [self._target]
        self._send(self._expires_s)

    def _moves_on(self) -> bool:
        """Whether the next place of the registrar is tried now; each is, once."""
        if self._is_leaving or self._moves >= len(self.account.others):
            return False
        self._moves += 1
        self._begin(self._place + 1)
        self._send_first()
        return True

    def leave(self) -> None:
        """End it; without a registration it is over at once."""
        was_registered = self.is_registered
        self._is_leaving = True
        self.next_s = inf
        self._desk.forget(self._transaction)
        self._transaction = 0
        if was_registered and self.account.is_left:
            self._tries = 0
            self._send(0)
        else:
            self._is_gone = True

    def _send(self, expires_s: int) -> None:
        account = self.account
        self._seq += 1
        party = f"<{uri_of(account.user, account.domain)}>"
        headers: Headers = [
            ("From", f"{party};tag={self._tag}".encode()),
            ("To", party.encode()),
            ("Call-ID", self._call_id.encode()),
            ("CSeq", b"%d REGISTER" % self._seq),
            ("Contact", f"<{self._contact}>".encode()),
            ("Expires", b"%d" % expires_s),
            # RFC 3327 §5.1: proxies between us may say that calls to us are to go by them.
            ("Supported", b"path"),
            ALLOW,
        ]
        if self._digest is not None:
            headers += self._digest.headers("REGISTER", self._uri)
        self._transaction = self._engine.send(self._target, "REGISTER", self._uri, headers)
        self._desk.own(self._transaction, self)

    @property
    def _contact(self) -> str:
        host, port = self.account.target.shown
        host = f"[{host}]" if ":" in host else host
        transport = self.account.target.transport.lower()
        over = "" if transport == "udp" else f";transport={transport}"
        return f"{uri_of(self.account.contact_user, f'{host}:{port}')}{over}"

    # --- events ---

    def take(self, event: Event, now: Moment) -> None:
        """What the REGISTER on its way brings."""
        match event:
            case Response(message=message):
                if message.status >= 200:
                    self._desk.forget(self._transaction)
                    self._transaction = 0
                    self._answered(message, now)
            case Ended(why=why):
                self._desk.forget(self._transaction)
                self._transaction = self._status = 0
                if not why.is_ours and self._moves_on():
                    return
                unreachable = why is Why.TRANSPORT
                self._fail("it could not be reached" if unreachable else "no answer", now)
            case _:
                pass  # those are for server transactions

    def _answered(self, message: Message, now: Moment) -> None:
        self._status = status = message.status
        if status in {401, 407} and self._digest is not None and self._digest.takes(message, self._tries):
            self._tries += 1
            self._send(0 if self._is_leaving else self._expires_s)
        elif self._is_leaving:
            self._is_gone = True
        elif status == 423 and self._raised(message):
            self._send(self._expires_s)
        elif status < 300:
            self._granted(message, now)
        elif status in REDIRECTS and self._redirected(message):
            self._send(self._expires_s)
        elif status != 503 or not self._moves_on():
            retry_after_s = number(message.header("Retry-After")) or 0
            self._fail(_why(message, is_refused=self._tries > 0), now, retry_after_s)

    def _raised(self, message: Message) -> bool:
        """Whether a longer registration is asked for now (RFC 3261 §10.2.8)."""
        least_s = number(message.header("Min-Expires")) or 0
        if not self._expires_s < least_s <= LONGEST_EXPIRES_S or self._raises >= MOST_RAISES:
            return False
        self._raises += 1
        self._expires_s = least_s
        return True

    def _redirected(self, message: Message) -> bool:
        """Whether the REGISTER goes elsewhere now."""
        found = redirected(message, self.account, self._been) if len(self._been) <= MOST_REDIRECTS else None
        if found is None:
            return False
        self._target, self._uri = found
        self._been.append(self._target)
        return True

    def _granted(self, message: Message, now: Moment) -> None:
        lasts_s = min(granted_s(message, self._contact, self._expires_s), LONGEST_EXPIRES_S)
        if lasts_s <= 0:
            self._fail("it answered 200 and registered nothing", now)
            return
        self._until_s = now.mono_s + lasts_s
        self._until_us = now.utc_us + lasts_s * 1_000_000
        self._service_route = service_route(message)
        self._failures = 0
        self._why = ""
        self._wait(max(SHORTEST_WAIT_S, lasts_s * REFRESH_AT), now)

    def _fail(self, why: str, now: Moment, retry_after_s: int = 0) -> None:
        self._why = why
        if self._is_leaving:
            self._is_gone = True
            return
        self._begin()
        self._failures += 1
        doubled_s = self.account.retry_s * 2 ** min(self._failures - 1, 16)
        wait_s = min(doubled_s, max(LONGEST_RETRY_S, self.account.retry_s))
        wait_s = max(wait_s, min(retry_after_s, LONGEST_RETRY_AFTER_S))
        self._wait(wait_s * (1 + JITTER * self._chance.fraction()), now)


def _why(message: Message, *, is_refused: bool) -> str:
    if message.status in {401, 407}:
        return "it refused our credentials" if is_refused else "it asks for credentials in an unknown way"
    if message.status in REDIRECTS:
        return f"it answered {message.status}, and sends us nowhere that we may go"
    return f"it answered {message.status}"
