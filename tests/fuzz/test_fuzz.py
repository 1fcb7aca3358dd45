"""Every parser and the importer, on thousands of inputs that somebody broke on purpose."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .targets import TARGETS, seeds_of

QUICK = settings(
    max_examples=40, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["", "NaN", "inf", "-1", "1e400", "0x1", "1_000", " 1", "9" * 400, "SOLUSDT", "\ud800"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def broken(seed: object, draw: random.Random, value: object) -> object:
    """Replace, remove or double one part of a payload, chosen at random anywhere in it."""
    if isinstance(seed, dict) and seed and draw.random() < 0.9:
        key = draw.choice(sorted(seed))
        if draw.random() < 0.15:
            return {name: inner for name, inner in seed.items() if name != key}
        return seed | {key: broken(seed[key], draw, value)}
    if isinstance(seed, list) and seed and draw.random() < 0.9:
        place = draw.randrange(len(seed))
        if draw.random() < 0.15:
            return seed[:place] + seed[place + 1 :]
        return [*seed[:place], broken(seed[place], draw, value), *seed[place + 1 :]]
    return value


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_hold(name: str) -> None:
    seeds = seeds_of(name)
    assert seeds, f"tests/fuzz/seeds/{name} is empty"
    for seed in seeds:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_rows_or_typed_errors(name: str) -> None:
    seeds = seeds_of(name)

    @QUICK
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        draw = random.Random(data.draw(st.integers(0, 2**32)))
        for seed in seeds:
            try:
                payload = json.loads(seed)
            except ValueError:
                TARGETS[name](mangled(seed, draw, data))
                continue
            try:
                text = json.dumps(broken(payload, draw, data.draw(VALUES)))
            except ValueError:
                continue
            TARGETS[name](text.encode("utf-8", "surrogatepass"))
        TARGETS[name](data.draw(st.binary(max_size=200)))

    attack()


def mangled(seed: bytes, draw: random.Random, data: st.DataObject) -> bytes:
    """Cut a piece out of the bytes and put another one there."""
    start = draw.randrange(len(seed) + 1)
    end = min(len(seed), start + draw.randrange(9))
    return seed[:start] + data.draw(st.binary(max_size=8)) + seed[end:]
