# SPDX-License-Identifier: Apache-2.0
"""What is kept of the messages of authorised sources, and where copies go."""

from typing import Final

from ringfence.settings.parameters.parameter import RINGFENCE, Parameter, number, switch

_MIB: Final = 1024 * 1024
_GIB: Final = 1024 * _MIB

TRACE: Final = "Trace"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    number(
        "RF_TRACE_BYTES",
        TRACE,
        32 * _MIB,
        (_MIB, 16 * _GIB),
        unit="bytes",
        meaning=(
            "How much memory the last messages of authorised sources take, for `ringfence trace`; the oldest "
            "go first. Another value lets go of what was kept."
        ),
        zero="keep none",
        for_edge=True,
    ),
    switch(
        "RF_HEP_EXPORT",
        TRACE,
        1,
        meaning=(
            "Send a copy of each traced message to the Homer server that the node's configuration names; "
            "without one there this does nothing."
        ),
        source=RINGFENCE,
        for_edge=True,
    ),
)
