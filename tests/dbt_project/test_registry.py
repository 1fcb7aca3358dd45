"""The mart's columns, the registry, the yml and the catalogue name the same features."""

import csv
import os
import shutil
from pathlib import Path

import pytest
import yaml

from perpmart import build
from perpmart.build import PROJECT, BuildError, run_dbt
from perpmart.database import Connection

from .mart import KEYS, feature_names, read_frame

MODELS = PROJECT / "dbt_project" / "models" / "features"
GROUPS = (
    *("price", "volume", "oi", "funding", "liquidations", "ls_ratio", "order_book", "time", "cross_asset"),
    "quality",
)


def columns_of(connection: Connection, relation: str) -> list[str]:
    description = connection.execute(f"select * from {relation} limit 0".encode()).description or ()
    return [column.name for column in description]


def documented() -> dict[str, dict[str, dict[str, object]]]:
    """Model -> column -> what its yml says."""
    found = {}
    for path in sorted(MODELS.glob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]:
            found[model["name"]] = {column["name"]: column for column in model["columns"]}
    return found


def features_of(columns: dict[str, dict[str, object]]) -> list[str]:
    return [name for name, one in columns.items() if "meta" in one.get("config", {})]  # type: ignore[operator]


@pytest.fixture(scope="session")
def catalogue() -> list[dict[str, str]]:
    given = os.environ.get("PERPMART_SHARED_DATA")
    folder = Path(given).parent if given else PROJECT.parent / "shared"
    path = folder / "feature_catalogue.csv"
    if not path.is_file():
        pytest.skip(f"no feature catalogue in {folder}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_mart_holds_each_feature_of_the_catalogue_once_and_none_besides(
    mart: Connection, catalogue: list[dict[str, str]]
) -> None:
    named = [row["feature"] for row in catalogue]
    assert len(named) == len(set(named)) == 170
    columns = columns_of(mart, "mart.feature_mart")
    assert columns[: len(KEYS)] == list(KEYS)
    assert sorted(columns[len(KEYS) :]) == sorted(named)


def test_registry_says_of_each_feature_what_the_catalogue_says(
    mart: Connection, catalogue: list[dict[str, str]]
) -> None:
    registry = read_frame(mart, "select * from mart.feature_registry").set_index("feature")
    for row in catalogue:
        said = registry.loc[row["feature"]]
        expected = (row["group"], row["unit"], row["warmup"], row["comparable"] == "1", row["definition"])
        assert tuple(said[["feature_group", "unit", "warmup", "comparable", "formula"]]) == expected


def test_mart_is_the_union_of_the_features_of_the_models_in_its_order(
    mart: Connection,
) -> None:
    features = [name for columns in documented().values() for name in features_of(columns)]
    assert len(features) == len(set(features))
    assert columns_of(mart, "mart.feature_mart") == [*KEYS, *feature_names(mart)]
    assert sorted(feature_names(mart)) == sorted(features)


@pytest.mark.parametrize("group", GROUPS)
def test_view_of_a_group_shows_its_features(mart: Connection, group: str) -> None:
    rows = mart.execute(
        "select feature from mart.feature_registry where feature_group = %s order by ordinal", [group]
    ).fetchall()
    assert rows
    assert columns_of(mart, f"mart.{group}_features") == [*KEYS, *(name for (name,) in rows)]


def test_tables_have_exactly_the_columns_of_their_yml(mart: Connection) -> None:
    for model, columns in documented().items():
        assert columns_of(mart, f"features.{model}") == list(columns), model


def test_registry_tells_everything_about_every_feature(mart: Connection) -> None:
    empty = mart.execute(
        "select feature from mart.feature_registry where '' in"
        " (feature, feature_group, unit, warmup, description, formula, inputs, null_meaning, relation)"
    ).fetchall()
    assert empty == []
    described = mart.execute(
        "select count(distinct description), count(*) from mart.feature_registry"
    ).fetchone()
    assert described == (170, 170)


def test_comments_of_the_tables_describe_each_column(mart: Connection) -> None:
    for model, columns in documented().items():
        comments = dict(
            mart.execute(
                "select attname, col_description(attrelid, attnum) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
                [f"features.{model}"],
            ).fetchall()
        )
        assert comments == {name: one["description"] for name, one in columns.items()}, model


@pytest.mark.parametrize("relation", ["mart.feature_mart", *(f"mart.{group}_features" for group in GROUPS)])
def test_comments_of_the_mart_explain_each_feature(mart: Connection, relation: str) -> None:
    rows = mart.execute(
        """
        select a.attname, coalesce(col_description(a.attrelid, a.attnum), ''),
            r.description, r.formula, r.unit, r.warmup, r.inputs, r.null_meaning
        from pg_attribute as a join mart.feature_registry as r on r.feature = a.attname
        where a.attrelid = %s::regclass and a.attnum > 0
        """,
        [relation],
    ).fetchall()
    assert rows
    for name, comment, *told in rows:
        assert all(part in comment for part in told), name


def test_column_that_only_the_sql_has_stops_the_build(
    mart_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "dbt_project", tmp_path / "dbt_project")
    model = tmp_path / "dbt_project/models/features/feat_quality__inputs.sql"
    text = model.read_text(encoding="utf-8")
    model.write_text(text.replace("        is_filled,\n        {{ r", "        is_filled, 1 as extra, {{ r"))
    assert "extra" in model.read_text(encoding="utf-8")
    monkeypatch.setattr(build, "PROJECT", tmp_path)
    with pytest.raises(BuildError, match=r"feat_quality__inputs.*extra"):
        run_dbt(["run", "--select", "feat_quality__inputs"], mart_url)


def test_registered_columns_are_those_that_the_compiled_sql_gives(mart: Connection) -> None:
    for columns, text in mart.execute("select columns, compiled_sql from models").fetchall():
        given = mart.execute(f"select * from ({text}) as computed limit 0".encode()).description or ()
        assert [column.name for column in given] == columns


def test_a_database_without_schemas_stops_dbt_with_what_to_do(database_url: str) -> None:
    with pytest.raises(BuildError, match="has no perpmart schema yet: run `perpmart init` first"):
        run_dbt(["run"], database_url)
