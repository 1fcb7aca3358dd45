-- Measures of one order-book snapshot. Arrays start at the best level.

create or replace function book_spread_bps(bid_price float8 [], ask_price float8 []) returns float8
language sql immutable parallel safe
return 1e4 * (ask_price[1] - bid_price[1]) / ((ask_price[1] + bid_price[1]) / 2);
comment on function book_spread_bps is 'Spread in basis points of the mid price';

create or replace function book_imbalance(bid_quantity float8 [], ask_quantity float8 [], levels integer) returns float8
language plpgsql immutable parallel safe
as $$
declare
    bids float8 := 0;
    asks float8 := 0;
begin
    for i in 1 .. least(levels, coalesce(cardinality(bid_quantity), 0)) loop
        bids := bids + bid_quantity[i];
    end loop;
    for i in 1 .. least(levels, coalesce(cardinality(ask_quantity), 0)) loop
        asks := asks + ask_quantity[i];
    end loop;
    return (bids - asks) / nullif(bids + asks, 0);
end
$$;
comment on function book_imbalance is '(bid depth - ask depth) / (bid depth + ask depth) of the best levels, in base quantity';

create or replace function book_notional(price float8 [], quantity float8 [], levels integer) returns float8
language plpgsql immutable parallel safe
as $$
declare
    notional float8 := 0;
begin
    for i in 1 .. least(levels, coalesce(cardinality(price), 0)) loop
        notional := notional + price[i] * quantity[i];
    end loop;
    return notional;
end
$$;
comment on function book_notional is 'Price times quantity over the best levels of one side';

create or replace function book_microprice_premium(
    bid_price float8 [], bid_quantity float8 [], ask_price float8 [], ask_quantity float8 []
) returns float8
language sql immutable parallel safe
return 1e4 * (
    (ask_price[1] * bid_quantity[1] + bid_price[1] * ask_quantity[1]) / nullif(bid_quantity[1] + ask_quantity[1], 0)
    / ((ask_price[1] + bid_price[1]) / 2) - 1
);
comment on function book_microprice_premium is 'Price weighted by the opposite side''s best quantity, over the mid price, basis points';
