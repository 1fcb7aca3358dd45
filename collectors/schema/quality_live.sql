-- Repeatable. What `perpmart validate` asks of liquidations, books, mark prices, and of all tables alike;
-- read as quality_ohlcv.sql.

create or replace function check_liquidations_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select l.symbol, l.side, l.time, format('price %s quantity %s%s', l.price, l.quantity,
        case when l.time > clock then ', in the future' end)
    from liquidations as l
    where l.time >= since and l.time < until and (of_symbols is null or l.symbol = any(of_symbols))
        and (not (l.price > 0 and l.price < 'infinity') or not (l.quantity > 0 and l.quantity < 'infinity')
            or l.side not in ('SELL', 'BUY') or l.time > clock or l.quantity > l.original_quantity * 1.000000001)
$$;

create or replace function check_liquidations_price(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select l.symbol, l.side, l.time, format('filled at %s, the bar traded from %s to %s', l.price, k.low, k.high)
    from liquidations as l
    inner join ohlcv as k on k.symbol = l.symbol and k.timeframe = '5m'
        and k.time = date_bin(interval '5 minutes', l.time, timestamptz 'epoch')
    where l.time >= since and l.time < until and (of_symbols is null or l.symbol = any(of_symbols))
        and not (l.price between k.low * 0.95 and k.high * 1.05)
$$;

create or replace function check_order_book_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select b.symbol, '', b.time, format('best bid %s best ask %s, %s bids %s asks%s', b.bid_price[1], b.ask_price[1],
        cardinality(b.bid_price), cardinality(b.ask_price), case when b.time > clock then ', in the future' end)
    from order_book as b
    where b.slot >= since and b.slot < until and (of_symbols is null or b.symbol = any(of_symbols))
        and (not book_side_is_sane(b.bid_price, b.bid_quantity, -1) or not book_side_is_sane(b.ask_price, b.ask_quantity, 1)
            or not (b.bid_price[1] < b.ask_price[1]) or b.time > clock
            or b.slot <> date_bin(interval '10 seconds', b.time, timestamptz 'epoch'))
$$;

create or replace function check_order_book_price(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select b.symbol, '', b.time, format('best bid %s, the bar traded from %s to %s', b.bid_price[1], k.low, k.high)
    from order_book as b
    inner join ohlcv as k on k.symbol = b.symbol and k.timeframe = '5m'
        and k.time = date_bin(interval '5 minutes', b.slot, timestamptz 'epoch')
    where b.slot >= since and b.slot < until and (of_symbols is null or b.symbol = any(of_symbols))
        and not (b.bid_price[1] between k.low * 0.95 and k.high * 1.05)
$$;

create or replace function check_mark_price_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, '', m.time, format('mark %s index %s predicted rate %s%s', m.mark_price, m.index_price,
        m.predicted_funding_rate, case when m.time > clock then ', in the future' end)
    from mark_price as m
    where m.slot >= since and m.slot < until and (of_symbols is null or m.symbol = any(of_symbols))
        and (not (m.mark_price > 0 and m.mark_price < 'infinity') or not (m.index_price > 0 and m.index_price < 'infinity')
            or coalesce(m.mark_price, m.index_price) is null or not (abs(m.predicted_funding_rate) <= 0.05)
            or abs(m.mark_price / m.index_price - 1) > 0.1 or m.time > clock
            or m.slot <> date_bin(interval '10 seconds', m.time, timestamptz 'epoch'))
$$;

create or replace function check_mark_price_price(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, '', m.time, format('mark price %s, the bar before traded from %s to %s', m.mark_price, k.low, k.high)
    from mark_price as m
    inner join ohlcv as k on k.symbol = m.symbol and k.timeframe = '5m'
        and k.time = date_bin(interval '5 minutes', m.time - interval '1 microsecond', timestamptz 'epoch')
    where m.slot >= since and m.slot < until and (of_symbols is null or m.symbol = any(of_symbols))
        and not (m.mark_price between k.low * 0.95 and k.high * 1.05)
$$;

-- Under REST's coverage there is a price at each five minutes.
create or replace function check_mark_price_complete(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select distinct c.symbol, '', point, 'covered, but there is no row'
    from coverage as c, generate_series(
        date_bin(interval '5 minutes', greatest(c.from_time, since) + interval '299.999999 seconds', timestamptz 'epoch'),
        least(c.to_time, until) - interval '1 microsecond', interval '5 minutes') as point
    where c.stream = 'mark_price' and c.source <> 'stream' and c.to_time > since and c.from_time < until
        and (of_symbols is null or c.symbol = any(of_symbols))
        and not exists (select from mark_price as m where m.symbol = c.symbol and m.slot = point)
        and not exists (
            select from gaps as g where g.stream = 'mark_price' and g.symbol in (c.symbol, '*')
                and point >= g.from_time and point < g.to_time)
$$;

create or replace function check_sources(since timestamptz, until timestamptz, of_symbols text [], of_table text)
returns table (symbol text, part text, at timestamptz, found text)
language plpgsql stable set search_path from current set timezone = 'UTC'
as $$
declare
    clock_column text := case of_table when 'funding_rate' then 'funding_time'
        when 'mark_price' then 'slot' when 'order_book' then 'slot' else 'time' end;
begin
    return query execute format(
        'select t.symbol, concat_ws('':'', r.key ->> ''ratio_type'', r.key ->> ''timeframe'', r.key ->> ''period''), t.%2$I,
            format(''%%s: %%s said %%s, %%s says %%s'', m.name, r.old_source, m.was, t.source, to_jsonb(t) ->> m.name)
        from revisions as r
        inner join %1$I as t on %3$s
        cross join lateral jsonb_each_text(r.old) as m (name, was)
        where r.stream = %1$L and r.old_source <> t.source and t.%2$I >= $1 and t.%2$I < $2
            and ($3 is null or t.symbol = any($3))
            and m.was ~ ''^-?[0-9.]+(e[-+]?[0-9]+)?$'' and to_jsonb(t) ->> m.name ~ ''^-?[0-9.]+(e[-+]?[0-9]+)?$''
            and abs(m.was::float8 - (to_jsonb(t) ->> m.name)::float8)
                > case when m.name in (''open'', ''high'', ''low'', ''close'', ''mark_price'', ''index_price'') then 1e-3 else 1e-2 end
                    * greatest(abs(m.was::float8), abs((to_jsonb(t) ->> m.name)::float8), 1e-4)
        order by 3, 1, 2, 4',
        of_table, clock_column,
        (select string_agg(format('t.%1$I = (r.key ->> %1$L)::%2$s', k,
            (select format_type(atttypid, null) from pg_attribute where attrelid = of_table::regclass and attname = k)), ' and ')
         from unnest(key_columns(of_table::regclass)) as k)
    ) using since, until, of_symbols;
end
$$;

-- Rows that came in while they happened: all but one in a thousand must be there when their lag says so.
create or replace function check_lateness(since timestamptz, until timestamptz, of_symbols text [], of_table text, lag interval)
returns table (symbol text, part text, at timestamptz, found text)
language plpgsql stable set search_path from current set timezone = 'UTC'
as $$
declare
    known text := case of_table when 'ohlcv' then 't.time + width_of(t.timeframe)' else 't.time' end;
begin
    return query execute format(
        'select t.symbol, ''''::text, max(t.time), format(''99.9 %%%% of %%s rows are there %%s after their time, later than %%s'', count(*),
            percentile_disc(0.999) within group (order by t.ingested_at - (%2$s)), $4)
        from %1$I as t
        where t.source = ''stream'' and t.ingested_at - (%2$s) between interval ''-1 minute'' and interval ''10 minutes''
            and t.time >= $1 and t.time < $2 and ($3 is null or t.symbol = any($3))
        group by t.symbol
        having percentile_disc(0.999) within group (order by t.ingested_at - (%2$s)) > $4', of_table, known)
    using since, until, of_symbols, lag;
end
$$;

-- How far the newest row of a series lies behind the clock, in widths of its grid.
create or replace function check_freshness(clock timestamptz, of_symbols text [], of_table text, patience interval)
returns table (symbol text, part text, at timestamptz, found text)
language plpgsql stable set search_path from current set timezone = 'UTC'
as $$
declare
    series text := case of_table when 'ohlcv' then 't.timeframe' when 'open_interest' then 't.period'
        when 'long_short_ratio' then 't.ratio_type || '':'' || t.period' else '''''::text' end;
    width text := case of_table when 'ohlcv' then 'width_of(min(t.timeframe))'
        when 'open_interest' then 'width_of(min(t.period))' when 'long_short_ratio' then 'width_of(min(t.period))'
        else 'interval ''0''' end;
    clock_column text := case of_table when 'funding_rate' then 'funding_time' else 'time' end;
begin
    return query execute format(
        'select t.symbol, %2$s, max(t.%4$I), format(''the newest row is %%s old'', $1 - max(t.%4$I))
        from %1$I as t
        where ($2 is null or t.symbol = any($2))
            and not exists (select from instruments as i where i.symbol = t.symbol and i.valid_to <= $1
                and not exists (select from instruments as j where j.symbol = i.symbol and j.valid_from > i.valid_from))
        group by 1, 2 having $1 - max(t.%4$I) > 2 * %3$s + $3', of_table, series, width, clock_column)
    using clock, of_symbols, patience;
end
$$;

create or replace function check_listed(since timestamptz, until timestamptz, of_symbols text [], of_table text)
returns table (symbol text, part text, at timestamptz, found text)
language plpgsql stable set search_path from current set timezone = 'UTC'
as $$
declare
    clock_column text := case of_table when 'funding_rate' then 'funding_time' else 'time' end;
begin
    return query execute format(
        'select t.symbol, ''''::text, min(t.%2$I), format(''%%s rows up to %%s outside of every listing'', count(*), max(t.%2$I))
        from %1$I as t
        where t.%2$I >= $1 and t.%2$I < $2 and ($3 is null or t.symbol = any($3))
            and exists (select from instruments as i where i.symbol = t.symbol)
            and not exists (select from instruments as i where i.symbol = t.symbol
                and t.%2$I >= date_bin(interval ''1 day'', i.valid_from, timestamptz ''epoch'')
                and (i.valid_to is null or t.%2$I < i.valid_to + interval ''1 day''))
        group by t.symbol', of_table, clock_column)
    using since, until, of_symbols;
end
$$;

create or replace function check_rejects(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select '', r.stream, max(r.received_at), format('%s refused: %s (first: %s)', count(*), r.reason, min(r.id))
    from rejects as r where r.state = 'open' group by r.stream, r.reason
$$;
