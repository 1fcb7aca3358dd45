-- Repeatable. What `perpmart validate` asks of open interest, ratios and funding; read as quality_ohlcv.sql.

create or replace function check_open_interest_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.period, o.time, format('amount %s value %s%s%s', o.open_interest, o.open_interest_value,
        case when o.time > clock then ', in the future' end,
        case when date_bin(width_of(o.period), o.time, timestamptz 'epoch') is distinct from o.time then ', off the grid' end)
    from open_interest as o
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and (not (o.open_interest >= 0 and o.open_interest < 'infinity')
            or not (o.open_interest_value >= 0 and o.open_interest_value < 'infinity')
            or coalesce(o.open_interest, o.open_interest_value) is null or o.time > clock
            or date_bin(width_of(o.period), o.time, timestamptz 'epoch') is distinct from o.time)
$$;

-- Value by amount is a price: the open of the bar at the stamp, within 5 %.
create or replace function check_open_interest_price(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select o.symbol, o.period, o.time, format('value %s by amount %s is not the price %s',
        o.open_interest_value, o.open_interest, k.open)
    from open_interest as o
    inner join ohlcv as k on k.symbol = o.symbol and k.timeframe = '5m' and k.time = o.time
    where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
        and o.open_interest > 0 and abs(o.open_interest_value / o.open_interest / k.open - 1) > 0.05
$$;

create or replace function check_open_interest_outliers(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with moves as (
        select o.symbol, o.period, o.time, coalesce(
            ln(o.open_interest / lag(o.open_interest) over w),
            ln(o.open_interest_value / lag(o.open_interest_value) over w)) as size
        from open_interest as o
        where o.time >= since and o.time < until and (of_symbols is null or o.symbol = any(of_symbols))
            and coalesce(o.open_interest > 0, true) and coalesce(o.open_interest_value > 0, true)
        window w as (partition by o.symbol, o.period order by o.time)
    ),
    typical as (
        select m.symbol, m.period, percentile_cont(0.5) within group (order by abs(m.size)) as deviation
        from moves as m group by m.symbol, m.period
    )
    select m.symbol, m.period, m.time, format('moves by %s %%, typical are %s %%',
        round((100 * (exp(m.size) - 1))::numeric, 2), round((100 * t.deviation)::numeric, 3))
    from moves as m inner join typical as t on t.symbol = m.symbol and t.period = m.period
    where abs(m.size) > greatest(30 * 1.4826 * t.deviation, 0.05)
$$;

create or replace function check_ratio_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select r.symbol, r.ratio_type || ':' || r.period, r.time, format('ratio %s long %s short %s%s%s',
        r.long_short_ratio, r.long_account, r.short_account,
        case when r.time > clock then ', in the future' end,
        case when date_bin(width_of(r.period), r.time, timestamptz 'epoch') is distinct from r.time then ', off the grid' end)
    from long_short_ratio as r
    where r.time >= since and r.time < until and (of_symbols is null or r.symbol = any(of_symbols))
        and (not (r.long_short_ratio >= 0 and r.long_short_ratio < 'infinity')
            or not (r.long_account >= 0 and r.long_account < 'infinity')
            or not (r.short_account >= 0 and r.short_account < 'infinity')
            or (r.ratio_type <> 'taker_volume' and greatest(r.long_account, r.short_account) > 1) or r.time > clock
            or date_bin(width_of(r.period), r.time, timestamptz 'epoch') is distinct from r.time)
$$;

-- The exchange rounds shares and ratio to four digits: so much apart they may be.
create or replace function check_ratio_parts(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select r.symbol, r.ratio_type || ':' || r.period, r.time,
        format('ratio %s is not long %s by short %s', r.long_short_ratio, r.long_account, r.short_account)
    from long_short_ratio as r
    where r.time >= since and r.time < until and (of_symbols is null or r.symbol = any(of_symbols))
        and ((r.short_account > 0 and r.long_account > 0 and abs(r.long_short_ratio - r.long_account / r.short_account)
                > 1e-4 + r.long_short_ratio * case when r.ratio_type = 'taker_volume' then 1e-4
                    else 1.5e-4 / least(r.long_account, r.short_account) end)
            or (r.ratio_type <> 'taker_volume' and abs(r.long_account + r.short_account - 1) > 3e-4))
$$;

create or replace function missing_statistics(since timestamptz, until timestamptz, of_symbols text [], of_sources text [])
returns table (stream text, symbol text, at timestamptz)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with covered as (
        select c.stream, c.symbol, regexp_replace(c.stream, '^.*:', '') as period,
            greatest(c.from_time, since) as from_time, least(c.to_time, until) as to_time
        from coverage as c
        where (c.stream like 'open_interest:%' or c.stream like 'long_short_ratio:%') and c.source = any(of_sources)
            and c.to_time > since and c.from_time < until and (of_symbols is null or c.symbol = any(of_symbols))
    ),
    points as (
        select distinct c.stream, c.symbol, c.period, point
        from covered as c, generate_series(
            date_bin(width_of(c.period), c.from_time + width_of(c.period) - interval '1 microsecond', timestamptz 'epoch'),
            c.to_time - interval '1 microsecond', width_of(c.period)) as point
        where width_of(c.period) is not null
    )
    select p.stream, p.symbol, p.point from points as p
    where case when p.stream like 'open_interest:%' then not exists (
            select from open_interest as o where o.symbol = p.symbol and o.period = p.period and o.time = p.point)
        else not exists (
            select from long_short_ratio as r where r.symbol = p.symbol and r.period = p.period and r.time = p.point
                and r.ratio_type = split_part(p.stream, ':', 2)) end
        and not exists (
            select from gaps as g where g.stream = p.stream and g.symbol in (p.symbol, '*')
                and p.point >= g.from_time and p.point < g.to_time)
$$;
comment on function missing_statistics(timestamptz, timestamptz, text [], text []) is
'Grid points of open interest and ratios that one of the sources answered for, without a row or a noted hole';

create or replace function check_open_interest_complete(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, split_part(m.stream, ':', 2), m.at, 'covered, but there is no row'
    from missing_statistics(since, until, of_symbols, '{rest,archive}') as m where m.stream like 'open_interest:%'
$$;

create or replace function check_ratio_complete(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select m.symbol, substr(m.stream, 18), m.at, 'covered, but there is no row'
    from missing_statistics(since, until, of_symbols, '{rest,archive}') as m where m.stream like 'long_short_ratio:%'
$$;

create or replace function check_funding_range(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select f.symbol, '', f.funding_time, format('rate %s mark price %s stamp %s', f.funding_rate, f.mark_price, f.funding_time_raw)
    from funding_rate as f
    where f.funding_time >= since and f.funding_time < until and (of_symbols is null or f.symbol = any(of_symbols))
        and (not (abs(f.funding_rate) <= 0.05) or not (f.mark_price > 0 and f.mark_price < 'infinity')
            or f.funding_time_raw > clock or date_trunc('hour', f.funding_time) <> f.funding_time
            or f.funding_time_raw - f.funding_time not between interval '0' and interval '1 minute')
$$;

-- Settlements come every 1, 2, 4 or 8 hours, and the interval may change; but one longer step between equal
-- ones is a settlement that is missing.
create or replace function check_funding_spacing(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with steps as (
        select f.symbol, f.funding_time, f.funding_time - lag(f.funding_time) over w as step,
            lag(f.funding_time) over w as before
        from funding_rate as f
        where f.funding_time >= since and f.funding_time < until and (of_symbols is null or f.symbol = any(of_symbols))
        window w as (partition by f.symbol order by f.funding_time)
    ),
    surroundings as (
        select s.*, lag(s.step) over w as step_before, lead(s.step) over w as step_after
        from steps as s window w as (partition by s.symbol order by s.funding_time)
    )
    select s.symbol, '', s.before + least(s.step_before, s.step_after, s.step),
        format('%s between the settlements of %s and %s', s.step, s.before, s.funding_time)
    from surroundings as s
    where (s.step not in (interval '1 hour', interval '2 hours', interval '4 hours', interval '8 hours')
            or (s.step > s.step_before and s.step > s.step_after))
        and not exists (
            select from gaps as g where g.stream = 'funding_rate' and g.symbol in (s.symbol, '*')
                and g.from_time < s.funding_time and g.to_time > s.before)
$$;

create or replace function check_funding_price(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    select f.symbol, '', f.funding_time, format('mark price %s is not near the kline''s open %s', f.mark_price, k.open)
    from funding_rate as f
    inner join ohlcv as k on k.symbol = f.symbol and k.timeframe = '5m' and k.time = f.funding_time
    where f.funding_time >= since and f.funding_time < until and (of_symbols is null or f.symbol = any(of_symbols))
        and abs(f.mark_price / k.open - 1) > 0.05
$$;

create or replace function check_funding_outliers(since timestamptz, until timestamptz, clock timestamptz, of_symbols text [])
returns table (symbol text, part text, at timestamptz, found text)
language sql stable set search_path from current set timezone = 'UTC'
as $$
    with rates as (
        select f.symbol, f.funding_time, f.funding_rate from funding_rate as f
        where f.funding_time >= since and f.funding_time < until and (of_symbols is null or f.symbol = any(of_symbols))
    ),
    middle as (
        select r.symbol, percentile_cont(0.5) within group (order by r.funding_rate) as median from rates as r group by r.symbol
    ),
    typical as (
        select r.symbol, min(m.median) as median,
            percentile_cont(0.5) within group (order by abs(r.funding_rate - m.median)) as deviation
        from rates as r inner join middle as m on m.symbol = r.symbol group by r.symbol
    )
    select r.symbol, '', r.funding_time, format('rate %s, median %s, typical deviation %s',
        r.funding_rate, round(t.median::numeric, 8), round(t.deviation::numeric, 8))
    from rates as r inner join typical as t on t.symbol = r.symbol
    where abs(r.funding_rate - t.median) > greatest(30 * 1.4826 * t.deviation, 0.002)
$$;
