# SPDX-License-Identifier: Apache-2.0
"""Views that people saved: a page with its filters, under a name of theirs."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, insert, select

from ringfence.errors import ConfigError, NotFoundError
from ringfence.settings import schema
from ringfence.settings.database import Database
from ringfence.text import sentence

_KEPT: Final = 100
_NAME: Final = 60
_QUERY: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A page with filters; `query` is the query part of its address."""

    id: int
    page: str
    name: str
    query: str


class Views:
    """Saved views, each belonging to one user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, user: str, page: str) -> tuple[SavedView, ...]:
        """What a user saved of a page, by name.

        Raises: StoreError.
        """
        table = schema.saved_view
        query = select(table).where(table.c.user_name == user, table.c.page == page).order_by(table.c.name)
        with self._database.read() as connection:
            return tuple(
                SavedView(id=row.id, page=row.page, name=row.name, query=row.query)
                for row in connection.execute(query)
            )

    def save(self, user: str, page: str, name: str, query: str) -> None:
        """Keep a view, in place of the one of that name.

        Raises: ConfigError("bad_value"), StoreError.
        """
        name = name.strip()
        if not name or len(name) > _NAME or not name.isprintable():
            raise ConfigError(
                "the view needs a name",
                hint=sentence("up to {longest} letters, digits and spaces", longest=_NAME),
                code="bad_value",
            )
        if len(query) > _QUERY:
            raise ConfigError("the view has too many filters", hint="take some away", code="bad_value")
        table = schema.saved_view
        with self._database.change(f"user:{user}") as act:
            act.connection.execute(
                delete(table).where(table.c.user_name == user, table.c.page == page, table.c.name == name)
            )
            kept = act.connection.execute(
                select(func.count()).select_from(table).where(table.c.user_name == user)
            ).scalar_one()
            if kept >= _KEPT:
                raise ConfigError(
                    sentence("{kept} views are saved already", kept=_KEPT),
                    hint="remove one first",
                    code="bad_value",
                )
            act.connection.execute(insert(table).values(user_name=user, page=page, name=name, query=query))

    def remove(self, user: str, view: int) -> None:
        """Let a view go.

        Raises: NotFoundError, StoreError.
        """
        table = schema.saved_view
        with self._database.change(f"user:{user}") as act:
            chosen = delete(table).where(table.c.user_name == user, table.c.id == view).returning(table.c.id)
            if not act.connection.execute(chosen).all():
                raise NotFoundError("there is no such view", hint="it may have been removed meanwhile")
