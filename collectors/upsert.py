"""SQL texts of the writer, made from the description of a table; nothing here touches a database.

Names used in the statements: ``n`` the newcomer (a staged row), ``t`` the row that stands in the table,
``source`` of the call is spliced in as a literal (one of three known words).
"""

from collections.abc import Iterable
from functools import cache

from collectors.rows import SOURCES, Source
from collectors.tables import SLOT, Table


def staging_name(table: Table) -> str:
    """Name of the temporary table that receives the rows."""
    return f"staged_{table.name}"


@cache
def create_staging(table: Table) -> str:
    """Make the staging table: columns as in the raw table, but nothing is checked yet."""
    columns = [f"{name} {kind}" for name, kind in zip(table.columns, table.column_types, strict=True)]
    if table.slotted:
        columns.append(f"slot timestamptz generated always as ({SLOT}) stored")
    return (
        f"create temporary table {staging_name(table)} (ordinal bigint generated always as identity,"
        f" {', '.join(columns)}) on commit delete rows"
    )


@cache
def copy_rows(table: Table) -> str:
    """COPY the rows into the staging table."""
    return f"copy {staging_name(table)} ({', '.join(table.columns)}) from stdin (format binary)"


def refuse(table: Table, rules: Iterable[tuple[str, str]]) -> str:
    """Take impossible rows out of the staging table; gives (ordinal, reason, payload) of each.

    ``rules`` are pairs of an SQL condition that a row must not fulfil and the reason.
    """
    cases = " ".join(f"when {condition} then {_literal(reason)}" for condition, reason in rules)
    payload = ", ".join(f"'{column}', s.{column}" for column in table.columns)
    return (
        f"delete from {staging_name(table)} as s where (case {cases} end) is not null"
        f" returning s.ordinal, case {cases} end, jsonb_build_object({payload})::text"
    )


@cache
def find_repeated(table: Table) -> str:
    """Say whether a key was staged more than once."""
    key = ", ".join(table.key)
    return f"select exists (select from {staging_name(table)} group by {key} having count(*) > 1)"


@cache
def find_series(table: Table) -> str:
    """Give each staged series (key columns before the time), its first and last time, and its rows."""
    series = ", ".join(table.series)
    return (
        f"select {series}, min({table.clock}), max({table.clock}), count(*)"
        f" from {staging_name(table)} group by {series}"
    )


@cache
def find_neighbours(table: Table) -> str:
    """Say whether the table has rows within the bounds of any series; takes one array a column."""
    arrays = [*("%s::text[]" for _ in table.series), "%s::timestamptz[]", "%s::timestamptz[]"]
    same = " and ".join(f"t.{column} = g.{column}" for column in table.series)
    return (
        f"select exists (select from unnest({', '.join(arrays)}) as g ({', '.join(table.series)}, lo, hi)"
        f" where exists (select from {table.name} as t"
        f" where {same} and t.{table.clock} between g.lo and g.hi))"
    )


@cache
def insert_new(table: Table, source: Source) -> str:
    """Insert staged rows where the table has none in their range; fails when a key comes twice."""
    columns = _stored_columns(table)
    return (
        f"insert into {table.name} ({', '.join(columns)}, source, ingested_at)"
        f" select {', '.join(columns)}, '{source}', %(stamp)s from {staging_name(table)}"
        f" order by {', '.join(table.key)}"
    )


@cache
def merge_repeated(table: Table) -> str:
    """Let the last staged version of a key know what earlier versions of it knew and it does not."""
    staging, key = staging_name(table), ", ".join(table.key)
    same_time = " and s.time = s.newest_time" if table.slotted else ""
    known = ", ".join(
        f"(array_agg(s.{m} order by s.ordinal desc) filter (where s.{m} is not null{same_time}))[1] as {m}"
        for m in table.optional
    )
    newest = f", max(time) over (partition by {key}) as newest_time" if table.slotted else ""
    return (
        f"with s as (select *, first_value(ordinal) over ({_latest(table)}) as winner,"
        f" count(*) over (partition by {key}) as versions{newest} from {staging}),"
        f" known as (select s.winner, {known} from s where s.versions > 1 group by s.winner)"
        f" update {staging} as w set {', '.join(f'{m} = known.{m}' for m in table.optional)}"
        f" from known where w.ordinal = known.winner"
    )


@cache
def drop_repeated(table: Table, source: Source) -> str:
    """Keep one staged version of each key; gives how many went, and how many of them said something else."""
    staging = staging_name(table)
    losing = _any(_loses(table, m, f"g.{m}", f"w.{m}") for m in table.measures)
    return (
        f"with numbered as (select ordinal, first_value(ordinal) over ({_latest(table)}) as winner"
        f" from {staging}),"
        f" gone as (delete from {staging} as s using numbered as x"
        f" where s.ordinal = x.ordinal and x.ordinal <> x.winner returning s.*, x.winner),"
        f" judged as (select {_columns('g', table.key)}, {_columns('g', table.measures)}, {losing} as lost"
        f" from gone as g inner join {staging} as w on w.ordinal = g.winner),"
        f" noted as ({_note_losers(table, source, 'judged')})"
        f" select count(*), count(*) filter (where lost) from judged"
    )


@cache
def merge_new(table: Table, source: Source) -> str:
    """Bring staged rows (one a key) into a table that holds some of them; gives the four counts.

    Only rows whose measures, source or lenders change are touched. A version that equals what stands but
    comes from a stronger source raises the row's source: else a weaker latecomer could replace what it
    confirmed.
    """
    beaten = ", ".join(f"'{weaker}'" for weaker in SOURCES[: SOURCES.index(source) + 1])
    wins = f"t.source is null or t.source in ({beaten})"
    if table.slotted:
        weaker = ", ".join(f"'{name}'" for name in SOURCES[: SOURCES.index(source)]) or "null"
        wins = f"t.source is null or t.source in ({weaker}) or (t.source = '{source}' and n.time >= t.time)"
    standing = ", ".join(f"t.{m} as t_{m}" for m in table.measures)
    lent = "t.borrowed" if table.lends else "null::jsonb"
    values = ", ".join(f"{_value(table, m, source, beaten)} as v_{m}" for m in table.measures)
    changed = f"({_columns('v_', table.measures)}) is distinct from ({_columns('t_', table.measures)})"
    losing = _any(_loses(table, m, m, f"v_{m}") for m in table.measures)
    stored = [*_stored_columns(table), "source", "ingested_at", *(["borrowed"] if table.lends else [])]
    taken = [
        *(column if column in table.key else f"v_{column}" for column in _stored_columns(table)),
        "v_source",
        "case when known and not changed then t_ingested_at else %(stamp)s end",
        *(["v_borrowed"] if table.lends else []),
    ]
    assignments = ", ".join(f"{column} = excluded.{column}" for column in stored if column not in table.key)
    on_key = " and ".join(f"t.{column} = n.{column}" for column in table.key)
    return (
        f"with paired as (select n.*, {standing}, t.source as t_source, t.ingested_at as t_ingested_at,"
        f" {lent} as t_borrowed, t.source is not null as known, {wins} as wins"
        f" from {staging_name(table)} as n left join {table.name} as t on {on_key}"
        f" and t.symbol = any(%(symbols)s) and t.{table.clock} between %(lo)s and %(hi)s),"
        f" merged as (select *, {values}, case when wins then '{source}' else t_source end as v_source"
        f" from paired),"
        f" judged as materialized (select *, known and {changed} as changed, known and {losing} as lost,"
        f" {_borrowed(table, source, beaten)} as v_borrowed from merged),"
        f" put as (insert into {table.name} ({', '.join(stored)}) select {', '.join(taken)} from judged"
        f" where not known or changed or v_source <> t_source or v_borrowed is distinct from t_borrowed"
        f" order by {', '.join(table.key)}"
        f" on conflict ({', '.join(table.key)}) do update set {assignments}),"
        f" noted as ({_note_losers(table, source, 'judged')})"
        f" select count(*) filter (where not known), count(*) filter (where changed),"
        f" count(*) filter (where known and not changed and not lost),"
        f" count(*) filter (where lost and not changed) from judged"
    )


def _value(table: Table, measure: str, source: Source, beaten: str) -> str:
    """Give the measure that stands afterwards."""
    block = f"case when wins then {measure} else t_{measure} end"
    if measure not in table.optional:
        return block
    if table.slotted:
        # Two instants of a slot are two facts. Of the same one REST tells the prices, in halves, and the
        # stream alone the predicted funding rate: what one leaves unknown the other has said.
        return (
            f"case when known and t_time = time and wins then coalesce({measure}, t_{measure})"
            f" when known and t_time = time then coalesce(t_{measure}, {measure})"
            f" when wins then {measure} else t_{measure} end"
        )
    return f"case when {_takes(measure, beaten)} then {measure} else t_{measure} end"


def _takes(measure: str, beaten: str) -> str:
    lender = f"coalesce(t_borrowed ->> '{measure}', t_source)"
    return f"{measure} is not null and (t_{measure} is null or {lender} in ({beaten}))"


def _borrowed(table: Table, source: Source, beaten: str) -> str:
    """Give the lenders that stand afterwards: measures whose source is not the row's."""
    if not table.lends:
        return "null::jsonb"
    lenders = ", ".join(
        f"'{m}', case when v_{m} is not null then nullif(case when {_takes(m, beaten)} then '{source}'"
        f" else coalesce(t_borrowed ->> '{m}', t_source) end, v_source) end"
        for m in table.optional
    )
    # Most rows have nothing to borrow: building json for each would cost more than all the rest.
    whole = _any(f"{m} is null" for m in table.optional)
    return (
        f"case when known and (t_borrowed is not null or not wins or {whole})"
        f" then nullif(jsonb_strip_nulls(jsonb_build_object({lenders})), '{{}}') end"
    )


def _loses(table: Table, measure: str, newcomer: str, standing: str) -> str:
    """Say whether what a version says of a measure is not what stands; unknown says nothing."""
    differs = f"{newcomer} is distinct from {standing}"
    return f"({newcomer} is not null and {differs})" if measure in table.optional else f"({differs})"


def _note_losers(table: Table, source: Source, relation: str) -> str:
    def as_json(columns: Iterable[str]) -> str:
        return f"jsonb_build_object({', '.join(f'{_literal(c)}, {c}' for c in columns)})"

    return (
        f"insert into revisions (stream, key, old, old_source, valid_from, valid_to)"
        f" select '{table.name}', {as_json(table.key)}, {as_json(table.measures)}, '{source}',"
        f" %(stamp)s, %(stamp)s from {relation} where lost on conflict do nothing"
    )


def _latest(table: Table) -> str:
    order = "time desc, ordinal desc" if table.slotted else "ordinal desc"
    return f"partition by {', '.join(table.key)} order by {order}"


def _stored_columns(table: Table) -> tuple[str, ...]:
    return (*table.columns, "slot") if table.slotted else table.columns


def _columns(prefix: str, columns: Iterable[str]) -> str:
    dot = "" if prefix.endswith("_") else "."
    return ", ".join(f"{prefix}{dot}{column}" for column in columns)


def _any(conditions: Iterable[str]) -> str:
    return f"({' or '.join(conditions)})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
