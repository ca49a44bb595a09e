# SPDX-License-Identifier: Apache-2.0
"""What is folded, how often the disk is waited for, and how long what is kept."""

from typing import Final

from ringfence.settings.parameters.parameter import Parameter, number

_MIB: Final = 1024 * 1024
_GIB: Final = 1024 * _MIB

JOURNAL: Final = "Journal and retention"

PARAMETERS: Final[tuple[Parameter, ...]] = (
    number(
        "RF_JOURNAL_BYTES_PER_S",
        JOURNAL,
        16_000_000,
        (100_000, 2_000_000_000),
        unit="bytes/s",
        meaning=(
            "What the journal of strangers may grow by per second in the long run. Above it attempts are "
            "counted together, by stated steps, and never lost."
        ),
        for_edge=True,
    ),
    number(
        "RF_JOURNAL_BURST_BYTES",
        JOURNAL,
        256 * _MIB,
        (_MIB, 100 * _GIB),
        unit="bytes",
        meaning=(
            "How much unused journal budget is saved up for a burst. Counting together starts when half "
            "of it is spent."
        ),
        for_edge=True,
    ),
    number(
        "RF_RAW_SAMPLE_S",
        JOURNAL,
        600,
        (0, 86_400),
        unit="s",
        meaning=(
            "The raw message of a source is kept with its record once in this many seconds, credentials "
            "masked."
        ),
        zero="never",
        for_edge=True,
    ),
    number(
        "RF_JOURNAL_SYNC_MS",
        JOURNAL,
        1000,
        (10, 60_000),
        unit="ms",
        meaning=(
            "How often the journal of strangers is forced to disk. A crash of the process loses nothing "
            "either way; a power cut may lose this much."
        ),
        for_edge=True,
    ),
    number(
        "RF_RETENTION_ILLEGAL_DAYS",
        JOURNAL,
        90,
        (1, 3650),
        unit="days",
        meaning="How long records of illegal calls are kept. What is let go is summed up first.",
    ),
    number(
        "RF_RETENTION_ILLEGAL_BYTES",
        JOURNAL,
        20 * _GIB,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning="How much disk records of illegal calls may take; the oldest go first.",
        zero="no limit",
    ),
    number(
        "RF_RETENTION_EVENT_DAYS",
        JOURNAL,
        30,
        (1, 3650),
        unit="days",
        meaning="How long security events are kept: what strangers sent other than calls.",
    ),
    number(
        "RF_RETENTION_EVENT_BYTES",
        JOURNAL,
        5 * _GIB,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning="How much disk security events may take; the oldest go first.",
        zero="no limit",
    ),
    number(
        "RF_RETENTION_CALL_DAYS",
        JOURNAL,
        730,
        (1, 3650),
        unit="days",
        meaning="How long records of authorised calls are kept.",
    ),
    number(
        "RF_RETENTION_CALL_BYTES",
        JOURNAL,
        0,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning="How much disk records of authorised calls may take; the oldest go first.",
        zero="no limit",
    ),
    number(
        "RF_RETENTION_SUMS_DAYS",
        JOURNAL,
        1825,
        (1, 36_500),
        unit="days",
        meaning=(
            "How long the sums per minute are kept that records leave behind when they go, and those of "
            "attempts that had no record of their own."
        ),
        zero="for ever",
    ),
    number(
        "RF_RETENTION_JOURNAL_DAYS",
        JOURNAL,
        90,
        (1, 3650),
        unit="days",
        meaning=(
            "How long sealed journal segments are kept; those of the calls stream at least as long as "
            "RF_REGISTRATION_MEMORY_DAYS. Records can be rebuilt only as far back as the journal reaches."
        ),
    ),
    number(
        "RF_RETENTION_JOURNAL_BYTES",
        JOURNAL,
        20 * _GIB,
        (_MIB, 1024 * _GIB),
        unit="bytes",
        meaning=(
            "How much disk sealed segments of the edge stream may take; the oldest go first. The calls "
            "stream goes by days only: no flood costs a paid call its record."
        ),
        zero="no limit",
    ),
    number(
        "RF_ARCHIVE_LEVEL",
        JOURNAL,
        3,
        (1, 19),
        unit="zstd level",
        meaning="How hard sealed journal segments are compressed: higher is smaller and slower.",
    ),
)
