# SPDX-License-Identifier: Apache-2.0
"""Answers that were given to changes, kept so that a change that is asked for twice is made once."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, insert, select

from ringfence.settings import schema
from ringfence.settings.database import Database

KEPT_US: Final = 86_400_000_000
KEPT_PER_ACTOR: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered.

    Shape: `request_hash` is of the whole request; `body` is JSON, with secrets left out.
    """

    request_hash: str
    status: int
    body: str


class Answers:
    """Answers of the last 24 hours, the newest 1,000 of each caller."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, actor: str, key: str) -> Answer | None:
        """What was answered to this key.

        Raises: StoreError.
        """
        table = schema.idempotency
        query = select(table).where(
            table.c.actor == actor,
            table.c.key == key,
            table.c.at_us > self._database.clock.utc_us() - KEPT_US,
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Answer(request_hash=row.request_hash, status=row.status, body=row.body)

    def put(self, actor: str, key: str, answer: Answer) -> None:
        """Keep an answer; older ones that are over the bounds go.

        Raises: StoreError.
        """
        table = schema.idempotency
        of_actor = table.c.actor == actor
        with self._database.change(actor) as act:
            act.connection.execute(delete(table).where(table.c.at_us <= act.at_us - KEPT_US))
            act.connection.execute(delete(table).where(of_actor, table.c.key == key))
            spare = (
                select(table.c.key)
                .where(of_actor)
                .order_by(table.c.at_us.desc(), table.c.key)
                .offset(KEPT_PER_ACTOR - 1)
            )
            over = act.connection.execute(spare).scalars().all()
            act.connection.execute(delete(table).where(of_actor, table.c.key.in_(over)))
            act.connection.execute(
                insert(table).values(
                    actor=actor,
                    key=key,
                    request_hash=answer.request_hash,
                    status=answer.status,
                    body=answer.body,
                    at_us=act.at_us,
                )
            )
