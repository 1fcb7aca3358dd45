-- The range that the running model computes. run_model sets it for the transaction; SQL run by hand sees everything.

create or replace function cluster_name() returns text
language sql stable
as $$ select system_identifier::text || '/' || current_database() from pg_control_system() $$;
comment on function cluster_name is 'Identity of the server and database: transaction ids mean nothing in another one';

create or replace function utc_day(at timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin(interval '1 day', at, timestamptz '2000-01-01 00:00:00+00');
comment on function utc_day is 'Midnight UTC of the day that holds the instant';

create or replace function bar_open(at timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin(interval '5 minutes', at, timestamptz '2000-01-01 00:00:00+00');
comment on function bar_open is 'Open of the 5-minute bar that holds the instant';

create or replace function symbols() returns text []
language sql stable parallel safe
set search_path from current
as $$
    with recursive listed as (
        (select symbol from ohlcv order by symbol limit 1)
        union all
        select (select o.symbol from ohlcv as o where o.symbol > l.symbol order by o.symbol limit 1)
        from listed as l
        where l.symbol is not null
    )
    select coalesce(array_agg(symbol), '{}') from listed where symbol is not null
$$;
comment on function symbols is 'All symbols that have klines (an index skip scan)';

create or replace function last_kline() returns timestamptz
language sql stable parallel safe
set search_path from current
as $$
    select max(newest.time)
    from unnest(symbols()) as s (symbol)
    cross join lateral (
        select o.time from ohlcv as o
        where o.symbol = s.symbol and o.timeframe = '5m' order by o.time desc limit 1
    ) as newest
$$;
comment on function last_kline is 'Open of the newest closed 5m kline of any symbol: where the grid ends';

create or replace function scope_symbols() returns text []
language plpgsql stable parallel safe
set search_path from current
as $$
begin
    return coalesce(nullif(current_setting('perpmart.symbols', true), '')::text[], symbols());
end
$$;
comment on function scope_symbols is 'Symbols that the running model computes';

create or replace function scope_start() returns timestamptz
language plpgsql stable parallel safe
as $$
begin
    return coalesce(nullif(current_setting('perpmart.from_time', true), '')::timestamptz, '-infinity');
end
$$;
comment on function scope_start is 'First bar that the running model computes';

create or replace function scope_days_before(days integer) returns timestamptz
language plpgsql stable parallel safe
as $$
declare
    start constant timestamptz := coalesce(nullif(current_setting('perpmart.from_time', true), '')::timestamptz, '-infinity');
begin
    return case when isfinite(start)
        then date_bin('1 day', start, '2000-01-01 00:00:00+00') - make_interval(hours => 24 * days) -- a day of the session's time zone may have 23
        else start end;
end
$$;
comment on function scope_days_before is 'Midnight UTC of the first day in scope, less some whole days: where a model starts to read';

create or replace function timeframe_width(timeframe text) returns interval
language sql immutable parallel safe
return case timeframe
    when '1m' then interval '1 minute'
    when '3m' then interval '3 minutes'
    when '5m' then interval '5 minutes'
    when '15m' then interval '15 minutes'
    when '30m' then interval '30 minutes'
    when '1h' then interval '1 hour'
    when '2h' then interval '2 hours'
    when '4h' then interval '4 hours'
    when '6h' then interval '6 hours'
    when '8h' then interval '8 hours'
    when '12h' then interval '12 hours'
    when '1d' then interval '24 hours'
end;
comment on function timeframe_width is 'Width of a timeframe or period as the exchange names it';

create or replace function periods() returns text []
language sql immutable parallel safe
return '{1m,3m,5m,15m,30m,1h,2h,4h,6h,8h,12h,1d}'::text[];
comment on function periods is 'All timeframes and periods: named in a condition, they let an index on (symbol, period, time) find a time';
