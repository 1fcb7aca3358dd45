-- Roll-ups as continuous aggregates (TimescaleDB Community). A refresh cannot run in a transaction, so each is three
-- steps: note what is pending, refresh, clear exactly that and hand it on. What ends in between is done by the next run.
-- Buckets behind the watermark are read from the aggregate, later ones are computed from raw at each look.

create or replace function unscoped(sql text) returns text
language sql immutable
as $$ select regexp_replace(sql, '/\* scope \*/.*?/\* end of scope \*/', 'true', 'g') $$;
comment on function unscoped is 'A roll-up''s SQL for all symbols and times: a continuous aggregate knows its own range';

create or replace function continuous_id(relation text) returns integer
language plpgsql stable
as $$
begin
    if to_regclass('_timescaledb_catalog.continuous_agg') is null then
        return null;
    end if;
    return (
        select a.mat_hypertable_id
        from _timescaledb_catalog.continuous_agg as a
        inner join pg_class as c on c.oid = to_regclass(relation)
        inner join pg_namespace as n on n.oid = c.relnamespace
        where a.user_view_schema = n.nspname and a.user_view_name = c.relname
    );
end
$$;
comment on function continuous_id is 'Number of a continuous aggregate''s own hypertable; null for any other relation';

create or replace function watermark(relation text) returns timestamptz
language plpgsql stable
as $$
declare
    found constant bigint := _timescaledb_functions.cagg_watermark(continuous_id(relation));
begin
    -- Before the first refresh it lies thousands of years before Christ.
    return case when found > 0 then _timescaledb_functions.to_timestamp(found) else '-infinity' end;
end
$$;
comment on function watermark is 'Where the refreshed part of a continuous aggregate ends';

create or replace function oldest_raw(relation text) returns timestamptz
language plpgsql stable
as $$
begin
    return (
        select min(c.range_start)
        from timescaledb_information.chunks as c
        inner join _timescaledb_catalog.hypertable as h on c.hypertable_schema = h.schema_name and c.hypertable_name = h.table_name
        inner join _timescaledb_catalog.continuous_agg as a on h.id = a.raw_hypertable_id
        where a.mat_hypertable_id = continuous_id(relation)
    );
end
$$;
comment on function oldest_raw is 'Start of the oldest chunk of the raw table that a continuous aggregate reads: retention has dropped what was before';

create or replace function kept_history(m models) returns timestamptz
language plpgsql stable
as $$
declare
    oldest timestamptz;
begin
    execute format('select min(time) from %s where time < %L', m.relation, coalesce(oldest_raw(m.relation), 'infinity') - m.grain)
    into oldest;
    return oldest;
end
$$;
comment on function kept_history is 'Oldest bucket of a continuous aggregate that raw has no rows for any more; null when it could be made anew from raw';

create or replace function bucket(m models, at timestamptz) returns timestamptz
language sql immutable
as $$ select case when isfinite(at) then date_bin(m.grain, at, timestamptz '2000-01-01 00:00:00+00') else at end $$;
comment on function bucket is 'Start of the model''s row that holds the instant';

create or replace function pass_on(m models, ids bigint []) returns bigint
language plpgsql
set search_path from current
as $$
declare
    names text[];
    starts timestamptz[];
begin
    with gone as (
        delete from pending where id = any(ids) returning symbol, from_time
    ),
    ranges as (
        select g.symbol, bucket(m, min(g.from_time)) as from_time from gone as g group by g.symbol
    )
    select array_agg(symbol), array_agg(from_time) into names, starts from ranges;
    perform hand_to_children(m, names, starts);
    return coalesce(cardinality(names), 0);
end
$$;
comment on function pass_on is 'Clear these pending rows of a continuous aggregate and hand their ranges to its children';

create or replace function pass_on_unmaterialized(m models) returns bigint
language plpgsql
set search_path from current
as $$
declare
    is_ready constant boolean := m.definition_hash is not null;
    ready_from constant timestamptz := watermark(m.relation);
begin
    -- What lies behind the watermark waits for a refresh.
    return pass_on(m, (
        select array_agg(p.id) from pending as p where p.model = m.model and p.from_time >= ready_from and is_ready
    ));
end
$$;
comment on function pass_on_unmaterialized is
'Inside a transaction: hand on the ranges of a continuous aggregate that need no refresh, because it computes them at each look';

create or replace function rollups_to_refresh() returns setof text
language sql stable
set search_path from current
as $$
    select m.model
    from models as m
    where
        m.storage = 'continuous'
        and exists (
            select 1 from pending as p
            where p.model = m.model and (
                p.from_time < watermark(m.relation)
                or m.definition_hash is null
                -- To compute many buckets at each look is dear.
                or watermark(m.relation) < last_kline() - greatest(interval '2 days', 2 * m.grain)
            )
        )
    order by m.model
$$;
comment on function rollups_to_refresh is
'Continuous aggregates of which something behind the watermark has changed, or of which much lies after it';

create or replace function refresh_window(m models, first_changed timestamptz, out from_time timestamptz, out to_time timestamptz)
language plpgsql stable
set search_path from current
as $$
declare
    was_emptied constant boolean := exists (select 1 from definitions as d where d.model = m.model and d.raw_was_emptied);
    history constant timestamptz := case when not was_emptied then kept_history(m) end;
begin
    -- The bucket that is still filling is left to be computed at each look, unless somebody has already refreshed it.
    to_time := greatest(bucket(m, last_kline() + interval '5 minutes'), watermark(m.relation));
    -- A bucket earlier, since those of liquidations begin two seconds before the clock's.
    from_time := bucket(m, first_changed) - m.grain;
    if history is not null then
        from_time := greatest(from_time, bucket(m, coalesce(oldest_raw(m.relation), 'infinity')) + m.grain);
    end if;
end
$$;
comment on function refresh_window is
'What to refresh after a change: to the last full bucket, but never where raw''s retention has left nothing to compute from';

create or replace function is_being_refreshed(aggregate_id integer) returns boolean
language plpgsql
as $$
declare
    found boolean := false;
begin
    if to_regclass('_timescaledb_catalog.continuous_aggs_jobs_refresh_ranges') is not null then
        execute 'select exists (select 1 from _timescaledb_catalog.continuous_aggs_jobs_refresh_ranges where materialization_id = $1)'
        into found using aggregate_id;
    end if;
    return found;
end
$$;
comment on function is_being_refreshed is 'Whether a policy or somebody else is refreshing the continuous aggregate now: TimescaleDB refuses two at once';

create or replace function finish_refresh(p_model text, ids bigint []) returns bigint
language plpgsql
set search_path from current
as $$
declare
    m models%rowtype;
begin
    update definitions set refreshed_at = coalesce(refreshed_at, clock_timestamp()), raw_was_emptied = false where model = p_model;
    update models as t set definition_hash = d.definition_hash
    from definitions as d where t.model = p_model and d.model = p_model and t.definition_hash is distinct from d.definition_hash;
    perform note_meaning(p_model);
    select * into strict m from models where model = p_model;
    return pass_on(m, ids);
end
$$;

-- No `set search_path` here: a procedure that has one cannot commit. The caller's path has this schema.
create or replace procedure refresh_rollup(p_model text, is_forced boolean, inout ranges bigint)
language plpgsql
as $$
declare
    m models%rowtype;
    ids bigint[];
    first_changed timestamptz;
    span record;
begin
    select * into strict m from models where model = p_model;
    -- Exactly these are cleared in the end: what is noted from now on waits for the next run.
    select array_agg(id), min(from_time) into ids, first_changed from pending where model = p_model;
    ranges := 0;
    if ids is null then
        return;
    end if;
    select * into span from refresh_window(m, first_changed);
    commit;
    if span.to_time > span.from_time + m.grain then
        for attempt in 1 .. 600 loop
            exit when not is_being_refreshed(continuous_id(m.relation));
            commit;
            perform pg_sleep(0.1);
        end loop;
        call refresh_continuous_aggregate(
            m.relation::regclass, nullif(span.from_time, '-infinity'), nullif(span.to_time, 'infinity'), force => is_forced
        );
    end if;
    ranges := finish_refresh(p_model, ids);
    commit;
end
$$;
comment on procedure refresh_rollup is
'Refresh a continuous aggregate where its raw rows have changed, and hand the ranges to its children; not inside a transaction';

create or replace function hold_model(p_model text) returns void
language sql
set search_path from current
as $$ select pg_advisory_lock(lock_key(p_model)) $$;
comment on function hold_model is 'As lock_model, but until release_model or the end of the session';

create or replace function release_model(p_model text) returns void
language sql
set search_path from current
as $$ select pg_advisory_unlock(lock_key(p_model)) $$;

create or replace function users_views_on(relation text) returns text
language sql stable
set search_path from current
as $$
    select string_agg(distinct v.view::text, ', ')
    from pg_attribute as a
    cross join lateral views_on(a.attrelid::regclass, a.attnum) as v
    where a.attrelid = to_regclass(relation) and a.attnum > 0 and not v.is_own
$$;
comment on function users_views_on is 'Views that somebody else built on a relation';

create or replace function examine_rollup(p_model text, relation text, sql text, names text [], types text [], docs text)
returns table (is_current boolean, is_continuous boolean, stands boolean, docs_changed boolean)
language sql stable
set search_path from current
as $$
    select
        continuous_id(without_database(relation)) is not null
        and exists (select 1 from definitions as d where d.model = p_model and d.definition_hash = model_hash(sql, names, types)),
        continuous_id(without_database(relation)) is not null,
        to_regclass(without_database(relation)) is not null,
        not exists (select 1 from documented as d where d.relation = without_database(examine_rollup.relation) and d.docs_hash = md5(docs))
$$;
comment on function examine_rollup is 'Whether a continuous aggregate stands as this definition makes it';

create or replace function refuse_loss(p_model text, relation text) returns void
language plpgsql
set search_path from current
as $$
declare
    m models%rowtype;
    in_the_way constant text := users_views_on(relation);
    history timestamptz;
begin
    if in_the_way is not null then
        raise exception '% has to be made anew, but % needs it: drop that view first, and create it again afterwards', relation, in_the_way;
    end if;
    select * into m from models where model = p_model;
    if continuous_id(relation) is not null then
        m.relation := relation;
        history := kept_history(m);
        if history is not null then
            raise exception '% cannot be made anew: its history from % to % is no longer in raw; keep its definition, or give the dbt variable forget_history: true to lose it',
                relation, history, oldest_raw(relation);
        end if;
    end if;
end
$$;
comment on function refuse_loss is 'Raise an error where making a roll-up anew would drop a user''s view or history that raw no longer has';

create or replace function make_rollup(
    p_model text, p_relation text, p_sql text, p_columns text [], p_types text [], may_forget boolean
) returns void
language plpgsql
set search_path from current
as $$
declare
    name constant text := without_database(p_relation);
    m models%rowtype;
    grants constant text := grants_on(name);
begin
    select * into strict m from models where model = p_model;
    if not is_hypertable(m.streams[1]) then
        raise exception 'raw table % is not kept in chunks yet: run perpmart init', m.streams[1];
    end if;
    if not may_forget then
        perform refuse_loss(p_model, name);
    end if;
    if continuous_id(name) is not null then
        execute format('drop materialized view %s', name);
    elsif to_regclass(name) is not null then
        execute format('drop table %s', name);
    end if;
    update models
    set relation = name, compiled_sql = without_database(p_sql), columns = p_columns, definition_hash = null,
        source_hash = source_hash(p_sql), storage = 'continuous'
    where model = p_model
    returning * into strict m;
    execute format(
        'create materialized view %s with (timescaledb.continuous, timescaledb.materialized_only = false) as %s with no data',
        name, unscoped(m.compiled_sql)
    );
    -- Only what is recent, and full: what a run finds changed earlier it refreshes itself.
    perform add_continuous_aggregate_policy(
        name::regclass, start_offset => greatest(interval '7 days', 3 * m.grain), end_offset => m.grain,
        schedule_interval => greatest(interval '1 hour', m.grain)
    );
    if grants is not null then
        execute grants;
    end if;
    insert into definitions (model, definition_hash) values (p_model, model_hash(p_sql, p_columns, p_types))
    on conflict (model) do update
        set definition_hash = excluded.definition_hash, created_at = clock_timestamp(), refreshed_at = null;
    insert into pending (model, symbol, from_time) values (p_model, '*', '-infinity');
end
$$;
comment on function make_rollup is
'Create a continuous aggregate, empty, in the place of what stood there; its definition counts once it has been refreshed';
