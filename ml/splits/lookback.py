"""How far back a feature looks: what an embargo has to be as long as."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

from ml.errors import MlError, UnknownFeatureError
from ml.registry import Feature, Registry
from ml.timerange import BASE_WIDTH

_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "settlement": timedelta(hours=8),  # the longest interval that the exchange uses
    "settlements": timedelta(hours=8),
    "snapshot": timedelta(hours=24),  # a snapshot is carried for a day at most
    "snapshots": timedelta(hours=24),
}
_BARS_OF = re.compile(r"(\d+) x (\d+)([mhd])")
_COUNTED = re.compile(r"(\d+) (settlements?|snapshots?|[mhd])")
_NAMED = re.compile(r"(\d+) (min|h|d|hours?|days?)\b")
_WORD = re.compile(r"[a-z][a-z0-9_]+")


def lookback(feature: Feature, registry: Registry) -> timedelta:
    """Length of the history that a feature's value depends on.

    It is the warm-up plus the bar itself, or a longer duration that the formula names, plus that of other
    features that the formula is made of ("the same" means the feature before it). What a recursion (EMA,
    Wilder) remembers beyond its warm-up, and the whole history of a cumulative sum, are not counted.

    Raises
    ------
    MlError
        The registry's warm-up is not of a form that is understood here.

    Examples
    --------
    >>> from ml.registry import Feature, Registry
    >>> one = Feature("return_20", "price", "ratio", "20", True, "close / lag(close;20) - 1")
    >>> lookback(one, Registry((one,)))
    datetime.timedelta(seconds=6300)
    """
    return _lookback(feature, registry, frozenset())


def _lookback(feature: Feature, registry: Registry, seen: frozenset[str]) -> timedelta:
    own = max(_warmup(feature), _named_duration(feature.formula))
    seen |= {feature.name}
    used = [other for other in _used(feature, registry) if other.name not in seen]
    return own + max((_lookback(other, registry, seen) for other in used), default=timedelta(0))


def longest_lookback(names: Iterable[str], registry: Registry) -> timedelta:
    """Longest look-back of some features.

    Raises
    ------
    UnknownFeatureError
        A name is not in the registry: nothing is known of how far it looks back.
    """
    known = {feature.name: feature for feature in registry.features}
    names = [str(name) for name in names]
    if unknown := [name for name in names if name not in known]:
        raise UnknownFeatureError(f"not in the registry: {', '.join(unknown[:5])}; give an embargo yourself")
    return max((lookback(known[name], registry) for name in names), default=timedelta(0))


def _warmup(feature: Feature) -> timedelta:
    """Length of a warm-up: bars, longer bars, settlements, hours, and sums of those, plus the bar itself."""
    total = BASE_WIDTH
    for part in feature.warmup.split("+"):
        term = part.strip()
        if term.isdigit():
            total += int(term) * BASE_WIDTH
        elif (bars := _BARS_OF.fullmatch(term)) is not None:
            total += int(bars[1]) * int(bars[2]) * _UNITS[bars[3]]
        elif (counted := _COUNTED.fullmatch(term)) is not None:
            total += int(counted[1]) * _UNITS[counted[2]]
        else:
            # Taken for nothing it would make the embargo too short, and nobody would notice.
            raise MlError(
                f"feature {feature.name}: warm-up {feature.warmup!r} of the registry is not understood;"
                " give an embargo yourself"
            )
    return total


def _named_duration(formula: str) -> timedelta:
    """Longest duration that a formula names, such as 30 d or 7 days."""
    found = (int(count) * _UNITS[unit[0]] for count, unit in _NAMED.findall(formula))
    return max(found, default=timedelta(0))


def _used(feature: Feature, registry: Registry) -> list[Feature]:
    """Other features that the formula is made of."""
    words = set(_WORD.findall(feature.formula)) - {feature.name}
    used = [other for other in registry.features if other.name in words]
    if "the same" in feature.formula:
        place = registry.features.index(feature)
        used += registry.features[max(place - 1, 0) : place]
    return used
