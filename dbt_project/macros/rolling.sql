{# Rolling statistics in three steps, each a CTE of the model (the numerics are functions of the engine, 040_rolling.sql):
   1. day_block: running sums of the UTC day, over the window `day_so_far`, and the rows since the last null and change;
   2. look_back: those sums n rows back and at yesterday's end, over the window `segment`;
   3. rolling_mean, rolling_stddev, ...: the statistic, from those columns.
   Every statistic is null unless the segment has n rows and all are known; a flat window has a deviation of exactly 0. #}

{# The row's number in its day and in what has been read. #}
{% macro row_numbers() -%}
    row_number() over day_so_far as rows_today,
        row_number() over segment as row_in_segment
{%- endmacro %}

{# Whether a series differs from the row before: asked for once, in a CTE before day_block(..., powers >= 2). #}
{% macro changed(series) -%}
    ({{ series }} is distinct from lag({{ series }}) over segment) as {{ series }}_changed
{%- endmacro %}

{# Step 1 for one series. `anchor` names a column that does not change within the day; `powers` says how many sums of
   powers are needed: 1 for sums and means, 2 for deviations and correlations, 3 for skewness. #}
{% macro day_block(series, powers=1, anchor=none) -%}
    {%- set value = series if anchor is none else '(' ~ series ~ ' - ' ~ anchor ~ ')' -%}
    row_in_segment - coalesce(max(row_in_segment) filter (where {{ series }} is null) over segment, 0) as {{ series }}_known_rows,
        coalesce(sum({{ value }}) over day_so_far, 0) as {{ series }}_sum
    {%- if powers >= 2 %},
        row_in_segment - coalesce(max(row_in_segment) filter (where {{ series }}_changed) over segment, 0) + 1 as {{ series }}_flat_rows,
        coalesce(sum({{ value }} * {{ value }}) over day_so_far, 0) as {{ series }}_squares
    {%- endif %}
    {%- if powers >= 3 %},
        coalesce(sum({{ value }} * {{ value }} * {{ value }}) over day_so_far, 0) as {{ series }}_cubes
    {%- endif %}
{%- endmacro %}

{# Step 1 for the products of two series, beside the day_block of each. #}
{% macro product_block(x, y, x_anchor='0', y_anchor='0') -%}
    coalesce(sum(({{ x }} - {{ x_anchor }}) * ({{ y }} - {{ y_anchor }})) over day_so_far, 0) as {{ x }}_{{ y }}_products
{%- endmacro %}

{# Step 2 for one series: the lengths of its windows, and the same powers and anchor as in step 1. #}
{% macro look_back(series, lengths, powers=1, anchor=none) -%}
    {%- for sum in ['sum', 'squares', 'cubes'][:powers] -%}
    {{ sums_back(series ~ '_' ~ sum, lengths) }},
        {% endfor -%}
    {%- if anchor is none -%}
    0::float8 as {{ series }}_shift
    {%- else -%}
    coalesce(lag({{ anchor }}, rows_today::integer) over segment - {{ anchor }}, 0) as {{ series }}_shift
    {%- endif -%}
{%- endmacro %}

{# Step 2 for the products of two series. #}
{% macro look_back_products(x, y, lengths) -%}
    {{ sums_back(x ~ '_' ~ y ~ '_products', lengths) }}
{%- endmacro %}

{% macro sums_back(sum, lengths) -%}
    {%- for n in lengths -%}
    lag({{ sum }}, {{ n }}) over segment as {{ sum }}_{{ n }}_back,
        {% endfor -%}
    lag({{ sum }}, rows_today::integer) over segment as {{ sum }}_yesterday
{%- endmacro %}

{# Sums over the window, about today's anchor: the parts of step 3. #}
{% macro window_sum(series, n) -%}
    window_sum(rows_today, {{ series }}_sum, {{ series }}_sum_{{ n }}_back, {{ series }}_sum_yesterday, {{ series }}_shift, {{ n }})
{%- endmacro %}

{% macro window_squares(series, n) -%}
    window_squares(
            rows_today, {{ series }}_squares, {{ series }}_squares_{{ n }}_back, {{ series }}_squares_yesterday,
            {{ series }}_sum_{{ n }}_back, {{ series }}_sum_yesterday, {{ series }}_shift, {{ n }}
        )
{%- endmacro %}

{% macro central_square(series, n) -%}
    central_square({{ window_squares(series, n) }}, {{ window_sum(series, n) }}, {{ n }})
{%- endmacro %}

{% macro central_product(x, y, n) -%}
    (
            window_products(
                rows_today, {{ x }}_{{ y }}_products, {{ x }}_{{ y }}_products_{{ n }}_back, {{ x }}_{{ y }}_products_yesterday,
                {{ x }}_sum_{{ n }}_back, {{ x }}_sum_yesterday, {{ x }}_shift,
                {{ y }}_sum_{{ n }}_back, {{ y }}_sum_yesterday, {{ y }}_shift, {{ n }}
            )
            - {{ window_sum(x, n) }} * {{ window_sum(y, n) }} / {{ n }}
        )
{%- endmacro %}

{# Step 3. #}
{% macro rolling_sum(series, n) -%}
    case when {{ series }}_known_rows >= {{ n }} then {{ window_sum(series, n) }} end
{%- endmacro %}

{% macro rolling_mean(series, n, anchor='0') -%}
    case when {{ series }}_known_rows >= {{ n }} then {{ anchor }} + {{ window_sum(series, n) }} / {{ n }} end
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
                central_cube(
                    window_sum(rows_today, {{ series }}_cubes, {{ series }}_cubes_{{ n }}_back, {{ series }}_cubes_yesterday, 0, {{ n }}),
                    {{ window_squares(series, n) }}, {{ window_sum(series, n) }}, {{ n }}
                ) / {{ n }} / nullif(({{ central_square(series, n) }} / {{ n }}) ^ 1.5, 0)
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
