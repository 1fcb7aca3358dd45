-- Repeatable. Deleting raw rows so that it counts everywhere, and a raw table as it stood at an earlier time.

create or replace function delete_rows(
    of_stream text, of_symbol text, gone_from timestamptz, gone_to timestamptz
) returns bigint
language plpgsql set search_path from current set timezone = 'UTC'
as $$
declare
    name text := split_part(of_stream, ':', 1);
    part text := nullif(substr(of_stream, strpos(of_stream, ':')), of_stream);
    time_column text;
    condition text;
    gone bigint;
begin
    time_column := case
        when name in ('ohlcv', 'open_interest', 'liquidations', 'long_short_ratio', 'order_book', 'mark_price')
            then 'time'
        when name = 'funding_rate' then 'funding_time' when name = 'instruments' then 'valid_from' end;
    if time_column is null then
        raise exception 'delete_rows: % is no raw table', name using errcode = 'undefined_table';
    end if;
    part := nullif(ltrim(part, ':'), '');
    -- Literals, not a join: a columnstore then decompresses only what is deleted.
    condition := format('symbol = %1$L and %2$I >= %3$L and %2$I < %4$L', of_symbol, time_column, gone_from, gone_to);
    if name in ('order_book', 'mark_price') then
        -- Chunks are cut, and compressed rows ordered, by the slot, which is at most some seconds before the time.
        condition := condition || format(' and slot >= %L and slot < %L', gone_from - interval '1 minute', gone_to);
    end if;
    if part is not null then
        condition := condition || case name
            when 'ohlcv' then format(' and timeframe = %L', part)
            when 'open_interest' then format(' and period = %L', part)
            when 'long_short_ratio' then
                format(' and ratio_type = %L and period = %L', split_part(part, ':', 1), split_part(part, ':', 2))
            else ' and false' end;
    end if;
    perform lock_stream(name, array [of_symbol]);
    if exists (select from pg_trigger where tgrelid = name::regclass and tgname = 'note_delete') then
        execute format('delete from %I where %s', name, condition);
        get diagnostics gone = row_count;
        return gone;
    end if;
    perform set_config('perpmart.deletes_noted', 'on', true);
    execute format(
        'with gone as (delete from %1$I where %2$s returning *),
        kept as (
            insert into revisions (stream, key, old, old_source, valid_from, valid_to)
            select %1$L, %3$s, %4$s, o.source, o.ingested_at, greatest(o.ingested_at, clock_timestamp())
            from gone as o
            on conflict do nothing
        ),
        noted as (
            insert into changes (stream, symbol, from_time, to_time)
            select %1$L, symbol, min(%5$I), max(%5$I) from gone group by symbol
        )
        select count(*) from gone',
        name, condition, json_of(key_columns(name::regclass), 'o'), json_of(measure_columns(name::regclass), 'o'),
        time_column) into gone;
    perform set_config('perpmart.deletes_noted', '', true);
    return gone;
end
$$;
comment on function delete_rows(text, text, timestamptz, timestamptz) is
'Deletes the rows of a stream (ohlcv:5m, or ohlcv for all timeframes) in [gone_from, gone_to) and gives their number; counts as a change also where delete triggers are not possible';

create or replace function as_of(rows anyelement, at timestamptz) returns setof anyelement
language plpgsql stable set search_path from current set timezone = 'UTC'
as $$
declare
    of_table regclass := (select typrelid::regclass from pg_type where oid = pg_typeof(rows)::oid);
begin
    -- Of the versions that stood at that time the one that ended first was there; psql may leave ingested_at
    -- untouched, so a later version can claim the same beginning.
    return query execute format(
        'with stood as materialized (
            select distinct on (key) key, old, old_source, valid_from from revisions
            where stream = %1$L and valid_from <= $1 and valid_to > $1
            order by key, valid_to
        )
        select (jsonb_populate_record(null::%2$s, s.key || s.old
            || jsonb_build_object(''source'', s.old_source, ''ingested_at'', s.valid_from))).*
        from stood as s
        union all
        select o.* from %2$s as o
        where o.ingested_at <= $1 and not exists (select from stood as s where s.key = %3$s)',
        (select relname from pg_class where oid = of_table), of_table, json_of(key_columns(of_table), 'o')) using at;
end
$$;
comment on function as_of(anyelement, timestamptz) is
'A raw table as it stood at a time: select * from as_of(null::ohlcv, ''2026-02-01 00:00+00'')';
