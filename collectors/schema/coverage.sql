-- Repeatable. Coverage: merging, withdrawing, and noting as changes exactly the instants whose state changed.

create or replace function note_coverage() returns trigger
language plpgsql set search_path from current
as $$
declare
    none constant text := '(select * from coverage where false)';
begin
    -- REST and archive both answer for what they leave out, a listener does not: two classes. Only what
    -- enters or leaves the union of a class counts, so the archive confirming REST rebuilds nothing. And only of
    -- klines and liquidations: where these are covered, nothing means none; of the others it means unknown either way.
    execute format(
        'with old_segments as (select * from %1$s as o), new_segments as (select * from %2$s as n),
        touched as (
            select distinct stream, symbol, source = ''stream'' as listened
            from (select * from old_segments union all select * from new_segments) as both_states
            where split_part(stream, '':'', 1) in (''ohlcv'', ''liquidations'')
        ),
        after as (
            select t.stream, t.symbol, t.listened, range_agg(tstzrange(c.from_time, c.to_time)) as parts
            from touched as t
            inner join coverage as c
                on c.stream = t.stream and c.symbol = t.symbol and (c.source = ''stream'') = t.listened
            group by t.stream, t.symbol, t.listened
        ),
        before as (
            select b.stream, b.symbol, b.source = ''stream'' as listened,
                range_agg(tstzrange(b.from_time, b.to_time)) as parts
            from (
                (
                    select c.* from touched as t
                    inner join coverage as c
                        on c.stream = t.stream and c.symbol = t.symbol and (c.source = ''stream'') = t.listened
                    except select * from new_segments
                )
                union all select * from old_segments
            ) as b
            group by 1, 2, 3
        ),
        states as (
            select t.stream, t.symbol, coalesce(a.parts, ''{}'') as after, coalesce(b.parts, ''{}'') as before
            from touched as t
            left join after as a using (stream, symbol, listened)
            left join before as b using (stream, symbol, listened)
        )
        insert into changes (stream, symbol, from_time, to_time)
        select split_part(stream, '':'', 1), symbol, lower(part), upper(part)
        from states, unnest((after - before) + (before - after)) as part',
        case when tg_op = 'INSERT' then none else 'old_rows' end,
        case when tg_op = 'DELETE' then none else 'new_rows' end);
    return null;
end
$$;

create or replace function note_coverage_truncate() returns trigger
language plpgsql set search_path from current
as $$
begin
    insert into changes (stream, symbol, from_time, to_time)
    select name, '*', '-infinity', 'infinity' from unnest(array ['ohlcv', 'liquidations']) as name;
    return null;
end
$$;

comment on column changes.stream is
'Raw table; a change of coverage of klines or liquidations is noted under the table it speaks of';

create or replace trigger note_insert after insert on coverage
referencing new table as new_rows for each statement execute function note_coverage();
create or replace trigger note_update after update on coverage
referencing old table as old_rows new table as new_rows for each statement execute function note_coverage();
create or replace trigger note_delete after delete on coverage
referencing old table as old_rows for each statement execute function note_coverage();
create or replace trigger note_truncate after truncate on coverage
for each statement execute function note_coverage_truncate();

create or replace function lock_stream(of_stream text, of_symbols text []) returns void
language plpgsql set search_path from current
as $$
declare
    name text;
begin
    for name in select distinct s from unnest(of_symbols) as s order by s loop
        perform pg_advisory_xact_lock(hashtextextended(format('%s.%s %s', current_schema(), of_stream, name), 0));
    end loop;
    if exists (select from pg_extension where extname = 'timescaledb') then
        -- Compressed rows that are corrected are decompressed first; its limit of 100,000 in a transaction guards
        -- against conditions that name no symbol or time. Ours do, however many rows there are.
        perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    end if;
end
$$;
comment on function lock_stream(text, text []) is
'Waits until no other writer works on these symbols of the stream; held until the transaction ends. Lets that transaction correct any number of compressed rows';

create or replace function add_coverage(
    of_stream text, of_symbol text, new_from timestamptz, new_to timestamptz, of_source text
) returns void
language plpgsql set search_path from current
as $$
declare
    hull record;
begin
    if new_from >= new_to then
        raise exception 'coverage of % % ends (%) before it begins (%)', of_stream, of_symbol, new_to, new_from;
    end if;
    perform lock_stream('coverage ' || of_stream, array [of_symbol]);
    select min(from_time) as from_time, min(to_time) as first_to, max(to_time) as to_time into hull
    from coverage
    where stream = of_stream and symbol = of_symbol and source = of_source
        and from_time <= new_to and to_time >= new_from;
    if hull.from_time is null then
        insert into coverage (stream, symbol, from_time, to_time, source)
        values (of_stream, of_symbol, new_from, new_to, of_source);
    elsif not (hull.from_time <= new_from and hull.first_to >= new_to) then
        -- The earliest segment grows first, then swallows the others: each statement changes only what is new.
        update coverage set from_time = least(hull.from_time, new_from), to_time = greatest(hull.to_time, new_to)
        where stream = of_stream and symbol = of_symbol and source = of_source and from_time = hull.from_time;
        delete from coverage
        where stream = of_stream and symbol = of_symbol and source = of_source
            and from_time > hull.from_time and from_time <= new_to and to_time >= new_from;
    end if;
end
$$;
comment on function add_coverage(text, text, timestamptz, timestamptz, text) is
'Notes that a source gave everything in [new_from, new_to); merges with the segments it touches';

create or replace function withdraw_coverage(
    of_stream text, of_symbol text, gone_from timestamptz, gone_to timestamptz, of_source text default null
) returns void
language plpgsql set search_path from current
as $$
declare
    segment record;
begin
    perform lock_stream('coverage ' || of_stream, array [of_symbol]);
    for segment in
        select * from coverage
        where stream = of_stream and symbol = of_symbol and (of_source is null or source = of_source)
            and from_time < gone_to and to_time > gone_from
    loop
        if segment.to_time > gone_to and segment.from_time < gone_from then
            insert into coverage (stream, symbol, from_time, to_time, source)
            values (of_stream, of_symbol, gone_to, segment.to_time, segment.source);
        end if;
        if segment.from_time < gone_from then
            update coverage set to_time = gone_from
            where stream = of_stream and symbol = of_symbol and source = segment.source
                and from_time = segment.from_time;
        elsif segment.to_time > gone_to then
            update coverage set from_time = gone_to
            where stream = of_stream and symbol = of_symbol and source = segment.source
                and from_time = segment.from_time;
        else
            delete from coverage
            where stream = of_stream and symbol = of_symbol and source = segment.source
                and from_time = segment.from_time;
        end if;
    end loop;
end
$$;
comment on function withdraw_coverage(text, text, timestamptz, timestamptz, text) is
'Takes back what coverage says about [gone_from, gone_to), of one source or of all';
