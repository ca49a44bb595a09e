# SPDX-License-Identifier: Apache-2.0
"""Which dialog of the caller's leg tells of which on the callee's side, while a call is set up.

The first one is the call's own. A fork, or another attempt after the caller was given an SDP, is another
dialog to the caller too, since the session of one dialog does not change by a 183 (RFC 3261 §13.2.1).
"""

from collections.abc import Callable, Iterable

from ringfence.call.dialog import Dialog


class Pairs:
    """Pairs of one call, by the Call-ID of the attempt and the tag of the fork."""

    def __init__(self, main: Dialog) -> None:
        self._main = main
        self._told: dict[tuple[str, str], Dialog] = {}
        self._given_by: dict[str, tuple[str, str]] = {}

    def caller(self, theirs: Dialog | None, *, has_sdp: bool, make: Callable[[], Dialog]) -> Dialog:
        """The caller's dialog that tells of `theirs`; None is a response without a tag.

        Shape: `has_sdp` says whether the caller was given an SDP before; `make` makes another dialog.
        """
        if theirs is None:
            return self._main
        key = (theirs.call_id, theirs.remote_tag)
        found = self._told.get(key)
        if found is None or self._given_by.get(found.local_tag, key) != key:
            # Without SDP nothing was agreed in the dialogs before, and one dialog may tell of all.
            found = self._told[key] = self._main if not self._told or not has_sdp else make()
        return found

    def gave(self, theirs: Dialog | None, ours: Dialog) -> None:
        """The caller was given the session of `theirs` in `ours`, which tells of no other from then on."""
        if theirs is not None:
            self._given_by[ours.local_tag] = (theirs.call_id, theirs.remote_tag)

    def caller_of(self, theirs: Dialog) -> Dialog | None:
        """The caller's dialog that was told of `theirs`."""
        return self._told.get((theirs.call_id, theirs.remote_tag))

    def callees_of(self, ours: Dialog, forks: Iterable[Dialog]) -> list[Dialog]:
        """Those of some dialogs on the callee's side that `ours` tells of."""
        return [fork for fork in forks if self.caller_of(fork) is ours]

    def callee_of(self, ours: Dialog, forks: dict[tuple[str, str], Dialog]) -> Dialog | None:
        """The newest of an attempt's dialogs that `ours` tells of."""
        found = self.callees_of(ours, forks.values())
        return found[-1] if found else None
