"""Which features can be made from what a caller gives: the registry's `inputs`, down to columns of bars."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import psycopg
from psycopg import sql

from ml.errors import MartMissingError, MlError
from perpmart.database import Connection

# Where an input is a raw table, the columns of the bars that are made from it; from books the bars have none.
_COLUMNS_OF_RAW: Mapping[str, tuple[str, ...]] = {
    "ohlcv": ("open", "high", "low", "close"),
    "coverage": ("is_filled",),
    "liquidations": ("long_liquidations", "short_liquidations", "liquidation_count", "max_liquidation"),
    "order_book": ("order_book",),
}
# An as-of value says nothing without its stamp where the models need the settlements themselves.
_TOGETHER: Mapping[str, tuple[str, ...]] = {"funding_rate": ("funding_rate", "funding_time")}
_INPUT = re.compile(r"(?P<name>\w+)(?: of (?P<whose>the benchmark|all symbols|5m klines))?")


@dataclass(frozen=True)
class FeatureInputs:
    """What every feature is made from, as the registry tells.

    Attributes
    ----------
    texts : the registry's `inputs` of each feature, in its order
    """

    texts: Mapping[str, str]

    @property
    def features(self) -> tuple[str, ...]:
        """All features, in registry order."""
        return tuple(self.texts)

    @cached_property
    def sources(self) -> dict[str, frozenset[str]]:
        """Columns of the bars of each feature; those of other symbols as ``close of the benchmark``.

        Raises
        ------
        MlError
            The registry's text is not of the form that is understood here.
        """
        return {feature: self._sources(feature) for feature in self.texts}

    def lacking(
        self, given: Collection[str], *, benchmark: bool, universe: bool
    ) -> dict[str, tuple[str, ...]]:
        """Features that cannot be made, each with the inputs that are not there.

        Parameters
        ----------
        given : columns of the bars that are there; ``order_book`` stands for books
        benchmark, universe : whether the benchmark's rows, and those of all symbols that rank, are there
        """
        have = {*given, "time"}
        missing: dict[str, tuple[str, ...]] = {}
        for feature, sources in self.sources.items():
            lacks = []
            for source in sorted(sources):
                name, _, whose = source.partition(" of ")
                there = {"": True, "the benchmark": benchmark, "all symbols": universe}[whose]
                if name not in have:
                    lacks.append(name)
                elif not there:
                    lacks.append(source)
            if lacks:
                missing[feature] = tuple(dict.fromkeys(lacks))
        return missing

    def _sources(self, feature: str) -> frozenset[str]:
        sources: set[str] = set()
        for part in re.split(r"[,;]\s*", self.texts[feature]):
            read = _INPUT.fullmatch(part)
            if read is None:
                raise MlError(f"feature {feature}: input {part!r} of the registry is not understood")
            name = read["name"]
            whose = "" if read["whose"] in (None, "5m klines") else f" of {read['whose']}"
            if name in self.texts and name != feature and name not in _COLUMNS_OF_RAW:
                names = {source.partition(" of ")[0] for source in self._sources(name)}
            else:
                names = set(_COLUMNS_OF_RAW.get(name) or _TOGETHER.get(name) or (name,))
            sources |= {one + whose for one in names}
        return frozenset(sources)


def read_inputs(connection: Connection, *, schema_prefix: str = "") -> FeatureInputs:
    """Read what each feature is made from out of the registry.

    Raises
    ------
    MartMissingError
        The mart was never built in this database.
    """
    query = sql.SQL("select feature, inputs from {} order by ordinal").format(
        sql.Identifier(f"{schema_prefix}mart", "feature_registry")
    )
    try:
        with connection.transaction():
            rows = connection.execute(query).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        rows = []
    if not rows:
        raise MartMissingError(f"{schema_prefix}mart.feature_registry is empty: run `perpmart build` first")
    return FeatureInputs(dict(rows))
