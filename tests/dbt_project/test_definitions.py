"""A changed formula, function, view, seed or var is noticed, said, and rebuilt with its children only."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis

from ml.data_loader import MarketDataLoader
from ml.errors import FeatureSetError
from ml.feature_store import FeatureStore
from ml.feature_store_writer import FeatureStoreWriter
from ml.registry import read_registry
from perpmart import build as building
from perpmart.build import BuildError, build
from perpmart.database import Connection, connect_to
from perpmart.push import push

from .first_build import differences_to_first_build
from .mart import Databases
from .project import changed, copy_project, fill, look, messages, touched
from .test_partial_runs import url_of

FROM_OI = {"feat_oi__interest", "feat_cross_asset__market"}
FROM_BARS = {
    *(
        "bars_5m",
        "feat_funding__rates",
        "feat_liquidations__pressure",
        "feat_ls_ratio__accounts",
        "feat_order_book__depth",
    ),
    *("feat_price__higher_timeframe", "feat_price__momentum", "feat_price__range", "feat_price__returns"),
    *("feat_price__trend", "feat_quality__inputs", "feat_volume__activity", "feat_volume__flow", *FROM_OI),
}
# The day is not complete.
ROLLUPS = {
    *("roll_liquidations_5m", "roll_ohlcv_15m", "roll_ohlcv_1h", "roll_ohlcv_4h", "roll_order_book_5m"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Models folder of a copy of the project, which `build` takes for the checkout."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    patch = pytest.MonkeyPatch()
    patch.setattr(building, "PROJECT", folder)
    yield folder / "dbt_project"
    patch.undo()


@pytest.fixture(scope="module")
def url(databases: Databases, project: Path) -> str:
    """Address of a database brought up to date by dbt; the module's tests leave it as they find it."""
    made = databases.make()
    with connect_to(made) as connection:
        fill(made, connection, 0)
    build(made)
    return made


@pytest.fixture
def mart(url: str) -> Iterator[Connection]:
    """Connection to it."""
    with connect_to(url) as connection:
        yield connection
        connection.rollback()


def rebuild(connection: Connection, **options: object) -> tuple[set[str], set[str]]:
    """Run dbt; gives the models of which rows were written, and those that said that they have changed."""
    before = look(connection)
    outcomes = build(url_of(connection), **options)  # type: ignore[arg-type]
    return touched(before, connection), set(messages(outcomes))


def definitions(connection: Connection) -> dict[str, str]:
    """Give, by model, the hash that the registry has of what its features are computed by."""
    found = connection.execute("select distinct relation, definition from mart.feature_registry").fetchall()
    connection.rollback()
    assert all(definition for _, definition in found)
    return dict(found)


def assert_new_meaning(connection: Connection, before: dict[str, str], written: set[str]) -> None:
    """What a feature is computed by has changed where its table was computed anew, and nowhere else."""
    after = definitions(connection)
    views = {"feat_time__calendar"} if "bars_5m" in written else set()
    assert {model for model in after if after[model] != before[model]} == (written & set(after)) | views


def test_nothing_changed_is_nothing_done(mart: Connection) -> None:
    count = (
        "select count(*), sum(oid::bigint), sum(xmin::text::bigint) from pg_class"
        " where relkind in ('v', 'r') and relnamespace::regnamespace::text !~ '^(pg_|seeds)'"
    )
    before = mart.execute(count).fetchone()
    assert rebuild(mart) == (set(), set())
    assert mart.execute(count).fetchone() == before, "a view was replaced or a table altered"


def test_a_changed_formula_rebuilds_its_model_and_what_is_made_from_it(
    databases: Databases, mart: Connection, project: Path
) -> None:
    with changed(
        project / "models/features/feat_oi__interest.sql",
        "open_interest_value as oi_value",
        "2 * open_interest_value as oi_value",
    ):
        assert rebuild(mart) == (FROM_OI, {"feat_oi__interest"})
    assert rebuild(mart) == (FROM_OI, {"feat_oi__interest"})
    assert differences_to_first_build(databases, mart) == []


def test_sql_alone_makes_another_feature_set_and_older_vectors_are_refused(
    mart: Connection, project: Path, redis_url: str
) -> None:
    before, client = read_registry(mart), redis.Redis.from_url(redis_url)
    namespace = f"test-{uuid4().hex[:8]}"
    writer = FeatureStoreWriter(client, namespace=namespace)

    def read(**options: str) -> str:
        store = FeatureStore(client, namespace=namespace, **options)  # type: ignore[arg-type]
        return store.get_latest(symbol, "5m", ["oi_value"], max_age=None, on_null="return").feature_set

    symbol = push(mart, writer)[0].symbol
    assert read(feature_set=before.feature_set.hash) == before.feature_set.hash
    with changed(
        project / "models/features/feat_oi__interest.sql",
        "open_interest_value as oi_value",
        "2 * open_interest_value as oi_value",
    ):
        rebuild(mart)
        after = read_registry(mart)
        assert [f._replace(definition="") for f in after.features] == [
            f._replace(definition="") for f in before.features
        ]
        assert after.feature_set.hash != before.feature_set.hash
        assert after.subset(["rsi_14"]).hash == before.subset(["rsi_14"]).hash
        loader = MarketDataLoader(url_of(mart))
        with pytest.raises(FeatureSetError, match=f"served with feature set {before.feature_set.hash}"):
            loader.load_features(None, "2026-01-01", "2027-01-01", as_of="served")
        push(mart, writer)
        assert read() == after.feature_set.hash
        with pytest.raises(FeatureSetError, match=f"{after.feature_set.hash}, expected is"):
            read(feature_set=before.feature_set.hash)
    rebuild(mart)
    assert read_registry(mart) == before


def test_comments_blanks_and_another_layout_are_the_same_feature_set(mart: Connection) -> None:
    (same,) = mart.execute(
        r"""select count(distinct source_hash(sql)) from (values ('select a from "raw"."x" -- as it is'),"""
        r""" (E'select a\n  from "raw"."x" ')) as v (sql)"""
    ).fetchone() or (0,)
    assert same == 1


def test_a_changed_function_rebuilds_the_models_that_call_it(mart: Connection) -> None:
    (source,) = mart.execute(
        "select pg_get_functiondef('not_negative(float8)'::regprocedure)"
    ).fetchone() or ("",)
    mart.rollback()
    before = definitions(mart)
    mart.execute(source.replace("0", "0.0").encode())
    mart.commit()
    written, named = rebuild(mart)
    # central_square calls it, and all deviations call that.
    assert {"feat_price__returns", "feat_price__trend", "feat_oi__interest"} <= named
    assert written >= named
    assert_new_meaning(mart, before, written)
    assert not written & {"bars_5m", "feat_price__momentum", "feat_quality__inputs", *ROLLUPS}
    mart.execute(source.encode())
    mart.commit()
    rebuild(mart)
    assert definitions(mart) == before


@pytest.mark.parametrize(
    ("variable", "value", "written", "named"),
    [
        ("order_book_max_age", "30 seconds", {"feat_order_book__depth"}, {"feat_order_book__depth"}),
        ("benchmark_symbol", "ETH/USDT", {"feat_cross_asset__market"}, {"feat_cross_asset__market"}),
        # In a staging view alone, which the models read.
        ("lag_taker_volume", "6 minutes", FROM_BARS, {"bars_5m"}),
    ],
)
def test_a_changed_var_rebuilds_the_models_that_use_it(
    mart: Connection, project: Path, variable: str, value: str, written: set[str], named: set[str]
) -> None:
    settings = project.parent / "dbt_project.yml"
    line = next(
        line
        for line in settings.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"  {variable}:")
    )
    before = definitions(mart)
    with changed(settings, line, f"  {variable}: {value}"):
        assert rebuild(mart) == (written, named)
        assert_new_meaning(mart, before, written)
    assert rebuild(mart) == (written, named)
    assert definitions(mart) == before


def test_a_changed_universe_rebuilds_the_ranks(mart: Connection, project: Path) -> None:
    with changed(
        project / "seeds/universe.csv", "ETH/USDT,2021-01-01T00:00:00Z,", "ETH/USDT,2026-03-02T12:00:00Z,"
    ):
        assert rebuild(mart) == ({"feat_cross_asset__market"}, {"feat_cross_asset__market"})
    assert rebuild(mart)[0] == {"feat_cross_asset__market"}


def test_a_users_view_and_grants_survive_a_full_refresh(databases: Databases, mart: Connection) -> None:
    mart.execute("drop view if exists public.mine; drop view if exists public.mine_too")
    mart.execute("do $$ begin create role perpmart_reader; exception when duplicate_object then null; end $$")
    mart.execute("create view public.mine as select symbol, time, sma_20, oi_value from mart.feature_mart")
    mart.execute("create view public.mine_too as select symbol, time, sma_20 from features.feat_price__trend")
    mart.execute("grant select on mart.feature_mart, features.feat_price__trend to perpmart_reader")
    mart.commit()
    before = mart.execute("select count(*), sum(oi_value) from public.mine").fetchone()
    mart.rollback()
    written, named = rebuild(mart, full_refresh=True)
    assert written == FROM_BARS | ROLLUPS
    assert named == set()
    assert mart.execute("select count(*), sum(oi_value) from public.mine").fetchone() == before
    row = mart.execute(
        "select has_table_privilege('perpmart_reader', 'mart.feature_mart', 'select'),"
        " has_table_privilege('perpmart_reader', 'features.feat_price__trend', 'select')"
    ).fetchone()
    assert row == (True, True)
    assert differences_to_first_build(databases, mart) == []
    mart.execute(
        "drop view public.mine, public.mine_too; drop owned by perpmart_reader; drop role perpmart_reader"
    )
    mart.commit()


def test_a_column_that_a_users_view_needs_is_not_dropped(mart: Connection, project: Path) -> None:
    mart.execute(
        "create view public.needs_it as select symbol, time, bb_width from features.feat_price__trend"
    )
    mart.commit()
    folder = project / "models/features"
    text = (folder / "feat_price__trend.yml").read_text(encoding="utf-8")
    start = text.index("      - name: bb_width\n")
    entry = text[start : text.index("      - name: ", start + 10)]
    with (
        changed(folder / "feat_price__trend.yml", entry, ""),
        changed(folder / "feat_price__trend.sql", "        2 * band / sma_20 as bb_width,\n", ""),
    ):
        with pytest.raises(BuildError, match=r"bb_width .* needs_it|needs_it .*bb_width"):
            build(url_of(mart))
        assert mart.execute("select count(bb_width) from public.needs_it").fetchone() != (0,)
        mart.execute("drop view public.needs_it")
        mart.execute("grant select on mart.price_features to public")
        mart.commit()
        build(url_of(mart))
        for relation in ("features.feat_price__trend", "mart.feature_mart", "mart.price_features"):
            with pytest.raises(psycopg.errors.UndefinedColumn):
                mart.execute(f"select bb_width from {relation}".encode())
            mart.rollback()
        # The view had to be made anew: what others were granted came with it.
        grants = mart.execute(
            "select array_to_string(relacl, ' ') from pg_class where oid = 'mart.price_features'::regclass"
        ).fetchone()
        assert grants is not None
        assert " =r/" in " " + str(grants[0])
        mart.rollback()
    build(url_of(mart))
    assert mart.execute("select count(bb_width) from mart.feature_mart").fetchone() != (0,)


def test_a_new_description_reaches_the_comment_and_rebuilds_nothing(mart: Connection, project: Path) -> None:
    with changed(
        project / "models/features/feat_quality__inputs.yml",
        "Age of the long/short ratio in use at the close",
        "How old the ratio is",
    ):
        assert rebuild(mart) == (set(), set())
        row = mart.execute(
            "select col_description(attrelid, attnum) from pg_attribute"
            " where attrelid = 'features.feat_quality__inputs'::regclass and attname = 'ls_age_minutes'"
        ).fetchone()
        assert row is not None
        assert row[0] == "How old the ratio is"
        mart.rollback()
    rebuild(mart)
