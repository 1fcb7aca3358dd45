{# Rolling statistics in three steps, each a CTE of the model (the numerics are functions of the engine, 040_rolling.sql):
   1. day_block: running sums of the UTC day, over the window `day_so_far`, and the rows since the last null and change;
   2. look_back: from those sums here, n rows back and at yesterday's end, sums over n rows, over the window `segment`;
   3. rolling_mean, rolling_stddev, ...: the statistic, from those columns.
   Every statistic is null unless the segment has n rows and all are known; a flat window has a deviation of exactly 0. #}

{# The row's number in its day and in what has been read. #}
{% macro row_numbers() -%}
    {{ 'bars_between(greatest(utc_day, segment_start), time) + 1' if one_bar() else 'row_number() over day_so_far' }} as rows_today,
        {{ row_in_segment() }}
{%- endmacro %}

{% macro row_in_segment() -%}
    {{ 'bars_between(segment_start, time) + 1' if one_bar() else 'row_number() over segment' }} as row_in_segment
{%- endmacro %}

{# Whether a series differs from the row before: asked for once, in a CTE before day_block(..., powers >= 2). #}
{% macro changed(series) -%}
    ({{ series }} is distinct from lag({{ series }}) over segment) as {{ series }}_changed
{%- endmacro %}

{# Step 1 for one series. `anchor` names a column that does not change within the day; `powers` says how many sums of
   powers are needed: 1 for sums and means, 2 for deviations and correlations, 3 for skewness. #}
{% macro day_block(series, powers=1, anchor=none) -%}
    {%- set value = series if anchor is none else '(' ~ series ~ ' - ' ~ anchor ~ ')' -%}
    {{ known_rows(series) }},
        {{ day_total(value, series ~ '_sum') }}
    {%- if powers >= 2 %},
        {{ flat_rows(series) }},
        {{ day_total(value ~ ' * ' ~ value, series ~ '_squares') }}
    {%- endif %}
    {%- if powers >= 3 %},
        {{ day_total(value ~ ' * ' ~ value ~ ' * ' ~ value, series ~ '_cubes') }}
    {%- endif %}
{%- endmacro %}

{# Step 1 for the products of two series, beside the day_block of each. #}
{% macro product_block(x, y, x_anchor='0', y_anchor='0') -%}
    {{ day_total('(' ~ x ~ ' - ' ~ x_anchor ~ ') * (' ~ y ~ ' - ' ~ y_anchor ~ ')', x ~ '_' ~ y ~ '_products') }}
{%- endmacro %}

{# The day's running sum, 0 before its first known value; and as it is carried on, null there. #}
{% macro day_total(value, name) -%}
    {%- set so_far = day_sum(value, name ~ '_so_far') -%}
    {%- if model.get('way') -%}
    {{ so_far }} as {{ name }}_so_far,
        {% endif -%}
    coalesce({{ so_far }}, 0) as {{ name }}
{%- endmacro %}

{% macro day_sum(value, name) -%}
    {{ carried_value(
        name, 'sum(' ~ value ~ ') over day_so_far', 'add_known(' ~ kept_before(name, 'day_so_far') ~ ', ' ~ value ~ ')'
    ) }}
{%- endmacro %}

{# Rows since the last unknown one, and since the last that differed from the one before it. #}
{% macro known_rows(series) -%}
    {%- set name = series ~ '_known_rows' -%}
    {{ carried(
        name,
        'row_in_segment - coalesce(max(row_in_segment) filter (where ' ~ series ~ ' is null) over segment, 0)',
        'case when ' ~ series ~ ' is null then 0 else coalesce(' ~ kept_before(name, 'segment') ~ ', 0) + 1 end'
    ) }}
{%- endmacro %}

{% macro flat_rows(series) -%}
    {%- set name = series ~ '_flat_rows' -%}
    {{ carried(
        name,
        'row_in_segment - coalesce(max(row_in_segment) filter (where ' ~ series ~ '_changed) over segment, 0) + 1',
        'case when ' ~ series ~ '_changed then 1 else coalesce(' ~ kept_before(name, 'segment') ~ ', 1) + 1 end'
    ) }}
{%- endmacro %}

{# The day's first known value. #}
{% macro day_anchor(series, name) -%}
    {{ carried(
        name, 'first_known(' ~ series ~ ') over day_so_far', 'coalesce(' ~ kept_before(name, 'day_so_far') ~ ', ' ~ series ~ ')'
    ) }}
{%- endmacro %}

{# Step 2 for one series: sums over its windows, about today's anchor; lengths, powers and anchor as in step 1. They are
   said where the window functions are: a level up, PostgreSQL would call the functions instead of writing them out. #}
{% macro look_back(series, lengths, powers=1, anchor=none) -%}
    {%- for n in lengths -%}
    {%- set shift = anchor_shift(anchor) -%}
    {{ of_new_bar('window_sum(' ~ sums_back(series ~ '_sum', n) ~ ', ' ~ shift ~ ', ' ~ n ~ ')') }} as {{ series }}_sum_{{ n }}
        {%- if powers >= 2 %},
        {{ of_new_bar(
            'window_squares(' ~ sums_back(series ~ '_squares', n) ~ ', ' ~ lags(series ~ '_sum', n) ~ ', ' ~ shift ~ ', ' ~ n ~ ')'
        ) }} as {{ series }}_squares_{{ n }}
        {%- endif %}
        {%- if powers >= 3 %},
        {{ of_new_bar('window_sum(' ~ sums_back(series ~ '_cubes', n) ~ ', 0, ' ~ n ~ ')') }} as {{ series }}_cubes_{{ n }}
        {%- endif %}
        {{- '' if loop.last else ',
        ' }}
    {%- endfor -%}
{%- endmacro %}

{# Step 2 for the products of two series. #}
{% macro look_back_products(x, y, lengths, x_anchor=none, y_anchor=none) -%}
    {%- for n in lengths -%}
    {%- set sums = [
        sums_back(x ~ '_' ~ y ~ '_products', n), lags(x ~ '_sum', n), anchor_shift(x_anchor),
        lags(y ~ '_sum', n), anchor_shift(y_anchor), n | string,
    ] -%}
    {{ of_new_bar('window_products(' ~ sums | join(', ') ~ ')') }} as {{ x }}_{{ y }}_products_{{ n }}
        {{- '' if loop.last else ',
        ' }}
    {%- endfor -%}
{%- endmacro %}

{# A running sum here, n rows back and at yesterday's end, after the number of the row in its day. #}
{% macro sums_back(sum, n) -%}
    rows_today, {{ sum }}, {{ lags(sum, n) }}
{%- endmacro %}

{% macro lags(sum, n) -%}
    {{ lag(sum, n) }}, {{ total_at_yesterdays_end(sum) }}
{%- endmacro %}

{# A day's sum some rows back, as many as a column of `rows` says; no more than yesterday's midnight is away. #}
{% macro lag_by(sum, n, rows) -%}
    {%- if one_bar() -%}
    (
            select coalesce(k.sums[{{ kept_place(sum ~ '_so_far') }}], 0)
            from running_sums as k
            where
                k.model = '{{ model.name }}' and {{ rows }}.symbol = k.symbol and k.time >= {{ rows }}.segment_start
                and k.time = {{ rows }}.time - {{ rows }}.{{ n }} * interval '5 minutes'
        )
    {%- else -%}
    lag({{ sum }}, {{ n }}::integer) over segment
    {%- endif -%}
{%- endmacro %}

{% macro total_at_yesterdays_end(sum) -%}
    {{ at_yesterdays_end(sum, 'coalesce(' ~ yesterdays(sum ~ '_so_far') ~ ', 0)' if one_bar() else none) }}
{%- endmacro %}

{# A column at yesterday's last row; null where the segment has none. #}
{% macro at_yesterdays_end(column, kept=none) -%}
    {%- if one_bar() -%}
    case when kept_sums_yesterday is not null then {{ kept or yesterdays(column) }} end
    {%- else -%}
    lag({{ column }}, rows_today::integer) over segment
    {%- endif -%}
{%- endmacro %}

{% macro yesterdays(column) -%}
    kept_sums_yesterday[{{ kept_place(column) }}]
{%- endmacro %}

{# Yesterday's anchor less today's. #}
{% macro anchor_shift(anchor) -%}
    {%- if anchor is none -%} 0
    {%- else -%} coalesce({{ at_yesterdays_end(anchor) }} - {{ anchor }}, 0)
    {%- endif -%}
{%- endmacro %}

{# Sums of deviations, from the columns of step 2: the parts of step 3. #}
{% macro central_square(series, n) -%}
    central_square({{ series }}_squares_{{ n }}, {{ series }}_sum_{{ n }}, {{ n }})
{%- endmacro %}

{% macro central_product(x, y, n) -%}
    ({{ x }}_{{ y }}_products_{{ n }} - {{ x }}_sum_{{ n }} * {{ y }}_sum_{{ n }} / {{ n }})
{%- endmacro %}

{# Step 3. #}
{% macro rolling_sum(series, n) -%}
    case when {{ series }}_known_rows >= {{ n }} then {{ series }}_sum_{{ n }} end
{%- endmacro %}

{% macro rolling_mean(series, n, anchor='0') -%}
    case when {{ series }}_known_rows >= {{ n }} then {{ anchor }} + {{ series }}_sum_{{ n }} / {{ n }} end
{%- endmacro %}

{% macro rolling_stddev(series, n, ddof=1) -%}
    case
            when {{ series }}_known_rows < {{ n }} then null
            when {{ series }}_flat_rows >= {{ n }} then 0
            else sqrt({{ central_square(series, n) }} / {{ n - ddof }})
        end
{%- endmacro %}

{% macro rolling_zscore(series, n, anchor='0') -%}
    ({{ series }} - {{ rolling_mean(series, n, anchor) }}) / nullif({{ rolling_stddev(series, n) }}, 0)
{%- endmacro %}

{% macro rolling_skewness(series, n) -%}
    case
            when {{ series }}_known_rows >= {{ n }} and {{ series }}_flat_rows < {{ n }} then
                central_cube({{ series }}_cubes_{{ n }}, {{ series }}_squares_{{ n }}, {{ series }}_sum_{{ n }}, {{ n }})
                / {{ n }} / nullif(({{ central_square(series, n) }} / {{ n }}) ^ 1.5, 0)
        end
{%- endmacro %}

{% macro rolling_corr(x, y, n) -%}
    case
            when
                {{ x }}_known_rows >= {{ n }} and {{ y }}_known_rows >= {{ n }}
                and {{ x }}_flat_rows < {{ n }} and {{ y }}_flat_rows < {{ n }}
                then clamped(
                    {{ central_product(x, y, n) }}
                    / nullif(sqrt({{ central_square(x, n) }}) * sqrt({{ central_square(y, n) }}), 0), -1, 1
                )
        end
{%- endmacro %}

{# Slope of y on x: covariance over the variance of x. #}
{% macro rolling_slope(x, y, n) -%}
    case
            when {{ x }}_known_rows >= {{ n }} and {{ y }}_known_rows >= {{ n }} and {{ x }}_flat_rows < {{ n }}
                then {{ central_product(x, y, n) }} / nullif({{ central_square(x, n) }}, 0)
        end
{%- endmacro %}

{# The windows that the macros above speak of. Both sort alike, so the database sorts once. #}
{% macro rolling_windows() -%}
    window
        segment as (partition by symbol, segment_start order by utc_day, time rows unbounded preceding),
        day_so_far as (partition by symbol, segment_start, utc_day order by time rows unbounded preceding)
{%- endmacro %}
