-- Recursions: EMA, Wilder smoothing and cumulative sums, with a state that a later run carries on from.
--
-- A smoothing starts at its n-th value with the mean of the first n. A null leaves the state; more than n nulls in a
-- row start it anew. State: 1 value (before the start: sum of the values so far), 2 values seen (at most n), 3 nulls in a row.
-- `carried` is the state at the row before the first one read; null where a segment starts.

create or replace function smooth_step(state float8 [], value float8, n integer, weight float8, carried float8 [])
returns float8 []
language plpgsql immutable parallel safe
as $$
declare
    mean float8;
begin
    -- Nearly every row: an array made in one expression costs half of one that is changed in place.
    if state[2] >= n and value is not null then
        mean := state[1] + weight * (value - state[1]);
        -- Far below what any feature can tell from 0, and before the float's range ends in an error.
        return array[case when abs(mean) < 1e-200 then 0 else mean end, n, 0];
    end if;
    if state is null then
        state := coalesce(carried, array[0, 0, 0]::float8[]);
    end if;
    if value is null then
        state[3] := state[3] + 1;
        if state[3] > n then
            state[1] := 0;
            state[2] := 0;
        end if;
        return state;
    end if;
    state[3] := 0;
    if state[2] >= n then -- carried from an earlier run
        return smooth_step(state, value, n, weight, null);
    end if;
    state[1] := state[1] + value;
    state[2] := state[2] + 1;
    if state[2] = n then
        state[1] := state[1] / n;
    end if;
    return state;
end
$$;
create or replace aggregate smooth(float8, integer, float8, float8 []) (sfunc = smooth_step, stype = float8 []);
comment on aggregate smooth(float8, integer, float8, float8 []) is
'Exponential smoothing with a weight, seeded by the mean of its first n values, carried on from a state';

create or replace function smoothed(state float8 [], value float8, n integer) returns float8
language sql immutable parallel safe
return case when value is not null and state[2] >= n then state[1] end;
comment on function smoothed is 'Value of a smoothing at a row: null where its input is null and before its n-th value';

create or replace function accumulate_step(state float8, value float8, carried float8) returns float8
language plpgsql immutable parallel safe
as $$
begin
    return coalesce(state, carried, 0) + coalesce(value, 0);
end
$$;
create or replace aggregate accumulate(float8, float8) (sfunc = accumulate_step, stype = float8);
comment on aggregate accumulate(float8, float8) is 'Cumulative sum carried on from an earlier one; a null adds nothing';
