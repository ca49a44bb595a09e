# SPDX-License-Identifier: Apache-2.0
"""The operator's switches: what each one is called, may be, and means.

Operators who know VOS3000 find its parameters under its names; ours start with `RF_`. All values are whole
numbers. They are hot: the switch has a new value in force within a second.
"""

from typing import Final

from ringfence.errors import ConfigError
from ringfence.settings.parameters import (
    billing,
    flood,
    journal,
    registration,
    routing,
    security,
    sip,
    trace,
)
from ringfence.settings.parameters.parameter import Kind, Parameter
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

__all__ = ["BY_NAME", "PARAMETERS", "Kind", "Parameter", "defaults", "lookup"]

PARAMETERS: Final[tuple[Parameter, ...]] = (
    *billing.PARAMETERS,
    *security.PARAMETERS,
    *flood.PARAMETERS,
    *registration.PARAMETERS,
    *routing.PARAMETERS,
    *sip.PARAMETERS,
    *journal.PARAMETERS,
    *trace.PARAMETERS,
)
"""Every parameter, group by group, as pages and documents list them."""

BY_NAME: Final[dict[str, Parameter]] = {parameter.name: parameter for parameter in PARAMETERS}


def lookup(name: str) -> Parameter:
    """Find a parameter by its exact name, letter case ignored.

    Raises: ConfigError("unknown_parameter") with the nearest spelling as hint.
    """
    found = BY_NAME.get(name.strip().upper())
    if found is None:
        raise ConfigError(
            sentence("there is no parameter {name!r}", name=name),
            hint=did_you_mean(name, BY_NAME) or "`ringfence param list` shows them all",
            code="unknown_parameter",
        )
    return found


def defaults() -> dict[str, int]:
    """Every parameter at its default."""
    return {parameter.name: parameter.default for parameter in PARAMETERS}
