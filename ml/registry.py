"""The feature registry as Python sees it: what a column means, and which set of columns this is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import psycopg
from psycopg import sql

from ml.errors import CorruptVectorError, MartMissingError, UnknownFeatureError
from perpmart.database import Connection


class Feature(NamedTuple):
    """One row of ``mart.feature_registry``; ``relation`` is the table that holds the feature."""

    name: str
    group: str
    unit: str
    warmup: str
    comparable: bool
    formula: str
    definition: str = ""
    relation: str = ""


@dataclass(frozen=True)
class FeatureSet:
    """Names, order, formulas and definitions of a vector's features.

    ``hash`` changes when a name, the order, a formula or what is really computed changes: a model trained on
    one set must not silently read another one, not even one with the same names.

    Parameters
    ----------
    names : tuple of str
        Features in registry order.
    formulas : tuple of str
        The formula of each, in the same order.
    definitions : tuple of str
        The hash of all SQL that each is computed by (``mart.feature_registry.definition``), in the same
        order; empty in sets of versions that did not keep it.
    """

    names: tuple[str, ...]
    formulas: tuple[str, ...]
    definitions: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """The first 16 hex digits of the SHA-256 of `to_json`'s text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @cached_property
    def positions(self) -> dict[str, int]:
        """Place of each feature in the vector."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def meanings(self) -> dict[str, tuple[str, ...]]:
        """Formula and definition of each feature: equal ones are the same feature."""
        said = zip(self.formulas, *([self.definitions] if self.definitions else []), strict=True)
        return dict(zip(self.names, said, strict=True))

    def places(self, names: Iterable[str]) -> list[int]:
        """Places of the named features.

        Raises
        ------
        UnknownFeatureError
            A name is not in the set.
        """
        names = list(names)
        if unknown := [name for name in names if name not in self.positions]:
            raise UnknownFeatureError(f"no such feature in set {self.hash}: {', '.join(map(str, unknown))}")
        return [self.positions[name] for name in names]

    def to_json(self) -> str:
        """Text under which the set is kept beside the vectors."""
        columns = [self.names, self.formulas, *([self.definitions] if self.definitions else [])]
        return json.dumps([list(feature) for feature in zip(*columns, strict=True)])

    @classmethod
    def from_json(cls, text: str | bytes) -> FeatureSet:
        """Read `to_json`'s text.

        Raises
        ------
        CorruptVectorError
            The text is not a feature set.
        """
        try:
            features = [
                (str(name), str(formula), *map(str, more)) for name, formula, *more in json.loads(text)
            ]
            return cls(*zip(*features, strict=True)) if features else cls((), ())
        except (ValueError, TypeError) as error:
            raise CorruptVectorError(f"the stored feature set is unreadable: {error}") from None


@dataclass(frozen=True)
class Registry:
    """All features of the mart, in catalogue order."""

    features: tuple[Feature, ...]

    @cached_property
    def feature_set(self) -> FeatureSet:
        """The set of all features: what a pushed vector holds."""
        return self.subset([f.name for f in self.features])

    def subset(self, names: Sequence[str]) -> FeatureSet:
        """The set of some features, in the given order."""
        by_name = {f.name: f for f in self.features}
        chosen = [by_name[name] for name in names]
        return FeatureSet(tuple(names), tuple(f.formula for f in chosen), tuple(f.definition for f in chosen))

    def select(
        self,
        *,
        groups: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        comparable_only: bool = True,
    ) -> tuple[Feature, ...]:
        """Choose features, in catalogue order.

        Features named in ``features`` are taken whether comparable or not: who names a feature means it.

        Raises
        ------
        UnknownFeatureError
            A group or feature that the registry does not hold, or nothing is left.
        """
        named = _known(features, {f.name for f in self.features}, "feature")
        wanted = _known(groups, {f.group for f in self.features}, "group")
        chosen = tuple(
            f
            for f in self.features
            if (named is None or f.name in named)
            and (wanted is None or f.group in wanted)
            and (named is not None or f.comparable or not comparable_only)
        )
        if not chosen:
            raise UnknownFeatureError("no feature of the registry is in this choice")
        return chosen


def _known(asked: Sequence[str] | None, have: set[str], kind: str) -> frozenset[str] | None:
    """The asked names as a set, after checking that all exist."""
    if asked is None:
        return None
    names = frozenset([asked] if isinstance(asked, str) else asked)
    if missing := sorted(names - have):
        raise UnknownFeatureError(f"no such {kind}: {', '.join(map(str, missing))}")
    return names


def read_registry(connection: Connection, *, schema_prefix: str = "") -> Registry:
    """Read ``mart.feature_registry``.

    Raises
    ------
    MartMissingError
        The mart was never built in this database.
    """
    query = sql.SQL(
        "select feature, feature_group, unit, warmup::text, comparable::int = 1, formula, definition,"
        " relation from {} order by ordinal"
    ).format(sql.Identifier(f"{schema_prefix}mart", "feature_registry"))
    try:
        rows = connection.execute(query).fetchall()
    except psycopg.errors.UndefinedColumn:
        raise MartMissingError(
            f"{schema_prefix}mart was built by an older version: run `perpmart build` first"
        ) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise MartMissingError(
            f"schema {schema_prefix}mart holds no feature_registry: run `perpmart build` first"
        ) from None
    if not rows:
        raise MartMissingError(f"{schema_prefix}mart.feature_registry is empty: run `perpmart build` first")
    return Registry(tuple(Feature(*row) for row in rows))
