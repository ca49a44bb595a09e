# SPDX-License-Identifier: Apache-2.0
"""Calls of this run, counted: for metrics and for people who watch."""

from dataclasses import dataclass, field

from ringfence.ledger.reasons import END_REASON_BY_CODE


@dataclass(slots=True)
class CallCounts:
    """Calls of this run.

    Shape: `started` = failed + answered + `live` - `talking`. `failed` by the name of a reason of ours or the
    status of a far end; that is a few hundred names at most, whatever far ends send. Text messages outside
    calls are no calls.
    """

    started: int = 0
    answered: int = 0
    live: int = 0
    talking: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    messages_delivered: int = 0
    messages_failed: int = 0

    def messaged(self, *, is_delivered: bool) -> None:
        """A text message outside calls was answered."""
        if is_delivered:
            self.messages_delivered += 1
        else:
            self.messages_failed += 1

    def began(self) -> None:
        """A call is taken on."""
        self.started += 1
        self.live += 1

    def was_answered(self) -> None:
        """A live call was answered."""
        self.answered += 1
        self.talking += 1

    def was_not_answered(self) -> None:
        """The answer of a live call came to nothing."""
        self.answered -= 1
        self.talking -= 1

    def ended(self, end_reason: int, *, was_answered: bool) -> None:
        """A live call is over."""
        self.live -= 1
        if was_answered:
            self.talking -= 1
        else:
            self._fail(end_reason)

    def refused(self, end_reason: int) -> None:
        """A call was not taken on."""
        self.started += 1
        self._fail(end_reason)

    def _fail(self, end_reason: int) -> None:
        ours = END_REASON_BY_CODE.get(end_reason)
        name = str(end_reason) if ours is None else ours.name
        self.failed[name] = self.failed.get(name, 0) + 1
