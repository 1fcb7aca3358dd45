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
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=_TIMEOUT
        ) as answer:  # loopback
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return []
    return lines_of(text)


def lines_of(text: str) -> list[tuple[str, object]]:
    """Give metrics in Prometheus' text format as lines for people: totals, and the worst of ages and lags."""
    samples: Samples = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name].append((dict(sample.labels), sample.value))
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


def _worst(ages: list[tuple[float, str]]) -> str:
    age, symbol = max(ages)
    return f"{age:,.0f} s ({symbol})"


def _means(samples: Samples, name: str) -> list[tuple[str, float]]:
    counts = {labels.get("step", ""): value for labels, value in samples[f"{name}_count"]}
    sums = {labels.get("step", ""): value for labels, value in samples[f"{name}_sum"]}
    return [(step, sums[step] / count) for step, count in sorted(counts.items()) if count]
