# SPDX-License-Identifier: Apache-2.0
"""Tokens that programs call the API with."""

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ringfence.portal.api.access import needs
from ringfence.portal.api.models import (
    CallerOf,
    Changed,
    Duration,
    LimitQuery,
    OfficeOf,
    RoleName,
    Sent,
    TokenOut,
    UserName,
    change_fields,
    office_change,
    part_of,
)
from ringfence.portal.rights import Right
from ringfence.settings.model import Role

router: Final = APIRouter(prefix="/tokens", tags=["API tokens"])


class TokenPage(BaseModel):
    """Tokens, by name."""

    tokens: list[TokenOut]
    next: str | None


class NewToken(Sent):
    """A token to be made."""

    name: UserName
    role: RoleName = "viewer"
    for_s: Duration = None


class MadeTokenOut(Changed[TokenOut]):
    """A token just made."""

    secret: str | None = Field(description="Shown only now; null when an answer is repeated.")


@router.get("", **needs(Right.PEOPLE))
def list_tokens(office: OfficeOf, asked: LimitQuery) -> TokenPage:
    """Every token, without the secrets."""
    page, following = part_of(office.settings.tokens.all(), asked, lambda token: token.name)
    return TokenPage(tokens=[TokenOut.of(token) for token in page], next=following)


@router.get("/{name}", **needs(Right.PEOPLE, 404))
def get_token(office: OfficeOf, name: UserName) -> TokenOut:
    """One token."""
    return TokenOut.of(office.settings.tokens.get(name))


@router.post("", status_code=201, **needs(Right.PEOPLE, writes=True))
def add_token(office: OfficeOf, caller: CallerOf, token: NewToken) -> MadeTokenOut:
    """Let a program call the API."""
    made = office.settings.tokens.add(token.name, Role(token.role), for_s=token.for_s, actor=caller.actor)
    return MadeTokenOut(
        version=made.change.version,
        in_force=True,
        note=None,
        secret=made.secret,
        **change_fields(made.change, TokenOut.of),
    )


@router.delete("/{name}", **needs(Right.PEOPLE, 404, writes=True))
def remove_token(office: OfficeOf, caller: CallerOf, name: UserName) -> Changed[TokenOut]:
    """Take a token away."""
    return office_change(office.settings.tokens.remove(name, actor=caller.actor), TokenOut.of)
