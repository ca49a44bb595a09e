# SPDX-License-Identifier: Apache-2.0
"""Acts on the black and white lists.

An authorised source is never blocked: a black entry that shares an address with an enabled gateway is
refused, and a gateway that comes later takes away the black entries in its way.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import BlockId
from ringfence.settings import checks, schema
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Block, BlockDraft, Change, Color, ListName
from ringfence.text import sentence

_KIND = "block"
_LONGEST_S = 10 * 365 * 86_400


def blocks_not_removed(connection: Connection) -> tuple[Block, ...]:
    """Every entry that nobody removed, by id; some may have expired."""
    table = schema.block
    rows = connection.execute(select(table).where(table.c.removed_at_us.is_(None)).order_by(table.c.id))
    return tuple(_block(row) for row in rows)


def lift_blocks(act: Act, addresses: Iterable[str]) -> tuple[Block, ...]:
    """Remove the black source entries that share an address with those given.

    Shape: the entries as they were before, by id.
    """
    authorised = tuple(addresses)
    in_the_way = tuple(
        block
        for block in blocks_not_removed(act.connection)
        if block.list is ListName.SOURCE
        and block.color is Color.BLACK
        and block.in_force(act.at_us)
        and any(checks.overlap(block.value, address) for address in authorised)
    )
    for block in in_the_way:
        _remove(act, block)
    return in_the_way


_PLURAL: Final = {
    ListName.SOURCE: sentence("sources"),
    ListName.CALLER: sentence("callers"),
    ListName.CALLEE: sentence("callees"),
}


class Lists:
    """The black and white lists of sources, callers and callees."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def in_force(self) -> tuple[Block, ...]:
        """The entries that act now, by id."""
        now_us = self._database.clock.utc_us()
        with self._database.read() as connection:
            return tuple(block for block in blocks_not_removed(connection) if block.in_force(now_us))

    def past(self, limit: int = 1000) -> tuple[Block, ...]:
        """Entries that were removed or have expired, newest first, at most `limit`."""
        now_us = self._database.clock.utc_us()
        table = schema.block
        is_past = table.c.removed_at_us.is_not(None) | (table.c.expires_at_us <= now_us)
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(is_past).order_by(table.c.id.desc()).limit(limit))
            return tuple(_block(row) for row in rows)

    def get(self, block_id: BlockId) -> Block:
        """One entry, in force or not.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, block_id)

    def find(self, list_name: ListName, value: str) -> Block:
        """The entry in force with exactly this value.

        Raises: ConfigError("bad_value"), NotFoundError, StoreError.
        """
        wanted = checks.list_value(list_name, value)
        for block in self.in_force():
            if block.list is list_name and block.value == wanted:
                return block
        raise NotFoundError(
            sentence("{wanted} is not on the {list} lists", wanted=wanted, list=sentence(list_name.value)),
            hint="`ringfence block list` shows what is",
        )

    def add(self, draft: BlockDraft, *, actor: str) -> Change[Block]:
        """Put an entry on a list.

        Raises: ConfigError("bad_value", "out_of_range", "duplicate" or "authorised_source"), StoreError.
        """
        return self.add_all([draft], actor=actor)[0]

    def add_all(self, drafts: Iterable[BlockDraft], *, actor: str) -> tuple[Change[Block], ...]:
        """Put several entries on their lists: all of them, or none if one is refused.

        Raises: as `add`.
        """
        with self._database.change(actor) as act:
            taken = {
                (block.list, block.value): block
                for block in blocks_not_removed(act.connection)
                if block.in_force(act.at_us)
            }
            authorised = _authorised(act.connection)
            added = []
            for draft in drafts:
                block = _add(act, draft, taken, authorised)
                taken[block.list, block.value] = block
                added.append(block)
        return tuple(Change(version=act.version, before=None, after=block, changed=True) for block in added)

    def remove(self, block_id: BlockId, *, actor: str) -> Change[Block]:
        """Take an entry off its list; it stays in the history.

        Raises: NotFoundError if there is none, or it acts no more; StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, block_id)
            if not before.in_force(act.at_us):
                raise NotFoundError(
                    sentence("entry {block_id} acts no more", block_id=block_id),
                    hint="`ringfence block list` shows what does",
                )
            _remove(act, before)
        return Change(version=act.version, before=before, after=None, changed=True)


def _add(
    act: Act,
    draft: BlockDraft,
    taken: dict[tuple[ListName, str], Block],
    authorised: Sequence[tuple[str, str]],
) -> Block:
    value = checks.list_value(draft.list, draft.value)
    reason = checks.remark(draft.reason)
    if draft.for_s is not None:
        checks.limit(sentence("the duration in seconds"), draft.for_s, 1, _LONGEST_S)
    there = taken.get((draft.list, value))
    if there is not None:
        raise ConfigError(
            sentence(
                "{value} is on the {color} list of {list} already, as entry {id}",
                value=value,
                color=sentence(there.color.value),
                list=_PLURAL[there.list],
                id=there.id,
            ),
            hint=sentence("`ringfence block remove {id}` takes it off", id=there.id),
            code="duplicate",
        )
    if draft.list is ListName.SOURCE and draft.color is Color.BLACK:
        for gateway, address in authorised:
            if checks.overlap(value, address):
                raise ConfigError(
                    sentence(
                        "{value} covers {address} of gateway {gateway!r}; "
                        "an authorised source is never blocked",
                        value=value,
                        address=address,
                        gateway=gateway,
                    ),
                    hint=sentence(
                        "disable it first: `ringfence gateway set {gateway!r} --disable`", gateway=gateway
                    ),
                    code="authorised_source",
                )
    columns = {
        "list": draft.list.value,
        "color": draft.color.value,
        "value": value,
        "reason": reason,
        "actor": act.actor,
        "created_at_us": act.at_us,
        "expires_at_us": None if draft.for_s is None else act.at_us + draft.for_s * 1_000_000,
    }
    row = act.connection.execute(insert(schema.block).values(columns).returning(schema.block)).one()
    block = _block(row)
    act.record("add", _KIND, str(block.id), None, block)
    return block


def _remove(act: Act, before: Block) -> None:
    act.connection.execute(
        update(schema.block)
        .where(schema.block.c.id == before.id)
        .values(removed_at_us=act.at_us, removed_by=act.actor)
    )
    act.record("remove", _KIND, str(before.id), before, None)


def _get(connection: Connection, block_id: BlockId) -> Block:
    row = connection.execute(select(schema.block).where(schema.block.c.id == block_id)).first()
    if row is None:
        raise NotFoundError(
            sentence("there is no list entry {block_id}", block_id=block_id),
            hint="`ringfence block list` shows them",
        )
    return _block(row)


def _authorised(connection: Connection) -> list[tuple[str, str]]:
    """Name and address of each enabled gateway."""
    query = (
        select(schema.gateway.c.name, schema.gateway_address.c.address)
        .join(schema.gateway_address, schema.gateway_address.c.gateway_id == schema.gateway.c.id)
        .where(schema.gateway.c.enabled)
        .order_by(schema.gateway.c.id, schema.gateway_address.c.position)
    )
    return [(row.name, row.address) for row in connection.execute(query)]


def _block(row: Row[Any]) -> Block:
    return Block(
        id=BlockId(row.id),
        list=ListName(row.list),
        color=Color(row.color),
        value=row.value,
        reason=row.reason,
        actor=row.actor,
        created_at_us=row.created_at_us,
        expires_at_us=row.expires_at_us,
        removed_at_us=row.removed_at_us,
        removed_by=row.removed_by,
    )
