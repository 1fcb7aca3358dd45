-- Rolling statistics in constant time a row.
--
-- Running sums start anew at each UTC midnight and are taken about an anchor, the day's first known value. A sum over
-- the last n <= 288 rows is then today's running sum less that of the row n back, plus, where the window reaches into
-- yesterday, the rest of yesterday's sum, moved to today's anchor. Blocks lie on the clock and anchors in the past, so
-- a run that starts to read at any midnight gives the same bits.
--
-- Arguments: rows_today (rows of the UTC day so far), then a running sum at this row, at the row n back (null where
-- there is none) and at yesterday's last row; shift (yesterday's anchor less today's); n. Callers see to it that the
-- window's rows exist and are known (macros of rolling.sql).

create or replace function first_known_step(state float8, value float8) returns float8
language plpgsql immutable strict parallel safe as $$ begin return state; end $$;
create or replace aggregate first_known(float8) (sfunc = first_known_step, stype = float8, parallel = safe);
comment on aggregate first_known(float8) is 'The first value that is not null';

-- greatest() and least() pass over nulls, which would make a number of an unknown: never use them on what may be null.
-- The functions behind the aggregates max and min do not. Each argument is used once in what follows where it can be
-- an expression: a function that repeats a costly argument is called, at twenty times the price, not written out.
create or replace function not_negative(value float8) returns float8
language sql immutable parallel safe return float8larger(value, 0);
comment on function not_negative is 'The value, or 0 where rounding left it below; null stays null';

create or replace function clamped(value float8, low float8, high float8) returns float8
language sql immutable parallel safe return float8smaller(float8larger(value, low), high);
comment on function clamped is 'The value within its bounds; null stays null';

create or replace function window_sum(
    rows_today bigint, total float8, total_back float8, total_yesterday float8, shift float8, n bigint
) returns float8
language sql immutable parallel safe
return case
    when rows_today > n then total - total_back
    when rows_today = n then total
    else total + (total_yesterday - coalesce(total_back, 0)) + (n - rows_today) * shift
end;
comment on function window_sum is 'Sum of (value - today''s anchor) over the last n rows; exactly 0 when all values are 0 and there is no anchor';

create or replace function window_squares(
    rows_today bigint, squares float8, squares_back float8, squares_yesterday float8,
    total_back float8, total_yesterday float8, shift float8, n bigint
) returns float8
language sql immutable parallel safe
return case
    when rows_today > n then squares - squares_back
    when rows_today = n then squares
    else squares + (squares_yesterday - coalesce(squares_back, 0))
        + shift * (2 * (total_yesterday - coalesce(total_back, 0)) + (n - rows_today) * shift)
end;
comment on function window_squares is 'Sum of (value - today''s anchor) squared over the last n rows';

create or replace function window_products(
    rows_today bigint, products float8, products_back float8, products_yesterday float8,
    x_back float8, x_yesterday float8, x_shift float8, y_back float8, y_yesterday float8, y_shift float8, n bigint
) returns float8
language sql immutable parallel safe
return case
    when rows_today > n then products - products_back
    when rows_today = n then products
    else products + (products_yesterday - coalesce(products_back, 0))
        + x_shift * (y_yesterday - coalesce(y_back, 0))
        + y_shift * (x_yesterday - coalesce(x_back, 0))
        + (n - rows_today) * x_shift * y_shift
end;
comment on function window_products is 'Sum of (x - its anchor)(y - its anchor) over the last n rows';

create or replace function central_square(squares float8, total float8, n bigint) returns float8
language sql immutable parallel safe
return not_negative(squares - total * total / n);
comment on function central_square is 'Sum of squared deviations from the mean, from the sums about an anchor';

create or replace function central_cube(cubes float8, squares float8, total float8, n bigint) returns float8
language sql immutable parallel safe
return cubes - 3 * total * squares / n + 2 * total * total * total / n / n;
comment on function central_cube is 'Sum of cubed deviations from the mean, from the sums about an anchor';

-- A week's hours in order, from one hour to the next: putting one in and taking one out is a twentieth of sorting anew.
create or replace function insert_sorted(ascending float8 [], value float8) returns float8 []
language plpgsql immutable strict parallel safe
as $$
declare
    place constant integer := width_bucket(value, ascending);
begin
    return ascending[:place] || value || ascending[place + 1:];
end
$$;

create or replace function remove_sorted(ascending float8 [], value float8) returns float8 []
language plpgsql immutable strict parallel safe
as $$
declare
    place constant integer := width_bucket(value, ascending);
begin
    return ascending[:place - 1] || ascending[place + 1:];
end
$$;

create or replace aggregate sorted_values(float8) (
    sfunc = insert_sorted, stype = float8 [], initcond = '{}',
    msfunc = insert_sorted, minvfunc = remove_sorted, mstype = float8 [], minitcond = '{}',
    parallel = safe
);
comment on aggregate sorted_values(float8) is 'The values that are not null, in ascending order; quick over a window that moves';
