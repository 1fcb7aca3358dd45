"""What a running `perpmart stream` or `perpmart live` says of itself, read from its metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

_PAGE = "http://127.0.0.1:{port}/metrics"
_TIMEOUT = 2.0
_PLAIN = {
    "perpmart_messages": "messages",
    "perpmart_connections": "sockets opened",
    "perpmart_connections_lost": "sockets lost",
    "perpmart_silences": "silences noticed",
    "perpmart_requests": "REST requests",
    "perpmart_used_weight": "used weight",
    "perpmart_rate_limited": "answers 429",
    "perpmart_banned": "answers 418",
    "perpmart_poll_errors_total": "polls failed",
    "perpmart_vectors_revised_total": "vectors revised",
    "perpmart_parity_mismatches": "parity mismatches",
}
_LABELLED = {
    "perpmart_rows_total": "rows",
    "perpmart_holes_total": "holes",
    "perpmart_vectors_total": "vectors",
    "perpmart_failures_total": "failures of",
}
Samples = dict[str, list[tuple[dict[str, str], float]]]


def read_live(port: int) -> list[tuple[str, object]]:
    """Give the figures of the process on a loopback port as lines of a table; none when nobody answers."""
    text = _read(port)
    return [] if text is None else lines_of(text)


def age_of_vectors(port: int) -> float | None:
    """Give the age of the newest vector that a live process has served, in seconds since its bar's close.

    None when nobody answers on the loopback port, or nothing was served yet.
    """
    ages = [value for _, value in _samples(_read(port) or "")["perpmart_vector_age_seconds"]]
    return min(ages, default=None)


def _read(port: int) -> str | None:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=_TIMEOUT
        ) as answer:  # loopback
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def lines_of(text: str) -> list[tuple[str, object]]:
    """Give metrics in Prometheus' text format as lines for people: totals, and the worst of ages and lags."""
    samples = _samples(text)
    lines: list[tuple[str, object]] = []
    for stream in sorted({labels["stream"] for labels, _ in samples["perpmart_lag_seconds"]}):
        ages = [(v, one["symbol"]) for one, v in samples["perpmart_lag_seconds"] if one["stream"] == stream]
        lines.append((f"lag of {stream}", _worst(ages)))
    ages = [(value, labels["symbol"]) for labels, value in samples["perpmart_vector_age_seconds"]]
    if ages:
        lines.append(("age of vectors", _worst(ages)))
    for name, title in _LABELLED.items():
        for labels, value in sorted(samples[name], key=lambda one: sorted(one[0].items())):
            lines.append((f"{title} {next(iter(labels.values()), '')}".strip(), int(value)))
    lines += [(title, int(value)) for name, title in _PLAIN.items() for _, value in samples[name]]
    for step, mean in _means(samples, "perpmart_step_seconds"):
        lines.append((f"mean seconds of {step}", mean))
    lines += [
        ("mean seconds from last kline to Redis", mean)
        for _, mean in _means(samples, "perpmart_latency_seconds")
    ]
    return lines


def _samples(text: str) -> Samples:
    samples: Samples = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name].append((dict(sample.labels), sample.value))
    return samples


def _worst(ages: list[tuple[float, str]]) -> str:
    age, symbol = max(ages)
    return f"{age:,.0f} s ({symbol})"


def _means(samples: Samples, name: str) -> list[tuple[str, float]]:
    counts = {labels.get("step", ""): value for labels, value in samples[f"{name}_count"]}
    sums = {labels.get("step", ""): value for labels, value in samples[f"{name}_sum"]}
    return [(step, sums[step] / count) for step, count in sorted(counts.items()) if count]
