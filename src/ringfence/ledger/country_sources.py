# SPDX-License-Identifier: Apache-2.0
"""Which sources of records have a country, for queries that ask for one.

Records hold addresses, and the engine knows no countries. So the distinct addresses of each file are looked
up when a country is first asked for. Files never change, so what was found of one is used again.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa

from ringfence.errors import ConfigError
from ringfence.ledger.geography import countries_of_addresses
from ringfence.text import sentence

MOST_LOOKED_AT: Final = 2_000_000
"""So many addresses are looked up at most for one question, some seconds."""

_MOST_KEPT: Final = 1_000_000
_ENTRY: Final = 100
"""As how many addresses a file without any counts, so that there is a bound to files too."""

_AT_ONCE: Final = 50_000


class CountrySources:
    """Addresses by file and country; usable from any thread.

    Shape: at most a million addresses are kept; those of the file that was not asked for longest go first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, str], pa.Array] = OrderedDict()
        self._kept = 0

    def of(
        self, country: str, cursor: duckdb.DuckDBPyConnection, files: Sequence[str], tail: Sequence[str]
    ) -> pa.Table:
        """The sources of a country, in files and in relations that may change; each once or more often.

        Raises: ConfigError("too_wide") if there are too many sources to look at.
        """
        left = MOST_LOOKED_AT
        found: list[pa.Array] = []
        for path in files:
            # Whoever asks the same meanwhile, as the parts of a page do, waits and finds it.
            with self._lock:
                addresses = self._found.get((path, country))
                if addresses is None:
                    distinct = cursor.execute(_DISTINCT.format("read_parquet($path)"), {"path": path})
                    addresses, left = _looked_up(country, distinct, left)
                self._keep((path, country), addresses)
            found.append(addresses)
        for relation in tail:
            addresses, left = _looked_up(country, cursor.execute(_DISTINCT.format(relation)), left)
            found.append(addresses)
        return pa.table({"address": pa.chunked_array(found, pa.string())})

    def _keep(self, key: tuple[str, str], addresses: pa.Array) -> None:
        if key not in self._found:
            self._found[key] = addresses
            self._kept += len(addresses) + _ENTRY
        self._found.move_to_end(key)
        while self._kept > _MOST_KEPT:
            _, gone = self._found.popitem(last=False)
            self._kept -= len(gone) + _ENTRY


_DISTINCT: Final = "SELECT DISTINCT callerip FROM {}"


def _looked_up(country: str, distinct: duckdb.DuckDBPyConnection, left: int) -> tuple[pa.Array, int]:
    """Those of the addresses that have a country, and how many more may be looked at."""
    found: list[str] = []
    for batch in distinct.to_arrow_reader(_AT_ONCE):
        left -= batch.num_rows
        if left < 0:
            raise ConfigError(
                sentence(
                    "this time holds more than {most:,} sources, too many to look up their countries",
                    most=MOST_LOOKED_AT,
                ),
                hint="choose a shorter time",
                code="too_wide",
            )
        addresses = batch.column(0).to_pylist()
        countries = countries_of_addresses(addresses)
        found += [address for address, of in zip(addresses, countries, strict=True) if of == country]
    return pa.array(found, pa.string()), left
