-- Repeatable. Statement triggers that note, in the writing transaction, what a build must read again
-- (`changes`) and the versions that disappear (`revisions`), whoever writes: the collectors or psql.

create or replace function note_insert() returns trigger
language plpgsql set search_path from current
as $$
begin
    execute format(
        'insert into changes (stream, symbol, from_time, to_time)
         select %L, symbol, min(%2$I), max(%2$I) from new_rows group by symbol', tg_table_name, tg_argv[0]);
    return null;
end
$$;

-- Arguments: time column, pairing of the key, comparison of the measures, key as json, measures as json,
-- first and last instant from which the row counts as changed.
create or replace function note_update() returns trigger
language plpgsql set search_path from current set timezone = 'UTC'
as $$
begin
    execute format(
        'with displaced as (
            select coalesce(o.symbol, n.symbol) as symbol, %5$s as from_time, %6$s as to_time,
                o.symbol is not null as stood, %3$s as key, %4$s as old, o.source, o.ingested_at as valid_from,
                greatest(o.ingested_at,
                    case when n.ingested_at <> o.ingested_at then n.ingested_at else clock_timestamp() end) as valid_to
            from old_rows as o full join new_rows as n on %1$s
            where o.symbol is null or n.symbol is null or %2$s
        ),
        kept as (
            insert into revisions (stream, key, old, old_source, valid_from, valid_to)
            select %7$L, key, old, source, valid_from, valid_to from displaced where stood
            on conflict do nothing
        )
        insert into changes (stream, symbol, from_time, to_time)
        select %7$L, symbol, min(from_time), max(to_time) from displaced group by symbol',
        tg_argv[1], tg_argv[2], tg_argv[3], tg_argv[4], tg_argv[5], tg_argv[6], tg_table_name);
    return null;
end
$$;

create or replace function note_delete() returns trigger
language plpgsql set search_path from current set timezone = 'UTC'
as $$
begin
    execute format(
        'with kept as (
            insert into revisions (stream, key, old, old_source, valid_from, valid_to)
            select %1$L, %2$s, %3$s, o.source, o.ingested_at, greatest(o.ingested_at, clock_timestamp())
            from old_rows as o
            on conflict do nothing
        )
        insert into changes (stream, symbol, from_time, to_time)
        select %1$L, symbol, min(%4$I), max(%4$I) from old_rows group by symbol',
        tg_table_name, tg_argv[3], tg_argv[4], tg_argv[0]);
    return null;
end
$$;

create or replace function note_truncate() returns trigger
language plpgsql set search_path from current
as $$
begin
    insert into changes (stream, symbol, from_time, to_time) values (tg_table_name, '*', '-infinity', 'infinity');
    return null;
end
$$;
comment on function note_truncate() is 'TRUNCATE means to forget: it counts as a change of everything and keeps no revisions';

create or replace function key_columns(of_table regclass) returns text []
language sql stable
return (
    select array_agg(a.attname::text order by array_position(i.indkey::int2 [], a.attnum))
    from pg_index as i inner join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
    where i.indrelid = of_table and i.indisprimary
);
comment on function key_columns(regclass) is 'Columns of the primary key, in order';

create or replace function measure_columns(of_table regclass) returns text []
language sql stable set search_path from current
return (
    select array_agg(attname::text order by attnum) from pg_attribute
    where attrelid = of_table and attnum > 0 and not attisdropped
        and attname <> all(key_columns(of_table)) and attname not in ('source', 'borrowed', 'ingested_at')
);
comment on function measure_columns(regclass) is 'Columns that say something about the market: neither key nor provenance';

create or replace function json_of(columns text [], alias text) returns text
language sql immutable
return (
    select 'jsonb_build_object(' || string_agg(format('%1$L, %2$I.%1$I', name, alias), ', ') || ')'
    from unnest(columns) as name
);
comment on function json_of(text [], text) is 'SQL expression: these columns of the alias as a json object';

create or replace function has_columnstore(of_table regclass) returns boolean
language plpgsql stable
as $$
begin
    if to_regclass('timescaledb_information.hypertables') is null then
        return false;
    end if;
    return exists (
        select from timescaledb_information.hypertables as h
        inner join pg_class as c on c.oid = of_table
        inner join pg_namespace as n on n.oid = c.relnamespace
        where h.hypertable_schema = n.nspname and h.hypertable_name = c.relname and h.compression_enabled
    );
end
$$;
comment on function has_columnstore(regclass) is 'Whether TimescaleDB compresses the older rows of this table';

create or replace function refuse_delete() returns trigger
language plpgsql set search_path from current
as $$
begin
    if coalesce(current_setting('perpmart.deletes_noted', true), '') <> 'on' then
        raise exception 'rows of % are compressed, where a plain delete would go unnoticed: use %.delete_rows', tg_table_name, tg_table_schema;
    end if;
    return null;
end
$$;
comment on function refuse_delete() is 'In the place of note_delete, which cannot be on a table with a columnstore';

create or replace function watch(
    of_table text, time_column text, changed_from text default null, changed_to text default null
) returns void
language plpgsql set search_path from current
as $$
declare
    keys text [] := key_columns(of_table::regclass);
    measures text [] := measure_columns(of_table::regclass);
    arguments text;
    event text;
    transition text;
begin
    select concat_ws(', ', quote_literal(time_column),
        quote_literal((select string_agg(format('o.%1$I = n.%1$I', k), ' and ') from unnest(keys) as k)),
        quote_literal((select format('(%s) is distinct from (%s)', string_agg(format('o.%I', m), ', '),
                                     string_agg(format('n.%I', m), ', ')) from unnest(measures) as m)),
        quote_literal(json_of(keys, 'o')), quote_literal(json_of(measures, 'o')),
        quote_literal(coalesce(changed_from, format('least(o.%1$I, n.%1$I)', time_column))),
        quote_literal(coalesce(changed_to, format('greatest(o.%1$I, n.%1$I)', time_column)))
    ) into arguments;
    foreach event in array array ['insert', 'update', 'delete', 'truncate'] loop
        if event = 'delete' and has_columnstore(of_table::regclass) then
            execute format('drop trigger if exists note_delete on %I', of_table);
            execute format(
                'create or replace trigger refuse_delete before delete on %I for each statement execute function refuse_delete()',
                of_table);
            continue;
        end if;
        transition := case event
            when 'insert' then 'referencing new table as new_rows'
            when 'update' then 'referencing old table as old_rows new table as new_rows'
            when 'delete' then 'referencing old table as old_rows' else '' end;
        execute format(
            'create or replace trigger note_%1$s after %1$s on %2$I %3$s for each statement execute function note_%1$s(%4$s)',
            event, of_table, transition, arguments);
    end loop;
end
$$;
comment on function watch(text, text, text, text) is
'Puts the noting triggers on a raw table; changed_from and changed_to are expressions over o (old) and n (new row)';

do $$
begin
    perform watch(name, time_column) from (values
        ('ohlcv', 'time'), ('open_interest', 'time'), ('funding_rate', 'funding_time'), ('liquidations', 'time'),
        ('long_short_ratio', 'time'), ('order_book', 'time'), ('mark_price', 'time')
    ) as t (name, time_column);
    -- Of an instrument only the listing's dates reach into the past; tick, step, status are what holds now.
    perform watch('instruments', 'valid_from', $x$
        case
            when o.symbol is null or n.symbol is null or (o.multiplier, o.base, o.quote, o.exchange_symbol)
                is distinct from (n.multiplier, n.base, n.quote, n.exchange_symbol)
                then coalesce(o.valid_from, n.valid_from)
            when o.valid_to is distinct from n.valid_to then least(o.valid_to, n.valid_to)
            else now()
        end $x$, '''infinity''::timestamptz');
end
$$;
