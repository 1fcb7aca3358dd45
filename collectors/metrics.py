"""What a running collector and a live mart tell about themselves, in Prometheus' format, on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collectors.coverage import Gap
from collectors.limits import Pool
from collectors.rows import Row, stream_of
from perpmart.errors import ServerError

if TYPE_CHECKING:
    from collectors.client import BinanceFuturesClient
    from collectors.stream_intake import Taken
    from collectors.stream_polls import Gathered
    from collectors.stream_socket import StreamCounts
    from collectors.writer import WriteResult

HOST = "127.0.0.1"
_STEPS = (0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one process.

    Parameters
    ----------
    now : callable
        Gives the exchange's time: ages are counted on its clock.
    registry : CollectorRegistry, optional
        A new one by default, so that two of them in a process do not mix.
    """

    def __init__(self, now: Callable[[], datetime], *, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._ages = _Ages(now)
        self.registry.register(self._ages)
        self.rows = self._counter("rows", "Rows that the database took", "outcome")
        self.messages = self._gauge("messages", "Messages received")
        self.connections = self._gauge("connections", "Sockets opened, the first ones included")
        self.losses = self._gauge("connections_lost", "Sockets that ended by themselves")
        self.silences = self._gauge("silences", "Alarms about streams that were connected but silent")
        self.holes = self._counter("holes", "Holes found, and what became of them", "outcome")
        self.used_weight = self._gauge("used_weight", "Request weight in use, of 2400 a minute")
        self.rate_limits = self._gauge("rate_limited", "Answers 429")
        self.bans = self._gauge("banned", "Answers 418")
        self.requests = self._gauge("requests", "REST requests sent")
        self.poll_errors = self._counter("poll_errors", "REST requests that failed for good")
        self.steps = self._histogram("step_seconds", "Duration of a step", "step")
        self.models = self._gauge("model_rows", "Rows that a model wrote in the last run", "model")
        self.latency = self._histogram("latency_seconds", "From a bar's last kline to its vectors in Redis")
        self.pushed = self._counter("vectors", "Vectors sent to the online store", "outcome")
        self.revised = self._counter("vectors_revised", "Vectors sent again because data were corrected")
        self.mismatches = self._gauge("parity_mismatches", "Served vectors that the mart does not give")
        self.failures = self._counter("failures", "Steps that failed and were tried again", "step")

    def serve(self, port: int) -> int:
        """Answer on a loopback port; gives the port (0 takes a free one).

        Raises
        ------
        ServerError
            When the port is taken.
        """
        try:
            server, _ = start_http_server(port, addr=HOST, registry=self.registry)
        except OSError as error:
            raise ServerError(f"metrics cannot be served on {HOST}:{port}: {error.strerror}") from error
        return int(server.server_port)

    def wrote(self, taken: Taken, result: WriteResult, counts: StreamCounts) -> None:
        """Note a write of streamed rows, and the state of the sockets."""
        self._count(result)
        self._ages.heard(taken.rows)
        self.connections.set(counts.connections)
        self.losses.set(counts.losses)
        self.silences.set(counts.silences)

    def polled(self, gathered: Gathered, client: BinanceFuturesClient) -> None:
        """Note a poll."""
        self._ages.heard(gathered.rows)
        self.poll_errors.inc(len(gathered.errors))
        self.requests.set(client.requests)
        self.used_weight.set(client.limiter.used(Pool.WEIGHT))
        self.rate_limits.set(client.limiter.pauses)
        self.bans.set(client.limiter.bans)

    def wrote_polled(self, result: WriteResult, closed: Sequence[Gap]) -> None:
        """Note a write of polled rows, and the holes that it closed."""
        self._count(result)
        for gap in closed:
            self.holes.labels(gap.state).inc()

    def found(self, gaps: Iterable[Gap]) -> None:
        """Note holes that were found."""
        for gap in gaps:
            self.holes.labels("found").inc()
            if gap.state == "unrepairable":
                self.holes.labels("unrepairable").inc()

    def served(self, symbol: str, available_at: datetime) -> None:
        """Note the newest vector of a symbol, by the time from which it may be used."""
        self._ages.vectors[symbol] = available_at

    def _count(self, result: WriteResult) -> None:
        for outcome in ("inserted", "updated", "unchanged", "superseded", "rejected"):
            self.rows.labels(outcome).inc(getattr(result, outcome))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"perpmart_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"perpmart_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"perpmart_{name}", text, labels, registry=self.registry, buckets=_STEPS)


class _Ages(Collector):
    """Ages at the moment of asking: a figure that stands still would hide that nothing comes any more."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._newest: dict[tuple[str, str], datetime] = {}
        self.vectors: dict[str, datetime] = {}

    def heard(self, rows: Iterable[Row]) -> None:
        for row in rows:
            at = getattr(row, "time", None) or getattr(row, "funding_time", None)
            if isinstance(at, datetime):
                key = (stream_of(row), row.symbol)
                self._newest[key] = max(at, self._newest.get(key, _LONG_AGO))

    def collect(self) -> Iterator[Metric]:
        now = self._now()
        lag = GaugeMetricFamily("perpmart_lag_seconds", "Age of the newest row", labels=["stream", "symbol"])
        for (stream, symbol), at in sorted(self._newest.copy().items()):
            lag.add_metric([stream, symbol], (now - at).total_seconds())
        age = GaugeMetricFamily("perpmart_vector_age_seconds", "Age of the newest vector", labels=["symbol"])
        for symbol, at in sorted(self.vectors.copy().items()):
            age.add_metric([symbol], (now - at).total_seconds())
        yield lag
        yield age


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
