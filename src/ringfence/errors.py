# SPDX-License-Identifier: Apache-2.0
"""The errors of Ringfence: each says what happened and how to mend it."""


class RingfenceError(Exception):
    """Base of all errors that a person may see.

    Shape: `code` is stable and documented, `message` says what and where, `hint` says what to do about it.
    `told` and `advice` are the same two as they were given: a `text.Sentence` can be said in other languages.
    """

    code = "internal"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = str(message)
        self.hint = None if hint is None else str(hint)
        self.told = message
        self.advice = hint
        if code is not None:
            self.code = code


class ConfigError(RingfenceError):
    """The node's configuration file or a command's argument cannot be used; what runs stays as it is."""

    code = "config"


class StoreError(RingfenceError):
    """A store (settings, journal, call records) cannot be read or written; what was stored stays stored."""

    code = "store"


class NotFoundError(StoreError):
    """The named object does not exist."""

    code = "not_found"


class ControlError(RingfenceError):
    """The switch cannot be reached over control.sock, or it refused the request."""

    code = "control"


class CoreError(RingfenceError):
    """The native core could not do what was asked (a port in use, too few descriptors)."""

    code = "core"
