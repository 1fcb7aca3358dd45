-- From changes in raw to pending ranges: what the models read is registered, and what was written since is shared out.

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
    delete from documented as t where to_regclass(t.relation) is null;
end
$$;
comment on function register_models is 'Store what dbt''s graph says each incremental model reads';

create or replace function lock_key(p_model text) returns bigint
language sql stable
set search_path from current
as $$ select hashtextextended('perpmart.' || current_schema() || '.' || p_model, 0) $$;

create or replace function lock_model(p_model text) returns void
language sql
set search_path from current
as $$ select pg_advisory_xact_lock(lock_key(p_model)) $$;
comment on function lock_model is 'Wait until no other run works on the model; held until the transaction ends';

create or replace function try_lock_model(p_model text) returns boolean
language sql
set search_path from current
as $$ select pg_try_advisory_xact_lock(lock_key(p_model)) $$;
comment on function try_lock_model is 'Lock the model unless another run works on it';

create or replace function lock_models() returns void
language plpgsql
set search_path from current
as $$
begin
    perform lock_model(m.model) from (select model from models order by model) as m;
end
$$;
comment on function lock_models is
'Lock all models in one order, before the first is touched: a run of all in one transaction cannot block, and be blocked by, another';

create or replace function analyze_raw() returns void
language plpgsql
set search_path from current
as $$
declare
    name text;
begin
    -- Plans made without figures, or with those of a much smaller table, can take minutes; autovacuum comes too late
    -- after a bulk load.
    for name in
        select c.oid::regclass::text
        from pg_class as c
        where
            c.oid in (select to_regclass(stream) from (select distinct unnest(streams) as stream from models) as s)
            and c.relkind = 'r'
            and (
                select sum(pg_relation_size(p.oid) / current_setting('block_size')::bigint - 2 * greatest(p.relpages, 0))
                -- Not by name: others' schemas in this database may be closed to us, and any row may be asked for first.
                from pg_class as p
                where p.oid = c.oid or p.oid in (select i.inhrelid from pg_inherits as i where i.inhparent = c.oid)
            ) > 100
    loop
        execute format('analyze %s', name);
    end loop;
end
$$;
comment on function analyze_raw is 'Refresh the planner''s figures of raw tables that have more than doubled since they were last taken';

create or replace function take_changes() returns bigint
language plpgsql
set search_path from current
as $$
declare
    last taken_changes%rowtype;
    noted bigint;
begin
    -- Two runs would both find the same changes; and only one snapshot can be the last.
    lock table taken_changes in share row exclusive mode;
    perform analyze_raw();
    select * into last from taken_changes;
    if last.snapshot is null or last.cluster is distinct from cluster_name() then
        -- Transaction ids of another cluster mean nothing here: all is computed anew, and its changes are forgotten.
        -- One statement, so that the changes deleted are exactly those that the stored snapshot sees.
        with covered as (
            delete from changes
        ),
        marked as (
            insert into taken_changes (snapshot, cluster) values (pg_current_snapshot(), cluster_name())
            on conflict (singleton) do update set snapshot = excluded.snapshot, cluster = excluded.cluster
        )
        insert into pending (model, symbol, from_time) select model, '*', '-infinity' from models;
        get diagnostics noted = row_count;
        return noted;
    end if;
    with seen as materialized (
        select pg_current_snapshot() as snapshot
    ),
    fresh as (
        select c.stream, c.symbol, min(c.from_time) as from_time, max(c.to_time) as to_time
        from changes as c
        where c.xid >= pg_snapshot_xmin(last.snapshot) and not pg_visible_in_snapshot(c.xid, last.snapshot)
        group by c.stream, c.symbol
    ),
    advanced as (
        update taken_changes set snapshot = (select snapshot from seen)
    ),
    emptied as (
        update definitions as d set raw_was_emptied = true
        from fresh as f
        inner join models as m on f.stream = any(m.streams)
        -- Only a truncate means every symbol at every time.
        where d.model = m.model and f.symbol = '*' and f.from_time = '-infinity' and f.to_time = 'infinity'
    )
    insert into pending (model, symbol, from_time)
    select m.model, f.symbol, case when isfinite(f.from_time) then bar_open(f.from_time) - interval '5 minutes' else f.from_time end
    from fresh as f
    inner join models as m on f.stream = any(m.streams);
    get diagnostics noted = row_count;
    -- What the stored snapshot saw has been taken.
    delete from changes where xid < pg_snapshot_xmax(last.snapshot) and pg_visible_in_snapshot(xid, last.snapshot);
    perform merge_pending();
    return noted;
end
$$;
comment on function take_changes is
'Turn the changes that were not visible when it last ran into pending ranges of the models that read them; returns their number';

create or replace function merge_pending() returns void
language plpgsql
set search_path from current
as $$
declare
    crowded text;
begin
    -- Models that are left out of all runs, or fail in each, collect a row for each change. Only under the model's lock:
    -- a run under way deletes the rows it has read, and must not take with it what a later row had been merged into.
    for crowded in
        select model from pending group by model having count(*) > 100 and count(*) > 4 * count(distinct symbol) order by model
    loop
        if try_lock_model(crowded) then
            with taken as (
                delete from pending where model = crowded returning symbol, from_time
            )
            insert into pending (model, symbol, from_time)
            select crowded, symbol, min(from_time) from taken group by symbol;
        end if;
    end loop;
end
$$;
comment on function merge_pending is 'Keep one pending range a symbol of models that have collected many';
