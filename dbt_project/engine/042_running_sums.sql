-- One new bar without reading days again: running sums and states of the newest rows, kept beside the features.
--
-- A model that can do with them has its SQL in two ways more (macros of one_bar.sql): keeping_sql fills this table from a
-- midnight on, one_bar_sql computes the row of scope_start() from the rows that its windows look back on and what is kept
-- of them. Rows of a symbol go as its features go; they are kept without a gap, from yesterday's midnight or the
-- segment's start at the latest. The table is a cache, without a log of its own: a server that crashed empties it.

create unlogged table if not exists running_sums (
    model text,
    symbol text,
    time timestamptz,
    sums float8 [] not null,
    state float8 [],
    primary key (model, symbol, time)
);
comment on table running_sums is
'What a new bar needs of those before it. One row per model, symbol and bar of the last two days, where one bar has been computed';
comment on column running_sums.time is 'Open of the bar, UTC';
comment on column running_sums.sums is 'Running sums of the UTC day and counts of rows, in the order of the model''s macros';
comment on column running_sums.state is 'States of the model''s recursions after the bar';

alter table models add column if not exists keeping_sql text;
alter table models add column if not exists one_bar_sql text;
alter table models add column if not exists ways_hash text;
comment on column models.ways_hash is 'Hash of the two and of the functions that they call';
comment on column models.keeping_sql is 'compiled_sql with the columns sums and carried_state; null: it reads no days';
comment on column models.one_bar_sql is 'The same for the single bar of scope_start(), from running_sums';

create or replace function bars_between(earlier timestamptz, later timestamptz) returns bigint
language sql immutable parallel safe
return (date_part('epoch', later - earlier) / 300)::bigint;
comment on function bars_between is 'Bars from one bar to a later one';

create or replace function add_known(total float8, value float8) returns float8
language sql immutable parallel safe
return case when value is null then total when total is null then value else total + value end;
comment on function add_known is 'The next running sum, as sum() makes it: an unknown value leaves it, the first known one begins it';

create or replace function bars_before_scope(bars integer []) returns timestamptz []
language sql stable parallel safe
set search_path from current
as $$ select array_agg(scope_start() - make_interval(mins => 5 * b)) from unnest(bars) as b $$;
comment on function bars_before_scope is 'Bars so many bars before the one that is computed';

create or replace function note_ways(p_model text, keeping text, one_bar text) returns void
language plpgsql
set search_path from current
as $$
declare
    hash constant text := case when keeping is not null then definition_hash(keeping || one_bar) end;
begin
    update models set keeping_sql = without_database(keeping), one_bar_sql = without_database(one_bar), ways_hash = hash
    where model = p_model and ways_hash is distinct from hash;
    if found then
        delete from running_sums where model = p_model; -- other sums, or in another order
    end if;
end
$$;
comment on function note_ways is 'Store the SQL for single bars; what is kept by another one goes';

create or replace function forget_sums(p_model text, names text [], from_time timestamptz, to_time timestamptz) returns void
language plpgsql
set search_path from current set enable_seqscan = off -- whatever the figures say of a table that was empty a moment ago
as $$
begin
    delete from running_sums where model = p_model and symbol = any(names) and time >= from_time and time < to_time;
end
$$;
comment on function forget_sums is 'Take rows of some symbols out of the cache';

create or replace function without_sums(m models, names text [], from_time timestamptz) returns text []
language plpgsql stable
set search_path from current set enable_seqscan = off -- as in forget_sums
as $$
declare
    found text[];
begin
    execute format($query$
        select coalesce(array_agg(b.symbol), '{}')
        from %s as b
        cross join lateral (select greatest(b.segment_start, utc_day($2) - interval '24 hours') as time) as oldest
        where b.symbol = any($1) and b.time = $2 and b.segment_start < $2 and bars_between(oldest.time, $2) <> (
            -- Counted, all of them: a row that is missing between would be taken for a sum of 0.
            select count(*) from running_sums as k
            where k.model = $3 and k.symbol = b.symbol and k.time >= oldest.time and k.time < $2
        )
    $query$, (select relation from models where reach = 'grid')) into found using names, from_time, m.model;
    return found;
end
$$;
comment on function without_sums is 'Symbols of which not all is kept that a bar needs';

create or replace function keep_sums(m models, names text [], from_time timestamptz) returns void
language plpgsql
set search_path from current
as $$
declare
    start constant timestamptz := utc_day(from_time) - interval '24 hours';
    chosen text[];
begin
    perform forget_sums(m.model, names, '-infinity', 'infinity');
    perform set_config('perpmart.from_time', start::text, true), choose_plans(start, names);
    for chosen in select p.part from symbols_in_parts(m, names, start) as p loop
        perform set_config('perpmart.symbols', chosen::text, true);
        execute format(
            'insert into running_sums select %L, symbol, time, sums, carried_state from (%s) as computed where time >= $1 and time < $2',
            m.model, m.keeping_sql
        ) using start, from_time;
    end loop;
end
$$;
comment on function keep_sums is 'Fill the cache with what the bars from a time on need';

create or replace function add_bars(m models, names text [], from_time timestamptz, last_bar timestamptz) returns bigint
language plpgsql
set search_path from current
as $$
declare
    cold text[] := without_sums(m, names, from_time);
    bar timestamptz;
    affected bigint;
    written bigint := 0;
begin
    -- A bar of each symbol, and not once a day a whole day of them all.
    perform forget_sums(m.model, names, '-infinity', from_time - interval '48 hours');
    if cold <> '{}' then
        perform keep_sums(m, case when m.reach = 'symbol' then cold else names end, from_time);
    end if;
    perform choose_plans(from_time, names), set_config('perpmart.symbols', names::text, true);
    for bar in select b from generate_series(from_time, last_bar, interval '5 minutes') as b loop
        perform set_config('perpmart.from_time', bar::text, true);
        execute format(
            $query$
                with new_rows as materialized (select * from (%4$s) as computed where time = $1),
                keep as (
                    insert into running_sums select %3$L, symbol, time, sums, carried_state from new_rows
                )
                insert into %1$s (%2$s) select %2$s from new_rows
            $query$,
            m.relation, (select string_agg(quote_ident(c), ', ') from unnest(m.columns) as c), m.model, m.one_bar_sql
        ) using bar;
        get diagnostics affected = row_count;
        written := written + affected;
    end loop;
    return written;
end
$$;
comment on function add_bars is 'Compute a few bars of a model one by one';

create or replace function last_bar_of(names text []) returns timestamptz
language plpgsql stable
set search_path from current
as $$
declare
    found timestamptz;
begin
    execute format($query$
        select max(newest.time)
        from unnest($1) as s (symbol)
        cross join lateral (select b.time from %s as b where b.symbol = s.symbol order by b.time desc limit 1) as newest
    $query$, (select relation from models where reach = 'grid')) into found using names;
    return found;
end
$$;
comment on function last_bar_of is 'The newest bar of any of the symbols';
