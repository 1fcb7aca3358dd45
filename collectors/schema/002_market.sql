-- The market's raw tables. Each constraint carries its reason as a comment: the writer reads both and sends
-- rows that break one to `rejects`, so a rule is written once. NaN is the greatest float, hence `< infinity`.

create function width_of(period text) returns interval
language sql immutable parallel safe
return case period
    when '5m' then interval '5 minutes' when '1m' then interval '1 minute' when '3m' then interval '3 minutes'
    when '15m' then interval '15 minutes' when '30m' then interval '30 minutes' when '1h' then interval '1 hour'
    when '2h' then interval '2 hours' when '4h' then interval '4 hours' when '6h' then interval '6 hours'
    when '8h' then interval '8 hours' when '12h' then interval '12 hours' when '1d' then interval '24 hours'
end;
comment on function width_of(text) is 'Width of a timeframe or period; NULL when it is none. All divide a UTC day';

create function book_side_is_sane(prices double precision [], quantities double precision [], direction integer)
returns boolean
language plpgsql immutable parallel safe
as $$
declare
    previous double precision;
    level integer;
begin
    if cardinality(prices) <> cardinality(quantities) or coalesce(array_ndims(prices), 1) <> 1
        or coalesce(array_ndims(quantities), 1) <> 1 then
        return false;
    end if;
    for level in 1 .. cardinality(prices) loop
        if not coalesce(prices[level] > 0 and prices[level] < 'infinity'
                        and quantities[level] > 0 and quantities[level] < 'infinity', false)
            or (previous is not null and sign(prices[level] - previous) <> direction) then
            return false;
        end if;
        previous := prices[level];
    end loop;
    return true;
end
$$;
comment on function book_side_is_sane(double precision [], double precision [], integer) is
'One side of a book: prices and quantities equally long, positive, finite, prices strictly in order (1 up, -1 down)';

create table ohlcv (
    symbol text not null,
    timeframe text not null,
    time timestamptz not null,
    open double precision not null,
    high double precision not null,
    low double precision not null,
    close double precision not null,
    volume double precision not null,
    quote_volume double precision,
    trades bigint,
    taker_buy_base double precision,
    taker_buy_quote double precision,
    source text not null,
    borrowed jsonb,
    ingested_at timestamptz not null default now(),
    primary key (symbol, timeframe, time),
    constraint ohlcv_timeframe_is_known check (width_of(timeframe) is not null),
    constraint ohlcv_time_is_on_the_grid check (date_bin(width_of(timeframe), time, timestamptz 'epoch') = time),
    constraint ohlcv_prices_are_positive check (low > 0 and high < 'infinity'),
    constraint ohlcv_prices_lie_within_low_and_high check (low <= open and open <= high and low <= close and close <= high),
    constraint ohlcv_volumes_are_finite check (
        volume >= 0 and volume < 'infinity' and quote_volume >= 0 and quote_volume < 'infinity' and trades >= 0
    ),
    constraint ohlcv_trades_move_volume check (trades = 0 or volume > 0),
    constraint ohlcv_takers_are_part_of_the_whole check (
        taker_buy_base >= 0 and taker_buy_base <= volume * 1.000000001
        and taker_buy_quote >= 0 and taker_buy_quote < 'infinity'
        and taker_buy_quote <= quote_volume * 1.000000001
    )
);
comment on constraint ohlcv_timeframe_is_known on ohlcv is 'unknown timeframe';
comment on constraint ohlcv_time_is_on_the_grid on ohlcv is 'time off the grid of its timeframe';
comment on constraint ohlcv_prices_are_positive on ohlcv is 'price not positive and finite';
comment on constraint ohlcv_prices_lie_within_low_and_high on ohlcv is 'open or close outside low..high';
comment on constraint ohlcv_volumes_are_finite on ohlcv is 'volume or number of trades negative or not finite';
comment on constraint ohlcv_trades_move_volume on ohlcv is
'trades without volume (klines of a mark or index price are no trades)';
comment on constraint ohlcv_takers_are_part_of_the_whole on ohlcv is 'taker volume negative or above the whole';
comment on table ohlcv is 'Closed klines. One row per symbol, timeframe and open time';
comment on column ohlcv.timeframe is 'Width of the bar: 5m, 1h, ...';
comment on column ohlcv.time is 'Open of the bar, UTC, on the grid of its timeframe';
comment on column ohlcv.open is 'First price, quote currency';
comment on column ohlcv.high is 'Highest price, quote currency';
comment on column ohlcv.low is 'Lowest price, quote currency';
comment on column ohlcv.close is 'Last price, quote currency';
comment on column ohlcv.volume is 'Traded amount, base currency';
comment on column ohlcv.quote_volume is 'Traded value, quote currency; NULL when the source does not say';
comment on column ohlcv.trades is 'Number of trades; NULL when the source does not say';
comment on column ohlcv.taker_buy_base is 'Part of volume bought by takers, base currency; NULL when unknown';
comment on column ohlcv.taker_buy_quote is 'Part of quote_volume bought by takers, quote currency; NULL when unknown';

create table open_interest (
    symbol text not null,
    period text not null,
    time timestamptz not null,
    open_interest double precision,
    open_interest_value double precision,
    source text not null,
    borrowed jsonb,
    ingested_at timestamptz not null default now(),
    primary key (symbol, period, time),
    constraint open_interest_period_is_known check (width_of(period) is not null),
    constraint open_interest_time_is_on_the_grid check (date_bin(width_of(period), time, timestamptz 'epoch') = time),
    constraint open_interest_says_something check (open_interest is not null or open_interest_value is not null),
    constraint open_interest_is_finite check (
        open_interest >= 0 and open_interest < 'infinity'
        and open_interest_value >= 0 and open_interest_value < 'infinity'
    )
);
comment on constraint open_interest_period_is_known on open_interest is 'unknown period';
comment on constraint open_interest_time_is_on_the_grid on open_interest is 'time off the grid of its period';
comment on constraint open_interest_says_something on open_interest is 'neither amount nor value given';
comment on constraint open_interest_is_finite on open_interest is 'open interest negative or not finite';
comment on table open_interest is 'Snapshots of the open interest. One row per symbol, period and stamp';
comment on column open_interest.period is 'Spacing of the series it was published in: 5m .. 1d';
comment on column open_interest.time is 'The instant it was true, UTC';
comment on column open_interest.open_interest is 'Open positions, base currency; NULL when the source does not say';
comment on column open_interest.open_interest_value is 'Open positions, USD; NULL when the source does not say';

create table funding_rate (
    symbol text not null,
    funding_time timestamptz not null,
    funding_time_raw timestamptz not null,
    funding_rate double precision not null,
    mark_price double precision,
    source text not null,
    borrowed jsonb,
    ingested_at timestamptz not null default now(),
    primary key (symbol, funding_time),
    constraint funding_rate_time_is_a_minute check (
        funding_time = date_bin(interval '1 minute', funding_time_raw, timestamptz 'epoch')
    ),
    constraint funding_rate_is_a_fraction check (funding_rate >= -1 and funding_rate <= 1),
    constraint funding_rate_mark_price_is_positive check (mark_price > 0 and mark_price < 'infinity')
);
comment on constraint funding_rate_time_is_a_minute on funding_rate is 'funding_time is not the minute of funding_time_raw';
comment on constraint funding_rate_is_a_fraction on funding_rate is 'funding rate outside -1..1';
comment on constraint funding_rate_mark_price_is_positive on funding_rate is 'mark price not positive and finite';
comment on table funding_rate is 'Funding settlements. One row per symbol and settlement';
comment on column funding_rate.funding_time is 'Settlement, floored to the minute, UTC';
comment on column funding_rate.funding_time_raw is 'Settlement as stamped by the exchange (jitters by milliseconds), UTC';
comment on column funding_rate.funding_rate is 'Fraction of the position paid by longs to shorts at this settlement';
comment on column funding_rate.mark_price is 'Mark price at the settlement, quote currency; NULL when the source does not say';

create table liquidations (
    symbol text not null,
    time timestamptz not null,
    side text not null,
    price double precision not null,
    quantity double precision not null,
    original_price double precision,
    original_quantity double precision,
    order_type text,
    time_in_force text,
    status text,
    event_time timestamptz,
    source text not null,
    borrowed jsonb,
    ingested_at timestamptz not null default now(),
    primary key (symbol, time, side, price, quantity),
    constraint liquidations_side_is_known check (side in ('SELL', 'BUY')),
    constraint liquidations_price_is_positive check (
        price > 0 and price < 'infinity' and original_price > 0 and original_price < 'infinity'
    ),
    constraint liquidations_quantity_is_positive check (
        quantity > 0 and quantity < 'infinity' and original_quantity > 0 and original_quantity < 'infinity'
    )
);
comment on constraint liquidations_side_is_known on liquidations is 'side is neither SELL nor BUY';
comment on constraint liquidations_price_is_positive on liquidations is 'price not positive and finite';
comment on constraint liquidations_quantity_is_positive on liquidations is 'quantity not positive and finite';
comment on table liquidations is
'Forced orders as pushed by the exchange: at most the latest one per symbol and second, so sums are lower bounds. One row per symbol, time, side, price and quantity';
comment on column liquidations.time is 'Trade time, UTC';
comment on column liquidations.side is 'Side of the forced order: SELL closed a long, BUY a short';
comment on column liquidations.price is 'Average price of the fill, quote currency';
comment on column liquidations.quantity is 'Amount filled, base currency';
comment on column liquidations.original_price is 'Limit of the order, quote currency; NULL when unknown';
comment on column liquidations.original_quantity is 'Size of the order, base currency; NULL when unknown';
comment on column liquidations.order_type is 'Type of the order (LIMIT)';
comment on column liquidations.time_in_force is 'Time in force of the order (IOC)';
comment on column liquidations.status is 'Status of the order (FILLED, ...)';
comment on column liquidations.event_time is 'When the exchange pushed it, UTC; NULL when unknown';

create table long_short_ratio (
    symbol text not null,
    period text not null,
    ratio_type text not null,
    time timestamptz not null,
    long_short_ratio double precision not null,
    long_account double precision,
    short_account double precision,
    source text not null,
    borrowed jsonb,
    ingested_at timestamptz not null default now(),
    primary key (symbol, period, ratio_type, time),
    constraint long_short_ratio_period_is_known check (width_of(period) is not null),
    constraint long_short_ratio_time_is_on_the_grid check (date_bin(width_of(period), time, timestamptz 'epoch') = time),
    constraint long_short_ratio_type_is_known check (
        ratio_type in ('global_account', 'top_account', 'top_position', 'taker_volume')
    ),
    constraint long_short_ratio_is_finite check (
        long_short_ratio >= 0 and long_short_ratio < 'infinity'
        and long_account >= 0 and long_account < 'infinity' and short_account >= 0 and short_account < 'infinity'
    ),
    constraint long_short_ratio_shares_are_fractions check (
        ratio_type = 'taker_volume' or (long_account <= 1 and short_account <= 1)
    )
);
comment on constraint long_short_ratio_period_is_known on long_short_ratio is 'unknown period';
comment on constraint long_short_ratio_time_is_on_the_grid on long_short_ratio is 'time off the grid of its period';
comment on constraint long_short_ratio_type_is_known on long_short_ratio is 'unknown ratio type';
comment on constraint long_short_ratio_is_finite on long_short_ratio is 'ratio or share negative or not finite';
comment on constraint long_short_ratio_shares_are_fractions on long_short_ratio is 'share of accounts above 1';
comment on table long_short_ratio is 'Long/short statistics of the exchange. One row per symbol, period, ratio type and stamp';
comment on column long_short_ratio.period is 'Spacing of the series it was published in: 5m .. 1d';
comment on column long_short_ratio.ratio_type is
'global_account, top_account, top_position (snapshots at the stamp) or taker_volume (the bar that starts at the stamp)';
comment on column long_short_ratio.time is 'Stamp of the exchange, UTC';
comment on column long_short_ratio.long_short_ratio is 'Long divided by short (taker_volume: bought by sold)';
comment on column long_short_ratio.long_account is 'Long share, 0..1 (taker_volume: bought, base currency); NULL when unknown';
comment on column long_short_ratio.short_account is 'Short share, 0..1 (taker_volume: sold, base currency); NULL when unknown';
