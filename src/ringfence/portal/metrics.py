# SPDX-License-Identifier: Apache-2.0
"""What Prometheus scrapes. Labels are names of counters and kinds of rows, never what a stranger sent."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from ringfence.ledger.service import Stats

SwitchCounters = Callable[[], Mapping[str, int] | None]
"""The counters of a running switch by name; None if none answers."""

_GAUGES: Final = frozenset({"tcp_connections_open", "trace_bytes"})


class _Snapshot(Collector):
    """One scrape."""

    def __init__(self, stats: Stats, switch: Mapping[str, int] | None) -> None:
        self._stats = stats
        self._switch = switch

    def collect(self) -> Iterator[Metric]:
        """Every metric, as of the scrape."""
        yield GaugeMetricFamily(
            "ringfence_switch_up", "Whether the switch answers.", value=float(self._switch is not None)
        )
        edge = CounterMetricFamily(
            "ringfence_edge", "What the edge counted in this run of the switch.", labels=["counter"]
        )
        for name, value in (self._switch or {}).items():
            if name in _GAUGES:
                yield GaugeMetricFamily(f"ringfence_edge_{name}", "Open now in the edge.", value=float(value))
            else:
                edge.add_metric([name], value)
        yield edge
        yield from self._ledger()

    def _ledger(self) -> Iterator[Metric]:
        stats = self._stats
        yield GaugeMetricFamily(
            "ringfence_ledger_up", "Whether the ledger works.", value=float(stats.error is None)
        )
        yield GaugeMetricFamily(
            "ringfence_ledger_lag_seconds", "How far the ledger is behind the journal.", value=stats.lag_s
        )
        yield GaugeMetricFamily(
            "ringfence_ledger_pending_frames", "Frames in the journal not taken in yet.", value=stats.pending
        )
        yield GaugeMetricFamily("ringfence_ledger_segments", "Files of sealed rows.", value=stats.segments)
        for name, text, values in (
            ("rows", "Sealed rows by kind.", stats.rows_by_kind),
            ("bytes", "Bytes of sealed rows by kind.", stats.bytes_by_kind),
        ):
            gauge = GaugeMetricFamily(f"ringfence_ledger_{name}", text, labels=["kind"])
            for kind, value in (values or {}).items():
                gauge.add_metric([kind], value)
            yield gauge
        progress = stats.progress
        if progress is None:
            return
        yield GaugeMetricFamily(
            "ringfence_ledger_held_frames", "Frames whose rows may still change.", value=progress.frames_held
        )
        for name, text, value in (
            ("missing_frames", "Frames that could not be read since the office started.", progress.missing),
            ("lost_increments", "Counts whose record could not be read.", progress.lost_increments),
            ("undecodable_frames", "Frames of calls that could not be read.", progress.undecodable),
        ):
            yield CounterMetricFamily(f"ringfence_ledger_{name}", text, value=value)


def exposition(stats: Stats, switch: SwitchCounters) -> tuple[bytes, str]:
    """The body of a scrape and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(stats, switch()))
    return generate_latest(registry), CONTENT_TYPE_LATEST
