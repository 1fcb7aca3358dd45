-- Repeatable. What `perpmart validate` asks of the klines: each function gives the rows that break one rule
-- among those of [since, until); `clock` is the exchange's clock, of_symbols NULL means all. The rules of the
-- CHECK constraints are asked again: a restored or foreign table may lack them.

create or replace function check_ohlcv_time(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.timeframe, o.time, case
        when width_of(o.timeframe) is null then 'unknown timeframe'
        when date_bin(width_of(o.timeframe), o.time, timestamptz 'epoch') <> o.time then 'off the grid of ' || o.timeframe
        else 'not over by ' || clock end
    from ohlcv as o
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and (date_bin(width_of(o.timeframe), o.time, timestamptz 'epoch') is distinct from o.time
            or o.time + width_of(o.timeframe) > clock)
$$;

create or replace function check_ohlcv_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.timeframe, o.time,
        format('open %s high %s low %s close %s volume %s quote %s trades %s',
            o.open, o.high, o.low, o.close, o.volume, o.quote_volume, o.trades)
    from ohlcv as o
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and (not (least(o.open, o.high, o.low, o.close) > 0 and greatest(o.open, o.high, o.low, o.close) < 'infinity')
            or not (o.volume >= 0 and o.volume < 'infinity')
            or not (o.quote_volume >= 0 and o.quote_volume < 'infinity')
            or o.trades < 0 or (o.trades > 0 and o.volume = 0))
$$;

create or replace function check_ohlcv_order(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.timeframe, o.time,
        format('open %s and close %s not within %s..%s', o.open, o.close, o.low, o.high)
    from ohlcv as o
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and not (o.low <= least(o.open, o.close) and o.high >= greatest(o.open, o.close))
$$;

create or replace function check_ohlcv_takers(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.timeframe, o.time, format('takers bought %s of %s (quote %s of %s)',
        o.taker_buy_base, o.volume, o.taker_buy_quote, o.quote_volume)
    from ohlcv as o
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and (not (o.taker_buy_base >= 0 and o.taker_buy_base <= o.volume * 1.000000001)
            or not (o.taker_buy_quote >= 0 and o.taker_buy_quote <= o.quote_volume * 1.000000001))
$$;

-- Quote by base is the mean price of the bar: a swap of columns or units shows here. The exchange rounds both.
create or replace function check_ohlcv_mean_price(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.timeframe, o.time, format('quote %s by volume %s is not within %s..%s',
        o.quote_volume, o.volume, o.low, o.high)
    from ohlcv as o
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and ((o.volume > 0 and not (o.quote_volume / o.volume between o.low * 0.999 and o.high * 1.001))
            or (o.volume = 0 and o.quote_volume <> 0))
$$;

create or replace function missing_klines(since timestamptz, until timestamptz, of_symbols text [])
returns table (symbol text, timeframe text, missing tstzmultirange, covered tstzmultirange, noted tstzmultirange)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with neighbours as (
        select o.symbol, o.timeframe, o.time, width_of(o.timeframe) as width,
            lag(o.time) over (partition by o.symbol, o.timeframe order by o.time) as before
        from ohlcv as o
        where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
    ),
    present as (
        select n.symbol, n.timeframe, tstzmultirange(tstzrange(min(n.time), max(n.time + n.width))) as span,
            coalesce(range_agg(tstzrange(n.before + n.width, n.time)) filter (where n.time > n.before + n.width), '{}') as between_rows
        from neighbours as n group by n.symbol, n.timeframe
    ),
    answered as (
        select c.symbol, split_part(c.stream, ':', 2) as timeframe,
            range_agg(tstzrange(greatest(c.from_time, since), least(c.to_time, until))) as covered
        from coverage as c
        where c.stream like 'ohlcv:%' and c.source <> 'stream' and c.to_time > since and c.from_time < until
            and (of_symbols is null or c.symbol = any(of_symbols))
        group by 1, 2
    ),
    listed as (  -- A ticker that is used again stands still between its listings.
        select i.symbol, range_agg(tstzrange(i.valid_from, i.valid_to)) as listed from instruments as i group by i.symbol
    )
    select coalesce(p.symbol, a.symbol), coalesce(p.timeframe, a.timeframe),
        (coalesce(p.between_rows, '{}') + (coalesce(a.covered, '{}') - coalesce(p.span, '{}')))
        * coalesce(l.listed, '{(,)}'),
        coalesce(a.covered, '{}'),
        coalesce((
            select range_agg(tstzrange(g.from_time, g.to_time)) from gaps as g
            where g.stream = 'ohlcv:' || coalesce(p.timeframe, a.timeframe)
                and g.symbol in (coalesce(p.symbol, a.symbol), '*')
        ), '{}')
    from present as p full join answered as a on a.symbol = p.symbol and a.timeframe = p.timeframe
    left join listed as l on l.symbol = coalesce(p.symbol, a.symbol)
$$;
comment on function missing_klines(timestamptz, timestamptz, text []) is
'Times without a kline between the first and last row or under coverage; what REST or archive answered for; what is noted as a hole. One row per symbol and timeframe';

create or replace function check_ohlcv_holes(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, m.timeframe, lower(hole), format('no kline until %s, neither answered for nor noted', upper(hole))
    from missing_klines(since, until, of_symbols) as m, unnest(m.missing - m.covered - m.noted) as hole
$$;

create or replace function check_ohlcv_quiet(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, m.timeframe, lower(quiet), format('answered for, and no kline until %s', upper(quiet))
    from missing_klines(since, until, of_symbols) as m, unnest(m.missing * m.covered) as quiet
$$;

create or replace function check_ohlcv_traded(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, m.timeframe, r.time, format('no kline, but takers bought %s and sold %s', r.long_account, r.short_account)
    from missing_klines(since, until, of_symbols) as m
    inner join long_short_ratio as r
        on r.symbol = m.symbol and r.period = m.timeframe and r.ratio_type = 'taker_volume'
            and r.time >= since and r.time < until and (m.missing - m.noted) @> r.time
    where r.long_account + r.short_account > 0
$$;

-- Wider klines against the 5m klines that make them up, where all of those are there.
create or replace function check_ohlcv_sums(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with widths as (
        select distinct timeframe, width_of(timeframe) as width from ohlcv where width_of(timeframe) > interval '5 minutes'
    ),
    summed as (
        select f.symbol, w.timeframe, w.width, date_bin(w.width, f.time, timestamptz 'epoch') as time, count(*) as bars,
            (array_agg(f.open order by f.time))[1] as open, max(f.high) as high, min(f.low) as low,
            (array_agg(f.close order by f.time desc))[1] as close, sum(f.volume) as volume, sum(f.trades) as trades
        from ohlcv as f cross join widths as w
        where f.timeframe = '5m' and f.time >= since and f.time < until
            and (of_symbols is null or f.symbol = any(of_symbols))
        group by 1, 2, 3, 4
    )
    select o.symbol, o.timeframe, o.time, format(
        '%s/%s/%s/%s volume %s trades %s, but its 5m klines make %s/%s/%s/%s volume %s trades %s',
        o.open, o.high, o.low, o.close, o.volume, o.trades, s.open, s.high, s.low, s.close, s.volume, s.trades)
    from ohlcv as o
    inner join summed as s on s.symbol = o.symbol and s.timeframe = o.timeframe and s.time = o.time
        and s.bars = extract(epoch from s.width) / 300
    where o.time >= since and o.time < until
        and (greatest(abs(o.open / s.open - 1), abs(o.high / s.high - 1), abs(o.low / s.low - 1),
                abs(o.close / s.close - 1)) > 1e-6
            or abs(o.volume - s.volume) > 1e-6 * greatest(o.volume, s.volume)
            or o.trades <> s.trades)
$$;

-- Against the symbol's own median move: thirty robust deviations, and at least 2 %. Reported, never deleted.
create or replace function check_ohlcv_outliers(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with moves as (
        select o.symbol, o.timeframe, o.time, m.name, m.size
        from (
            select k.*, lag(k.close) over w as previous, lag(k.volume) over w as previous_volume
            from ohlcv as k
            where k.time >= since and k.time < until and (of_symbols is null or k.symbol = any(of_symbols))
                and k.low > 0 and k.high < 'infinity'
            window w as (partition by k.symbol, k.timeframe order by k.time)
        ) as o, lateral (values
            ('close', ln(o.close / o.previous)), ('high', ln(o.high / greatest(o.open, o.close))),
            ('low', ln(o.low / least(o.open, o.close)))
        ) as m (name, size)
        where o.previous > 0 and m.size is not null
    ),
    typical as (
        select m.symbol, m.timeframe, percentile_cont(0.5) within group (order by abs(m.size)) as deviation
        from moves as m where m.name = 'close' group by m.symbol, m.timeframe
    )
    select m.symbol, m.timeframe, m.time, format('%s moves by %s %%, typical are %s %%',
        m.name, round((100 * (exp(m.size) - 1))::numeric, 2), round((100 * t.deviation)::numeric, 3))
    from moves as m inner join typical as t on t.symbol = m.symbol and t.timeframe = m.timeframe
    where abs(m.size) > greatest(30 * 1.4826 * t.deviation, 0.02)
$$;
