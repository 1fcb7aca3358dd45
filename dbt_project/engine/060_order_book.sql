-- Measures of one order-book snapshot. Arrays start at the best level.

create or replace function book_spread_bps(bid_price float8 [], ask_price float8 []) returns float8
language sql immutable parallel safe
return 1e4 * (ask_price[1] - bid_price[1]) / ((ask_price[1] + bid_price[1]) / 2);
comment on function book_spread_bps is 'Spread in basis points of the mid price';

-- Sums over levels are written out, which costs a fifth of a loop: there are 8,640 snapshots a symbol and day.
do $$
begin
    execute format(
        'create or replace function book_quantity_5(quantity float8[]) returns float8 language sql immutable parallel safe return %s',
        (select string_agg(format('coalesce(quantity[%s], 0)', level), ' + ' order by level) from generate_series(1, 5) as level)
    );
    execute format(
        'create or replace function book_quantity_20(quantity float8[]) returns float8 language sql immutable parallel safe return %s',
        (select string_agg(format('coalesce(quantity[%s], 0)', level), ' + ' order by level) from generate_series(1, 20) as level)
    );
    execute format(
        'create or replace function book_notional_20(price float8[], quantity float8[]) returns float8 '
        'language sql immutable parallel safe return %s',
        (
            select string_agg(format('coalesce(price[%1$s] * quantity[%1$s], 0)', level), ' + ' order by level)
            from generate_series(1, 20) as level
        )
    );
end
$$;
comment on function book_quantity_5 is 'Base quantity over the best 5 levels of one side, or as many as there are';
comment on function book_quantity_20 is 'Base quantity over the best 20 levels of one side, or as many as there are';
comment on function book_notional_20 is 'Price times quantity over the best 20 levels of one side, or as many as there are';

create or replace function book_imbalance(bid_depth float8, ask_depth float8) returns float8
language plpgsql immutable parallel safe
as $$
begin
    return (bid_depth - ask_depth) / nullif(bid_depth + ask_depth, 0);
end
$$;
comment on function book_imbalance(float8, float8) is '(bid depth - ask depth) / (bid depth + ask depth)';

create or replace function book_microprice_premium(
    bid_price float8 [], bid_quantity float8 [], ask_price float8 [], ask_quantity float8 []
) returns float8
language sql immutable parallel safe
return 1e4 * (
    (ask_price[1] * bid_quantity[1] + bid_price[1] * ask_quantity[1]) / nullif(bid_quantity[1] + ask_quantity[1], 0)
    / ((ask_price[1] + bid_price[1]) / 2) - 1
);
comment on function book_microprice_premium is 'Price weighted by the opposite side''s best quantity, over the mid price, basis points';
