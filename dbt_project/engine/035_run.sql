-- From pending ranges to rows.

create or replace function symbols_of(relation text) returns text []
language plpgsql stable
set search_path from current
as $$
declare
    found text[];
begin
    execute format($query$
        with recursive listed as (
            (select symbol from %1$s order by symbol limit 1)
            union all
            select (select o.symbol from %1$s as o where o.symbol > l.symbol order by o.symbol limit 1)
            from listed as l
            where l.symbol is not null
        )
        select array_agg(symbol) from listed where symbol is not null
    $query$, relation) into found;
    return coalesce(found, '{}');
end
$$;
comment on function symbols_of is 'All symbols that a model''s table holds (an index skip scan)';

create or replace function grid_ends(m models) returns table (symbol text, from_time timestamptz)
language plpgsql stable
set search_path from current
as $$
begin
    -- A kline of any symbol moves the end of the grid of them all; one that is deleted moves it back.
    return query execute format($query$
        select s.symbol, least(b.time, ends.time) + interval '5 minutes'
        from unnest(symbols()) as s (symbol)
        cross join lateral (select time from %1$s where symbol = s.symbol order by time desc limit 1) as b
        cross join lateral (
            select time from ohlcv
            where symbol = s.symbol and timeframe = '5m' and time <= b.time order by time desc limit 1
        ) as k
        cross join lateral (
            select greatest(k.time, bar_open(least(
                k.time + interval '24 hours 5 minutes',
                (select last_kline()) + interval '5 minutes',
                (
                    select min(least(i.valid_to, next_listing.valid_from)) from instruments as i
                    left join lateral (
                        select min(n.valid_from) as valid_from from instruments as n
                        where n.symbol = i.symbol and n.valid_from > i.valid_from
                    ) as next_listing on true
                    where i.symbol = s.symbol and i.valid_from <= k.time
                        and least(i.valid_to, next_listing.valid_from, 'infinity') > k.time
                )
            ) - interval '1 microsecond')) as time
        ) as ends
        where b.time <> ends.time
    $query$, m.relation);
end
$$;
comment on function grid_ends is 'Symbols whose last bar is not the one at which their grid ends now, and the first bar to compute or to drop';

create or replace function pending_ranges(m models, pending_ids bigint []) returns table (symbol text, from_time timestamptz)
language plpgsql stable
set search_path from current
as $$
declare
    everyone text[] := '{}';
    stream text;
begin
    if m.reach <> 'symbol' or exists (select 1 from pending as p where p.id = any(pending_ids) and p.symbol = '*') then
        -- Those of its own sources (a stream may know symbols that have no klines yet), and those that only the table
        -- knows any more: their rows have to go.
        everyone := symbols() || symbols_of(m.relation);
        foreach stream in array m.streams loop
            if to_regclass(stream) is not null and stream <> 'coverage' then
                everyone := everyone || symbols_of(stream);
            end if;
        end loop;
    end if;
    return query
    with asked as (
        select p.symbol, p.from_time from pending as p where p.id = any(pending_ids)
        union all
        select e.symbol, e.from_time from grid_ends(m) as e where m.reach = 'grid'
    ),
    widened as (
        select e.symbol, a.from_time
        from asked as a
        inner join (select distinct s.symbol from unnest(everyone) as s (symbol)) as e
            on a.symbol = '*'
            or m.reach = 'universe'
            or (m.reach = 'benchmark' and a.symbol = m.benchmark)
        union all
        select a.symbol, a.from_time from asked as a where a.symbol <> '*' and m.reach <> 'universe'
    )
    select w.symbol, min(
        case when isfinite(w.from_time) then date_bin(m.grain, w.from_time, timestamptz '2000-01-01 00:00:00+00') else w.from_time end
    )
    from widened as w
    group by w.symbol;
end
$$;
comment on function pending_ranges is 'Symbols and first bars that a set of pending rows means for a model of this reach';

drop function if exists unbuilt_grid_ends(models);

create or replace function choose_plans(from_time timestamptz, names text []) returns void
language plpgsql
set search_path from current
as $$
declare
    -- What a few bars need, found row by row, would take for ever over a long range: estimates of windows over windows
    -- are poor, and figures of the newest rows lag behind. Hash joins are never far off.
    is_short constant boolean := isfinite(from_time)
        and cardinality(names) * date_part('epoch', last_kline() - from_time) / 300 < 3000;
begin
    perform set_config('enable_nestloop', is_short::text, true), set_config('enable_mergejoin', is_short::text, true);
end
$$;

create or replace function symbols_in_parts(m models, names text [], from_time timestamptz) returns table (part text [])
language sql stable
set search_path from current
as $$
    with long as (
        -- A segment may have grown by hours of flat bars; a few thousand more or less are no matter.
        select
            s.symbol,
            case when first.time is null then 0 else
                date_part('epoch', (select last_kline()) - greatest(symbols_in_parts.from_time, first.time)) / 300
            end as bars
        from unnest(names) as s (symbol)
        left join lateral (
            select o.time from ohlcv as o
            where o.symbol = s.symbol and o.timeframe = '5m' order by o.time limit 1
        ) as first on true
    ),
    numbered as (
        select
            symbol,
            case when m.reach = 'universe' then 0 else floor(
                (sum(bars) over (order by symbol) - bars)
                / coalesce(nullif(current_setting('perpmart.bars_in_part', true), '')::float8, 200000)
            ) end as part
        from long
    )
    select array_agg(symbol order by symbol) from numbered group by numbered.part order by numbered.part
$$;
comment on function symbols_in_parts is
'Symbols in parts of some 200,000 bars: sorts and hash tables stay in memory however long the history is';

create or replace function hand_to_children(m models, names text [], starts timestamptz []) returns void
language sql
set search_path from current
as $$
    insert into pending (model, symbol, from_time)
    select child.model, r.symbol, r.from_time + m.grain - interval '5 minutes'
    from models as child
    cross join unnest(names, starts) as r (symbol, from_time)
    where m.model = any(child.parents)
$$;
comment on function hand_to_children is 'Make the ranges that a model has computed pending for the models that read it';

create or replace function add_days(m models, names text [], from_time timestamptz) returns bigint
language plpgsql
set search_path from current
as $$
declare
    chosen text[];
    affected bigint;
    written bigint := 0;
begin
    for chosen in select p.part from symbols_in_parts(m, names, from_time) as p loop
        perform set_config('perpmart.symbols', chosen::text, true);
        execute format(
            'insert into %1$s (%2$s) select %2$s from (%3$s) as computed where time >= %4$L', m.relation,
            (select string_agg(quote_ident(c), ', ') from unnest(m.columns) as c), m.compiled_sql, from_time
        );
        get diagnostics affected = row_count;
        written := written + affected;
    end loop;
    return written;
end
$$;
comment on function add_days is 'Compute a model''s rows from a time on by the SQL that dbt compiled';

create or replace function is_empty(relation text) returns boolean
language plpgsql stable
set search_path from current
as $$
declare
    found boolean;
begin
    execute format('select not exists (select from %s)', relation) into found;
    return found;
end
$$;

create or replace function contents(m models, names text [], from_time timestamptz) returns jsonb
language plpgsql stable
set search_path from current set extra_float_digits = 1 -- all digits, whatever the session shows
as $$
declare
    found jsonb;
begin
    execute format($query$
        select jsonb_agg(jsonb_build_object('symbol', symbol, 'time', time, 'content', md5(r::text)))
        from %s as r
        where symbol = any($1) and time >= $2
    $query$, m.relation) into found using names, from_time;
    return coalesce(found, '[]');
end
$$;
comment on function contents is 'Rows of a model''s table from a time on: symbol, time and a hash of every bit of them';

create or replace function first_differences(stood jsonb, stand jsonb) returns table (symbol text, from_time timestamptz)
language sql immutable
set search_path from current
as $$
    select symbol, min(time)
    from jsonb_to_recordset(stood) as o (symbol text, time timestamptz, content text)
    full join jsonb_to_recordset(stand) as n (symbol text, time timestamptz, content text) using (symbol, time)
    where o.content is distinct from n.content
    group by symbol
$$;
comment on function first_differences is 'First row of each symbol that is another than before, new or gone; from the contents before and after';

create or replace function run_model(p_model text) returns table (ranges bigint, written bigint)
language plpgsql
set search_path from current set enable_nestloop = on set enable_mergejoin = on set jit = off
as $$
declare
    m models%rowtype;
    taken bigint[];
    names text[];
    starts timestamptz[];
    changed_names text[] := '{}';
    changed_starts timestamptz[] := '{}';
    span record;
    last_bar timestamptz;
    is_short boolean;
    is_compared boolean;
    stood jsonb;
begin
    perform lock_model(p_model);
    select * into strict m from models where model = p_model;
    if m.compiled_sql is null then
        raise exception 'model % has no compiled SQL yet: run dbt build first', p_model;
    end if;
    if m.storage = 'continuous' then
        ranges := pass_on_unmaterialized(m);
        written := 0;
        return next;
        return;
    end if;
    if exists (select from pg_extension where extname = 'timescaledb') then
        -- Of compressed tables a range goes by batches, but of each symbol one that is cut: 100,000 rows are soon too few.
        perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    end if;
    ranges := 0;
    written := 0;
    -- Exactly these are cleared in the end: what is noted from now on waits for the next run.
    select array_agg(id) into taken from pending where model = p_model;
    select array_agg(r.symbol), array_agg(r.from_time) into names, starts
    from pending_ranges(m, taken) as r where taken is not null or m.reach = 'grid';

    for span in
        select r.from_time, array_agg(r.symbol order by r.symbol) as symbols
        from unnest(names, starts) as r (symbol, from_time) group by r.from_time order by r.from_time
    loop
        perform set_config('perpmart.from_time', case when isfinite(span.from_time) then span.from_time::text else '' end, true),
            choose_plans(span.from_time, span.symbols);
        perform refuse_forgetting(m, span.symbols, span.from_time);
        is_short := coalesce(last_kline() < span.from_time + greatest(interval '1 hour', m.grain), false);
        -- Of the grid's few newest bars, which all else is made from, it is asked which are others than before: changes are
        -- noted a bar too early, and what becomes known often is no news.
        is_compared := m.reach = 'grid' and is_short;
        stood := case when is_compared then contents(m, span.symbols, span.from_time) end;
        -- A table that is emptied in the transaction that fills it is not logged, if the server's wal_level is minimal. For a
        -- few bars it is not worth the lock that shuts readers out, nor a look over rows that are dead.
        if (not isfinite(span.from_time) and span.symbols @> symbols_of(m.relation)) or (not is_short and is_empty(m.relation)) then
            execute format('truncate %s', m.relation);
        else
            execute format('delete from %s where symbol = any(%L) and time >= %L', m.relation, span.symbols, span.from_time);
        end if;
        last_bar := null;
        if m.one_bar_sql is not null then
            perform forget_sums(p_model, span.symbols, span.from_time, 'infinity');
            last_bar := last_bar_of(span.symbols);
        end if;
        if last_bar < span.from_time + interval '1 hour' then
            written := written + add_bars(m, span.symbols, span.from_time, last_bar);
        else
            written := written + add_days(m, span.symbols, span.from_time);
        end if;
        ranges := ranges + cardinality(span.symbols);
        select
            changed_names || coalesce(array_agg(c.symbol), '{}'), changed_starts || coalesce(array_agg(c.from_time), '{}')
        into changed_names, changed_starts
        from (
            select d.symbol, d.from_time
            from first_differences(stood, contents(m, span.symbols, span.from_time)) as d where is_compared
            union all
            select s.symbol, span.from_time from unnest(span.symbols) as s (symbol) where not is_compared
        ) as c;
    end loop;

    -- Children plan by these figures; autovacuum would bring them after the run.
    if written > 0.2 * (select sum(greatest(c.reltuples, 0)) from pg_class as c where c.oid in (select parts_of(m.relation))) then
        -- Of the columns that joins go by: the sample of all the others takes longer than a day's rows of every symbol.
        execute format('analyze %s (symbol, time)', m.relation);
    end if;

    delete from pending where id = any(taken);
    if m.meaning is null or '-infinity' = any(starts) then
        perform note_meaning(p_model);
    end if;
    perform hand_to_children(m, changed_names, changed_starts);
    perform set_config('perpmart.symbols', '', true), set_config('perpmart.from_time', '', true);
    return next;
end
$$;
comment on function run_model is
'Compute the pending ranges of one model in this transaction, replace its rows from there on and hand the ranges to its children';

create or replace function model_hash(sql text, names text [], types text []) returns text
language sql stable
set search_path from current
as $$ select md5(concat_ws(';', definition_hash(sql), names, types)) $$;

create or replace function examine_model(p_model text, relation text, sql text, names text [], types text [], docs text)
returns table (is_new boolean, is_changed boolean, docs_changed boolean)
language plpgsql
set search_path from current
as $$
begin
    -- Before the first look: what another run does with this model has to be over.
    perform lock_model(p_model);
    perform note_source(p_model, sql, exists (
        select 1 from models as m where m.model = p_model and m.definition_hash = model_hash(sql, names, types)
    ));
    return query
    select m.definition_hash is null, m.definition_hash is distinct from model_hash(sql, names, types),
        not exists (select 1 from documented as d where d.relation = without_database(examine_model.relation) and d.docs_hash = md5(docs))
    from models as m
    where m.model = p_model;
end
$$;
comment on function examine_model is 'Lock a model for this transaction and say whether its definition or its comments differ from those of its last run';

drop function if exists define_model(text, text, text, text []);
create or replace function define_model(p_model text, p_relation text, p_sql text, p_columns text [], p_types text []) returns void
language sql
set search_path from current
as $$
    select agree_columns(without_database(p_relation), p_columns, p_types);
    update models
    set relation = without_database(p_relation), compiled_sql = without_database(p_sql), columns = p_columns,
        definition_hash = model_hash(p_sql, p_columns, p_types), source_hash = source_hash(p_sql), storage = 'table'
    where model = p_model;
    delete from definitions where model = p_model;
    insert into pending (model, symbol, from_time) values (p_model, '*', '-infinity');
$$;
comment on function define_model is 'Store a new definition of a model and fit its table to it; all of its rows become pending';

create or replace function note_docs(p_relation text, docs text) returns void
language sql
set search_path from current
as $$
    insert into documented (relation, docs_hash) values (without_database(p_relation), md5(docs))
    on conflict (relation) do update set docs_hash = excluded.docs_hash
$$;

create or replace function publish() returns bigint
language plpgsql
set search_path from current
as $$
declare
    grid models%rowtype;
    shown bigint;
begin
    select * into grid from models where reach = 'grid';
    if grid.compiled_sql is null or exists (select 1 from models where definition_hash is null) then
        return 0;
    end if;
    execute format($query$
        with recursive wide as (
            -- What is pending of one symbol here is pending of all: ranks compare it with the others.
            select model, parents from models where reach in ('universe', 'benchmark')
            union
            select p.model, p.parents from wide as w inner join models as p on p.model = any(w.parents)
        ),
        unfinished as (
            select case when model in (select model from wide) then '*' else symbol end as symbol, min(from_time) as from_time
            from pending
            group by 1
        ),
        complete as (
            select s.symbol, newest.time
            from unnest(symbols()) as s (symbol)
            cross join lateral (
                select b.time from %s as b
                where
                    b.symbol = s.symbol
                    and b.time < coalesce((select min(u.from_time) from unfinished as u where u.symbol in (s.symbol, '*')), 'infinity')
                order by b.time desc
                limit 1
            ) as newest
        ),
        gone as (
            delete from published where symbol <> all(coalesce((select symbols()), '{}'))
        )
        insert into published as p (symbol, time)
        select symbol, time from complete
        on conflict (symbol) do update set time = excluded.time, published_at = clock_timestamp()
            where p.time <> excluded.time
    $query$, grid.relation);
    get diagnostics shown = row_count;
    return shown;
end
$$;
comment on function publish is 'Show each symbol''s rows up to the first bar that is still pending in any model';
