"""Randomness that does not depend on who asks, in what order, or for how long a range.

Two kinds. A *named stream* is a generator seeded by (market seed, name); the first n of its draws are the
same whatever n is, so a longer market begins like a shorter one. *Scattered* draws are a hash of an integer
key (an instant, an event's number): any of them can be had without the ones before.
"""

from __future__ import annotations

import zlib
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


def stream(seed: int, *name: str) -> np.random.Generator:
    """Return the generator of a named stream.

    Parameters
    ----------
    seed : int
        The market's seed.
    *name : str
        Parts of the stream's name, for instance a symbol and a purpose.
    """
    return np.random.default_rng([seed, zlib.crc32("/".join(name).encode())])


def autoregressive(shocks: Floats, *, memory: float, scale: float = 1.0) -> Floats:
    """Return an AR(1) series of stationary deviation `scale` driven by standard normal `shocks` (shape (n,)).

    Runs strictly forward: a prefix of the shocks gives a prefix of the series.
    """
    gain = scale * np.sqrt(1.0 - memory**2)
    driven = shocks * gain
    driven[:1] = shocks[:1] * scale
    return decaying_sum(driven, memory=memory)


def decaying_sum(values: Floats, *, memory: float) -> Floats:
    """Return ``s[t] = memory * s[t-1] + values[t]`` (shape (n,)), run strictly forward."""
    # Exponential smoothing is the same recursion with its input scaled, but for the first value.
    scaled = values / (1.0 - memory)
    scaled[:1] = values[:1]
    smoothed = pd.Series(scaled).ewm(alpha=1.0 - memory, adjust=False).mean()
    return np.array(smoothed, dtype=np.float64)


def separate(values: Ints, *, step: int = 1) -> Ints:
    """Return `values` (shape (n,)) moved by whole `step` where neighbours were equal, so that none are."""
    result = values.copy()
    for position in np.flatnonzero(result[1:] == result[:-1]) + 1:
        index = int(position)
        while index < len(result) and result[index] == result[index - 1]:
            result[index] += step
            index += 1
    return result


def scattered(seed: int, name: str, keys: Ints) -> Floats:
    """Return one uniform number in (0, 1) for each integer key (any shape), by SplitMix64's mixing steps."""
    salt = np.uint64((zlib.crc32(name.encode()) << 32) ^ (seed & 0xFFFFFFFF))
    with np.errstate(over="ignore"):
        mixed = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + salt
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / float(1 << 53)


def scattered_normal(seed: int, name: str, keys: Ints) -> Floats:
    """Return one standard normal number for each integer key (any shape), by Box and Muller's way."""
    radius = np.sqrt(-2.0 * np.log(scattered(seed, f"{name}/radius", keys)))
    return radius * np.cos(2.0 * np.pi * scattered(seed, f"{name}/angle", keys))


def decimal(units: Ints | Floats, decimals: int) -> Floats:
    """Return ``units / 10**decimals``: exactly the double that the decimal's text parses to."""
    return np.asarray(units, dtype=np.float64) / 10.0**decimals


def to_units(values: Floats, decimals: int) -> Ints:
    """Return `values` as whole units of ``10**-decimals``, rounded to nearest."""
    return np.rint(np.asarray(values) * 10.0**decimals).astype(np.int64)
