# SPDX-License-Identifier: Apache-2.0
"""The way in: passwords, second factors, one-time set-up, and how often one may try.

Guessing is slowed per source address and per user name. Both tables are bounded: who fills them pushes out
the least recently used entries and is himself limited by his address.
"""

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import pyotp

from ringfence.clock import Clock
from ringfence.errors import RingfenceError
from ringfence.settings.model import Role, User
from ringfence.settings.objects.logins import Failure
from ringfence.settings.store import SettingsStore
from ringfence.text import sentence

_TRIES: Final = 10
_TRY_EVERY_S: Final = 30.0
_REMEMBERED: Final = 10_000
_STEP_S: Final = 30


class AccessError(RingfenceError):
    """Somebody is not let in."""

    code = "access"


class Tries:
    """Ten tries at once, then one every half minute, for each key; bounded.

    Shape: keys are addresses and names as they came; the least recently used is forgotten first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, *keys: str) -> float:
        """Use up a try of every key; 0.0, or how many seconds to wait if one has none left."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            wait_s = 0.0
            states = []
            for key in keys:
                left, at_s = self._left.get(key, (float(_TRIES), now_s))
                left = min(left + (now_s - at_s) / _TRY_EVERY_S, float(_TRIES))
                if left < 1.0:
                    wait_s = max(wait_s, (1.0 - left) * _TRY_EVERY_S)
                states.append((key, left))
            for key, left in states:
                self._left[key] = (left if wait_s else left - 1.0, now_s)
                self._left.move_to_end(key)
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)
            return wait_s

    def forgive(self, *keys: str) -> None:
        """Give back all tries: the right answer came."""
        with self._lock:
            for key in keys:
                self._left.pop(key, None)


class Access:
    """Lets people in."""

    def __init__(self, settings: SettingsStore, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tries = Tries(clock)
        self._setup: str | None = None
        self._setup_lock = threading.Lock()
        self._used_steps: OrderedDict[str, int] = OrderedDict()

    def offer_setup(self) -> str | None:
        """What the one-time link holds that makes the first user; None if there is a user already.

        Raises: StoreError.
        """
        if self._settings.users.all():
            return None
        with self._setup_lock:
            self._setup = secrets.token_urlsafe(24)
            return self._setup

    @property
    def is_new(self) -> bool:
        """Whether nobody can log in yet."""
        return not self._settings.users.all()

    def is_setup(self, token: str) -> bool:
        """Whether this is what the one-time link holds, and it still counts."""
        expected = self._setup
        return expected is not None and hmac.compare_digest(expected.encode(), token.encode()) and self.is_new

    def set_up(self, token: str, name: str, password: str) -> User:
        """Make the first user, an admin; the link counts no more.

        Raises: AccessError("setup"), ConfigError, StoreError.
        """
        with self._setup_lock:
            if not self.is_setup(token):
                raise AccessError(
                    "this link was used already, or the office was started anew since",
                    hint="log in, or start the office again: without users it prints a new link",
                    code="setup",
                )
            change = self._settings.users.add(name, Role.ADMIN, password, actor="setup")
            self._setup = None
        if change.after is None:
            raise AssertionError
        return change.after

    def log_in(self, name: str, password: str, code: str, *, address: str, user_agent: str) -> str:
        """Check what somebody typed; what their cookie shall hold.

        Shape: `code` is empty where no second factor is in use.
        Raises: AccessError: "slow" after too many tries, "credentials" if something is wrong (which is not
        said), "second_factor" if all is right but the code is missing.
        """
        source = source_network(address)
        keys = (f"address:{source}", f"name:{name[:100]}")
        wait_s = self._tries.take(*keys)
        if wait_s:
            self._settings.logins.failed(Failure.LOCKED_OUT, source=source, name=name)
            raise AccessError(
                "too many tries",
                hint=sentence("wait {count} s, then try again", count=int(wait_s) + 1),
                code="slow",
            )
        user = self._settings.users.verify(name, password)
        if user is None:
            self._settings.logins.failed(Failure.PASSWORD, source=source, name=name)
            raise AccessError("name or password is wrong", hint="mind capital letters", code="credentials")
        secret = self._settings.users.second_factor(user.name)
        if secret is not None:
            if not code.strip():
                raise AccessError(
                    "a code is needed too",
                    hint="type the six digits that your app shows now",
                    code="second_factor",
                )
            if not self.proves(user.name, secret, code):
                self._settings.logins.failed(Failure.CODE, source=source, name=name)
                raise AccessError(
                    "the code is wrong or was used already",
                    hint="type the next one; check that the clock of your phone is right",
                    code="credentials",
                )
        self._tries.forgive(*keys)
        return self._settings.sessions.open(user, address=address, user_agent=user_agent)

    def proves(self, name: str, secret: str, code: str) -> bool:
        """Whether a code is that of now or of the half minute next to it, and new (RFC 6238)."""
        digits = "".join(code.split())
        if not (digits.isascii() and digits.isdigit()):
            return False
        now = self._clock.utc_us() // 1_000_000 // _STEP_S
        totp = pyotp.TOTP(secret)
        for step in (now - 1, now, now + 1):
            if hmac.compare_digest(totp.at(step * _STEP_S), digits):
                if step <= self._used_steps.get(name, -1):
                    return False
                self._used_steps[name] = step
                while len(self._used_steps) > _REMEMBERED:
                    self._used_steps.popitem(last=False)
                return True
        return False


def source_network(address: str) -> str:
    """Who is counted as one: an IPv4 address, or the /64 of an IPv6 one.

    >>> source_network("2001:db8::1:2:3:4"), source_network("192.0.2.1")
    ('2001:db8::/64', '192.0.2.1')
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found, 64), strict=False))
    return address


def form_token(cookie: str) -> str:
    """What a form of this session carries, so that no other site can send it (CSRF)."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def is_form_token(cookie: str, token: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token(cookie), token)
