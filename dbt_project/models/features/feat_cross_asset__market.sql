-- The symbol against the benchmark and against the universe of its time. Ranks count the symbols that are in the
-- universe at the bar and traded in it; ties share the average rank. Limit: 300 bars of warm-up for the residual.
{% set benchmark = "'" ~ benchmark_symbol() | trim ~ "'" %}
{%- set beta -%}
    case
            when
                return_1_known_rows >= 288 and return_1_flat_rows >= 288
                and btc_return_1_known_rows >= 288 and btc_return_1_flat_rows < 288
                then 0
            else {{ rolling_slope('btc_return_1', 'return_1', 288) }}
        end
{%- endset %}
-- universe {{ universe_checksum() }}
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, close, is_filled
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=1, first=12, bars_back=[1, 2, 12, 288]) }} -- the residual's beta is that of 12 bars before
),

bars_with_returns as (
    select
        *,
        {{ row_numbers() }},
        close / {{ lag('close', 1) }} - 1 as return_1,
        close / {{ lag('close', 12) }} - 1 as return_12,
        close / {{ lag('close', 288) }} - 1 as return_288
    from bars
    {{ rolling_windows() }}
),

pairs as (
    select
        *,
        max(return_1) filter (where symbol = {{ benchmark }}) over at_time as btc_return_1,
        max(return_12) filter (where symbol = {{ benchmark }}) over at_time as btc_return_12,
        max(return_288) filter (where symbol = {{ benchmark }}) over at_time as btc_return_288
    from bars_with_returns
    window at_time as (partition by time)
),

pairs_with_flags as (
    select
        *,
        {{ changed('return_1') }},
        {{ changed('btc_return_1') }}
    from pairs
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('return_1', powers=2) }},
        {{ day_block('btc_return_1', powers=2) }},
        {{ product_block('btc_return_1', 'return_1') }}
    from pairs_with_flags
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('return_1', [288], powers=2) }},
        {{ look_back('btc_return_1', [288], powers=2) }},
        {{ look_back_products('btc_return_1', 'return_1', [288]) }}
    from day_blocks
    {{ rolling_windows() }}
),

against_benchmark as (
    select
        *,
        {{ carried('beta_to_btc_288', beta) }},
        {{ rolling_corr('btc_return_1', 'return_1', 288) }} as corr_to_btc_288
    from blocks_back
),

against_benchmark_before as (
    select
        *,
        {{ lag('beta_to_btc_288', 12) }} as beta_before
    from against_benchmark
    {{ rolling_windows() }}
),

universe as (
    select symbol, range_agg(tstzrange(valid_from, valid_to)) as times
    from {{ ref('universe') }}
    where valid_from < coalesce(valid_to, 'infinity')
    group by symbol
),

members as (
    select
        b.*,
        b.is_filled = 0 and coalesce(universe.times @> b.time, false) as is_member,
        returns.return_288 as ranked_return_288,
        volumes.volume_ratio,
        interest.oi_change_20,
        funding.funding_annualized
    from against_benchmark_before as b
    left join universe on b.symbol = universe.symbol
    left join {{ ref('feat_price__returns') }} as returns
        on b.symbol = returns.symbol and b.time = returns.time and {{ joined_in_scope('returns') }}
    left join {{ ref('feat_volume__activity') }} as volumes
        on b.symbol = volumes.symbol and b.time = volumes.time and {{ joined_in_scope('volumes') }}
    left join {{ ref('feat_oi__interest') }} as interest
        on b.symbol = interest.symbol and b.time = interest.time and {{ joined_in_scope('interest') }}
    left join {{ ref('feat_funding__rates') }} as funding
        on b.symbol = funding.symbol and b.time = funding.time and {{ joined_in_scope('funding') }}
    where b.time >= (select scope_start())
),

sections as (
    select
        time,
        {{ sorted_section('ranked_return_288') }} as returns_288,
        {{ sorted_section('volume_ratio') }} as volume_ratios,
        {{ sorted_section('oi_change_20') }} as oi_changes_20,
        {{ sorted_section('funding_annualized') }} as fundings_annualized,
        count(return_12) filter (where is_member) as members,
        count(*) filter (where is_member and return_12 > 0) as risen
    from members
    group by time
),

features as (
    select
        symbol,
        time,
        btc_return_1,
        btc_return_12,
        beta_to_btc_288,
        corr_to_btc_288,
        return_288 - btc_return_288 as relative_strength_288,
        return_12 - beta_before * btc_return_12 as btc_residual_return_12,
        {{ cross_sectional_rank('ranked_return_288', 'returns_288') }} as xs_rank_return_288,
        {{ cross_sectional_rank('volume_ratio', 'volume_ratios') }} as xs_rank_volume_ratio,
        {{ cross_sectional_rank('oi_change_20', 'oi_changes_20') }} as xs_rank_oi_change_20,
        {{ cross_sectional_rank('funding_annualized', 'fundings_annualized') }} as xs_rank_funding,
        case when members >= 5 then risen::float8 / members end as xs_breadth_12
        {{- kept() }}
    from members
    inner join sections using (time)
)

select * from features
