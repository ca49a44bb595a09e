# SPDX-License-Identifier: Apache-2.0
"""Acts on alarms: the rules by which they open and clear, and the incidents.

An incident that opens or clears is something that happened, no change of settings: it has no audit row and
leaves the version alone. What people do (rules, acknowledgements) has both.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import AlarmId
from ringfence.settings import checks, schema
from ringfence.settings.alarms_model import (
    ALARM_KIND_BY_CODE,
    ALARM_KINDS,
    Alarm,
    AlarmDraft,
    AlarmKind,
    AlarmRule,
    AlarmRuleEdit,
    Level,
)
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Change
from ringfence.text import Sentence, sentence, unpacked

KEPT: Final = 10_000
"""How many incidents that are over are kept; the oldest go first."""

_RULE: Final = "alarm_rule"
_ALARM: Final = "alarm"
_OFFICE: Final = "office"


class Alarms:
    """The rules of alarms, and the incidents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Rules

    def rules(self) -> tuple[AlarmRule, ...]:
        """Every rule, in the order of `ALARM_KINDS`.

        Raises: StoreError.
        """
        with self._database.read() as connection:
            stored = {row.code: row for row in connection.execute(select(schema.alarm_rule))}
        return tuple(_rule(kind, stored.get(kind.code)) for kind in ALARM_KINDS)

    def rule(self, code: int) -> AlarmRule:
        """One rule.

        Raises: NotFoundError, StoreError.
        """
        kind = _kind(code)
        with self._database.read() as connection:
            return _stored_rule(connection, kind)

    def set_rule(self, code: int, edit: AlarmRuleEdit, *, actor: str) -> Change[AlarmRule]:
        """Change a rule.

        Raises: NotFoundError, ConfigError("out_of_range") if the bounds do not fit, StoreError.
        """
        kind = _kind(code)
        with self._database.change(actor) as act:
            before = _stored_rule(act.connection, kind)
            after = _checked(
                kind,
                AlarmRule(
                    code=kind.code,
                    enabled=before.enabled if edit.enabled is None else edit.enabled,
                    level=before.level if edit.level is None else edit.level,
                    lower=before.lower if edit.lower is None else edit.lower,
                    upper=before.upper if edit.upper is None else edit.upper,
                    is_set=True,
                ),
            )
            if after != before:
                _forget_rule(act, kind)
                act.connection.execute(
                    insert(schema.alarm_rule).values(
                        code=after.code,
                        enabled=after.enabled,
                        level=after.level.value,
                        lower=after.lower,
                        upper=after.upper,
                    )
                )
                act.record("set", _RULE, str(kind.code), before, after)
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    def reset_rule(self, code: int, *, actor: str) -> Change[AlarmRule]:
        """Give a rule its shipped values again.

        Raises: NotFoundError, StoreError.
        """
        kind = _kind(code)
        with self._database.change(actor) as act:
            before = _stored_rule(act.connection, kind)
            after = _rule(kind, None)
            if after != before:
                _forget_rule(act, kind)
                act.record("reset", _RULE, str(kind.code), before, after)
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    # Incidents

    def open(self, *, node: str | None = None) -> tuple[Alarm, ...]:
        """Incidents that are not over, newest first: of all nodes, or those that a node looks after.

        Shape: incidents of older stores have no node; every node looks after them.
        Raises: StoreError.
        """
        with self._database.read() as connection:
            return _open(connection, node)

    def history(
        self,
        *,
        limit: int = 100,
        below: AlarmId | None = None,
        code: int | None = None,
        level: Level | None = None,
    ) -> tuple[Alarm, ...]:
        """Incidents, newest first, at most `limit`, open ones included; `below` goes on after a page.

        Raises: StoreError.
        """
        table = schema.alarm
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if below is not None:
            query = query.where(table.c.id < below)
        if code is not None:
            query = query.where(table.c.code == code)
        if level is not None:
            query = query.where(table.c.level == level.value)
        with self._database.read() as connection:
            return tuple(_alarm(row) for row in connection.execute(query))

    def get(self, alarm_id: AlarmId) -> Alarm:
        """One incident.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, alarm_id)

    def acknowledge(self, alarm_id: AlarmId, *, note: str = "", actor: str) -> Change[Alarm]:
        """Say that someone has seen to it; done again, the later note and name stand.

        Raises: NotFoundError, ConfigError("bad_value") for a note that is no line of text, StoreError.
        """
        remark = checks.remark(note)
        with self._database.change(actor) as act:
            before = after = _get(act.connection, alarm_id)
            if (before.acknowledged_by, before.note) != (actor, remark):
                values = {"acknowledged_at_us": act.at_us, "acknowledged_by": actor, "note": remark}
                _update(act, alarm_id, values)
                after = _get(act.connection, alarm_id)
                act.record("acknowledge", _ALARM, str(alarm_id), _told(before), _told(after))
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    def begin(self, draft: AlarmDraft) -> Alarm | None:
        """An incident begins; None if one of this node, code and subject is open already.

        Raises: StoreError.
        """
        table = schema.alarm
        with self._database.change(_OFFICE) as act:
            for alarm in _open(act.connection, draft.node):
                if (alarm.code, alarm.subject) == (draft.code, draft.subject):
                    return None
            statement = (
                insert(table)
                .values(
                    node=draft.node,
                    code=draft.code,
                    level=draft.level.value,
                    subject=draft.subject,
                    value=draft.value,
                    message=" ".join(draft.told),
                    told=msgspec.json.encode([each.packed() for each in draft.told]).decode(),
                    link=draft.link,
                    opened_at_us=act.at_us,
                    changed_at_us=act.at_us,
                )
                .returning(table.c.id)
            )
            return _get(act.connection, AlarmId(act.connection.execute(statement).scalar_one()))

    def rise(self, alarm_id: AlarmId, value: int) -> Alarm | None:
        """The value of an incident went up; None if it is over.

        Raises: NotFoundError, StoreError.
        """
        with self._database.change(_OFFICE) as act:
            if not _get(act.connection, alarm_id).is_open:
                return None
            _update(act, alarm_id, {"value": value, "changed_at_us": act.at_us})
            return _get(act.connection, alarm_id)

    def clear(self, alarm_id: AlarmId) -> Alarm | None:
        """An incident is over; None if it was already.

        Raises: NotFoundError, StoreError.
        """
        table = schema.alarm
        with self._database.change(_OFFICE) as act:
            if not _get(act.connection, alarm_id).is_open:
                return None
            _update(act, alarm_id, {"cleared_at_us": act.at_us, "changed_at_us": act.at_us})
            is_over = table.c.cleared_at_us.is_not(None)
            oldest = select(table.c.id).where(is_over).order_by(table.c.id.desc()).offset(KEPT).limit(1)
            last_to_go = act.connection.execute(oldest).scalar()
            if last_to_go is not None:
                act.connection.execute(delete(table).where(is_over, table.c.id <= last_to_go))
            return _get(act.connection, alarm_id)


def _kind(code: int) -> AlarmKind:
    kind = ALARM_KIND_BY_CODE.get(code)
    if kind is None:
        known = ", ".join(f"{known.code} {known.name}" for known in ALARM_KINDS)
        raise NotFoundError(
            sentence("there is no alarm {code}", code=code), hint=sentence("there are: {known}", known=known)
        )
    return kind


def _rule(kind: AlarmKind, row: Row[Any] | None) -> AlarmRule:
    if row is None:
        return AlarmRule(
            code=kind.code, enabled=True, level=kind.level, lower=kind.lower, upper=kind.upper, is_set=False
        )
    return AlarmRule(
        code=kind.code,
        enabled=row.enabled,
        level=Level(row.level),
        lower=kind.lower if row.lower is None else row.lower,
        upper=kind.upper if row.upper is None else row.upper,
        is_set=True,
    )


def _stored_rule(connection: Connection, kind: AlarmKind) -> AlarmRule:
    table = schema.alarm_rule
    return _rule(kind, connection.execute(select(table).where(table.c.code == kind.code)).first())


def _forget_rule(act: Act, kind: AlarmKind) -> None:
    act.connection.execute(delete(schema.alarm_rule).where(schema.alarm_rule.c.code == kind.code))


def _checked(kind: AlarmKind, rule: AlarmRule) -> AlarmRule:
    checks.limit(sentence("the upper bound of {name!r}", name=sentence(kind.name)), rule.upper, 1, kind.most)
    checks.limit(sentence("the lower bound of {name!r}", name=sentence(kind.name)), rule.lower, 0, kind.most)
    if rule.lower >= rule.upper:
        raise ConfigError(
            sentence(
                "the lower bound of {name!r} cannot be {lower} with {upper} as the upper one",
                name=sentence(kind.name),
                lower=rule.lower,
                upper=rule.upper,
            ),
            hint="the alarm clears at the lower bound, so it has to be below the upper one",
            code="out_of_range",
        )
    return rule


def _told(alarm: Alarm) -> dict[str, object]:
    """An acknowledgement for the audit; what the incident was about stands in the incident."""
    return {"code": alarm.code, "acknowledged_by": alarm.acknowledged_by, "note": alarm.note}


def _open(connection: Connection, node: str | None) -> tuple[Alarm, ...]:
    table = schema.alarm
    query = select(table).where(table.c.cleared_at_us.is_(None)).order_by(table.c.id.desc())
    if node is not None:
        query = query.where(or_(table.c.node == node, table.c.node.is_(None)))
    return tuple(_alarm(row) for row in connection.execute(query))


def _get(connection: Connection, alarm_id: AlarmId) -> Alarm:
    row = connection.execute(select(schema.alarm).where(schema.alarm.c.id == alarm_id)).first()
    if row is None:
        raise NotFoundError(
            sentence("there is no alarm with the number {alarm_id}", alarm_id=alarm_id),
            hint="it may have been let go",
        )
    return _alarm(row)


def _update(act: Act, alarm_id: AlarmId, values: dict[str, object]) -> None:
    act.connection.execute(update(schema.alarm).where(schema.alarm.c.id == alarm_id).values(values))


def _told_of(row: Row[Any]) -> tuple[Sentence, ...]:
    # An incident of an older store has its message alone.
    if row.told is None:
        return (sentence(row.message),)
    return tuple(unpacked(each) for each in msgspec.json.decode(row.told))


def _alarm(row: Row[Any]) -> Alarm:
    return Alarm(
        id=AlarmId(row.id),
        node=row.node,
        code=row.code,
        level=Level(row.level),
        subject=row.subject,
        value=row.value,
        told=_told_of(row),
        link=row.link,
        opened_at_us=row.opened_at_us,
        changed_at_us=row.changed_at_us,
        cleared_at_us=row.cleared_at_us,
        acknowledged_at_us=row.acknowledged_at_us,
        acknowledged_by=row.acknowledged_by,
        note=row.note,
    )
