-- From changes in raw to pending ranges, and from pending ranges to rows.

create or replace function cluster_name() returns text
language sql stable
as $$ select system_identifier::text || '/' || current_database() from pg_control_system() $$;
comment on function cluster_name is 'Identity of the server and database: transaction ids mean nothing in another one';

create or replace function without_database(sql text) returns text
language sql stable
return replace(sql, '"' || current_database() || '".', '');
comment on function without_database is
'SQL as dbt writes it, less the name of this database: a copy or a restore under another name carries on';

create or replace function register_models(described jsonb) returns void
language plpgsql
set search_path from current
as $$
begin
    insert into models as m (model, relation, reach, benchmark, grain, streams, parents, depth)
    select d.model, without_database(d.relation), d.reach, d.benchmark, d.grain, d.streams, d.parents, d.depth
    from jsonb_to_recordset(described)
        as d (model text, relation text, reach text, benchmark text, grain interval, streams text[], parents text[], depth integer)
    on conflict (model) do update
        set relation = excluded.relation, reach = excluded.reach, benchmark = excluded.benchmark,
            grain = excluded.grain, streams = excluded.streams, parents = excluded.parents, depth = excluded.depth
        where (m.relation, m.reach, m.benchmark, m.grain, m.streams, m.parents, m.depth)
            is distinct from (excluded.relation, excluded.reach, excluded.benchmark, excluded.grain, excluded.streams, excluded.parents, excluded.depth);
    delete from models where model not in (select d.model from jsonb_to_recordset(described) as d (model text));
    delete from pending where model not in (select model from models);
end
$$;
comment on function register_models is 'Store what dbt''s graph says each incremental model reads';

create or replace function take_changes() returns bigint
language plpgsql
set search_path from current
as $$
declare
    last taken_changes%rowtype;
    noted bigint;
begin
    lock table taken_changes in share row exclusive mode;
    select * into last from taken_changes;
    if last.snapshot is null or last.cluster is distinct from cluster_name() then
        insert into pending (model, symbol, from_time) select model, '*', '-infinity' from models;
        get diagnostics noted = row_count;
        insert into taken_changes (snapshot, cluster) values (pg_current_snapshot(), cluster_name())
        on conflict (singleton) do update set snapshot = excluded.snapshot, cluster = excluded.cluster;
        return noted;
    end if;
    with seen as materialized (
        select pg_current_snapshot() as snapshot
    ),
    fresh as (
        select c.stream, c.symbol, min(c.from_time) as from_time
        from changes as c
        where c.xid >= pg_snapshot_xmin(last.snapshot) and not pg_visible_in_snapshot(c.xid, last.snapshot)
        group by c.stream, c.symbol
    ),
    advanced as (
        update taken_changes set snapshot = (select snapshot from seen)
    )
    insert into pending (model, symbol, from_time)
    select m.model, f.symbol, case when isfinite(f.from_time) then bar_open(f.from_time) - interval '5 minutes' else f.from_time end
    from fresh as f
    inner join models as m on f.stream = any(m.streams);
    get diagnostics noted = row_count;
    return noted;
end
$$;
comment on function take_changes is
'Turn the changes that were not visible when it last ran into pending ranges of the models that read them; returns their number';

create or replace function definition_hash(compiled_sql text) returns text
language sql stable
set search_path from current
as $$
    with recursive own as (
        select p.oid, p.proname::text as name, md5(coalesce(pg_get_function_sqlbody(p.oid), '') || p.prosrc || p.proargtypes::text
            || coalesce((select a.aggtransfn::text || coalesce(a.agginitval, '') from pg_aggregate as a where a.aggfnoid = p.oid), '')) as hash,
            coalesce(pg_get_function_sqlbody(p.oid), '') || p.prosrc
            || coalesce((select ' ' || a.aggtransfn::text || '(' from pg_aggregate as a where a.aggfnoid = p.oid), '') as body
        from pg_proc as p
        where p.pronamespace = (select pronamespace from pg_proc where oid = 'cluster_name()'::regprocedure)
    ),
    called as (
        select o.name, o.hash, o.body from own as o where compiled_sql ~ ('\m' || o.name || '\s*\(')
        union
        select o.name, o.hash, o.body from called as c inner join own as o on c.body ~ ('\m' || o.name || '\s*\(')
    )
    select md5(without_database(compiled_sql) || coalesce((select string_agg(distinct hash, ',' order by hash) from called), ''))
$$;
comment on function definition_hash is 'Hash of a model''s SQL and of every function of ours that it calls, directly or not';

create or replace function pending_ranges(m models, pending_ids bigint[]) returns table (symbol text, from_time timestamptz)
language sql stable
set search_path from current
as $$
    with asked as (
        select p.symbol, p.from_time from pending as p where p.id = any(pending_ids)
    ),
    every_symbol as (
        select s.symbol from unnest(symbols()) as s (symbol)
    ),
    widened as (
        select e.symbol, a.from_time
        from asked as a
        inner join every_symbol as e
            on a.symbol in ('*', e.symbol)
            or m.reach = 'universe'
            or (m.reach = 'benchmark' and a.symbol = m.benchmark)
        union all
        select a.symbol, a.from_time from asked as a where a.symbol <> '*'
    )
    select w.symbol, min(
        case when isfinite(w.from_time) then date_bin(m.grain, w.from_time, timestamptz '2000-01-01 00:00:00+00') else w.from_time end
    )
    from widened as w
    group by w.symbol
$$;
comment on function pending_ranges is 'Symbols and first bars that a set of pending rows means for a model of this reach';

create or replace function unbuilt_grid_ends(m models) returns table (symbol text, from_time timestamptz)
language plpgsql stable
set search_path from current
as $$
begin
    -- A kline of any symbol moves the end of the grid of them all.
    return query execute format($query$
        select s.symbol, b.time + interval '5 minutes'
        from unnest(symbols()) as s (symbol)
        cross join lateral (select time from %1$s where symbol = s.symbol order by time desc limit 1) as b
        cross join lateral (
            select time from ohlcv
            where symbol = s.symbol and timeframe = '5m' and time <= b.time order by time desc limit 1
        ) as k
        where b.time < last_kline() and b.time < k.time + interval '24 hours'
    $query$, m.relation);
end
$$;

create or replace function run_model(p_model text) returns table (ranges bigint, written bigint)
language plpgsql
set search_path from current
as $$
declare
    m models%rowtype;
    taken bigint[];
    span record;
    affected bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('perpmart.' || current_schema() || '.' || p_model, 0));
    select * into strict m from models where model = p_model;
    if m.compiled_sql is null then
        raise exception 'model % has no compiled SQL yet: run dbt build first', p_model;
    end if;
    select array_agg(id) into taken from pending where model = p_model;
    ranges := 0;
    written := 0;
    if taken is null and m.reach <> 'grid' then
        return next;
        return;
    end if;

    create temporary table if not exists run_ranges (symbol text primary key, from_time timestamptz not null) on commit delete rows;
    delete from run_ranges;
    insert into run_ranges select r.symbol, r.from_time from pending_ranges(m, taken) as r;
    if m.reach = 'grid' then
        insert into run_ranges select e.symbol, e.from_time from unbuilt_grid_ends(m) as e
        on conflict (symbol) do update set from_time = least(run_ranges.from_time, excluded.from_time);
    end if;

    for span in
        select r.from_time, array_agg(r.symbol order by r.symbol) as symbols from run_ranges as r group by r.from_time order by r.from_time
    loop
        perform set_config('perpmart.symbols', span.symbols::text, true),
            set_config('perpmart.from_time', case when isfinite(span.from_time) then span.from_time::text else '' end, true);
        -- The whole history: estimates of windows over windows are poor, and a nested loop over it would take for ever.
        perform set_config('enable_nestloop', case when isfinite(span.from_time) then 'on' else 'off' end, true);
        if not isfinite(span.from_time) and span.symbols @> symbols() then
            execute format('truncate %s', m.relation);
        else
            execute format('delete from %s where symbol = any(%L) and time >= %L', m.relation, span.symbols, span.from_time);
        end if;
        execute format(
            'insert into %1$s (%2$s) select %2$s from (%3$s) as computed where time >= %4$L', m.relation,
            (select string_agg(quote_ident(c), ', ') from unnest(m.columns) as c), m.compiled_sql, span.from_time
        );
        get diagnostics affected = row_count;
        written := written + affected;
        ranges := ranges + cardinality(span.symbols);
    end loop;

    -- Children plan by these figures; autovacuum would bring them after the run.
    if written > 0.2 * (select greatest(reltuples, 0) from pg_class where oid = m.relation::regclass) then
        execute format('analyze %s', m.relation);
    end if;

    delete from pending where id = any(taken);
    insert into pending (model, symbol, from_time)
    select child.model, r.symbol, r.from_time + m.grain - interval '5 minutes'
    from models as child
    cross join run_ranges as r
    where p_model = any(child.parents);
    perform set_config('perpmart.symbols', '', true), set_config('perpmart.from_time', '', true);
    return next;
end
$$;
comment on function run_model is
'Compute the pending ranges of one model in this transaction, replace its rows from there on and hand the ranges to its children';

create or replace function define_model(p_model text, p_relation text, p_sql text, p_columns text []) returns void
language sql
set search_path from current
as $$
    update models
    set relation = without_database(p_relation), compiled_sql = without_database(p_sql), columns = p_columns,
        definition_hash = definition_hash(p_sql)
    where model = p_model;
    insert into pending (model, symbol, from_time) values (p_model, '*', '-infinity');
$$;
comment on function define_model is 'Store a new definition of a model; all of its rows become pending';

create or replace function publish() returns bigint
language plpgsql
set search_path from current
as $$
declare
    grid models%rowtype;
    shown bigint;
begin
    select * into grid from models where reach = 'grid';
    if grid.compiled_sql is null then
        return 0;
    end if;
    execute format($query$
        insert into published as p (symbol, time)
        select s.symbol, newest.time
        from unnest(symbols()) as s (symbol)
        cross join lateral (
            select b.time from %s as b
            where
                b.symbol = s.symbol
                and b.time < coalesce((select min(pending.from_time) from pending where pending.symbol in (s.symbol, '*')), 'infinity')
            order by b.time desc
            limit 1
        ) as newest
        on conflict (symbol) do update set time = excluded.time, published_at = clock_timestamp()
            where p.time <> excluded.time
    $query$, grid.relation);
    get diagnostics shown = row_count;
    execute 'delete from published where not symbol = any(symbols())';
    return shown;
end
$$;
comment on function publish is 'Show each symbol''s rows up to the first bar that is still pending in any model';
