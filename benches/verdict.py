# SPDX-License-Identifier: Apache-2.0
"""A figure against the bound that the project has set itself."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Shape: `floor` must hold, `goal` is aimed at; both are empty for a figure without a bound."""

    what: str
    value: float
    unit: str
    floor: str = ""
    goal: str = ""
    is_met: bool = True


def verdict_lines(verdicts: Iterable[Verdict]) -> str:
    """One line each: figure, bounds, whether the floor (or the goal, where there is no floor) is met."""
    lines = []
    for verdict in verdicts:
        bounds = [f"floor {verdict.floor}"] if verdict.floor else []
        bounds += [f"goal {verdict.goal}"] if verdict.goal else []
        mark = ("met" if verdict.is_met else "NOT MET") if bounds else ""
        figure = f"{verdict.value:,.0f}" if verdict.value >= 1000 else f"{verdict.value:.2f}"
        line = f"{verdict.what:<46} {figure:>12} {verdict.unit:<8} {', '.join(bounds):<28} {mark}"
        lines.append(line.rstrip())
    return "\n".join(lines)
