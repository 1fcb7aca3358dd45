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
