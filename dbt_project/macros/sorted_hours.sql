{# The last 168 values at bars that close on the full hour, sorted, as of each full hour: a binary search (width_bucket)
   counts those up to a value. Null unless all are known. #}
{% macro sorted_hours(series) -%}
    {%- if one_bar() -%}
    -- The hour that the bar is in, or that it closes.
    select
        symbol,
        segment_start,
        max(time) + interval '5 minutes' as hour,
        array_agg({{ series }} order by {{ series }}) as ascending
    from {{ ref('bars_5m') }}
    where
        symbol = any(scope_symbols()) and time = any(
            array(
                select date_bin(interval '1 hour', scope_start() + interval '5 minutes', timestamptz '2000-01-01 00:00:00+00')
                    - interval '5 minutes' - make_interval(hours => hours_before)
                from generate_series(0, 167) as hours_before
            )
        )
    group by symbol, segment_start
    having count({{ series }}) = 168
    {%- else -%}
    select
        symbol,
        segment_start,
        hour,
        ascending
    from (
        select
            symbol,
            segment_start,
            time + interval '5 minutes' as hour,
            sorted_values({{ series }}) over last_168 as ascending,
            count({{ series }}) over last_168 as known
        from {{ ref('bars_5m') }}
        where
            {{ in_scope(days_before=8) }}
            and time = date_bin(interval '1 hour', time, timestamptz '2000-01-01 00:00:00+00') + interval '55 minutes'
        window last_168 as (partition by symbol, segment_start order by time rows 167 preceding)
    ) as hours
    where known = 168 and hour > (select scope_start()) - interval '1 hour'
    {%- endif -%}
{%- endmacro %}

{# (count below + half the count equal) / 168 of a value among the sorted hours. The equal ones, of which few bars have any,
   are counted one by one. #}
{% macro midrank(series, hours) -%}
    (
            2 * width_bucket({{ series }}, {{ hours }}.ascending)
            - case
                when {{ hours }}.ascending[width_bucket({{ series }}, {{ hours }}.ascending)] = {{ series }}
                    then (select count(*) from unnest({{ hours }}.ascending) as v where v = {{ series }})
                else 0
            end
        ) / 336.0::float8
{%- endmacro %}
