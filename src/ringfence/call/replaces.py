# SPDX-License-Identifier: Apache-2.0
"""A dialog that is named in a Replaces header, or inside a Refer-To (RFC 3891)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

if TYPE_CHECKING:
    from ringfence.call.dialog import Dialog
    from ringfence.call.leg import Leg
    from ringfence.call.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaces:
    """A dialog as the end that is asked knows it: `to_tag` is its own tag, ours (RFC 3891 §3)."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def read(cls, value: str) -> Self:
        """Read a header's value.

        >>> Replaces.read("a@b;from-tag=1;to-tag=2;early-only")
        Replaces(call_id='a@b', to_tag='2', from_tag='1', early_only=True)

        Raises: ValueError if a part is missing.
        """
        call_id, *parts = (part.strip() for part in value.split(";"))
        pairs = (part.partition("=") for part in parts)
        named = {name.strip().lower(): tag.strip() for name, _, tag in pairs}
        to_tag, from_tag = named.get("to-tag", ""), named.get("from-tag", "")
        if not (call_id and to_tag and from_tag):
            raise ValueError("Replaces wants a Call-ID, a to-tag and a from-tag")
        return cls(call_id=call_id, to_tag=to_tag, from_tag=from_tag, early_only="early-only" in named)

    @classmethod
    def within(cls, headers: str) -> Self | None:
        """The one among the headers of a URI, what follows its `?`; None if there is none.

        >>> Replaces.within("Subject=x&Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2")
        Replaces(call_id='a', to_tag='1', from_tag='2', early_only=False)

        Raises: ValueError if there are several, or one that cannot be read.
        """
        fields = (field.partition("=") for field in headers.split("&"))
        values = [unquote(value) for name, _, value in fields if name.lower() == "replaces"]
        if len(values) > 1:
            raise ValueError("one Replaces at most")
        return cls.read(values[0]) if values else None

    def find(self, table: "Table") -> "tuple[Leg, Dialog] | None":
        """The dialog of ours that it names, and the leg that has it; None if there is none."""
        leg = table.by_tag.get(self.to_tag)
        dialog = None if leg is None else leg.dialogs.get((self.to_tag, self.from_tag))
        return None if leg is None or dialog is None or dialog.call_id != self.call_id else (leg, dialog)
