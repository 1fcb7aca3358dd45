-- The roll-ups are written with TimescaleDB's time_bucket, first and last. Where the extension is missing these stand in.
do $$
begin
    if exists (select 1 from pg_extension where extname = 'timescaledb') then
        -- With our schema's name: without it the extension's own functions would be meant.
        execute format(
            'drop function if exists %1$I.time_bucket(interval, timestamptz), %1$I.time_bucket(interval, timestamptz, interval)',
            current_schema()
        );
        execute format(
            'drop aggregate if exists %1$I.first(float8, timestamptz), %1$I.last(float8, timestamptz)', current_schema()
        );
        return;
    end if;

    -- TimescaleDB counts buckets from Monday 2000-01-03, which every width up to a day divides alike.
    create or replace function time_bucket(width interval, at timestamptz) returns timestamptz
    language sql immutable parallel safe
    return date_bin(width, at, timestamptz '2000-01-03 00:00:00+00');

    create or replace function time_bucket(width interval, at timestamptz, shift interval) returns timestamptz
    language sql immutable parallel safe
    return date_bin(width, at, timestamptz '2000-01-03 00:00:00+00' + shift);

    create or replace function first_step(state float8[], value float8, at timestamptz) returns float8[]
    language plpgsql immutable parallel safe
    as $step$
    begin
        if at is null or (state is not null and state[2] <= date_part('epoch', at)) then
            return state;
        end if;
        return array[value, date_part('epoch', at)];
    end
    $step$;
    create or replace function last_step(state float8[], value float8, at timestamptz) returns float8[]
    language plpgsql immutable parallel safe
    as $step$
    begin
        if at is null or (state is not null and state[2] >= date_part('epoch', at)) then
            return state;
        end if;
        return array[value, date_part('epoch', at)];
    end
    $step$;
    create or replace function first_element(state float8[]) returns float8
    language sql immutable parallel safe return state[1];
    create or replace aggregate first(float8, timestamptz) (sfunc = first_step, stype = float8[], finalfunc = first_element);
    create or replace aggregate last(float8, timestamptz) (sfunc = last_step, stype = float8[], finalfunc = first_element);
end
$$;
