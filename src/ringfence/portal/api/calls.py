# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, as the API takes and gives it: made from the table of fields."""

from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, create_model

from ringfence.portal.api.models import LARGEST_ID, Sent
from ringfence.settings.call_checks import LONGEST_PREFIX_LIST, LONGEST_RULE_LIST
from ringfence.settings.call_fields import GATEWAY_FIELDS, ROUTE_FIELDS, CallField, Calls, read, with_values

_Text = Annotated[str, Field(max_length=200)]
_Digits = Annotated[str, Field(pattern=r"^[0-9]{1,5}(\.[0-9]{1,9})?$")]


def _out(field: CallField) -> tuple[Any, Any]:
    """How a field is shown: its type, and what OpenAPI says of it."""
    kind: Any = field.kind
    if field.kind is tuple:
        kind = list[str]
    elif field.kind is Decimal:
        kind = str
    elif field.kind is str:
        kind = str | None
    elif issubclass(field.kind, Enum):
        kind = _words(field)
    return kind, Field(alias=field.name, description=field.help)


def _sent(field: CallField) -> tuple[Any, Any]:
    """How a field is sent; what is left out, or null, stays."""
    kind: Any = field.kind
    if field.kind is tuple:
        most = LONGEST_PREFIX_LIST if field.name == "prefixes" else LONGEST_RULE_LIST
        kind = Annotated[list[_Text], Field(max_length=most)]
    elif field.kind is int:
        kind = Annotated[int, Field(ge=0, le=LARGEST_ID)]
    elif field.kind is Decimal:
        kind = _Digits
    elif field.kind is str:
        kind = _Text
    elif issubclass(field.kind, Enum):
        kind = _words(field)
    more = ' "" = none.' if field.kind is str else ""
    return kind | None, Field(None, alias=field.name, description=f"{field.help}{more}")


def _words(field: CallField) -> Any:
    return Literal[tuple(choice.value for choice in field.kind)]  # type: ignore[attr-defined]


def _attribute(field: CallField) -> str:
    """What a field is called inside a model: its own name may be that of a method."""
    return f"field_{field.name}"


def _model(name: str, doc: str, fields: Iterable[CallField], *, is_sent: bool) -> type[BaseModel]:
    made: dict[str, Any] = {_attribute(field): (_sent if is_sent else _out)(field) for field in fields}
    return create_model(name, __doc__=doc, __base__=Sent if is_sent else BaseModel, **made)


GatewayCallsOut: Final = _model(
    "GatewayCallsOut", "What a mapping gateway may do with calls.", GATEWAY_FIELDS, is_sent=False
)
GatewayCallsSent: Final = _model("GatewayCallsSent", "What of it is to be set.", GATEWAY_FIELDS, is_sent=True)
RouteCallsOut: Final = _model(
    "RouteCallsOut", "What a routing gateway may be sent.", ROUTE_FIELDS, is_sent=False
)
RouteCallsSent: Final = _model("RouteCallsSent", "What of it is to be set.", ROUTE_FIELDS, is_sent=True)


def with_sent(calls: Calls, fields: Iterable[CallField], sent: BaseModel | None) -> Calls:
    """The calls with the fields that were sent.

    Raises: ConfigError("bad_value").
    """
    if sent is None:
        return calls
    known = tuple(fields)
    given = {field: getattr(sent, _attribute(field)) for field in known}
    return with_values(
        calls,
        known,
        {field.name: _held(field, value) for field, value in given.items() if value is not None},
    )


def _held(field: CallField, value: Any) -> object:
    """What was sent for a field, as the field holds it."""
    if isinstance(value, list):
        return tuple(value)
    return read(field, value) if isinstance(value, str) else value
