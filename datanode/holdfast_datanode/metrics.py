"""Figures of a data node in Prometheus' text form, made when they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from holdfast_datanode.config import split_address
from holdfast_datanode.workers import WorkerState, WorkerStatus
from holdfast_kvstore.errors import ConfigInvalid

_PREFIX = "holdfast_datanode_"
GAUGES = frozenset(
    {
        *("capacity_bytes", "used_bytes", "blocks", "blocks_in_flight", "connections"),
        *("extents", "extents_free", "pins", "pinned_bytes", "index_bytes"),
    }
)
"""Names of the native node's statistics that may fall; all others only rise."""


class DataNodeCollector(Collector):
    """Reads the native node's statistics and the workers' status at each scrape."""

    def __init__(
        self,
        stats: Callable[[], Mapping[str, Any]],
        workers: Callable[[], Sequence[WorkerStatus]],
        membership: Callable[[], Mapping[str, int]],
    ) -> None:
        self._stats = stats
        self._workers = workers
        self._membership = membership

    def collect(self) -> Iterable[Metric]:
        """Every family once."""
        stats = self._stats()
        yield from self._native_families(stats)
        tenants = GaugeMetricFamily(
            f"{_PREFIX}tenant_used_bytes", "Payload that a tenant holds here", labels=["tenant"]
        )
        for number, used_bytes in stats.get("tenants", {}).items():
            tenants.add_metric([str(number)], used_bytes)
        yield tenants
        for name, value in self._membership().items():
            yield GaugeMetricFamily(_PREFIX + name, name.replace("_", " "), value=value)
        yield from self._worker_families()

    @staticmethod
    def _native_families(stats: Mapping[str, Any]) -> Iterator[Metric]:
        for name, value in stats.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            yield family(_PREFIX + name, name.replace("_", " "), value=value)

    def _worker_families(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            f"{_PREFIX}worker_state", "1 for the state that it is in", labels=["worker", "state"]
        )
        errors = CounterMetricFamily(
            f"{_PREFIX}worker_errors", "Steps that failed", labels=["worker"]
        )
        figures = GaugeMetricFamily(
            f"{_PREFIX}worker_figure", "Progress by name", labels=["worker", "figure"]
        )
        for status in self._workers():
            for each in WorkerState:
                state.add_metric([status.name, each.value], float(status.state is each))
            errors.add_metric([status.name], status.errors)
            for name, value in status.figures.items():
                figures.add_metric([status.name, name], value)
        yield from (state, errors, figures)


class MetricsServer:
    """HTTP on one address; every path answers the figures."""

    def __init__(self, listen: str, collector: Collector) -> None:
        """Binds and serves. Raises ConfigInvalid if the address cannot be had."""
        registry = CollectorRegistry()
        registry.register(collector)
        host, port = split_address(listen)
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigInvalid(f"metrics.listen {listen}: {error.strerror}") from error
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Ends within a second."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        self._thread.join(1.0)
        self._server.server_close()
