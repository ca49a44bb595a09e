# SPDX-License-Identifier: Apache-2.0
"""Acts on parameters."""

from sqlalchemy import Connection, delete, insert, select, update

from ringfence.settings import schema
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Change, ParameterValue
from ringfence.settings.parameters import PARAMETERS, Parameter, lookup

_KIND = "parameter"


def values_in_force(connection: Connection) -> dict[str, int]:
    """Every parameter with the value that counts."""
    stored = _stored(connection)
    return {parameter.name: parameter.in_force(stored.get(parameter.name)) for parameter in PARAMETERS}


class Parameters:
    """The operator's switches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[ParameterValue, ...]:
        """Every parameter, in the order of their definition."""
        with self._database.read() as connection:
            stored = _stored(connection)
        return tuple(_value(parameter, stored) for parameter in PARAMETERS)

    def get(self, name: str) -> ParameterValue:
        """One parameter.

        Raises: ConfigError("unknown_parameter"), StoreError.
        """
        parameter = lookup(name)
        with self._database.read() as connection:
            return _value(parameter, _stored(connection))

    def set(self, name: str, value: int, *, actor: str) -> Change[ParameterValue]:
        """Give a parameter a value.

        Raises: ConfigError("unknown_parameter" or "out_of_range"), StoreError; the old value stays then.
        """
        parameter = lookup(name)
        parameter.check(value)
        with self._database.change(actor) as act:
            stored = _stored(act.connection)
            before = _value(parameter, stored)
            after = ParameterValue(name=parameter.name, value=value, is_set=True)
            if parameter.name not in stored:
                act.connection.execute(insert(schema.parameter).values(name=parameter.name, value=value))
            elif stored[parameter.name] != value:
                act.connection.execute(
                    update(schema.parameter)
                    .where(schema.parameter.c.name == parameter.name)
                    .values(value=value)
                )
            if before != after:
                act.record("set", _KIND, parameter.name, before, after)
        return _change(act, before, after)

    def reset(self, name: str, *, actor: str) -> Change[ParameterValue]:
        """Give a parameter its default again.

        Raises: ConfigError("unknown_parameter"), StoreError.
        """
        parameter = lookup(name)
        with self._database.change(actor) as act:
            before = _value(parameter, _stored(act.connection))
            after = ParameterValue(name=parameter.name, value=parameter.default, is_set=False)
            if before != after:
                act.connection.execute(
                    delete(schema.parameter).where(schema.parameter.c.name == parameter.name)
                )
                act.record("reset", _KIND, parameter.name, before, after)
        return _change(act, before, after)


def _stored(connection: Connection) -> dict[str, int]:
    return {row.name: row.value for row in connection.execute(select(schema.parameter))}


def _value(parameter: Parameter, stored: dict[str, int]) -> ParameterValue:
    return ParameterValue(
        name=parameter.name,
        value=parameter.in_force(stored.get(parameter.name)),
        is_set=parameter.name in stored,
    )


def _change(act: Act, before: ParameterValue, after: ParameterValue) -> Change[ParameterValue]:
    return Change(version=act.version, before=before, after=after, changed=act.changed)
