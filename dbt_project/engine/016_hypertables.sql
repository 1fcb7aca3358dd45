-- What the server can do, and tables that TimescaleDB keeps in chunks. Nothing here needs the extension.

create or replace function tier() returns text
language sql stable
as $$
    select case
        when not exists (select 1 from pg_extension where extname = 'timescaledb') then 'plain'
        -- The setting, not the package: the licence can be given on the server's command line.
        when current_setting('timescaledb.license', true) = 'timescale' then 'timescale'
        else 'timescale-apache'
    end
$$;
comment on function tier is
'plain PostgreSQL, timescale-apache (hypertables, time_bucket) or timescale (Community: continuous aggregates and compression too)';

create or replace function is_hypertable(relation text) returns boolean
language plpgsql stable
as $$
begin
    if to_regclass('timescaledb_information.hypertables') is null then
        return false;
    end if;
    return exists (
        select 1
        from timescaledb_information.hypertables as h
        inner join pg_class as c on c.oid = to_regclass(relation)
        inner join pg_namespace as n on n.oid = c.relnamespace
        where h.hypertable_schema = n.nspname and h.hypertable_name = c.relname
    );
end
$$;
comment on function is_hypertable is 'Whether TimescaleDB keeps this table in chunks';

create or replace function parts_of(relation text) returns setof oid
language sql stable
as $$
    select to_regclass(relation)::oid
    union all
    select inhrelid from pg_inherits where inhparent = to_regclass(relation)
$$;
comment on function parts_of is 'A table and, of a hypertable, its chunks: the rows, and the figures about them, are there';

create or replace function make_hypertable(relation text, time_column text, width interval) returns boolean
language plpgsql
as $$
begin
    if to_regclass('timescaledb_information.hypertables') is null or is_hypertable(relation) then
        return false;
    end if;
    perform create_hypertable(
        relation::regclass, by_range(time_column, width), create_default_indexes => false, migrate_data => true
    );
    return true;
end
$$;
comment on function make_hypertable is
'Make a table, with the rows it holds, a hypertable where the server has TimescaleDB; says whether there was anything to do';

create or replace function is_retained(relation text) returns boolean
language plpgsql stable
set search_path from current
as $$
begin
    return exists (
        select 1 from timescaledb_information.jobs as j
        where j.proc_name = 'policy_retention' and format('%I.%I', j.hypertable_schema, j.hypertable_name)::regclass = relation::regclass
    );
end
$$;
comment on function is_retained is 'Whether TimescaleDB drops old chunks of this table';

create or replace function refuse_forgetting(m models, names text [], from_time timestamptz) returns void
language plpgsql stable
set search_path from current
as $$
declare
    grid constant text := (select g.relation from models as g where g.reach = 'grid');
    source record;
    lost record;
begin
    if tier() <> 'timescale' or grid is null or coalesce(current_setting('perpmart.forget_history', true), '') = 'true' then
        return;
    end if;
    -- The bars tell which rows of raw they were made from. Chunks of the tables are not equally wide: one may have gone
    -- where the klines are still there.
    for source in
        select * from (
            values
            ('ohlcv', 'case when b.is_filled = 0 then b.time end'),
            ('open_interest', 'b.open_interest_time'),
            ('long_short_ratio', 'b.long_short_ratio_time'),
            ('funding_rate', 'b.funding_time'),
            ('mark_price', 'case when b.mark_price is not null then b.time end')
        ) as s (stream, at)
        where s.stream = any(m.streams) and is_retained(s.stream)
    loop
        execute format($query$
            select min(b.time) as first, max(b.time) as last
            from %1$s as b
            where b.symbol = any($1) and b.time >= $2 and %2$s is not null and not exists (
                select 1 from timescaledb_information.chunks as c
                where format('%%I.%%I', c.hypertable_schema, c.hypertable_name)::regclass = %3$L::regclass
                    and %2$s >= c.range_start and %2$s < c.range_end
            )
        $query$, grid, source.at, source.stream) into lost using names, from_time;
        if lost.first is not null then
            raise exception '% cannot be computed anew from %: rows of % that it was made from are no longer in raw, for the bars from % to %; keep its definition, or give the dbt variable forget_history: true to lose them',
                replace(m.relation, '"', ''), from_time, source.stream, lost.first, lost.last;
        end if;
    end loop;
end
$$;
comment on function refuse_forgetting is
'Raise an error where computing a model anew would lose what it was made from before retention dropped that';
