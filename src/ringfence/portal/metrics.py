# SPDX-License-Identifier: Apache-2.0
"""What Prometheus scrapes. Labels are names of counters, reasons and gateways, never what a stranger sent."""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from ringfence.control.messages import CallCounts, Vendors
from ringfence.ledger.service import Stats


class Switch(Protocol):
    """The switch that runs; None says that none answers."""

    def counters(self) -> Mapping[str, int] | None:
        """What the edge counted in this run, by name."""
        ...

    def call_counts(self) -> CallCounts | None:
        """Calls of this run, counted, and gateways at work."""
        ...

    def vendors(self) -> Vendors | None:
        """How we stand with the vendors that we register with or ask by OPTIONS."""
        ...


_GAUGES: Final = frozenset({"tcp_connections_open", "trace_bytes"})


class _Snapshot(Collector):
    """One scrape."""

    def __init__(
        self,
        stats: Stats,
        switch: Mapping[str, int] | None,
        calls: CallCounts | None,
        vendors: Vendors | None,
    ) -> None:
        self._stats = stats
        self._switch = switch
        self._calls = calls
        self._vendors = vendors

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
        if self._calls is not None:
            yield from _of_calls(self._calls)
        if self._vendors is not None:
            yield from _of_vendors(self._vendors)
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


def _of_calls(calls: CallCounts) -> Iterator[Metric]:
    for name, text, count in (
        ("started", "Calls of authorised sources in this run.", calls.started),
        ("answered", "Calls that were answered in this run.", calls.answered),
    ):
        yield CounterMetricFamily(f"ringfence_calls_{name}", text, value=count)
    messages = CounterMetricFamily(
        "ringfence_messages", "Text messages outside calls, answered in this run.", labels=["result"]
    )
    messages.add_metric(["delivered"], calls.messages_delivered)
    messages.add_metric(["failed"], calls.messages_failed)
    yield messages
    failed = CounterMetricFamily(
        "ringfence_calls_failed", "Calls that were not answered in this run.", labels=["reason"]
    )
    for reason, count in calls.failed.items():
        failed.add_metric([reason], count)
    yield failed
    yield GaugeMetricFamily("ringfence_calls_live", "Calls that are live.", value=float(calls.live))
    yield GaugeMetricFamily("ringfence_calls_talking", "Calls that are answered.", value=float(calls.talking))
    for side, loads in (("gateway", calls.gateways), ("route", calls.routes)):
        for name, text, values in (
            ("lines", "Calls at once", {load.name: load.lines for load in loads}),
            (
                "calls_per_second",
                "Calls begun in this second",
                {load.name: load.calls_this_second for load in loads},
            ),
            ("calls_today", "Calls that ended today (UTC)", {load.name: load.calls_today for load in loads}),
            (
                "asr_percent",
                "Answered calls in a hundred, today",
                {load.name: load.asr_percent for load in loads},
            ),
            ("acd_seconds", "Average talk time, today", {load.name: load.acd_s for load in loads}),
        ):
            kind = "mapping" if side == "gateway" else "routing"
            gauge = GaugeMetricFamily(
                f"ringfence_{side}_{name}", f"{text}, by {kind} gateway.", labels=[side]
            )
            for gateway, value in values.items():
                gauge.add_metric([gateway], value)
            yield gauge


def _of_vendors(vendors: Vendors) -> Iterator[Metric]:
    registered = GaugeMetricFamily(
        "ringfence_route_registered",
        "Whether we are registered with a routing gateway that we are to register with.",
        labels=["route"],
    )
    failures = GaugeMetricFamily(
        "ringfence_route_registration_failures",
        "Tries to register that failed, in a row, by routing gateway.",
        labels=["route"],
    )
    healthy = GaugeMetricFamily(
        "ringfence_route_healthy",
        "Whether a routing gateway that is asked by OPTIONS is taken to be there.",
        labels=["route"],
    )
    for vendor in vendors.vendors:
        ours = vendor.registration
        if ours is not None:
            registered.add_metric([vendor.name], float(ours.standing == "registered"))
            failures.add_metric([vendor.name], ours.failures)
        if vendor.health is not None:
            healthy.add_metric([vendor.name], float(vendor.health.is_alive))
    yield from (registered, failures, healthy)


def exposition(stats: Stats, switch: Switch) -> tuple[bytes, str]:
    """The body of a scrape and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(stats, switch.counters(), switch.call_counts(), switch.vendors()))
    return generate_latest(registry), CONTENT_TYPE_LATEST
